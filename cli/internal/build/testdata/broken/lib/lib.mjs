export const lib = (
