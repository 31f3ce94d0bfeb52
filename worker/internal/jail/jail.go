// Package jail puts walls around the processes of functions, which run other
// people's code.
//
// On Linux user ID, Landlock domain, filter of system calls and no_new_privs
// belong to a thread, and a child inherits them from the thread that forks it.
// So the walls are put up on the thread that is about to fork and ends with its
// child ([process.Config.Confine]); there is no helper program, and the worker
// itself stays as it is. Resource limits are set from outside while the child
// is held.
//
// Each process has a [Cell]: a folder of its own for temporary files and, if it
// was started before its function was known, for its code.
//
// Which walls there can be depends on the machine. [Open] tries them once, and
// [Jail.Report] tells what it found. A process is never started with less than
// that: a wall that cannot be put up later is an error.
package jail

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2" // a bounded map
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/worker/internal/cgroup"
	"github.com/nightshift/nightshift/worker/internal/claim"
	"github.com/nightshift/nightshift/worker/internal/process"
)

// Limits are what one function process, with all that it starts, may use.
type Limits struct {
	Memory    int64 // bytes
	Tmp       int64 // bytes of files in its temporary folder
	Processes int   // processes and threads
	Files     int   // open files of each process
}

// Config configures a Jail.
type Config struct {
	// Dir is where the cells are; made if it is missing. Several workers may share it.
	Dir string
	// Node is the executable that functions run in, if there is one.
	Node string
	// Readable are files and folders that functions may read and execute beside
	// the system's own programs and libraries.
	Readable []string
	// Limits of each process; the zero value of a field is no limit.
	Limits Limits
	// Max is how many function processes there may be at once.
	Max int
	// ControlGroups gives each process a control group, if the worker's own can be
	// shaped. One jail of a process can have them.
	ControlGroups bool
	// Open leaves out all walls; cells there are still.
	Open bool
	// Required refuses to open a jail that lacks a wall.
	Required bool
}

// Jail is safe for concurrent use.
type Jail struct {
	cfg    Config
	folder *claim.Folder
	walls  walls
	groups *cgroup.Tree // nil: none
	report []Wall
	fits   *lru.Cache[string, bool] // by folder of code
}

// New takes a folder for cells, removes what a former owner left of its cells
// and their processes, and finds out which walls there can be. With
// Config.Required, a missing one is fault.Invalid.
func New(cfg Config) (*Jail, error) {
	folder, err := claim.Take(cfg.Dir, 0o711)
	if err != nil {
		return nil, err
	}
	fits, err := lru.New[string, bool](1024)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	j := &Jail{cfg: cfg, folder: folder, fits: fits}
	err = j.clean()
	if err == nil {
		j.walls, j.report = probe(cfg, folder.Path)
		j.openGroups()
		err = j.complete()
	}
	if err != nil {
		return nil, errors.Join(err, j.closeGroups(), folder.Release())
	}
	return j, nil
}

// openGroups makes the control groups of processes possible, if it can.
func (j *Jail) openGroups() {
	if !j.cfg.ControlGroups || j.cfg.Open {
		return
	}
	wall := Wall{
		Name: "control groups", Spare: true, // package meter does it, a little later
		Follows: "the memory of all processes of a function together is measured, so that a function may have too much of it for some tenths of a second",
		Remedy:  "give the worker a part of cgroup v2 that it may shape: Delegate=yes in its systemd unit, or a container that can write to its groups",
	}
	var err error
	if j.groups, err = cgroup.Open(j.groupLimits()); err != nil {
		wall.Why = err.Error()
	}
	j.report = append(j.report, wall)
}

// groupLimits are a little higher than those that are measured, which say what
// went wrong. Files in memory count where the cells are in memory.
func (j *Jail) groupLimits() cgroup.Limits {
	l := j.cfg.Limits
	memory := l.Memory + l.Memory/16
	if l.Memory > 0 && inMemory(j.folder.Path) {
		memory += l.Tmp
	}
	return cgroup.Limits{Memory: memory, Tasks: l.Processes * 5 / 4}
}

func (j *Jail) closeGroups() error {
	if j.groups == nil {
		return nil
	}
	return j.groups.Close()
}

// complete checks that no wall is missing if all are required.
func (j *Jail) complete() error {
	if !j.cfg.Required {
		return nil
	}
	var missing []string
	for _, w := range j.report {
		if w.Missing() {
			missing = append(missing, fmt.Sprintf("%s (%s; %s)", w.Name, w.Why, w.Remedy))
		}
	}
	if missing == nil {
		return nil
	}
	return fault.New(fault.Invalid, "NIGHTSHIFT_WORKER_ISOLATION is required, and this machine lacks: %s", strings.Join(missing, "; "))
}

// clean removes what is left in the folder. The name of a cell begins with the brand of
// its processes: a worker that was killed could not end those that had left
// their group.
func (j *Jail) clean() error {
	left, err := os.ReadDir(j.folder.Path)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the data directory %s cannot be read", j.folder.Path)
	}
	for _, entry := range left {
		name, _, _ := strings.Cut(entry.Name(), nameEnd)
		if brand, ok := process.ParseBrand(name); ok {
			process.KillStrays(brand)
		}
		if err := artifact.Remove(filepath.Join(j.folder.Path, entry.Name())); err != nil {
			return fault.Wrap(err, fault.Invalid, "the data directory %s cannot be cleaned up", j.folder.Path)
		}
	}
	return nil
}

// Dir is a folder of this jail alone, which ends with it. Functions see of it
// what they are let see.
func (j *Jail) Dir() string { return j.folder.Path }

// Limits are what each process may use.
func (j *Jail) Limits() Limits { return j.cfg.Limits }

// Close removes what is in the jail's folder, and gives it free. Its processes
// must have ended.
func (j *Jail) Close() error { return errors.Join(j.clean(), j.closeGroups(), j.folder.Release()) }

// Wall is one of the things that keep a function from what is not its own.
type Wall struct {
	Name    string // what it is called
	Why     string // why it is missing; empty: it is up
	Follows string // what follows from that
	Remedy  string // what to do about it
	Spare   bool   // others do its work
}

// Missing reports whether the wall is not up and no other does its work.
func (w Wall) Missing() bool { return w.Why != "" && !w.Spare }

// Report says of each wall whether it is up.
func (j *Jail) Report() []Wall { return j.report }

// Log tells operators which walls are up, and warns of each that is not.
func (j *Jail) Log(log *slog.Logger) {
	if j.cfg.Open {
		log.Warn("functions are not isolated: they can read and end whatever the worker can; set NIGHTSHIFT_WORKER_ISOLATION to best unless you trust them all")
		return
	}
	var up []string
	for _, w := range j.report {
		if w.Why == "" {
			up = append(up, w.Name)
		}
	}
	log.Info("functions are isolated", "walls", strings.Join(up, ", "))
	for _, w := range j.report {
		switch {
		case w.Missing():
			log.Warn("a wall between functions is missing", "wall", w.Name, "why", w.Why, "follows", w.Follows, "remedy", w.Remedy)
		case w.Why != "":
			log.Debug("a wall between functions is not needed", "wall", w.Name, "why", w.Why)
		}
	}
}
