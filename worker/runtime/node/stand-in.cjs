'use strict'
// Stands for a function's CommonJS module, see warm.cjs.
exports.handler = async () => {}
