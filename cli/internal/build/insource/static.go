package insource

import (
	"strconv"
	"strings"

	"github.com/tdewolff/parse/v2/js"
)

// maxDepth bounds how far constants are followed, so that one that names
// itself ends.
const maxDepth = 32

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
		if len(e.List) == 0 && e.Tag == nil {
			return unquote(e.Tail), nil
		}
	case *js.Var:
		if v, ok := s.constants[string(e.Name())]; ok && v != nil {
			return s.staticOr(expr, v, depth)
		}
	case *js.DotExpr:
		if object, ok := s.resolve(e.X).(*js.ObjectExpr); ok {
			if v, ok := property(object, memberName(e)); ok {
				return s.staticOr(expr, v, depth)
			}
		}
	case *js.UnaryExpr:
		return s.unary(e, depth)
	case *js.BinaryExpr:
		return s.binary(e, depth)
	case *js.ArrayExpr:
		list := []any{}
		for _, element := range e.List {
			if element.Spread || element.Value == nil {
				return nil, expr
			}
			v, bad := s.static(element.Value, depth+1)
			if bad != nil {
				return nil, bad
			}
			list = append(list, v)
		}
		return list, nil
	case *js.ObjectExpr:
		object := map[string]any{}
		for _, p := range e.List {
			key, _, ok := propertyKey(p)
			if !ok {
				return nil, expr
			}
			v, bad := s.static(p.Value, depth+1)
			if bad != nil {
				return nil, bad
			}
			object[key] = v
		}
		return object, nil
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

func (s *scope) unary(e *js.UnaryExpr, depth int) (any, js.IExpr) {
	v, bad := s.static(e.X, depth+1)
	if bad != nil {
		return nil, bad
	}
	n, isNumber := v.(float64)
	switch {
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
	case nil:
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
		return "a function or a class"
	case *js.Var:
		name := string(e.Name())
		if module, ok := s.imported[name]; ok {
			return "`" + name + "`, which is imported from " + module
		}
		if _, ok := s.variables[name]; ok {
			return "`" + name + "`, which may change; declare it with const"
		}
		if _, ok := s.constants[name]; ok {
			return "`" + name + "`, whose own value is not static"
		}
		return "`" + name + "`, which is not a constant of this file"
	case *js.CallExpr, *js.NewExpr:
		return "the result of a call"
	case *js.TemplateExpr:
		return "a template literal with substitutions"
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
