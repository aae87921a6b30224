package token_test

import (
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/jwstest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// A good token; each case of a table changes one thing in it.
const (
	goodHeader  = `{"alg":"ES256","kid":"k1","typ":"at+jwt"}`
	goodPayload = `{"iss":"https://idp.example","sub":"alice","aud":"https://vault.example","iat":1800000000,"exp":1800003600}`
)

var now = time.Unix(1_800_000_060, 0)

var (
	p256    = jwstest.P256
	p384    = jwstest.P384
	rsa1024 = jwstest.RSA1024
	rsa2048 = jwstest.RSA2048
	edKey   = jwstest.Ed25519
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// compact is a token with a signature that is none.
func compact(header, payload string) string {
	return b64(header) + "." + b64(payload) + "." + b64("signature")
}

// sign makes a token with a real signature, whatever its header says.
func sign(header, payload string, key any) token.Secret {
	return token.Secret(jwstest.Sign(header, payload, key, ""))
}

// verified is a token signed with the good key, its signature checked.
func verified(t testing.TB, header, payload string) (*token.Unverified, token.Claims) {
	t.Helper()
	u, err := token.Parse(sign(header, payload, p256()))
	if err != nil {
		t.Fatal(err)
	}
	claims, err := u.Verify(p256().Public())
	if err != nil {
		t.Fatal(err)
	}
	return u, claims
}

// wantDenied checks a refusal: the rule that decided, and its text.
func wantDenied(t testing.TB, err error, rule, text string) {
	t.Helper()
	var refusal *denial.Error
	if !errors.As(err, &refusal) {
		t.Fatalf("got error %v, want a denial", err)
	}
	if refusal.Rule != rule {
		t.Errorf("decided by %q, want %q", refusal.Rule, rule)
	}
	if err.Error() != text {
		t.Errorf("got  %s\nwant %s", err, text)
	}
}
