package backend_test

import (
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

func TestDelegatedAnswer(t *testing.T) {
	m := newMount(t)
	m.write("roles/delegating", delegating)
	service := m.goodClaims()
	service["sub"], service["jti"], service["exp"] = "service", "actor-1", m.now.Add(time.Minute).Unix()
	resp := m.write("exchange/delegating", map[string]any{
		"subject_token": m.idp.Sign(t, m.goodClaims()), "actor_token": m.idp.Sign(t, service), "actor_token_type": "urn:ietf:params:oauth:token-type:jwt",
	})
	act := map[string]any{"iss": m.idp.URL, "sub": "service"}
	wantEqual(t, "act", resp.Data["act"], act)
	if resp.Data["subject"] != "idp:ci-runner" || resp.Data["expires_in"] != int64(60) {
		t.Errorf("got %v", resp.Data)
	}
	wantEqual(t, "act of the introspection", m.write("introspect", map[string]any{"token": resp.Data["access_token"]}).Data["act"], act)
}

// The caller acts: Vault says who that is, and no parameter can.
func TestCallerActs(t *testing.T) {
	m := newMount(t)
	m.system.EntityVal = &logical.Entity{ID: "e-1", Name: "api", Metadata: map[string]string{"team": "orders"}}
	m.system.GroupsVal = []*logical.Group{{Name: "services"}}
	m.write("roles/onbehalf", map[string]any{
		"issuers": "idp", "bound_subject": "ci-runner", "allowed_audiences": orders, "default_audience": orders, "generate_lease": false,
		"delegation": "required", "actor_source": "caller", "bound_actors": []string{"entity:e-1"},
		"condition": `"services" in caller.groups && caller.metadata.team == "orders"`,
	})
	request := func(entity string) (*logical.Response, error) {
		return m.backend.HandleRequest(t.Context(), &logical.Request{
			ID: "request-1", Operation: logical.UpdateOperation, Path: "exchange/onbehalf", Storage: m.storage, EntityID: entity,
			Data: map[string]any{"subject_token": m.idp.Sign(t, m.goodClaims())},
		})
	}
	resp, err := request("e-1")
	if err != nil || resp.IsError() {
		t.Fatal(resp, err)
	}
	wantEqual(t, "act", resp.Data["act"], map[string]any{"iss": "https://vault.example/v1/token-exchange", "sub": "entity:e-1"})

	m.system.GroupsVal = nil
	wantDeniedWith(t, request, "e-1", `invalid_request: condition: the condition of the role "onbehalf" is not met`)
	wantDeniedWith(t, request, "", `invalid_request: actor: the role "onbehalf" needs to know the caller, and the caller's Vault token has no entity: log in with an auth method (a root token has none)`)
	m.system.EntityVal.ID = "e-2"
	wantDeniedWith(t, request, "e-2", `invalid_request: actor: ["entity:e-2"] is not among the bound_actors of the role "onbehalf"`)
}

func wantDeniedWith(t *testing.T, request func(string) (*logical.Response, error), entity, text string) {
	t.Helper()
	resp, err := request(entity)
	if err == nil || !resp.IsError() || resp.Error().Error() != text {
		t.Errorf("got %v %v\nwant %s", resp, err, text)
	}
}
