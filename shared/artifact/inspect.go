package artifact

import (
	"archive/zip"
	"io"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
)

// What a zip may start with, beside <name>.js and its like.
const (
	// Program is the executable that a zip of the runtime "provided" starts with.
	Program = "bootstrap"
	// NetlifyEntry is the entry that Netlify's bundler gives to functions that
	// take a Request. It exports a handler in Lambda's streaming form.
	NetlifyEntry = function.ReservedName + ".mjs"
)

// extensions is the order in which Lambda looks for the file of a handler.
var extensions = []string{".js", ".mjs", ".cjs"}

// Inspect tells what the zip of a function starts with that was made elsewhere,
// by what stands at its root: an executable called bootstrap (runtime
// "provided"), Netlify's entry point, or <name>.js, .mjs or .cjs (runtime
// "node"). Nothing of it: fault.Invalid. It does not [Check] the zip.
func Inspect(from io.ReaderAt, size int64, name string) (runtime, entry string, err error) {
	archive, err := zip.NewReader(from, size)
	if err != nil {
		return "", "", fault.Wrap(err, fault.Invalid, "this is not a complete zip")
	}
	files := map[string]*zip.File{}
	for _, f := range archive.File {
		if f.Mode().IsRegular() {
			files[f.Name] = f
		}
	}
	if f := files[Program]; f != nil {
		if f.Mode()&0o100 == 0 {
			return "", "", fault.New(fault.Invalid, "%s in the zip is not executable; chmod +x it and zip it again with a tool that keeps file modes", Program)
		}
		return "provided", Program, nil
	}
	if files[NetlifyEntry] != nil {
		return "node", NetlifyEntry, nil
	}
	for _, ext := range extensions {
		if files[name+ext] != nil {
			return "node", name + ext, nil
		}
	}
	return "", "", fault.New(fault.Invalid, "the zip has nothing to start: at its root there must be %s.js (a handler), %s (from Netlify's bundler) or %s (a program)",
		name, NetlifyEntry, Program)
}

// cannotDeploy says which function it is that has nothing to start.
func cannotDeploy(err error, name string) error {
	if !fault.Is(err, fault.Invalid) {
		return err
	}
	message, _ := fault.Public(err)
	return fault.Wrap(err, fault.Invalid, "function %s cannot be deployed: %s", name, message)
}
