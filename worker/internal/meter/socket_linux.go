package meter

import (
	"errors"
	"os"

	"github.com/nightshift/nightshift/worker/internal/process"
)

// HasSocket reports whether a socket, known by its inode and the user who made
// it, is open in a process of the tree. Mostly it is the leader's; only for others
// all processes are counted.
func (w *Watch) HasSocket(inode uint64, uid uint32) bool {
	if w.meter.census == nil {
		return false
	}
	has, err := process.HasSocket(w.root.PID, inode)
	switch {
	case errors.Is(err, process.ErrHidden):
		return w.ownUser(uid)
	case has || err != nil:
		return has
	}
	for _, member := range w.meter.members(w.root) {
		if has, err := process.HasSocket(member.PID, inode); err == nil && has {
			return true
		}
	}
	return false
}

// ownUser reports whether the tree has a user of its own, and it is this one. We
// may not look into other users' processes unless we are a root with all its
// rights, as in containers it is not.
func (w *Watch) ownUser(uid uint32) bool {
	user, err := process.User(w.root.PID)
	return err == nil && user != os.Getuid() && uint32(user) == uid
}
