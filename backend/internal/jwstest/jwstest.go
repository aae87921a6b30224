// Package jwstest signs what no library would: for tests, a JWS with a real signature
// whatever its header says.
package jwstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
)

// Keys of each kind, made when they are first asked for.
var (
	P256    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	P384    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	P521    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) })
	RSA1024 = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 1024)) }) //nolint:gosec // too short, for what must be refused
	RSA2048 = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	Ed25519 = sync.OnceValue(func() ed25519.PrivateKey { _, k, err := ed25519.GenerateKey(rand.Reader); return must(k, err) })
)

// Sign returns a JWS in compact form (RFC 7515 §7.1). alg says how it is signed, as
// far as the type of the key leaves that open: by its hash, SHA-256 if it names none,
// and by its padding. A []byte is the key of an HMAC.
func Sign(header, payload string, key any, alg string) string {
	input := encode(header) + "." + encode(payload)
	hash := map[string]crypto.Hash{"384": crypto.SHA384, "512": crypto.SHA512}[alg[max(0, len(alg)-3):]]
	if hash == 0 {
		hash = crypto.SHA256
	}
	h := hash.New()
	h.Write([]byte(input))
	return input + "." + encode(signature(key, input, alg, hash, h.Sum(nil)))
}

func signature(key any, input, alg string, hash crypto.Hash, digest []byte) []byte {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		size := (k.Params().BitSize + 7) / 8
		r, s, err := ecdsa.Sign(rand.Reader, k, digest)
		return append(must(r, err).FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case *rsa.PrivateKey:
		if strings.HasPrefix(alg, "PS") {
			return must(rsa.SignPSS(rand.Reader, k, hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
		}
		return must(rsa.SignPKCS1v15(rand.Reader, k, hash, digest))
	case ed25519.PrivateKey:
		return ed25519.Sign(k, []byte(input))
	case []byte:
		mac := hmac.New(hash.New, k)
		mac.Write([]byte(input))
		return mac.Sum(nil)
	}
	panic(fmt.Sprintf("no way to sign with %T", key))
}

func encode[T ~string | ~[]byte](v T) string { return base64.RawURLEncoding.EncodeToString([]byte(v)) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
