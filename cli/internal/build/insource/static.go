package insource

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/tdewolff/parse/v2/js"
)

// maxDepth bounds how far constants are followed, so that one that names
// itself ends.
const maxDepth = 32

// absent is the static value `undefined`: what has it, is not set.
type absent struct{}

// static evaluates an expression without running code. If it cannot, bad is
// the part that is in the way.
func (s *scope) static(expr js.IExpr, depth int) (value any, bad js.IExpr) {
	if depth > maxDepth {
		return nil, expr
	}
	switch e := expr.(type) {
	case *js.LiteralExpr:
		if v, ok := literal(e); ok {
			return v, nil
		}
	case *js.GroupExpr:
		return s.static(e.X, depth+1)
	case *js.TemplateExpr:
		return s.template(e, depth)
	case *js.Var:
		if isGlobal(e, "undefined") {
			return absent{}, nil
		}
		if v, ok := s.constants[string(e.Name())]; ok && v != nil {
			return s.staticOr(expr, v, depth)
		}
	case *js.DotExpr:
		if v, ok := s.element(e.X, memberName(e), depth); ok {
			return v, nil
		}
	case *js.IndexExpr:
		if key, bad := s.static(e.Y, depth+1); bad == nil {
			if v, ok := s.element(e.X, key, depth); ok {
				return v, nil
			}
		}
	case *js.CallExpr:
		if inner, ok := frozen(e); ok {
			return s.static(inner, depth+1)
		}
	case *js.UnaryExpr:
		return s.unary(e, depth)
	case *js.BinaryExpr:
		return s.binary(e, depth)
	case *js.ArrayExpr:
		return s.array(e, depth)
	case *js.ObjectExpr:
		return s.record(e, depth)
	}
	return nil, expr
}

// staticOr evaluates what a name stands for, and blames the name.
func (s *scope) staticOr(name, value js.IExpr, depth int) (any, js.IExpr) {
	v, bad := s.static(value, depth+1)
	if bad != nil {
		return nil, name
	}
	return v, nil
}

func (s *scope) array(e *js.ArrayExpr, depth int) (any, js.IExpr) {
	list := []any{}
	for _, element := range e.List {
		if element.Value == nil { // a hole
			return nil, e
		}
		v, bad := s.static(element.Value, depth+1)
		if bad != nil {
			return nil, bad
		}
		inner, isList := v.([]any)
		switch {
		case element.Spread && !isList, v == absent{}:
			return nil, element.Value
		case element.Spread:
			list = append(list, inner...)
		default:
			list = append(list, v)
		}
	}
	return list, nil
}

func (s *scope) record(e *js.ObjectExpr, depth int) (any, js.IExpr) {
	object := map[string]any{}
	for _, p := range e.List {
		v, bad := s.static(p.Value, depth+1)
		if bad != nil {
			return nil, bad
		}
		if p.Spread {
			inner, ok := v.(map[string]any)
			if !ok {
				return nil, p.Value
			}
			maps.Copy(object, inner)
			continue
		}
		key, _, ok := s.key(p)
		if !ok {
			return nil, e
		}
		delete(object, key)
		if _, none := v.(absent); !none {
			object[key] = v
		}
	}
	return object, nil
}

// template joins the parts of a template literal.
func (s *scope) template(e *js.TemplateExpr, depth int) (any, js.IExpr) {
	if e.Tag != nil {
		return nil, e
	}
	text := ""
	for i, part := range e.List {
		v, bad := s.static(part.Expr, depth+1)
		if bad != nil {
			return nil, bad
		}
		text += unquote(fmt.Appendf(nil, "`%s`", part.Value[1:len(part.Value)-len("${")]))
		switch v := v.(type) {
		case string:
			text += v
		case float64:
			text += strconv.FormatFloat(v, 'f', -1, 64)
		case bool:
			text += strconv.FormatBool(v)
		default:
			return nil, e.List[i].Expr
		}
	}
	return text + unquote(fmt.Appendf(nil, "`%s`", e.Tail[1:len(e.Tail)-1])), nil
}

// element reads object[key] of a constant.
func (s *scope) element(object js.IExpr, key any, depth int) (any, bool) {
	if root := nameOf(object); root != "" && s.constants[root] == nil {
		return nil, false
	}
	switch e := s.resolve(object).(type) {
	case *js.ObjectExpr, *js.ArrayExpr, *js.DotExpr, *js.IndexExpr:
		v, bad := s.static(e, depth+1)
		if bad != nil {
			object, isObject := e.(*js.ObjectExpr) // what is not asked for need not be static
			name, isName := key.(string)
			if !isObject || !isName {
				return nil, false
			}
			value, ok := property(object, name)
			if !ok {
				return nil, false
			}
			v, bad = s.static(value, depth+1)
			return v, bad == nil
		}
		switch v := v.(type) {
		case map[string]any:
			name, _ := key.(string)
			value, ok := v[name]
			return value, ok
		case []any:
			i, isNumber := key.(float64)
			if isNumber && i >= 0 && int(i) < len(v) && i == float64(int(i)) {
				return v[int(i)], true
			}
		}
	}
	return nil, false
}

// frozen is x of Object.freeze(x).
func frozen(call *js.CallExpr) (js.IExpr, bool) {
	dot, ok := call.X.(*js.DotExpr)
	if !ok || !isGlobal(dot.X, "Object") || memberName(dot) != "freeze" || len(call.Args.List) != 1 {
		return nil, false
	}
	return call.Args.List[0].Value, true
}

func (s *scope) unary(e *js.UnaryExpr, depth int) (any, js.IExpr) {
	v, bad := s.static(e.X, depth+1)
	if bad != nil {
		return nil, bad
	}
	n, isNumber := v.(float64)
	switch {
	case e.Op == js.VoidToken:
		return absent{}, nil
	case e.Op == js.NotToken:
		return !truthy(v), nil
	case e.Op == js.NegToken && isNumber:
		return -n, nil
	case e.Op == js.PosToken && isNumber:
		return n, nil
	default:
		return nil, e
	}
}

func (s *scope) binary(e *js.BinaryExpr, depth int) (any, js.IExpr) {
	x, bad := s.static(e.X, depth+1)
	if bad != nil {
		return nil, bad
	}
	y, bad := s.static(e.Y, depth+1)
	if bad != nil {
		return nil, bad
	}
	if a, ok := x.(string); ok {
		if b, ok := y.(string); ok && e.Op == js.AddToken {
			return a + b, nil
		}
	}
	a, okA := x.(float64)
	b, okB := y.(float64)
	if !okA || !okB {
		return nil, e
	}
	switch e.Op {
	case js.AddToken:
		return a + b, nil
	case js.SubToken:
		return a - b, nil
	case js.MulToken:
		return a * b, nil
	case js.DivToken:
		return a / b, nil
	default:
		return nil, e
	}
}

// resolve follows names of constants, and parentheses, to an expression.
func (s *scope) resolve(expr js.IExpr) js.IExpr {
	for range maxDepth {
		switch e := expr.(type) {
		case *js.GroupExpr:
			expr = e.X
		case *js.CallExpr:
			inner, ok := frozen(e)
			if !ok {
				return expr
			}
			expr = inner
		case *js.Var:
			value, ok := s.lookup(string(e.Name()))
			if !ok || value == nil {
				return expr
			}
			expr = value
		default:
			return expr
		}
	}
	return expr
}

// property finds a property of an object; the last one of a name counts.
func property(object *js.ObjectExpr, name string) (value js.IExpr, found bool) {
	for _, p := range object.List {
		if key, _, ok := propertyKey(p); ok && key == name {
			value, found = p.Value, true
		}
	}
	return value, found
}

// key is the name of a property, also of a computed one if that is static.
func (s *scope) key(p js.Property) (key string, mark []byte, ok bool) {
	if key, mark, ok = propertyKey(p); ok {
		return key, mark, true
	}
	if p.Spread || p.Name == nil || p.Name.Computed == nil {
		return "", nil, false
	}
	v, bad := s.static(p.Name.Computed, 0)
	key, ok = v.(string)
	return key, s.first(p.Name.Computed), ok && bad == nil
}

// propertyKey is the name of a property; false for spreads and computed ones.
func propertyKey(p js.Property) (key string, mark []byte, ok bool) {
	if method, isMethod := p.Value.(*js.MethodDecl); isMethod && p.Name == nil {
		if method.Name.Computed != nil {
			return "", nil, false
		}
		return unquote(method.Name.Literal.Data), method.Name.Literal.Data, true
	}
	if p.Spread || p.Name == nil || p.Name.Computed != nil {
		return "", nil, false
	}
	return unquote(p.Name.Literal.Data), p.Name.Literal.Data, true
}

func literal(e *js.LiteralExpr) (any, bool) {
	switch e.TokenType {
	case js.StringToken:
		return unquote(e.Data), true
	case js.TrueToken:
		return true, true
	case js.FalseToken:
		return false, true
	case js.NullToken:
		return nil, true
	case js.DecimalToken, js.IntegerToken, js.BinaryToken, js.OctalToken, js.HexadecimalToken:
		text := strings.ReplaceAll(string(e.Data), "_", "")
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return n, true
		}
		n, err := strconv.ParseInt(text, 0, 64)
		return float64(n), err == nil
	default:
		return nil, false
	}
}

func truthy(v any) bool {
	switch v := v.(type) {
	case nil, absent:
		return false
	case bool:
		return v
	case float64:
		return v != 0
	case string:
		return v != ""
	default:
		return true
	}
}

// kindOf says in words what an expression is.
func (s *scope) kindOf(expr js.IExpr) string {
	switch e := expr.(type) {
	case nil:
		return "a function, a class, or a variable whose value is known only when the code runs"
	case *js.Var:
		name := string(e.Name())
		if module, ok := s.imported[name]; ok {
			return "`" + name + "`, which is imported from " + module
		}
		if _, ok := s.touched[name]; ok {
			return "`" + name + "`, part of which is changed in this file"
		}
		if _, ok := s.variables[name]; ok {
			return "`" + name + "`, which changes; declare it with const"
		}
		if _, ok := s.constants[name]; ok {
			return "`" + name + "`, whose own value is not static"
		}
		return "`" + name + "`, which is not a constant of this file"
	case *js.CallExpr, *js.NewExpr:
		return "the result of a call"
	case *js.TemplateExpr:
		return "a tagged template"
	case *js.DotExpr, *js.IndexExpr:
		var text strings.Builder
		e.JS(&text)
		if text.Len() > 60 {
			return "known only when the code runs"
		}
		return "`" + text.String() + "`, which is known only when the code runs"
	case *js.CondExpr:
		return "a condition"
	case *js.ArrowFunc, *js.FuncDecl, *js.MethodDecl:
		return "a function"
	case *js.ObjectExpr:
		return "an object that is not static"
	case *js.ArrayExpr:
		return "a list that is not static"
	case *js.LiteralExpr:
		return "`" + string(e.Data) + "`"
	default:
		return "an expression"
	}
}
