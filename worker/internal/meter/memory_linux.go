package meter

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"

	"github.com/nightshift/nightshift/worker/internal/process"
)

// swaps reports whether pages may be somewhere else than in memory.
func swaps() bool {
	kib, ok := sum("/proc/meminfo", "SwapTotal:")
	return !ok || kib > 0
}

// memory is what a tree uses, in bytes: exact if it is more than the limit, else
// perhaps too much. Three counts, each dearer and smaller than the one before:
//
//	resident pages, which the census has anyway: with those of files, and
//	    without what is swapped out
//	anonymous and shared pages and what is swapped out, of each process by itself
//	the same, where what n processes share counts 1/n for each
func (m *Meter) memory(tree []process.Member, limit int64) int64 {
	if !m.swaps {
		if used := resident(tree); used <= limit {
			return used
		}
	}
	used := own(tree)
	if used <= limit || len(tree) == 1 {
		return used
	}
	return shared(tree, used)
}

func resident(tree []process.Member) (bytes int64) {
	for _, member := range tree {
		bytes += member.Resident
	}
	return bytes
}

func own(tree []process.Member) (bytes int64) {
	for _, member := range tree {
		kib, ok := sum(file(member, "status"), "RssAnon:", "RssShmem:", "VmSwap:")
		if !ok { // a zombie, which has nothing, or not Linux itself
			bytes += member.Resident
		}
		bytes += kib << 10
	}
	return bytes
}

// shared is at most what each has by itself, which is also the answer where the
// kernel does not let us see more.
func shared(tree []process.Member, own int64) (bytes int64) {
	for _, member := range tree {
		kib, ok := sum(file(member, "smaps_rollup"), "Pss_Anon:", "Pss_Shmem:", "SwapPss:")
		if !ok && !member.Zombie {
			return own
		}
		bytes += kib << 10
	}
	return min(own, bytes)
}

func file(member process.Member, name string) string {
	return fmt.Sprintf("/proc/%d/%s", member.PID, name)
}

// sum adds up the lines of a file of /proc that have one of the names. A process
// that has ended uses nothing; what cannot be read, or does not have all the
// names, is not ok.
func sum(path string, names ...string) (kib int64, ok bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, os.IsNotExist(err)
	}
	defer f.Close()
	found := 0
	lines := bufio.NewScanner(f)
	for found < len(names) && lines.Scan() {
		for _, name := range names {
			value, is := bytes.CutPrefix(lines.Bytes(), []byte(name))
			if !is {
				continue
			}
			found++
			if fields := bytes.Fields(value); len(fields) > 0 {
				n, _ := strconv.ParseInt(string(fields[0]), 10, 64)
				kib += n
			}
		}
	}
	return kib, found == len(names)
}
