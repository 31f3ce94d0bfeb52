package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// proc is a process of the system. The start time tells it from a later one
// that was given the same ID.
type proc struct {
	pid, parent int
	state       byte
	started     string
}

// readProc reads /proc/<pid>/stat.
func readProc(pid int) (proc, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return proc{}, err
	}
	// The second field is the command in parentheses, and may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return proc{}, fmt.Errorf("/proc/%d/stat is too short", pid)
	}
	parent, err := strconv.Atoi(string(fields[1]))
	return proc{pid: pid, parent: parent, state: fields[0][0], started: string(fields[19])}, err
}

// alive reports whether the same process still runs. One that has ended and
// waits to be collected does not.
func (p proc) alive() bool {
	now, err := readProc(p.pid)
	return err == nil && now.started == p.started && now.state != 'Z' && now.state != 'X'
}

// descendants lists the children of a process, their children, and so on.
func descendants(pid int) []proc {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	children := map[int][]proc{}
	for _, dir := range dirs {
		id, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if p, err := readProc(id); err == nil {
			children[p.parent] = append(children[p.parent], p)
		}
	}
	var found []proc
	for next := []int{pid}; len(next) > 0; {
		for _, child := range children[next[0]] {
			found, next = append(found, child), append(next, child.pid)
		}
		next = next[1:]
	}
	return found
}
