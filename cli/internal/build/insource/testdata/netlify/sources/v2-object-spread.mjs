import base from './lib/run.mjs'
export default { ...base, config: { schedule: '@daily' } }
