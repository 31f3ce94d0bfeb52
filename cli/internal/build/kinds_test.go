package build_test

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build"
	"github.com/nightshift/nightshift/cli/internal/build/executable"
)

// zipped is a zip with one file, as text.
func zipped(t *testing.T, name, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	entry, err := w.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := entry.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// program is the header of a static program for the workers, without any code.
func program(t *testing.T) []byte {
	t.Helper()
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	machine, ok := machines[executable.Workers().Arch]
	if !ok {
		t.Fatalf("the test does not know the processor %s", executable.Workers().Arch)
	}
	header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Entry: 1, Ehsize: 64, Phentsize: 56, Shentsize: 64}
	copy(header.Ident[:], "\x7fELF\x02\x01\x01")
	var out bytes.Buffer
	if err := binary.Write(&out, binary.LittleEndian, header); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestKinds builds a site with a function of each kind, in all directories.
func TestKinds(t *testing.T) {
	t.Parallel()
	root := site(t, map[string]string{
		"go.mod":                          "module example.com/site\n\ngo 1.26\n",
		"data/x.txt":                      "x",
		"netlify.toml":                    "[functions.sweep]\nschedule = \"@daily\"\nretries = 0\nincluded_files = [\"data/*\"]\n[functions.packed]\nretries = 1\n",
		"netlify/functions/sweep/main.go": "package main\n\nfunc main() {}\n",
		"netlify/functions/go-background/main.go": "package main\n\nfunc main() {}\n",
		"netlify/functions/packed.zip":            zipped(t, "packed.js", "exports.handler = 1"),
		"netlify/functions/plain.zip":             zipped(t, "plain.js", "exports.handler = 1"),
		"netlify/functions/manifest.json":         `{"version": 1, "functions": [{"name": "packed", "path": "/elsewhere/packed.zip", "schedule": "@hourly", "timeout": 20}]}`,
		"netlify/functions/both.mjs":              "export default () => new Response('user')",
		".netlify/functions-internal/both.mjs":    "export default () => new Response('internal')",
		".netlify/functions-internal/server.mjs":  "export default () => new Response('old')",
		".netlify/functions-internal/ssr.mjs":     "import { readFileSync } from 'node:fs'\nexport default () => new Response(readFileSync('data/x.txt', 'utf8'))",
		".netlify/functions-internal/ssr.json":    `{"version": 1, "config": {"includedFiles": ["data/*"], "timeout": 7, "nodeBundler": "none", "nodeModuleFormat": "esm"}}`,
		".netlify/v1/functions/server.mjs":        "export default () => new Response('new')\nexport const config = { path: '/*', preferStatic: true }",
	})
	if err := os.WriteFile(filepath.Join(root, "netlify/functions/tool.bin"), program(t), 0o644); err != nil {
		t.Fatal(err)
	}
	result := mustBuild(t, root)
	var got []string
	for _, f := range result.Functions {
		archive, err := zip.NewReader(bytes.NewReader(f.Zip), int64(len(f.Zip)))
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		var files []string
		for _, file := range archive.File {
			if strings.HasSuffix(file.Name, ".map") {
				continue
			}
			files = append(files, file.Name)
			if isProgram := file.Name == "bootstrap"; isProgram != (file.Mode()&0o100 != 0) {
				t.Errorf("%s: %s has the mode %v", f.Name, file.Name, file.Mode())
			}
		}
		f.Artifact = ""
		line, err := json.Marshal(f.Function)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(line)+" "+strings.Join(files, ","))
	}
	want := []string{
		`{"name":"both","kind":"sync","api":2,"runtime":"node","entry":"netlify/functions/both.mjs","artifact":"","source":"netlify/functions/both.mjs"} netlify/functions/both.mjs`,
		`{"name":"go-background","kind":"background","api":0,"runtime":"provided","entry":"bootstrap","artifact":"","source":"netlify/functions/go-background/main.go"} bootstrap`,
		`{"name":"packed","kind":"scheduled","api":1,"runtime":"node","entry":"packed.js","artifact":"","source":"netlify/functions/packed.zip","schedule":"@hourly","timeout_ms":20000,"retries":1} packed.js`,
		`{"name":"plain","kind":"sync","api":1,"runtime":"node","entry":"plain.js","artifact":"","source":"netlify/functions/plain.zip"} plain.js`,
		`{"name":"server","kind":"sync","api":2,"runtime":"node","entry":".netlify/v1/functions/server.mjs","artifact":"","source":".netlify/v1/functions/server.mjs","paths":["/*"],"prefer_static":true} .netlify/v1/functions/server.mjs`,
		`{"name":"ssr","kind":"sync","api":2,"runtime":"node","entry":".netlify/functions-internal/ssr.mjs","artifact":"","source":".netlify/functions-internal/ssr.mjs","timeout_ms":7000} .netlify/functions-internal/ssr.mjs,data/x.txt`,
		`{"name":"sweep","kind":"scheduled","api":0,"runtime":"provided","entry":"bootstrap","artifact":"","source":"netlify/functions/sweep/main.go","schedule":"@daily","retries":0} bootstrap,data/x.txt`,
		`{"name":"tool","kind":"sync","api":0,"runtime":"provided","entry":"bootstrap","artifact":"","source":"netlify/functions/tool.bin"} bootstrap`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("functions\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var problems []string
	for _, p := range result.Problems {
		problems = append(problems, p.Error())
	}
	wantProblems := []string{
		".netlify/functions-internal/both.mjs: is left out, because netlify/functions/both.mjs has the same name, and its directory comes first",
		".netlify/functions-internal/server.mjs: is left out, because .netlify/v1/functions/server.mjs has the same name, and its directory comes first",
	}
	if !slices.Equal(problems, wantProblems) {
		t.Errorf("problems\n%s\nwant\n%s", strings.Join(problems, "\n"), strings.Join(wantProblems, "\n"))
	}
}

func TestGeneratedFunctionsAreEnough(t *testing.T) {
	t.Parallel()
	root := site(t, map[string]string{".netlify/v1/functions/server.mjs": "export default () => new Response('x')"})
	result, err := build.Build(t.Context(), build.Options{Root: root})
	if err != nil || len(result.Functions) != 1 || len(result.Problems) > 0 {
		t.Errorf("Build = %+v, %v; want one function", result, err)
	}
}
