package insource

import (
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/tdewolff/parse/v2/js"
)

// export is one exported name.
type export struct {
	value js.IExpr // nil for functions, classes and what comes from elsewhere
	from  string   // the module that it comes from
	local string   // the name of this file that it is, or ""
	mark  []byte   // a piece of the code that stands at it

	// declared says that it is a declared function or class. Netlify does not
	// see a handler in that form when it looks for one beside a default export.
	declared bool
}

// scope is the top level of a file: what it binds and what it exports.
type scope struct {
	mapper   *mapper
	problems []problem.Problem

	bindings  map[string]*js.Var
	constants map[string]js.IExpr   // values of names that keep their first one
	variables map[string]js.IExpr   // last values of names that change; nil: known only when the code runs
	assigned  map[string][]js.IExpr // values that top-level statements give
	touched   map[string][]byte     // where parts of a value are changed
	imported  map[string]string     // local name → module

	exports         map[string]export
	star            bool // export * from
	starMark        []byte
	esmSyntax       bool // any import or export
	esmExports      bool
	cjsExports      bool
	exportsFunction bool                         // module.exports = function
	members         map[string]map[string]export // what is assigned to members of names: by name, by member

	helper      map[string]bool // local names of schedule
	namespace   map[string]bool // local names of the whole helper package
	helperMark  []byte          // where schedule is named; nil: nowhere
	helperCalls []*js.CallExpr  // all calls of schedule
}

func newScope(tree *js.AST, m *mapper) *scope {
	s := &scope{
		mapper:   m,
		bindings: map[string]*js.Var{}, constants: map[string]js.IExpr{}, variables: map[string]js.IExpr{},
		assigned: map[string][]js.IExpr{}, touched: map[string][]byte{}, imported: map[string]string{},
		members: map[string]map[string]export{}, exports: map[string]export{}, helper: map[string]bool{}, namespace: map[string]bool{},
	}
	var pending []*js.ExportStmt
	for _, stmt := range tree.List {
		switch stmt := stmt.(type) {
		case *js.ImportStmt:
			s.esmSyntax = true
			s.importStmt(stmt)
		case *js.ExportStmt:
			s.esmSyntax, s.esmExports = true, true
			pending = append(pending, stmt)
			if decl, ok := stmt.Decl.(*js.VarDecl); ok {
				s.varDecl(decl)
			}
		case *js.VarDecl:
			s.varDecl(stmt)
		case *js.ExprStmt:
			s.assignment(stmt.Value)
		}
	}
	c := findChanges(s, tree)
	s.settle(c)
	for _, stmt := range pending { // after all bindings, because exports may come first
		s.exportStmt(stmt)
	}
	for _, call := range c.calls {
		if s.isHelper(call.X) {
			s.helperCalls = append(s.helperCalls, call)
		}
	}
	return s
}

func (s *scope) errorf(mark []byte, format string, args ...any) {
	s.problems = append(s.problems, problem.Errorf(s.mapper.position(mark), format, args...))
}

func (s *scope) warnf(mark []byte, format string, args ...any) {
	s.problems = append(s.problems, problem.Warnf(s.mapper.position(mark), format, args...))
}

func (s *scope) importStmt(stmt *js.ImportStmt) {
	module := unquote(stmt.Module)
	if stmt.Default != nil {
		s.imported[string(stmt.Default)] = module
		s.namespace[string(stmt.Default)] = module == helperPackage
	}
	for _, alias := range stmt.List {
		local := string(alias.Binding)
		s.imported[local] = module
		if module != helperPackage {
			continue
		}
		switch name := string(alias.Name); {
		case name == "*":
			s.namespace[local] = true
		case name == "schedule", name == "" && local == "schedule":
			s.helper[local] = true
			s.helperMark = alias.Binding
		}
	}
}

func (s *scope) varDecl(decl *js.VarDecl) {
	into := s.variables
	if decl.TokenType == js.ConstToken {
		into = s.constants
	}
	for _, element := range decl.List {
		switch binding := element.Binding.(type) {
		case *js.Var:
			name := string(binding.Name())
			into[name] = element.Default
			s.bindings[name] = origin(binding)
			if requires(element.Default, helperPackage) {
				s.namespace[name] = true
			}
			if s.isHelper(element.Default) {
				s.helper[name], s.helperMark = true, orMark(s.locate(binding.Data), s.first(element.Default))
			}
		case *js.BindingObject: // const { schedule } = require("@netlify/functions")
			if v, ok := element.Default.(*js.Var); !requires(element.Default, helperPackage) && (!ok || !s.namespace[string(v.Name())]) {
				continue
			}
			for _, item := range binding.List {
				local, ok := item.Value.Binding.(*js.Var)
				if !ok {
					continue
				}
				key := string(local.Name())
				if item.Key != nil {
					key = unquote(item.Key.Literal.Data)
				}
				if key == "schedule" {
					s.helper[string(local.Name())], s.helperMark = true, orMark(s.locate(local.Data), s.first(element.Default))
				}
			}
		}
	}
}

func (s *scope) exportStmt(stmt *js.ExportStmt) {
	from := ""
	if stmt.Module != nil {
		from = unquote(stmt.Module)
	}
	for _, alias := range stmt.List {
		local, name := string(alias.Name), string(alias.Binding)
		if local == "" {
			local = name
		}
		switch {
		case name == "*":
			s.star, s.starMark = true, s.locate(stmt.Module)
		case from != "":
			s.exports[name] = export{from: from, mark: alias.Binding}
		case name != "":
			value, _ := s.lookup(local)
			s.exports[name] = export{value: value, from: s.imported[local], local: local, mark: alias.Binding}
		}
	}
	switch decl := stmt.Decl.(type) {
	case *js.VarDecl:
		for _, element := range decl.List {
			if v, ok := element.Binding.(*js.Var); ok {
				name := string(v.Name())
				value, _ := s.lookup(name)
				s.exports[name] = export{value: value, local: name, mark: orMark(s.locate(v.Data), s.first(element.Default))}
			}
		}
	case *js.FuncDecl:
		name := "default"
		var mark []byte
		if decl.Name != nil {
			mark = decl.Name.Data
			if !stmt.Default {
				name = string(decl.Name.Name())
			}
		}
		s.exports[name] = export{mark: mark, declared: true}
	case *js.ClassDecl:
		if decl.Name != nil && !stmt.Default {
			s.exports[string(decl.Name.Name())] = export{mark: decl.Name.Data, declared: true}
		} else {
			s.exports["default"] = export{}
		}
	case nil:
	default:
		if v, ok := decl.(*js.Var); ok {
			local := string(v.Name())
			value, _ := s.lookup(local)
			s.exports["default"] = export{value: value, from: s.imported[local], local: local, mark: s.locate(v.Data)}
			return
		}
		s.exports["default"] = export{value: decl, mark: s.first(decl)}
	}
}

// assignment reads exports.x = …, module.exports.x = … and module.exports = ….
func (s *scope) assignment(expr js.IExpr) {
	set, ok := expr.(*js.BinaryExpr)
	if !ok || set.Op != js.EqToken {
		s.indirectExport(expr)
		return
	}
	value := set.Y
	if inner, ok := value.(*js.BinaryExpr); ok && inner.Op == js.EqToken { // exports.a = exports.b = …
		s.assignment(inner)
		for ok {
			value = inner.Y
			inner, ok = value.(*js.BinaryExpr)
			ok = ok && inner.Op == js.EqToken
		}
	}
	if isExports(set.X) {
		s.cjsExports = true
		s.moduleExports(value)
		return
	}
	if v, ok := set.X.(*js.Var); ok {
		name := string(v.Name())
		s.assigned[name] = append(s.assigned[name], value)
		return
	}
	object, name, ok := member(set.X)
	if owner, isName := object.(*js.Var); ok && isName && !isExports(object) {
		local := string(owner.Name())
		if s.members[local] == nil {
			s.members[local] = map[string]export{}
		}
		s.members[local][name] = export{value: value, mark: orMark(s.first(value), s.first(set.X))}
		return
	}
	if !ok || !isExports(object) {
		return
	}
	s.cjsExports = true
	if name != "__esModule" {
		s.exports[name] = export{value: value, local: nameOf(value), mark: s.first(set.X)}
	}
}

// moduleExports reads module.exports = ….
func (s *scope) moduleExports(value js.IExpr) {
	switch v := s.resolve(value).(type) {
	case *js.ObjectExpr:
		for _, p := range v.List {
			if key, mark, ok := propertyKey(p); ok {
				s.exports[key] = export{value: p.Value, local: nameOf(p.Value), mark: orMark(s.locate(mark), s.first(p.Value))}
			}
		}
	case *js.ArrowFunc, *js.FuncDecl:
		s.exportsFunction = true
	}
}

// indirectExport sees Object.defineProperty(exports, "x", …), as compilers write
// it, and Object.assign(exports, …) and the like: exports that cannot be listed.
func (s *scope) indirectExport(expr js.IExpr) {
	call, ok := expr.(*js.CallExpr)
	if !ok {
		return
	}
	if dot, ok := call.X.(*js.DotExpr); ok && memberName(dot) == "defineProperty" && len(call.Args.List) == 3 && isExports(call.Args.List[0].Value) {
		s.cjsExports = true
		name, isLiteral := call.Args.List[1].Value.(*js.LiteralExpr)
		if how, ok := call.Args.List[2].Value.(*js.ObjectExpr); ok && isLiteral && unquote(name.Data) != "__esModule" {
			value, _ := property(how, "value")
			s.exports[unquote(name.Data)] = export{value: value, local: nameOf(value), mark: s.locate(name.Data)}
		}
		return
	}
	for _, arg := range call.Args.List {
		if isExports(arg.Value) {
			s.cjsExports = true
		}
	}
}

func (s *scope) lookup(name string) (js.IExpr, bool) {
	if value, ok := s.constants[name]; ok {
		return value, true
	}
	value, ok := s.variables[name]
	return value, ok
}

// isHelper reports whether an expression is the schedule helper.
func (s *scope) isHelper(expr js.IExpr) bool {
	if v, ok := expr.(*js.Var); ok {
		return s.helper[string(v.Name())]
	}
	if comma, ok := expr.(*js.CommaExpr); ok && len(comma.List) > 0 { // (0, ns.schedule)(…), as tsc writes it
		return s.isHelper(comma.List[len(comma.List)-1])
	}
	if group, ok := expr.(*js.GroupExpr); ok {
		return s.isHelper(group.X)
	}
	return s.isMember(expr, "schedule")
}

// isMember reports whether an expression is that member of the helper package.
func (s *scope) isMember(expr js.IExpr, name string) bool {
	dot, ok := expr.(*js.DotExpr)
	if !ok || memberName(dot) != name {
		return false
	}
	if v, ok := dot.X.(*js.Var); ok {
		return s.namespace[string(v.Name())]
	}
	return requires(dot.X, helperPackage)
}

// requires reports whether an expression is require("<module>").
func requires(expr js.IExpr, module string) bool {
	call, ok := expr.(*js.CallExpr)
	if !ok || len(call.Args.List) != 1 {
		return false
	}
	callee, isVar := call.X.(*js.Var)
	arg, isLiteral := call.Args.List[0].Value.(*js.LiteralExpr)
	return isVar && isLiteral && string(callee.Name()) == "require" && unquote(arg.Data) == module
}

// isExports reports whether an expression is exports or module.exports.
func isExports(expr js.IExpr) bool {
	if v, ok := expr.(*js.Var); ok {
		return string(v.Name()) == "exports"
	}
	dot, ok := expr.(*js.DotExpr)
	if !ok || memberName(dot) != "exports" {
		return false
	}
	v, ok := dot.X.(*js.Var)
	return ok && string(v.Name()) == "module"
}

// member splits object.name and object["name"].
func member(expr js.IExpr) (object js.IExpr, name string, ok bool) {
	switch e := expr.(type) {
	case *js.DotExpr:
		return e.X, memberName(e), true
	case *js.IndexExpr:
		if key, ok := e.Y.(*js.LiteralExpr); ok && key.TokenType == js.StringToken {
			return e.X, unquote(key.Data), true
		}
	}
	return nil, "", false
}

// nameOf is the name that an expression is, or "".
func nameOf(expr js.IExpr) string {
	if v, ok := expr.(*js.Var); ok {
		return string(v.Name())
	}
	return ""
}

func memberName(dot *js.DotExpr) string {
	switch y := dot.Y.(type) {
	case *js.LiteralExpr:
		return string(y.Data)
	case js.LiteralExpr:
		return string(y.Data)
	case *js.Var:
		return string(y.Name())
	default:
		return ""
	}
}
