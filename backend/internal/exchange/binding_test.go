package exchange_test

import (
	"crypto/x509"
	"maps"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/dpop"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
)

// The thumbprints of two keys.
const (
	oneKey     = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	anotherKey = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA"
)

// Two certificates.
var (
	oneCertificate     = &x509.Certificate{Raw: []byte("one")}
	anotherCertificate = &x509.Certificate{Raw: []byte("another")}
)

// gateway is an OAuth client that has authenticated itself by a method.
func (w *world) gateway(method string) *client.Authenticated {
	w.t.Helper()
	c := client.Draft("gateway")
	c.AuthMethod, c.Role, c.InsecurePublic = method, "orders", method == client.None
	made, err := client.New(c, issuer.Options{})
	w.must(err)
	return &client.Authenticated{Client: made}
}

// byClient makes a request one of an OAuth client, with what it proves.
func byClient(r *exchange.Request, who *client.Authenticated, key string, certificate *x509.Certificate) {
	who.Certificate = certificate
	r.Client = who
	if key != "" {
		r.Proof = &dpop.Proof{Thumbprint: key}
	}
}

func TestBinding(t *testing.T) {
	const (
		noProof       = "the request needs a DPoP proof (is DPoP among the passthrough_request_headers of the mount?)"
		noCertificate = "the connection needs a client certificate"
	)
	for _, c := range []struct {
		name, binding string
		key           string
		certificate   *x509.Certificate
		want          string // the thumbprint that the token is bound to, or the refusal
	}{
		{"nothing to nothing", policy.BindNone, "", nil, ""},
		{"MT-1 nothing to the certificate by which the client came", policy.BindNone, "", oneCertificate, ""},
		{"DP-2 a proof that would change nothing", policy.BindNone, oneKey, nil, `invalid_dpop_proof: binding: the role "orders" does not bind tokens to the key of a DPoP proof: leave the header DPoP out`},
		{"DP-2 dpop", policy.BindDPoP, oneKey, nil, oneKey},
		{"DP-5 dpop without a proof", policy.BindDPoP, "", nil, "invalid_dpop_proof: binding: the role binds tokens to a key: " + noProof},
		{"DP-5 dpop with a certificate alone", policy.BindDPoP, "", oneCertificate, "invalid_dpop_proof: binding: the role binds tokens to a key: " + noProof},
		{"DP-2 dpop with both", policy.BindDPoP, oneKey, oneCertificate, oneKey},
		{"MT-1 mtls", policy.BindMTLS, "", oneCertificate, dpop.CertificateThumbprint(oneCertificate.Raw)},
		{"MT-2 mtls without a certificate", policy.BindMTLS, "", nil, "invalid_request: binding: the role binds tokens to a certificate: " + noCertificate},
		{"MT-2 mtls with a proof alone", policy.BindMTLS, oneKey, nil, `invalid_dpop_proof: binding: the role "orders" does not bind tokens to the key of a DPoP proof: leave the header DPoP out`},
		{"MT-1 mtls with both", policy.BindMTLS, oneKey, oneCertificate, `invalid_dpop_proof: binding: the role "orders" does not bind tokens to the key of a DPoP proof: leave the header DPoP out`},
		{"any, a proof", policy.BindAny, oneKey, nil, oneKey},
		{"any, a certificate", policy.BindAny, "", oneCertificate, dpop.CertificateThumbprint(oneCertificate.Raw)},
		{"any, both", policy.BindAny, oneKey, oneCertificate, oneKey},
		{"any, neither", policy.BindAny, "", nil, "invalid_request: binding: the role binds tokens: " + noProof + ", or the connection a client certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.addRole("orders", func(r *policy.Role) { r.Binding = c.binding })
			req := w.request()
			byClient(&req, w.gateway(client.ClientSecretBasic), c.key, c.certificate)
			answer, err := w.exchange(req)
			if err != nil {
				wantDenied(t, err, denial.Binding, "binding", c.want)
				return
			}
			if got := w.boundTo(answer); got != c.want {
				t.Errorf("bound to %q, want %q", got, c.want)
			}
		})
	}
}

// boundTo is the thumbprint that a token is bound to; "" if to nothing.
func (w *world) boundTo(a *exchange.Answer) string {
	w.t.Helper()
	cnf, _ := w.claimsOf(a)["cnf"].(map[string]any)
	for thumbprint := range maps.Values(cnf) {
		return thumbprint.(string)
	}
	return ""
}

func TestSubjectBinding(t *testing.T) {
	const (
		unproven     = `invalid_request: subject: "cnf" claim: the token is bound to a key, and the request has no proof of that key`
		toNothing    = `invalid_request: subject: "cnf" claim: the token is bound to a key, and the role "orders" would answer with one that is not: set binding`
		rejected     = `invalid_request: subject: "cnf" claim: the role "orders" takes no token that is bound to a key`
		unidentified = `invalid_request: subject: "cnf" claim: only a client that has authenticated itself may have it bound to its own key`
	)
	byKey := map[string]any{"jkt": oneKey}
	byCertificate := map[string]any{"x5t#S256": dpop.CertificateThumbprint(oneCertificate.Raw)}
	for _, c := range []struct {
		name, mode  string
		cnf         map[string]any
		method      string
		key         string
		certificate *x509.Certificate
		want        string // the refusal; "" if it is granted
	}{
		{"TX-26 its key", policy.SubjectProve, byKey, client.ClientSecretBasic, oneKey, nil, ""},
		{"TX-26 another key", policy.SubjectProve, byKey, client.ClientSecretBasic, anotherKey, nil, unproven},
		{"TX-26 a certificate for a key", policy.SubjectProve, byKey, client.ClientSecretBasic, "", oneCertificate, unproven},
		{"TX-26 its certificate", policy.SubjectProve, byCertificate, client.ClientSecretBasic, "", oneCertificate, ""},
		{"TX-26 another certificate", policy.SubjectProve, byCertificate, client.ClientSecretBasic, "", anotherCertificate, unproven},
		{"TX-26 a key for a certificate", policy.SubjectProve, byCertificate, client.ClientSecretBasic, oneKey, nil, unproven},
		{"TX-26 its key, by a client that proves no more", policy.SubjectProve, byKey, client.None, oneKey, nil, ""},
		{"TX-26 rejected although proven", policy.SubjectReject, byKey, client.ClientSecretBasic, oneKey, nil, rejected},
		{"bound again", policy.SubjectRebind, byKey, client.ClientSecretBasic, anotherKey, nil, ""},
		{"bound again from a certificate", policy.SubjectRebind, byCertificate, client.ClientSecretBasic, "", anotherCertificate, ""},
		{"bound again by a client that proves nothing", policy.SubjectRebind, byKey, client.None, anotherKey, nil, unidentified},
		{"TX-26 to be bound to nothing", "", byKey, client.ClientSecretBasic, "", nil, toNothing},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.addRole("orders", func(r *policy.Role) {
				if c.mode != "" {
					r.Binding, r.SubjectBinding = policy.BindAny, c.mode
				}
			})
			req := w.request()
			req.SubjectToken = w.subject(map[string]any{"cnf": c.cnf})
			byClient(&req, w.gateway(c.method), c.key, c.certificate)
			_, err := w.exchange(req)
			if c.want == "" {
				w.must(err)
				return
			}
			wantDenied(t, err, denial.Subject, "cnf", c.want)
		})
	}
}
