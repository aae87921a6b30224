package dpop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denialtest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/dpop"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/jwstest"
)

const endpoint = "https://vault.example/v1/token-exchange/oauth/token"

var (
	now  = time.Unix(1_800_000_000, 0)
	want = dpop.Request{Method: "POST", URLs: []string{endpoint, "https://alias.example/token"}, Client: "shop"}
)

var (
	p256    = jwstest.P256
	p384    = jwstest.P384
	p521    = jwstest.P521
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

func b64[T ~string | ~[]byte](v T) string { return base64.RawURLEncoding.EncodeToString([]byte(v)) }

type object = map[string]any

// draft is a proof before it is signed: what a case changes.
type draft struct {
	header, claims object
	key            any    // signs; the header may name another
	alg            string // how; "" for as the header says
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// good is a draft of a good proof, without a nonce.
func good() *draft {
	return &draft{
		header: object{"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk(p256().Public())},
		claims: object{"jti": "one", "htm": "POST", "htu": endpoint, "iat": now.Unix()},
		key:    p256(),
	}
}

// jwk is a key as the members of its JWK, private ones if it is private.
func jwk(key any) object {
	var members object
	data := must((&jose.JSONWebKey{Key: key}).MarshalJSON())
	if err := json.Unmarshal(data, &members); err != nil {
		panic(err)
	}
	return members
}

func (d *draft) with(change func(*draft)) *draft {
	change(d)
	return d
}

// signed is the proof with a real signature, whatever its header says.
func (d *draft) signed() string {
	alg := d.alg
	if alg == "" {
		alg = fmt.Sprint(d.header["alg"])
	}
	return jwstest.Sign(string(must(json.Marshal(d.header))), string(must(json.Marshal(d.claims))), d.key, alg)
}

// wantRefused checks a refusal, and that a browser or a log line can hold it
// (TX-18): the text has no quote, no backslash and ASCII only.
func wantRefused(t testing.TB, err error, rule, text string) {
	t.Helper()
	denialtest.Want(t, err, rule, text)
	if strings.ContainsFunc(err.Error(), func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
		t.Errorf("TX-18: %q holds what an error_description may not", err)
	}
}
