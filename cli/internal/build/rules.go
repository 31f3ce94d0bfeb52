package build

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build/netlifytoml"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/rulefile"
)

// rules collects redirects and headers: those of the files in the directory that
// is published, and behind them those of netlify.toml. What is wrong with a rule
// leaves that rule out.
func (r *Result) rules(config netlifytoml.File) {
	redirects := r.ruleFile(rulefile.RedirectsFile, rulefile.Redirects)
	headers := r.ruleFile(rulefile.HeadersFile, rulefile.Headers)
	r.Redirects = append(redirects.Redirects, config.Redirects...)
	r.Headers = append(headers.Headers, config.Headers...)
	r.Problems = append(r.Problems, config.RuleProblems...)
	if err := deploy.ValidateRules(r.Redirects, r.Headers); err != nil {
		r.Problems = append(r.Problems, problem.Errorf(problem.Position{}, "%v", err))
	}
}

// ruleFile reads a file of rules, if there is one.
func (r *Result) ruleFile(name string, read func(text string) rulefile.Rules) rulefile.Rules {
	if r.Publish == "" || !inside(r.Root, r.Publish) {
		return rulefile.Rules{}
	}
	path := filepath.Join(r.Publish, name)
	at := problem.Position{File: show(r.Root, path)}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir():
		return rulefile.Rules{}
	case err == nil && info.Size() > deploy.MaxRulesSize:
		r.Problems = append(r.Problems, problem.Errorf(at, "has %d KiB; %d KiB of rules are allowed", info.Size()>>10, deploy.MaxRulesSize>>10))
		return rulefile.Rules{}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		r.Problems = append(r.Problems, problem.Errorf(at, "cannot be read: %v", errors.Unwrap(err)))
		return rulefile.Rules{}
	}
	rules := read(string(data))
	lines := strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n")
	for _, note := range rules.Notes {
		p := problem.Problem{At: at, Message: note.Text, Warning: note.Warning}
		p.At.Line, p.At.Column, p.At.Text = note.Line, note.Column, strings.TrimRight(lines[note.Line-1], "\r")
		r.Problems = append(r.Problems, p)
	}
	return rules
}
