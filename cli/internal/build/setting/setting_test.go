package setting_test

import (
	"encoding/json"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/build/setting"
	"github.com/nightshift/nightshift/shared/function"
)

func set(pairs ...any) setting.Set {
	out := setting.Set{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i].(string)] = setting.Value{Data: pairs[i+1], At: problem.Position{File: "f.js", Line: i/2 + 1, Column: 1}}
	}
	return out
}

// rate is the value of a rate limit with some of its keys changed.
func rate(pairs ...any) map[string]any {
	out := map[string]any{"windowLimit": 10.0, "windowSize": 60.0}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i].(string)] = pairs[i+1]
	}
	return out
}

func resolve(name string, s setting.Set) (function.Function, string) {
	f, _, problems := setting.Resolve(function.Function{Name: name}, s)
	var text string
	for _, p := range problems {
		if p.Warning {
			text += "warning "
		}
		text += p.Error() + "\n"
	}
	return f, text
}

func TestResolve(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		name string
		set  setting.Set
		want string // JSON
	}{
		"nothing":               {"f", set(), `{"name":"f","kind":"sync"}`},
		"background name":       {"f-background", set(), `{"name":"f-background","kind":"background"}`},
		"background config":     {"f", set("background", true), `{"name":"f","kind":"background"}`},
		"background false":      {"f", set("background", false), `{"name":"f","kind":"sync"}`},
		"schedule":              {"f", set("schedule", "@hourly"), `{"name":"f","kind":"scheduled","schedule":"@hourly"}`},
		"background + schedule": {"f-background", set("schedule", "@daily"), `{"name":"f-background","kind":"scheduled","schedule":"@daily","timeout_ms":900000}`},
		"both with timeout":     {"f", set("schedule", "@daily", "background", true, "timeout", 60.0), `{"name":"f","kind":"scheduled","schedule":"@daily","timeout_ms":60000}`},
		"all of a schedule": {"f", set("schedule", "0 6 * * *", "timezone", "Europe/Berlin", "catchUp", "all", "overlap", "skip"),
			`{"name":"f","kind":"scheduled","schedule":"0 6 * * *","timezone":"Europe/Berlin","catch_up":"all","overlap":"skip"}`},
		"latest": {"f-background", set("onRollback", "latest"), `{"name":"f-background","kind":"background","on_rollback":"latest"}`},
		"pinned": {"f", set("onRollback", "pinned"), `{"name":"f","kind":"sync","on_rollback":"pinned"}`},
		"route": {"f", set("path", []any{"/a", "/b", "/a"}, "excludedPath", "/a/c", "method", "post", "preferStatic", true),
			`{"name":"f","kind":"sync","paths":["/a","/b"],"excluded_paths":["/a/c"],"methods":["POST"],"prefer_static":true}`},
		"rate limit": {"f", set("rateLimit", rate()), `{"name":"f","kind":"sync","rate_limit":{"limit":10,"window_ms":60000}}`},
		"rate limit of the file": {"f", set("rateLimit", map[string]any{"window_size": 1.5, "window_limit": 2.0, "aggregate_by": []any{"domain", "ip"}, "algorithm": "sliding_window", "action": "rate_limit"}),
			`{"name":"f","kind":"sync","rate_limit":{"limit":2,"window_ms":1500,"by":["domain","ip"]}}`},
		"rate limit with rewrite": {"f", set("rateLimit", rate("action", "rewrite", "to", "/slow", "aggregateBy", "ip")),
			`{"name":"f","kind":"sync","rate_limit":{"limit":10,"window_ms":60000,"by":["ip"],"rewrite_to":"/slow"}}`},
		"rewrite to an excluded path": {"f", set("path", "/a/*", "excludedPath", "/a/b", "rateLimit", rate("action", "rewrite", "to", "/a/b")),
			`{"name":"f","kind":"sync","paths":["/a/*"],"excluded_paths":["/a/b"],"rate_limit":{"limit":10,"window_ms":60000,"rewrite_to":"/a/b"}}`},
		"retries": {"f", set("timeout", 0.5, "retries", 0.0, "retryDelays", []any{1.0, 2.5}, "concurrency", 3.0),
			`{"name":"f","kind":"sync","timeout_ms":500,"retries":0,"retry_delays_ms":[1000,2500],"concurrency":3}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, problems := resolve(test.name, test.set)
			if problems != "" {
				t.Errorf("problems: %s", problems)
			}
			var want function.Function
			if err := json.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			gotJSON, _ := json.Marshal(got)
			wantJSON, _ := json.Marshal(want)
			if string(gotJSON) != string(wantJSON) {
				t.Errorf("Resolve\n got %s\nwant %s", gotJSON, wantJSON)
			}
		})
	}
}

func TestResolveProblems(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		set  setting.Set
		want string
	}{
		"background text":    {set("background", "true"), "f.js:1:1: background must be true or false, not the string \"true\"\n"},
		"schedule number":    {set("schedule", 5.0), "f.js:1:1: schedule must be a cron expression such as \"0 6 * * *\", not the number 5\n"},
		"schedule empty":     {set("schedule", ""), "f.js:1:1: schedule is empty; write a cron expression such as \"0 6 * * *\", or take the key out\n"},
		"schedule with path": {set("schedule", "@daily", "path", "/a"), "f.js:2:1: Scheduled functions must not specify a custom path, because nothing calls them over HTTP; take out path or schedule\n"},
		"timeout too long":   {set("timeout", 901.0), "f.js:1:1: timeout must be a number of seconds from 0.001 to 900, not 901\n"},
		"timeout text":       {set("timeout", "5m"), "f.js:1:1: timeout must be a number of seconds from 0.001 to 900, not the string \"5m\"\n"},
		"timeout zero":       {set("timeout", 0.0), "f.js:1:1: timeout must be a number of seconds from 0.001 to 900, not 0\n"},
		"retries half":       {set("retries", 1.5), "f.js:1:1: retries must be a whole number from 0 to 20, not 1.5\n"},
		"retries many":       {set("retries", 21.0), "f.js:1:1: retries must be a whole number from 0 to 20, not 21\n"},
		"delays negative":    {set("retryDelays", []any{-1.0}), "f.js:1:1: retryDelays must be a list of seconds, each from 0 to 86400, such as [60, 120]; the number -1 is not\n"},
		"concurrency zero":   {set("concurrency", 0.0), "f.js:1:1: concurrency must be a whole number from 1 to 100000, not 0\n"},
		"overlap":            {set("overlap", "maybe"), "f.js:1:1: overlap must be allow or skip, not \"maybe\"\n"},
		"overlap empty":      {set("overlap", ""), "f.js:1:1: overlap must be allow or skip, not \"\"\n"},
		"catchUp":            {set("catchUp", true), "f.js:1:1: catchUp must be last, all or none, not true\n"},
		"onRollback":         {set("onRollback", "x"), "f.js:1:1: onRollback must be pinned or latest, not \"x\"\n"},
		"path relative":      {set("path", "a"), "f.js:1:1: path: Must start with a '/'; \"a\" does not\n"},
		"path pattern":       {set("path", "/a/:b("), "f.js:1:1: path: '/a/:b(' is not a valid path according to the URLPattern specification\n"},
		"path object":        {set("path", map[string]any{}), "f.js:1:1: path must be a URL path such as \"/items/:id\", or a list of such; an object is not\n"},
		"method":             {set("method", "TRACE"), "f.js:1:1: method must be GET, POST, PUT, PATCH, OPTIONS, DELETE or HEAD, not \"TRACE\"\n"},
		"misspelled":         {set("shedule", "@daily"), "f.js:1:1: there is no setting \"shedule\"; did you mean \"schedule\"?\n"},
		"wrong case":         {set("timeZone", "UTC"), "f.js:1:1: there is no setting \"timeZone\"; did you mean \"timezone\"?\n"},
		"memory":             {set("memory", "2gb"), "warning f.js:1:1: memory has no effect: the memory of a function is not limited yet\n"},
		"memory small":       {set("memory", 128.0), "f.js:1:1: memory must be between 1024 and 4096 MB, as a number (in MB) or a string with a unit (e.g. \"2gb\"), not the number 128\nwarning f.js:1:1: memory has no effect: the memory of a function is not limited yet\n"},
		"memory text":        {set("memory", "1.5 GB"), "warning f.js:1:1: memory has no effect: the memory of a function is not limited yet\n"},
		"memory words":       {set("memory", "plenty"), "f.js:1:1: memory must be between 1024 and 4096 MB, as a number (in MB) or a string with a unit (e.g. \"2gb\"), not the string \"plenty\"\nwarning f.js:1:1: memory has no effect: the memory of a function is not limited yet\n"},
		"memory and vcpu":    {set("memory", 2048.0, "vcpu", 1.0), "f.js:2:1: `memory` and `vcpu` cannot both be set\nwarning f.js:1:1: memory has no effect: the memory of a function is not limited yet\nwarning f.js:2:1: vcpu has no effect: the processors of a function are not limited yet\n"},
		"vcpu":               {set("vcpu", 4.0), "f.js:1:1: vcpu must be a number from 0.5 to 2, not 4\nwarning f.js:1:1: vcpu has no effect: the processors of a function are not limited yet\n"},
		"bundler":            {set("nodeBundler", "webpack"), "f.js:1:1: nodeBundler must be esbuild, nft, zisi or none, not \"webpack\"\n"},
		"unknown":            {set("colour", "red"), "warning f.js:1:1: there is no setting \"colour\"; it has no effect\n"},
		"not supported":      {set("memory", 1024.0), "warning f.js:1:1: memory has no effect: the memory of a function is not limited yet\n"},

		"rate text":         {set("rateLimit", "10/m"), "f.js:1:1: rateLimit must be an object such as { windowLimit: 10, windowSize: 60, aggregateBy: \"ip\" }, not the string \"10/m\"\n"},
		"rate empty":        {set("rateLimit", map[string]any{}), "f.js:1:1: rateLimit needs windowLimit: windowLimit calls are served in windowSize seconds\nf.js:1:1: rateLimit needs windowSize: windowLimit calls are served in windowSize seconds\n"},
		"rate misspelled":   {set("rateLimit", rate("windowsize", 5.0)), "f.js:1:1: rateLimit has no key \"windowsize\"; it has windowLimit, windowSize, aggregateBy, action, to, algorithm\n"},
		"rate window":       {set("rateLimit", rate("windowSize", 181.0)), "f.js:1:1: rateLimit.windowSize must be a number of seconds from 1 to 180, not 181\n"},
		"rate window text":  {set("rateLimit", rate("windowSize", "1m")), "f.js:1:1: rateLimit.windowSize must be a number of seconds from 1 to 180, not the string \"1m\"\n"},
		"rate none":         {set("rateLimit", rate("windowLimit", 0.0)), "f.js:1:1: rateLimit.windowLimit must be a whole number of calls from 1 to 1e+09, not 0\n"},
		"rate by":           {set("rateLimit", rate("aggregateBy", []any{"ip", "user"})), "f.js:1:1: rateLimit.aggregateBy must be ip, domain or a list of both, not \"user\"\n"},
		"rate algorithm":    {set("rateLimit", rate("algorithm", "token_bucket")), "f.js:1:1: rateLimit.algorithm must be sliding_window, the only one there is, not \"token_bucket\"\n"},
		"rate action":       {set("rateLimit", rate("action", "block")), "f.js:1:1: rateLimit.action must be rate_limit or rewrite, not \"block\"\n"},
		"rate rewrite":      {set("rateLimit", rate("action", "rewrite")), "f.js:1:1: rateLimit with the action rewrite needs to, the path that serves calls over the limit\n"},
		"rate to":           {set("rateLimit", rate("to", "/slow")), "f.js:1:1: rateLimit.to has a meaning with action \"rewrite\" only; add it, or take out to\n"},
		"rate to elsewhere": {set("rateLimit", rate("action", "rewrite", "to", "https://x")), "f.js:1:1: rateLimit.to must be a path of this site, which starts with a '/', not \"https://x\"\n"},
		"rate to itself":    {set("rateLimit", rate("action", "rewrite", "to", "/.netlify/functions/f/?a=1")), "f.js:1:1: rateLimit.to is \"/.netlify/functions/f/?a=1\", which this very function serves; name a path of another one, or of a file\n"},
		"rate to own path":  {set("path", "/a/*", "rateLimit", rate("action", "rewrite", "to", "/a/b")), "f.js:2:1: rateLimit.to is \"/a/b\", which this very function serves; name a path of another one, or of a file\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, got := resolve("f", test.set); got != test.want {
				t.Errorf("problems\n got %s\nwant %s", got, test.want)
			}
		})
	}
	t.Run("cron", func(t *testing.T) {
		t.Parallel()
		for _, expr := range []string{"nope", "61 * * * *", "@reboot", "0 0 31 2 *"} {
			if _, got := resolve("f", set("schedule", expr)); got == "" {
				t.Errorf("schedule %q: no problem, want one", expr)
			}
		}
		if _, got := resolve("f", set("schedule", "@daily", "timezone", "Mars/Olympus")); got == "" {
			t.Error("timezone Mars/Olympus: no problem, want one")
		}
	})
}

func TestMerge(t *testing.T) {
	t.Parallel()
	under := set("includedFiles", []any{"x"}, "externalNodeModules", []any{"x"}, "retryDelays", []any{60.0}, "timeout", 1.0, "memory", 1024.0)
	over := set("includedFiles", []any{"y"}, "externalNodeModules", []any{"y"}, "retryDelays", []any{5.0}, "timeout", 2.0, "vcpu", 1.0)
	tests := map[string]struct {
		got  setting.Set
		want string
	}{
		"sections": {setting.Merge(under, over), `{"externalNodeModules":["x","y"],"includedFiles":["x","y"],"retryDelays":[5],"timeout":2,"vcpu":1}`},
		"source":   {setting.Replace(under, over), `{"externalNodeModules":["x","y"],"includedFiles":["y"],"retryDelays":[5],"timeout":2,"vcpu":1}`},
		"empty list in the source": {setting.Replace(set("includedFiles", []any{"x"}), set("includedFiles", []any{})),
			`{"includedFiles":["x"]}`},
		"nothing below": {setting.Replace(nil, set("timeout", 1.0)), `{"timeout":1}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			values := map[string]any{}
			for key, v := range test.got {
				values[key] = v.Data
			}
			if got, _ := json.Marshal(values); string(got) != test.want {
				t.Errorf("merged\n got %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestEventNames(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		name, want string
		set        setting.Set
	}{
		"event":      {"deploy-succeeded", "warning deploy-succeeded is the name of an event of Netlify. Events do not happen here, so the function runs only when something calls its URL\n", set()},
		"background": {"identity-signup-background", "warning identity-signup-background is the name of an event of Netlify. Events do not happen here, so the function runs only when something calls its URL\n", set()},
		"schedule":   {"deploy-failed", "warning deploy-failed is the name of an event of Netlify. Events do not happen here, so the function runs on its schedule only\n", set("schedule", "@daily")},
		"path":       {"Submission-Created", "f.js:1:1: Event-triggered functions must not specify a custom path. Please remove the \"path\" configuration or pick a different name for the function: Submission-Created is the name of an event of Netlify\n", set("path", "/a")},
		"another":    {"deploy-successful", "", set()},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, got := resolve(test.name, test.set); got != test.want {
				t.Errorf("problems of %s\n got %s\nwant %s", test.name, got, test.want)
			}
		})
	}
}

func TestCamelCase(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"included_files": "includedFiles", "timeout": "timeout", "retryDelays": "retryDelays", "catch_up": "catchUp"} {
		if got := setting.CamelCase(in); got != want {
			t.Errorf("CamelCase(%q) = %q, want %q", in, got, want)
		}
	}
}
