async function run() { return { statusCode: 200 } }
export { run as handler }
