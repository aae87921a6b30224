package dpop

import (
	"crypto"
	"encoding/base64"
	"encoding/json"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// keyMembers are the members of a JWK that make a public key, by its type: the
// ones that RFC 7638 §3.2 and RFC 8037 §2 hash.
var keyMembers = map[string][]string{
	"EC": {"kty", "crv", "x", "y"}, "RSA": {"kty", "n", "e"}, "OKP": {"kty", "crv", "x"},
}

// secretMembers are those of private and symmetric keys (RFC 7518 §6, RFC 8037 §2).
var secretMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// embeddedKey returns the public key in a proof's header, for use with alg, and
// its RFC 7638 thumbprint. All that the key is known by is in keyMembers: its
// certificates and ids are not looked at.
func embeddedKey(header token.Claims, alg jose.SignatureAlgorithm) (crypto.PublicKey, string, error) {
	jwk, ok := header["jwk"].(map[string]any)
	if !ok {
		return nil, "", refuse("jwk", "is missing from the header, or is not an object")
	}
	for _, name := range secretMembers {
		if _, ok := jwk[name]; ok {
			return nil, "", refuse("jwk", "must be a public key alone: what was sent is known to others now and must not be used again")
		}
	}
	if v, ok := jwk["alg"]; ok && v != string(alg) {
		return nil, "", refuse("jwk", "is for another algorithm than the header alg names")
	}
	if v, ok := jwk["use"]; ok && v != "sig" {
		return nil, "", refuse("jwk", "is not for signatures")
	}
	key, err := publicKey(jwk)
	if err != nil {
		return nil, "", refuse("jwk", "is not a well-formed public key of an accepted type").Because(err)
	}
	if err := token.CheckKey(alg, key.Key); err != nil {
		return nil, "", refuse("jwk", "%s", err)
	}
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, "", refuse("jwk", "has no thumbprint").Because(err)
	}
	return key.Key, base64.RawURLEncoding.EncodeToString(thumbprint), nil
}

// publicKey reads a JWK, which must be written as we would: a client that hashes
// another spelling of its key would not find itself in "cnf".
func publicKey(jwk token.Claims) (*jose.JSONWebKey, error) {
	kty, err := jwk.Text("kty")
	if err != nil {
		return nil, err
	}
	names, ok := keyMembers[kty]
	if !ok {
		return nil, errKeyType
	}
	members := map[string]any{}
	for _, name := range names {
		members[name] = jwk[name]
	}
	data, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(data); err != nil {
		return nil, err
	}
	if !key.Valid() || !key.IsPublic() {
		return nil, errKeyType
	}
	written, err := key.MarshalJSON()
	if err != nil {
		return nil, err
	}
	canonical, err := token.ParseClaims(written)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if members[name] != canonical[name] {
			return nil, errSpelling
		}
	}
	return &key, nil
}
