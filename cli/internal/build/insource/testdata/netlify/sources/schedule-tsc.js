"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.handler = void 0;
const functions_1 = require("@netlify/functions");
exports.handler = (0, functions_1.schedule)("@daily", async () => ({ statusCode: 200 }));
