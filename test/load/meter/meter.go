// Package meter reads what processes and a Redis have used: processor time, that
// of all descendants included, memory, and commands.
package meter

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nightshift/nightshift/test/harness"
)

// Usage is what a process has used since it was started.
type Usage struct {
	CPU      time.Duration // of itself
	Family   time.Duration // of its descendants, those included that have ended
	Resident int64         // bytes, without descendants

	FamilyResident int64 // of descendants; what they share is counted for each
}

// ticksPerSecond is the unit of CPU time in /proc; Linux fixes it for programs.
const ticksPerSecond = 100

// stat is what /proc/PID/stat says.
type stat struct {
	parent      int
	own, waited time.Duration // waited: of children that have ended and were collected
}

// Of reads what each of some processes has used, at one moment.
func Of(pids ...int) ([]Usage, error) {
	all := readAll()
	children := map[int][]int{}
	for pid, s := range all {
		children[s.parent] = append(children[s.parent], pid)
	}
	used := make([]Usage, len(pids))
	for i, pid := range pids {
		s, ok := all[pid]
		if !ok {
			return nil, fmt.Errorf("process %d has ended", pid)
		}
		kb, err := harness.ResidentKB(pid)
		if err != nil {
			return nil, err
		}
		used[i] = Usage{CPU: s.own, Family: s.waited, Resident: kb << 10}
		for next := children[pid]; len(next) > 0; next = next[1:] {
			child := all[next[0]]
			used[i].Family += child.own + child.waited
			if kb, err := harness.ResidentKB(next[0]); err == nil { // else it has ended meanwhile, or has no memory left
				used[i].FamilyResident += kb << 10
			}
			next = append(next, children[next[0]]...)
		}
	}
	return used, nil
}

func readAll() map[int]stat {
	all := map[int]stat{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if text, err := os.ReadFile(filepath.Join(dir, "stat")); err == nil { // else it has ended meanwhile
			if s, err := parse(text); err == nil {
				all[pid] = s
			}
		}
	}
	return all
}

func parse(text []byte) (stat, error) {
	// The second field is the command in parentheses, and may hold anything.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 15 {
		return stat{}, fmt.Errorf("%q is too short", text)
	}
	var n [5]int64
	for i, field := range [...]int{1, 11, 12, 13, 14} {
		var err error
		if n[i], err = strconv.ParseInt(string(fields[field]), 10, 64); err != nil {
			return stat{}, err
		}
	}
	const tick = time.Second / ticksPerSecond
	return stat{parent: int(n[0]), own: time.Duration(n[1]+n[2]) * tick, waited: time.Duration(n[3]+n[4]) * tick}, nil
}
