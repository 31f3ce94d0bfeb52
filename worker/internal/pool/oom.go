package pool

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/nightshift/nightshift/shared/invocation"
)

// oomCounter tells whether the kernel has killed a process of our control group
// for want of memory. Where there are no control groups, it never has.
type oomCounter struct {
	mu   sync.Mutex
	last int
}

// grew reports whether there were kills since it was called last.
func (c *oomCounter) grew() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := oomKills()
	grew := now > c.last
	c.last = now
	return grew
}

func oomKills() int {
	group, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(group)) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok {
			continue
		}
		events, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", path, "memory.events"))
		if err != nil {
			return 0
		}
		for event := range strings.Lines(string(events)) {
			if count, ok := strings.CutPrefix(event, "oom_kill "); ok {
				n, _ := strconv.Atoi(strings.TrimSpace(count))
				return n
			}
		}
	}
	return 0
}

// lastWords are what language runtimes write before they give up for want of
// memory: V8 about its heap and about everything else, Go about either.
var lastWords = [][]byte{
	[]byte("heap out of memory"),
	[]byte("Fatal process out of memory"),
	[]byte("fatal error: runtime: out of memory"),
	[]byte("fatal error: runtime: cannot allocate memory"),
}

func saysOutOfMemory(line []byte) bool {
	if len(line) > 512 {
		return false
	}
	for _, words := range lastWords {
		if bytes.Contains(line, words) {
			return true
		}
	}
	return false
}

// refusals are the errors of JavaScript for memory that the system did not give:
// the limit of one process, which functions may see before the meter does.
var refusals = []string{
	"Array buffer allocation failed",
	"Failed to allocate memory",                                 // ERR_MEMORY_ALLOCATION_FAILED
	"WebAssembly.Memory(): could not allocate memory",           // the first pages
	"WebAssembly.Memory.grow(): Unable to grow instance memory", // more of them
	"Out of memory: Cannot allocate Wasm memory",                // of an instance
}

// refusedMemory reports whether a function failed because it asked for too much.
func refusedMemory(f invocation.Failure) bool {
	if f.Type == "MemoryError" { // Python's
		return true
	}
	for _, text := range refusals {
		if strings.Contains(f.Message, text) {
			return true
		}
	}
	return false
}
