package backend_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// IN-1, IN-2, IN-3: each request that is not good, and each token of which nothing is
// told, by one and the same answer.
func TestOAuthIntrospection(t *testing.T) {
	m, gateway, api := newClients(t)
	m.write("clients/billing", map[string]any{"auth_method": "client_secret_basic", "audiences": "https://billing.example"})
	billing := basic("billing", m.secret("billing"))
	m.write("clients/open", map[string]any{"auth_method": "none", "insecure_public": true, "role": "unleased"})
	granted := func() string { return m.post("token", m.exchangeForm(nil), gateway).body["access_token"].(string) }
	token, revoked, brief := granted(), granted(), m.post("token", m.exchangeForm(map[string]any{
		"subject_token": m.idp.Sign(t, m.idp.Claims(m.now, map[string]any{"exp": m.now.Add(time.Second).Unix()})),
	}), gateway).body["access_token"]
	m.post("revoke", map[string]any{"token": revoked}, gateway)
	m.now = m.now.Add(2 * time.Second)
	const inactive = `{"active":false}`
	for _, c := range []struct {
		name   string
		form   map[string]any
		who    func(*logical.Request)
		status int
		want   string // of the body, or its beginning
	}{
		{"IN-4 a client of the audience", map[string]any{"token": token}, api, 200, `{"active":true,`},
		{"IN-5 the client that asked for it, though it has no audiences", map[string]any{"token": token}, gateway, 200, `{"active":true,`},
		{"IN-1 a wrong hint", map[string]any{"token": token, "token_type_hint": "refresh_token"}, api, 200, `{"active":true,`},
		{"IN-1 an unknown hint", map[string]any{"token": token, "token_type_hint": "x"}, api, 200, `{"active":true,`},
		{"IN-3 IN-5 a token for another service", map[string]any{"token": token}, billing, 200, inactive},
		{"IN-3 revoked", map[string]any{"token": revoked}, api, 200, inactive},
		{"IN-3 expired", map[string]any{"token": brief}, gateway, 200, inactive},
		{"IN-3 garbage", map[string]any{"token": "garbage"}, api, 200, inactive},
		{"IN-3 a changed token", map[string]any{"token": token[:len(token)-8] + "AAAAAAAA"}, api, 200, inactive},
		{"IN-3 another issuer's token", map[string]any{"token": m.idp.Sign(t, m.idp.Claims(m.now, nil))}, api, 200, inactive},
		{"IN-3 white space around it", map[string]any{"token": " " + token}, api, 200, inactive},
		{"IN-1 no token", nil, api, 400, `{"error":"invalid_request","error_description":"token: is required"}`},
		{"IN-1 an empty token", map[string]any{"token": ""}, api, 400, `{"error":"invalid_request","error_description":"token: is required"}`},
		{"VT-1 two tokens", map[string]any{"token": token + "," + token}, api, 400, `{"error":"invalid_request","error_description":"token: must be given once, and has no comma"}`},
		{"VT-1 two hints", map[string]any{"token": token, "token_type_hint": "a,b"}, api, 400, `{"error":"invalid_request","error_description":"token_type_hint: must be given once, and has no comma"}`},
		{"IN-2 nobody", map[string]any{"token": token}, func(*logical.Request) {}, 401, `{"error":"invalid_client",`},
		{"IN-2 a wrong secret", map[string]any{"token": token}, basic("api", "wrong"), 401, `{"error":"invalid_client",`},
		{"IN-2 a client that proves nothing", map[string]any{"token": token}, with(map[string]any{"client_id": "open"}), 400, `{"error":"unauthorized_client","error_description":"auth_method: only a client that proves who it is may introspect"}`},
		{"IN-2 VT-3 a Vault token", map[string]any{"token": token}, header("Authorization", "Bearer hvs.secret"), 401, `{"error":"invalid_client",`},
	} {
		got := m.post("introspect", c.form, c.who)
		if got.status != c.status || !strings.HasPrefix(got.raw, c.want) || c.want == inactive && got.raw != inactive {
			t.Errorf("%s: got %d %s", c.name, got.status, got.raw)
		}
		got.wantOAuth(t)
	}
}

// IN-4: the members of an active answer, and their types; TX-25: scope is one text.
func TestOAuthIntrospectionMembers_IN4(t *testing.T) {
	m, gateway, api := newClients(t)
	token := m.post("token", m.exchangeForm(map[string]any{"scope": "orders:read orders:write"}), gateway).body["access_token"]
	got := m.post("introspect", map[string]any{"token": token}, api)
	jti, _ := json.Marshal(got.body["jti"])
	txn, _ := json.Marshal(got.body["txn"])
	want := `{"active":true,"aud":["https://orders.example"],"client_id":"gateway","exp":1800000300,"iat":1800000000,"iss":"` + ourIssuer + `","jti":` + string(jti) +
		`,"scope":"orders:read orders:write","sub":"idp:ci-runner","token_type":"Bearer","txn":` + string(txn) + `}`
	if got.raw != want {
		t.Errorf("\ngot  %s\nwant %s", got.raw, want)
	}
}

// IN-5: a service is not told for whom else a token is; the client that asked for it
// knows.
func TestOAuthIntrospectionTellsAServiceOfItself_IN5(t *testing.T) {
	m, gateway, api := newClients(t)
	m.write("roles/unleased", map[string]any{"allowed_audiences": []string{orders, "https://billing.example"}})
	granted := m.post("token", m.exchangeForm(map[string]any{"audience": orders + ",https://billing.example"}), gateway)
	token := map[string]any{"token": granted.body["access_token"]}
	for name, c := range map[string]struct {
		who  func(*logical.Request)
		want string
	}{
		"the service":                  {api, `["https://orders.example"]`},
		"the client that asked for it": {gateway, `["https://orders.example","https://billing.example"]`},
	} {
		if got := asJSON(t, m.post("introspect", token, c.who).body["aud"]); got != c.want {
			t.Errorf("%s is told %s", name, got)
		}
	}
}

// IN-6: a token is active as long as all that it came from is: keys, roles, clients and
// what it was exchanged from.
func TestOAuthIntrospectionIsAFullCheck_IN6(t *testing.T) {
	for name, end := range map[string]func(m *mount){
		"the key was revoked": func(m *mount) { m.write("keys/main/revoke", nil) },
		"the role was deleted": func(m *mount) {
			m.write("clients/gateway", map[string]any{"role": ""})
			m.do(logical.DeleteOperation, "roles/unleased", nil)
		},
		"the client was deleted": func(m *mount) { m.do(logical.DeleteOperation, "clients/gateway", nil) },
		"it has expired":         func(m *mount) { m.now = m.now.Add(5 * time.Minute) },
	} {
		m, gateway, api := newClients(t)
		token := m.post("token", m.exchangeForm(nil), gateway).body["access_token"]
		ask := map[string]any{"token": token}
		if got := m.post("introspect", ask, api); got.body["active"] != true {
			t.Fatalf("%s: not active before: %s", name, got.raw)
		}
		end(m)
		if got := m.post("introspect", ask, api); got.raw != `{"active":false}` {
			t.Errorf("%s: got %s", name, got.raw)
		}
	}
}

// RV-1, RV-2, RV-3: what a revocation answers, and whether the token lives on.
func TestOAuthRevocation(t *testing.T) {
	m, gateway, api := newClients(t)
	m.write("clients/open", map[string]any{"auth_method": "none", "insecure_public": true, "role": "unleased"})
	open := with(map[string]any{"client_id": "open"})
	for _, c := range []struct {
		name   string
		by     func(*logical.Request)
		change map[string]any // nil for the token; else the form
		who    func(*logical.Request)
		want   string
		dead   bool
	}{
		{"RV-1 the client's own token", gateway, nil, gateway, "200", true},
		{"RV-2 a wrong hint", gateway, map[string]any{"token_type_hint": "refresh_token"}, gateway, "200", true},
		{"RV-2 an unknown hint", gateway, map[string]any{"token_type_hint": "x"}, gateway, "200", true},
		{"RV-3 another client's token, though it is of its audience", gateway, nil, api, "200", false},
		{"RV-3 a token of a public client, by another", open, nil, gateway, "200", false},
		{"RV-1 a public client's own token", open, nil, open, "200", true},
		{"RV-3 a token of Vault's own entrance", nil, nil, gateway, "200", false},
		{"RV-1 garbage", gateway, map[string]any{"token": "garbage"}, gateway, "200", false},
		{"RV-1 no token", gateway, map[string]any{"token": ""}, gateway, "400 invalid_request token: is required", false},
		{"VT-1 two tokens", gateway, map[string]any{"token": "a,b"}, gateway, "400 invalid_request token: must be given once, and has no comma", false},
		{"RV-1 nobody", gateway, nil, func(*logical.Request) {}, "401 invalid_client client_id: is missing, as is every other way to authenticate; if Authorization: Basic was sent, is Authorization among the passthrough_request_headers of the mount?", false},
		{"RV-1 a wrong secret", gateway, nil, basic("gateway", "wrong"), unproven, false},
	} {
		var token any
		if c.by == nil {
			token = m.exchange("unleased").Data["access_token"]
		} else {
			token = m.post("token", m.exchangeForm(nil), c.by).body["access_token"]
		}
		form := map[string]any{"token": token}
		maps.Copy(form, c.change)
		got := m.post("revoke", form, c.who)
		if got.String() != c.want || got.status == http.StatusOK && got.raw != "" {
			t.Errorf("%s: got %s %q", c.name, got, got.raw)
		}
		if m.active(token) == c.dead {
			t.Errorf("%s: active is %t", c.name, !c.dead)
		}
	}
}

// RV-4, RV-6, RV-7: a revocation is at once, for good, and reaches what was exchanged from
// the token; it is no error to revoke twice, or what has expired.
func TestOAuthRevocationIsFinal_RV4(t *testing.T) {
	m, gateway, api := newClients(t)
	token := m.post("token", m.exchangeForm(nil), gateway).body["access_token"]
	child := m.write("exchange/again", map[string]any{"subject_token": token}).Data["access_token"]
	for range 2 {
		if got := m.post("revoke", map[string]any{"token": token}, gateway); got.status != http.StatusOK {
			t.Fatal(got)
		}
	}
	m.restart()
	for name, raw := range map[string]any{"the token": token, "RV-6: what was exchanged from it": child} {
		if got := m.post("introspect", map[string]any{"token": raw}, api); got.raw != `{"active":false}` {
			t.Errorf("%s: %s", name, got.raw)
		}
	}
	m.write("clients/next", map[string]any{"auth_method": "client_secret_basic", "role": "again"})
	got := m.post("token", map[string]any{"grant_type": grantType, "subject_token": token, "subject_token_type": typeAccessToken}, basic("next", m.secret("next")))
	if got.String() != "400 invalid_request revoked: the token, or one that it was exchanged from, was revoked" {
		t.Errorf("as a subject token: %s", got)
	}
	m.now = m.now.Add(time.Hour)
	writes := m.storage.writes.Load()
	if got := m.post("revoke", map[string]any{"token": token}, gateway); got.status != http.StatusOK || m.storage.writes.Load() != writes {
		t.Errorf("RV-7: revoking what has expired: %s, %d writes", got, m.storage.writes.Load()-writes)
	}
}

// RV-5: a revocation that cannot be stored is not reported as done.
func TestOAuthRevocationThatCannotBeStored_RV5(t *testing.T) {
	m, gateway, _ := newClients(t)
	token := m.post("token", m.exchangeForm(nil), gateway).body["access_token"]
	m.storage.failPut = func(string) bool { return true }
	got := m.post("revoke", map[string]any{"token": token}, gateway)
	if got.String() != "503 temporarily_unavailable token: the token cannot be revoked now" || !m.active(token) {
		t.Errorf("got %s", got)
	}
}

// RV-8: the Vault path and the OAuth endpoint take a token back in the same way.
func TestOAuthTokenIsRevokedByVault_RV8(t *testing.T) {
	m, gateway, api := newClients(t)
	token := m.post("token", m.exchangeForm(nil), gateway).body["access_token"]
	m.write("revoke", map[string]any{"token": token})
	if got := m.post("introspect", map[string]any{"token": token}, api); got.raw != `{"active":false}` {
		t.Errorf("got %s", got.raw)
	}
}

// MD-1, MD-2, MD-3, BC-5, BC-7, VT-5, VT-7: the metadata, to the letter; the same at both places,
// whatever host the request names.
func TestMetadata(t *testing.T) {
	m := newMount(t)
	methods := func(endpoint string, more string) string {
		return `"` + endpoint + `_endpoint":"` + ourIssuer + `/oauth/` + map[string]string{"introspection": "introspect", "revocation": "revoke", "token": "token"}[endpoint] +
			`","` + endpoint + `_endpoint_auth_methods_supported":["private_key_jwt","client_secret_basic","client_secret_post","tls_client_auth","self_signed_tls_client_auth"` + more +
			`],"` + endpoint + `_endpoint_auth_signing_alg_values_supported":["RS256","RS384","RS512","PS256","PS384","PS512","ES256","ES384","ES512","EdDSA"]`
	}
	want := `{"dpop_signing_alg_values_supported":["RS256","RS384","RS512","PS256","PS384","PS512","ES256","ES384","ES512","EdDSA"],"grant_types_supported":["` + grantType + `"],"id_token_signing_alg_values_supported":["ES256"],` + methods("introspection", "") +
		`,"introspection_signing_alg_values_supported":["ES256"],"issuer":"` + ourIssuer + `","jwks_uri":"` + ourIssuer + `/.well-known/keys","response_types_supported":["id_token"],` + methods("revocation", `,"none"`) +
		`,"subject_types_supported":["public"],"tls_client_certificate_bound_access_tokens":true,` + methods("token", `,"none"`) + `}`
	for _, path := range []string{".well-known/openid-configuration", ".well-known/oauth-authorization-server"} {
		resp, err := m.backend.HandleRequest(t.Context(), &logical.Request{
			Operation: logical.ReadOperation, Path: path, Storage: m.storage, MountPoint: "evil/",
			Headers: map[string][]string{"Host": {"evil.example"}, "X-Forwarded-Host": {"evil.example"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(resp.Data[logical.HTTPRawBody].([]byte)); got != want {
			t.Errorf("IN-8, MD-1: %s:\ngot  %s\nwant %s", path, got, want)
		}
	}
}

// AT-1, MD-4: RS256 is there for whoever knows nothing else, and then told.
func TestRS256IsServed_AT1(t *testing.T) {
	m := newMount(t)
	m.write("keys/rsa", map[string]any{"algorithm": "RS256", "publication_lead": "1h", "verification_period": "2h"})
	m.now = m.now.Add(10 * time.Minute)
	m.write("roles/unleased", map[string]any{"key": "rsa"})
	if !m.active(m.exchange("unleased").Data["access_token"]) {
		t.Error("a token signed with RS256 is not active")
	}
	if body := string(m.read(".well-known/openid-configuration")[logical.HTTPRawBody].([]byte)); !strings.Contains(body, `"id_token_signing_alg_values_supported":["ES256","RS256"]`) {
		t.Errorf("got %s", body)
	}
}
