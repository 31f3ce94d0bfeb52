package meter

import (
	"time"

	"github.com/nightshift/nightshift/worker/internal/process"
	"golang.org/x/sys/unix"
)

// killLimit bounds how long a tree is hunted, and huntPause how often.
const (
	killLimit = 10 * time.Second
	huntPause = time.Millisecond
)

// kill ends a tree as a whole. All are stopped first: as long as one runs it
// makes new ones, while those that are stopped keep their place in the tree. The
// leader is killed last, because what waits for its end takes all for gone.
func (m *Meter) kill(root process.Root) {
	deadline := time.Now().Add(killLimit)
	stopped := map[process.Member]bool{}
	for time.Now().Before(deadline) {
		fresh := 0
		for _, member := range m.members(root) {
			id := process.Member{PID: member.PID, Started: member.Started}
			if !member.Zombie && !stopped[id] && m.signal(member, unix.SIGSTOP) {
				stopped[id] = true
				fresh++
			}
		}
		if fresh == 0 {
			break
		}
	}
	for time.Now().Before(deadline) {
		left := 0
		var leader process.Member
		for _, member := range m.members(root) {
			switch {
			case member.PID == root.PID:
				leader = member
			case !member.Zombie && m.signal(member, unix.SIGKILL):
				left++
			}
		}
		if left > 0 {
			time.Sleep(huntPause) // dying takes a moment
			continue
		}
		if leader.PID != 0 {
			m.signal(leader, unix.SIGKILL)
		}
		return
	}
	m.log.Error("not all processes of a function could be ended", "pid", root.PID)
	m.signal(process.Member{PID: root.PID, Started: root.Started}, unix.SIGKILL)
}

func (m *Meter) members(root process.Root) []process.Member {
	trees, err := m.census.Take([]process.Root{root})
	if err != nil {
		return nil
	}
	return trees[0]
}

// signal sends a signal to exactly that process, also if its pid has been used
// again meanwhile.
func (m *Meter) signal(member process.Member, sig unix.Signal) bool {
	fd, err := unix.PidfdOpen(member.PID, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if !m.census.Is(member) { // whoever has the pid now
		return false
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0) == nil
}
