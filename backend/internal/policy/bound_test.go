package policy_test

import (
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denialtest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

func TestBoundUnmet(t *testing.T) {
	claims, err := token.ParseClaims([]byte(`{"env":"prod","run":7,"teams":["a","b"],"deep":{"ref":"main"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		bound policy.Bound
		want  string
	}{
		"nothing":               {nil, ""},
		"one of several":        {policy.Bound{"env": []any{"test", "prod"}, "run": 7.0, "teams": "b", "/deep/ref": "main"}, ""},
		"one is not met":        {policy.Bound{"env": "prod", "teams": "c"}, "teams"},
		"missing":               {policy.Bound{"env": "prod", "team": "a"}, "team"},
		"the first in order":    {policy.Bound{"z": "a", "env": "x"}, "env"},
		"a pattern is no match": {policy.Bound{"env": "pr*"}, "env"},
		"types agree":           {policy.Bound{"run": "7"}, "run"},
	} {
		if got := c.bound.Unmet(claims); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestBoundCheck(t *testing.T) {
	if err := (policy.Bound{"env": []any{"a", true, 7.0}}).Check("f"); err != nil {
		t.Error(err)
	}
	for text, bound := range map[string]policy.Bound{
		`claim "env": "*" would be an ordinary character: give the exact values`: {"env": "a*"},
		`has a claim without a name`:                                                                 {"": "a"},
		`claim "env" has an empty value`:                                                             {"env": ""},
		`claim "env" has an empty list of values: nothing could match it`:                            {"env": []any{}},
		`claim "env" must be bound to a string, a boolean, an integer below 2^53, or a list of them`: {"env": 1.5},
	} {
		denialtest.Want(t, bound.Check("f"), "f", "invalid_request: f: "+text)
	}
}
