package main

import (
	"cmp"
	"fmt"
	"go/constant"
	"go/types"
	"slices"
	"strconv"
)

// The order of a snapshot's lines: constants, variables and functions by name, then
// types by name, each followed by what belongs to it.
const (
	orderConst = iota
	orderVar
	orderFunc
	orderType
)

// entry is a line of a snapshot with its place.
type entry struct {
	order int    // one of the constants above
	name  string // of the constant, variable, function or type
	part  string // sorts what belongs to a type; empty for the type itself
	line  string
}

// describer collects the lines of one package.
type describer struct {
	pkg     *types.Package
	owns    func(importPath string) bool // whether a package is part of the workspace
	sealed  []*types.TypeName            // exported interfaces that only this package implements
	entries []entry

	// Types that have no name outside, unexported ones and those of internal packages, are
	// described too where what is exported leads to them: their methods can be called.
	seen  map[*types.TypeName]bool
	queue []*types.TypeName
}

// describe gives a line for everything that pkg exports, in a fixed order.
func describe(pkg *types.Package, owns func(importPath string) bool) []string {
	d := &describer{pkg: pkg, owns: owns, seen: map[*types.TypeName]bool{}}
	scope := pkg.Scope()
	for _, name := range scope.Names() {
		if obj, isType := scope.Lookup(name).(*types.TypeName); isType && obj.Exported() && seals(obj) {
			d.sealed = append(d.sealed, obj)
		}
	}
	for _, name := range scope.Names() {
		if obj := scope.Lookup(name); obj.Exported() {
			d.object(obj)
		}
	}
	for len(d.queue) > 0 {
		next := d.queue[0]
		d.queue = d.queue[1:]
		d.namedType(next)
	}

	slices.SortFunc(d.entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.name, b.name), cmp.Compare(a.part, b.part))
	})
	described := make([]string, len(d.entries))
	for i, e := range d.entries {
		described[i] = e.line
	}
	return described
}

// seals reports whether obj is an interface with unexported methods.
func seals(obj *types.TypeName) bool {
	iface, isInterface := obj.Type().Underlying().(*types.Interface)
	return isInterface && !generic(obj.Type()) && unexportedMethods(iface)
}

func unexportedMethods(iface *types.Interface) bool {
	for method := range iface.Methods() {
		if !method.Exported() {
			return true
		}
	}
	return false
}

func generic(t types.Type) bool {
	named, isNamed := t.(*types.Named)
	return isNamed && named.TypeParams().Len() > 0
}

func (d *describer) add(order int, name, part, format string, args ...any) {
	d.entries = append(d.entries, entry{order, name, part, fmt.Sprintf(format, args...)})
}

// object describes something of the package's scope.
func (d *describer) object(obj types.Object) {
	name := obj.Name()
	switch obj := obj.(type) {
	case *types.Const:
		d.add(orderConst, name, "", "const %s %s = %s", name, d.text(obj.Type()), value(obj.Val()))
	case *types.Var:
		d.add(orderVar, name, "", "var %s %s", name, d.text(obj.Type()))
	case *types.Func:
		d.add(orderFunc, name, "", "func %s%s", name, d.signatureText(obj.Signature()))
	case *types.TypeName:
		if alias, isAlias := obj.Type().(*types.Alias); isAlias {
			d.add(orderType, name, "", "type %s%s = %s", name, d.typeParamsText(alias.TypeParams()), d.text(alias.Rhs()))
			return
		}
		d.namedType(obj)
	}
}

// value writes a constant in full.
func value(v constant.Value) string {
	if v.Kind() == constant.String {
		return strconv.Quote(constant.StringVal(v))
	}
	return v.ExactString()
}

// namedType describes a type, its fields and its methods.
func (d *describer) namedType(obj *types.TypeName) {
	named, isNamed := obj.Type().(*types.Named)
	if !isNamed || d.seen[obj] {
		return
	}
	d.seen[obj] = true

	name := d.name(obj)
	d.methods(name, named)
	d.implements(name, named)
	line := "type " + name + d.typeParamsText(named.TypeParams())
	switch u := named.Underlying().(type) {
	case *types.Struct:
		d.fields(name, named)
		if d.hidden(obj) {
			return // what it is made of can be seen by nobody
		}
		line += " struct"
		if !types.Comparable(named) {
			line += ", not comparable"
		}
	case *types.Interface:
		if u.IsMethodSet() {
			line += " interface"
		} else {
			line += " " + d.text(u)
		}
		if unexportedMethods(u) {
			line += ", with unexported methods"
		}
	default:
		line += " " + d.text(u)
	}
	d.add(orderType, name, "", "%s", line)
}

// fields describes the fields that t has itself, and those that its unexported embedded
// structs lend it.
func (d *describer) fields(name string, t types.Type) {
	visited := map[types.Type]bool{}
	var walk func(s *types.Struct)
	walk = func(s *types.Struct) {
		for i := range s.NumFields() {
			field := s.Field(i)
			if field.Exported() {
				// Another field of this name may be nearer, or as near.
				if found, _, _ := types.LookupFieldOrMethod(t, true, field.Pkg(), field.Name()); found == types.Object(field) {
					d.field(name, field, s.Tag(i))
				}
				continue
			}
			if !field.Embedded() || visited[field.Type()] {
				continue
			}
			visited[field.Type()] = true
			inner := types.Unalias(field.Type())
			if pointer, isPointer := inner.(*types.Pointer); isPointer {
				inner = pointer.Elem()
			}
			if inner, isStruct := inner.Underlying().(*types.Struct); isStruct {
				walk(inner)
			}
		}
	}
	if s, isStruct := t.Underlying().(*types.Struct); isStruct {
		walk(s)
	}
}

func (d *describer) field(typeName string, field *types.Var, tag string) {
	line := d.text(field.Type())
	if tag != "" {
		line += " " + tagText(tag)
	}
	if field.Embedded() {
		line += ", embedded"
	}
	d.add(orderType, typeName, "1 "+field.Name(), "field %s.%s %s", typeName, field.Name(), line)
}

// methods describes the methods of t and of the pointer to it, those from embedded
// fields included.
func (d *describer) methods(name string, t types.Type) {
	if iface, isInterface := t.Underlying().(*types.Interface); isInterface {
		for method := range iface.Methods() {
			if method.Exported() {
				d.method(name, "("+name+")", method.Name(), method.Type())
			}
		}
		return
	}
	onValues := types.NewMethodSet(t)
	for selection := range types.NewMethodSet(types.NewPointer(t)).Methods() {
		method := selection.Obj()
		if !method.Exported() || d.foreign(t, selection) {
			continue
		}
		receiver := "(*" + name + ")"
		if onValues.Lookup(method.Pkg(), method.Name()) != nil {
			receiver = "(" + name + ")"
		}
		d.method(name, receiver, method.Name(), selection.Type())
	}
}

func (d *describer) method(typeName, receiver, name string, t types.Type) {
	signature, isSignature := t.(*types.Signature)
	if !isSignature {
		return
	}
	d.add(orderType, typeName, "2 "+name, "method %s.%s%s", receiver, name, d.signatureText(signature))
}

// foreign reports whether a method comes from an exported embedded field of a type that
// is not the workspace's own. The field says so already, and what such a type can do may
// hang on the version of Go.
func (d *describer) foreign(t types.Type, selection *types.Selection) bool {
	path := selection.Index()
	for _, i := range path[:len(path)-1] {
		if pointer, isPointer := t.Underlying().(*types.Pointer); isPointer {
			t = pointer.Elem()
		}
		s, isStruct := t.Underlying().(*types.Struct)
		if !isStruct {
			return false
		}
		field := s.Field(i)
		t = field.Type()
		if field.Exported() && !d.ownType(t) {
			return true
		}
	}
	return false
}

// ownType reports whether t is a type of the workspace, or a pointer to one.
func (d *describer) ownType(t types.Type) bool {
	t = types.Unalias(t)
	if pointer, isPointer := t.(*types.Pointer); isPointer {
		t = types.Unalias(pointer.Elem())
	}
	named, isNamed := t.(*types.Named)
	return isNamed && named.Obj().Pkg() != nil && d.owns(named.Obj().Pkg().Path())
}

// implements describes which sealed interfaces t implements. That hangs on methods that
// are listed nowhere else.
func (d *describer) implements(name string, t types.Type) {
	if generic(t) {
		return
	}
	for _, sealed := range d.sealed {
		iface, isInterface := sealed.Type().Underlying().(*types.Interface)
		if !isInterface || types.Identical(t, sealed.Type()) {
			continue
		}
		switch part := "0 " + sealed.Name(); {
		case types.Implements(t, iface):
			d.add(orderType, name, part, "implements %s %s", name, sealed.Name())
		case types.Implements(types.NewPointer(t), iface):
			d.add(orderType, name, part, "implements *%s %s", name, sealed.Name())
		}
	}
}

// name is how a type is written in this package's snapshot. It has a type that outsiders
// can't name described as well.
func (d *describer) name(obj *types.TypeName) string {
	pkg := obj.Pkg()
	if pkg == nil {
		return obj.Name()
	}
	if d.hidden(obj) && !d.seen[obj] {
		d.queue = append(d.queue, obj)
	}
	if pkg == d.pkg {
		return obj.Name()
	}
	return pkg.Path() + "." + obj.Name()
}

// hidden reports whether obj is a type of the workspace that other modules can't name.
func (d *describer) hidden(obj *types.TypeName) bool {
	pkg := obj.Pkg().Path()
	return d.owns(pkg) && (!obj.Exported() || internal(pkg))
}
