package issuer

import (
	"context"
	"crypto"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// KeySource is where the keys of a party that issues no tokens come from, an
// OAuth client for instance: exactly one of an inline JWK set and its URL.
type KeySource struct {
	Name             string // for OnFetch
	JWKS             string
	JWKSURL          string
	CAPEM            string
	AllowedAddresses []string
}

// config is an issuer of which the keys alone mean something.
func (s KeySource) config() *Config {
	return &Config{
		Name: s.Name, Type: Generic, JWKS: s.JWKS, JWKSURL: s.JWKSURL,
		CAPEM: s.CAPEM, AllowedAddresses: s.AllowedAddresses,
	}
}

// Validate checks the source as that of an issuer is checked.
func (s KeySource) Validate() error {
	switch {
	case s.JWKS == "" && s.JWKSURL == "":
		return denial.Field("jwks", "exactly one of jwks and jwks_url must be set: none is")
	case s.JWKS != "" && s.JWKSURL != "":
		return denial.Field("jwks_url", "exactly one of jwks and jwks_url must be set: both are")
	case len(s.AllowedAddresses) > maxItems:
		return denial.Field("allowed_addresses", "has more than %d elements", maxItems)
	}
	c := s.config()
	if err := c.checkSource(); err != nil {
		return err
	}
	return c.checkAddresses()
}

// Keys are the keys of such a party. They are fetched and held as those of an
// issuer are, within the same bounds.
type Keys struct{ issuer *Issuer }

// NewKeys makes the keys of a valid source. It makes no request.
func NewKeys(s KeySource, o Options) (*Keys, error) {
	made, err := New(s.config(), o)
	if err != nil {
		return nil, err
	}
	return &Keys{issuer: made}, nil
}

// Adopt takes over the keys that an earlier form of the party has fetched from
// the same place.
func (k *Keys) Adopt(old *Keys) {
	if old != nil {
		k.issuer.Adopt(old.issuer)
	}
}

// VerifySignature checks the signature of a token, and nothing else of it, with
// the one key that its header chooses.
func (k *Keys) VerifySignature(ctx context.Context, u *token.Unverified) (token.Claims, error) {
	return k.issuer.verifySignature(ctx, u, false)
}

// Hold tells whether a public key is among the keys. A key that is not may cause
// a fetch, as an unknown "kid" does.
func (k *Keys) Hold(ctx context.Context, public crypto.PublicKey) (bool, error) {
	wanted, ok := public.(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return false, nil
	}
	same := func(s keySet) []publicKey {
		for _, known := range s.keys {
			if wanted.Equal(known.Key) {
				return []publicKey{known}
			}
		}
		return nil
	}
	if k.issuer.remote == nil {
		return len(same(k.issuer.inline)) > 0, nil
	}
	found, err := k.issuer.remote.find(ctx, same)
	if err != nil {
		return false, denial.New(denial.TemporarilyUnavailable, denial.Configuration, "jwks_url", "the keys of %q cannot be had now", k.issuer.Name).Because(err)
	}
	return len(found) > 0, nil
}

// Status tells which keys are held and how the last request went.
func (k *Keys) Status() Status { return k.issuer.Status() }

// Refresh fetches the keys now; it does nothing if they are inline.
func (k *Keys) Refresh(ctx context.Context) error { return k.issuer.Refresh(ctx) }
