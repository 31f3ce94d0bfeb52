var __defProp = Object.defineProperty;
var __export = (target, all) => { for (var name in all) __defProp(target, name, { get: all[name], enumerable: true }); };
var __toCommonJS = (mod) => mod;
var f_exports = {};
__export(f_exports, { handler: () => handler });
module.exports = __toCommonJS(f_exports);
var handler = async () => ({ statusCode: 200 });
