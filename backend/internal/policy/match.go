package policy

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/ryanuber/go-glob"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Match tells whether the role takes a subject with these verified claims.
func (r *Role) Match(claims token.Claims, trace *denial.Trace) error {
	if r.BoundSubject != "" {
		sub, _ := claims["sub"].(string)
		if sub != r.BoundSubject {
			return refuse("bound_subject", `"sub" claim: the role %q is bound to another subject`, r.Name)
		}
		trace.Pass(denial.Subject, "bound_subject", `"sub" is %s`, token.List([]string{sub}))
	}
	if len(r.BoundAudiences) > 0 {
		audience, err := claims.Strings("aud")
		if err != nil {
			return err
		}
		if !token.Intersects(audience, r.BoundAudiences) {
			return refuse("bound_audiences", `"aud" claim: the role %q expects one of %s but got %s`,
				r.Name, token.List(r.BoundAudiences), token.List(audience))
		}
		trace.Pass(denial.Subject, "bound_audiences", `"aud" is %s`, token.List(audience))
	}
	for _, name := range slices.Sorted(maps.Keys(r.BoundClaims)) {
		value, ok := claims.LookUp(name)
		if !ok {
			return refuse("bound_claims", "claim %q is missing and the role %q binds it", name, r.Name)
		}
		if !matchAny(value, r.BoundClaims[name], r.BoundClaimsType) {
			return refuse("bound_claims", "claim %q does not have a value that the role %q is bound to%s", name, r.Name, otherType(value, r.BoundClaims[name]))
		}
		trace.Pass(denial.Subject, "bound_claims", "claim %q has a value that the role is bound to", name)
	}
	return nil
}

func refuse(rule, format string, args ...any) *denial.Error {
	return denial.New(denial.InvalidRequest, denial.Subject, rule, format, args...)
}

// matchAny tells whether a claim, or one element of it if it is an array, is
// one of the wanted values. Types must agree: "true" is not true.
func matchAny(claim, wanted any, how string) bool {
	wants, ok := wanted.([]any)
	if !ok {
		wants = []any{wanted}
	}
	values, ok := claim.([]any)
	if !ok {
		values = []any{claim}
	}
	for _, want := range wants {
		if slices.ContainsFunc(values, func(v any) bool { return matchOne(v, want, how) }) {
			return true
		}
	}
	return false
}

// otherType tells that no value could have matched, since all have another type.
func otherType(claim, wanted any) string {
	is := typeName(claim)
	wants, ok := wanted.([]any)
	if !ok {
		wants = []any{wanted}
	}
	for _, want := range wants {
		if is == "" || typeName(want) == is {
			return ""
		}
	}
	return ": it is " + is + ", and the role binds " + cmp.Or(typeName(wants[0]), "something else")
}

// typeName names the type of a scalar; "" for others.
func typeName(v any) string {
	switch v.(type) {
	case string:
		return "text"
	case bool:
		return "a boolean"
	case json.Number, float64, int, int64:
		return "a number"
	default:
		return ""
	}
}

func matchOne(value, want any, how string) bool {
	switch want := want.(type) {
	case string:
		s, ok := value.(string)
		if ok && how == MatchGlob {
			return glob.Glob(want, s)
		}
		return ok && s == want
	case bool:
		return value == want
	}
	a, okA := integer(value)
	b, okB := integer(want)
	return okA && okB && a == b
}

// maxExact is the largest integer of which no other becomes the same on its way
// through Vault, which reads JSON numbers as doubles.
const maxExact = 1<<53 - 1

// integer returns a JSON number as an integer, in each form that a decoder
// gives it. Fractions and numbers that a double cannot hold are not integers.
func integer(v any) (int64, bool) {
	var f float64
	switch n := v.(type) {
	case json.Number:
		i, err := n.Int64()
		return i, err == nil && i <= maxExact && i >= -maxExact
	case float64:
		f = n
	case int:
		f = float64(n)
	case int64:
		f = float64(n)
	default:
		return 0, false
	}
	return int64(f), f == math.Trunc(f) && math.Abs(f) <= maxExact
}

// checkBoundClaims checks the form of bound claims: each claim is bound to one
// or more strings, booleans or integers.
func checkBoundClaims(field string, bound map[string]any, how string) error {
	if len(bound) > maxItems {
		return denial.Field(field, "has more than %d elements", maxItems)
	}
	for _, name := range slices.Sorted(maps.Keys(bound)) {
		if name == "" || name == "/" {
			return denial.Field(field, "has a claim without a name")
		}
		wants, ok := bound[name].([]any)
		if !ok {
			wants = []any{bound[name]}
		}
		if len(wants) > maxItems {
			return denial.Field(field, "claim %q has more than %d values", name, maxItems)
		}
		if len(wants) == 0 {
			return denial.Field(field, "claim %q has an empty list of values: nothing could match it", name)
		}
		for _, want := range wants {
			if err := checkWanted(field, name, want, how); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkWanted(field, name string, want any, how string) error {
	_, isInteger := integer(want)
	switch want := want.(type) {
	case string:
		if want == "" {
			return denial.Field(field, "claim %q has an empty value", name)
		}
		if how == MatchGlob && strings.Trim(want, "*") == "" {
			return denial.Field(field, "claim %q: the pattern %q matches every value", name, want)
		}
		return nil
	case bool:
		return nil
	}
	if isInteger {
		return nil
	}
	return denial.Field(field, "claim %q must be bound to a string, a boolean, an integer below 2^53, or a list of them", name)
}
