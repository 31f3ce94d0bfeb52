import nothing from './does-not-exist.mjs'
export const handler = async () => nothing
