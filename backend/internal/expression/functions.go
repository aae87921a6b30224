package expression

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
	"github.com/ryanuber/go-glob"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Our own functions. Patterns cover the whole text, and must be written out: a
// pattern made from a claim could be "*".
//
//	text.glob("repo:acme/*")         "*" stands for any text
//	text.regex("v[0-9]+")            RE2 syntax
//	subject.claim("/a.b/c")          by name or JSON pointer; an error if there is none
//	subject.hasClaim("/a.b/c")
func functions() []cel.EnvOption {
	// The claims are declared as dynamic: CEL looks into one entry of a map to tell
	// its type, and that may be a number that it cannot hold.
	claims := cel.DynType
	return []cel.EnvOption{
		cel.Function("glob", cel.MemberOverload("string_glob", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(matchGlob))),
		cel.Function("regex", cel.MemberOverload(regexOverload, []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(func(_, _ ref.Val) ref.Val { return types.NewErr("a pattern that was not compiled") }))),
		cel.Function("claim", cel.MemberOverload("claims_claim", []*cel.Type{claims, cel.StringType}, cel.DynType,
			cel.BinaryBinding(claim))),
		cel.Function("hasClaim", cel.MemberOverload("claims_has_claim", []*cel.Type{claims, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(hasClaim))),
		cel.CostModel(perCharacter("string_glob"), perCharacter(regexOverload)),
		cel.ASTValidators(writtenOut{}, ownNames{}),
	}
}

func matchGlob(text, pattern ref.Val) ref.Val {
	t, isText := text.(types.String)
	p, isPattern := pattern.(types.String)
	if !isText || !isPattern {
		return types.MaybeNoSuchOverloadErr(text)
	}
	return types.Bool(glob.Glob(string(p), string(t)))
}

// perCharacter makes a function cost the product of its text and its pattern.
func perCharacter(overload string) cost.OverloadModel {
	return cost.MemberOverload(overload, cost.EvalCost(cost.Sum(cost.Const(cost.CallCost),
		cost.StringScan(cost.Mul(cost.Length(cost.Target()), cost.Length(cost.Arg(0)))))))
}

const regexOverload = "string_regex"

// precompiledRegex compiles the pattern once, when the role is written.
var precompiledRegex = &interpreter.RegexOptimization{
	Function: "regex", OverloadID: regexOverload, RegexIndex: 1,
	Factory: func(call interpreter.InterpretableCall, pattern string) (interpreter.InterpretableCall, error) {
		compiled, err := anchored(pattern)
		if err != nil {
			return nil, err
		}
		return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(args ...ref.Val) ref.Val {
			text, ok := args[0].(types.String)
			if !ok {
				return types.MaybeNoSuchOverloadErr(args[0])
			}
			return types.Bool(compiled.MatchString(string(text)))
		}), nil
	},
}

// anchored compiles a pattern that must cover the whole text; "a|b" as well.
func anchored(pattern string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(pattern); err != nil { // so that the error shows what was written
		return nil, err
	}
	return regexp.Compile(`\A(?:` + pattern + `)\z`)
}

// claim looks a claim up by its name or JSON pointer.
func claim(of, name ref.Val) ref.Val {
	v, found, err := lookUp(of, name)
	if err == nil && !found {
		err = fmt.Errorf("no such claim: %v", name.Value())
	}
	if err != nil {
		return types.WrapErr(err)
	}
	return types.DefaultTypeAdapter.NativeToValue(v)
}

func hasClaim(of, name ref.Val) ref.Val {
	_, found, err := lookUp(of, name)
	if err != nil {
		return types.WrapErr(err)
	}
	return types.Bool(found)
}

func lookUp(of, name ref.Val) (v any, found bool, err error) {
	path, isText := name.(types.String)
	claims, isMap := of.Value().(map[string]any)
	if !isText || !isMap {
		return nil, false, errors.New("claims are looked up in subject or actor, by text")
	}
	v, found = token.Claims(claims).LookUp(string(path))
	return v, found, nil
}

// writtenOut refuses patterns that are computed, and those that do not compile.
type writtenOut struct{}

// Name identifies the validator.
func (writtenOut) Name() string { return "token-exchange.patterns" }

// Validate reports every pattern that is not a good text literal.
func (writtenOut) Validate(_ *cel.Env, _ cel.ValidatorConfig, a *ast.AST, issues *cel.Issues) {
	for _, call := range ast.MatchDescendants(ast.NavigateAST(a), ast.KindMatcher(ast.CallKind)) {
		name := call.AsCall().FunctionName()
		if name != "glob" && name != "regex" {
			continue
		}
		arg := call.AsCall().Args()[0]
		pattern, ok := literal(arg)
		if !ok {
			issues.ReportErrorAtID(arg.ID(), "the pattern of %s must be a text literal, so that no claim can widen it", name)
			continue
		}
		if err := checkPattern(name, pattern); err != nil {
			issues.ReportErrorAtID(arg.ID(), "the pattern of %s: %s", name, err)
		}
	}
}

// maxPattern bounds what a pattern can cost, in characters.
const maxPattern = 512

func checkPattern(function, pattern string) error {
	if len(pattern) > maxPattern {
		return fmt.Errorf("%d characters are more than the limit of %d", len(pattern), maxPattern)
	}
	if function == "regex" {
		_, err := anchored(pattern)
		return err
	}
	return nil
}

func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

// ownNames refuses loop variables that hide ours: what an expression mentions could
// no longer be told from its text.
type ownNames struct{}

// Name identifies the validator.
func (ownNames) Name() string { return "token-exchange.names" }

// Validate reports every loop variable that has the name of a variable in scope.
func (ownNames) Validate(_ *cel.Env, _ cel.ValidatorConfig, a *ast.AST, issues *cel.Issues) {
	for _, loop := range ast.MatchDescendants(ast.NavigateAST(a), ast.KindMatcher(ast.ComprehensionKind)) {
		for _, name := range []string{loop.AsComprehension().IterVar(), loop.AsComprehension().IterVar2()} {
			if slices.Contains(variables, name) {
				issues.ReportErrorAtID(loop.ID(), "%s is taken: give the loop variable another name", name)
			}
		}
	}
}
