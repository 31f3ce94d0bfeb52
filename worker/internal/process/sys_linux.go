package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// reopen opens a pipe's writing end once more. A duplicate would share its
// blocking mode with the child, and a full pipe could then block us.
func reopen(w *os.File) (*os.File, error) {
	raw, err := w.SyscallConn()
	if err != nil {
		return nil, err
	}
	var f *os.File
	var openErr error
	err = raw.Control(func(fd uintptr) {
		f, openErr = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_WRONLY|syscall.O_NONBLOCK, 0)
	})
	if err != nil {
		return nil, err
	}
	return f, openErr
}

// killStrays kills the processes that carry the cookie in their environment:
// descendants that left the group, as Node's "detached" children do. A few
// rounds, because one may fork while we look.
func killStrays(cookie string) {
	if cookie == "" {
		return
	}
	for range 5 {
		if killMarked([]byte(cookie)) == 0 {
			return
		}
	}
}

func killMarked(cookie []byte) (killed int) {
	proc, err := os.Open("/proc")
	if err != nil {
		return 0
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		environ, err := os.ReadFile("/proc/" + name + "/environ") // empty for a zombie, refused for other users'
		if err != nil || !bytes.Contains(environ, cookie) {
			continue
		}
		for entry := range bytes.SplitSeq(environ, []byte{0}) {
			if bytes.Equal(entry, cookie) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				killed++
				break
			}
		}
	}
	return killed
}
