package backend_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
)

// A success would tell who revokes nothing that it was done.
func TestOAuthTokenIsRequired(t *testing.T) {
	m, gateway, _ := newClients(t)
	for _, endpoint := range []string{"introspect", "revoke"} {
		for name, form := range map[string]map[string]any{
			"left out": {"token_type_hint": "access_token"}, "empty": {"token": ""}, "the whole body": {"a.b.c": ""},
		} {
			if got := m.post(endpoint, form, gateway); got.status != 400 || got.body["error"] != "invalid_request" || got.body["error_description"] != "token: is required" {
				t.Errorf("IN-1, RV-1: %s, %s: %d %s", endpoint, name, got.status, got.raw)
			}
		}
	}
}

// What Vault keeps back the engine cannot see: it tells whoever comes without
// credentials what the reason may be.
func TestOAuthTellsOfTheTune(t *testing.T) {
	m, _, _ := newClients(t)
	got := m.post("token", m.exchangeForm(nil), func(*logical.Request) {})
	if got.status != 401 || !strings.Contains(got.raw, "is Authorization among the passthrough_request_headers of the mount?") {
		t.Errorf("got %d %s", got.status, got.raw)
	}
}

// Responses come to Vault as JSON, and a body that is null there is an error.
func TestOAuthEmptyBodyIsNotNull(t *testing.T) {
	m, gateway, _ := newClients(t)
	req := &logical.Request{Operation: logical.UpdateOperation, Path: "oauth/revoke", Data: map[string]any{"token": "a.b.c"}, Storage: m.storage}
	gateway(req)
	resp, err := m.backend.HandleRequest(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if sent, err := json.Marshal(resp.Data[logical.HTTPRawBody]); err != nil || string(sent) != `""` {
		t.Errorf("the body is %s %v", sent, err)
	}
}
