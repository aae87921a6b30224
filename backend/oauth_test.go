package backend_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/helper/wrapping"
	"github.com/hashicorp/vault/sdk/logical"
)

const (
	grantType = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeJWT   = "urn:ietf:params:oauth:token-type:jwt"
)

// answer is what an OAuth endpoint says.
type answer struct {
	status  int
	header  map[string]string
	headers map[string][]string // that Vault passes on if it is told to
	body    map[string]any
	raw     string
}

// post sends a form to an OAuth endpoint, as Vault hands it on.
func (m *mount) post(endpoint string, form map[string]any, change ...func(*logical.Request)) answer {
	m.t.Helper()
	req := &logical.Request{
		ID: "request-1", Operation: logical.UpdateOperation, Path: "oauth/" + endpoint, Data: maps.Clone(form), Storage: m.storage,
		MountPoint: "token-exchange/", Unauthenticated: true,
	}
	for _, c := range change {
		c(req)
	}
	if found, exists, err := m.backend.HandleExistenceCheck(context.Background(), req); !found || !exists || err != nil {
		m.t.Fatalf("existence: %v %v %v", found, exists, err)
	}
	resp, err := m.backend.HandleRequest(context.Background(), req)
	if err != nil || resp == nil || resp.Data[logical.HTTPRawBody] == nil {
		m.t.Fatalf("%s is not answered in OAuth's shape: %v %v", endpoint, resp, err)
	}
	if asJSON(m.t, resp.Data[logical.HTTPRawBody]) == "null" {
		m.t.Fatal("Vault cannot read the body: it comes as JSON")
	}
	a := answer{status: resp.Data[logical.HTTPStatusCode].(int), raw: string(resp.Data[logical.HTTPRawBody].([]byte)), header: map[string]string{}, headers: resp.Headers}
	for _, name := range []string{logical.HTTPCacheControlHeader, logical.HTTPPragmaHeader, logical.HTTPWWWAuthenticateHeader, logical.HTTPContentType} {
		a.header[name], _ = resp.Data[name].(string)
	}
	if a.header[logical.HTTPCacheControlHeader] != "no-store" || a.header[logical.HTTPPragmaHeader] != "no-cache" {
		m.t.Errorf("TX-16: headers %v", a.header)
	}
	if a.raw != "" {
		if err := json.Unmarshal([]byte(a.raw), &a.body); err != nil {
			m.t.Fatalf("not JSON: %s", a.raw)
		}
	}
	return a
}

// basic authenticates a client by the header.
func basic(id, secret string) func(*logical.Request) {
	value := "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
	return func(r *logical.Request) { r.Headers = map[string][]string{"Authorization": {value}} }
}

// newClients is a mount with OAuth clients: "gateway" exchanges by the role orders
// and introspects tokens for it, "api" introspects alone.
func newClients(t testing.TB) (m *mount, gateway, api func(*logical.Request)) {
	t.Helper()
	m = newMount(t)
	m.write("clients/gateway", map[string]any{"auth_method": "client_secret_basic", "role": "unleased"})
	m.write("clients/api", map[string]any{"auth_method": "client_secret_basic", "audiences": orders})
	return m, basic("gateway", m.secret("gateway")), basic("api", m.secret("api"))
}

func (m *mount) secret(id string) string {
	m.t.Helper()
	return m.write("clients/"+id+"/secret", nil).Data["client_secret"].(string)
}

// exchangeForm is a request that is granted.
func (m *mount) exchangeForm(change map[string]any) map[string]any {
	m.t.Helper()
	form := map[string]any{
		"grant_type": grantType, "subject_token": m.idp.Sign(m.t, m.idp.Claims(m.now, nil)), "subject_token_type": typeJWT,
		"audience": orders, "scope": "orders:read",
	}
	for name, v := range change {
		if form[name] = v; v == nil {
			delete(form, name)
		}
	}
	return form
}

func TestOAuthClientExchangesIntrospectsAndRevokes(t *testing.T) {
	m, gateway, api := newClients(t)
	granted := m.post("token", m.exchangeForm(nil), gateway)
	if granted.status != http.StatusOK || granted.body["token_type"] != "Bearer" || granted.body["expires_in"] != 300.0 || granted.body["scope"] != "orders:read" {
		t.Fatalf("TX-13: got %d %v", granted.status, granted.body)
	}
	token := map[string]any{"token": granted.body["access_token"]}
	for name, who := range map[string]func(*logical.Request){"the client that asked for it": gateway, "one of its audience": api} {
		if got := m.post("introspect", token, who); got.body["active"] != true || got.body["client_id"] != "gateway" {
			t.Errorf("IN-4, TX-25: %s is told %v", name, got.body)
		}
	}
	if got := m.post("revoke", token, api); got.status != http.StatusOK || got.raw != "" {
		t.Errorf("RV-3: another client is answered %d %q", got.status, got.raw)
	}
	if !m.active(granted.body["access_token"]) {
		t.Error("RV-3: another client has revoked the token")
	}
	if got := m.post("revoke", token, gateway); got.status != http.StatusOK || got.raw != "" {
		t.Errorf("RV-1: got %d %q", got.status, got.raw)
	}
	if got := m.post("introspect", token, api); got.raw != `{"active":false}` {
		t.Errorf("RV-4: got %s", got.raw)
	}
}

func TestDeletedClientTakesItsTokensAlong(t *testing.T) {
	m, gateway, _ := newClients(t)
	token := m.post("token", m.exchangeForm(nil), gateway).body["access_token"]
	next := m.write("exchange/again", map[string]any{"subject_token": token}).Data["access_token"]
	m.do(logical.DeleteOperation, "clients/gateway", nil)
	m.write("clients/gateway", map[string]any{"auth_method": "client_secret_basic", "role": "unleased"})
	for name, raw := range map[string]any{"its token": token, "one exchanged from it": next} {
		if m.active(raw) {
			t.Errorf("%s is alive", name)
		}
	}
}

// What Vault would wrap is refused in its own shape: a raw answer would become a
// success with a token in it.
func TestWrappedOAuthRequestIsRefused(t *testing.T) {
	m, gateway, _ := newClients(t)
	req := &logical.Request{
		Operation: logical.UpdateOperation, Path: "oauth/token", Data: m.exchangeForm(nil), Storage: m.storage,
		WrapInfo: &logical.RequestWrapInfo{TTL: time.Minute},
	}
	gateway(req)
	resp, err := m.backend.HandleRequest(t.Context(), req)
	if err == nil || !resp.IsError() || resp.WrapInfo != (*wrapping.ResponseWrapInfo)(nil) {
		t.Errorf("got %v %v", resp, err)
	}
}
