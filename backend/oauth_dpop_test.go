package backend_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/hashicorp/vault/sdk/logical"
)

const tokenEndpoint = "https://vault.example/v1/token-exchange/oauth/token"

// prover makes DPoP proofs, as a client does.
type prover struct {
	t     testing.TB
	key   *ecdsa.PrivateKey
	nonce string
}

func newProver(t testing.TB) *prover {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &prover{t: t, key: key}
}

// thumbprint is that of RFC 7638.
func (p *prover) thumbprint() string {
	sum, err := (&jose.JSONWebKey{Key: p.key.Public()}).Thumbprint(5) // crypto.SHA256
	if err != nil {
		p.t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

func (p *prover) proof(now time.Time, change map[string]any) string {
	p.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: p.key}, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	if err != nil {
		p.t.Fatal(err)
	}
	claims := map[string]any{"jti": rand.Text(), "htm": "POST", "htu": tokenEndpoint, "iat": now.Unix(), "nonce": p.nonce}
	maps.Copy(claims, change)
	proof, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return proof
}

// proving sends proofs along with the client's credentials.
func proving(who func(*logical.Request), proofs ...string) func(*logical.Request) {
	return func(r *logical.Request) {
		who(r)
		r.Headers["Dpop"] = proofs
	}
}

// newBound is a mount with the client "gateway", whose role binds tokens.
func newBound(t testing.TB, binding string) (m *mount, gateway func(*logical.Request), p *prover) {
	t.Helper()
	m, gateway, _ = newClients(t)
	m.write("roles/unleased", map[string]any{"binding": binding})
	p = newProver(t)
	if refused := m.post("token", m.exchangeForm(nil), proving(gateway, p.proof(m.now, nil))); binding != "mtls" && binding != "none" {
		if refused.status != 400 || refused.body["error"] != "use_dpop_nonce" || len(refused.headers["DPoP-Nonce"]) != 1 {
			t.Fatalf("DP-3: got %d %s, headers %v", refused.status, refused.raw, refused.headers)
		}
		p.nonce = refused.headers["DPoP-Nonce"][0]
	}
	return m, gateway, p
}

// The node that stores an opaque token is the one whose nonces count.
func TestDPoPOfOpaqueTokensIsForTheNodeThatWrites(t *testing.T) {
	m, gateway, p := newBound(t, "dpop")
	m.standby()
	form := m.exchangeForm(nil)
	if got := m.post("token", form, proving(gateway, p.proof(m.now, nil))); got.status != 200 {
		t.Errorf("a JWT needs no other node: %s", got)
	}
	m.write("roles/unleased", map[string]any{"format": "opaque"})
	req := &logical.Request{ID: "r", Operation: logical.UpdateOperation, Path: "oauth/token", Data: form, Storage: m.storage}
	proving(gateway, p.proof(m.now, nil))(req)
	if resp, err := m.backend.HandleRequest(t.Context(), req); !errors.Is(err, logical.ErrReadOnly) {
		t.Errorf("got %v %v", resp, err)
	}
}

func claimsOf(t testing.TB, raw any) map[string]any {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(raw.(string), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestDPoPBindsTheToken(t *testing.T) {
	m, gateway, p := newBound(t, "dpop")
	proof := p.proof(m.now, nil)
	granted := m.post("token", m.exchangeForm(nil), proving(gateway, proof))
	if granted.status != 200 || granted.body["token_type"] != "DPoP" || len(granted.headers["DPoP-Nonce"]) != 1 {
		t.Fatalf("DP-2: got %d %s, headers %v", granted.status, granted.raw, granted.headers)
	}
	if got := claimsOf(t, granted.body["access_token"])["cnf"]; asJSON(t, got) != `{"jkt":"`+p.thumbprint()+`"}` {
		t.Errorf("DP-2: cnf is %v", got)
	}
	told := m.post("introspect", map[string]any{"token": granted.body["access_token"]}, gateway).body
	if told["token_type"] != "DPoP" || asJSON(t, told["cnf"]) != `{"jkt":"`+p.thumbprint()+`"}` {
		t.Errorf("IN-4: introspection tells %v", told)
	}
	if again := m.post("token", m.exchangeForm(nil), proving(gateway, proof)); again.status != 400 || again.body["error"] != "invalid_dpop_proof" {
		t.Errorf("DP-4: the proof is taken twice: %d %s", again.status, again.raw)
	}
}

func TestDPoPProofsThatAreRefused(t *testing.T) {
	m, gateway, p := newBound(t, "dpop")
	m.write("config", map[string]any{"token_endpoint_aliases": "https://gateway.example/token"})
	for _, tt := range []struct {
		name   string
		proofs []string
		code   string
	}{
		{"DP-5 none", nil, "invalid_dpop_proof"},
		{"DP-1 two", []string{p.proof(m.now, nil), p.proof(m.now, nil)}, "invalid_dpop_proof"},
		{"DP-1 for another method", []string{p.proof(m.now, map[string]any{"htm": "GET"})}, "invalid_dpop_proof"},
		{"DP-7 for an internal listener", []string{p.proof(m.now, map[string]any{"htu": "http://127.0.0.1:8200/v1/token-exchange/oauth/token"})}, "invalid_dpop_proof"},
		{"DP-1 old", []string{p.proof(m.now.Add(-time.Hour), nil)}, "invalid_dpop_proof"},
		{"DP-3 a nonce of somebody", []string{p.proof(m.now, map[string]any{"nonce": "x"})}, "use_dpop_nonce"},
		{"DP-1 garbage", []string{"a.b.c"}, "invalid_dpop_proof"},
	} {
		got := m.post("token", m.exchangeForm(nil), proving(gateway, tt.proofs...))
		if got.status != 400 || got.body["error"] != tt.code {
			t.Errorf("%s: got %d %s", tt.name, got.status, got.raw)
		}
	}
	if got := m.post("token", m.exchangeForm(nil), proving(gateway, p.proof(m.now, map[string]any{"htu": "https://gateway.example/token"}))); got.status != 200 {
		t.Errorf("DP-7 for an alias: got %d %s", got.status, got.raw)
	}
}

// A role that binds nothing refuses a proof: nobody shall take its token for a
// bound one.
func TestProofThatWouldChangeNothingIsRefused(t *testing.T) {
	m, gateway, p := newBound(t, "dpop")
	m.write("roles/unleased", map[string]any{"binding": "none"})
	if got := m.post("token", m.exchangeForm(nil), proving(gateway, p.proof(m.now, nil))); got.status != 400 || got.body["error"] != "invalid_dpop_proof" {
		t.Errorf("DP-2: got %d %s", got.status, got.raw)
	}
}

// A token that is bound is exchanged with a proof of its key, and by a gateway
// with one of its own if the role says so.
func TestBoundSubjectToken(t *testing.T) {
	for _, tt := range []struct {
		name, mode string
		owner      bool // the proof is by the key of the subject token
		binding    string
		status     int
	}{
		{"TX-26 proven", "prove", true, "dpop", 200},
		{"TX-26 with another key", "prove", false, "dpop", 400},
		{"TX-26 rejected although proven", "reject", true, "dpop", 400},
		{"bound again to the key of a gateway", "rebind", false, "dpop", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, gateway, p := newBound(t, "dpop")
			bound := m.post("token", m.exchangeForm(nil), proving(gateway, p.proof(m.now, nil))).body["access_token"]
			m.write("roles/again", map[string]any{"binding": tt.binding, "subject_binding": tt.mode})
			m.write("clients/gateway", map[string]any{"role": "again"})
			key := p
			if !tt.owner {
				key = newProver(t)
				key.nonce = p.nonce
			}
			form := m.exchangeForm(map[string]any{
				"subject_token": bound, "subject_token_type": "urn:ietf:params:oauth:token-type:access_token", "scope": nil,
			})
			got := m.post("token", form, proving(gateway, key.proof(m.now, nil)))
			if got.status != tt.status {
				t.Fatalf("got %d %s", got.status, got.raw)
			}
			if got.status == 200 && asJSON(t, claimsOf(t, got.body["access_token"])["cnf"]) != `{"jkt":"`+key.thumbprint()+`"}` {
				t.Errorf("the token is bound to %v", claimsOf(t, got.body["access_token"])["cnf"])
			}
		})
	}
}

// Where no key can be proven, neither a bound token comes out nor one goes in.
func TestVaultEntranceKnowsNoProofs(t *testing.T) {
	m, gateway, p := newBound(t, "dpop")
	bound := m.post("token", m.exchangeForm(nil), proving(gateway, p.proof(m.now, nil))).body["access_token"]
	m.wantRefused(logical.UpdateOperation, "exchange/unleased", map[string]any{"subject_token": m.idp.Sign(t, m.idp.Claims(m.now, nil))},
		"invalid_request: binding: tokens of the role are bound to a key, which cannot be proven here: use oauth/token")
	m.wantRefused(logical.UpdateOperation, "exchange/again", map[string]any{"subject_token": bound},
		`invalid_request: subject: "cnf" claim: the token is bound to a key, and the role "again" would answer with one that is not: set binding`)
	m.write("roles/again", map[string]any{"binding": "dpop", "subject_binding": "rebind"})
	m.wantRefused(logical.UpdateOperation, "exchange/again", map[string]any{"subject_token": bound},
		`invalid_request: subject: "cnf" claim: only a client that has authenticated itself may have it bound to its own key`)
}

func TestCertificateBindsTheToken(t *testing.T) {
	m, gateway, _ := newBound(t, "mtls")
	certificate, _ := selfSigned(t, m.now)
	onConnection := func(r *logical.Request) {
		gateway(r)
		r.Connection = &logical.Connection{ConnState: &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}}
	}
	if got := m.post("token", m.exchangeForm(nil), gateway); got.status != 400 || got.body["error"] != "invalid_request" {
		t.Errorf("MT-2 without one: got %d %s", got.status, got.raw)
	}
	granted := m.post("token", m.exchangeForm(nil), onConnection)
	if granted.status != 200 || granted.body["token_type"] != "Bearer" {
		t.Fatalf("got %d %s", granted.status, granted.raw)
	}
	sum := sha256.Sum256(certificate.Raw)
	if got := asJSON(t, claimsOf(t, granted.body["access_token"])["cnf"]); got != `{"x5t#S256":"`+base64.RawURLEncoding.EncodeToString(sum[:])+`"}` {
		t.Errorf("MT-1: cnf is %s", got)
	}
}

func TestClientThatMustProveAKey(t *testing.T) {
	m, gateway, p := newBound(t, "dpop")
	m.write("clients/gateway", map[string]any{"dpop_required": true})
	if got := m.post("token", m.exchangeForm(nil), gateway); got.status != 400 || got.body["error"] != "invalid_dpop_proof" {
		t.Errorf("DP-5: got %d %s", got.status, got.raw)
	}
	if got := m.post("token", m.exchangeForm(nil), proving(gateway, p.proof(m.now, nil))); got.status != 200 {
		t.Errorf("got %d %s", got.status, got.raw)
	}
	m.wantRefused(logical.UpdateOperation, "roles/unleased", map[string]any{"binding": "mtls"},
		`invalid_request: binding: must be "dpop" or "any": the clients ["gateway"] have dpop_required`)
	m.wantRefused(logical.UpdateOperation, "clients/gateway", map[string]any{"role": "orders"},
		`invalid_request: dpop_required: the role "orders" takes no DPoP proofs: set its binding to "dpop" or "any"`)
}

// The client itself acts for the subject.
func TestClientAsActor(t *testing.T) {
	m, gateway, _ := newClients(t)
	m.write("roles/unleased", map[string]any{"delegation": "required", "actor_source": "client", "bound_actors": "client:gateway"})
	granted := m.post("token", m.exchangeForm(nil), gateway)
	if granted.status != 200 {
		t.Fatalf("got %d %s", granted.status, granted.raw)
	}
	if got := asJSON(t, claimsOf(t, granted.body["access_token"])["act"]); got != `{"iss":"https://vault.example/v1/token-exchange","sub":"client:gateway"}` {
		t.Errorf("TX-20: act is %s", got)
	}
	m.wantRefused(logical.UpdateOperation, "exchange/unleased", map[string]any{"subject_token": m.idp.Sign(t, m.idp.Claims(m.now, nil))},
		`invalid_request: actor: the actor of the role "unleased" is the OAuth client, which has to authenticate itself at oauth/token`)
	m.write("roles/unleased", map[string]any{"bound_actors": "client:other"})
	if got := m.post("token", m.exchangeForm(nil), gateway); got.status != 400 {
		t.Errorf("TX-27: got %d %s", got.status, got.raw)
	}
}

// An explanation can be asked as if a client had asked.
func TestExplainForAClient(t *testing.T) {
	m, _, _ := newClients(t)
	m.write("roles/unleased", map[string]any{"delegation": "required", "actor_source": "client", "bound_actors": "client:gateway"})
	ask := map[string]any{"subject_claims": m.idp.Claims(m.now, nil)}
	if got := m.write("explain/unleased", ask).Data; got["allowed"] != false || got["rule"] != "actor_source" {
		t.Errorf("for nobody: %v", got)
	}
	ask["client_id"] = "gateway"
	got := m.write("explain/unleased", ask).Data
	if got["allowed"] != true || asJSON(t, got["claims"].(map[string]any)["act"]) != `{"iss":"`+ourIssuer+`","sub":"client:gateway"}` {
		t.Errorf("for the client: %v", got)
	}
	ask["client_id"] = "api"
	m.wantRefused(logical.UpdateOperation, "explain/unleased", ask, `invalid_request: client_id: the client "api" exchanges by another role: [""]`)
	ask["client_id"] = "nobody"
	m.wantRefused(logical.UpdateOperation, "explain/unleased", ask, `invalid_request: client_id: the client ["nobody"] does not exist`)
}

// An opaque token is got, asked about, exchanged and revoked at the OAuth
// endpoints as any other.
func TestOpaqueTokensOfAClient_IN9(t *testing.T) {
	m, gateway, api := newClients(t)
	m.write("roles/unleased", map[string]any{"format": "opaque"})
	granted := m.post("token", m.exchangeForm(nil), gateway)
	raw, _ := granted.body["access_token"].(string)
	if granted.status != 200 || !strings.HasPrefix(raw, "vtx_") {
		t.Fatalf("got %d", granted.status)
	}
	if got := m.post("introspect", map[string]any{"token": raw}, api); got.body["active"] != true || got.body["client_id"] != "gateway" {
		t.Errorf("IN-9: introspection tells %v", got.body)
	}
	m.write("clients/gateway", map[string]any{"role": "again"})
	again := m.post("token", m.exchangeForm(map[string]any{
		"subject_token": raw, "subject_token_type": "urn:ietf:params:oauth:token-type:access_token", "scope": nil,
	}), gateway)
	if again.status != 200 {
		t.Fatalf("exchanged: %d %s", again.status, again.raw)
	}
	m.post("revoke", map[string]any{"token": raw}, gateway)
	for name, token := range map[string]any{"it": raw, "what was exchanged from it": again.body["access_token"]} {
		if m.active(token) {
			t.Errorf("RV-4: %s is active", name)
		}
	}
}
