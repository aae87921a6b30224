// Package expression compiles and evaluates the expressions of a role, written
// in CEL (https://cel.dev). An expression is type-checked and bounded when the
// role is written; when it cannot be evaluated, the exchange is refused.
package expression

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Bounds of one expression. A unit of cost is about the work of one comparison.
const (
	maxSource = 4096   // characters
	maxCost   = 10_000 // units, of one evaluation
	maxMemory = 50_000 // elements and characters that exist at one time
)

// Expression is a compiled expression.
type Expression struct {
	source   string
	program  cel.Program
	mentions mentions
}

// NewCondition compiles an expression that must yield a boolean.
func NewCondition(source string) (*Expression, error) {
	return compile(source, "a boolean", cel.BoolType)
}

// NewText compiles an expression that must yield a string.
func NewText(source string) (*Expression, error) {
	return compile(source, "a string", cel.StringType)
}

// NewValue compiles an expression that may yield whatever JSON can hold.
func NewValue(source string) (*Expression, error) {
	return compile(source, "", cel.DynType)
}

func compile(source, wanted string, result *cel.Type) (*Expression, error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("is %d characters long: the limit is %d", len(source), maxSource)
	}
	env, err := environment()
	if err != nil {
		return nil, err
	}
	checked, issues := env.Compile(source)
	if issues.Err() != nil {
		return nil, explainIssues(issues)
	}
	if t := checked.OutputType(); !t.IsExactType(result) && t.Kind() != types.DynKind && wanted != "" {
		return nil, fmt.Errorf("must yield %s, and yields %s", wanted, cel.FormatCELType(t))
	}
	e := &Expression{source: source, mentions: mentionsOf(checked.NativeRep().Expr())}
	if err := checkCost(env, checked); err != nil {
		return nil, err
	}
	e.program, err = env.Program(checked, programOptions()...)
	return e, err
}

// checkCost refuses what costs too much however small the claims are.
func checkCost(env *cel.Env, checked *cel.Ast) error {
	estimate, err := env.EstimateCost(checked, nil)
	if err == nil && estimate.Min > maxCost {
		err = fmt.Errorf("costs at least %d units to evaluate: the limit is %d", estimate.Min, maxCost)
	}
	return err
}

// explainIssues names the first problem and its place.
func explainIssues(issues *cel.Issues) error {
	if len(issues.Errors()) == 0 {
		return issues.Err()
	}
	first := issues.Errors()[0]
	if first.Location.Line() < 1 {
		return errors.New(first.Message) // of the whole
	}
	return fmt.Errorf("line %d, column %d: %s; in scope are subject, actor, caller, request and now",
		first.Location.Line(), first.Location.Column()+1, first.Message)
}

// Source returns the expression as it was written.
func (e *Expression) Source() string { return e.source }

// Uses tells whether the expression mentions a variable.
func (e *Expression) Uses(variable string) bool { return e != nil && e.mentions.variables[variable] }

// Claims returns the names of the claims of the subject, or of the actor, that the
// expression mentions; a nested one as a JSON pointer.
func (e *Expression) Claims(of string) []string {
	if e == nil {
		return nil
	}
	return e.mentions.claims[of]
}

// Condition evaluates an expression made by [NewCondition]. An error means that
// it could not be evaluated.
func (e *Expression) Condition(in Input) (bool, error) {
	v, err := e.evaluate(in)
	if err != nil {
		return false, err
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, fmt.Errorf("yields %s instead of a boolean", v.Type().TypeName())
	}
	return bool(b), nil
}

// Text evaluates an expression made by [NewText].
func (e *Expression) Text(in Input) (string, error) {
	v, err := e.evaluate(in)
	if err != nil {
		return "", err
	}
	s, ok := v.(types.String)
	if !ok {
		return "", fmt.Errorf("yields %s instead of a string", v.Type().TypeName())
	}
	if err := token.CheckText(string(s)); err != nil {
		return "", fmt.Errorf("yields a value that no token can hold: %w", err)
	}
	return string(s), nil
}

// Value evaluates an expression made by [NewValue] and gives the result the form
// in which JSON holds it: an integer beyond 2^53 becomes text, a timestamp and a
// duration as well.
func (e *Expression) Value(in Input) (any, error) {
	v, err := e.evaluate(in)
	if err != nil {
		return nil, err
	}
	native, err := v.ConvertToNative(reflect.TypeFor[*structpb.Value]())
	value, ok := native.(*structpb.Value)
	if err != nil || !ok {
		return nil, fmt.Errorf("yields %s, which JSON cannot hold", v.Type().TypeName())
	}
	encoded, err := value.MarshalJSON()
	if err != nil {
		return nil, errors.New("yields a number that JSON cannot hold")
	}
	out, err := token.DecodeValue(encoded)
	if err != nil {
		return nil, fmt.Errorf("yields a value that no token can hold: %w", err)
	}
	return out, nil
}

func (e *Expression) evaluate(in Input) (ref.Val, error) {
	variables, err := in.variables()
	if err != nil {
		return nil, err
	}
	v, _, err := e.program.Eval(variables)
	if err != nil {
		return nil, e.failed(err)
	}
	return v, nil
}

// failure is an evaluation that came to nothing. What CEL says of it may hold the
// value of a claim, and is for the log: told is for whoever presented the token.
type failure struct {
	told  string
	cause error
}

func (f *failure) Error() string { return f.told }
func (f *failure) Unwrap() error { return f.cause }

// failed tells of an error what the expression itself says.
func (e *Expression) failed(err error) error {
	text := err.Error()
	err = fmt.Errorf("%.200s", text) // a claim's value in it may be as long as a token
	for _, missing := range []string{"no such key: ", "no such claim: "} {
		if name, ok := strings.CutPrefix(text, missing); ok && strings.Contains(e.source, name) {
			return &failure{told: text, cause: err}
		}
	}
	for _, known := range []string{"no such overload", "limit exceeded", "claims are looked up in subject or actor, by text"} {
		if strings.Contains(text, known) {
			return &failure{told: known, cause: err}
		}
	}
	return &failure{told: "a value is not what the expression needs", cause: err}
}
