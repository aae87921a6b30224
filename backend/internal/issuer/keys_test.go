package issuer_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
)

func goodToken() map[string]any { return claimsAt(newClock().Now(), nil) }

// set is a JWK set of elements that are JSON already.
func set(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

func element(key jose.JSONWebKey) string {
	return string(must(key.Public().MarshalJSON()))
}

func TestJWKSSkipsUnusableKeys(t *testing.T) {
	good, other := newKey("k1"), newKey("bad")
	short := jose.JSONWebKey{Key: &rsa1024().PublicKey, KeyID: "bad"}
	used := func(use string) string { k := other; k.Use = use; return element(k) }
	for name, bad := range map[string]string{
		"JW-20 use enc":              used("enc"),
		"JW-20 use SIG":              used("SIG"),
		"JW-23 unknown kty":          `{"kty":"XYZ","kid":"bad"}`,
		"JW-23 not an object":        `7`,
		"JW-23 null":                 `null`,
		"JW-23 no kty":               `{"kid":"bad"}`,
		"JW-23 unknown curve":        `{"kty":"EC","crv":"P-257","x":"AA","y":"AA","kid":"bad"}`,
		"JW-23 point not on curve":   strings.Replace(element(other), `"y":"`, `"y":"AA`, 1),
		"JW-2 alg HS256":             strings.Replace(element(rsaKey("bad", "RS256")), "RS256", "HS256", 1),
		"JW-2 alg none":              strings.Replace(element(rsaKey("bad", "RS256")), "RS256", "none", 1),
		"JW-2 alg of another type":   strings.Replace(element(other), "ES256", "RS256", 1),
		"JW-3 alg of another curve":  strings.Replace(element(other), "ES256", "ES384", 1),
		"JW-3 RSA with 1024 bits":    element(short),
		"JW-3 RSA without a modulus": `{"kty":"RSA","n":"","e":"AQAB","kid":"bad"}`,
	} {
		t.Run(name, func(t *testing.T) {
			i := trusted(t, set(bad, element(good)), nil)
			if ids := i.Status().KeyIDs; len(ids) != 1 || ids[0] != "k1" {
				t.Errorf("got keys %q, want the good one alone", ids)
			}
			if err := verifyInline(i, sign(good, goodToken(), nil)); err != nil {
				t.Errorf("the good key verifies no more: %s", err)
			}
		})
	}
}

func TestEncryptionKeyVerifiesNothing(t *testing.T) {
	good, enc := newKey("k1"), newKey("k2")
	enc.Use = "enc"
	i := trusted(t, jwks(good, enc), nil)
	enc.Use = "sig"
	wantDenied(t, verifyInline(i, sign(enc, goodToken(), nil)), denial.InvalidRequest, "kid", noFittingKey)
}

// JW-23: further keys are ignored, and are not read for their number either.
func TestJWKSHasALimit(t *testing.T) {
	key := newKey("k0")
	elements := []string{}
	for n := range 101 {
		key.KeyID = fmt.Sprintf("k%d", n)
		elements = append(elements, element(key))
	}
	i := trusted(t, set(elements...), nil)
	if n := len(i.Status().KeyIDs); n != 100 {
		t.Errorf("got %d keys, want 100", n)
	}
	key.KeyID = "k99"
	if err := verifyInline(i, sign(key, goodToken(), nil)); err != nil {
		t.Error(err)
	}
	key.KeyID = "k100"
	wantDenied(t, verifyInline(i, sign(key, goodToken(), nil)), denial.InvalidRequest, "kid", noFittingKey)
}

// JW-2: a key is used with exactly one algorithm.
func TestAlgorithmOfTheKeyDecides(t *testing.T) {
	allowAll := func(c *issuer.Config) { c.AllowedAlgorithms = []string{"RS256", "PS256", "ES256", "ES384"} }
	declared := trusted(t, jwks(rsaKey("k1", "RS256")), allowAll)
	if err := verifyInline(declared, sign(rsaKey("k1", "RS256"), goodToken(), nil)); err != nil {
		t.Error(err)
	}
	wantDenied(t, verifyInline(declared, sign(rsaKey("k1", "PS256"), goodToken(), nil)), denial.InvalidRequest, "kid", noFittingKey)

	p384 := newKeyOn(elliptic.P384(), "k1", "")
	i := trusted(t, jwks(p384), allowAll)
	p384.Algorithm = "ES384"
	if err := verifyInline(i, sign(p384, goodToken(), nil)); err != nil {
		t.Error(err)
	}
	err := verifyInline(i, sign(newKey("k1"), goodToken(), nil))
	wantDenied(t, err, denial.InvalidRequest, "kid", noFittingKey)
	if cause := fmt.Sprint(errors.Unwrap(denial.From(err))); cause != `alg "ES256", kid "k1"; 1 keys are held: ["k1"]` {
		t.Errorf("the log says %s", cause)
	}
}

// JW-1: what the issuer's configuration does not list is refused, though the
// key could verify it.
func TestAllowedAlgorithms(t *testing.T) {
	i := trusted(t, jwks(rsaKey("k1", "")), func(c *issuer.Config) { c.AllowedAlgorithms = []string{"RS256"} })
	wantDenied(t, verifyInline(i, sign(rsaKey("k1", "PS256"), goodToken(), nil)),
		denial.InvalidRequest, "alg", `subject: header "alg" "PS256" is not among the allowed_algorithms of the issuer "idp"`)
}

// JW-7: "kid" is compared and nothing else.
func TestHostileKeyID(t *testing.T) {
	key := newKey("k1")
	i := trusted(t, jwks(key, newKey("k2")), nil)
	for _, kid := range []string{
		"../../etc/passwd", "' OR 1=1 --", strings.Repeat("k", 10_000), "K1", "k1 ", "k1\x00", "k*", "k.", "k2",
	} {
		key.KeyID = kid
		err := verifyInline(i, sign(key, goodToken(), nil))
		if kid == "k2" {
			wantDenied(t, err, denial.InvalidRequest, "signature", `subject: the signature does not verify with key "k2"`)
			continue
		}
		wantDenied(t, err, denial.InvalidRequest, "kid", noFittingKey)
	}
}

func TestMissingKeyID(t *testing.T) {
	key, second, p384 := newKey("k1"), newKey("k2"), newKeyOn(elliptic.P384(), "k3", "ES384")
	anonymous := key
	anonymous.KeyID = ""
	u := sign(anonymous, goodToken(), nil)
	if err := verifyInline(trusted(t, jwks(key), nil), u); err != nil {
		t.Errorf("with one key: %s", err)
	}
	if err := verifyInline(trusted(t, jwks(p384, key), nil), u); err != nil {
		t.Errorf("with one key that fits: %s", err)
	}
	wantDenied(t, verifyInline(trusted(t, jwks(key, second), nil), u), denial.InvalidRequest, "kid", noFittingKey)
	// A key without an id is no key for every id.
	wantDenied(t, verifyInline(trusted(t, jwks(anonymous), nil), sign(key, goodToken(), nil)), denial.InvalidRequest, "kid", noFittingKey)
}

// Two keys with one id, as some issuers have it: each is tried.
func TestSharedKeyID(t *testing.T) {
	a, b := newKey("k1"), newKey("k1")
	i := trusted(t, jwks(a, b), nil)
	for _, key := range []jose.JSONWebKey{a, b} {
		if err := verifyInline(i, sign(key, goodToken(), nil)); err != nil {
			t.Error(err)
		}
	}
	wantDenied(t, verifyInline(i, sign(newKey("k1"), goodToken(), nil)),
		denial.InvalidRequest, "signature", `subject: the signature does not verify with key "k1"`)
}

func TestPEMKeys(t *testing.T) {
	ec, rs := newKey("any"), rsaKey("", "RS256")
	pkcs1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&rsa2048().PublicKey)}))
	i := trusted(t, "", func(c *issuer.Config) {
		c.PublicKeys = []string{pemOf(publicOf(newKey(""))), pemOf(publicOf(ec)), pkcs1}
	})
	for _, key := range []jose.JSONWebKey{ec, rs} {
		if err := verifyInline(i, sign(key, goodToken(), nil)); err != nil {
			t.Error(err)
		}
	}
	wantDenied(t, verifyInline(i, sign(newKey("k1"), goodToken(), nil)),
		denial.InvalidRequest, "signature", `subject: the signature does not verify with key "k1"`)
}

// JW-5: the keys of one issuer verify nothing of another, also under one "kid".
func TestKeysOfAnotherIssuer(t *testing.T) {
	keyA, keyB := newKey("k1"), newKey("k1")
	a := trusted(t, jwks(keyA), nil)
	b := trusted(t, jwks(keyB), func(c *issuer.Config) { c.BoundIssuer = "https://b.example" })

	forged := sign(keyB, goodToken(), nil) // says that A issued it
	wantDenied(t, verifyInline(a, forged), denial.InvalidRequest, "signature", `subject: the signature does not verify with key "k1"`)
	wantDenied(t, verifyInline(b, forged), denial.InvalidRequest, "iss", `subject: "iss" claim expected "https://b.example" but got "https://idp.example"`)
}

// JW-8: keys that the token brings along, or points to, are not looked at.
func TestKeysNamedByTheToken(t *testing.T) {
	ours, attacker := newKey("k1"), newKey("evil")
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		_, _ = w.Write([]byte(jwks(attacker)))
	}))
	defer server.Close()
	remote := newRemote(t, newIDP(t, ours), nil)
	for name, extra := range map[jose.HeaderKey]any{
		"jwk": attacker.Public(), "jku": server.URL, "x5u": server.URL, "x5c": []string{testCertificate()},
	} {
		t.Run(string(name), func(t *testing.T) {
			u := sign(attacker, goodToken(), map[jose.HeaderKey]any{name: extra})
			wantDenied(t, verifyInline(remote.Issuer, u), denial.InvalidRequest, "kid", noFittingKey)
			u = sign(attacker, goodToken(), map[jose.HeaderKey]any{name: extra, "kid": "k1"})
			wantDenied(t, verifyInline(remote.Issuer, u), denial.InvalidRequest, "signature", `subject: the signature does not verify with key "k1"`)
		})
	}
	if n := requests.Load(); n > 0 {
		t.Errorf("%d requests went where the token pointed", n)
	}
}

// What the configuration asks of a token is asked after its signature.
func TestVerifyHoldsTokensAgainstTheConfiguration(t *testing.T) {
	key := newKey("k1")
	now := newClock().Now()
	for _, c := range []struct {
		name       string
		edit       func(*issuer.Config)
		claims     map[string]any
		rule, text string
	}{
		{
			"JW-6 another audience", nil,
			map[string]any{"aud": "other"},
			"aud", `subject: "aud" claim expected one of ["https://vault.example"] but got ["other"]`,
		},
		{
			"JW-19 max_token_age", func(c *issuer.Config) { c.MaxTokenAge = 60e9 }, nil,
			"max_token_age", `subject: issued to live 1h0m0s: the issuer's max_token_age is 1m0s`,
		},
		{
			"required_claims", func(c *issuer.Config) { c.RequiredClaims = []string{"jti"} }, nil,
			"jti", `subject: "jti" claim is missing and the issuer's required_claims name it`,
		},
		{
			"JW-19 expired", nil,
			map[string]any{"exp": now.Unix()},
			"exp", `subject: "exp" claim expired at 2027-01-15T08:00:00Z`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := trusted(t, jwks(key), c.edit)
			wantDenied(t, verifyInline(i, sign(key, claimsAt(now, c.claims), nil)), denial.InvalidRequest, c.rule, c.text)
		})
	}
	u := sign(key, goodToken(), map[jose.HeaderKey]any{"typ": "dpop+jwt"})
	wantDenied(t, verifyInline(trusted(t, jwks(key), nil), u),
		denial.InvalidRequest, "typ", `subject: header "typ" "dpop+jwt" is not that of an access or ID token`)
}
