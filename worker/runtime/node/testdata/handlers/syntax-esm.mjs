export const handler = async () => {
  const x = = 3
}
