// Package archive takes zips that were made elsewhere as functions, as they
// are: not a byte is changed, so the digest of the artifact is that of the file.
//
// A zip may hold what Netlify's own bundler, zip-it-and-ship-it, makes of a
// function: of JavaScript with a handler, <name>.js at the root; of a
// (Request, Context) function, an entry point that brings Netlify's bootstrap
// and is a Lambda handler to us; of a program, an executable called bootstrap.
// Zips made by hand look like the first or the last.
//
// What the source said about itself is in the bundler's manifest, and usually
// still in the bundled code, where it is read without running it.
package archive

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build/executable"
	"github.com/nightshift/nightshift/cli/internal/build/insource"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/build/setting"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
)

// maxSource bounds the code that is analysed, in bytes. The bundles of Netlify
// are far below; a file that is larger is no source that anybody wrote.
const maxSource = 16 << 20

// Input is what is read.
type Input struct {
	Path   string // of the zip
	Source string // how problems call it
	Target executable.Target
	// Described says that a manifest has the settings, so that what the code
	// does not tell is not missed.
	Described bool
}

// Output is a zip that is a function.
type Output struct {
	Zip      []byte
	Digest   string
	Runtime  string // see function.Function
	API      function.API
	Entry    string
	Settings setting.Set // what is found in the code
	Problems []problem.Problem
}

// Read reads a zip. A problem that is an error leaves Zip empty.
func Read(in Input) Output {
	data, err := read(in.Path)
	if err == nil {
		err = artifact.Check(bytes.NewReader(data), int64(len(data)), artifact.MaxUnpacked)
	}
	if err != nil {
		return failed(in, "cannot be deployed: %s", reason(err))
	}
	contents, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return failed(in, "cannot be deployed: %s", reason(err))
	}
	r := reader{in: in, files: map[string]*zip.File{}}
	for _, f := range contents.File {
		if f.Mode().IsRegular() {
			r.files[f.Name] = f
		}
	}
	out := r.find(data)
	if problem.Errors(out.Problems) == 0 {
		sum := sha256.Sum256(data)
		out.Zip, out.Digest = data, hex.EncodeToString(sum[:])
	}
	return out
}

// read reads a file that is not too large to be an artifact.
func read(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > artifact.MaxSize {
		return nil, fault.New(fault.TooLarge, "it has %d MiB, and %d MiB are allowed; leave out what the function does not need", info.Size()>>20, artifact.MaxSize>>20)
	}
	return os.ReadFile(name)
}

// reason is the part of an error that is for the owner of the zip.
func reason(err error) string {
	message, _ := fault.Public(err)
	if fault.KindOf(err) == fault.Internal {
		message = err.Error()
	}
	return strings.TrimPrefix(message, "unpacking: ")
}

func failed(in Input, format string, args ...any) Output {
	return Output{Problems: []problem.Problem{problem.Errorf(problem.Position{File: in.Source}, format, args...)}}
}

// reader looks into one zip.
type reader struct {
	in    Input
	files map[string]*zip.File
}

// find tells what is in the zip by what it starts with.
func (r *reader) find(data []byte) Output {
	name := strings.TrimSuffix(filepath.Base(r.in.Path), ".zip")
	runtime, entry, err := artifact.Inspect(bytes.NewReader(data), int64(len(data)), name)
	switch {
	case err != nil:
		return failed(r.in, "cannot be deployed: %s", reason(err))
	case runtime == "provided":
		return r.program(r.files[entry])
	case entry == artifact.NetlifyEntry:
		return r.bootstrapped()
	default:
		return r.handler(r.files[entry])
	}
}

// program is a zip with an executable, or with a script that starts one.
func (r *reader) program(f *zip.File) Output {
	out := Output{Runtime: "provided", Entry: f.Name}
	data, err := contents(f)
	if err != nil {
		return failed(r.in, "cannot be deployed: %s", reason(err))
	}
	if bytes.HasPrefix(data, []byte("#!")) {
		return out
	}
	warning, err := executable.Check(data, r.in.Target)
	if err != nil {
		return failed(r.in, "cannot be deployed: %s in it %v", f.Name, err)
	}
	if warning != "" {
		out.Problems = append(out.Problems, problem.Warnf(problem.Position{File: r.in.Source}, "%s in it %s", f.Name, warning))
	}
	return out
}

// entryCall is how Netlify's entry point names the author's own file.
var entryCall = regexp.MustCompile(`getLambdaHandler\(['"]\./(.+?)['"]\)`)

// bootstrapped is a zip that brings Netlify's bootstrap.
func (r *reader) bootstrapped() Output {
	out := Output{Runtime: "node", API: function.APIv1, Entry: artifact.NetlifyEntry}
	var module insource.Module
	entry, err := contents(r.files[artifact.NetlifyEntry])
	known := err == nil
	if known {
		m := entryCall.FindSubmatch(entry)
		known = m != nil && r.files[string(m[1])] != nil
		if known {
			module, known = r.analyze(r.files[string(m[1])])
		}
	}
	if known {
		out.Settings = module.Settings
	}
	if !known && !r.in.Described {
		out.Problems = append(out.Problems, problem.Warnf(problem.Position{File: r.in.Source},
			"what its source said in `config` (path, schedule, background, …) cannot be read from the bundled code, so it is served as a plain function; bundle it with a manifest (zip-it-and-ship-it --manifest) and put manifest.json beside it, or write the settings in netlify.toml"))
	}
	return out
}

// scheduleCall is what bundlers make of a use of the schedule helper.
var scheduleCall = regexp.MustCompile(`\bschedule\d*\)?\(`)

// handler is a zip with a handler of Lambda's form or, made by hand, with a
// default export.
func (r *reader) handler(f *zip.File) Output {
	out := Output{Runtime: "node", API: function.APIv1, Entry: f.Name}
	if module, ok := r.analyze(f); ok && module.API != 0 {
		out.API, out.Settings = module.API, module.Settings
	}
	if r.in.Described || len(out.Settings) > 0 {
		return out
	}
	if text, err := contents(f); err == nil && bytes.Contains(text, []byte("@netlify/functions")) && scheduleCall.Match(text) {
		out.Problems = append(out.Problems, problem.Warnf(problem.Position{File: r.in.Source},
			"seems to use schedule(), and its cron expression cannot be read from bundled code, so it is served as a plain function; bundle it with a manifest (zip-it-and-ship-it --manifest) and put manifest.json beside it, or write schedule in netlify.toml"))
	}
	return out
}

// analyze reads what code says about itself. Bundlers write what authors would
// not, so code that cannot be read is no error.
func (r *reader) analyze(f *zip.File) (insource.Module, bool) {
	text, err := contents(f)
	if err != nil {
		return insource.Module{}, false
	}
	module := insource.Analyze(path.Join(r.in.Source, f.Name), text)
	return module, problem.Errors(module.Problems) == 0
}

// contents reads a file of the zip.
func contents(f *zip.File) ([]byte, error) {
	if f.UncompressedSize64 > maxSource && f.Name != artifact.Program {
		return nil, fmt.Errorf("%s is too large to be read", f.Name)
	}
	in, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(in)
}
