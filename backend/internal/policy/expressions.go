package policy

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/expression"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// expressions are a role's, compiled.
type expressions struct {
	condition, subject *expression.Expression
	claims             map[string]*expression.Expression
}

// Compile makes the role's expressions ready. A role whose expressions are not
// compiled refuses everybody.
func (r *Role) Compile() error {
	r.compiled = expressions{}
	var made expressions
	for _, e := range []struct {
		field, source string
		compile       func(string) (*expression.Expression, error)
		target        **expression.Expression
	}{
		{"condition", r.Condition, expression.NewCondition, &made.condition},
		{"subject", r.Subject, expression.NewText, &made.subject},
	} {
		if e.source == "" {
			continue
		}
		compiled, err := e.compile(e.source)
		if err != nil {
			return denial.Field(e.field, "%s", err)
		}
		*e.target = compiled
	}
	if len(r.Claims) > maxClaims {
		return denial.Field("claims", "has more than %d elements", maxClaims)
	}
	made.claims = map[string]*expression.Expression{}
	for _, name := range slices.Sorted(maps.Keys(r.Claims)) {
		if r.Claims[name] == "" {
			return denial.Field("claims", "%q has an empty expression: give one, such as subject.team", name)
		}
		compiled, err := expression.NewValue(r.Claims[name])
		if err != nil {
			return denial.Field("claims", "%q: %s", name, err)
		}
		made.claims[name] = compiled
	}
	r.compiled = made
	return nil
}

// maxClaims is how many claims a role may add: each is evaluated at every
// exchange.
const maxClaims = 16

// Uses tells whether an expression of the role mentions a variable.
func (r *Role) Uses(variable string) bool {
	return r.compiled.condition.Uses(variable) || r.compiled.subject.Uses(variable) ||
		slices.ContainsFunc(slices.Collect(maps.Values(r.compiled.claims)), func(e *expression.Expression) bool { return e.Uses(variable) })
}

// NeedsCaller tells whether the role asks Vault who makes the request.
func (r *Role) NeedsCaller() bool {
	return r.SubjectSource == SourceCaller || r.Delegation != DelegationForbidden && r.ActorSource == SourceCaller || r.Uses("caller")
}

// conditionBinds tells whether the condition mentions a claim of the subject, or of
// the actor, that not every token of an issuer has.
func (r *Role) conditionBinds(variable string) bool {
	return slices.ContainsFunc(r.compiled.condition.Claims(variable), func(name string) bool { return !OfEveryToken(name) })
}

// checkExpressions refuses expressions that would mean nothing, or that set what
// the engine sets.
func (r *Role) checkExpressions() error {
	if r.Delegation == DelegationForbidden && r.Uses("actor") {
		return denial.Field("delegation", "is %q, and an expression of the role mentions actor, which would never be there", DelegationForbidden)
	}
	if r.Subject != "" && slices.Contains(r.Issuers, Self) {
		return denial.Field("subject", "this engine's own tokens (issuer %q) keep their subject: leave it out", Self)
	}
	folded := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(r.Claims)) {
		lower := strings.ToLower(name)
		switch {
		case name == "" || strings.IndexFunc(name, func(c rune) bool { return c <= ' ' || c > '~' }) >= 0 || len(name) > maxIdentifier:
			return denial.Field("claims", "%q is not a claim name: printable ASCII without spaces is", name)
		case slices.Contains(reservedClaims, lower):
			return denial.Field("claims", "%q is reserved: the engine sets it, or it would mean something that no role may say", name)
		case folded[lower] != "":
			return denial.Field("claims", "%q and %q differ in case alone: consumers that ignore case would take one for the other", folded[lower], name)
		}
		folded[lower] = name
	}
	return nil
}

// reservedClaims are what RFC 7519, 8693, 9068 and 7800 give a meaning that this
// engine alone may state; claims of other kinds of token; and what some consumers
// read instead of "scope" and "client_id". Not "groups", "roles" and
// "entitlements": RFC 9068 §2.2.3.1 has them for what a role wants to say here.
var reservedClaims = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti",
	"act", "may_act", "scope", "scp", "client_id", "cid", "azp", "appid",
	"auth_time", "acr", "amr", "cnf", "authorization_details", "sub_id", "_claim_names", "_claim_sources",
	"nonce", "at_hash", "c_hash", "s_hash", "sid", "events", "typ",
	"status", "status_list", "token_introspection", "txn", "lineage",
}

var errNotCompiled = errors.New("the expressions of the role are not compiled")

// CheckCondition refuses a subject, actor, caller and request for which the
// condition of the role is not true.
func (r *Role) CheckCondition(in expression.Input) error {
	if r.Condition == "" {
		return nil
	}
	if r.compiled.condition == nil {
		return denial.Server(denial.Decide, errNotCompiled)
	}
	ok, err := r.compiled.condition.Condition(in)
	if err != nil {
		return cannotEvaluate("condition", "the condition", r, err)
	}
	if !ok {
		return denial.New(denial.InvalidRequest, denial.Decide, "condition", "the condition of the role %q is not met", r.Name)
	}
	return nil
}

// MapSubject returns "sub" as the role's subject expression makes it; the name
// that it is given if there is none.
func (r *Role) MapSubject(name string, in expression.Input) (string, error) {
	if r.Subject == "" {
		return name, nil
	}
	if r.compiled.subject == nil {
		return "", denial.Server(denial.Decide, errNotCompiled)
	}
	mapped, err := r.compiled.subject.Text(in)
	if err != nil {
		return "", cannotEvaluate("subject", "the subject expression", r, err)
	}
	if mapped == "" {
		return "", denial.New(denial.InvalidRequest, denial.Decide, "subject", "the subject expression of the role %q yields nothing", r.Name)
	}
	return mapped, nil
}

// SubjectBeginsWith tells whether the subject expression plainly begins with the
// prefix of an issuer: it is written out, or made with subject.issuer.
func (r *Role) SubjectBeginsWith(prefix, issuer string) bool {
	return strings.HasPrefix(r.compiled.subject.Beginning(issuer), prefix)
}

// MapClaims returns the claims that the role adds. One that is null is left out.
func (r *Role) MapClaims(in expression.Input) (token.Claims, error) {
	if len(r.Claims) != len(r.compiled.claims) {
		return nil, denial.Server(denial.Decide, errNotCompiled)
	}
	out := token.Claims{}
	for _, name := range slices.Sorted(maps.Keys(r.compiled.claims)) {
		v, err := r.compiled.claims[name].Value(in)
		if err != nil {
			return nil, cannotEvaluate("claims", "the expression of the claim "+token.List([]string{name}), r, err)
		}
		if v != nil {
			out[name] = v
		}
	}
	return out, nil
}

// cannotEvaluate refuses: what cannot be told is not allowed. What CEL says of it
// may hold a claim's value, and is the cause, for the log.
func cannotEvaluate(rule, what string, r *Role, err error) error {
	cause := errors.Unwrap(err)
	if cause == nil {
		cause = err
	}
	return denial.New(denial.InvalidRequest, denial.Decide, rule, "%s of the role %q cannot be evaluated: %.100s", what, r.Name, err).Because(cause)
}
