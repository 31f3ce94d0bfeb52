// Package cgroup puts function processes into control groups of their own, where
// the kernel itself bounds the memory and the tasks of all that a function starts,
// says exactly when it ended something for want of memory, and ends a whole group
// at once.
//
// That takes cgroup v2 and a part of its tree that is the worker's to shape, which
// a service has with systemd's Delegate=yes, and a container if its tree can be
// written to. The worker itself moves into a leaf, because only leaves may hold
// processes where resources are shared out:
//
//	the worker's group ── nightshift-<pid> ──┬── worker       the worker
//	                                         └── functions ──┬── <name>  a function's process, with all that it starts
//	                                                         └── …
//
// Where it does not work, everything is left as it was, and others do the work:
// package meter measures, with less precision.
package cgroup

import (
	"strconv"
)

// Limits are those of one group; zero is none.
type Limits struct {
	Memory int64 // bytes, swap included: none may be used
	Tasks  int   // processes and threads
}

// settings are the files of a group and what is written to them. Swap is missing
// where the kernel accounts none.
func (l Limits) settings() []setting {
	var all []setting
	if l.Memory > 0 {
		all = append(all,
			setting{file: "memory.max", value: strconv.FormatInt(l.Memory, 10)},
			setting{file: "memory.swap.max", value: "0", optional: true},
			setting{file: "memory.oom.group", value: "1"}) // not one of the processes: all of them
	}
	if l.Tasks > 0 {
		all = append(all, setting{file: "pids.max", value: strconv.Itoa(l.Tasks)})
	}
	return all
}

// controllers are those that the limits need.
func (l Limits) controllers() []string {
	var all []string
	if l.Memory > 0 {
		all = append(all, "memory")
	}
	if l.Tasks > 0 {
		all = append(all, "pids")
	}
	return all
}

type setting struct {
	file, value string
	optional    bool
}
