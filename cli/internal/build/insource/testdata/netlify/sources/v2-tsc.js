"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.config = void 0;
exports.default = async () => new Response('x');
exports.config = { schedule: '@daily' };
