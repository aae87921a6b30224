package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/jwstest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

const (
	ourIssuer = "https://vault.example/v1/token-exchange"
	endpoint  = ourIssuer + "/oauth/token"
	clientID  = "billing"

	// unproven is what everybody gets who has not proven to be the client.
	unproven = `invalid_client: authentication: failed: the client is unknown, its credentials are wrong, or it is registered with another auth_method (one of federated_jwt must send its client_id)`
)

var now = time.Unix(1_800_000_000, 0)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newKey(id string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), KeyID: id, Algorithm: "ES256", Use: "sig"}
}

var (
	clientKey = sync.OnceValue(func() jose.JSONWebKey { return newKey("k1") })
	otherKey  = sync.OnceValue(func() jose.JSONWebKey { return newKey("k1") })
	ciKey     = sync.OnceValue(func() jose.JSONWebKey { return newKey("k1") })
)

func jwks(keys ...jose.JSONWebKey) string {
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, k.Public())
	}
	return string(must(json.Marshal(set)))
}

// compile makes a client from a valid configuration.
func compile(t testing.TB, c *client.Config) *client.Client {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return must(client.New(c, options()))
}

func options() issuer.Options {
	return issuer.Options{Now: func() time.Time { return now }, OnFetch: func(string, issuer.Fetch) {}}
}

// replay is a memory of used assertions that can fail.
type replay struct {
	used  map[string]time.Time
	calls int
	err   error
}

func (r *replay) Use(_ context.Context, key string, until time.Time) (bool, error) {
	r.calls++
	if r.err != nil {
		return false, r.err
	}
	if _, known := r.used[key]; known {
		return false, nil
	}
	if r.used == nil {
		r.used = map[string]time.Time{}
	}
	r.used[key] = until
	return true, nil
}

func goodEnv() client.Env { return client.Env{Issuer: ourIssuer, Now: now, Replay: &replay{}} }

// good are the claims of a good assertion, with some replaced; nil leaves one out.
func good(replaced map[string]any) map[string]any {
	claims := map[string]any{
		"iss": clientID, "sub": clientID, "aud": ourIssuer, "jti": "one",
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
	maps.Copy(claims, replaced)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// goodHeader is the header of a good assertion, with some members replaced.
func goodHeader(replaced map[string]any) map[string]any {
	header := map[string]any{"alg": "ES256", "kid": "k1", "typ": "client-authentication+jwt"}
	maps.Copy(header, replaced)
	maps.DeleteFunc(header, func(_ string, v any) bool { return v == nil })
	return header
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// sign makes an ES256 signature, whatever the header says.
func sign(key jose.JSONWebKey, header, payload []byte) string {
	return jwstest.Sign(string(header), string(payload), key.Key, "ES256")
}

func signed(key jose.JSONWebKey, header, claims map[string]any) string {
	return sign(key, must(json.Marshal(header)), must(json.Marshal(claims)))
}

func secret(text string) issuer.Credential { return issuer.NewCredential(token.Secret(text)) }

func withAssertion(raw string) client.Credentials {
	return client.Credentials{AssertionType: client.AssertionType, Assertion: secret(raw)}
}

// basic is the header of a client that follows RFC 6749 §2.3.1.
func basic(id, password string) client.Credentials {
	value := url.QueryEscape(id) + ":" + url.QueryEscape(password)
	return client.Credentials{HasBasic: true, Basic: secret(base64.StdEncoding.EncodeToString([]byte(value)))}
}

// authenticate does what an endpoint does.
func authenticate(t testing.TB, c *client.Client, credentials client.Credentials, env client.Env) (*client.Authenticated, error) {
	t.Helper()
	found, err := client.Select(map[string]*client.Client{c.ID: c}, credentials)
	if err != nil {
		return nil, err
	}
	return found.Authenticate(t.Context(), credentials, env)
}

// wantFailure checks a refusal: its code, the rule that decided, and its text.
func wantFailure(t testing.TB, err error, text string) {
	t.Helper()
	if err == nil || err.Error() != text {
		t.Fatalf("got  %v\nwant %s", err, text)
	}
	if refusal, ok := errors.AsType[*denial.Error](err); !ok || refusal.Stage != denial.Client {
		t.Errorf("got %+v, want a denial of the client", refusal)
	}
}

// wantCause checks what the log says of a refusal whose text says nothing.
func wantCause(t testing.TB, err error, want string) {
	t.Helper()
	cause := errors.Unwrap(denial.From(err))
	if cause == nil || cause.Error() != want {
		t.Errorf("cause: got  %v\nwant %s", cause, want)
	}
}
