package dev

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build"
	"github.com/nightshift/nightshift/cli/internal/dotenv"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/callback"
	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/secret"
)

// envFiles are the files with variables for functions, the weakest first, as
// `netlify dev` has them.
var envFiles = []string{".env", ".env.development", ".env.local", ".env.development.local"}

// environment reads what functions get from netlify.toml and from .env files,
// which win over it. A variable that the shell has too has the shell's value, so
// that `KEY=other nightshift dev` works. All of it goes into the deploy, which
// stays on this machine. What cannot be set is left out with a warning.
func (s *session) environment(result *build.Result) []api.EnvironmentVariable {
	values, sources := map[string]string{}, []string{}
	if len(result.Environment) > 0 {
		maps.Copy(values, result.Environment)
		sources = append(sources, "netlify.toml")
	}
	var warnings []string
	for _, name := range envFiles {
		data, err := os.ReadFile(filepath.Join(result.Base(), name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("%s cannot be read: %v", name, errors.Unwrap(err)))
			continue
		}
		read, skipped := dotenv.Parse(string(data))
		if len(skipped) > 0 {
			warnings = append(warnings, fmt.Sprintf("%s: line %d is neither NAME=value nor a comment, and is left out", name, skipped[0]))
		}
		maps.Copy(values, read)
		sources = append(sources, name)
	}
	out := []api.EnvironmentVariable{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		value := secret.Text(values[key])
		if fromShell, ok := os.LookupEnv(key); ok {
			value = secret.Text(fromShell)
		}
		if err := cmp.Or(environ.CheckKey(key), environ.CheckValue(key, value)); err != nil {
			message, _ := fault.Public(err)
			warnings = append(warnings, message+"; it is left out")
			continue
		}
		out = append(out, api.EnvironmentVariable{Key: key, Value: value, Secret: true})
	}
	s.sources = strings.Join(sources, ", ")
	if text := strings.Join(warnings, "\n"); text != s.warned {
		for _, warning := range warnings {
			fmt.Fprintf(s.out, "%s %s\n", s.cfg.Style.Warn("warning"), warning)
		}
		s.warned = text
	}
	return out
}

// commandEnv is the environment of [dev] command: the shell's, and what
// functions get.
func (s *session) commandEnv(result *build.Result) []string {
	env := os.Environ()
	for _, v := range s.environment(result) {
		env = append(env, v.Key+"="+string(v.Value))
	}
	return env
}

func sameVariable(a, b api.EnvironmentVariable) bool { return a.Key == b.Key && a.Value == b.Value }

// secretKey is the key that seals variables in the data folder's store.
func secretKey(dataDir string) (secret.Text, error) {
	return keptSecret(filepath.Join(dataDir, "secret.key"), secret.Generate)
}

// callbackSecret is what callbacks are signed with unless somebody set something
// else. Receivers read it from the data folder.
func callbackSecret(dataDir string) (secret.Text, error) {
	return keptSecret(filepath.Join(dataDir, "callback.secret"), callback.NewSecret)
}

// keptSecret is the secret in a file. It is made once, for the owner's eyes only.
func keptSecret(path string, generate func() (secret.Text, error)) (secret.Text, error) {
	unusable := func(err error) error {
		return fault.Wrap(err, fault.Invalid, "the secret %s cannot be used; choose another data folder with --data", path)
	}
	if data, err := os.ReadFile(path); err == nil {
		return secret.Text(strings.TrimSpace(string(data))), nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", unusable(err)
	}
	made, err := generate()
	if err != nil {
		return "", err
	}
	// Whole or not at all, so that a run that is stopped here leaves no half of it.
	half := path + ".new"
	if err := os.WriteFile(half, []byte(string(made)+"\n"), 0o600); err != nil {
		return "", unusable(err)
	}
	if err := os.Rename(half, path); err != nil {
		return "", unusable(err)
	}
	return made, nil
}
