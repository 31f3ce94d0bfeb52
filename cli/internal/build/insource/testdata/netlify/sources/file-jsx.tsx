const React = { createElement: (tag: string) => `<${tag}>` }
export default async () => new Response(<p>hi</p>)
export const config = { schedule: '@daily' }
