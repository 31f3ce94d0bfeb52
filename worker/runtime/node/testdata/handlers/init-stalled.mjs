await new Promise(() => {})
export const handler = async () => ({ statusCode: 200 })
