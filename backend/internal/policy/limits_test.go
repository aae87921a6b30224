package policy_test

import (
	"fmt"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
)

// many fills a map with n entries.
func many[V any](n int, value V) map[string]V {
	m := map[string]V{}
	for i := range n {
		m[fmt.Sprintf("m%d", i)] = value
	}
	return m
}

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name, field, text string
		fill              func(*policy.Role, int)
	}{
		{
			"bound claims", "bound_claims", `has more than 256 elements`,
			func(r *policy.Role, n int) { r.BoundClaims = many[any](n, "x") },
		},
		{
			"values of a bound claim", "bound_claims", `claim "a" has more than 256 values`,
			func(r *policy.Role, n int) {
				values := make([]any, n)
				for i := range values {
					values[i] = true
				}
				r.BoundClaims = map[string]any{"a": values}
			},
		},
		{
			"scope_map", "scope_map", `has more than 256 elements`,
			func(r *policy.Role, n int) { r.SubjectScopes, r.ScopeMap = policy.ScopesMap, many(n, []string{"read"}) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := goodRole()
			c.fill(r, 256)
			if err := r.Validate(); err != nil {
				t.Errorf("256: %s", err)
			}
			c.fill(r, 257)
			wantDenied(t, r.Validate(), denial.InvalidRequest, c.field, c.field+": "+c.text)
		})
	}
}
