package process

// Member is a process as a census saw it.
type Member struct {
	PID      int
	Parent   int
	Started  uint64 // in the kernel's ticks since boot; with PID it names a process for good
	Threads  int    // at least 1
	Resident int64  // bytes, pages of files included; swapped ones are not
	Zombie   bool
}

// Root is where a tree begins: a leader, and what its strays are known by.
type Root struct {
	PID     int
	Started uint64
	Brand   Brand
}
