class A { #x = 1; static { this.y = 2 } get x() { return this.#x ?? A?.y } has(o) { return #x in o } }
const r = /[\p{L}--[a-z]]/v
export default async () => { label: for (;;) { break label } return new Response(`${new A().x}${r}`) }
export const config = { schedule: '@daily' }
