'use strict'
// Stands for a function's CommonJS module, see warm.mjs.
exports.handler = async () => {}
