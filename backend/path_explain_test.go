package backend_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
)

// claimsOf are the claims of a good subject token.
func (m *mount) goodClaims() map[string]any { return m.idp.Claims(m.now, nil) }

func TestExplainGranted(t *testing.T) {
	m := newMount(t)
	for name, input := range map[string]map[string]any{
		"with the token":  {"subject_token": m.idp.Sign(t, m.goodClaims())},
		"with the claims": {"subject_claims": m.goodClaims()},
	} {
		t.Run(name, func(t *testing.T) {
			writes := m.storage.writes.Load()
			resp := m.write("explain/orders", input)
			claims, _ := resp.Data["claims"].(map[string]any)
			if resp.Data["allowed"] != true || resp.Data["unverified"] != (name == "with the claims") || claims["sub"] != "idp:ci-runner" || claims["aud"] != orders {
				t.Errorf("got %v", resp.Data)
			}
			if resp.Secret != nil || claims["jti"] != nil || strings.Contains(asJSON(t, resp.Data), "eyJ") {
				t.Errorf("there is a token in %s", asJSON(t, resp.Data))
			}
			if m.storage.writes.Load() != writes {
				t.Error("something was written")
			}
			steps, _ := resp.Data["steps"].([]any)
			if first, _ := steps[0].(map[string]any); len(steps) < 6 || first["rule"] != "role" || first["stage"] != "role" || first["passed"] != true {
				t.Errorf("steps %v", steps)
			}
		})
	}
	metrics := string(m.do(logical.ReadOperation, "metrics", nil).Data[logical.HTTPRawBody].([]byte))
	if want := `token_exchange_explanations_total{result="granted",role="orders"} 2`; !strings.Contains(metrics, want) || strings.Contains(metrics, "granted_total{") {
		t.Errorf("want %s and no grant in\n%s", want, metrics)
	}
}

func TestExplainDenied(t *testing.T) {
	m := newMount(t)
	claims := m.goodClaims()
	claims["sub"] = "mallory"
	resp := m.write("explain/orders", map[string]any{"subject_claims": claims})
	steps, _ := resp.Data["steps"].([]any)
	last := steps[len(steps)-1]
	want := map[string]any{"stage": "subject", "rule": "bound_subject", "passed": false, "detail": `"sub" claim: the role "orders" is bound to another subject`}
	wantEqual(t, "the last step", last, want)
	delete(resp.Data, "steps")
	wantEqual(t, "the answer", resp.Data, map[string]any{
		"allowed": false, "unverified": true, "error": "invalid_request", "stage": "subject", "rule": "bound_subject",
		"reason": `"sub" claim: the role "orders" is bound to another subject`,
	})
}

func TestExplainRefuses(t *testing.T) {
	m := newMount(t)
	for _, c := range []struct {
		name string
		data map[string]any
		text string
	}{
		{"a field that is none", map[string]any{"subject_claim": "x"}, `invalid_request: subject_claim: is not a field of explain/orders: see vault path-help`},
		{"claims that no token could hold", map[string]any{"subject_claims": map[string]any{"sub": strings.Repeat("a", 17000)}}, `invalid_request: subject_claims: 17010 bytes are more than the limit of 16384`},
		{"a number that Vault changes", map[string]any{"subject_claims": map[string]any{"ids": []any{1.0, 123456789012345678.0}}}, `invalid_request: subject_claims: has a number beyond 2^53, which Vault does not hand over exactly: ask with a token`},
		{"claims in two cases", map[string]any{"actor_claims": map[string]any{"sub": "a", "SUB": "b"}}, `invalid_request: actor_claims: member "sub" stands twice, or with another case`},
		{"a token that is no text", map[string]any{"subject_token": []any{"x"}}, `invalid_request: subject_token: must be one string`},
	} {
		t.Run(c.name, func(*testing.T) { m.wantRefused(logical.UpdateOperation, "explain/orders", c.data, c.text) })
	}
}

// A warning of the role comes with every explanation.
func TestExplainWarns(t *testing.T) {
	m := newMount(t)
	m.write("roles/orders", map[string]any{"subject_scopes": "ignore"})
	resp := m.write("explain/orders", map[string]any{"subject_claims": m.goodClaims()})
	if len(resp.Warnings) != 1 || !strings.HasPrefix(resp.Warnings[0], `subject_scopes is "ignore"`) {
		t.Errorf("warnings %q", resp.Warnings)
	}
}
