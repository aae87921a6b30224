// Package issuertest is an issuer for tests: real keys and real signatures,
// without a network.
package issuertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Issuer signs whatever it is asked to.
type Issuer struct {
	URL string
	key jose.JSONWebKey
}

// New makes an issuer with one ES256 key.
func New(t testing.TB, url string) *Issuer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Issuer{URL: url, key: jose.JSONWebKey{Key: private, KeyID: "k1", Algorithm: "ES256", Use: "sig"}}
}

// JWKS returns the issuer's public keys.
func (i *Issuer) JWKS(t testing.TB) string {
	t.Helper()
	out, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Claims returns the claims of a good token, with some of them replaced; a nil
// value leaves a claim out.
func (i *Issuer) Claims(now time.Time, replaced map[string]any) map[string]any {
	claims := map[string]any{
		"iss": i.URL, "sub": "ci-runner", "aud": "https://vault.example", "scope": "orders:read orders:write",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": "subject-1",
	}
	maps.Copy(claims, replaced)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// Sign signs claims as they are, with header "typ": at+jwt.
func (i *Issuer) Sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	return Sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, "at+jwt", claims)
}

// Sign signs claims as they are with a key; an empty typ leaves the header out.
func Sign(t testing.TB, key jose.SigningKey, typ string, claims map[string]any) string {
	t.Helper()
	options := &jose.SignerOptions{}
	if typ != "" {
		options.WithType(jose.ContentType(typ))
	}
	signer, err := jose.NewSigner(key, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}
