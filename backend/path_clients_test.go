package backend_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend"
)

// authority returns the certificate of a certificate authority, in PEM form.
func authority(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(1_700_000_000, 0), NotAfter: time.Unix(2_000_000_000, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// everyClient writes a client of each method.
func (m *mount) everyClient() {
	m.t.Helper()
	m.write("issuers/second", map[string]any{"bound_issuer": "https://second.example", "jwks": m.idp.JWKS(m.t), "bound_audiences": "https://vault.example"})
	m.boundRole()
	ca := authority(m.t)
	for id, data := range map[string]map[string]any{
		"secret":    {"auth_method": "client_secret_basic", "role": "bound"},
		"fetched":   {"auth_method": "private_key_jwt", "jwks_url": "https://gateway.example/jwks", "role": "unleased"},
		"inline":    {"auth_method": "private_key_jwt", "jwks": m.idp.JWKS(m.t)},
		"federated": {"auth_method": "federated_jwt", "federated_issuer": "idp", "federated_subject": "ci-runner"},
		"named":     {"auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "CN=billing", "tls_client_auth_ca": ca},
		"dns":       {"auth_method": "tls_client_auth", "tls_client_auth_san_dns": "billing.example", "tls_client_auth_ca": ca},
		"uri":       {"auth_method": "tls_client_auth", "tls_client_auth_san_uri": "spiffe://example/billing", "tls_client_auth_ca": ca},
		"ip":        {"auth_method": "tls_client_auth", "tls_client_auth_san_ip": "192.0.2.1", "tls_client_auth_ca": ca},
		"email":     {"auth_method": "tls_client_auth", "tls_client_auth_san_email": "billing@example.org", "tls_client_auth_ca": ca},
		"public":    {"auth_method": "none", "dpop_required": true, "role": "bound"},
	} {
		m.write("clients/"+id, data)
	}
}

// boundRole writes a role whose tokens are bound to a key.
func (m *mount) boundRole() {
	m.t.Helper()
	m.write("roles/bound", map[string]any{
		"issuers": "idp", "bound_subject": "ci-runner", "allowed_audiences": orders, "default_audience": orders,
		"allowed_scopes": "orders:read", "default_scopes": "orders:read", "generate_lease": false, "binding": "any",
	})
}

// partialClients are the fields of clients, for TestUpdatesArePartial.
func partialClients(t *testing.T) map[string]map[string]any {
	ca := authority(t)
	return map[string]map[string]any{
		"clients/secret": {"role": "orders", "audiences": []string{orders, "https://b.example"}, "auth_method": "client_secret_post", "dpop_required": true, "rate_limit": 60},
		"clients/fetched": {
			"jwks_url": "https://other.example/jwks", "ca_pem": ca, "allowed_addresses": []string{"10.0.0.0/8"},
		},
		"clients/inline":    {"jwks": newMount(t).idp.JWKS(t)},
		"clients/federated": {"federated_issuer": "second", "federated_subject": "other", "federated_claims": map[string]any{"team": []any{"a", "b"}}},
		"clients/named":     {"tls_client_auth_subject_dn": "CN=other", "tls_client_auth_ca": ca},
		"clients/dns":       {"tls_client_auth_san_dns": "other.example"},
		"clients/uri":       {"tls_client_auth_san_uri": "spiffe://example/other"},
		"clients/ip":        {"tls_client_auth_san_ip": "192.0.2.2"},
		"clients/email":     {"tls_client_auth_san_email": "other@example.org"},
		"clients/public":    {"insecure_public": true},
	}
}

// Every field of a client is among those that are written alone.
func TestEveryFieldOfAClientIsWrittenAlone(t *testing.T) {
	var written []string
	for _, fields := range partialClients(t) {
		for name := range fields {
			written = append(written, name)
		}
	}
	for name := range backend.Descriptions(backend.ObjectClient) {
		if name != "secrets" && !slices.Contains(written, name) {
			t.Errorf("nothing writes %s", name)
		}
	}
}

func TestRefusedClients(t *testing.T) {
	m, _, _ := newClients(t)
	m.everyClient()
	m.write("issuers/opaque", map[string]any{
		"bound_issuer": "https://opaque.example", "bound_audiences": "https://vault.example", "introspection_url": "https://opaque.example/i",
		"introspection_client_id": "c", "introspection_client_secret": "s",
	})
	m.write("issuers/gh", map[string]any{"type": "github", "bound_audiences": "https://vault.example", "jwks": m.idp.JWKS(t), "allowed_algorithms": "ES256"})
	for _, c := range []struct {
		name, path string
		data       map[string]any
		text       string
	}{
		{"no method", "clients/new", nil, `auth_method: must be one of private_key_jwt, federated_jwt, client_secret_basic, client_secret_post, tls_client_auth, self_signed_tls_client_auth, none`},
		{"a misspelt field", "clients/gateway", map[string]any{"rolle": "orders"}, `rolle: is not a field of clients/gateway: see vault path-help`},
		{"a role that does not exist", "clients/gateway", map[string]any{"role": "none"}, `role: the role "none" does not exist: create it with roles/none`},
		{"a role for callers", "clients/gateway", map[string]any{"role": "me"}, `role: the role "me" asks for the Vault caller, and an OAuth client has none`},
		{"an audience with a comma", "clients/gateway", map[string]any{"audiences": []string{"a,b"}}, `audiences: "a,b" has a comma or "*": give the exact audiences, one an element`},
		{"an audience that is a pattern", "clients/gateway", map[string]any{"audiences": "https://*"}, `audiences: "https://*" has a comma or "*": give the exact audiences, one an element`},
		{"a field of another method", "clients/gateway", map[string]any{"jwks_url": "https://x.example"}, `jwks_url: means nothing for the auth_method "client_secret_basic": leave it empty`},
		{"two sources of keys", "clients/fetched", map[string]any{"jwks": m.idp.JWKS(t)}, `jwks_url: exactly one of jwks and jwks_url must be set: both are`},
		{"a public client that nobody asked for", "clients/public", map[string]any{"dpop_required": false}, `auth_method: "none" lets everyone who knows the id be the client: set dpop_required=true, or insecure_public=true if that is meant`},
		{"an issuer that does not exist", "clients/federated", map[string]any{"federated_issuer": "none"}, `federated_issuer: issuer "none" does not exist: create it with issuers/none`},
		{"an issuer of opaque tokens", "clients/federated", map[string]any{"federated_issuer": "opaque"}, `federated_issuer: issuer "opaque" has opaque tokens: an assertion is a JWT`},
		{"our own tokens as assertions", "clients/federated", map[string]any{"federated_issuer": "self"}, `federated_issuer: "self" is no trusted issuer: our own tokens authenticate nobody`},
		{"all tokens of an issuer", "clients/federated", map[string]any{"federated_subject": ""}, `federated_subject: federated_subject or federated_claims must be set: every token of the issuer would be the client`},
		{"every repository", "clients/federated", map[string]any{
			"federated_issuer": "gh", "federated_subject": "", "federated_claims": map[string]any{"ref": "refs/heads/main"},
		}, `federated_claims: issuer "gh": every repository of the service can have such tokens, and the client binds none of ["sub", "repository", "repository_owner", "repository_id", "repository_owner_id"]: bind repository_id and repository_owner_id`},
		{"two names", "clients/named", map[string]any{"tls_client_auth_san_dns": "x.example"}, `tls_client_auth_san_dns: exactly one of tls_client_auth_subject_dn and tls_client_auth_san_dns, _san_uri, _san_ip and _san_email must be set: got ["tls_client_auth_subject_dn", "tls_client_auth_san_dns"]`},
		{"any authority", "clients/named", map[string]any{"tls_client_auth_ca": ""}, `tls_client_auth_ca: must be set to the certificates of the authorities that issue for the client: any other could name it as well`},
		{"a secret for a client without", "clients/inline/secret", nil, `auth_method: "private_key_jwt" has no secret: use client_secret_basic or client_secret_post`},
		{"a secret for nobody", "clients/none/secret", nil, `name: the client "none" does not exist`},
		{"too long an overlap", "clients/gateway/secret", map[string]any{"overlap": "91d"}, `overlap: must be between 0 and 2160h0m0s`},
		{"a role that then asks for the caller", "roles/unleased", map[string]any{"condition": `caller.name == "alice"`}, `subject_source: the role asks for the Vault caller, whom its OAuth clients ["fetched", "gateway"] do not have: give them another role first`},
		{"an issuer that then has opaque tokens", "issuers/idp", map[string]any{
			"jwks": "", "introspection_url": "https://idp.example/i", "introspection_client_id": "c", "introspection_client_secret": "s",
		}, `introspection_url: the issuer makes the assertions of the clients ["federated"], which are JWTs: give them another federated_issuer first`},
	} {
		t.Run(c.name, func(t *testing.T) {
			object := strings.TrimSuffix(c.path, "/secret")
			before, writes := m.do(logical.ReadOperation, object, nil), m.storage.writes.Load()
			m.wantRefused(logical.UpdateOperation, c.path, c.data, "invalid_request: "+c.text)
			wantEqual(t, object, m.do(logical.ReadOperation, object, nil), before)
			if m.storage.writes.Load() != writes {
				t.Error("something was written")
			}
		})
	}
}

func TestDeletingWhatAClientUsesIsRefused(t *testing.T) {
	m, _, _ := newClients(t)
	m.write("clients/workload", map[string]any{"auth_method": "federated_jwt", "federated_issuer": "idp", "federated_subject": "x"})
	m.wantRefused(logical.DeleteOperation, "roles/unleased", nil,
		`invalid_request: name: the role "unleased" is that of the clients ["gateway"]: give them another role first`)
	m.write("clients/gateway", map[string]any{"role": "orders"})
	m.do(logical.DeleteOperation, "roles/unleased", nil)
	m.write("clients/gateway", map[string]any{"role": ""})
	m.do(logical.DeleteOperation, "roles/orders", nil)
	m.wantRefused(logical.DeleteOperation, "issuers/idp", nil,
		`invalid_request: name: the issuer "idp" makes the assertions of the clients ["workload"]: give them another federated_issuer first`)
	m.do(logical.DeleteOperation, "clients/workload", nil)
	m.do(logical.DeleteOperation, "issuers/idp", nil)
}

func TestClientWarnings(t *testing.T) {
	m := newMount(t)
	m.write("issuers/gh", map[string]any{"type": "github", "bound_audiences": "https://vault.example", "jwks": m.idp.JWKS(t), "allowed_algorithms": "ES256"})
	for _, c := range []struct {
		data     map[string]any
		warnings []string
	}{
		{map[string]any{"auth_method": "client_secret_basic", "role": "unleased"}, nil},
		{map[string]any{"role": "orders"}, []string{`the role "orders" generates leases, and tokens of an OAuth client have none: they are revoked by oauth/revoke`}},
		{
			map[string]any{"auth_method": "federated_jwt", "federated_issuer": "gh", "federated_claims": map[string]any{"repository": "acme/deploy", "ref": "refs/heads/main"}},
			[]string{
				`the role "orders" generates leases, and tokens of an OAuth client have none: they are revoked by oauth/revoke`,
				`issuer "gh": ["repository"]: names can be renamed and taken over: bind repository_id and repository_owner_id`,
			},
		},
		{map[string]any{"auth_method": "client_secret_basic", "federated_issuer": "", "federated_claims": map[string]any{}, "role": ""}, []string{"the client has neither a role nor audiences: it can exchange and introspect nothing"}},
		{
			map[string]any{"auth_method": "none", "role": "unleased", "insecure_public": true},
			[]string{`insecure_public: everyone who knows the id "c" can use the role "unleased": set dpop_required=true, or an auth_method`},
		},
	} {
		var got []string
		if resp := m.write("clients/c", c.data); resp != nil {
			got = resp.Warnings
		}
		wantEqual(t, asJSON(t, c.data), got, c.warnings)
	}
}

func TestClientsAreListed(t *testing.T) {
	m, _, _ := newClients(t)
	data := m.do(logical.ListOperation, "clients/", nil).Data
	wantEqual(t, "ids", data["keys"], []string{"api", "gateway"})
	wantEqual(t, "details", asJSON(t, data["key_info"]),
		`{"api":{"auth_method":"client_secret_basic","role":""},"gateway":{"auth_method":"client_secret_basic","role":"unleased"}}`)
	m.do(logical.DeleteOperation, "clients/api", nil)
	if m.do(logical.ReadOperation, "clients/api", nil) != nil {
		t.Error("the client is still there")
	}
}

// A secret is shown once; two are good at most, the older one for as long as was said.
func TestClientSecretsOverlap(t *testing.T) {
	m := newMount(t)
	m.write("clients/gateway", map[string]any{"auth_method": "client_secret_basic", "role": "unleased"})
	first := m.secret("gateway")
	second := m.write("clients/gateway/secret", map[string]any{"overlap": "1h"}).Data["client_secret"].(string)
	good := func(secret string) bool {
		got := m.post("token", m.exchangeForm(nil), basic("gateway", secret))
		if got.status != 200 && got.status != 401 {
			t.Fatalf("got %d %s", got.status, got.raw)
		}
		return got.status == 200
	}
	if first == second || !good(first) || !good(second) {
		t.Error("not both secrets are good during the overlap")
	}
	m.restart()
	if !good(first) || !good(second) {
		t.Error("not both secrets are good after a restart")
	}
	wantEqual(t, "dates", asJSON(t, m.read("clients/gateway")["secrets"]),
		`[{"created":"2027-01-15T08:00:00Z","until":""},{"created":"2027-01-15T08:00:00Z","until":"2027-01-15T09:00:00Z"}]`)
	m.now = m.now.Add(time.Hour)
	if good(first) || !good(second) {
		t.Error("the first secret outlived the overlap, or the second did not")
	}
	third := m.secret("gateway")
	if good(second) || !good(third) {
		t.Error("a secret that was replaced without overlap is good")
	}
	shown := asJSON(t, m.read("clients/gateway")) + asJSON(t, m.do(logical.ListOperation, "clients/", nil).Data) + m.log.String()
	entry, err := m.storage.InmemStorage.Get(t.Context(), "client/gateway")
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{first, second, third} {
		if strings.Contains(shown, secret) || strings.Contains(string(entry.Value), secret) {
			t.Error("a secret is shown again, logged or stored")
		}
	}
	if !strings.Contains(string(entry.Value), `"sha256"`) {
		t.Error("the test looks for nothing")
	}
}

// A secret ends with the method that used it, and does not come back with it.
func TestClientSecretEndsWithItsMethod(t *testing.T) {
	m, gateway, _ := newClients(t)
	m.write("clients/gateway", map[string]any{"auth_method": "private_key_jwt", "jwks": m.idp.JWKS(t)})
	wantEqual(t, "secrets", asJSON(t, m.read("clients/gateway")["secrets"]), `[]`)
	m.write("clients/gateway", map[string]any{"auth_method": "client_secret_basic", "jwks": ""})
	if got := m.post("token", m.exchangeForm(nil), gateway); got.status != 401 {
		t.Errorf("the former secret is answered %d %s", got.status, got.raw)
	}
}

// A client that a later version wrote may be restricted in ways that this one does
// not know: it is left out, its tokens are dead while it is, and nothing is written.
func TestUnreadableClientIsLeftOut(t *testing.T) {
	m, gateway, api := newClients(t)
	token := m.post("token", m.exchangeForm(nil), gateway).body["access_token"]
	m.spoil("client/gateway")
	if got := m.post("token", m.exchangeForm(nil), gateway); got.status != 401 || got.body["error"] != "invalid_client" {
		t.Errorf("got %d %s", got.status, got.raw)
	}
	if got := m.post("introspect", map[string]any{"token": token}, api); got.raw != `{"active":false}` {
		t.Errorf("got %s", got.raw)
	}
	m.wantRefused(logical.UpdateOperation, "clients/gateway", map[string]any{"auth_method": "client_secret_basic"},
		`invalid_request: storage: nothing can be written while entries cannot be read: see the log, and restore or delete client/gateway`)
	m.exchange("unleased")
	m.replaceStored("client/gateway", `"version":4`, `"version":3`)
	if !m.active(token) {
		t.Error("the token did not come back with its client")
	}
}

func TestRestartLosesNoClient(t *testing.T) {
	m := newMount(t)
	m.everyClient()
	before := map[string]map[string]any{}
	for _, id := range m.do(logical.ListOperation, "clients/", nil).Data["keys"].([]string) {
		before[id] = m.read("clients/" + id)
	}
	m.restart()
	for id, want := range before {
		wantEqual(t, id, m.read("clients/"+id), want)
	}
}
