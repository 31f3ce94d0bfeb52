//go:build !linux

package cgroup

import "errors"

// Tree is what Linux has.
type Tree struct{}

// Group is what Linux has.
type Group struct{}

// Open says that there are no control groups.
func Open(Limits) (*Tree, error) { return nil, errors.New("control groups are Linux's") }

// Close does nothing.
func (*Tree) Close() error { return nil }

// Group is never called: there is no Tree.
func (*Tree) Group(string) (*Group, error) { return nil, errors.New("control groups are Linux's") }

// Add is never called.
func (*Group) Add(int) error { return nil }

// OutOfMemory is never called.
func (*Group) OutOfMemory() bool { return false }

// Remove is never called.
func (*Group) Remove() error { return nil }
