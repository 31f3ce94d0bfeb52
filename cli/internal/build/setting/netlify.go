package setting

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/shared/function"
)

// triggered are the names of functions that Netlify calls when something
// happens to a site, also with -background behind them.
var triggered = []string{
	"deploy-building", "deploy-succeeded", "deploy-failed", "deploy-deleted", "deploy-locked", "deploy-unlocked",
	"submission-created", "split-test-activated", "split-test-deactivated", "split-test-modified",
	"identity-validate", "identity-signup", "identity-login",
}

// event says what a name means at Netlify that it does not mean here.
func (r *reader) event(f function.Function) {
	if !slices.Contains(triggered, strings.Replace(strings.ToLower(f.Name), "-background", "", 1)) {
		return
	}
	at := problem.Position{File: f.Source}
	switch {
	case len(f.Paths) > 0:
		r.errorf(r.set["path"].At, `Event-triggered functions must not specify a custom path. Please remove the "path" configuration or pick a different name for the function: %s is the name of an event of Netlify`, f.Name)
	case f.Kind == function.Scheduled:
		r.warnf(at, "%s is the name of an event of Netlify. Events do not happen here, so the function runs on its schedule only", f.Name)
	default:
		r.warnf(at, "%s is the name of an event of Netlify. Events do not happen here, so the function runs only when something calls its URL", f.Name)
	}
}

// exclusive are two ways to say one thing: the upper set says it alone.
var exclusive = []string{"memory", "vcpu"}

var memorySize = regexp.MustCompile(`(?i)^(\d+(?:\.\d+)?)\s*(mb|gb)?$`)

// size checks memory and vcpu as Netlify does. They have no effect here.
func (r *reader) size() {
	if v, ok := r.set["memory"]; ok {
		megabytes, _ := v.Data.(float64)
		if text, isText := v.Data.(string); isText {
			if m := memorySize.FindStringSubmatch(strings.TrimSpace(text)); m != nil {
				megabytes, _ = strconv.ParseFloat(m[1], 64) // the pattern lets numbers through only
				if strings.EqualFold(m[2], "gb") {
					megabytes *= 1024
				}
			}
		}
		if megabytes < 1024 || megabytes > 4096 || megabytes != math.Trunc(megabytes) {
			r.errorf(v.At, "memory must be between 1024 and 4096 MB, as a number (in MB) or a string with a unit (e.g. \"2gb\"), not %s", describe(v.Data))
		}
	}
	r.number("vcpu", 0.5, 2, false, "a number")
	if v, ok := r.set["vcpu"]; ok {
		if _, both := r.set["memory"]; both {
			r.errorf(v.At, "`memory` and `vcpu` cannot both be set")
		}
	}
}
