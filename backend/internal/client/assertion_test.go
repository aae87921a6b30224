package client_test

import (
	"crypto/ecdsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

func goodAssertion() client.Credentials {
	return withAssertion(signed(clientKey(), goodHeader(nil), good(nil)))
}

func TestAssertionAccepted(t *testing.T) {
	for _, c := range []struct {
		name           string
		header, claims map[string]any
		edit           func(*client.Credentials)
	}{
		{"CA-1 the good one", nil, nil, nil},
		{"CA-2 client_id that matches", nil, nil, func(c *client.Credentials) { c.ClientID = clientID }},
		{"CA-3 aud a list of one", nil, map[string]any{"aud": []string{ourIssuer}}, nil},
		{"CA-4 typ JWT", map[string]any{"typ": "JWT"}, nil, nil},
		{"CA-4 no typ", map[string]any{"typ": nil}, nil, nil},
		{"CA-4 typ in full", map[string]any{"typ": "application/Client-Authentication+JWT"}, nil, nil},
		{"CA-5 exp as far ahead as may be", nil, map[string]any{"exp": now.Add(5 * time.Minute).Unix()}, nil},
		{"CA-5 jti as long as may be", nil, map[string]any{"jti": strings.Repeat("j", 256)}, nil},
		{"CA-5 no iat", nil, map[string]any{"iat": nil}, nil},
		{"CA-5 a clock that runs ahead", nil, map[string]any{"iat": now.Unix() + 30, "nbf": now.Unix() + 30}, nil},
		{"CA-5 a clock that runs behind", nil, map[string]any{"iat": now.Unix() - 330}, nil},
		{"no kid, and one key", map[string]any{"kid": nil}, nil, nil},
		{"MT-2 a certificate beside it", nil, nil, func(c *client.Credentials) { c.Certificates = withCertificate(authority().cert).Certificates }},
	} {
		t.Run(c.name, func(t *testing.T) {
			credentials := withAssertion(signed(clientKey(), goodHeader(c.header), good(c.claims)))
			if c.edit != nil {
				c.edit(&credentials)
			}
			env := goodEnv()
			env.Leeway = 30 * time.Second
			got, err := authenticate(t, compile(t, configured(client.PrivateKeyJWT)), credentials, env)
			if err != nil {
				t.Fatal(err)
			}
			if got.ID != clientID || got.Role != "orders" || (got.Certificate != nil) != (len(credentials.Certificates) > 0) {
				t.Errorf("got %s", got.ID)
			}
		})
	}
}

func stamp(d time.Duration) string { return now.Add(d).UTC().Format(time.RFC3339) }

func wantSole(got string) string {
	return `aud: "aud" claim: expected "` + ourIssuer + `" alone but got ` + `[` + got + `]`
}

func wantOneOf(got string) string {
	return `aud: "aud" claim expected one of ["` + ourIssuer + `"] but got [` + got + `]`
}

// What the holder of the client's key does wrong, it is told.
func TestAssertionRefused(t *testing.T) {
	five := now.Add(5 * time.Minute)
	for _, c := range []struct {
		name           string
		header, claims map[string]any
		text           string
	}{
		{"CA-2 no iss", nil, map[string]any{"iss": nil}, `iss: "iss" claim expected "billing" but got ""`},
		{"CA-2 another iss", nil, map[string]any{"iss": "reports"}, `iss: "iss" claim expected "billing" but got "reports"`},
		{"CA-2 iss in another case", nil, map[string]any{"iss": "Billing"}, `iss: "iss" claim expected "billing" but got "Billing"`},
		{"CA-2 sub a number", nil, map[string]any{"sub": 1}, `sub: "sub" claim must be a string`},
		{"CA-2 no sub", nil, map[string]any{"sub": nil}, `sub: "sub" claim is missing or empty`},
		{"CA-2 another sub", nil, map[string]any{"sub": "reports"}, `sub: "sub" claim is not the client_id`},
		{"CA-2 no aud", nil, map[string]any{"aud": nil}, wantOneOf("")},
		{"CA-3 aud the token endpoint", nil, map[string]any{"aud": endpoint}, wantOneOf(`"` + endpoint + `"`)},
		{"CA-3 aud with a slash more", nil, map[string]any{"aud": ourIssuer + "/"}, wantOneOf(`"` + ourIssuer + `/"`)},
		{"CA-3 a further aud", nil, map[string]any{"aud": []string{ourIssuer, "https://other.example"}}, wantSole(`"` + ourIssuer + `", "https://other.example"`)},
		{"CA-3 aud twice", nil, map[string]any{"aud": []string{ourIssuer, ourIssuer}}, wantSole(`"` + ourIssuer + `", "` + ourIssuer + `"`)},
		{"CA-3 aud an empty list", nil, map[string]any{"aud": []string{}}, wantOneOf("")},
		{"CA-3 aud an object", nil, map[string]any{"aud": map[string]any{ourIssuer: ourIssuer}}, `aud: "aud" claim must be a string or an array of strings`},
		{
			"CA-4 an access token",
			map[string]any{"typ": "at+jwt"},
			nil,
			`typ: header "typ" "at+jwt" is not that of a client assertion: expected client-authentication+jwt, JWT or none`,
		},
		{
			"CA-4 a DPoP proof",
			map[string]any{"typ": "dpop+jwt"},
			nil,
			`typ: header "typ" "dpop+jwt" is not that of a client assertion: expected client-authentication+jwt, JWT or none`,
		},
		{"CA-2 no exp", nil, map[string]any{"exp": nil}, `exp: "exp" claim is missing: a token that never expires is not accepted`},
		{"CA-2 expired now", nil, map[string]any{"exp": now.Unix()}, `exp: "exp" claim expired at ` + stamp(0)},
		{"CA-5 exp too far ahead", nil, map[string]any{"exp": five.Unix() + 1}, `exp: "exp" claim is more than 5m0s ahead`},
		{"CA-5 exp too far ahead by a fraction", nil, map[string]any{"exp": float64(five.Unix()) + 0.5}, `exp: "exp" claim is more than 5m0s ahead`},
		{"CA-5 exp a text", nil, map[string]any{"exp": "1800000060"}, `exp: "exp" claim must be a number of seconds since 1970`},
		{"CA-5 nbf ahead", nil, map[string]any{"nbf": now.Unix() + 31}, `nbf: "nbf" claim not valid before ` + stamp(31*time.Second)},
		{"CA-5 iat ahead", nil, map[string]any{"iat": now.Unix() + 31}, `iat: "iat" claim issued in the future, at ` + stamp(31*time.Second)},
		{"CA-5 iat long ago", nil, map[string]any{"iat": now.Unix() - 331}, `iat: "iat" claim is more than 5m30s ago`},
		{"CA-5 no jti", nil, map[string]any{"jti": nil}, `jti: "jti" claim is missing or empty`},
		{"CA-5 jti empty", nil, map[string]any{"jti": ""}, `jti: "jti" claim is missing or empty`},
		{"CA-5 jti a number", nil, map[string]any{"jti": 7}, `jti: "jti" claim must be a string`},
		{"CA-5 jti long", nil, map[string]any{"jti": strings.Repeat("j", 257)}, `jti: "jti" claim has 257 characters: the limit is 256`},
	} {
		t.Run(c.name, func(t *testing.T) {
			credentials := withAssertion(signed(clientKey(), goodHeader(c.header), good(c.claims)))
			credentials.ClientID = clientID
			env := goodEnv()
			memory := &replay{}
			env.Leeway, env.Replay = 30*time.Second, memory
			_, err := authenticate(t, compile(t, configured(client.PrivateKeyJWT)), credentials, env)
			wantFailure(t, err, "invalid_client: "+c.text)
			if memory.calls != 0 {
				t.Error("what is refused is remembered")
			}
		})
	}
}

// What is wrong with the form depends on nothing that the caller does not know.
func TestAssertionMalformed(t *testing.T) {
	raw := goodAssertion().Assertion.Reveal()
	const form = `invalid_client: form: the token is not a JWT in compact serialization: only letters, digits, '-', '_' and '.' may occur`
	noType := `invalid_client: client_assertion_type: must be urn:ietf:params:oauth:client-assertion-type:jwt-bearer, once`
	for _, c := range []struct{ name, kind, raw, text string }{
		{"CA-1 no type", "", raw, noType},
		{"CA-1 another type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", raw, noType},
		{"VT-1 the type twice", client.AssertionType + "," + client.AssertionType, raw, noType},
		{"CA-1 no assertion", client.AssertionType, "", `invalid_client: client_assertion: is missing`},
		{"CA-1 VT-1 two", client.AssertionType, raw + "," + raw, form},
		{"CA-1 two with a space", client.AssertionType, raw + " " + raw, form},
		{"no token", client.AssertionType, "a.b", `invalid_client: form: the token is not a signed JWT: want three segments separated by '.'`},
		{"none", client.AssertionType, signed(clientKey(), goodHeader(map[string]any{"alg": "none"}), good(nil)), `invalid_client: alg: header "alg" "none" is not an accepted signature algorithm`},
		{"HMAC", client.AssertionType, signed(clientKey(), goodHeader(map[string]any{"alg": "HS256"}), good(nil)), `invalid_client: alg: header "alg" "HS256" is not an accepted signature algorithm`},
		{"CA-2 no sub and no client_id", client.AssertionType, signed(clientKey(), goodHeader(nil), good(map[string]any{"sub": nil})), `invalid_client: sub: "sub" claim is missing, and so is client_id`},
	} {
		for _, id := range []string{clientID, "nobody"} {
			t.Run(c.name+" of "+id, func(t *testing.T) {
				config := configured(client.PrivateKeyJWT)
				config.ID = id
				_, err := authenticate(t, compile(t, config), client.Credentials{AssertionType: c.kind, Assertion: secret(c.raw)}, goodEnv())
				wantFailure(t, err, c.text)
			})
		}
	}
}

// Whoever does not have the client's key is not told what is wrong.
func TestAssertionUnproven(t *testing.T) {
	raw := goodAssertion().Assertion.Reveal()
	const wrongSignature = `invalid_request: subject: the signature does not verify with key "k1"`
	const noKey = `invalid_request: subject: the issuer "billing" has no key that fits the header "alg" and "kid"`
	for _, c := range []struct{ name, id, raw, cause string }{
		{"another's key", "", signed(otherKey(), goodHeader(nil), good(nil)), wrongSignature},
		{"claims of another token", "", spliced(raw, good(map[string]any{"jti": "two"})), wrongSignature},
		{"expired, and another's key", "", signed(otherKey(), goodHeader(nil), good(map[string]any{"exp": 1})), wrongSignature},
		{"an unknown kid", "", signed(clientKey(), goodHeader(map[string]any{"kid": "k2"}), good(nil)), noKey},
		{"an algorithm of another key type", "", signed(clientKey(), goodHeader(map[string]any{"alg": "RS256"}), good(nil)), noKey},
		{"a client that does not exist", "", signed(clientKey(), goodHeader(nil), good(map[string]any{"sub": "nobody"})), "there is no such client"},
		{"CA-2 client_id of another", "nobody", raw, "there is no such client"},
	} {
		t.Run(c.name, func(t *testing.T) {
			credentials := withAssertion(c.raw)
			credentials.ClientID = c.id
			_, err := authenticate(t, compile(t, configured(client.PrivateKeyJWT)), credentials, goodEnv())
			wantFailure(t, err, unproven)
			wantCause(t, err, c.cause)
		})
	}
}

// spliced is a token with other claims under the same signature.
func spliced(raw string, claims map[string]any) string {
	parts := strings.Split(raw, ".")
	parts[1] = strings.Split(signed(otherKey(), nil, claims), ".")[1]
	return strings.Join(parts, ".")
}

// CA-2: an assertion of one client does not pass for another, also if both have
// the same key.
func TestAssertionOfAnotherClient(t *testing.T) {
	other := configured(client.PrivateKeyJWT)
	other.ID = "reports"
	clients := map[string]*client.Client{clientID: compile(t, configured(client.PrivateKeyJWT)), "reports": compile(t, other)}
	credentials := goodAssertion()
	credentials.ClientID = "reports"
	found := must(client.Select(clients, credentials))
	_, err := found.Authenticate(t.Context(), credentials, goodEnv())
	wantFailure(t, err, `invalid_client: sub: "sub" claim is not the client_id`)

	_, err = clients["reports"].Authenticate(t.Context(), goodAssertion(), goodEnv())
	wantFailure(t, err, unproven)
	wantCause(t, err, "the credentials are another client's")
}

func TestAssertionOnce(t *testing.T) {
	made := compile(t, configured(client.PrivateKeyJWT))
	memory := &replay{}
	env := goodEnv()
	env.Replay = memory
	if _, err := authenticate(t, made, goodAssertion(), env); err != nil {
		t.Fatal(err)
	}
	for key, until := range memory.used {
		if len(key) != 43 || !until.Equal(now.Add(time.Minute)) {
			t.Errorf("remembers %q until %s", key, until)
		}
	}
	// Signed anew, with another life: the same jti.
	again := withAssertion(signed(clientKey(), goodHeader(nil), good(map[string]any{"exp": now.Unix() + 90})))
	_, err := authenticate(t, made, again, env)
	wantFailure(t, err, `invalid_client: jti: "jti" claim: the assertion has been used before: make a new one for each request`)

	another := configured(client.PrivateKeyJWT)
	another.ID = "reports"
	theirs := withAssertion(signed(clientKey(), goodHeader(nil), good(map[string]any{"iss": "reports", "sub": "reports"})))
	if _, err := authenticate(t, compile(t, another), theirs, env); err != nil {
		t.Errorf("CA-5 the same jti of another client: %s", err)
	}
}

// A memory that fails lets nobody in, and neither does an environment in which
// something is missing.
func TestFailsClosed(t *testing.T) {
	outage := errors.New("storage is gone")
	for name, c := range map[string]struct {
		edit        func(*client.Env)
		text, cause string
	}{
		"CA-5 memory fails": {
			func(e *client.Env) { e.Replay = &replay{err: outage} }, `server_error: internal: internal error`, outage.Error(),
		},
		"CA-5 memory is full": {
			func(e *client.Env) {
				e.Replay = &replay{err: denial.New(denial.TemporarilyUnavailable, denial.Subject, "replay", "is full").Because(outage)}
			}, `temporarily_unavailable: replay: is full`, outage.Error(),
		},
		"CA-5 no memory": {func(e *client.Env) { e.Replay = nil }, `server_error: internal: internal error`, `no memory of used assertions`},
		"CA-3 no issuer": {func(e *client.Env) { e.Issuer = "" }, `server_error: internal: internal error`, `no issuer identifier: every audience would be wrong`},
		"MT-3 no time":   {func(e *client.Env) { e.Now = time.Time{} }, `server_error: internal: internal error`, `no time: crypto/x509 would take its own`},
	} {
		t.Run(name, func(t *testing.T) {
			env := goodEnv()
			c.edit(&env)
			_, err := authenticate(t, compile(t, configured(client.PrivateKeyJWT)), goodAssertion(), env)
			wantFailure(t, err, c.text)
			wantCause(t, err, c.cause)
		})
	}
}

// CA-10: the assertion is known again as a subject token, however it is encoded.
func TestPresented(t *testing.T) {
	raw := goodAssertion().Assertion.Reveal()
	got, err := authenticate(t, compile(t, configured(client.PrivateKeyJWT)), withAssertion(raw), goodEnv())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		raw  string
		want bool
	}{
		"the same":                  {raw, true},
		"its signature turned over": {turned(raw), true},
		"another header":            {signed(clientKey(), goodHeader(map[string]any{"typ": "JWT"}), good(nil)), true},
		"another jti":               {signed(clientKey(), goodHeader(nil), good(map[string]any{"jti": "two"})), false},
	} {
		if got.Presented(must(token.Parse(token.Secret(c.raw)))) != c.want {
			t.Errorf("CA-10 %s: want %t", name, c.want)
		}
	}
	made, text := withSecret(t, client.ClientSecretBasic)
	bySecret, err := authenticate(t, made, basic(clientID, text), goodEnv())
	if err != nil || bySecret.Presented(must(token.Parse(token.Secret(raw)))) {
		t.Errorf("CA-10 without an assertion: %v", err)
	}
}

// turned is a token with the other signature that anybody can compute from an
// ECDSA signature.
func turned(raw string) string {
	input, signature := cutLast(raw)
	data := must(base64.RawURLEncoding.DecodeString(signature))
	order := clientKey().Key.(*ecdsa.PrivateKey).Params().N
	s := new(big.Int).Sub(order, new(big.Int).SetBytes(data[32:]))
	return input + "." + b64(append(data[:32:32], s.FillBytes(make([]byte, 32))...))
}

func cutLast(raw string) (before, after string) {
	i := strings.LastIndex(raw, ".")
	return raw[:i], raw[i+1:]
}

// Keys that are fetched: a new one is found, and an outage is no answer.
func TestAssertionWithFetchedKeys(t *testing.T) {
	published := []jose.JSONWebKey{clientKey()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if published == nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte(jwks(published...)))
	}))
	t.Cleanup(server.Close)
	config := configured(client.PrivateKeyJWT)
	config.JWKS, config.JWKSURL, config.AllowedAddresses = "", server.URL, []string{"127.0.0.0/8"}
	if _, err := authenticate(t, compile(t, config), goodAssertion(), goodEnv()); err != nil {
		t.Fatal(err)
	}
	published = nil
	_, err := authenticate(t, compile(t, config), goodAssertion(), goodEnv())
	wantFailure(t, err, `temporarily_unavailable: client_keys: the keys of the client cannot be had now`)

	// Addresses that nobody listed are not reached, as those of an issuer.
	config.JWKSURL = strings.Replace(server.URL, "http://127.0.0.1", "https://localhost", 1)
	config.AllowedAddresses = nil
	published = []jose.JSONWebKey{clientKey()}
	_, err = authenticate(t, compile(t, config), goodAssertion(), goodEnv())
	wantFailure(t, err, `temporarily_unavailable: client_keys: the keys of the client cannot be had now`)
	if text := fmt.Sprint(errors.Unwrap(errors.Unwrap(errors.Unwrap(denial.From(err))))); !strings.Contains(text, "is not public: list it in allowed_addresses") {
		t.Errorf("cause: %s", text)
	}
}
