package bundle

import (
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
	"github.com/nightshift/nightshift/cli/internal/build/insource"
	"github.com/nightshift/nightshift/shared/artifact"
)

// Code finds files beside itself by __dirname and import.meta.url. Bundling
// moves code into one file, so three things keep such paths right:
//
//   - what a file of the site names beside itself is packed, at its place;
//   - a file of the site that is bundled into another directory gets its own
//     place put in, instead of that of the bundle;
//   - a package that names files beside itself is copied instead of bundled.
//
// Only paths that are written out count: join(__dirname, "data", "x.json"),
// new URL("./x.json", import.meta.url) and the like.

const (
	dirName = `(__dirname|import\.meta\.dirname|process\.cwd\(\))`
	quoted  = "['\"`]([^'\"`$\\s][^'\"`$\\n]*)['\"`]"
)

var (
	besideURL    = regexp.MustCompile(`new\s+URL\(\s*` + quoted + `\s*,\s*import\.meta\.url\s*\)`)
	besideJoin   = regexp.MustCompile(`(?:join|resolve)\(\s*` + dirName + `\s*((?:,\s*` + quoted + `\s*)+),?\s*\)`)
	besidePlus   = regexp.MustCompile(dirName + `\s*\+\s*['"` + "`" + `](/[^'"` + "`" + `$\n]+)['"` + "`" + `]`)
	besideFormat = regexp.MustCompile(`\$\{` + dirName + `\}(/[^` + "`" + `$\n]+)` + "`")
	oneQuoted    = regexp.MustCompile(quoted)
)

// beside lists the paths that code in a file names beside itself, or below the
// working directory, which is the site.
func beside(root, file, code string) []string {
	if !strings.Contains(code, "__dirname") && !strings.Contains(code, "import.meta") && !strings.Contains(code, "process.cwd()") {
		return nil
	}
	from := func(anchor string) string {
		if anchor == "process.cwd()" {
			return root
		}
		return filepath.Dir(file)
	}
	var out []string
	for _, m := range besideURL.FindAllStringSubmatch(code, -1) {
		if !strings.Contains(m[1], ":") { // no URL of its own
			out = append(out, filepath.Join(filepath.Dir(file), filepath.FromSlash(m[1])))
		}
	}
	for _, m := range besideJoin.FindAllStringSubmatch(code, -1) {
		parts := []string{from(m[1])}
		for _, part := range oneQuoted.FindAllStringSubmatch(m[2], -1) {
			parts = append(parts, filepath.FromSlash(part[1]))
		}
		out = append(out, filepath.Join(parts...))
	}
	for _, pattern := range []*regexp.Regexp{besidePlus, besideFormat} {
		for _, m := range pattern.FindAllStringSubmatch(code, -1) {
			out = append(out, filepath.Join(from(m[1]), filepath.FromSlash(m[2])))
		}
	}
	return out
}

// bundled are the files that went into a bundle, absolute.
func bundled(root, metafile string) []string {
	var meta struct {
		Inputs map[string]json.RawMessage `json:"inputs"`
	}
	if json.Unmarshal([]byte(metafile), &meta) != nil {
		return nil
	}
	var out []string
	for name := range meta.Inputs {
		if !strings.Contains(name, ":") && !strings.HasPrefix(name, "<") {
			out = append(out, filepath.Join(root, filepath.FromSlash(name)))
		}
	}
	slices.Sort(out)
	return out
}

// neighbours are the files that the site's own code names beside itself, and
// the packages whose code does.
func neighbours(in Input, metafile string) (files []artifact.File, inputs, packages []string) {
	all := bundled(in.Root, metafile)
	seen := map[string]bool{}
	for _, file := range all {
		seen[file] = true // code that is in the bundle need not be there twice
	}
	for _, file := range all {
		code, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		slashed := filepath.ToSlash(file)
		at := strings.LastIndex(slashed, "/node_modules/")
		for _, name := range beside(in.Root, file, string(code)) {
			if at >= 0 {
				pkg := packageOf(slashed[at+len("/node_modules/"):])
				dir := filepath.FromSlash(slashed[:at+len("/node_modules/")] + pkg)
				if info, err := os.Stat(name); err == nil && !seen[name] && name != dir && within(dir, name) && (info.IsDir() || filepath.Base(name) != "package.json") && !slices.Contains(packages, pkg) {
					packages = append(packages, pkg)
				}
				continue
			}
			for _, found := range filesAt(in.Root, name) {
				if seen[found] {
					continue
				}
				seen[found] = true
				if f, err := readFile(found, slashRel(in.Root, found)); err == nil {
					files, inputs = append(files, f), append(inputs, found)
				}
			}
		}
	}
	return files, inputs, packages
}

// filesAt is a file of the site, or what is in a directory of it.
func filesAt(root, name string) []string {
	info, err := os.Stat(name)
	switch {
	case err != nil || !within(root, name) || strings.Contains(filepath.ToSlash(name)+"/", "/node_modules/"):
		return nil
	case info.Mode().IsRegular():
		return []string{name}
	case !info.IsDir():
		return nil
	}
	var out []string
	_ = filepath.WalkDir(name, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fs.SkipDir // what cannot be read is missing at run time, where it is said
		case entry.IsDir() && (entry.Name() == "node_modules" || strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case entry.Type().IsRegular():
			out = append(out, file)
		}
		return nil
	})
	return out
}

// within reports whether a path lies below a directory, without being it or one above.
func within(dir, name string) bool {
	rel, err := filepath.Rel(dir, name)
	return err == nil && rel != "." && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

var (
	metaPlace   = regexp.MustCompile(`\bimport\.meta\.(url|dirname|filename)\b`)
	globalPlace = regexp.MustCompile(`(^|[^\w$.'"` + "`" + `])__(dirname|filename)\b`)
	declared    = regexp.MustCompile(`\b(?:const|let|var|function)\s+(?:\{[^}]*)?__(?:dirname|filename)\b`)
)

// keepPlaces puts the place of a file of the site into its code where the bundle is elsewhere.
func keepPlaces(in Input, commonJS bool) api.Plugin {
	here := filepath.Dir(in.Source)
	return api.Plugin{Name: "places", Setup: func(build api.PluginBuild) {
		build.OnLoad(api.OnLoadOptions{Filter: `\.[cm]?[jt]sx?$`, Namespace: "file"}, func(args api.OnLoadArgs) (api.OnLoadResult, error) {
			elsewhere := filepath.Dir(args.Path) != here
			if !elsewhere && !commonJS || strings.Contains(filepath.ToSlash(args.Path), "/node_modules/") {
				return api.OnLoadResult{}, nil
			}
			data, err := os.ReadFile(args.Path)
			if err != nil {
				return api.OnLoadResult{}, nil // esbuild says so in its own words
			}
			code := string(data)
			meta := func(code string) string {
				return metaPlace.ReplaceAllStringFunc(code, func(found string) string {
					return placeOf(here, args.Path, strings.TrimPrefix(found, "import.meta."), commonJS)
				})
			}
			global := func(code string) string {
				if !elsewhere || declared.MatchString(code) {
					return code
				}
				return globalPlace.ReplaceAllStringFunc(code, func(found string) string {
					before, name, _ := strings.Cut(found, "__")
					return before + placeOf(here, args.Path, name, commonJS)
				})
			}
			var moved string
			if commonJS { // what is put in must not be replaced again
				moved = meta(global(code))
			} else {
				moved = global(meta(code))
			}
			if moved == code {
				return api.OnLoadResult{}, nil
			}
			return api.OnLoadResult{Contents: &moved, Loader: insource.Loader(filepath.Ext(args.Path)), ResolveDir: filepath.Dir(args.Path)}, nil
		})
	}}
}

// placeOf is code for the url, filename or dirname of a file, as seen from the bundle.
func placeOf(here, file, what string, commonJS bool) string {
	if what == "dirname" {
		file = filepath.Dir(file)
	}
	rel := slashRel(here, file)
	if !commonJS {
		// By a name of the banner: import.meta would turn a CommonJS file into an ES module.
		at := "new URL(" + strconv.Quote(path.Join(".", rel)) + ", __nightshift_url)"
		if what == "url" {
			return at + ".href"
		}
		return "__nightshift_fileURLToPath(" + at + ")"
	}
	at := `require("node:path").join(__dirname, ` + strconv.Quote(rel) + `)`
	if what == "url" {
		return `require("node:url").pathToFileURL(` + at + `).href`
	}
	return at
}
