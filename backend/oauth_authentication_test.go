package backend_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	ourIssuer     = "https://vault.example/v1/token-exchange"
)

// unproven is the one answer to whoever has not proven to be the client.
const unproven = "401 invalid_client authentication: failed: the client is unknown, its credentials are wrong, or it is registered with another auth_method (one of federated_jwt must send its client_id)"

// String is an answer in one line.
func (a answer) String() string {
	if a.status == http.StatusOK {
		return "200"
	}
	return fmt.Sprintf("%d %v %v", a.status, a.body["error"], a.body["error_description"])
}

// keyPair is the key of a client that signs its assertions.
type keyPair struct{ private jose.JSONWebKey }

func newKeyPair(t testing.TB) *keyPair {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &keyPair{jose.JSONWebKey{Key: private, KeyID: "c1", Algorithm: "ES256", Use: "sig"}}
}

func (k *keyPair) jwks(t testing.TB) string {
	t.Helper()
	return asJSON(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{k.private.Public()}})
}

// claims are those of a good assertion of the client "signer", with some replaced; nil
// leaves one out.
func (k *keyPair) claims(now time.Time, replaced map[string]any) map[string]any {
	claims := map[string]any{
		"iss": "signer", "sub": "signer", "aud": ourIssuer, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": rand.Text(),
	}
	maps.Copy(claims, replaced)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

func (k *keyPair) sign(t testing.TB, typ string, claims map[string]any) string {
	t.Helper()
	return issuertest.Sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: k.private}, typ, claims)
}

// newSigner is a mount with the client "signer", which signs its assertions, beside
// those of newClients.
func newSigner(t testing.TB) (*mount, *keyPair) {
	t.Helper()
	m, _, _ := newClients(t)
	key := newKeyPair(t)
	m.write("clients/signer", map[string]any{"auth_method": "private_key_jwt", "role": "unleased", "jwks": key.jwks(t)})
	return m, key
}

// asserted authenticates a client by an assertion.
func asserted(jwt string) func(*logical.Request) {
	return with(map[string]any{"client_assertion": jwt, "client_assertion_type": assertionType})
}

// with sends further parameters.
func with(parameters map[string]any) func(*logical.Request) {
	return func(r *logical.Request) { maps.Copy(r.Data, parameters) }
}

// header sends values of a header.
func header(name string, values ...string) func(*logical.Request) {
	return func(r *logical.Request) { r.Headers = map[string][]string{name: values} }
}

func both(a, b func(*logical.Request)) func(*logical.Request) {
	return func(r *logical.Request) { a(r); b(r) }
}

// wantAnswer sends a request to the token endpoint that is good but for who makes it.
func (m *mount) wantAnswer(t *testing.T, who func(*logical.Request), want string) {
	t.Helper()
	got := m.post("token", m.exchangeForm(nil), who)
	if got.String() != want {
		t.Errorf("\ngot  %s\nwant %s", got, want)
	}
	if challenge := got.header[logical.HTTPWWWAuthenticateHeader]; (challenge == `Basic realm="token-exchange", charset="UTF-8"`) != (got.status == 401) {
		t.Errorf("CA-7: status %d with WWW-Authenticate %q", got.status, challenge)
	}
}

// Each case differs in one thing from an assertion that is good.
func TestClientAssertions(t *testing.T) {
	m, key := newSigner(t)
	good := func(replaced map[string]any) func(*logical.Request) {
		return asserted(key.sign(t, "client-authentication+jwt", key.claims(m.now, replaced)))
	}
	typed := func(typ string) func(*logical.Request) { return asserted(key.sign(t, typ, key.claims(m.now, nil))) }
	one := key.sign(t, "", key.claims(m.now, nil))
	for _, c := range []struct {
		name string
		who  func(*logical.Request)
		want string
	}{
		{"CA-1 a good assertion", good(nil), "200"},
		{"CA-1 two assertions", asserted(one + "," + one), "401 invalid_client form: the token is not a JWT in compact serialization: only letters, digits, '-', '_' and '.' may occur"},
		{"CA-1 an assertion without its type", with(map[string]any{"client_assertion": one}), "401 invalid_client client_assertion_type: must be urn:ietf:params:oauth:client-assertion-type:jwt-bearer, once"},
		{"CA-1 another type of assertion", with(map[string]any{"client_assertion": one, "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}), "401 invalid_client client_assertion_type: must be urn:ietf:params:oauth:client-assertion-type:jwt-bearer, once"},
		{"CA-1 a type without an assertion", with(map[string]any{"client_assertion_type": assertionType}), "401 invalid_client client_assertion: is missing"},
		{"CA-1 an empty assertion", asserted(""), "401 invalid_client client_assertion: is missing"},
		{"CA-1 garbage", asserted("garbage"), "401 invalid_client form: the token is not a signed JWT: want three segments separated by '.'"},
		{"CA-1 JSON serialization", asserted(`{"payload":"e30"}`), "401 invalid_client form: the token is not a JWT in compact serialization: only letters, digits, '-', '_' and '.' may occur"},
		{"CA-1 a list", with(map[string]any{"client_assertion": []any{one}, "client_assertion_type": assertionType}), "400 invalid_request client_assertion: must be one text, in a body of the type application/x-www-form-urlencoded"},
		{"CA-1 white space around it", asserted(" " + one), "401 invalid_client form: the token is not a JWT in compact serialization: only letters, digits, '-', '_' and '.' may occur"},
		{"CA-2 no iss", good(map[string]any{"iss": nil}), "401 invalid_client iss: 'iss' claim expected 'signer' but got ''"},
		{"CA-2 another's iss", good(map[string]any{"iss": "gateway"}), "401 invalid_client iss: 'iss' claim expected 'signer' but got 'gateway'"},
		{"CA-2 iss in another case", good(map[string]any{"iss": "Signer"}), "401 invalid_client iss: 'iss' claim expected 'signer' but got 'Signer'"},
		{"CA-2 no sub", good(map[string]any{"sub": nil}), "401 invalid_client sub: 'sub' claim is missing, and so is client_id"},
		{"CA-2 another's sub", good(map[string]any{"sub": "gateway"}), unproven},
		{"CA-2 an unknown sub", good(map[string]any{"sub": "nobody"}), unproven},
		{"CA-2 no exp", good(map[string]any{"exp": nil}), "401 invalid_client exp: 'exp' claim is missing: a token that never expires is not accepted"},
		{"CA-2 expired", good(map[string]any{"exp": m.now.Unix()}), "401 invalid_client exp: 'exp' claim expired at 2027-01-15T08:00:00Z"},
		{"CA-2 exp as text", good(map[string]any{"exp": "1800000060"}), "401 invalid_client exp: 'exp' claim must be a number of seconds since 1970"},
		{"CA-2 issued in the future", good(map[string]any{"iat": m.now.Add(time.Minute).Unix()}), "401 invalid_client iat: 'iat' claim issued in the future, at 2027-01-15T08:01:00Z"},
		{"CA-2 not yet valid", good(map[string]any{"nbf": m.now.Add(time.Minute).Unix()}), "401 invalid_client nbf: 'nbf' claim not valid before 2027-01-15T08:01:00Z"},
		{"CA-2 the same client_id", both(good(nil), with(map[string]any{"client_id": "signer"})), "200"},
		{"CA-2 another client_id", both(good(nil), with(map[string]any{"client_id": "gateway"})), unproven},
		{"CA-3 no aud", good(map[string]any{"aud": nil}), "401 invalid_client aud: 'aud' claim expected one of ['https://vault.example/v1/token-exchange'] but got []"},
		{"CA-3 the issuer in a list of one", good(map[string]any{"aud": []string{ourIssuer}}), "200"},
		{"CA-3 the token endpoint", good(map[string]any{"aud": ourIssuer + "/oauth/token"}), "401 invalid_client aud: 'aud' claim expected one of ['https://vault.example/v1/token-exchange'] but got ['https://vault.example/v1/token-exchange/oauth/token']"},
		{"CA-3 the issuer with a slash", good(map[string]any{"aud": ourIssuer + "/"}), "401 invalid_client aud: 'aud' claim expected one of ['https://vault.example/v1/token-exchange'] but got ['https://vault.example/v1/token-exchange/']"},
		{"CA-3 a further audience", good(map[string]any{"aud": []string{ourIssuer, "https://other.example"}}), "401 invalid_client aud: 'aud' claim: expected 'https://vault.example/v1/token-exchange' alone but got ['https://vault.example/v1/token-exchange', 'https://other.example']"},
		{"CA-3 the issuer twice", good(map[string]any{"aud": []string{ourIssuer, ourIssuer}}), "401 invalid_client aud: 'aud' claim: expected 'https://vault.example/v1/token-exchange' alone but got ['https://vault.example/v1/token-exchange', 'https://vault.example/v1/token-exchange']"},
		{"CA-4 typ JWT", typed("JWT"), "200"},
		{"CA-4 no typ", typed(""), "200"},
		{"CA-4 typ of an access token", typed("at+jwt"), "401 invalid_client typ: header 'typ' 'at+jwt' is not that of a client assertion: expected client-authentication+jwt, JWT or none"},
		{"CA-4 typ of a proof", typed("dpop+jwt"), "401 invalid_client typ: header 'typ' 'dpop+jwt' is not that of a client assertion: expected client-authentication+jwt, JWT or none"},
		{"CA-5 no jti", good(map[string]any{"jti": nil}), "401 invalid_client jti: 'jti' claim is missing or empty"},
		{"CA-5 a long jti", good(map[string]any{"jti": strings.Repeat("x", 257)}), "401 invalid_client jti: 'jti' claim has 257 characters: the limit is 256"},
		{"CA-5 good for five minutes", good(map[string]any{"exp": m.now.Add(5 * time.Minute).Unix()}), "200"},
		{"CA-5 good for longer", good(map[string]any{"exp": m.now.Add(5*time.Minute + time.Second).Unix()}), "401 invalid_client exp: 'exp' claim is more than 5m0s ahead"},
		{"CA-2 signed by another key", asserted(newKeyPair(t).sign(t, "", key.claims(m.now, nil))), unproven},
		{"CA-2 a changed signature", asserted(one[:len(one)-6] + "AAAAAA"), unproven},
		{"CA-2 none as algorithm", asserted(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(one, ".")[1] + "."), "401 invalid_client form: the token is not a signed JWT: want three segments separated by '.'"},
		{"CA-2 HS256", asserted(issuertest.Sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: make([]byte, 32)}, "", key.claims(m.now, nil))), "401 invalid_client alg: header 'alg' 'HS256' is not an accepted signature algorithm"},
	} {
		t.Run(c.name, func(t *testing.T) { m.wantAnswer(t, c.who, c.want) })
	}
}

// The secret, and everything else by which a request says who makes it. CA-7: each failed
// authentication is a 401 with a challenge.
func TestClientCredentials(t *testing.T) {
	m, key := newSigner(t)
	secret := m.secret("gateway")
	m.write("clients/poster", map[string]any{"auth_method": "client_secret_post", "role": "unleased"})
	posted := m.secret("poster")
	m.write("clients/open", map[string]any{"auth_method": "none", "insecure_public": true, "role": "unleased"})
	m.boundRole()
	m.write("clients/bound", map[string]any{"auth_method": "none", "dpop_required": true, "role": "bound"})
	post := func(id, secret string) func(*logical.Request) {
		return with(map[string]any{"client_id": id, "client_secret": secret})
	}
	raw := func(text string) func(*logical.Request) {
		return header("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(text)))
	}
	good := basic("gateway", secret)
	assertion := asserted(key.sign(t, "", key.claims(m.now, nil)))
	for _, c := range []struct {
		name string
		who  func(*logical.Request)
		want string
	}{
		{"TX-12 nobody", func(*logical.Request) {}, "401 invalid_client client_id: is missing, as is every other way to authenticate; if Authorization: Basic was sent, is Authorization among the passthrough_request_headers of the mount?"},
		{"TX-12 an id alone", with(map[string]any{"client_id": "gateway"}), unproven},
		{"TX-12 an empty id", with(map[string]any{"client_id": ""}), "401 invalid_client client_id: is missing, as is every other way to authenticate; if Authorization: Basic was sent, is Authorization among the passthrough_request_headers of the mount?"},
		{"TX-12 a client that is registered as public", with(map[string]any{"client_id": "open"}), "200"},
		{"TX-12 a public client with a secret", post("open", secret), unproven},
		{"VT-3 DP-5 a client that must prove a key and does not", with(map[string]any{"client_id": "bound"}), "400 invalid_dpop_proof dpop_required: the client must send a DPoP proof, and none has arrived: is DPoP among the passthrough_request_headers of the mount?"},
		{"CA-8 the secret in the header", good, "200"},
		{"CA-8 a header that encodes what need not be", raw("%67ateway:" + strings.ReplaceAll(secret, "_", "%5F")), "200"},
		{"CA-8 the scheme in lower case", header("authorization", "basic "+base64.StdEncoding.EncodeToString([]byte("gateway:"+secret))), "200"},
		{"CA-8 a wrong secret", basic("gateway", "wrong"), unproven},
		{"CA-8 an empty secret", basic("gateway", ""), unproven},
		{"CA-8 the secret and more", basic("gateway", secret+"x"), unproven},
		{"CA-8 another's secret", basic("gateway", posted), unproven},
		{"CA-8 an unknown client", basic("nobody", secret), unproven},
		{"CA-8 an id in another case", basic("Gateway", secret), unproven},
		{"CA-8 a secret of 3 kB", basic("gateway", strings.Repeat("x", 3000)), unproven},
		{"CA-8 no colon", raw("gateway"), "401 invalid_client authorization: is not the base64 of a form-encoded client_id, ':', and a form-encoded secret"},
		{"CA-8 no id", raw(":" + secret), "401 invalid_client authorization: is not the base64 of a form-encoded client_id, ':', and a form-encoded secret"},
		{"CA-8 a broken escape", raw("gateway:%zz"), "401 invalid_client authorization: is not the base64 of a form-encoded client_id, ':', and a form-encoded secret"},
		{"CA-8 not base64", header("Authorization", "Basic %%%"), "401 invalid_client authorization: is not the base64 of a form-encoded client_id, ':', and a form-encoded secret"},
		{"CA-8 the scheme alone", header("Authorization", "Basic"), "401 invalid_client authorization: is not the base64 of a form-encoded client_id, ':', and a form-encoded secret"},
		{"CA-8 a header of 5 kB", raw("gateway:" + strings.Repeat("x", 5000)), "401 invalid_client authorization: is not the base64 of a form-encoded client_id, ':', and a form-encoded secret"},
		{"CA-8 two headers", header("Authorization", "Basic Z2F0ZXdheTp4", "Basic Z2F0ZXdheTp4"), "400 invalid_request authorization: must be sent once"},
		{"CA-8 the header for a client that posts", basic("poster", posted), unproven},
		{"CA-8 the secret as a parameter", post("poster", posted), "200"},
		{"CA-8 a parameter for a client of the header", post("gateway", secret), unproven},
		{"CA-8 two secrets", post("poster", posted+","+posted), "400 invalid_request client_secret: must be given once, and has no comma"},
		{"CA-8 a secret and no id", with(map[string]any{"client_secret": posted}), "400 invalid_request client_id: is missing: client_secret needs it"},
		{"CA-8 two ids", post("poster,poster", posted), "400 invalid_request client_id: must be given once, and has no comma"},
		{"CA-8 a secret that is a list", with(map[string]any{"client_id": "poster", "client_secret": []any{posted}}), "400 invalid_request client_secret: must be one text, in a body of the type application/x-www-form-urlencoded"},
		{"CA-8 an id that is a number", with(map[string]any{"client_id": 7}), "400 invalid_request client_id: must be one text, in a body of the type application/x-www-form-urlencoded"},
		{"CA-8 the id twice, and the same", both(good, with(map[string]any{"client_id": "gateway"})), "200"},
		{"CA-8 the id twice, and not the same", both(good, with(map[string]any{"client_id": "poster"})), "401 invalid_client client_id: is not the client of the Authorization header"},
		{"CA-6 header and parameter", both(good, with(map[string]any{"client_secret": posted})), "400 invalid_request client_secret: an Authorization header and the parameter client_secret are two ways to authenticate: use one"},
		{"CA-6 header and assertion", both(good, assertion), "401 invalid_client client_assertion: an Authorization header and the parameter client_assertion are two ways to authenticate: use one"},
		{"CA-6 parameter and assertion", both(post("poster", posted), assertion), "401 invalid_client client_assertion: the parameter client_secret and the parameter client_assertion are two ways to authenticate: use one"},
		{"VT-3 a bearer token is not looked at", header("Authorization", "Bearer hvs.secret"), "401 invalid_client client_id: is missing, as is every other way to authenticate; if Authorization: Basic was sent, is Authorization among the passthrough_request_headers of the mount?"},
		{"VT-3 a bearer token beside a good assertion", both(assertion, header("Authorization", "Bearer hvs.secret")), "200"},
		{"BC-6 a certificate that a header names", header("X-Forwarded-Client-Cert", "Subject=\"CN=billing\""), "401 invalid_client client_id: is missing, as is every other way to authenticate; if Authorization: Basic was sent, is Authorization among the passthrough_request_headers of the mount?"},
	} {
		t.Run(c.name, func(t *testing.T) { m.wantAnswer(t, c.who, c.want) })
	}
	if strings.Contains(m.log.String(), secret) || strings.Contains(m.log.String(), posted) || strings.Contains(m.log.String(), "hvs.secret") {
		t.Error("a secret is in the log")
	}
}

// selfSigned makes a certificate of a client, with its key.
func selfSigned(t *testing.T, now time.Time) (*x509.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "billing"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "x", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	return cert, string(set)
}

func connectedWith(certs ...*x509.Certificate) func(*logical.Request) {
	return func(r *logical.Request) {
		r.Connection = &logical.Connection{ConnState: &tls.ConnectionState{PeerCertificates: certs}}
	}
}

// CA-9, MT-2, BC-6: the certificate of this very connection proves who the client is;
// none that a header names does. What names fit, the tests of the package client say.
func TestClientCertificates(t *testing.T) {
	m, _, _ := newClients(t)
	own, jwks := selfSigned(t, m.now)
	another, _ := selfSigned(t, m.now)
	m.write("clients/billing", map[string]any{"auth_method": "self_signed_tls_client_auth", "role": "unleased", "jwks": jwks})
	id := with(map[string]any{"client_id": "billing"})
	for _, c := range []struct {
		name string
		who  func(*logical.Request)
		want string
	}{
		{"CA-9 the registered key", both(id, connectedWith(own)), "200"},
		{"CA-9 another key, and the same name", both(id, connectedWith(another)), unproven},
		{"CA-9 the registered one behind another", both(id, connectedWith(another, own)), unproven},
		{"CA-9 no certificate", id, unproven},
		{"CA-9 no certificate on the connection", both(id, connectedWith()), unproven},
		{"CA-9 the certificate without an id", connectedWith(own), "401 invalid_client client_id: is missing, as is every other way to authenticate; if Authorization: Basic was sent, is Authorization among the passthrough_request_headers of the mount?"},
		{"BC-6 the certificate in a header", both(id, header("Client-Cert", base64.StdEncoding.EncodeToString(own.Raw))), unproven},
	} {
		t.Run(c.name, func(t *testing.T) { m.wantAnswer(t, c.who, c.want) })
	}
	m.now = m.now.Add(time.Hour + time.Second)
	m.wantAnswer(t, both(id, connectedWith(own)), unproven)
}

// A token of a trusted issuer as the assertion: bound as a subject of a role is.
func TestFederatedClients(t *testing.T) {
	m, _, _ := newClients(t)
	m.write("clients/workload", map[string]any{"auth_method": "federated_jwt", "federated_issuer": "idp", "federated_subject": "worker", "role": "unleased"})
	id := with(map[string]any{"client_id": "workload"})
	token := func(replaced map[string]any) string {
		claims := map[string]any{"sub": "worker", "jti": "w-1"}
		maps.Copy(claims, replaced)
		return m.idp.Sign(t, m.idp.Claims(m.now, claims))
	}
	other := issuertest.New(t, m.idp.URL)
	for _, c := range []struct {
		name string
		who  func(*logical.Request)
		want string
	}{
		{"CA-2 the client's own token", both(id, asserted(token(nil))), "200"},
		{"CA-5 the same token again, for it lives as long as the workload", both(id, asserted(token(nil))), "200"},
		{"CA-2 no client_id", asserted(token(nil)), unproven},
		{"CA-2 another subject", both(id, asserted(token(map[string]any{"sub": "ci-runner"}))), unproven},
		{"CA-2 an expired token", both(id, asserted(token(map[string]any{"exp": m.now.Unix()}))), unproven},
		{"CA-3 a token for somebody else", both(id, asserted(token(map[string]any{"aud": "https://other.example"}))), unproven},
		{"CA-3 a token for others too", both(id, asserted(token(map[string]any{"aud": []string{"https://vault.example", "https://other.example"}}))), unproven},
		{"CA-2 a token that is bound to a key", both(id, asserted(token(map[string]any{"cnf": map[string]any{"jkt": "x"}}))), unproven},
		{"CA-2 a token of a delegation", both(id, asserted(token(map[string]any{"act": map[string]any{"sub": "x"}}))), unproven},
		{"CA-2 a token that is reserved for an actor", both(id, asserted(token(map[string]any{"may_act": map[string]any{"sub": "x"}}))), unproven},
		{"CA-2 another key of the same issuer's name", both(id, asserted(other.Sign(t, other.Claims(m.now, map[string]any{"sub": "worker"})))), unproven},
	} {
		t.Run(c.name, func(t *testing.T) { m.wantAnswer(t, c.who, c.want) })
	}
}

// CA-10: one JWT is not the client's assertion and the subject's token at once, in
// whatever way it is encoded.
func TestAssertionIsNotTheSubject_CA10(t *testing.T) {
	m, _, _ := newClients(t)
	m.write("clients/workload", map[string]any{"auth_method": "federated_jwt", "federated_issuer": "idp", "federated_subject": "ci-runner", "role": "unleased"})
	claims := m.idp.Claims(m.now, nil)
	assertion := both(with(map[string]any{"client_id": "workload"}), asserted(m.idp.Sign(t, claims)))
	const refused = "400 invalid_request subject: is the client's assertion too: one JWT must not be both (RFC 8725, 3.12)"
	got := m.post("token", m.exchangeForm(map[string]any{"subject_token": m.idp.Sign(t, claims)}), assertion) // another signature
	if got.String() != refused {
		t.Errorf("got %s", got)
	}
	if got := m.post("token", m.exchangeForm(map[string]any{"subject_token": m.idp.Sign(t, m.idp.Claims(m.now, map[string]any{"jti": "another"}))}), assertion); got.status != 200 {
		t.Errorf("another token of the same subject: %s", got)
	}
}
