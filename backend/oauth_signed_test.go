package backend_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/hashicorp/vault/sdk/logical"
)

// accepting adds an Accept header to a request of a client.
func accepting(who func(*logical.Request), accept string) func(*logical.Request) {
	return func(r *logical.Request) {
		who(r)
		r.Headers["Accept"] = []string{accept}
	}
}

// signedAnswer asks for a signed answer and verifies it with the published keys.
func (m *mount) signedAnswer(form map[string]any, who func(*logical.Request)) (header, claims map[string]any) {
	m.t.Helper()
	req := &logical.Request{
		ID: rand.Text(), Operation: logical.UpdateOperation, Path: "oauth/introspect", Data: form, Storage: m.storage, MountPoint: "token-exchange/",
	}
	accepting(who, "application/json;q=0.5, application/token-introspection+jwt")(req)
	resp, err := m.backend.HandleRequest(m.t.Context(), req)
	if err != nil {
		m.t.Fatal(err)
	}
	raw, _ := resp.Data[logical.HTTPRawBody].([]byte)
	if resp.Data[logical.HTTPStatusCode] != 200 || resp.Data[logical.HTTPContentType] != "application/token-introspection+jwt" {
		m.t.Fatalf("got %v", resp.Data)
	}
	published, err := m.backend.HandleRequest(m.t.Context(), &logical.Request{Operation: logical.ReadOperation, Path: ".well-known/keys", Storage: m.storage})
	if err != nil {
		m.t.Fatal(err)
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(published.Data[logical.HTTPRawBody].([]byte), &keys); err != nil {
		m.t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(string(raw), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		m.t.Fatal(err)
	}
	payload, err := jws.Verify(keys)
	if err != nil {
		m.t.Fatal(err)
	}
	protected, err := base64.RawURLEncoding.DecodeString(strings.Split(string(raw), ".")[0])
	if err != nil {
		m.t.Fatal(err)
	}
	if json.Unmarshal(protected, &header) != nil || json.Unmarshal(payload, &claims) != nil {
		m.t.Fatal("not JSON")
	}
	return header, claims
}

func TestSignedIntrospection(t *testing.T) {
	m, gateway, api := newClients(t)
	token := m.post("token", m.exchangeForm(nil), gateway).body["access_token"]
	plain := m.post("introspect", map[string]any{"token": token}, api)
	header, claims := m.signedAnswer(map[string]any{"token": token}, api)
	if header["typ"] != "token-introspection+jwt" || claims["iss"] != ourIssuer || claims["aud"] != "api" || claims["iat"] != float64(m.now.Unix()) {
		t.Errorf("IN-7: got %v %v", header, claims)
	}
	wantEqual(t, "IN-7: what is said of the token", claims["token_introspection"], any(plain.body))
	for _, name := range []string{"sub", "exp"} {
		if claims[name] != nil {
			t.Errorf("IN-7: %s is outside", name)
		}
	}
	_, claims = m.signedAnswer(map[string]any{"token": "a.b.c"}, api)
	if got := asJSON(t, claims["token_introspection"]); got != `{"active":false}` {
		t.Errorf("IN-7: of an unknown token it says %s", got)
	}
	if got := m.post("introspect", map[string]any{"token": token}, accepting(api, "application/token-introspection+jwt;q=0, application/json")); got.body["active"] != true {
		t.Errorf("IN-7: what is not wanted: %s", got.raw)
	}
	if got := m.post("introspect", map[string]any{"token": token}, accepting(api, "application/json")); got.body["active"] != true {
		t.Errorf("IN-7: without the media type: %s", got.raw)
	}
}

// A signed answer is no token: it is neither exchanged nor introspected.
func TestSignedIntrospectionIsNoToken(t *testing.T) {
	m, _, api := newClients(t)
	req := &logical.Request{Operation: logical.UpdateOperation, Path: "oauth/introspect", Data: map[string]any{"token": "a.b.c"}, Storage: m.storage}
	accepting(api, "application/token-introspection+jwt")(req)
	resp, err := m.backend.HandleRequest(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	signed := string(resp.Data[logical.HTTPRawBody].([]byte))
	if m.active(signed) {
		t.Error("it is active")
	}
	if resp, err := m.request(logical.UpdateOperation, "exchange/again", map[string]any{"subject_token": signed}); err == nil && !resp.IsError() {
		t.Error("it was exchanged")
	}
}
