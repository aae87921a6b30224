package dpop_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denialtest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/dpop"
)

const endpoint = "https://vault.example/v1/token-exchange/oauth/token"

var (
	now  = time.Unix(1_800_000_000, 0)
	want = dpop.Request{Method: "POST", URLs: []string{endpoint, "https://alias.example/token"}, Client: "shop"}
)

var (
	p256    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	p521    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) })
	rsa1024 = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 1024)) })
	rsa2048 = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	edKey   = sync.OnceValue(func() ed25519.PrivateKey { _, k, err := ed25519.GenerateKey(rand.Reader); return must(k, err) })
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
	key            any // signs; the header may name another
}

// pkcs1 signs with RSA and the other padding than PS256 has.
type pkcs1 struct{}

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
	return sign(string(must(json.Marshal(d.header))), string(must(json.Marshal(d.claims))), d.key, fmt.Sprint(d.header["alg"]))
}

func sign(header, claims string, key any, alg string) string {
	input := b64(header) + "." + b64(claims)
	hash := map[string]crypto.Hash{"384": crypto.SHA384, "512": crypto.SHA512}[alg[max(0, len(alg)-3):]]
	if hash == 0 {
		hash = crypto.SHA256
	}
	h := hash.New()
	h.Write([]byte(input))
	var signature []byte
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		size := (k.Params().BitSize + 7) / 8
		r, s, err := ecdsa.Sign(rand.Reader, k, h.Sum(nil))
		signature = append(must(r, err).FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case *rsa.PrivateKey:
		if strings.HasPrefix(alg, "PS") {
			signature = must(rsa.SignPSS(rand.Reader, k, hash, h.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
		} else {
			signature = must(rsa.SignPKCS1v15(rand.Reader, k, hash, h.Sum(nil)))
		}
	case pkcs1:
		signature = must(rsa.SignPKCS1v15(rand.Reader, rsa2048(), hash, h.Sum(nil)))
	case ed25519.PrivateKey:
		signature = ed25519.Sign(k, []byte(input))
	case []byte:
		mac := hmac.New(hash.New, k)
		mac.Write([]byte(input))
		signature = mac.Sum(nil)
	default:
		panic(fmt.Sprintf("no way to sign with %T", key))
	}
	return input + "." + b64(signature)
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
