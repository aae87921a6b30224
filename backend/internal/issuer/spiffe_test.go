package issuer_test

import (
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

const (
	domain   = "spiffe://example.org"
	workload = domain + "/ns/prod/sa/cart"
)

// svidKey makes a key of a bundle.
func svidKey() jose.JSONWebKey {
	key := newKey("k1")
	key.Use = "jwt-svid"
	return key
}

// ofDomain makes the issuer of a trust domain.
func ofDomain(t testing.TB, bundle string) *issuer.Issuer {
	t.Helper()
	c := issuer.Draft("idp")
	c.Type, c.BoundIssuer, c.BoundAudiences, c.JWKS = issuer.SPIFFE, domain, []string{audience}, bundle
	c.Fill(func(string) bool { return false })
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return must(issuer.New(c, issuer.Options{}))
}

// svid are the claims of a good JWT-SVID, with some replaced.
func svid(replaced map[string]any) map[string]any {
	claims := goodToken()
	claims["sub"] = workload
	delete(claims, "iss")
	for name, v := range replaced {
		claims[name] = v
		if v == nil {
			delete(claims, name)
		}
	}
	return claims
}

func TestSVIDAccepted(t *testing.T) {
	es256, es384 := svidKey(), newKeyOn(elliptic.P384(), "k2", "ES384")
	ps512 := rsaKey("k3", "PS512")
	es384.Use, ps512.Use = "jwt-svid", "jwt-svid"
	i := ofDomain(t, jwks(es256, es384, ps512))
	for _, c := range []struct {
		name   string
		key    jose.JSONWebKey
		claims map[string]any
		header map[jose.HeaderKey]any
	}{
		{"SP-1 no iss, no typ", es256, svid(nil), nil},
		{"SP-1 typ JWT", es256, svid(nil), map[jose.HeaderKey]any{"typ": "JWT"}},
		{"SP-1 typ JOSE", es256, svid(nil), map[jose.HeaderKey]any{"typ": "JOSE"}},
		{"SP-1 ES384", es384, svid(nil), nil},
		{"SP-1 PS512", ps512, svid(nil), nil},
		{"SP-1 no iat", es256, svid(map[string]any{"iat": nil}), nil},
		{"SP-2 iss says nothing", es256, svid(map[string]any{"iss": "https://oidc.example"}), nil},
		{"SP-1 several audiences", es256, svid(map[string]any{"aud": []string{"x", audience}}), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := verifyInline(i, sign(c.key, c.claims, c.header)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSVIDRefused(t *testing.T) {
	key, foreign, forX509, forSignatures, anonymous := svidKey(), svidKey(), newKey("x"), newKey("s"), newKey("")
	forX509.Use, anonymous.Use = "x509-svid", "jwt-svid"
	ed25519Key := jose.JSONWebKey{Key: must(generateEd25519()), KeyID: "ed", Algorithm: "EdDSA", Use: "jwt-svid"}
	i := ofDomain(t, jwks(key, forX509, forSignatures, anonymous, ed25519Key))
	badID := func(reason string) string { return `subject: "sub" claim is not a SPIFFE ID: ` + reason }
	typed := func(typ string) map[jose.HeaderKey]any { return map[jose.HeaderKey]any{"typ": typ} }
	for _, c := range []struct {
		name       string
		key        jose.JSONWebKey
		claims     map[string]any
		header     map[jose.HeaderKey]any
		rule, text string
	}{
		{"SP-1 EdDSA", ed25519Key, svid(nil), nil, "alg", `subject: header "alg" "EdDSA" is not among the allowed_algorithms of the issuer "idp"`},
		{"SP-1 typ at+jwt", key, svid(nil), typed("at+jwt"), "typ", `subject: header "typ" "at+jwt" is not that of a JWT-SVID: expected JWT, JOSE or none`},
		{"WI-1 typ wit+jwt", key, svid(nil), typed("wit+jwt"), "typ", `subject: header "typ" "wit+jwt" is not that of a JWT-SVID: expected JWT, JOSE or none`},
		{"SP-2 signed by another domain", foreign, svid(nil), nil, "signature", `subject: the signature does not verify with key "k1"`},
		{"SP-2 signed with a key for X.509", forX509, svid(nil), nil, "kid", noFittingKey},
		{"SP-2 signed with a key of use sig", forSignatures, svid(nil), nil, "kid", noFittingKey},
		{
			"SP-2 sub of another domain", key, svid(map[string]any{"sub": "spiffe://other.example/cart"}), nil,
			"sub", `subject: "sub" claim: expected a SPIFFE ID of "spiffe://example.org" but got "spiffe://other.example/cart"`,
		},
		{
			"SP-2 sub of another domain, iss of this one", key, svid(map[string]any{"sub": "spiffe://other.example/cart", "iss": domain}), nil,
			"sub", `subject: "sub" claim: expected a SPIFFE ID of "spiffe://example.org" but got "spiffe://other.example/cart"`,
		},
		{
			"SP-2 sub of a domain that begins with this one", key, svid(map[string]any{"sub": "spiffe://example.org.evil/cart"}), nil,
			"sub", `subject: "sub" claim: expected a SPIFFE ID of "spiffe://example.org" but got "spiffe://example.org.evil/cart"`,
		},
		{
			"SP-1 sub the domain itself", key, svid(map[string]any{"sub": domain}), nil,
			"sub", `subject: "sub" claim is the trust domain itself: expected a workload, which has a path`,
		},
		{"SP-1 no sub", key, svid(map[string]any{"sub": nil}), nil, "sub", `subject: "sub" claim is missing or empty`},
		{"SP-1 sub no URI", key, svid(map[string]any{"sub": "alice"}), nil, "sub", badID("scheme is missing or invalid")},
		{"SP-1 sub https", key, svid(map[string]any{"sub": "https://example.org/cart"}), nil, "sub", badID("scheme is missing or invalid")},
		{
			"SP-1 sub with capitals in the domain", key, svid(map[string]any{"sub": "spiffe://EXAMPLE.org/cart"}), nil,
			"sub", badID("trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores"),
		},
		{"SP-1 sub with dots", key, svid(map[string]any{"sub": domain + "/ns/../admin"}), nil, "sub", badID("path cannot contain dot segments")},
		{"SP-1 sub with an empty segment", key, svid(map[string]any{"sub": domain + "/ns//x"}), nil, "sub", badID("path cannot contain empty segments")},
		{"SP-1 sub with a slash at its end", key, svid(map[string]any{"sub": workload + "/"}), nil, "sub", badID("path cannot have a trailing slash")},
		{
			"SP-1 sub with a query", key, svid(map[string]any{"sub": workload + "?x"}), nil,
			"sub", badID("path segment characters are limited to letters, numbers, dots, dashes, and underscores"),
		},
		{"SP-1 no aud", key, svid(map[string]any{"aud": nil}), nil, "aud", `subject: "aud" claim expected one of ["https://vault.example"] but got []`},
		{
			"SP-1 another aud", key, svid(map[string]any{"aud": "https://other.example"}), nil,
			"aud", `subject: "aud" claim expected one of ["https://vault.example"] but got ["https://other.example"]`,
		},
		{"SP-1 no exp", key, svid(map[string]any{"exp": nil}), nil, "exp", `subject: "exp" claim is missing: a token that never expires is not accepted`},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantDenied(t, verifyInline(i, sign(c.key, c.claims, c.header)), denial.InvalidRequest, c.rule, c.text)
		})
	}
	if ids := i.Status().KeyIDs; len(ids) != 2 { // k1 and ed, which no algorithm fits
		t.Errorf("got the keys %q", ids)
	}
}

func generateEd25519() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// SP-2: another issuer does not use the keys of a bundle.
func TestBundleKeysAreForSVIDsAlone(t *testing.T) {
	svids, signatures := svidKey(), newKey("k2")
	i := trusted(t, jwks(svids, signatures), nil)
	wantDenied(t, verifyInline(i, sign(svids, goodToken(), nil)), denial.InvalidRequest, "kid", noFittingKey)
	if err := verifyInline(i, sign(signatures, goodToken(), nil)); err != nil {
		t.Error(err)
	}
}

func TestBundleEndpoint(t *testing.T) {
	key := svidKey()
	p := newIDP(t, newKey("sig"), key)
	fromBundle := func(c *issuer.Config) {
		c.Type, c.BoundIssuer, c.DiscoveryURL, c.SPIFFEBundleURL = issuer.SPIFFE, domain, "", p.URL+keysPath
	}
	r := newRemote(t, p, fromBundle)
	verify := func() error {
		_, _, err := r.VerifyToken(t.Context(), sign(key, svid(nil), nil), issuer.Check{Now: r.Now()})
		return err
	}
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	if ids := r.Status().KeyIDs; len(ids) != 1 || ids[0] != "k1" {
		t.Errorf("got the keys %q", ids)
	}
	p.wantFetches(t, 1)

	r = newRemote(t, p, func(c *issuer.Config) { fromBundle(c); c.AllowedAddresses = nil })
	wantOutage(t, verify(), strings.NewReplacer("URL", p.URL, "HOST", strings.TrimPrefix(p.URL, "http://")).Replace(
		`JWKS: Get "URL/keys": dial tcp HOST: address 127.0.0.1 of 127.0.0.1 is not public: list it in allowed_addresses`))
	p.publish(newKey("sig"))
	r = newRemote(t, p, fromBundle)
	wantOutage(t, verify(), `JWKS: no usable key among the 1 of the JSON Web Key Set`)
}

func TestSPIFFEConfiguration(t *testing.T) {
	const (
		notDomain = ` is not a trust domain such as spiffe://example.org, in lower case and without a path`
		nothing   = `means nothing for the type "spiffe": set exactly one of spiffe_bundle_url, jwks`
	)
	bound := func(to string) func(*issuer.Config) { return func(c *issuer.Config) { c.BoundIssuer = to } }
	for _, c := range []struct {
		name        string
		edit        func(*issuer.Config)
		field, text string
	}{
		{"SP-2 a name alone", bound("example.org"), "bound_issuer", `"example.org"` + notDomain},
		{"SP-2 a path", bound(domain + "/x"), "bound_issuer", `"spiffe://example.org/x"` + notDomain},
		{"SP-2 a slash", bound(domain + "/"), "bound_issuer", `"spiffe://example.org/"` + notDomain},
		{"SP-2 capitals", bound("spiffe://Example.org"), "bound_issuer", `"spiffe://Example.org"` + notDomain},
		{"SP-2 a port", bound("spiffe://example.org:8081"), "bound_issuer", `"spiffe://example.org:8081"` + notDomain},
		{"SP-2 no domain", bound("spiffe://"), "bound_issuer", `"spiffe://"` + notDomain},
		{"SP-2 https", bound("https://example.org"), "bound_issuer", `"https://example.org"` + notDomain},
		{"SP-1 EdDSA", func(c *issuer.Config) { c.AllowedAlgorithms = []string{"EdDSA"} }, "allowed_algorithms", `"EdDSA" is not supported: use any of [RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512]`},
		{"no source", func(c *issuer.Config) { c.SPIFFEBundleURL = "" }, "spiffe_bundle_url", `exactly one of spiffe_bundle_url, jwks must be set: none is`},
		{"two sources", func(c *issuer.Config) { c.JWKS = jwks(svidKey()) }, "spiffe_bundle_url", `exactly one of spiffe_bundle_url, jwks must be set: got ["jwks", "spiffe_bundle_url"]: empty all but one`},
		{"oidc_discovery_url", func(c *issuer.Config) { c.DiscoveryURL = iss }, "oidc_discovery_url", nothing},
		{"jwks_url", func(c *issuer.Config) { c.JWKSURL, c.SPIFFEBundleURL = iss, "" }, "jwks_url", nothing},
		{"jwt_validation_pubkeys", func(c *issuer.Config) { c.PublicKeys = []string{pemOf(publicOf(newKey("")))} }, "jwt_validation_pubkeys", nothing},
		{"introspection_url", func(c *issuer.Config) { c.IntrospectionURL = iss }, "introspection_url", nothing},
		{"http", func(c *issuer.Config) { c.SPIFFEBundleURL = "http://spire.example" }, "spiffe_bundle_url", `"http://spire.example" ` + notHTTPS},
		{
			"jwks without a key for SVIDs", func(c *issuer.Config) { c.SPIFFEBundleURL, c.JWKS = "", jwks(newKey("k1")) },
			"jwks", `no usable key among the 1 of the JSON Web Key Set`,
		},
		{
			"spiffe_bundle_url of another type", func(c *issuer.Config) { c.Type, c.BoundIssuer = issuer.Generic, iss },
			"spiffe_bundle_url", `means nothing for the type "generic": set exactly one of oidc_discovery_url, jwks_url, jwks, jwt_validation_pubkeys, introspection_url`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := written(issuer.SPIFFE, func(config *issuer.Config) {
				config.BoundIssuer, config.SPIFFEBundleURL = domain, "https://spire.example/bundle"
			})
			if err := config.Validate(); err != nil {
				t.Fatal(err)
			}
			c.edit(config)
			wantDenied(t, config.Validate(), denial.InvalidRequest, c.field, c.field+": "+c.text)
		})
	}
}

func TestSelect(t *testing.T) {
	key := svidKey()
	idp, spire := trusted(t, jwks(newKey("k1")), nil), ofDomain(t, jwks(key))
	all := []*issuer.Issuer{nil, idp, spire, idp}
	for _, c := range []struct {
		name, iss, sub string
		want           *issuer.Issuer
	}{
		{"by iss", iss, "alice", idp},
		{"JW-22 iss with a slash", iss + "/", "alice", nil},
		{"JW-22 iss in another case", strings.ToUpper(iss), "alice", nil},
		{"nobody", "https://other.example", "alice", nil},
		{"no iss", "", "alice", nil},
		{"SP-2 by the trust domain", "", workload, spire},
		{"SP-2 iss says nothing", "https://other.example", workload, spire},
		{"SP-2 the domain itself, which is refused later", "", domain, spire},
		{"SP-2 another domain", "", "spiffe://other.example/cart", nil},
		{"SP-2 another domain, iss of this one", domain, "spiffe://other.example/cart", nil},
		{"SP-2 a domain that begins with this one", "", "spiffe://example.org.evil/cart", nil},
		{"SP-2 a subject of the issuer that looks like one", iss, "spiffe://other.example/cart", idp},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := issuer.Select(all, &token.Unverified{Issuer: c.iss, Subject: c.sub})
			if err != nil || got != c.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	got, err := issuer.Select(all, &token.Unverified{Issuer: iss, Subject: workload})
	if got != nil {
		t.Error("got an issuer beside the error")
	}
	wantDenied(t, err, denial.InvalidRequest, "issuers", `subject: the token is ambiguous: its "iss" and "sub" claims fit the issuers "idp" and "idp"`)
}
