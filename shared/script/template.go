package script

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/redis/go-redis/v9"
)

// Script is Lua that serves any number of calls: what Redis runs it for are the
// calls' keys and arguments one behind the other, and its result is a list with
// one element for each call, in their order. An error as an element is that call's.
type Script struct{ source, digest string }

// New makes a Script.
func New(source string) *Script { return &Script{source, redis.NewScript(source).Hash()} }

// Source is the script's Lua.
func (s *Script) Source() string { return s.source }

//go:embed steps.lua
var stepsHead string

// Where the steps, and their heads and tails, stand in it.
const (
	headsMark = "--[[HEADS]]\n"
	stepsMark = "--[[STEPS]]\n"
	tailsMark = "--[[TAILS]]\n"
)

// Refusals are the words of a Redis that takes no writes at the moment: it is full,
// was a master until a moment ago, has too few replicas, or cannot write to disk.
// They come out of the script, which is not to blame.
var Refusals = []string{"OOM", "READONLY", "NOREPLICAS", "MISCONF", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"}

// Broken reports whether an error says that Redis cannot run a script: a bug, where
// everything else is what Redis, the network or a deadline did.
func Broken(err error) bool {
	text := err.Error()
	if strings.HasPrefix(text, "CROSSSLOT") {
		return true
	}
	// Redis names its script in each error of one; miniredis speaks of compiling.
	return !slices.ContainsFunc(Refusals, func(word string) bool { return strings.HasPrefix(text, word+" ") }) &&
		(strings.Contains(text, "user_script") || strings.Contains(text, "compiling script"))
}

// Template is a script in which steps ride. It is safe for concurrent use.
type Template struct {
	text string
	made compositions
}

// NewTemplate makes a Template of a body, before which stand redisdb.ClockHead and
// steps.lua: it says what becomes of a call, and ends with
//
//	return serve(key, n, run)
func NewTemplate(body string) *Template {
	head := "local refusals = ' " + strings.Join(Refusals, " ") + " '\n"
	return &Template{text: head + redisdb.ClockHead + stepsHead + body}
}

// With returns the script in which the steps ride. Their source must be constant;
// values go into their operands (see [Operands]).
func (t *Template) With(steps []redisdb.Step) (*Script, error) { return t.made.script(t.text, steps) }

// maxCompositions bounds the scripts that a process composes. A program has a
// handful of combinations; more means that somebody writes values into a step's
// source, and every call would load another script into Redis.
const maxCompositions = 32

// compositions caches the script of each combination of step sources.
type compositions struct {
	mu   sync.Mutex
	list atomic.Pointer[[]composition] // grows by copy; read without the lock
}

type composition struct {
	sources []source
	script  *Script
}

type source struct{ head, check, apply, tail string }

func sourceOf(s redisdb.Step) source { return source{s.Head, s.Check, s.Apply, s.Tail} }

// script returns the script in which the steps ride. The look-up compares
// sources one by one: they are constants, so equal ones share their memory and
// the comparison ends at the pointer.
func (c *compositions) script(text string, steps []redisdb.Step) (*Script, error) {
	if s := c.find(steps); s != nil {
		return s, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.find(steps); s != nil {
		return s, nil
	}
	var list []composition
	if p := c.list.Load(); p != nil {
		list = *p
	}
	if len(list) >= maxCompositions {
		return nil, fault.New(fault.Internal, "composing a script: more than %d combinations of steps; the source of a step must be constant, values go into its Args", maxCompositions)
	}
	made := compose(text, steps)
	list = append(list[:len(list):len(list)], made)
	c.list.Store(&list)
	return made.script, nil
}

func (c *compositions) find(steps []redisdb.Step) *Script {
	list := c.list.Load()
	if list == nil {
		return nil
	}
	for _, have := range *list {
		if have.holds(steps) {
			return have.script
		}
	}
	return nil
}

func (c *composition) holds(steps []redisdb.Step) bool {
	if len(c.sources) != len(steps) {
		return false
	}
	for i, s := range steps {
		if c.sources[i] != sourceOf(s) {
			return false
		}
	}
	return true
}

func compose(text string, steps []redisdb.Step) composition {
	var (
		b            strings.Builder
		heads, tails string
		made         composition
	)
	for _, s := range steps {
		if !slices.ContainsFunc(made.sources, func(have source) bool { return have.head == s.Head }) {
			heads, tails = heads+s.Head+"\n", tails+s.Tail+"\n"
		}
		made.sources = append(made.sources, sourceOf(s))
		check := s.Check
		if strings.TrimSpace(check) == "" {
			check = "return 1"
		}
		// The parameters hide the script's own KEYS and ARGV from the step. The
		// line ends guard against a body that closes with a comment.
		b.WriteString("  {\n    check = function(KEYS, ARGV)\n" + check + "\n    end,\n")
		b.WriteString("    apply = function(KEYS, ARGV)\n" + s.Apply + "\n    end,\n  },\n")
	}
	made.script = New(strings.NewReplacer(headsMark, heads, stepsMark, b.String(), tailsMark, tails).Replace(text))
	return made
}

// Operands appends the steps' keys and arguments to a call's own: of each step the
// number of its keys, the number of its arguments, and the arguments.
func Operands(args []any, steps []redisdb.Step) ([]string, []any) {
	n, k := len(args), 0
	for _, s := range steps {
		n += 2 + len(s.Args)
		k += len(s.Keys)
	}
	keys := make([]string, 0, k)
	args = append(make([]any, 0, n), args...)
	for _, s := range steps {
		keys = append(keys, s.Keys...)
		args = append(args, len(s.Keys), len(s.Args))
		args = append(args, s.Args...)
	}
	return keys, args
}
