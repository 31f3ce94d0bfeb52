package httpapi

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/secret"
)

// schema is a JSON Schema, or another part of an OpenAPI document.
type schema map[string]any

// schemas makes schemas of Go types as encoding/json writes them, with the
// comments of their fields.
type schemas struct {
	t          *testing.T
	components map[string]schema
	sources    map[string]*source // by import path
}

// source is what the comments and constants of a package say.
type source struct {
	types  map[string]string            // by name of the type
	fields map[string]map[string]string // by name of the type and of the field
	values map[string][]string          // the constants of a type, which is a closed list
}

func newSchemas(t *testing.T) *schemas {
	return &schemas{t: t, components: map[string]schema{}, sources: map[string]*source{}}
}

// names are the names of types that would be told apart by their package only.
var names = map[reflect.Type]string{
	reflect.TypeFor[function.Function](): "FunctionDescription",
	reflect.TypeFor[deploy.File]():       "StaticFile",
	reflect.TypeFor[netlifyDeploy]():     "DescribeDeploy",
}

// demanded are the fields that a request must have. encoding/json asks for none.
var demanded = map[reflect.Type][]string{
	reflect.TypeFor[api.CreateSite]():          {"name"},
	reflect.TypeFor[api.CreateToken]():         {"name", "scopes"},
	reflect.TypeFor[api.Backfill]():            {"from", "to"},
	reflect.TypeFor[api.Variable]():            {"key", "values"},
	reflect.TypeFor[api.VariableValue]():       {"context", "value"},
	reflect.TypeFor[api.SetVariableValue]():    {"context", "value"},
	reflect.TypeFor[api.EnvironmentVariable](): {"key", "value"},
	reflect.TypeFor[function.Function]():       {"name", "kind", "artifact"},
	reflect.TypeFor[deploy.Redirect]():         {"from", "to", "status"},
	reflect.TypeFor[deploy.HeaderRule]():       {"for", "values"},
}

// of is the schema of the type of a value. A request has its own, since what an
// answer always has, a request may leave out.
func (s *schemas) of(value any, request bool) schema { return s.typed(reflect.TypeOf(value), request) }

func (s *schemas) typed(t reflect.Type, request bool) schema {
	switch t {
	case reflect.TypeFor[time.Time]():
		return schema{"type": "string", "format": "date-time"}
	case reflect.TypeFor[secret.Text]():
		return schema{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		inner := s.typed(t.Elem(), request)
		if _, named := inner["$ref"]; named { // nothing may stand beside a $ref
			return schema{"allOf": []schema{inner}, "nullable": true}
		}
		inner["nullable"] = true
		return inner
	case reflect.String:
		if t.PkgPath() == "" {
			return schema{"type": "string"}
		}
		return s.list(t)
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return schema{"type": "integer"}
	case reflect.Slice:
		return nullable(schema{"type": "array", "items": s.typed(t.Elem(), request)}, request)
	case reflect.Map:
		return nullable(schema{"type": "object", "additionalProperties": s.typed(t.Elem(), request)}, request)
	case reflect.Struct:
		if t.Name() == "" {
			return s.object(t, request)
		}
		return s.component(t, request)
	default:
		s.t.Fatalf("there is no schema for %v", t)
		return nil
	}
}

// nullable lets null stand in the place of a list or a map, where that means the
// same as none.
func nullable(of schema, request bool) schema {
	if request {
		of["nullable"] = true
	}
	return of
}

// list is a component with the closed list of a type's values.
func (s *schemas) list(t reflect.Type) schema {
	values := s.source(t.PkgPath()).values[t.Name()]
	if len(values) == 0 {
		return schema{"type": "string"}
	}
	s.components[t.Name()] = schema{"type": "string", "enum": values, "description": s.source(t.PkgPath()).types[t.Name()]}
	return schema{"$ref": "#/components/schemas/" + t.Name()}
}

// component is a struct, by its name.
func (s *schemas) component(t reflect.Type, request bool) schema {
	name := names[t]
	if name == "" {
		name = strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	}
	if request && slices.Contains([]reflect.Type{reflect.TypeFor[api.Variable](), reflect.TypeFor[api.VariableValue](), reflect.TypeFor[function.RateLimit]()}, t) {
		name += "Input" // answers have it too
	}
	if _, known := s.components[name]; !known {
		s.components[name] = nil // types may have themselves in them
		object := s.object(t, request)
		if about := s.source(t.PkgPath()).types[t.Name()]; about != "" {
			object["description"] = about
		}
		s.components[name] = object
	}
	return schema{"$ref": "#/components/schemas/" + name}
}

// object is the schema of a struct.
func (s *schemas) object(t reflect.Type, request bool) schema {
	properties, must := map[string]schema{}, []string{}
	s.fields(t, request, properties, &must)
	out := schema{"type": "object", "properties": properties}
	if request {
		must = demanded[t]
	}
	if len(must) > 0 {
		out["required"] = must
	}
	return out
}

// fields adds the fields of a struct, and of those that are embedded in it.
func (s *schemas) fields(t reflect.Type, request bool, into map[string]schema, must *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("json")
		if f.Anonymous && !tagged {
			s.fields(f.Type, request, into, must)
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		field, optional := f.Type, strings.Contains(options, "omitempty")
		if optional && field.Kind() == reflect.Pointer { // it is left out, and never null
			field = field.Elem()
		}
		of := s.typed(field, request)
		if t == reflect.TypeFor[api.Function]() && f.Name == "Kind" { // until the code is there that says it
			of = schema{"type": "string", "enum": append(slices.Clone(s.source(field.PkgPath()).values[field.Name()]), "")}
		}
		if about := s.source(t.PkgPath()).fields[t.Name()][f.Name]; about != "" {
			if _, named := of["$ref"]; named {
				of = schema{"allOf": []schema{of}}
			}
			of["description"] = about
		}
		into[name] = of
		if !optional {
			*must = append(*must, name)
		}
	}
}

// source reads the comments and constants of a package.
func (s *schemas) source(path string) *source {
	if known := s.sources[path]; known != nil {
		return known
	}
	out := &source{types: map[string]string{}, fields: map[string]map[string]string{}, values: map[string][]string{}}
	s.sources[path] = out
	files, err := filepath.Glob(filepath.Join(root, strings.TrimPrefix(path, "github.com/nightshift/nightshift/"), "*.go"))
	if err != nil || len(files) == 0 && path != "" {
		s.t.Fatalf("the source of %s is not found: %v", path, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			s.t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, data, parser.ParseComments)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if gen, ok := decl.(*ast.GenDecl); ok {
				out.declared(gen)
			}
		}
	}
	return out
}

func (s *source) declared(gen *ast.GenDecl) {
	for _, spec := range gen.Specs {
		switch spec := spec.(type) {
		case *ast.ValueSpec:
			of, ok := spec.Type.(*ast.Ident)
			if !ok || gen.Tok != token.CONST {
				continue
			}
			for _, value := range spec.Values {
				if literal, ok := value.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					if text, err := strconv.Unquote(literal.Value); err == nil {
						s.values[of.Name] = append(s.values[of.Name], text)
					}
				}
			}
		case *ast.TypeSpec:
			s.types[spec.Name.Name] = about(gen.Doc, spec.Doc)
			declared, ok := spec.Type.(*ast.StructType)
			if !ok {
				continue
			}
			s.fields[spec.Name.Name] = map[string]string{}
			for _, field := range declared.Fields.List {
				for _, name := range field.Names {
					s.fields[spec.Name.Name][name.Name] = about(field.Doc, field.Comment)
				}
			}
		}
	}
}

// forProgrammers is what comments say to those who have the source before them.
var forProgrammers = regexp.MustCompile(`[;,]? \(?[Ss]ee package \w+\)?\.?|^[Ss]ee package \w+\.?`)

// about is the text of the first comment that there is, in one line.
func about(groups ...*ast.CommentGroup) string {
	for _, group := range groups {
		if text := strings.Join(strings.Fields(group.Text()), " "); text != "" {
			return strings.TrimSpace(forProgrammers.ReplaceAllString(text, ""))
		}
	}
	return ""
}
