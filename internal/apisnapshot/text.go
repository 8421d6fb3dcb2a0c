package main

import (
	"fmt"
	"go/types"
	"strconv"
	"strings"
)

// text writes a type so that the same type always reads the same: without parameters'
// names, with type parameters by number, with the workspace's own aliases and the
// language's (any, byte, rune) resolved, and others as the sources have them, since
// another version of Go may resolve them otherwise.
func (d *describer) text(t types.Type) string {
	switch t := t.(type) {
	case *types.Basic:
		switch t.Kind() { //nolint:exhaustive // the two that have two names
		case types.Uint8:
			return "byte"
		case types.Int32:
			return "int32"
		}
		return t.String()
	case *types.Alias:
		if pkg := t.Obj().Pkg(); pkg == nil || d.owns(pkg.Path()) {
			return d.text(types.Unalias(t))
		}
		return d.name(t.Obj()) + d.typeArgsText(t.TypeArgs())
	case *types.Named:
		return d.name(t.Obj()) + d.typeArgsText(t.TypeArgs())
	case *types.TypeParam:
		return "$" + strconv.Itoa(t.Index())
	case *types.Pointer:
		return "*" + d.text(t.Elem())
	case *types.Slice:
		return "[]" + d.text(t.Elem())
	case *types.Array:
		return fmt.Sprintf("[%d]%s", t.Len(), d.text(t.Elem()))
	case *types.Map:
		return "map[" + d.text(t.Key()) + "]" + d.text(t.Elem())
	case *types.Chan:
		return d.chanText(t)
	case *types.Signature:
		return "func" + d.signatureText(t)
	case *types.Struct:
		return d.structText(t)
	case *types.Interface:
		return d.interfaceText(t)
	case *types.Union:
		return d.unionText(t)
	}
	return t.String()
}

func (d *describer) chanText(t *types.Chan) string {
	elem := d.text(t.Elem())
	switch t.Dir() {
	case types.SendOnly:
		return "chan<- " + elem
	case types.RecvOnly:
		return "<-chan " + elem
	case types.SendRecv:
	}
	if strings.HasPrefix(elem, "<-") {
		elem = "(" + elem + ")"
	}
	return "chan " + elem
}

// signatureText writes all of a function's type but the word func.
func (d *describer) signatureText(t *types.Signature) string {
	params := d.typesText(t.Params(), t.Variadic())
	text := d.typeParamsText(t.TypeParams()) + "(" + strings.Join(params, ", ") + ")"
	switch results := d.typesText(t.Results(), false); len(results) {
	case 0:
		return text
	case 1:
		return text + " " + results[0]
	default:
		return text + " (" + strings.Join(results, ", ") + ")"
	}
}

func (d *describer) typesText(tuple *types.Tuple, variadic bool) []string {
	var texts []string
	for v := range tuple.Variables() {
		texts = append(texts, d.text(v.Type()))
	}
	if last := len(texts) - 1; variadic {
		texts[last] = "..." + strings.TrimPrefix(texts[last], "[]")
	}
	return texts
}

func (d *describer) structText(t *types.Struct) string {
	var fields []string
	for i := range t.NumFields() {
		field := d.text(t.Field(i).Type())
		if !t.Field(i).Embedded() {
			field = t.Field(i).Name() + " " + field
		}
		if tag := t.Tag(i); tag != "" {
			field += " " + tagText(tag)
		}
		fields = append(fields, field)
	}
	return "struct{" + strings.Join(fields, "; ") + "}"
}

// interfaceText writes all methods, embedded or not, in the order that go/types sorts
// them into, and what limits the types.
func (d *describer) interfaceText(t *types.Interface) string {
	var parts []string
	for method := range t.Methods() {
		parts = append(parts, method.Name()+d.signatureText(method.Signature()))
	}
	for embedded := range t.EmbeddedTypes() {
		if iface, isInterface := embedded.Underlying().(*types.Interface); !isInterface || !iface.IsMethodSet() {
			parts = append(parts, d.text(embedded))
		}
	}
	switch {
	case len(parts) == 0 && t.IsComparable():
		return "comparable"
	case len(parts) == 0:
		return "any"
	case t.IsImplicit():
		return parts[0]
	}
	return "interface{" + strings.Join(parts, "; ") + "}"
}

func (d *describer) unionText(t *types.Union) string {
	var terms []string
	for term := range t.Terms() {
		text := d.text(term.Type())
		if term.Tilde() {
			text = "~" + text
		}
		terms = append(terms, text)
	}
	return strings.Join(terms, " | ")
}

func (d *describer) typeParamsText(params *types.TypeParamList) string {
	if params.Len() == 0 {
		return ""
	}
	var texts []string
	for param := range params.TypeParams() {
		texts = append(texts, d.text(param)+" "+d.text(param.Constraint()))
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

func (d *describer) typeArgsText(args *types.TypeList) string {
	if args.Len() == 0 {
		return ""
	}
	var texts []string
	for arg := range args.Types() {
		texts = append(texts, d.text(arg))
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// tagText writes a struct field's tag as most sources do.
func tagText(tag string) string {
	if strconv.CanBackquote(tag) {
		return "`" + tag + "`"
	}
	return strconv.Quote(tag)
}
