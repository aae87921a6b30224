package token_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

func header(alg string) string { return fmt.Sprintf(`{"alg":%q,"kid":"k1"}`, alg) }

func TestVerifyAccepts(t *testing.T) {
	for _, c := range []struct {
		alg         string
		key, public any
	}{
		{"ES256", p256(), p256().Public()},
		{"RS256", rsa2048(), rsa2048().Public()},
		{"EdDSA", edKey(), edKey().Public()},
	} {
		t.Run(c.alg, func(t *testing.T) {
			u := must(token.Parse(sign(header(c.alg), goodPayload, c.key)))
			claims, err := u.Verify(c.public)
			if err != nil {
				t.Fatal(err)
			}
			if claims["sub"] != "alice" || string(u.Payload()) != goodPayload {
				t.Errorf("got claims %v of payload %s", claims, u.Payload())
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	der := must(x509.MarshalPKIXPublicKey(rsa2048().Public()))
	for _, c := range []struct {
		name        string
		alg         string
		key, public any
		rule, text  string
	}{
		{
			"JW-2 RS256 with an EC key", "RS256", rsa2048(), p256().Public(),
			"alg", `invalid_request: subject: header "alg": an EC key on P-256 cannot be used with RS256`,
		},
		{
			"JW-2 ES256 with an RSA key", "ES256", p256(), rsa2048().Public(),
			"alg", `invalid_request: subject: header "alg": an RSA key cannot be used with ES256`,
		},
		{
			"JW-2 EdDSA with an RSA key", "EdDSA", edKey(), rsa2048().Public(),
			"alg", `invalid_request: subject: header "alg": an RSA key cannot be used with EdDSA`,
		},
		{
			"JW-2 ES256 with an Ed25519 key", "ES256", p256(), edKey().Public(),
			"alg", `invalid_request: subject: header "alg": an Ed25519 key cannot be used with ES256`,
		},
		{
			"JW-2 a symmetric key", "RS256", der, der,
			"alg", `invalid_request: subject: header "alg": a key of type []uint8 cannot verify a signature`,
		},
		{
			"JW-2 no key", "RS256", rsa2048(), nil,
			"alg", `invalid_request: subject: header "alg": a key of type <nil> cannot verify a signature`,
		},
		{
			"JW-3 RSA with 1024 bits", "RS256", rsa1024(), rsa1024().Public(),
			"alg", `invalid_request: subject: header "alg": an RSA key of 1024 bits is too short: 2048 is the least`,
		},
		{
			"an RSA key that would take long", "RS256", rsa2048(), &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 8192), E: 65537},
			"alg", `invalid_request: subject: header "alg": an RSA key of 8193 bits is too long: 8192 is the most`,
		},
		{
			"JW-3 ES256 with a key on P-384", "ES256", p384(), p384().Public(),
			"alg", `invalid_request: subject: header "alg": an EC key on P-384 cannot be used with ES256`,
		},
		{
			"JW-3 ES384 with a key on P-256", "ES384", p256(), p256().Public(),
			"alg", `invalid_request: subject: header "alg": an EC key on P-256 cannot be used with ES384`,
		},
		{
			"JW-2 PS256 with a signature of RS256", "PS256", rsa2048(), rsa2048().Public(),
			"signature", `invalid_request: subject: the signature does not verify with key "k1"`,
		},
		{
			"another key", "ES256", must(newP256()), p256().Public(),
			"signature", `invalid_request: subject: the signature does not verify with key "k1"`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := must(token.Parse(sign(header(c.alg), goodPayload, c.key)))
			claims, err := u.Verify(c.public)
			if claims != nil {
				t.Error("got claims beside the error")
			}
			wantDenied(t, err, c.rule, c.text)
		})
	}
}

func newP256() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(p256().Curve, rand.Reader) }

// JW-2: the public key is no secret, and must not serve as one.
func TestPublicKeyAsMACKey(t *testing.T) {
	der := must(x509.MarshalPKIXPublicKey(rsa2048().Public()))
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for name, secret := range map[string][]byte{"DER": der, "PEM": text, "PEM without line end": text[:len(text)-1]} {
		t.Run(name, func(t *testing.T) {
			u, err := token.Parse(sign(header("HS256"), goodPayload, secret))
			if u != nil {
				t.Error("got a token beside the error")
			}
			wantDenied(t, err, "alg", algRefused("HS256"))
		})
	}
}

// verifies tells whether a token passes Parse and Verify with the good key.
func verifies(raw string) bool {
	u, err := token.Parse(token.Secret(raw))
	if err != nil {
		return false
	}
	_, err = u.Verify(p256().Public())
	return err == nil
}

// sameToken tells whether two tokens are one: the same signed text and the same
// signature, which base64 can write in more than one way.
func sameToken(a, b string) bool {
	i, j := strings.LastIndex(a, "."), strings.LastIndex(b, ".")
	if i < 0 || j < 0 || a[:i] != b[:j] {
		return false
	}
	s, errS := base64.RawURLEncoding.DecodeString(a[i+1:])
	r, errR := base64.RawURLEncoding.DecodeString(b[j+1:])
	return errS == nil && errR == nil && string(s) == string(r)
}

func TestVerifyRefusesEveryChangedByte(t *testing.T) {
	signed := string(sign(goodHeader, goodPayload, p256()))
	if !verifies(signed) {
		t.Fatal("the unchanged token does not verify")
	}
	for i := range signed {
		for bit := range 8 {
			changed := []byte(signed)
			changed[i] ^= 1 << bit
			if verifies(string(changed)) && !sameToken(signed, string(changed)) {
				t.Errorf("verifies with bit %d of byte %d changed", bit, i)
			}
		}
	}
}

// A signature must not be carried to other signed text, nor other text to it.
func TestVerifyRefusesRecombinedTokens(t *testing.T) {
	a := strings.Split(string(sign(goodHeader, goodPayload, p256())), ".")
	b := strings.Split(string(sign(goodHeader, strings.Replace(goodPayload, "alice", "admin", 1), p256())), ".")
	for name, raw := range map[string]string{
		"payload":   a[0] + "." + b[1] + "." + a[2],
		"signature": a[0] + "." + a[1] + "." + b[2],
		"header":    b64(`{"alg":"ES256","kid":"k2"}`) + "." + a[1] + "." + a[2],
		"zeros":     a[0] + "." + a[1] + "." + b64(strings.Repeat("\x00", 64)),
	} {
		if verifies(raw) {
			t.Errorf("verifies with another %s", name)
		}
	}
}

func FuzzVerify(f *testing.F) {
	signed := string(sign(goodHeader, goodPayload, p256()))
	f.Add(0, byte(1), "")
	f.Add(len(b64(goodHeader))+1, byte(2), "")
	f.Add(len(signed)-1, byte(1), "")
	f.Add(len(signed)-1, byte(0), "A")
	f.Fuzz(func(t *testing.T, at int, change byte, more string) {
		changed := []byte(signed + more)
		if at < 0 || at >= len(changed) {
			return
		}
		changed[at] ^= change
		if verifies(string(changed)) && !sameToken(signed, string(changed)) {
			t.Errorf("verifies: %s", changed)
		}
	})
}
