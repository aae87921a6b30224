package expression

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
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
		cel.ASTValidators(writtenOut{}, ownNames{}, cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals()),
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

// writtenOut refuses patterns and fillers that are computed, and those that are no
// good.
type writtenOut struct{}

// Name identifies the validator.
func (writtenOut) Name() string { return "token-exchange.patterns" }

// Validate reports each of them.
func (writtenOut) Validate(_ *cel.Env, _ cel.ValidatorConfig, a *ast.AST, issues *cel.Issues) {
	instructions := 0
	for _, call := range ast.MatchDescendants(ast.NavigateAST(a), ast.KindMatcher(ast.CallKind)) {
		name := call.AsCall().FunctionName()
		args := call.AsCall().Args()
		switch {
		case name == "glob", name == "regex":
			instructions += checkPattern(issues, name, args[0])
		case name == "replace":
			checkFiller(issues, name, args[1])
		case name == "join" && len(args) > 0:
			checkFiller(issues, name, args[0])
		}
	}
	if instructions > maxInstructions {
		issues.ReportErrorAtID(a.Expr().ID(), "the patterns of regex compile to %d instructions: the limit is %d", instructions, maxInstructions)
	}
}

// Bounds of the texts that are written out: what can be made from them is in
// proportion. Instructions are those of all patterns of one expression.
const (
	maxPattern      = 512 // characters
	maxFiller       = 64  // characters
	maxInstructions = 1000
)

// checkPattern reports a pattern that is no good, and returns how many
// instructions it takes.
func checkPattern(issues *cel.Issues, function string, arg ast.Expr) int {
	pattern, ok := literal(arg)
	if !ok {
		issues.ReportErrorAtID(arg.ID(), "the pattern of %s must be a text literal, so that no claim can widen it", function)
		return 0
	}
	if len(pattern) > maxPattern {
		issues.ReportErrorAtID(arg.ID(), "the pattern of %s: %d characters are more than the limit of %d", function, len(pattern), maxPattern)
		return 0
	}
	if function != "regex" {
		return 0
	}
	instructions, err := instructionsOf(pattern)
	if err != nil {
		issues.ReportErrorAtID(arg.ID(), "the pattern of %s: %s", function, err)
	}
	return instructions
}

func instructionsOf(pattern string) (int, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0, err
	}
	return len(program.Inst), nil
}

// checkFiller reports a text that a function repeats, if it is computed or long:
// of two long claims it would make one as long as their product.
func checkFiller(issues *cel.Issues, function string, arg ast.Expr) {
	if text, ok := literal(arg); !ok || len(text) > maxFiller {
		issues.ReportErrorAtID(arg.ID(), "what %s puts in must be a text literal of at most %d characters", function, maxFiller)
	}
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
