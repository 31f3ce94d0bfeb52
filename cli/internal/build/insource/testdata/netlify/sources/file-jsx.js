const React = { createElement: (tag) => `<${tag}>` }
export default async () => new Response(<p>hi</p>)
export const config = { schedule: '@daily' }
