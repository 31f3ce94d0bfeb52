package setting

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/pattern"
)

// reader takes typed values out of a set and keeps what is wrong with them.
type reader struct {
	set      Set
	problems []problem.Problem
}

func (r *reader) errorf(at problem.Position, format string, args ...any) {
	r.problems = append(r.problems, problem.Errorf(at, format, args...))
}

func (r *reader) warnf(at problem.Position, format string, args ...any) {
	r.problems = append(r.problems, problem.Warnf(at, format, args...))
}

func (r *reader) wrongType(key, want string) {
	v := r.set[key]
	r.errorf(v.At, "%s must be %s, not %s", key, want, describe(v.Data))
}

func (r *reader) text(key, want string) string {
	v, ok := r.set[key]
	if !ok {
		return ""
	}
	s, ok := v.Data.(string)
	if !ok {
		r.wrongType(key, want)
	}
	return strings.TrimSpace(s)
}

func (r *reader) choice(key string, options ...string) string {
	s := r.text(key, oneOf(options))
	if s == "" && r.set[key].Data != "" {
		return ""
	}
	if !slices.Contains(options, s) {
		r.errorf(r.set[key].At, "%s must be %s, not %q", key, oneOf(options), s)
		return ""
	}
	return s
}

func (r *reader) flag(key string) bool {
	v, ok := r.set[key]
	if !ok {
		return false
	}
	b, ok := v.Data.(bool)
	if !ok {
		r.wrongType(key, "true or false")
	}
	return b
}

// number reads a number within bounds; false if there is none.
func (r *reader) number(key string, low, high float64, whole bool, want string) (float64, bool) {
	v, ok := r.set[key]
	if !ok {
		return 0, false
	}
	n, ok := v.Data.(float64)
	if !ok {
		r.wrongType(key, fmt.Sprintf("%s from %g to %g", want, low, high))
		return 0, false
	}
	if n < low || n > high || whole && n != math.Trunc(n) || math.IsNaN(n) {
		r.errorf(v.At, "%s must be %s from %g to %g, not %g", key, want, low, high, n)
		return 0, false
	}
	return n, true
}

// timeout reads seconds as milliseconds.
func (r *reader) timeout() int64 {
	n, _ := r.number("timeout", 0.001, function.MaxTimeout.Seconds(), false, "a number of seconds")
	return int64(math.Round(n * 1000))
}

// delays reads retryDelays: seconds, as milliseconds; one number means a list of one.
func (r *reader) delays() []int64 {
	v, ok := r.set["retryDelays"]
	if !ok {
		return nil
	}
	list, ok := v.Data.([]any)
	if !ok {
		list = []any{v.Data}
	}
	const want = "a list of seconds, each from 0 to 86400, such as [60, 120]"
	var out []int64
	for _, item := range list {
		n, ok := item.(float64)
		if !ok || n < 0 || n > function.MaxRetryDelay.Seconds() {
			r.errorf(v.At, "retryDelays must be %s; %s is not", want, describe(item))
			return nil
		}
		out = append(out, int64(math.Round(n*float64(time.Second/time.Millisecond))))
	}
	return out
}

// texts reads a string or a list of strings.
func (r *reader) texts(key, want string) []string {
	v, ok := r.set[key]
	if !ok {
		return nil
	}
	list, ok := v.Data.([]any)
	if !ok {
		list = []any{v.Data}
	}
	var out []string
	for _, item := range list {
		s, ok := item.(string)
		if !ok || s == "" {
			r.errorf(v.At, "%s must be %s, or a list of such; %s is not", key, want, describe(item))
			return nil
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func (r *reader) paths(key string) []string {
	out := r.texts(key, "a URL path such as \"/items/:id\"")
	for _, p := range out {
		if !strings.HasPrefix(p, "/") {
			r.errorf(r.set[key].At, "%s: Must start with a '/'; %q does not", key, p)
			continue
		}
		if _, err := pattern.Parse(p); err != nil {
			message, _ := fault.Public(err)
			r.errorf(r.set[key].At, "%s: %s", key, message)
		}
	}
	return out
}

var allMethods = []string{"GET", "POST", "PUT", "PATCH", "OPTIONS", "DELETE", "HEAD"}

func (r *reader) methods() []string {
	out := r.texts("method", "an HTTP method")
	for i, m := range out {
		out[i] = strings.ToUpper(m)
		if !slices.Contains(allMethods, out[i]) {
			r.errorf(r.set["method"].At, "method must be %s, not %q", oneOf(allMethods), m)
		}
	}
	return out
}

// oneOf is "a, b or c".
func oneOf(options []string) string {
	last := len(options) - 1
	return strings.Join(options[:last], ", ") + " or " + options[last]
}

// describe is a value as its writer knows it.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return fmt.Sprintf("the string %q", v)
	case bool:
		return fmt.Sprintf("%t", v)
	case float64:
		return fmt.Sprintf("the number %g", v)
	case []any:
		return "a list"
	default:
		return "an object"
	}
}
