//go:build linux && !amd64 && !arm64

package jail

import (
	"errors"
	"runtime"
)

// filter is none: the rules are written for two architectures.
type filter []struct{}

// guarded is of no use here.
type guarded struct{ unixSockets, truncation bool }

func newFilter(guarded) filter { return filter{} }

func (filter) load() error { return errors.New("there is no filter for " + runtime.GOARCH) }
