export default { deploySucceeded(event) { console.log(event) }, config: { schedule: '@daily' } }
