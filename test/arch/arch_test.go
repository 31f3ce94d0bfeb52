// Package arch holds the rules about who may import whom, and what every
// package, main and module looks like, as tests: a rule without a test lasts
// until the first hurried afternoon.
package arch

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// edge forbids direct imports.
type edge struct {
	from   []string // importers, without the common prefix of our packages
	except []string // importers that may
	to     []string // what they must not import, in full
	why    string
}

var (
	domain    = []string{"shared/function", "shared/schedule", "shared/invocation", "shared/deploy", "shared/fault", "shared/pattern", "shared/environ", "shared/rule", "shared/rulefile", "shared/token"}
	everybody = []string{"shared/...", "gateway/...", "worker/...", "scheduler/...", "cli/...", "test/..."}
	services  = []string{"gateway/...", "worker/...", "scheduler/..."}
)

// in makes full import paths of ours.
func in(paths ...string) []string {
	var full []string
	for _, p := range paths {
		full = append(full, ours+"/"+p)
	}
	return full
}

var forbidden = []edge{
	{
		from: everybody, except: []string{"shared/queue/...", "test/load/peers/..."}, to: []string{"github.com/hibiken/asynq/..."},
		why: "the queue's wake-up, acknowledgement and task identity are repaired in one place; a second importer would get asynq as it comes, as the peer that we compare with does",
	},
	{
		from: everybody, except: []string{"gateway/internal/httpapi/...", "test/load/peers/..."}, to: []string{"github.com/labstack/echo/..."},
		why: "the web framework is a detail of the gateway's HTTP layer",
	},
	{
		from: []string{"gateway/..."}, to: in("worker/...", "scheduler/..."),
		why: "services meet in HTTP, tasks and records, so that each can be deployed without the others",
	},
	{
		from: []string{"worker/..."}, to: in("gateway/...", "scheduler/..."),
		why: "services meet in HTTP, tasks and records, so that each can be deployed without the others",
	},
	{
		from: []string{"scheduler/..."}, to: in("gateway/...", "worker/..."),
		why: "services meet in HTTP, tasks and records, so that each can be deployed without the others",
	},
	{
		from: []string{"shared/..."}, to: in("gateway/...", "worker/...", "scheduler/...", "cli/..."),
		why: "shared is what the services agree on; it cannot know them",
	},
	{
		from: services, to: in("cli/..."),
		why: "the command line runs the services, never the other way round",
	},
	{
		from: everybody, except: []string{"test/..."}, to: in("test/..."),
		why: "no test dependency reaches a service",
	},
	{
		from: domain, to: []string{"github.com/redis/...", "github.com/go-redsync/...", "gocloud.dev/..."},
		why: "the domain does no I/O: it is tested in microseconds and reused by every service",
	},
	{
		from: domain, to: []string{"net", "os/...", "io/fs", "syscall", "database/..."},
		why: "the domain does no I/O",
	},
	{
		// fault maps its kinds to the constants of net/http and uses nothing else of it.
		from: domain, except: []string{"shared/fault"}, to: []string{"net/http/..."},
		why: "the domain does not know how it is reached",
	},
	{
		// environ says how its values look in a log, which is not at all.
		from: domain, except: []string{"shared/environ", "shared/rule", "shared/rulefile"}, to: []string{"log/..."},
		why: "the domain logs nothing: it returns what happened and the caller decides",
	},
	{
		from: everybody, except: []string{"shared/telemetry/..."}, to: []string{"go.opentelemetry.io/..."},
		why: "one package makes all spans, so that it shows what leaves the house",
	},
	{
		from: []string{"shared/telemetry"}, to: in("shared/function", "shared/invocation", "shared/deploy", "shared/schedule", "shared/store", "shared/queue"),
		why: "spans are made of names and IDs, and of nothing that could have more in it",
	},
	{
		from: []string{"shared/daemon"}, to: in("shared/function", "shared/invocation", "shared/deploy", "shared/schedule", "shared/store", "shared/queue"),
		why: "the lifecycle of a process is the same whatever the process is about",
	},
}

func TestForbiddenImports(t *testing.T) {
	t.Parallel()
	for _, p := range ownPackages(t) {
		for _, e := range forbidden {
			if !matchAny(e.from, p.short()) || matchAny(e.except, p.short()) {
				continue
			}
			for _, imported := range p.Imports {
				if matchAny(e.to, imported) {
					t.Errorf("%s imports %s: %s", p.short(), imported, e.why)
				}
			}
		}
	}
}

// TestTestSupportStaysInTests lets packages that end in "test", and the test
// module, import what tests need, and nobody else.
func TestTestSupportStaysInTests(t *testing.T) {
	t.Parallel()
	for _, p := range ownPackages(t) {
		if match("test/...", p.short()) || strings.HasSuffix(p.Name, "test") {
			continue
		}
		for _, imported := range p.Imports {
			if imported == "testing" || strings.HasPrefix(imported, ours) && strings.HasSuffix(imported, "test") {
				t.Errorf("%s imports %s outside its tests", p.short(), imported)
			}
		}
	}
}

// TestRulesNameRealPackages keeps the table above from outliving what it names.
func TestRulesNameRealPackages(t *testing.T) {
	t.Parallel()
	own := ownPackages(t)
	for _, e := range forbidden {
		for _, pattern := range slices.Concat(e.from, e.except) {
			if !slices.ContainsFunc(own, func(p *pkg) bool { return match(pattern, p.short()) }) {
				t.Errorf("the rule %q names %s, which matches no package", e.why, pattern)
			}
		}
	}
}

// unwanted is what must not be linked into a binary, by whatever way.
var unwanted = []struct {
	pattern string
	except  []string // binaries that may
	why     string
}{
	{"testing", nil, "it registers flags and grows the binary; an import of it is test support that leaked"},
	{"github.com/rogpeppe/go-internal/testscript", nil, "it belongs to the end-to-end tests"},
	{"github.com/compose-spec/...", nil, "it belongs to the test of docker-compose.yml"},
	{"github.com/emersion/...", nil, "it belongs to the end-to-end tests"},
	{"github.com/johannesboyne/gofakes3/...", nil, "it belongs to the tests of the blob store"},
	{"k8s.io/...", nil, "it belongs to the tests of deploy/k8s; services know nothing of what runs them"},
	{"go.uber.org/goleak", nil, "it belongs to tests"},
	{"github.com/alicebob/miniredis/...", []string{"cli/cmd/nightshift"}, "a service must never run on a store that forgets; only dev may, and says so"},
	{ours + "/test/...", nil, "it belongs to tests"},
}

func TestBinariesLinkNoTestSupport(t *testing.T) {
	t.Parallel()
	var binaries int
	for _, p := range ownPackages(t) {
		if p.Name != "main" || match("test/...", p.short()) {
			continue
		}
		binaries++
		for _, u := range unwanted {
			if slices.Contains(u.except, p.short()) {
				continue
			}
			for _, dep := range p.Deps {
				if match(u.pattern, dep) {
					t.Errorf("%s links %s: %s\n(go mod why, in its module, names the way)", p.short(), dep, u.why)
				}
			}
		}
	}
	if binaries < 4 {
		t.Errorf("found %d binaries, want gateway, worker, scheduler and nightshift", binaries)
	}
}

// clock is what reads or waits for the time of day.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"}

func TestDomainReadsNoClock(t *testing.T) {
	t.Parallel()
	for _, p := range ownPackages(t) {
		if !matchAny(domain, p.short()) {
			continue
		}
		fset, files := parse(t, p, p.GoFiles)
		for _, file := range files {
			ast.Inspect(file, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, sel.Sel.Name) {
					t.Errorf("%s: time.%s in a domain package; take the time as an argument", fset.Position(n.Pos()), sel.Sel.Name)
				}
				return true
			})
		}
	}
}

func TestEveryPackageHasOneDoc(t *testing.T) {
	t.Parallel()
	for _, p := range ownPackages(t) {
		names := p.GoFiles
		if len(names) == 0 {
			names = slices.Concat(p.TestGoFiles, p.XTestGoFiles)
		}
		_, files := parse(t, p, names)
		var docs []string
		for name, file := range files {
			if file.Doc == nil {
				continue
			}
			docs = append(docs, name)
			if want := docBegins(p); !want.MatchString(file.Doc.Text()) {
				t.Errorf("%s: the doc in %s does not begin like %s", p.short(), name, want)
			}
		}
		if len(docs) != 1 {
			t.Errorf("%s has %d package docs %v, want exactly one", p.short(), len(docs), docs)
		}
	}
}

// docBegins is how the doc of a package or of a program begins by convention.
func docBegins(p *pkg) *regexp.Regexp {
	if p.Name != "main" {
		return regexp.MustCompile("^Package " + p.Name + " ")
	}
	program := path.Base(p.ImportPath)
	return regexp.MustCompile("^(Command " + program + "|" + strings.ToUpper(program[:1]) + program[1:] + ") ")
}

// TestRedisKeysStandInKeysFiles finds key names by the prefixes that they have.
// One place per package makes a key, so that a change of layout is one diff.
func TestRedisKeysStandInKeysFiles(t *testing.T) {
	t.Parallel()
	for _, p := range ownPackages(t) {
		if match("test/...", p.short()) {
			continue
		}
		names := slices.DeleteFunc(slices.Clone(p.GoFiles), func(name string) bool { return name == "keys.go" })
		fset, files := parse(t, p, names)
		for _, file := range files {
			ast.Inspect(file, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				text := strings.Trim(lit.Value, "\"`")
				if strings.HasPrefix(text, "nightshift:") || strings.HasPrefix(text, "asynq:") {
					t.Errorf("%s: the Redis key %s is made outside keys.go", fset.Position(n.Pos()), lit.Value)
				}
				return true
			})
		}
	}
}
