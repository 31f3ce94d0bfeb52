package archive_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build/archive"
	"github.com/nightshift/nightshift/cli/internal/build/executable"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/function"
)

// pack makes a zip. A name that ends with "*" is that of an executable.
func pack(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		plain, isProgram := strings.CutSuffix(name, "*")
		header := &zip.FileHeader{Name: plain, Method: zip.Deflate}
		header.SetMode(0o644)
		if isProgram {
			header.SetMode(0o755)
		}
		entry, err := w.CreateHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := entry.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// read reads a zip as netlify/functions/<name>.zip.
func read(t *testing.T, name string, data []byte, described bool) archive.Output {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".zip")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return archive.Read(archive.Input{
		Path: path, Source: "netlify/functions/" + name + ".zip", Described: described, Target: executable.Target{OS: "linux", Arch: "amd64"},
	})
}

// entryPoint is what Netlify's bundler writes for a (Request, Context) function.
const entryPoint = `import * as bootstrap from './___netlify-bootstrap.mjs';export const handler = bootstrap.getLambdaHandler('./f.mjs')`

func TestRead(t *testing.T) {
	t.Parallel()
	const v2 = "___netlify-entry-point.mjs"
	tests := map[string]struct {
		name      string // default f
		files     map[string]string
		described bool
		runtime   string
		api       function.API
		entry     string
		settings  string // key=value, sorted
		warning   string // a part
	}{
		"handler":               {files: map[string]string{"f.js": "exports.handler = async () => {}", "lib.js": ""}, runtime: "node", api: 1, entry: "f.js"},
		"handler as a module":   {files: map[string]string{"f.mjs": "export const handler = async () => {}"}, runtime: "node", api: 1, entry: "f.mjs"},
		"handler elsewhere":     {files: map[string]string{"f.js": "module.exports = require('./src/f.js')", "src/f.js": "exports.handler = 1"}, runtime: "node", api: 1, entry: "f.js"},
		"js before mjs":         {files: map[string]string{"f.js": "exports.handler = 1", "f.mjs": "export const handler = 1"}, runtime: "node", api: 1, entry: "f.js"},
		"a dot in the name":     {name: "a.b", files: map[string]string{"a.b.js": "exports.handler = 1"}, runtime: "node", api: 1, entry: "a.b.js"},
		"code that is odd":      {files: map[string]string{"f.js": "with (x) { } handler ="}, runtime: "node", api: 1, entry: "f.js"},
		"default export":        {files: map[string]string{"f.mjs": "export default () => {}\nexport const config = { path: '/x' }"}, runtime: "node", api: 2, entry: "f.mjs", settings: "path=/x"},
		"schedule, readable":    {files: map[string]string{"f.js": "const { schedule } = require('@netlify/functions')\nexports.handler = schedule('@daily', async () => {})"}, runtime: "node", api: 1, entry: "f.js", settings: "schedule=@daily"},
		"schedule, bundled":     {files: map[string]string{"f.js": "// node_modules/@netlify/functions/dist/main.js\nvar schedule = (c, h) => h;\nmodule.exports = { handler: schedule('@daily', async () => {}) }"}, runtime: "node", api: 1, entry: "f.js", warning: "seems to use schedule()"},
		"schedule, described":   {files: map[string]string{"f.js": "// @netlify/functions\nvar schedule = (c, h) => h;\nmodule.exports = { handler: schedule('@daily', async () => {}) }"}, described: true, runtime: "node", api: 1, entry: "f.js"},
		"bootstrap":             {files: map[string]string{v2: entryPoint, "f.mjs": "var config = { schedule: '@daily', retries: 5 };\nvar d = () => {};\nexport { config, d as default }"}, runtime: "node", api: 1, entry: v2, settings: "retries=5 schedule=@daily"},
		"bootstrap, unreadable": {files: map[string]string{v2: entryPoint, "f.mjs": "export default () => {}\nexport const config = { schedule: process.env.X }"}, runtime: "node", api: 1, entry: v2, warning: "cannot be read from the bundled code"},
		"bootstrap, other file": {files: map[string]string{v2: "export { handler } from './x.mjs'"}, runtime: "node", api: 1, entry: v2, warning: "cannot be read from the bundled code"},
		"bootstrap, described":  {files: map[string]string{v2: "export { handler } from './x.mjs'"}, described: true, runtime: "node", api: 1, entry: v2},
		"script":                {files: map[string]string{"bootstrap*": "#!/bin/sh\nexec ./tool", "f.js": ""}, runtime: "provided", entry: "bootstrap"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.name == "" {
				test.name = "f"
			}
			data := pack(t, test.files)
			out := read(t, test.name, data, test.described)
			if out.Runtime != test.runtime || out.API != test.api || out.Entry != test.entry {
				t.Errorf("Read = %s, API %d, %s; want %s, API %d, %s", out.Runtime, out.API, out.Entry, test.runtime, test.api, test.entry)
			}
			sum := sha256.Sum256(data)
			if !bytes.Equal(out.Zip, data) || out.Digest != hex.EncodeToString(sum[:]) {
				t.Errorf("Read gave %d bytes with the digest %s, want the %d of the file as they are", len(out.Zip), out.Digest, len(data))
			}
			var settings []string
			for _, key := range slices.Sorted(maps.Keys(out.Settings)) {
				settings = append(settings, strings.Trim(key+"="+text(out.Settings[key].Data), " "))
			}
			if got := strings.Join(settings, " "); got != test.settings {
				t.Errorf("settings %q, want %q", got, test.settings)
			}
			var warnings string
			for _, p := range out.Problems {
				warnings += p.Message
			}
			if !strings.Contains(warnings, test.warning) || (warnings == "") != (test.warning == "") {
				t.Errorf("problems %q, want %q", warnings, test.warning)
			}
		})
	}
}

func text(v any) string {
	if n, ok := v.(float64); ok {
		return string(rune('0' + int(n)))
	}
	s, _ := v.(string)
	return s
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	good := pack(t, map[string]string{"f.js": strings.Repeat("exports.handler = 1\n", 50)})
	flipped := bytes.Clone(good)
	flipped[40] ^= 0xff
	tests := map[string]struct {
		data []byte
		want string
	}{
		"no zip":            {[]byte("hello"), "cannot be deployed: this is not a complete zip"},
		"empty":             {nil, "cannot be deployed: this is not a complete zip"},
		"cut short":         {good[:len(good)-10], "cannot be deployed: this is not a complete zip"},
		"damaged":           {flipped, "the zip is damaged"},
		"leads out":         {pack(t, map[string]string{"f.js": "", "../x": ""}), "cannot be deployed: the path \"../x\" cannot stand in an artifact"},
		"nothing to start":  {pack(t, map[string]string{"g.js": "", "lib/f.js": ""}), "cannot be deployed: the zip has nothing to start: at its root there must be f.js (a handler), ___netlify-entry-point.mjs (from Netlify's bundler) or bootstrap (a program)"},
		"no file mode":      {pack(t, map[string]string{"bootstrap": "\x7fELF"}), "bootstrap in the zip is not executable; chmod +x it"},
		"damaged program":   {pack(t, map[string]string{"bootstrap*": "\x7fELF"}), "bootstrap in it starts as a Linux program does, but is damaged"},
		"program for macOS": {pack(t, map[string]string{"bootstrap*": "\xcf\xfa\xed\xfe"}), "bootstrap in it is a program for macOS, and functions run on linux/amd64"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := read(t, "f", test.data, false)
			if out.Zip != nil || len(out.Problems) != 1 || out.Problems[0].Warning {
				t.Fatalf("Read = %d bytes, %v; want one error", len(out.Zip), out.Problems)
			}
			if got := out.Problems[0].Error(); !strings.HasPrefix(got, "netlify/functions/f.zip: ") || !strings.Contains(got, test.want) {
				t.Errorf("problem %q, want %q", got, test.want)
			}
		})
	}
}

func TestReadRefusesWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f.zip")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, artifact.MaxSize+1); err != nil { // a hole: it takes no room
		t.Fatal(err)
	}
	out := archive.Read(archive.Input{Path: path, Source: "f.zip"})
	if len(out.Problems) != 1 || !strings.Contains(out.Problems[0].Error(), "it has 250 MiB, and 250 MiB are allowed") {
		t.Errorf("problems %v, want that it is too large", out.Problems)
	}
}
