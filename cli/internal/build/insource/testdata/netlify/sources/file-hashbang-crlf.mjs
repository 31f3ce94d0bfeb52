#!/usr/bin/env node
export default async () => new Response('x')
export const config = { background: true }
