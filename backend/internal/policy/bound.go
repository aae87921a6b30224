package policy

import (
	"maps"
	"slices"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Bound are claims and the values that they must have, each exactly: a role's
// bound_claims without patterns, for those who are no role.
type Bound map[string]any

// Check checks the form of the values, which a field of a configuration holds.
func (b Bound) Check(field string) error {
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if hasStar(b[name]) {
			return denial.Field(field, "claim %q: \"*\" would be an ordinary character: give the exact values", name)
		}
	}
	return checkBoundClaims(field, b, MatchString)
}

// Unmet returns the first claim that is missing or has none of its values; ""
// if every claim has one of them.
func (b Bound) Unmet(claims token.Claims) string {
	for _, name := range slices.Sorted(maps.Keys(b)) {
		value, ok := claims.LookUp(name)
		if !ok || !matchAny(value, b[name], MatchString) {
			return name
		}
	}
	return ""
}
