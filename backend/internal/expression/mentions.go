package expression

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// mentions is what an expression looks at, as far as its text tells.
type mentions struct {
	variables map[string]bool
	claims    map[string][]string // by variable
	beginning string
}

func mentionsOf(root ast.Expr) mentions {
	found := mentions{variables: map[string]bool{}, claims: map[string][]string{}}
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.IdentKind {
			found.variables[e.AsIdent()] = true
		}
		if path := pathOf(e); len(path) > 1 {
			found.claims[path[0]] = append(found.claims[path[0]], claimName(path[1:]))
		}
	}))
	for variable, names := range found.claims {
		slices.Sort(names)
		found.claims[variable] = slices.Compact(names)
	}
	found.beginning = beginning(root)
	return found
}

// claimName is how bound_claims names a claim.
func claimName(path []string) string {
	if len(path) == 1 {
		return path[0]
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var pointer strings.Builder
	for _, part := range path {
		pointer.WriteString("/" + escape.Replace(part))
	}
	return pointer.String()
}

// pathOf follows selections and look-ups with a literal back to a variable.
func pathOf(e ast.Expr) []string {
	switch e.Kind() {
	case ast.IdentKind:
		return []string{e.AsIdent()}
	case ast.SelectKind:
		s := e.AsSelect()
		return extend(pathOf(s.Operand()), s.FieldName())
	case ast.CallKind:
		return pathOfCall(e.AsCall())
	}
	return nil
}

func pathOfCall(call ast.CallExpr) []string {
	switch call.FunctionName() {
	case "_[_]":
		if name, ok := literal(call.Args()[1]); ok {
			return extend(pathOf(call.Args()[0]), name)
		}
	case "claim", "hasClaim":
		if name, ok := literal(call.Args()[0]); ok {
			return extend(pathOf(call.Target()), token.SplitPointer(name)...)
		}
	}
	return nil
}

func extend(path []string, names ...string) []string {
	if path == nil {
		return nil
	}
	return append(path, names...)
}

// Beginning returns the text with which the result plainly begins: the literals at
// the beginning of a sum, and subject.issuer, which is given.
func (e *Expression) Beginning(issuer string) string {
	if e == nil {
		return ""
	}
	return strings.ReplaceAll(e.mentions.beginning, issuerMark, issuer)
}

// issuerMark stands for subject.issuer; no literal has it, see [beginning].
const issuerMark = "\x00"

func beginning(root ast.Expr) string {
	var text strings.Builder
	for _, e := range summands(root) {
		s, isLiteral := literal(e)
		path := pathOf(e)
		switch {
		case isLiteral && !strings.Contains(s, issuerMark):
			text.WriteString(s)
		case len(path) == 2 && path[0] == "subject" && path[1] == "issuer":
			text.WriteString(issuerMark)
		default:
			return text.String()
		}
	}
	return text.String()
}

// summands returns the parts of a sum, in order.
func summands(e ast.Expr) []ast.Expr {
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != "_+_" {
		return []ast.Expr{e}
	}
	args := e.AsCall().Args()
	return append(summands(args[0]), summands(args[1])...)
}
