// Works through a batch and tells its log how far it is. CommonJS works as well.
const { setTimeout: pause } = require('node:timers/promises');

exports.handler = async (event) => {
  const { contacts = 50 } = JSON.parse(event.body || '{}');
  for (let done = 1; done <= contacts; done++) {
    await pause(20); // stands for a row written to a database
    if (done % 10 === 0 || done === contacts) console.log(`imported ${done} of ${contacts}`);
  }
  return { statusCode: 200, body: JSON.stringify({ imported: contacts }) };
};
