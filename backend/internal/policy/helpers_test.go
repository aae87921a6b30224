package policy_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denialtest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// goodRole is a role with nothing to object to.
func goodRole() *policy.Role {
	r := policy.NewRole("id", "orders")
	r.Issuers, r.BoundSubject = []string{"github"}, "alice"
	r.AllowedAudiences, r.DefaultAudience = []string{"https://orders.example", "https://billing.example"}, "https://orders.example"
	r.AllowedScopes, r.DefaultScopes = []string{"read", "write"}, []string{"read"}
	return r
}

// everything is a guardrail that allows all.
var everything = policy.Guardrail{"*"}

// claims decodes claims as those of a token are: numbers stay text.
func claims(text string) token.Claims {
	var c token.Claims
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&c); err != nil {
		panic(err)
	}
	return c
}

// wantDenied checks a refusal: its code, the rule that decided, and its text.
func wantDenied(t testing.TB, err error, code denial.Code, rule, text string) {
	t.Helper()
	denialtest.Want(t, err, rule, string(code)+": "+text)
}
