package nextjs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/shared/artifact"
)

// What the adapter requires of Next, see adapter/*.cjs.
var (
	needed = map[router][]string{
		pagesRouter: {"next/dist/server/api-utils/node/api-resolver"},
		appRouter:   {},
	}
	neededByAll   = []string{"@next/env", "next/dist/shared/lib/router/utils/route-regex", "next/dist/shared/lib/router/utils/route-matcher"}
	neededByParts = []string{ // by route handlers that do not serve a request by themselves
		"next/dist/server/base-http/node", "next/dist/server/web/spec-extension/adapters/next-request",
		"next/dist/server/send-response", "next/dist/server/lib/incremental-cache", "next/dist/server/lib/node-fs-methods",
	}
)

// environment are the files that next start reads variables from;
// localEnvironment those of them that are meant for one machine. They are kept
// out of version control because they hold secrets, so no deploy has them.
var (
	environment      = []string{".env", ".env.production"}
	localEnvironment = []string{".env.local", ".env.production.local"}
)

// localEnvironment tells whoever deploys from a machine that has such files.
func (s *site) localEnvironment() {
	if s.Dev {
		return
	}
	for _, name := range localEnvironment {
		if _, err := os.Stat(filepath.Join(s.Root, name)); err == nil {
			s.result.Problems = append(s.result.Problems, problem.Warnf(problem.Position{File: name},
				"is for this machine only and is left out of deploys, so functions will not see its variables; what they need goes into .env or .env.production"))
		}
	}
}

// traceShared finds what the adapter needs of Next, for each router in use.
func (s *site) traceShared(ctx context.Context) error {
	s.shared.next = map[router][]string{}
	for _, r := range s.routes {
		if s.shared.next[r.router] != nil {
			continue
		}
		modules := slices.Concat(neededByAll, needed[r.router])
		if r.router == appRouter && !s.config.WholeHandlers {
			modules = append(modules, neededByParts...)
		}
		var answer struct{ Files []string }
		if err := s.ask(ctx, &answer, append([]string{"trace", s.Root}, modules...)...); err != nil {
			return err
		}
		s.shared.next[r.router] = answer.Files
	}
	return nil
}

// files are those of a function's artifact.
func (s *site) files(p planned) ([]artifact.File, error) {
	compiled := s.dist("server/" + p.route.file)
	paths := slices.Clone(s.shared.next[p.route.router])
	traced, err := tracedBy(compiled)
	if err != nil {
		return nil, err
	}
	paths = append(paths, traced...)
	if s.shared.instrumentation {
		if traced, err = tracedBy(s.dist("server/instrumentation.js")); err != nil {
			return nil, err
		}
		paths = append(paths, traced...)
	}
	if p.route.router == appRouter {
		for _, name := range s.shared.manifests {
			paths = append(paths, filepath.Join(s.Root, filepath.FromSlash(name)))
		}
	}
	names := append(slices.Clone(environment), "package.json")
	if s.Dev {
		names = append(names, localEnvironment...)
	}
	for _, name := range names {
		paths = append(paths, filepath.Join(s.Root, name))
	}
	return s.place(p, paths)
}

// tracedBy reads which files a compiled file needs, itself included, absolute.
// Next finds them and writes them down beside it.
func tracedBy(compiled string) ([]string, error) {
	data, err := os.ReadFile(compiled + ".nft.json")
	if err != nil {
		return nil, unexpected(err)
	}
	var trace struct{ Files []string }
	if err := json.Unmarshal(data, &trace); err != nil {
		return nil, unexpected(fmt.Errorf("%s.nft.json: %w", filepath.Base(compiled), err))
	}
	out := []string{compiled}
	for _, name := range trace.Files {
		out = append(out, filepath.Join(filepath.Dir(compiled), filepath.FromSlash(name)))
	}
	return out, nil
}

// place gives each file its place in the artifact: the one that it has on
// disk, below the deepest folder that holds them all. In a monorepo that is
// above the site. Links stay links, as package managers that link rely on it.
func (s *site) place(p planned, paths []string) ([]artifact.File, error) {
	real, links := map[string]string{}, map[string]string{}
	for _, path := range paths {
		if err := follow(path, real, links); err != nil {
			return nil, err
		}
	}
	base := s.Root
	for path := range real {
		for !within(base, path) {
			base = filepath.Dir(base)
		}
	}
	for link, target := range links {
		for !within(base, link) || !within(base, target) {
			base = filepath.Dir(base)
		}
	}
	rel := func(path string) string {
		out, err := filepath.Rel(base, path)
		if err != nil {
			return filepath.Base(path) // cannot be: base is above it
		}
		return filepath.ToSlash(out)
	}
	files, err := s.adapterFiles(p, rel(s.Root))
	if err != nil {
		return nil, err
	}
	for path := range real {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files = append(files, artifact.File{Path: rel(path), Data: data, Executable: info.Mode()&0o111 != 0})
	}
	for link, target := range links {
		to, err := filepath.Rel(filepath.Dir(link), target)
		if err != nil {
			return nil, err
		}
		files = append(files, artifact.File{Path: rel(link), Link: filepath.ToSlash(to)})
	}
	return files, nil
}

// follow walks down a path. It keeps the links on the way, and the file at the
// end under its real path; folders and files that are not there are left out,
// as traces list some.
func follow(path string, real, links map[string]string) error {
	at := string(filepath.Separator)
	parts := strings.Split(strings.Trim(filepath.Clean(path), string(filepath.Separator)), string(filepath.Separator))
	for hops := 0; len(parts) > 0; {
		next := filepath.Join(at, parts[0])
		info, err := os.Lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			if hops++; hops > 40 {
				return fmt.Errorf("%s: too many links", path)
			}
			target, err := os.Readlink(next)
			if err != nil {
				return err
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(at, target)
			}
			links[next] = target
			parts = append(strings.Split(strings.Trim(target, string(filepath.Separator)), string(filepath.Separator)), parts[1:]...)
			at = string(filepath.Separator)
			continue
		case info.Mode().IsRegular() && len(parts) == 1:
			real[next] = next
		}
		at, parts = next, parts[1:]
	}
	return nil
}

// within reports whether path is dir or lies below it.
func within(dir, path string) bool {
	return path == dir || dir == string(filepath.Separator) || strings.HasPrefix(path, dir+string(filepath.Separator))
}
