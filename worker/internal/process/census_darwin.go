package process

import "errors"

// Census is not to be had without /proc.
type Census struct{}

var errNoProc = errors.New("counting processes: this system has no /proc")

// NewCensus fails.
func NewCensus() (*Census, error) { return nil, errNoProc }

// Root fails.
func (*Census) Root(int, Brand) (Root, error) { return Root{}, errNoProc }

// Take fails.
func (*Census) Take([]Root) ([][]Member, error) { return nil, errNoProc }

// Close does nothing.
func (*Census) Close() error { return nil }
