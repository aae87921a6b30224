package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// The least modulus is that of RFC 7518 §3.3; the most bounds the time that a
// verification with an issuer's key can take.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

var curves = map[jose.SignatureAlgorithm]elliptic.Curve{
	jose.ES256: elliptic.P256(), jose.ES384: elliptic.P384(), jose.ES512: elliptic.P521(),
}

// CheckKey tells whether a public key may be used with an algorithm: its type
// and curve belong to it (RFC 7518 §3.4) and an RSA modulus is long enough.
func CheckKey(alg jose.SignatureAlgorithm, key any) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if curves[alg] != k.Curve {
			return fmt.Errorf("an EC key on %s cannot be used with %s", k.Curve.Params().Name, alg)
		}
	case *rsa.PublicKey:
		if len(alg) != 5 || alg[1] != 'S' || (alg[0] != 'R' && alg[0] != 'P') {
			return fmt.Errorf("an RSA key cannot be used with %s", alg)
		}
		if bits := k.N.BitLen(); bits < minRSABits {
			return fmt.Errorf("an RSA key of %d bits is too short: %d is the least", bits, minRSABits)
		} else if bits > maxRSABits {
			return fmt.Errorf("an RSA key of %d bits is too long: %d is the most", bits, maxRSABits)
		}
	case ed25519.PublicKey:
		if alg != jose.EdDSA {
			return fmt.Errorf("an Ed25519 key cannot be used with %s", alg)
		}
	default:
		return fmt.Errorf("a key of type %T cannot verify a signature", key)
	}
	return nil
}
