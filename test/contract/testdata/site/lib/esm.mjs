export const esm = 'esm'
export default await Promise.resolve('awaited')
