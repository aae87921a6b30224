package issuer_test

import (
	"crypto"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
)

func partyKeys(t testing.TB, s issuer.KeySource, now func() time.Time) *issuer.Keys {
	t.Helper()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	return must(issuer.NewKeys(s, issuer.Options{Now: now, OnFetch: func(string, issuer.Fetch) {}}))
}

func wantHeld(t testing.TB, k *issuer.Keys, key any, want bool) {
	t.Helper()
	if held, err := k.Hold(t.Context(), key); err != nil || held != want {
		t.Errorf("held: %t, %v, want %t", held, err, want)
	}
}

// The signature alone is checked: the claims of a party are its own affair.
func TestPartyKeys(t *testing.T) {
	key, other := newKey("k1"), newKey("k1")
	k := partyKeys(t, issuer.KeySource{Name: "billing", JWKS: jwks(key, rsaKey("k2", "RS256"))}, nil)
	claims, err := k.VerifySignature(t.Context(), sign(key, map[string]any{"sub": "billing"}, nil))
	if err != nil || claims["sub"] != "billing" {
		t.Errorf("got %v, %v", claims, err)
	}
	_, err = k.VerifySignature(t.Context(), sign(other, map[string]any{"sub": "billing"}, nil))
	wantDenied(t, err, denial.InvalidRequest, "signature", `subject: the signature does not verify with key "k1"`)
	wantHeld(t, k, publicOf(key), true)
	wantHeld(t, k, publicOf(rsaKey("", "RS256")), true)
	wantHeld(t, k, publicOf(other), false)
	wantHeld(t, k, nil, false)
	wantHeld(t, k, crypto.PublicKey("text"), false)
	if err := k.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
}

// An unknown key is asked for once, as an unknown "kid" is, and an outage says
// neither yes nor no.
func TestPartyKeysFetched(t *testing.T) {
	clock, key, next := newClock(), newKey("k1"), newKey("k2")
	p := newIDP(t, key)
	source := issuer.KeySource{Name: "billing", JWKSURL: p.URL + keysPath, AllowedAddresses: []string{"127.0.0.0/8"}}
	k := partyKeys(t, source, clock.Now)
	wantHeld(t, k, publicOf(key), true)
	p.publish(key, next)
	wantHeld(t, k, publicOf(next), false)
	p.wantFetches(t, 1)
	clock.advance(issuer.MinInterval)
	wantHeld(t, k, publicOf(next), true)
	p.wantFetches(t, 2)

	p.handle(keysPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	adopted := partyKeys(t, source, clock.Now)
	adopted.Adopt(nil)
	adopted.Adopt(k)
	wantHeld(t, adopted, publicOf(next), true)
	p.wantFetches(t, 2)
	_, err := partyKeys(t, source, clock.Now).Hold(t.Context(), publicOf(key))
	wantDenied(t, err, denial.TemporarilyUnavailable, "jwks_url", `jwks_url: the keys of "billing" cannot be had now`)
}

func TestKeySourceRefused(t *testing.T) {
	key := jose.JSONWebKey{Key: []byte("symmetric"), Algorithm: "HS256"}
	for _, c := range []struct {
		source      issuer.KeySource
		field, text string
	}{
		{issuer.KeySource{}, "jwks", `exactly one of jwks and jwks_url must be set: none is`},
		{issuer.KeySource{JWKS: "{}", JWKSURL: iss}, "jwks_url", `exactly one of jwks and jwks_url must be set: both are`},
		{issuer.KeySource{JWKSURL: "http://idp.example"}, "jwks_url", `"http://idp.example" ` + notHTTPS},
		{issuer.KeySource{JWKSURL: iss, AllowedAddresses: make([]string, 257)}, "allowed_addresses", `has more than 256 elements`},
		{issuer.KeySource{JWKSURL: iss, CAPEM: "x"}, "ca_pem", `has no certificate in PEM form`},
		{issuer.KeySource{JWKS: `{"keys":[` + string(must(key.MarshalJSON())) + `]}`}, "jwks", `holds a private or symmetric key: give the public keys only, and consider that key disclosed`},
	} {
		wantDenied(t, c.source.Validate(), denial.InvalidRequest, c.field, c.field+": "+c.text)
	}
}
