package client_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
)

// pair is a certificate and its key.
type pair struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  string
}

// issue makes a certificate with a new key; a pair without a certificate signs
// its own.
func (p pair) issue(template *x509.Certificate) pair {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	parent, signer := p.cert, p.key
	if parent == nil {
		parent, signer = template, key
	}
	der := must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer))
	encoded := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return pair{key, must(x509.ParseCertificate(der)), string(encoded)}
}

func caTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
}

var (
	authority = sync.OnceValue(func() pair { return pair{}.issue(caTemplate("clients")) })
	// rogue is an authority of the same name.
	rogue        = sync.OnceValue(func() pair { return pair{}.issue(caTemplate("clients")) })
	intermediate = sync.OnceValue(func() pair { return authority().issue(caTemplate("teams")) })
)

// leaf is a good certificate of the client, which has a name of each kind.
func leaf() *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "billing", Organization: []string{"Example, Inc."}},
		NotBefore:    now.Add(-time.Minute), NotAfter: now.Add(time.Hour),
		ExtKeyUsage:    []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		DNSNames:       []string{"other.example", "billing.example"},
		URIs:           []*url.URL{must(url.Parse("spiffe://example/billing"))},
		IPAddresses:    []net.IP{net.ParseIP("10.1.2.3")},
		EmailAddresses: []string{"billing@example.org"},
	}
}

func withCertificate(chain ...*x509.Certificate) client.Credentials {
	return client.Credentials{ClientID: clientID, Certificates: chain}
}

func edited(edit func(*x509.Certificate)) *x509.Certificate {
	template := leaf()
	edit(template)
	return template
}

func TestTLSClientAuth(t *testing.T) {
	own := authority().issue(leaf())
	for name, edit := range map[string]func(*client.Config){
		"dns":                       func(*client.Config) {},
		"dns in another case":       func(c *client.Config) { c.TLSSANDNS = "Billing.Example" },
		"uri":                       func(c *client.Config) { c.TLSSANDNS, c.TLSSANURI = "", "spiffe://example/billing" },
		"ip":                        func(c *client.Config) { c.TLSSANDNS, c.TLSSANIP = "", "10.1.2.3" },
		"ip mapped":                 func(c *client.Config) { c.TLSSANDNS, c.TLSSANIP = "", "::ffff:10.1.2.3" },
		"email":                     func(c *client.Config) { c.TLSSANDNS, c.TLSSANEmail = "", "billing@example.org" },
		"subject":                   func(c *client.Config) { c.TLSSANDNS, c.TLSSubjectDN = "", `CN=billing,O=Example\, Inc.` },
		"a second authority":        func(c *client.Config) { c.TLSCA = rogue().pem + c.TLSCA },
		"subject as openssl writes": func(c *client.Config) { c.TLSSANDNS, c.TLSSubjectDN = "", `CN = billing, O = Example\2C Inc.` },
	} {
		config := configured(client.TLSClientAuth)
		edit(config)
		got, err := authenticate(t, compile(t, config), withCertificate(own.cert), goodEnv())
		if err != nil || got.Certificate != own.cert || got.ID != clientID {
			t.Errorf("%s: %v", name, err)
		}
	}
	below := intermediate().issue(leaf())
	if _, err := authenticate(t, compile(t, configured(client.TLSClientAuth)), withCertificate(below.cert, nil, intermediate().cert), goodEnv()); err != nil {
		t.Error(err)
	}
}

const (
	unknownAuthority = `x509: certificate signed by unknown authority`
	sameName         = ` (possibly because of "x509: ECDSA verification failure" while trying to verify candidate authority certificate "clients")`
	otherName        = `the certificate does not have the name that the client is registered with`
	noCertificate    = `no certificate came with the connection: does the listener ask for one, and is Vault the end of TLS?`
)

func TestTLSClientAuthRefuses(t *testing.T) {
	own := authority().issue(leaf())
	anyone := authority().issue(edited(func(c *x509.Certificate) {
		c.DNSNames, c.URIs, c.IPAddresses, c.EmailAddresses = nil, nil, nil, nil
		c.Subject.CommonName = "billing.example"
	}))
	for _, c := range []struct {
		name  string
		edit  func(*client.Config)
		chain []*x509.Certificate
		cause string
	}{
		{"MT-2 no certificate", nil, nil, noCertificate},
		{"MT-2 a certificate that is none", nil, []*x509.Certificate{nil}, noCertificate},
		{
			"MT-3 another authority, the same subject", nil,
			[]*x509.Certificate{rogue().issue(leaf()).cert},
			unknownAuthority + sameName,
		},
		{"MT-3 the other authority comes along", nil, []*x509.Certificate{rogue().issue(leaf()).cert, rogue().cert}, unknownAuthority + sameName},
		{"MT-3 self-signed", nil, []*x509.Certificate{pair{}.issue(leaf()).cert}, unknownAuthority},
		{"MT-3 the intermediate is missing", nil, []*x509.Certificate{intermediate().issue(leaf()).cert}, unknownAuthority},
		{
			"expired", nil,
			[]*x509.Certificate{authority().issue(edited(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) })).cert},
			`x509: certificate has expired or is not yet valid: current time 2027-01-15T08:00:00Z is after 2027-01-15T07:59:59Z`,
		},
		{
			"not yet valid", nil,
			[]*x509.Certificate{authority().issue(edited(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) })).cert},
			`x509: certificate has expired or is not yet valid: current time 2027-01-15T08:00:00Z is before 2027-01-15T08:00:01Z`,
		},
		{
			"a server's", nil,
			[]*x509.Certificate{authority().issue(edited(func(c *x509.Certificate) { c.ExtKeyUsage[0] = x509.ExtKeyUsageServerAuth })).cert},
			`x509: certificate specifies an incompatible key usage`,
		},
		{"another's dns", nil, []*x509.Certificate{authority().issue(edited(func(c *x509.Certificate) { c.DNSNames = []string{"billing.example.org"} })).cert}, otherName},
		{"a wildcard is no name", nil, []*x509.Certificate{authority().issue(edited(func(c *x509.Certificate) { c.DNSNames = []string{"*.example"} })).cert}, otherName},
		{"the common name is no dns", nil, []*x509.Certificate{anyone.cert}, otherName},
		{"another's uri", func(c *client.Config) { c.TLSSANDNS, c.TLSSANURI = "", "spiffe://example/billin" }, []*x509.Certificate{own.cert}, otherName},
		{"another's ip", func(c *client.Config) { c.TLSSANDNS, c.TLSSANIP = "", "10.1.2.4" }, []*x509.Certificate{own.cert}, otherName},
		{"another's email", func(c *client.Config) { c.TLSSANDNS, c.TLSSANEmail = "", "Billing@example.org" }, []*x509.Certificate{own.cert}, otherName},
		{"another's subject", func(c *client.Config) { c.TLSSANDNS, c.TLSSubjectDN = "", `O=Example\, Inc.,CN=billing` }, []*x509.Certificate{own.cert}, otherName},
		{"part of the subject", func(c *client.Config) { c.TLSSANDNS, c.TLSSubjectDN = "", `CN=billing` }, []*x509.Certificate{own.cert}, otherName},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := configured(client.TLSClientAuth)
			if c.edit != nil {
				c.edit(config)
			}
			_, err := authenticate(t, compile(t, config), withCertificate(c.chain...), goodEnv())
			wantFailure(t, err, unproven)
			wantCause(t, err, c.cause)
		})
	}
}

func keyOf(p pair, id string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: p.key, KeyID: id, Algorithm: "ES256", Use: "sig"}
}

func TestSelfSignedTLS(t *testing.T) {
	own := pair{}.issue(leaf())
	config := configured(client.SelfSignedTLS)
	config.JWKS = jwks(newKey("a"), keyOf(own, "b"))
	made := compile(t, config)
	got, err := authenticate(t, made, withCertificate(own.cert), goodEnv())
	if err != nil || got.Certificate != own.cert {
		t.Fatal(err)
	}
	short := leaf()
	for _, c := range []struct {
		name, cause string
		at          time.Time
		chain       []*x509.Certificate
	}{
		{"MT-2 no certificate", noCertificate, now, nil},
		{"another key, the same names", `the key of the certificate is not among the client's`, now, []*x509.Certificate{pair{}.issue(leaf()).cert}},
		{"the client's comes second", `the key of the certificate is not among the client's`, now, []*x509.Certificate{pair{}.issue(leaf()).cert, own.cert}},
		{"expired", `the certificate is expired or not yet valid`, short.NotAfter.Add(time.Second), []*x509.Certificate{own.cert}},
		{"not yet valid", `the certificate is expired or not yet valid`, short.NotBefore.Add(-time.Second), []*x509.Certificate{own.cert}},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := goodEnv()
			env.Now = c.at
			_, err := authenticate(t, made, withCertificate(c.chain...), env)
			wantFailure(t, err, unproven)
			wantCause(t, err, c.cause)
		})
	}
}

// Keys that are fetched: once, and never with an answer that lets anybody in.
func TestSelfSignedTLSFetchesKeys(t *testing.T) {
	own := pair{}.issue(leaf())
	var fetches atomic.Int32
	var down atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(jwks(keyOf(own, "a"))))
	}))
	t.Cleanup(server.Close)
	config := configured(client.SelfSignedTLS)
	config.JWKS, config.JWKSURL, config.AllowedAddresses = "", server.URL, []string{"127.0.0.0/8"}

	made := compile(t, config)
	for range 2 {
		if _, err := authenticate(t, made, withCertificate(own.cert), goodEnv()); err != nil {
			t.Fatal(err)
		}
	}
	_, err := authenticate(t, made, withCertificate(pair{}.issue(leaf()).cert), goodEnv())
	wantFailure(t, err, unproven)
	adopted := compile(t, config)
	adopted.Adopt(made)
	if _, err := authenticate(t, adopted, withCertificate(own.cert), goodEnv()); err != nil {
		t.Fatal(err)
	}
	if fetches.Load() != 1 || len(adopted.Keys().Status().KeyIDs) != 1 {
		t.Errorf("fetched %d times, holds %v", fetches.Load(), adopted.Keys().Status().KeyIDs)
	}

	down.Store(true)
	_, err = authenticate(t, compile(t, config), withCertificate(own.cert), goodEnv())
	wantFailure(t, err, `temporarily_unavailable: client_keys: the keys of the client cannot be had now`)
}
