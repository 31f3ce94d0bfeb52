// Package setting reads what can be configured from the source: the fields of
// the Config structs that have an `env` tag, with the comments that say what
// they mean. The documentation of the settings is made of it, so that there is
// one place where a setting is described, and it is the one that is changed
// when the setting is.
//
// A Config may embed other structs of the workspace, or have them as fields
// without a tag; their settings are its own, as package env has it.
package setting

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	module = "github.com/nightshift/nightshift/"
	prefix = "NIGHTSHIFT_"
)

// Setting is a variable of the environment.
type Setting struct {
	Name  string // NIGHTSHIFT_…
	Type  string // "text", "number", "duration", …
	Reads []Read // who reads it, in the order of the services
}

// Read is what one service says about a setting.
type Read struct {
	Service  string
	Text     string // the comment, with other settings by their names in the environment
	Default  string // as the comment has it; empty: it says none
	Required bool
}

// Source is where the settings of a service stand: structs by the folder of
// their package, below the root.
type Source struct {
	Service string
	Structs [][2]string // folder, and name of the struct
}

// Of reads the settings of services, in the order of their names.
func Of(root string, sources []Source) ([]Setting, error) {
	byName := map[string]*Setting{}
	for _, source := range sources {
		for _, s := range source.Structs {
			r := reader{root: root, service: source.Service, into: byName}
			if err := r.read(s[0], s[1], prefix); err != nil {
				return nil, fmt.Errorf("settings of the %s: %w", source.Service, err)
			}
		}
	}
	var out []Setting
	for _, s := range byName {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// reader reads the structs of one service.
type reader struct {
	root    string
	service string
	into    map[string]*Setting
}

// field is a field of a struct that has a setting.
type field struct {
	goName, name, text, fallback, typ string
}

// read reads one struct and those in it.
func (r reader) read(folder, name, prefix string) error {
	declared, imports, err := find(filepath.Join(r.root, folder), name)
	if err != nil {
		return err
	}
	var fields []field
	words := map[string]string{"Dev": "`nightshift dev`"} // Go names → what people see
	last := ""
	for _, f := range declared.Fields.List {
		tag := reflect.StructTag("")
		if f.Tag != nil {
			text, err := strconv.Unquote(f.Tag.Value)
			if err != nil {
				return err
			}
			tag = reflect.StructTag(text)
		}
		env, tagged := tag.Lookup("env")
		switch {
		case env == "-":
			continue
		case !tagged:
			if sel, ok := f.Type.(*ast.SelectorExpr); ok { // a struct of another package
				path := imports[sel.X.(*ast.Ident).Name]
				inner, ours := strings.CutPrefix(path, module)
				if !ours {
					continue
				}
				if err := r.read(inner, sel.Sel.Name, prefix+tag.Get("envPrefix")); err != nil {
					return err
				}
			}
			continue
		}
		if f.Doc != nil {
			last = flat(f.Doc)
		}
		for _, goName := range f.Names {
			envName := prefix + strings.Split(env, ",")[0]
			words[goName.Name] = "`" + envName + "`"
			fields = append(fields, field{goName.Name, envName, last, tag.Get("envDefault"), typeOf(f.Type)})
		}
	}
	for _, f := range fields {
		s := r.into[f.name]
		if s == nil {
			s = &Setting{Name: f.name, Type: f.typ}
			r.into[f.name] = s
		}
		text := named(f.text, words)
		s.Reads = append(s.Reads, Read{
			Service: r.service, Text: text, Required: strings.Contains(f.text, "Required"),
			Default: cmp.Or(f.fallback, named(defaultOf(f.text), words)),
		})
	}
	return nil
}

// find parses a package and finds a struct, and what its file imports by name.
func find(dir, name string) (*ast.StructType, map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, nil, err
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return nil, nil, err
		}
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range gen.Specs {
				t, ok := spec.(*ast.TypeSpec)
				if !ok || t.Name.Name != name {
					continue
				}
				declared, ok := t.Type.(*ast.StructType)
				if !ok {
					return nil, nil, fmt.Errorf("%s in %s is no struct", name, dir)
				}
				return declared, imported(file), nil
			}
		}
	}
	return nil, nil, fmt.Errorf("there is no struct %s in %s", name, dir)
}

// imported are the import paths of a file by the names that it uses.
func imported(file *ast.File) map[string]string {
	out := map[string]string{}
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := path[strings.LastIndexByte(path, '/')+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		out[name] = path
	}
	return out
}

// flat is the text of a comment in one line.
func flat(group *ast.CommentGroup) string {
	var p comment.Parser
	text := string((&comment.Printer{TextWidth: -1}).Text(p.Parse(group.Text())))
	return strings.Join(strings.Fields(text), " ")
}

// typeOf words the type of a field.
func typeOf(expr ast.Expr) string {
	switch t := expr.(type) {
	case *ast.Ident:
		switch t.Name {
		case "string":
			return "text"
		case "int", "int64":
			return "number"
		case "bool":
			return "true or false"
		case "Retention":
			return "duration, or off"
		}
	case *ast.SelectorExpr:
		switch t.X.(*ast.Ident).Name + "." + t.Sel.Name {
		case "time.Duration":
			return "duration"
		case "secret.Text":
			return "secret"
		case "slog.Level":
			return "debug, info, warn or error"
		}
	}
	return "text"
}

// defaults finds what a comment says of a default: up to the end of the clause.
var defaults = regexp.MustCompile(`\bDefaults?:? (.+?)(?:[.;,:](?: |$)|$)`)

func defaultOf(text string) string {
	if m := defaults.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// word is what may be the name of a field.
var word = regexp.MustCompile(`(?:[a-z]+\.)?\b[A-Z][A-Za-z]+\b`)

// named puts the names that people use in the place of the Go ones.
func named(text string, words map[string]string) string {
	return word.ReplaceAllStringFunc(text, func(found string) string {
		if name, ok := words[found]; ok {
			return name
		}
		return found
	})
}
