package meter

import (
	"fmt"
	"strings"

	"github.com/nightshift/nightshift/shared/invocation"
)

// Limits are what one function process, with all that it started, may use. Zero
// is no limit.
type Limits struct {
	Memory int64 // bytes
	Tasks  int   // processes and threads
	Tmp    int64 // bytes in its temporary folder
}

// filesPerMiB bounds the files and folders by the bytes of a temporary folder: a
// file system with blocks of 4 KiB has no room for more, and a walk has an end.
const filesPerMiB = 256

// files is how many files and folders the temporary folder may hold.
func (l Limits) files() int { return int(l.Tmp>>20) * filesPerMiB }

// usage is what was found of temporary files.
type usage struct {
	bytes  int64 // with open
	open   int64 // in files without a name
	files  int
	hidden string // what cannot be measured, and therefore may not be
}

func (u usage) over(l Limits) bool {
	return u.hidden != "" || u.bytes > l.Tmp || u.files > l.files()
}

// Kind is what there was too much of.
type Kind string

// The closed list of kinds.
const (
	Memory Kind = "memory"
	Tasks  Kind = "tasks"
	Tmp    Kind = "tmp"
)

// Excess is a limit that a function went over.
type Excess struct {
	Kind Kind
	text string
}

// String says what was used, what the limit is, and which setting raises it.
func (e *Excess) String() string { return e.text }

// Failure is the outcome of the attempt that was running, and its error's type.
func (e *Excess) Failure() (outcome invocation.Outcome, kind string) {
	switch e.Kind {
	case Memory:
		return invocation.OutOfMemory, "Runtime.OutOfMemory"
	case Tasks:
		return invocation.Crashed, "Runtime.TooManyProcesses"
	default:
		return invocation.Crashed, "Runtime.TmpFull"
	}
}

func overMemory(used, limit int64) *Excess {
	return &Excess{Memory, fmt.Sprintf("the function ran out of memory and was stopped: it used %s, and its limit is %s (NIGHTSHIFT_FUNCTION_MEMORY)", mebibytes(used), mebibytes(limit))}
}

func overTasks(used, limit int) *Excess {
	return &Excess{Tasks, fmt.Sprintf("the function was stopped: it ran %d processes and threads at once, and its limit is %d (NIGHTSHIFT_FUNCTION_PROCESSES)", used, limit)}
}

// overTmp says what of a temporary folder was found before it was seen to be too much.
func overTmp(found usage, l Limits) *Excess {
	const told = "the function was stopped: its temporary folder held %s, and its limit is %s (NIGHTSHIFT_FUNCTION_TMP)"
	limit := mebibytes(l.Tmp)
	switch {
	case found.hidden != "":
		return &Excess{Tmp, fmt.Sprintf("the function was stopped: its temporary folder could not be measured: %s", strings.ToValidUTF8(found.hidden, "\uFFFD"))}
	case found.files > l.files():
		return &Excess{Tmp, fmt.Sprintf(told, fmt.Sprintf("%d files and folders", found.files), fmt.Sprintf("%d, %d for each MiB of %s", l.files(), filesPerMiB, limit))}
	case found.open > 0:
		return &Excess{Tmp, fmt.Sprintf(told, fmt.Sprintf("%s, of which %s in deleted files that it kept open", mebibytes(found.bytes), mebibytes(found.open)), limit)}
	default:
		return &Excess{Tmp, fmt.Sprintf(told, mebibytes(found.bytes), limit)}
	}
}

// mebibytes rounds up, so that what is over a limit does not look like it.
func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }
