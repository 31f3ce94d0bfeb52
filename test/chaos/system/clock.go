package system

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

//go:embed testdata/clock.c
var clockSource []byte

// clock is that of Redis, by which everything goes. Where there is a C compiler
// and the loader takes libraries, it can be moved.
type clock struct {
	library string // preloaded into Redis
	file    string // where the library reads how far the clock is ahead
	why     error  // why there is no library
}

func newClock(dir string) (*clock, error) {
	c := &clock{library: filepath.Join(dir, "clock.so"), file: filepath.Join(dir, "clock")}
	if c.why = c.build(); c.why != nil {
		return c, nil
	}
	return c, os.WriteFile(c.file, make([]byte, 8), 0o600)
}

func (c *clock) build() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("the clock of a process cannot be moved on %s", runtime.GOOS)
	}
	source := c.library + ".c"
	if err := os.WriteFile(source, clockSource, 0o600); err != nil {
		return err
	}
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-O1", "-o", c.library, source).CombinedOutput(); err != nil {
		return fmt.Errorf("building the library that moves the clock: %w %s", err, out)
	}
	return nil
}

func (c *clock) env() []string {
	if c.why != nil {
		return nil
	}
	return []string{"LD_PRELOAD=" + c.library, "CLOCK_FILE=" + c.file}
}

// CanSkew says why the clock of Redis cannot be moved, or nil.
func (s *System) CanSkew() error { return errors.Join(s.OneRedis(), s.clock.why) }

// Skew sets how far the clock of Redis is ahead of that of everybody else.
func (s *System) Skew(ahead time.Duration) error {
	// In place, because Redis has the file in its memory.
	file, err := os.OpenFile(s.clock.file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(ahead)), 0)
	return err
}
