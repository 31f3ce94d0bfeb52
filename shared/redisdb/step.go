package redisdb

import _ "embed"

// ClockHead is Lua that defines clock() and millis(), the time of Redis; see
// clock.lua. It stands at the head of every script in which steps ride.
//
//go:embed clock.lua
var ClockHead string

// Step is a piece of Lua that rides along in another package's script, so that
// both happen or neither does. Check and Apply are bodies of Lua functions that
// are given the step's own KEYS and ARGV, numbered from 1, and may call what
// [ClockHead] defines: all steps of a script have one time. An Apply may also call
// tally(key, field, n), which adds an integer to a field of a hash by the end of
// the script: once for all tasks that share the script.
//
// All Checks of the steps that ride with one task run before anything is written
// for it: one that returns anything but 1 stops that, and the integer that it
// returned reaches the caller. Then every Apply runs. An empty Check passes, an
// empty Apply does nothing. Other tasks of the script go on.
//
// Head is Lua that stands once at the head of the script, whatever number of tasks
// share it, and defines what Check and Apply call: to define a function costs, each
// time. Tail stands once at its end, and writes what they have put off until then,
// also when some tasks were refused. Steps with the same Head must have the same
// Tail. Names at the top of a Head are seen by the whole script; a Tail sees that
// of the script too, and should need one name only.
//
// All keys must share the hash slot of the script that the step rides in.
type Step struct {
	Head  string
	Check string
	Apply string
	Tail  string
	Keys  []string
	Args  []any
}
