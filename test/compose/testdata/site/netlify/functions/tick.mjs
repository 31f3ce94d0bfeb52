export default () => {};

export const config = { schedule: '*/5 * * * * *' };
