package pool

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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
