'use strict'
// Loaded first where V8 is given a limit for its heap.
//
// Node brings its own modules along as compiled code, which V8 takes only while its
// flags are those that it was made with; else each module that is used is compiled
// again. The limit is read when the heap is made, so that by now the flag can have
// its usual value again, and the heap keeps its limit.
require('node:v8').setFlagsFromString('--max-old-space-size=0')
