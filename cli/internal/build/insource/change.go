package insource

import "github.com/tdewolff/parse/v2/js"

// changes are what a file does to its names after their declarations, anywhere
// in it. A name that changes in a place that runs later has no static value.
type changes struct {
	scope    *scope
	assigned map[*js.Var]int    // how often a variable gets a new value
	touched  map[*js.Var][]byte // where something of a variable's value is changed
	calls    []*js.CallExpr
}

func findChanges(s *scope, tree *js.AST) *changes {
	c := &changes{scope: s, assigned: map[*js.Var]int{}, touched: map[*js.Var][]byte{}}
	js.Walk(c, tree)
	return c
}

// Enter implements js.IVisitor.
func (c *changes) Enter(n js.INode) js.IVisitor {
	switch n := n.(type) {
	case *js.BinaryExpr:
		if isAssignment(n.Op) {
			c.target(n.X)
		}
	case *js.UnaryExpr:
		switch n.Op {
		case js.PreIncrToken, js.PreDecrToken, js.PostIncrToken, js.PostDecrToken, js.DeleteToken:
			c.target(n.X)
		}
	case *js.ForOfStmt:
		c.target(n.Init)
	case *js.ForInStmt:
		c.target(n.Init)
	case *js.CallExpr:
		c.calls = append(c.calls, n)
		if dot, ok := n.X.(*js.DotExpr); ok && isGlobal(dot.X, "Object") && len(n.Args.List) > 1 {
			switch memberName(dot) { // Object.freeze and the like have one argument
			case "assign", "defineProperty", "defineProperties", "setPrototypeOf":
				c.touch(n.Args.List[0].Value)
			}
		}
	}
	return c
}

// Exit implements js.IVisitor.
func (c *changes) Exit(js.INode) {}

// target notes what an assignment changes.
func (c *changes) target(expr js.IExpr) {
	switch e := expr.(type) {
	case *js.Var:
		c.assigned[origin(e)]++
	case *js.DotExpr, *js.IndexExpr:
		c.export(expr)
		c.touch(expr)
	case *js.GroupExpr:
		c.target(e.X)
	case *js.ArrayExpr:
		for _, element := range e.List {
			c.target(element.Value)
		}
	case *js.ObjectExpr:
		for _, p := range e.List {
			c.target(p.Value)
		}
	case *js.BinaryExpr: // a default in a pattern
		c.target(e.X)
	}
}

// export notes exports.x = … in blocks and functions, whose value is not known.
// The statements of the top level have been read before. A default export
// counts at the top level only, as it does for Netlify.
func (c *changes) export(expr js.IExpr) {
	object, name, ok := member(expr)
	if !ok || name == "default" || !isExports(object) {
		return
	}
	if v := root(object); v == nil || v.Decl != js.NoDecl {
		return // a variable of that name, as bundlers write them
	}
	c.scope.cjsExports = true
	if _, known := c.scope.exports[name]; !known {
		c.scope.exports[name] = export{mark: c.scope.first(expr)}
	}
}

func (c *changes) touch(expr js.IExpr) {
	v := root(expr)
	if v == nil {
		return
	}
	if _, known := c.touched[v]; !known {
		c.touched[v] = orMark(c.scope.first(expr), c.scope.locate(v.Data))
	}
}

// settle makes constants of the variables whose one value is known.
func (s *scope) settle(c *changes) {
	for name, value := range s.variables {
		v := s.bindings[name]
		top := s.assigned[name]
		switch {
		case c.assigned[v] != len(top): // somewhere inside, or in a way that gives no expression
			s.variables[name] = nil
		case len(top) == 0:
			s.constants[name] = value
		case len(top) == 1 && value == nil:
			s.constants[name] = top[0]
		default:
			s.variables[name] = top[len(top)-1] // what is exported in the end
		}
		if _, constant := s.constants[name]; constant {
			delete(s.variables, name)
		}
	}
	for name, v := range s.bindings {
		if mark, touched := c.touched[v]; touched {
			s.touched[name] = mark
			if value, ok := s.constants[name]; ok {
				s.variables[name] = value
				delete(s.constants, name)
			}
		}
	}
}

func isAssignment(op js.TokenType) bool {
	switch op {
	case js.EqToken, js.MulEqToken, js.DivEqToken, js.ModEqToken, js.ExpEqToken, js.AddEqToken, js.SubEqToken,
		js.LtLtEqToken, js.GtGtEqToken, js.GtGtGtEqToken, js.BitAndEqToken, js.BitXorEqToken, js.BitOrEqToken,
		js.AndEqToken, js.OrEqToken, js.NullishEqToken:
		return true
	default:
		return false
	}
}

// root is the variable that a chain of members starts at, or nil.
func root(expr js.IExpr) *js.Var {
	for {
		switch e := expr.(type) {
		case *js.DotExpr:
			expr = e.X
		case *js.IndexExpr:
			expr = e.X
		case *js.GroupExpr:
			expr = e.X
		case *js.Var:
			return origin(e)
		default:
			return nil
		}
	}
}

// origin is the variable that all uses of it lead to.
func origin(v *js.Var) *js.Var {
	for v.Link != nil {
		v = v.Link
	}
	return v
}

// isGlobal reports whether an expression is a name that the file does not declare.
func isGlobal(expr js.IExpr, name string) bool {
	v, ok := expr.(*js.Var)
	return ok && string(v.Name()) == name && origin(v).Decl == js.NoDecl
}
