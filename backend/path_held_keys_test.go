package backend_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
)

// published serves the keys that it is told to, as the JWKS of a client.
func published(m *mount) (url string, set func(jwks string)) {
	var jwks atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(jwks.Load().(string)))
	}))
	m.t.Cleanup(server.Close)
	return server.URL, func(text string) { jwks.Store(text) }
}

// An operator sees the keys of a client, and need not wait until one that was stolen
// is fetched away.
func TestKeysOfAClient(t *testing.T) {
	m, key := newSigner(t)
	url, publish := published(m)
	publish(key.jwks(t))
	m.write("clients/signer", map[string]any{"jwks": "", "jwks_url": url, "allowed_addresses": "127.0.0.1/32"})
	wantEqual(t, "keys before", m.read("clients/signer/status")["keys_held"], 0)

	signed := func() func(*logical.Request) { return asserted(key.sign(t, "", key.claims(m.now, nil))) }
	m.wantAnswer(t, signed(), "200")
	wantEqual(t, "keys after the first assertion", m.read("clients/signer/status")["keys_held"], 1)
	if text := string(m.read("metrics")[logical.HTTPRawBody].([]byte)); !strings.Contains(text, `token_exchange_issuer_keys{issuer="client:signer"} 1`+"\n") {
		t.Error("no metric has the keys of the client")
	}

	publish(newKeyPair(t).jwks(t))
	m.wantAnswer(t, signed(), "200")
	wantEqual(t, "keys after a refresh", m.write("clients/signer/refresh", nil).Data["keys_held"], 1)
	m.wantAnswer(t, signed(), unproven)

	publish("<html>")
	_, err := m.request(logical.UpdateOperation, "clients/signer/refresh", nil)
	if want := `temporarily_unavailable: client_keys: cannot fetch the keys of the client "signer": JWKS: not a JSON Web Key Set`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	wantEqual(t, "last_error", m.read("clients/signer/status")["last_error"], `JWKS: not a JSON Web Key Set`)
}

func TestClientsWithoutKeys(t *testing.T) {
	m, _, _ := newClients(t)
	m.everyClient()
	for name, want := range map[string]string{
		"secret":    `invalid_request: auth_method: a client with client_secret_basic has no keys`,
		"public":    `invalid_request: auth_method: a client with none has no keys`,
		"named":     `invalid_request: auth_method: a client with tls_client_auth has no keys`,
		"federated": `invalid_request: auth_method: the keys of a client with federated_jwt are those of its issuer: see issuers/idp/status`,
	} {
		m.wantRefused(logical.ReadOperation, "clients/"+name+"/status", nil, want)
		m.wantRefused(logical.UpdateOperation, "clients/"+name+"/refresh", nil, want)
	}
	wantEqual(t, "inline keys", m.write("clients/inline/refresh", nil).Data["keys_held"], 1)
	if resp, err := m.request(logical.ReadOperation, "clients/nobody/status", nil); resp != nil || err != nil {
		t.Errorf("of nobody: %v, %v", resp, err)
	}
	m.wantRefused(logical.UpdateOperation, "clients/nobody/refresh", nil, `invalid_request: name: the client "nobody" does not exist`)
	m.wantRefused(logical.UpdateOperation, "issuers/nobody/refresh", nil, `invalid_request: name: the issuer "nobody" does not exist`)
}
