package httpapi

import (
	"cmp"
	"slices"

	"github.com/nightshift/nightshift/gateway/internal/release"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
)

// netlifyDeploy is the body of PUT /sites/{site}/deploys/{id}, as clients of
// Netlify's API send it. Whether it is a draft and of which branch has been said
// before; here the clients always say that it is none.
type netlifyDeploy struct {
	Files     map[string]string          `json:"files"`     // SHA-1 by path
	Functions map[string]string          `json:"functions"` // SHA-256 of the zip by name
	Schedules []netlifySchedule          `json:"function_schedules"`
	Config    map[string]netlifyFunction `json:"functions_config"`
	Variables []api.EnvironmentVariable  `json:"environment"`
	Edge      map[string]string          `json:"edge_functions"`
}

type netlifySchedule struct {
	Name string `json:"name"`
	Cron string `json:"cron"`
}

type netlifyFunction struct {
	Routes   []netlifyRoute  `json:"routes"`
	Excluded []netlifyRoute  `json:"excluded_routes"`
	Traffic  *netlifyTraffic `json:"traffic_rules"`
}

// netlifyRoute is a pattern, which stands beside what Netlify makes of it.
type netlifyRoute struct {
	Pattern      string   `json:"pattern"`
	Methods      []string `json:"methods"`
	PreferStatic bool     `json:"prefer_static"`
}

type netlifyTraffic struct {
	Action struct {
		Type   string `json:"type"`
		Config struct {
			To    string `json:"to"`
			Limit struct {
				Size  int64 `json:"window_size"` // seconds
				Limit int   `json:"window_limit"`
			} `json:"rate_limit_config"`
			Aggregate struct {
				Keys []struct {
					Type string `json:"type"`
				} `json:"keys"`
			} `json:"aggregate"`
		} `json:"config"`
	} `json:"action"`
}

// description translates.
func (in *netlifyDeploy) description() (release.Description, error) {
	out := release.Description{Functions: []function.Function{}, Files: map[string]deploy.File{}}
	if len(in.Edge) > 0 {
		return out, fault.New(fault.Invalid, "the deploy has edge functions, and there are none here; make them functions, which run on your workers")
	}
	for path, sum := range in.Files {
		out.Files[path] = deploy.File{SHA1: sum}
	}
	for name, digest := range in.Functions {
		f := function.Function{Name: name, Artifact: digest}
		config := in.Config[name]
		config.apply(&f)
		if i := slices.IndexFunc(in.Schedules, func(s netlifySchedule) bool { return s.Name == name }); i >= 0 {
			f.Schedule = in.Schedules[i].Cron
		}
		out.Functions = append(out.Functions, f)
	}
	slices.SortFunc(out.Functions, func(a, b function.Function) int { return cmp.Compare(a.Name, b.Name) })
	for _, v := range in.Variables {
		out.Environment = append(out.Environment, v.Domain())
	}
	return out, nil
}

// apply lays what is said about a function over it. Methods and preferStatic
// are said once in a source, so they are the same on all routes.
func (in *netlifyFunction) apply(f *function.Function) {
	for _, route := range in.Routes {
		f.Paths = append(f.Paths, route.Pattern)
		f.PreferStatic = f.PreferStatic || route.PreferStatic
		for _, method := range route.Methods {
			if !slices.Contains(f.Methods, method) {
				f.Methods = append(f.Methods, method)
			}
		}
	}
	for _, route := range in.Excluded {
		f.ExcludedPaths = append(f.ExcludedPaths, route.Pattern)
	}
	if in.Traffic == nil {
		return
	}
	config := in.Traffic.Action.Config
	// Bounded, so that no size becomes an allowed one by an overflow.
	window := min(max(config.Limit.Size, 0), function.MaxRateWindow.Milliseconds())
	f.RateLimit = &function.RateLimit{Limit: config.Limit.Limit, WindowMS: window * 1000}
	if in.Traffic.Action.Type == "rewrite" {
		f.RateLimit.RewriteTo = config.To
	}
	for _, key := range config.Aggregate.Keys {
		f.RateLimit.By = append(f.RateLimit.By, key.Type)
	}
}
