package nextjs

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/shared/fault"
)

// router is the half of Next that a route belongs to.
type router string

const (
	pagesRouter router = "pages" // pages/api: (req, res)
	appRouter   router = "app"   // app/**/route: (Request) => Response
)

// route is one API route or route handler file.
type route struct {
	router router
	page   string // as Next names it: /api/items/[id]
	file   string // compiled, below <distDir>/server
	source string // relative to the site, with slashes
	edge   bool   // compiled for Next's edge runtime
	// prerendered says that Next ran it during the build and serves the result.
	prerendered bool
}

// shared are the parts of an artifact that all routes of a site have.
type shared struct {
	preview         json.RawMessage // keys of preview and draft mode
	buildID         string
	instrumentation bool
	manifests       []string            // that compiled route handlers read, relative to the site
	next            map[router][]string // what the adapter needs of Next, absolute
}

// readManifests reads what next build wrote about the routes.
func (s *site) readManifests() error {
	var pages, app, appRoutes map[string]string
	var routes struct {
		DynamicRoutes []struct{ Page string }
	}
	var required struct{ Files []string }
	var prerender struct {
		Routes, DynamicRoutes map[string]json.RawMessage
		Preview               json.RawMessage
	}
	var middleware struct{ Functions map[string]json.RawMessage }
	for name, into := range map[string]any{
		"server/pages-manifest.json":      &pages,
		"server/app-paths-manifest.json":  &app,
		"app-path-routes-manifest.json":   &appRoutes,
		"routes-manifest.json":            &routes,
		"required-server-files.json":      &required,
		"prerender-manifest.json":         &prerender,
		"server/middleware-manifest.json": &middleware,
	} {
		if err := s.readManifest(name, into); err != nil {
			return err
		}
	}
	s.shared.preview = prerender.Preview
	if len(s.shared.preview) == 0 { // Next 16 keeps them apart
		if err := s.readManifest("server/preview-props.json", &s.shared.preview); err != nil {
			return err
		}
	}
	id, err := os.ReadFile(s.dist("BUILD_ID"))
	if err != nil {
		return unexpected(err)
	}
	s.shared.buildID = strings.TrimSpace(string(id))
	s.shared.instrumentation = exists(s.dist("server/instrumentation.js"))
	s.shared.manifests = required.Files

	for page, file := range pages {
		if page == "/api" || strings.HasPrefix(page, "/api/") {
			_, edge := middleware.Functions[page]
			s.add(route{router: pagesRouter, page: page, file: file, edge: edge}, page)
		}
	}
	for key, file := range app {
		page, ok := appRoutes[key]
		if !ok || !strings.HasSuffix(key, "/route") {
			continue
		}
		_, edge := middleware.Functions[key]
		_, static := prerender.Routes[page]
		_, partly := prerender.DynamicRoutes[page]
		s.add(route{router: appRouter, page: page, file: file, edge: edge, prerendered: static || partly}, key)
	}
	order := map[string]int{}
	for i, r := range routes.DynamicRoutes {
		order[r.Page] = i + 1 // 0 is a route without parameters: those come first
	}
	slices.SortFunc(s.routes, func(a, b route) int {
		return cmp.Or(cmp.Compare(order[a.page], order[b.page]), cmp.Compare(a.page, b.page))
	})
	return nil
}

// add keeps a route whose source is found; key is its file without extension.
// Others were made by Next from files of another kind: icons, sitemaps.
func (s *site) add(r route, key string) {
	for _, base := range []string{string(r.router), "src/" + string(r.router)} {
		for _, ext := range s.config.PageExtensions {
			for _, source := range []string{base + key + "." + ext, base + key + "/index." + ext} {
				if exists(filepath.Join(s.Root, filepath.FromSlash(source))) {
					r.source = source
					s.routes = append(s.routes, r)
					return
				}
			}
		}
	}
}

// dist is a path in the folder that next build writes to.
func (s *site) dist(rel string) string {
	return filepath.Join(s.Root, filepath.FromSlash(s.config.DistDir), filepath.FromSlash(rel))
}

// readManifest reads a file of next build; one that is not there says nothing.
func (s *site) readManifest(name string, into any) error {
	data, err := os.ReadFile(s.dist(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return unexpected(fmt.Errorf("%s: %w", name, err))
	}
	return nil
}

func unexpected(err error) error {
	return fault.Wrap(err, fault.Invalid, "what next build wrote is not what Next.js %d to %d write: %v", oldest, newest, err)
}

var (
	catchAll         = regexp.MustCompile(`/\[\.\.\.([^\]]*)\]$`)
	optionalCatchAll = regexp.MustCompile(`/\[\[\.\.\.([^\]]*)\]\]$`)
	parameter        = regexp.MustCompile(`/\[([^\]]*)\]`)
	badInName        = regexp.MustCompile(`[^A-Za-z0-9_-]`)
)

// functionName is what Netlify calls the function of a route: /api/items/[id]
// becomes _api_items_id-PARAM-handler.
func functionName(page string, background bool) string {
	name := catchAll.ReplaceAllString(page, "_$1-SPLAT")
	name = optionalCatchAll.ReplaceAllString(name, "-SPLAT")
	name = parameter.ReplaceAllString(name, "_$1-PARAM")
	name = badInName.ReplaceAllString(name, "_")
	if background {
		return name + "-background"
	}
	return name + "-handler"
}

// distinct tells a name that is too long, or that two pages have, from others:
// /api/a.b and /api/a_b are both called _api_a_b.
func distinct(name, page string) string {
	cut := strings.LastIndex(name, "-")
	digest := sha256.Sum256([]byte(page))
	end := "-" + hex.EncodeToString(digest[:4]) + name[cut:]
	return name[:min(cut, maxName-len(end))] + end
}

// maxName bounds the names of functions.
const maxName = 128

// dynamic reports whether a page takes parameters without which it has no path.
func dynamic(page string) bool {
	return strings.Contains(optionalCatchAll.ReplaceAllString(page, ""), "/[")
}

// pattern is the URL pattern of a page. Parameters are numbered, because what
// Next takes for a name need not be one there.
func pattern(basePath, page string) string {
	segments := strings.Split(page, "/")
	params := 0
	isPattern := strings.Contains(page, "/[")
	for i, segment := range segments {
		modifier := ""
		switch {
		case strings.HasPrefix(segment, "[[..."):
			modifier = "*"
		case strings.HasPrefix(segment, "[..."):
			modifier = "+"
		case strings.HasPrefix(segment, "["):
		default:
			segments[i] = escapePath(segment)
			if isPattern {
				segments[i] = escapePattern(segments[i])
			}
			continue
		}
		segments[i] = fmt.Sprintf(":p%d%s", params, modifier)
		params++
	}
	path := strings.Join(segments, "/")
	if isPattern {
		return escapePattern(basePath) + path
	}
	return basePath + path
}

// escapePattern makes text literal in a URL pattern.
func escapePattern(text string) string {
	var b strings.Builder
	for _, r := range text {
		if strings.ContainsRune(`*:{}()?+\`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// ownPath is where a route without parameters is.
func ownPath(basePath, page string) string {
	return basePath + escapePath(optionalCatchAll.ReplaceAllString(page, ""))
}

// escapePath spells a path as browsers send it.
func escapePath(path string) string {
	var b strings.Builder
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c > '~' || strings.IndexByte("\"#<>?`{}^", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
