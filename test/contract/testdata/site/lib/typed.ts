export enum Color { Red = 'red' }
export const typed = (n: number): string => `typed ${n} ${Color.Red}`
