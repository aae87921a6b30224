package keyring_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
)

const (
	lead         = time.Hour
	verification = 2 * time.Hour
)

var start = time.Unix(1_800_000_000, 0)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// newKey makes a key at start. Ed25519 is the quickest to generate.
func newKey() *keyring.Key { return newKeyOf(jose.EdDSA) }

func newKeyOf(alg jose.SignatureAlgorithm) *keyring.Key {
	return must(keyring.Generate(keyring.Key{
		Name: "main", Algorithm: alg, PublicationLead: lead, VerificationPeriod: verification,
	}, start, start))
}

// published is the JWKS of one key, as a consumer reads it.
func published(k *keyring.Key, now time.Time) jose.JSONWebKeySet {
	var set jose.JSONWebKeySet
	text := must(json.Marshal(keyring.JWKS(map[string]*keyring.Key{k.Name: k}, now)))
	if err := json.Unmarshal(text, &set); err != nil {
		panic(err)
	}
	return set
}

func keyIDs(set jose.JSONWebKeySet) []string {
	ids := []string{}
	for _, k := range set.Keys {
		ids = append(ids, k.KeyID)
	}
	return ids
}

// signed is a token, as far as a key knows of it.
type signed struct {
	jws          string
	keyID        string
	key          ed25519.PublicKey // nil for other algorithms
	at, expires  time.Time
	keyPublished time.Time
}

// sign signs with the active version.
func sign(k *keyring.Key, now time.Time, life time.Duration) signed {
	v := k.Active()
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: k.Algorithm, Key: v.Signer()},
		&jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"kid": v.KeyID}}))
	jws := must(must(signer.Sign([]byte("claims"))).CompactSerialize())
	key, _ := v.Public.(ed25519.PublicKey)
	return signed{jws: jws, keyID: v.KeyID, key: key, at: now, expires: now.Add(life), keyPublished: v.Published}
}

// verify does what a consumer does with a JWKS.
func (s signed) verify(set jose.JSONWebKeySet) error {
	keys := set.Key(s.keyID)
	if len(keys) != 1 {
		return fmt.Errorf("%d keys in the JWKS have the id %s", len(keys), s.keyID)
	}
	jws, err := jose.ParseSignedCompact(s.jws, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(keys[0].Algorithm)})
	if err != nil {
		return err
	}
	_, err = jws.Verify(keys[0].Key)
	return err
}

// privateNumber is the secret number or seed of a private key.
func privateNumber(key any) *big.Int {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		return new(big.Int).SetBytes(must(k.Bytes()))
	case *rsa.PrivateKey:
		return k.D
	case ed25519.PrivateKey:
		return new(big.Int).SetBytes(k.Seed())
	}
	panic(fmt.Sprintf("unknown key %T", key))
}

// wantRefused checks the refusal of a field and its text.
func wantRefused(t testing.TB, err error, field, text string) {
	t.Helper()
	var refusal *denial.Error
	if !errors.As(err, &refusal) || refusal.Rule != field {
		t.Fatalf("got error %v, want a denial by %s", err, field)
	}
	if err.Error() != text {
		t.Errorf("got  %s\nwant %s", err, text)
	}
}
