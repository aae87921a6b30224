package issuer

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// maxKeys is how many keys of one issuer are read; further ones are ignored.
const maxKeys = 100

// publicKey is one key of an issuer.
type publicKey struct {
	ID        string // "" for a PEM key
	Algorithm jose.SignatureAlgorithm
	Key       any
}

// keySet is the keys of one issuer at one time.
type keySet struct {
	keys []publicKey
	// anonymous keys have no ids (PEM): a token's "kid" cannot choose among them.
	anonymous bool
}

// candidates returns the keys that may have signed a token: those with its
// "kid" that fit its algorithm. A token without a "kid" gets a key only if no
// other key fits.
func (s keySet) candidates(h token.Header) []publicKey {
	fits := []publicKey{}
	for _, k := range s.keys {
		sameID := s.anonymous || h.KeyID == "" || k.ID == h.KeyID
		sameAlgorithm := k.Algorithm == "" || k.Algorithm == h.Algorithm
		if sameID && sameAlgorithm && token.CheckKey(h.Algorithm, k.Key) == nil {
			fits = append(fits, k)
		}
	}
	if h.KeyID == "" && !s.anonymous && len(fits) > 1 {
		return nil
	}
	return fits
}

// ids returns the ids of the keys, for the status of the issuer.
func (s keySet) ids() []string {
	out := make([]string, 0, len(s.keys))
	for _, k := range s.keys {
		out = append(out, k.ID)
	}
	return out
}

// purpose tells by its "use" and "kid" whether a key is for an issuer's tokens.
type purpose func(jwk *jose.JSONWebKey) bool

func forSignatures(jwk *jose.JSONWebKey) bool { return jwk.Use == "" || jwk.Use == "sig" }

// purpose returns what the keys of the issuer are for.
func (c *Config) purpose() purpose {
	if c.Type == SPIFFE {
		return forSVIDs
	}
	return forSignatures
}

// parseJWKS reads a JWK set (RFC 7517 §5). A key that is unusable, symmetric,
// or not for the purpose is skipped: one bad key does not cost the others.
func parseJWKS(data []byte, suits purpose) (keySet, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return keySet{}, errors.New("not a JSON Web Key Set")
	}
	if document.Keys == nil {
		return keySet{}, errors.New(`has no "keys": want a JSON Web Key Set, {"keys": [KEY, …]}`)
	}
	var set keySet
	for _, raw := range document.Keys {
		if len(set.keys) == maxKeys {
			break
		}
		if key, ok := parseJWK(raw, suits); ok {
			set.keys = append(set.keys, key)
		}
	}
	if len(set.keys) == 0 {
		return keySet{}, fmt.Errorf("no usable key among the %d of the JSON Web Key Set", len(document.Keys))
	}
	return set, nil
}

func parseJWK(raw json.RawMessage, suits purpose) (publicKey, bool) {
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(raw, &jwk); err != nil || !jwk.Valid() || !suits(&jwk) {
		return publicKey{}, false
	}
	public := jwk.Public()
	alg := jose.SignatureAlgorithm(jwk.Algorithm)
	usable := slices.ContainsFunc(token.Algorithms, func(a jose.SignatureAlgorithm) bool {
		return (alg == "" || alg == a) && token.CheckKey(a, public.Key) == nil
	})
	return publicKey{ID: jwk.KeyID, Algorithm: alg, Key: public.Key}, usable
}

// parsePEM reads public keys or certificates. They have no ids.
func parsePEM(texts []string) (keySet, error) {
	set := keySet{anonymous: true}
	for i, text := range texts {
		block, rest := pem.Decode([]byte(text))
		if block == nil || len(bytes.TrimSpace(rest)) > 0 {
			return keySet{}, fmt.Errorf("element %d is not one public key in PEM form", i+1)
		}
		key, err := parseBlock(block)
		if err != nil {
			return keySet{}, fmt.Errorf("element %d: %w", i+1, err)
		}
		set.keys = append(set.keys, publicKey{Key: key})
	}
	return set, nil
}

func parseBlock(block *pem.Block) (any, error) {
	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = cert.PublicKey
		}
	default:
		return nil, errors.New("want a block of type PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE")
	}
	if err != nil {
		return nil, errors.New("malformed key")
	}
	if !slices.ContainsFunc(token.Algorithms, func(a jose.SignatureAlgorithm) bool { return token.CheckKey(a, key) == nil }) {
		return nil, errors.New("want an RSA key of 2048 bits or more, an EC key on P-256, P-384 or P-521, or an Ed25519 key")
	}
	return key, nil
}

// holdsPrivateKey tells whether a key set has a member that is secret (RFC 7518
// §6): it would be stored, and shown to whoever reads the issuer.
func holdsPrivateKey(jwks string) bool {
	var document struct {
		Keys []struct{ D, P, Q, DP, DQ, QI, K, Oth, Priv json.RawMessage }
	}
	if json.Unmarshal([]byte(jwks), &document) != nil {
		return false
	}
	for _, k := range document.Keys {
		for _, member := range []json.RawMessage{k.D, k.P, k.Q, k.DP, k.DQ, k.QI, k.K, k.Oth, k.Priv} {
			if member != nil {
				return true
			}
		}
	}
	return false
}

// inlineKeys returns the keys that are part of the configuration.
func (c *Config) inlineKeys() (keySet, error) {
	if c.JWKS != "" {
		if holdsPrivateKey(c.JWKS) {
			return keySet{}, denial.Field("jwks", "holds a private or symmetric key: give the public keys only, and consider that key disclosed")
		}
		if !json.Valid([]byte(c.JWKS)) {
			return keySet{}, denial.Field("jwks", "is not JSON: want the text of a JSON Web Key Set, not the name of its file")
		}
		set, err := parseJWKS([]byte(c.JWKS), c.purpose())
		if err != nil {
			return keySet{}, denial.Field("jwks", "%s", err)
		}
		return set, nil
	}
	if len(c.PublicKeys) > maxKeys {
		return keySet{}, denial.Field("jwt_validation_pubkeys", "has more than %d keys", maxKeys)
	}
	set, err := parsePEM(c.PublicKeys)
	if err != nil {
		return keySet{}, denial.Field("jwt_validation_pubkeys", "%s", err)
	}
	return set, nil
}

// checkFit refuses inline keys with which no token could be signed as it must be.
func (c *Config) checkFit() error {
	if c.remoteURL() != "" {
		return nil
	}
	set, err := c.inlineKeys()
	if err != nil {
		return err
	}
	for _, a := range c.AllowedAlgorithms {
		for _, k := range set.keys {
			alg := jose.SignatureAlgorithm(a)
			if (k.Algorithm == "" || k.Algorithm == alg) && token.CheckKey(alg, k.Key) == nil {
				return nil
			}
		}
	}
	return denial.Field("allowed_algorithms", "none of %s fits any of the keys", token.List(c.AllowedAlgorithms))
}
