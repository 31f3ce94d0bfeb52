package setting

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/pattern"
)

// rateKeys are what a rate limit may say.
var rateKeys = []string{"windowLimit", "windowSize", "aggregateBy", "action", "to", "algorithm"}

// maxRateLimit is the most calls of a window, far beyond what anybody counts.
const maxRateLimit = 1_000_000_000

// rateLimit reads rateLimit, and nil if there is none or it is wrong. Its keys
// have no places of their own: all problems are at the setting.
func (r *reader) rateLimit() *function.RateLimit {
	v, ok := r.set["rateLimit"]
	if !ok {
		return nil
	}
	fields, ok := v.Data.(map[string]any)
	if !ok {
		r.wrongType("rateLimit", "an object such as { windowLimit: 10, windowSize: 60, aggregateBy: \"ip\" }")
		return nil
	}
	// The keys are read like settings of their own, under names that tell where they stand.
	inner := reader{set: Set{}}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		camel := CamelCase(key)
		if !slices.Contains(rateKeys, camel) {
			r.errorf(v.At, "rateLimit has no key %q; it has %s", key, strings.Join(rateKeys, ", "))
			continue
		}
		inner.set["rateLimit."+camel] = Value{Data: fields[key], At: v.At}
	}
	limit := inner.rate(v)
	r.problems = append(r.problems, inner.problems...)
	return limit
}

// rate reads the keys of a rate limit, which stands at v.
func (r *reader) rate(v Value) *function.RateLimit {
	for _, key := range []string{"windowLimit", "windowSize"} {
		if _, ok := r.set["rateLimit."+key]; !ok {
			r.errorf(v.At, "rateLimit needs %s: windowLimit calls are served in windowSize seconds", key)
		}
	}
	calls, _ := r.number("rateLimit.windowLimit", 1, maxRateLimit, true, "a whole number of calls")
	seconds, _ := r.number("rateLimit.windowSize", 1, function.MaxRateWindow.Seconds(), false, "a number of seconds")
	by := r.texts("rateLimit.aggregateBy", "\"ip\" or \"domain\"")
	for _, b := range by {
		if b != "ip" && b != "domain" {
			r.errorf(v.At, "rateLimit.aggregateBy must be ip, domain or a list of both, not %q", b)
		}
	}
	if r.has("rateLimit.algorithm") {
		if a := r.text("rateLimit.algorithm", "\"sliding_window\""); a != "sliding_window" {
			r.errorf(v.At, "rateLimit.algorithm must be sliding_window, the only one there is, not %q", a)
		}
	}
	action, to := "rate_limit", r.text("rateLimit.to", "a path such as \"/too-many\"")
	if r.has("rateLimit.action") {
		action = r.choice("rateLimit.action", "rate_limit", "rewrite")
	}
	switch {
	case action == "rewrite" && to == "":
		r.errorf(v.At, "rateLimit with the action rewrite needs to, the path that serves calls over the limit")
	case action == "rate_limit" && to != "":
		r.errorf(v.At, "rateLimit.to has a meaning with action \"rewrite\" only; add it, or take out to")
	case to != "" && !strings.HasPrefix(to, "/"):
		r.errorf(v.At, "rateLimit.to must be a path of this site, which starts with a '/', not %q", to)
	}
	if len(r.problems) > 0 {
		return nil
	}
	return &function.RateLimit{Limit: int(calls), WindowMS: int64(math.Round(seconds * 1000)), By: by, RewriteTo: to}
}

func (r *reader) has(key string) bool {
	_, ok := r.set[key]
	return ok
}

// rewrite checks that calls over the limit of f do not come back to it.
func (r *reader) rewrite(f *function.Function) {
	if f.RateLimit == nil || f.RateLimit.RewriteTo == "" {
		return
	}
	path, _, _ := strings.Cut(f.RateLimit.RewriteTo, "?")
	serves := func(source string) bool {
		p, err := pattern.Parse(source)
		return err == nil && p.Match(pattern.TrimSlash(path))
	}
	own := f.Paths
	if len(own) == 0 {
		own = []string{function.DefaultPath(f.Name)}
	}
	if slices.ContainsFunc(own, serves) && !slices.ContainsFunc(f.ExcludedPaths, serves) {
		r.errorf(r.set["rateLimit"].At, "rateLimit.to is %q, which this very function serves; name a path of another one, or of a file", f.RateLimit.RewriteTo)
	}
}
