package setting

// Supported lets tests hold other places against the keys that Resolve reads.
var Supported = supported
