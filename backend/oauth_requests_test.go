package backend_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
)

const (
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	typeRefresh     = "urn:ietf:params:oauth:token-type:refresh_token"
)

// Each case differs in one thing from a request that is granted. VT-4, TX-16, TX-18: each
// answer has OAuth's shape and headers.
func TestOAuthRequests(t *testing.T) {
	m, gateway, api := newClients(t)
	good := m.exchangeForm(nil)["subject_token"].(string)
	signed := func(replaced map[string]any) string { return m.idp.Sign(t, m.idp.Claims(m.now, replaced)) }
	targets := func(n int) string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf("https://t%d.example", i))
		}
		return strings.Join(out, ",")
	}
	for _, c := range []struct {
		name   string
		change map[string]any
		want   string
	}{
		{"TX-1 no grant type", map[string]any{"grant_type": nil}, "400 invalid_request grant_type: is required: urn:ietf:params:oauth:grant-type:token-exchange"},
		{"TX-1 an empty grant type", map[string]any{"grant_type": ""}, "400 invalid_request grant_type: is required: urn:ietf:params:oauth:grant-type:token-exchange"},
		{"TX-1 BC-3 the password grant", map[string]any{"grant_type": "password"}, "400 unsupported_grant_type grant_type: the one that is supported is urn:ietf:params:oauth:grant-type:token-exchange"},
		{"TX-1 the grant type in another case", map[string]any{"grant_type": strings.ToUpper(grantType)}, "400 unsupported_grant_type grant_type: the one that is supported is urn:ietf:params:oauth:grant-type:token-exchange"},
		{"VT-1 two grant types", map[string]any{"grant_type": grantType + "," + grantType}, "400 invalid_request grant_type: must be given once, and has no comma"},
		{"TX-2 an unknown parameter", map[string]any{"foo": "bar"}, "200"},
		{"TX-2 an unknown parameter of JSON", map[string]any{"foo": map[string]any{"a": 1}}, "200"},
		{"TX-2 an empty actor token", map[string]any{"actor_token": ""}, "200"},
		{"TX-2 all that is optional, empty", map[string]any{"actor_token": "", "actor_token_type": "", "resource": "", "requested_token_type": "", "scope": "", "audience": ""}, "200"},
		{"TX-3 no subject token", map[string]any{"subject_token": nil}, "400 invalid_request subject_token: is required"},
		{"TX-2 an empty subject token", map[string]any{"subject_token": ""}, "400 invalid_request subject_token: is required"},
		{"TX-3 no type of the subject token", map[string]any{"subject_token_type": nil}, "400 invalid_request subject_token_type: is required"},
		{"TX-4 an actor token alone", map[string]any{"actor_token": good}, "400 invalid_request actor_token_type: is required with actor_token"},
		{"TX-4 an actor's type alone", map[string]any{"actor_token_type": typeJWT}, "400 invalid_request actor_token_type: is given without actor_token"},
		{"TX-5 a foreign token as an access token", map[string]any{"subject_token_type": typeAccessToken}, "400 invalid_request subject_token_type: 'urn:ietf:params:oauth:token-type:access_token' means a token that this engine issued: use 'urn:ietf:params:oauth:token-type:jwt'"},
		{"TX-5 a foreign token as an ID token", map[string]any{"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"}, "200"},
		{"TX-5 a SAML assertion", map[string]any{"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "400 invalid_request subject_token_type: ['urn:ietf:params:oauth:token-type:saml2'] is not supported: use one of ['urn:ietf:params:oauth:token-type:jwt', 'urn:ietf:params:oauth:token-type:id_token', 'urn:ietf:params:oauth:token-type:access_token']"},
		{"TX-5 a type in another case", map[string]any{"subject_token_type": strings.ToUpper(typeJWT)}, "400 invalid_request subject_token_type: ['URN:IETF:PARAMS:OAUTH:TOKEN-TYPE:JWT'] is not supported: use one of ['urn:ietf:params:oauth:token-type:jwt', 'urn:ietf:params:oauth:token-type:id_token', 'urn:ietf:params:oauth:token-type:access_token']"},
		{"TX-6 an expired subject token", map[string]any{"subject_token": signed(map[string]any{"exp": m.now.Unix()})}, "400 invalid_request subject: 'exp' claim expired at 2027-01-15T08:00:00Z"},
		{"TX-6 a subject that the role does not take", map[string]any{"subject_token": signed(map[string]any{"sub": "mallory"})}, "400 invalid_request subject: 'sub' claim: the role 'unleased' is bound to another subject"},
		{"TX-6 garbage", map[string]any{"subject_token": "garbage"}, "400 invalid_request subject: the token is not a signed JWT: want three segments separated by '.'"},
		{"TX-6 a changed token", map[string]any{"subject_token": tamper(good)}, "400 invalid_request subject: the token's payload: malformed JSON: invalid character '/x00' looking for beginning of value"},
		{"TX-28 a token for another service", map[string]any{"subject_token": signed(map[string]any{"aud": "https://other.example"})}, "400 invalid_request subject: 'aud' claim expected one of ['https://vault.example'] but got ['https://other.example']"},
		{"TX-26 a token bound to a key", map[string]any{"subject_token": signed(map[string]any{"cnf": map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}})}, "400 invalid_request subject: 'cnf' claim: the token is bound to a key, and the role 'unleased' would answer with one that is not: set binding"},
		{"TX-27 TX-20 an actor whom the role does not take", map[string]any{"actor_token": good, "actor_token_type": typeJWT}, "400 invalid_request actor: the role 'unleased' does not allow delegation: leave actor_token out"},
		{"TX-7 a relative resource", map[string]any{"resource": "/x"}, "400 invalid_target resource: ['/x'] is not an absolute URI without a fragment"},
		{"TX-7 a resource with a fragment", map[string]any{"resource": orders + "#f"}, "400 invalid_target resource: ['https://orders.example#f'] is not an absolute URI without a fragment"},
		{"TX-7 a resource that is no URI", map[string]any{"resource": "http://[::1"}, "400 invalid_target resource: ['http://[::1'] is not an absolute URI without a fragment"},
		{"TX-7 AT-6 a resource that is not allowed", map[string]any{"resource": "https://other.example"}, "400 invalid_target allowed_audiences: the role 'unleased' does not allow the audience ['https://other.example']"},
		{"TX-8 the audience as a resource", map[string]any{"audience": nil, "resource": orders}, "200"},
		{"TX-8 audience and resource", map[string]any{"resource": orders}, "200"},
		{"TX-8 the audience twice", map[string]any{"audience": orders + "," + orders}, "200"},
		{"TX-8 VT-1 one refused audience of two", map[string]any{"audience": orders + ",https://other.example"}, "400 invalid_target allowed_audiences: the role 'unleased' does not allow the audience ['https://other.example']"},
		{"TX-8 one refused resource of two", map[string]any{"audience": nil, "resource": orders + ",https://other.example"}, "400 invalid_target allowed_audiences: the role 'unleased' does not allow the audience ['https://other.example']"},
		{"TX-8 audiences as a list of JSON", map[string]any{"audience": []any{orders}}, "200"},
		{"TX-8 a list with a number", map[string]any{"audience": []any{7}}, "400 invalid_request audience: must be a list of texts without commas"},
		{"TX-8 an object", map[string]any{"audience": map[string]any{"a": "b"}}, "400 invalid_request audience: must be text"},
		{"TX-8 eleven targets", map[string]any{"audience": targets(11)}, "400 invalid_target audience: 11 targets are more than the limit of 10"},
		{"TX-10 a scope that is not allowed", map[string]any{"scope": "admin"}, "400 invalid_scope allowed_scopes: the role 'unleased' does not allow the scope ['admin']"},
		{"TX-10 one of two", map[string]any{"scope": "orders:read admin"}, "400 invalid_scope allowed_scopes: the role 'unleased' does not allow the scope ['admin']"},
		{"TX-10 a scope in another case", map[string]any{"scope": "Orders:Read"}, "400 invalid_scope allowed_scopes: the role 'unleased' does not allow the scope ['Orders:Read']"},
		{"TX-10 a malformed scope", map[string]any{"scope": "orders:read\"\\"}, "400 invalid_scope allowed_scopes: the role 'unleased' does not allow the scope ['orders:read/'//']"},
		{"VT-1 two scopes", map[string]any{"scope": "orders:read,orders:write"}, "400 invalid_request scope: must be given once, and has no comma"},
		{"TX-11 a refresh token", map[string]any{"requested_token_type": typeRefresh}, "400 invalid_request requested_token_type: ['urn:ietf:params:oauth:token-type:refresh_token'] is not supported: use 'urn:ietf:params:oauth:token-type:access_token' or 'urn:ietf:params:oauth:token-type:jwt'"},
		{"TX-11 TX-14 a plain JWT of a role for access tokens", map[string]any{"requested_token_type": typeJWT}, "400 invalid_request requested_token_type: the role 'unleased' issues access tokens (typ at+jwt): ask for 'urn:ietf:params:oauth:token-type:access_token'"},
		{"TX-11 an access token", map[string]any{"requested_token_type": typeAccessToken}, "200"},
		{"VT-1 two requested types", map[string]any{"requested_token_type": typeAccessToken + "," + typeAccessToken}, "400 invalid_request requested_token_type: must be given once, and has no comma"},
		{"VT-1 two subject tokens", map[string]any{"subject_token": good + "," + good}, "400 invalid_request subject_token: must be given once, and has no comma"},
		{"VT-1 two types of it", map[string]any{"subject_token_type": typeJWT + "," + typeJWT}, "400 invalid_request subject_token_type: must be given once, and has no comma"},
		{"VT-1 two actor tokens", map[string]any{"actor_token": good + "," + good, "actor_token_type": typeJWT}, "400 invalid_request actor_token: must be given once, and has no comma"},
		{"VT-2 JSON: the subject token as a list", map[string]any{"subject_token": []any{good}}, "400 invalid_request subject_token: must be one text, in a body of the type application/x-www-form-urlencoded"},
		{"VT-2 JSON: a number", map[string]any{"scope": json.Number("7")}, "400 invalid_request scope: must be one text, in a body of the type application/x-www-form-urlencoded"},
		{"VT-2 JSON: true", map[string]any{"resource": true}, "400 invalid_request resource: must be text"},
		{"TX-18 quotes, line breaks and other alphabets", map[string]any{"subject_token": signed(map[string]any{"iss": "https://\"evil\"\n\\é.example"})}, "400 invalid_request subject: 'iss' claim: ['https:///'evil/'/n//?.example'] is not an issuer that the role 'unleased' accepts"},
		{"TX-18 quotes in a parameter", map[string]any{"subject_token_type": "\"\\\n\x00é"}, "400 invalid_request subject_token_type: ['/'///n/x00?'] is not supported: use one of ['urn:ietf:params:oauth:token-type:jwt', 'urn:ietf:params:oauth:token-type:id_token', 'urn:ietf:params:oauth:token-type:access_token']"},
		{"TX-2 a ttl, which is no parameter of OAuth", map[string]any{"ttl": "8h"}, "200"},
		{"TX-2 a role, which is no parameter of OAuth", map[string]any{"role": "orders"}, "200"},
		{"RA-2 authorization details, that would be left out", map[string]any{"authorization_details": `[{"type":"payment"}]`}, "400 invalid_request authorization_details: is not supported, and leaving it out would grant more than was asked for: use audience and scope"},
		{"RA-2 empty authorization details", map[string]any{"authorization_details": ""}, "200"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := m.post("token", m.exchangeForm(c.change), gateway)
			if got.String() != c.want {
				t.Errorf("\ngot  %s\nwant %s", got, c.want)
			}
			got.wantOAuth(t)
			if strings.Contains(got.String(), strings.Split(good, ".")[2]) {
				t.Error("TX-18: a token is repeated")
			}
		})
	}
	if got := m.post("token", m.exchangeForm(nil), api); got.String() != "400 unauthorized_client role: the client has no role: it may introspect and revoke alone" {
		t.Errorf("TX-1 a client without a role: %s", got)
	}
}

// wantOAuth checks what every answer of an OAuth endpoint has: VT-4, TX-16, TX-18, CA-7.
func (a answer) wantOAuth(t testing.TB) {
	t.Helper()
	if a.header[logical.HTTPCacheControlHeader] != "no-store" || a.header[logical.HTTPPragmaHeader] != "no-cache" || a.header[logical.HTTPContentType] != "application/json" {
		t.Errorf("headers %v", a.header)
	}
	if (a.header[logical.HTTPWWWAuthenticateHeader] != "") != (a.status == http.StatusUnauthorized) {
		t.Errorf("status %d with headers %v", a.status, a.header)
	}
	if a.status == http.StatusOK {
		return
	}
	code, isText := a.body["error"].(string)
	description, described := a.body["error_description"].(string)
	if !isText || code == "" || !described || len(a.body) != 2 {
		t.Errorf("not an error of RFC 6749, 5.2: %s", a.raw)
	}
	for _, c := range description {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			t.Errorf("%q in %q", c, description)
		}
	}
}

// TX-13, TX-14, TX-15, TX-16, TX-17: the members of an answer, and their types.
func TestOAuthAnswer(t *testing.T) {
	m, gateway, _ := newClients(t)
	for _, c := range []struct {
		name   string
		change map[string]any
		want   string
	}{
		{"TX-13 what was asked for", nil, `"issued_token_type":"` + typeAccessToken + `","token_type":"Bearer","expires_in":300,"scope":"orders:read"}`},
		{"TX-15 AT-5 what is the default", map[string]any{"scope": nil, "audience": nil}, `"issued_token_type":"` + typeAccessToken + `","token_type":"Bearer","expires_in":300,"scope":"orders:read"}`},
		{"TX-15 all scopes", map[string]any{"scope": "orders:write orders:read"}, `"issued_token_type":"` + typeAccessToken + `","token_type":"Bearer","expires_in":300,"scope":"orders:write orders:read"}`},
	} {
		got := m.post("token", m.exchangeForm(c.change), gateway)
		token, _ := got.body["access_token"].(string)
		if want := `{"access_token":"` + token + `",` + c.want; got.raw != want || token == "" {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got.raw, want)
		}
		got.wantOAuth(t)
	}
	m.write("roles/unleased", map[string]any{"typ": "JWT"})
	got := m.post("token", m.exchangeForm(map[string]any{"requested_token_type": typeJWT}), gateway)
	if got.body["token_type"] != "N_A" || got.body["issued_token_type"] != typeJWT {
		t.Errorf("TX-14: %s", got.raw)
	}
}

// AT-3, AT-10, TX-25: the token names the client, whose ids no subject and no role has.
func TestOAuthTokenNamesItsClient(t *testing.T) {
	m, gateway, _ := newClients(t)
	token := m.post("token", m.exchangeForm(nil), gateway).body["access_token"]
	says := m.write("introspect", map[string]any{"token": token}).Data
	if says["client_id"] != "gateway" || says["sub"] != "idp:ci-runner" {
		t.Errorf("got %v", says)
	}
	m.write("roles/unleased", map[string]any{"condition": `request.client_id == "gateway" && subject.sub != ""`})
	if got := m.post("token", m.exchangeForm(nil), gateway); got.status != http.StatusOK {
		t.Errorf("a condition on the client: %s", got)
	}
	m.write("clients/other", map[string]any{"auth_method": "client_secret_basic", "role": "unleased"})
	if got := m.post("token", m.exchangeForm(nil), basic("other", m.secret("other"))); got.body["error"] != "invalid_request" {
		t.Errorf("another client: %s", got)
	}
}

// AT-7: how and when a person has logged in stays as it was, from token to token; of a
// machine nothing is said.
func TestOriginalAuthenticationIsKept_AT7(t *testing.T) {
	m, gateway, _ := newClients(t)
	m.write("clients/next", map[string]any{"auth_method": "client_secret_basic", "role": "again"})
	next := basic("next", m.secret("next"))
	login := map[string]any{"auth_time": m.now.Add(-time.Hour).Unix(), "acr": "urn:mfa", "amr": []string{"pwd", "otp"}}
	for name, c := range map[string]struct {
		claims map[string]any
		want   string
	}{
		"a person":  {login, `{"acr":"urn:mfa","amr":["pwd","otp"],"auth_time":1799996400}`},
		"a machine": {nil, `{}`},
	} {
		first := m.post("token", m.exchangeForm(map[string]any{"subject_token": m.idp.Sign(t, m.idp.Claims(m.now, c.claims))}), gateway).body["access_token"]
		second := m.post("token", map[string]any{"grant_type": grantType, "subject_token": first, "subject_token_type": typeAccessToken}, next).body["access_token"]
		for _, token := range []any{first, second} {
			payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token.(string), ".")[1])
			if err != nil {
				t.Fatal(err)
			}
			var claims map[string]json.RawMessage
			if err := json.Unmarshal(payload, &claims); err != nil {
				t.Fatal(err)
			}
			maps.DeleteFunc(claims, func(claim string, _ json.RawMessage) bool { return login[claim] == nil })
			wantEqual(t, name, asJSON(t, claims), c.want)
		}
	}
}

// TX-19: an exchange does not use the subject token up, and gives nothing that
// outlives it.
func TestOAuthExchangeLeavesTheSubjectToken_TX19(t *testing.T) {
	m, gateway, _ := newClients(t)
	form := m.exchangeForm(map[string]any{"subject_token": m.idp.Sign(t, m.idp.Claims(m.now, map[string]any{"exp": m.now.Add(90 * time.Second).Unix()}))})
	for range 2 {
		if got := m.post("token", form, gateway); got.body["expires_in"] != 90.0 {
			t.Errorf("got %s", got.raw)
		}
	}
}

// TX-20, TX-21, TX-22, TX-4: by OAuth too a service acts for a user and is named.
func TestOAuthDelegation(t *testing.T) {
	m, _, _ := newClients(t)
	m.write("roles/delegating", delegating)
	m.write("clients/acting", map[string]any{"auth_method": "client_secret_basic", "role": "delegating"})
	acting := basic("acting", m.secret("acting"))
	actor := m.idp.Sign(t, m.idp.Claims(m.now, map[string]any{"sub": "service", "scope": nil}))
	form := m.exchangeForm(map[string]any{"scope": nil, "actor_token": actor, "actor_token_type": typeJWT})
	token := m.post("token", form, acting).body["access_token"]
	if says := m.write("introspect", map[string]any{"token": token}).Data; asJSON(t, says["act"]) != `{"iss":"https://idp.example","sub":"service"}` {
		t.Errorf("got %v", says)
	}
	m.write("roles/delegating", map[string]any{"delegation": "required"})
	got := m.post("token", m.exchangeForm(map[string]any{"scope": nil}), acting)
	if want := "400 invalid_request actor_token: is required by the role 'delegating'"; got.String() != want {
		t.Errorf("TX-20:\ngot  %s\nwant %s", got, want)
	}
}

// TX-23: who acted is kept when the token is exchanged again without an actor.
func TestOAuthKeepsWhoActed_TX23(t *testing.T) {
	m, _, _ := newClients(t)
	m.write("roles/delegating", delegating)
	actor := m.idp.Sign(t, m.idp.Claims(m.now, map[string]any{"sub": "service"}))
	delegated := m.write("exchange/delegating", map[string]any{
		"subject_token": m.idp.Sign(t, m.idp.Claims(m.now, nil)), "actor_token": actor, "actor_token_type": typeJWT,
	}).Data["access_token"]
	m.write("clients/next", map[string]any{"auth_method": "client_secret_basic", "role": "again"})
	got := m.post("token", map[string]any{"grant_type": grantType, "subject_token": delegated, "subject_token_type": typeAccessToken}, basic("next", m.secret("next")))
	if want := "400 invalid_request subject: 'act' claim: the token is already a delegation, and the role does not allow delegation"; got.String() != want {
		t.Errorf("got %s", got)
	}
}

// A role for the Vault caller has no client: Vault fills in the entity of whatever token
// is sent along, and asks no policy. If such a role comes into storage all the same,
// nobody is the caller.
func TestClientIsNeverTheVaultCaller(t *testing.T) {
	m, gateway, _ := newClients(t)
	m.system.EntityVal = &logical.Entity{ID: "e-1", Name: "alice"}
	m.replaceStored("client/gateway", `"role":"unleased"`, `"role":"me"`)
	form := map[string]any{"grant_type": grantType, "subject_token": m.exchangeForm(nil)["subject_token"], "subject_token_type": typeJWT, "audience": orders}
	asAlice := func(r *logical.Request) { r.EntityID = "e-1" }
	if got := m.post("token", form, gateway, asAlice); got.status != http.StatusBadRequest || !strings.HasPrefix(got.String(), "400 invalid_request subject") {
		t.Errorf("got %s", got)
	}
	m.write("roles/asking", map[string]any{"issuers": "idp", "bound_subject": "ci-runner", "allowed_audiences": orders, "condition": `caller.name == "alice"`})
	m.replaceStored("client/gateway", `"role":"me"`, `"role":"asking"`)
	const nobody = "400 invalid_request caller: the role 'asking' needs to know the caller, and the caller's Vault token has no entity: log in with an auth method (a root token has none)"
	if got := m.post("token", form, gateway, asAlice); got.String() != nobody {
		t.Errorf("got %s", got)
	}
}

// What Vault answers by itself elsewhere is answered in OAuth's shape.
func TestOAuthEndpointsTakePOSTAlone(t *testing.T) {
	m, gateway, _ := newClients(t)
	for _, endpoint := range []string{"token", "introspect", "revoke"} {
		for _, op := range []logical.Operation{logical.ReadOperation, logical.DeleteOperation, logical.ListOperation, logical.PatchOperation} {
			got := m.post(endpoint, m.exchangeForm(nil), gateway, func(r *logical.Request) { r.Operation = op })
			if got.String() != "405 invalid_request the method must be POST" || strings.Join(got.headers["Allow"], "|") != "POST" {
				t.Errorf("VT-2 %s %s: %s, Allow %q", op, endpoint, got, got.headers["Allow"])
			}
		}
	}
	for _, endpoint := range []string{"", "x", "token/", "Token", "token/x"} {
		if got := m.post(endpoint, m.exchangeForm(nil), gateway); got.String() != "404 invalid_request there is no such endpoint: use oauth/token, oauth/introspect or oauth/revoke" {
			t.Errorf("VT-4 %q: %s", endpoint, got)
		}
	}
	m.do(logical.DeleteOperation, "config", nil)
	if got := m.post("token", m.exchangeForm(nil), gateway); got.String() != "400 invalid_request config: the mount is not configured: write config first" {
		t.Errorf("VT-4 without a configuration: %s", got)
	}
}

// VT-1: of what may be configured nothing has a comma, so that a list is not mistaken.
func TestNothingConfiguredHasAComma_VT1(t *testing.T) {
	m := newMount(t)
	for _, field := range []string{"allowed_audiences", "allowed_scopes"} {
		m.wantRefused(logical.UpdateOperation, "roles/orders", map[string]any{field: []string{"https://a.example,b"}},
			`invalid_request: `+field+`: element "https://a.example,b" has the character ',': printable ASCII other than space, comma, quote and backslash is allowed`)
	}
	if _, err := m.request(logical.UpdateOperation, "clients/a,b", map[string]any{"auth_method": "client_secret_basic"}); err == nil {
		t.Error("a client id with a comma is accepted")
	}
}

// Nothing secret is logged, whatever happens at the OAuth endpoints; who asked is.
func TestOAuthLogHoldsNoSecret(t *testing.T) {
	m, key := newSigner(t)
	secret := m.secret("gateway")
	gateway := basic("gateway", secret)
	form := m.exchangeForm(nil)
	minted := m.post("token", form, gateway).body["access_token"].(string)
	assertion := key.sign(t, "", key.claims(m.now, nil))
	m.post("token", form, asserted(assertion))
	m.post("token", form, asserted(assertion))
	m.post("token", m.exchangeForm(map[string]any{"audience": "https://evil.example"}), gateway)
	m.post("token", form, basic("gateway", "wrong-secret"))
	m.post("token", form, basic("made-up-by-a-caller", "wrong-secret"))
	m.post("revoke", map[string]any{"token": minted}, gateway)
	log := m.log.String()
	for _, line := range []string{
		"token exchanged", "client_id=gateway", "client not authenticated", "client_id=signer rule=jti", "rule=authentication", "token revoked",
		"client secret generated", "exchange denied",
	} {
		if !strings.Contains(log, line) {
			t.Errorf("the log does not tell %q", line)
		}
	}
	for _, hidden := range []string{secret, "wrong-secret", "made-up-by-a-caller", form["subject_token"].(string), minted, assertion} {
		for part := range strings.SplitSeq(hidden, ".") {
			if strings.Contains(log, part) {
				t.Errorf("%.12s... is in the log", part)
			}
		}
	}
}

// What clients do is counted; what a caller makes up is no label.
func TestOAuthMetrics(t *testing.T) {
	m, gateway, api := newClients(t)
	m.post("token", m.exchangeForm(nil), gateway)
	m.post("token", m.exchangeForm(nil), api)
	m.post("token", m.exchangeForm(map[string]any{"audience": "https://evil.example"}), gateway)
	m.post("token", m.exchangeForm(nil), basic("gateway", "wrong"))
	m.post("introspect", map[string]any{"token": "x"}, basic("made-up", "wrong"))
	text := string(m.read("metrics")[logical.HTTPRawBody].([]byte))
	for _, line := range []string{
		`token_exchange_granted_total{role="unleased"} 1`,
		`token_exchange_denied_total{role="unleased",rule="allowed_audiences",stage="decide"} 1`,
		`token_exchange_client_failures_total{client="gateway",rule="authentication"} 1`,
		`token_exchange_client_failures_total{client="",rule="authentication"} 1`,
		`token_exchange_objects{kind="clients"} 2`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(text, "made-up") {
		t.Error("a caller's text became a label")
	}
}

// Whatever is sent, and whoever sends it: an answer in OAuth's shape, and a token for
// nobody but the client with its secret and the one good request.
func FuzzOAuthForm(f *testing.F) {
	m, key := newSigner(f)
	secret := m.secret("gateway")
	gateway := &logical.Request{}
	basic("gateway", secret)(gateway)
	header := gateway.Headers["Authorization"][0]
	good := m.exchangeForm(nil)["subject_token"].(string)
	seed := key.sign(f, "", key.claims(m.now, nil))
	other := issuertest.New(f, m.idp.URL)
	f.Add("token", header, grantType, good, typeJWT, orders, "orders:read", "", "", "")
	f.Add("token", "Basic Og==", grantType, good, typeJWT, orders, "", "gateway", secret, "")
	f.Add("token", "Basic "+strings.Repeat("=", 9), "password", good, "", "a,b", "x y", "gateway,gateway", "a,b", "")
	f.Add("token", "", grantType, other.Sign(f, other.Claims(m.now, nil)), typeJWT, orders, "orders:read", "signer", "", seed)
	f.Add("token", "Bearer "+good, grantType, good+","+good, typeJWT, "\x00", "\xff\"\\", "nobody", "", seed+","+seed)
	f.Add("introspect", header, "", good, "", "", "", "", "", "")
	f.Add("revoke", "basic", "", "\n", "é", "", "", "signer", "", "e30.e30.e30")
	f.Add("", header, grantType, good, typeJWT, orders, "", "", "", "")
	f.Fuzz(func(t *testing.T, endpoint, header, grant, subject, subjectType, audience, scope, id, secretText, assertion string) {
		form := map[string]any{
			"grant_type": grant, "subject_token": subject, "subject_token_type": subjectType, "audience": audience, "scope": scope, "token": subject,
			"client_id": id, "client_secret": secretText, "client_assertion": assertion,
		}
		if assertion != "" {
			form["client_assertion_type"] = assertionType
		}
		maps.DeleteFunc(form, func(_ string, v any) bool { return v == "" })
		inner := *m
		inner.t = t
		got := inner.post(endpoint, form, func(r *logical.Request) { r.Headers = map[string][]string{"Authorization": {header}} })
		got.wantOAuth(t)
		_, encoded, _ := strings.Cut(header, " ")
		decoded, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
		unescaped, _ := url.QueryUnescape(string(decoded))
		authenticated := strings.HasSuffix(unescaped, ":"+secret) || assertion == seed
		switch {
		case got.status >= http.StatusInternalServerError:
			t.Errorf("not the caller's fault: %s", got)
		case got.status == http.StatusOK && !authenticated:
			t.Errorf("answered for nobody: %s", got.raw)
		case got.body["access_token"] != nil && subject != good:
			t.Errorf("granted: %s", got.raw)
		}
	})
}
