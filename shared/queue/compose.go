package queue

import (
	_ "embed"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lane.lua
	laneHead string
	//go:embed enqueue.lua
	enqueueBody string
)

// laneScript makes a script of a body and lane.lua, which is its head, or stands
// where the body says. To define all its functions is a good part of what a short
// script costs.
func laneScript(body string) *redis.Script { return redis.NewScript(laneSource(body)) }

func laneSource(body string) string {
	const mark = "--[[LANES]]\n"
	if !strings.Contains(body, mark) {
		body = mark + body
	}
	return redisdb.ClockHead + strings.Replace(body, mark, laneHead, 1)
}

// laneKeys are the first keys of such a script.
func laneKeys(kind function.Kind, more ...string) []string {
	return append([]string{queuePrefix(kind), lanePrefix(kind)}, more...)
}

// maxCompositions bounds the scripts that a process composes. A program has a
// handful of combinations; more means that somebody writes values into a step's
// source, and every call would load another script into Redis.
const maxCompositions = 32

// compositions caches the enqueue script of each combination of step sources.
type compositions struct {
	mu   sync.Mutex
	list atomic.Pointer[[]composition] // grows by copy; read without the lock
}

type composition struct {
	sources []source
	script  *enqueueScript
}

// enqueueScript is a composed script and its digest.
type enqueueScript struct{ source, digest string }

type source struct{ check, apply string }

// script returns the script in which the steps ride. The look-up compares
// sources one by one: they are constants, so equal ones share their memory and
// the comparison ends at the pointer.
func (c *compositions) script(steps []redisdb.Step) (*enqueueScript, error) {
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
		return nil, fault.New(fault.Internal, "composing the enqueue script: more than %d combinations of steps; the source of a step must be constant, values go into its Args", maxCompositions)
	}
	made := compose(steps)
	list = append(list[:len(list):len(list)], made)
	c.list.Store(&list)
	return made.script, nil
}

func (c *compositions) find(steps []redisdb.Step) *enqueueScript {
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
		if c.sources[i] != (source{s.Check, s.Apply}) {
			return false
		}
	}
	return true
}

func compose(steps []redisdb.Step) composition {
	var (
		b    strings.Builder
		made composition
	)
	for _, s := range steps {
		made.sources = append(made.sources, source{s.Check, s.Apply})
		check := s.Check
		if strings.TrimSpace(check) == "" {
			check = "return 1"
		}
		// The parameters hide the script's own KEYS and ARGV from the step. The
		// line ends guard against a body that closes with a comment.
		b.WriteString("  {\n    check = function(KEYS, ARGV)\n" + check + "\n    end,\n")
		b.WriteString("    apply = function(KEYS, ARGV)\n" + s.Apply + "\n    end,\n  },\n")
	}
	text := refusalsHead + laneSource(strings.Replace(enqueueBody, "--[[STEPS]]\n", b.String(), 1))
	made.script = &enqueueScript{text, redis.NewScript(text).Hash()}
	return made
}

// operands appends the steps' keys and arguments to those of the task.
func operands(args []any, steps []redisdb.Step) ([]string, []any) {
	var keys []string
	n := len(args)
	for _, s := range steps {
		n += 2 + len(s.Args)
	}
	args = append(make([]any, 0, n), args...)
	for _, s := range steps {
		keys = append(keys, s.Keys...)
		args = append(args, len(s.Keys), len(s.Args))
		args = append(args, s.Args...)
	}
	return keys, args
}
