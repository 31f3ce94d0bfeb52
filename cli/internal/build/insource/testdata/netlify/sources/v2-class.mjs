export default class Run {}
