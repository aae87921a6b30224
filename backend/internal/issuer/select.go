package issuer

import "github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"

// Select returns the one issuer that a token says it is from: by the trust
// domain of "sub" if that is how the issuer is known, else by "iss". Nil if there
// is none. What the token says decides nothing but whose keys it is held against.
func Select(among []*Issuer, u *token.Unverified) (*Issuer, error) {
	var found *Issuer
	for _, i := range among {
		if i == nil || i == found || !i.mayHaveIssued(u) {
			continue
		}
		if found != nil {
			return nil, refuse("issuers", "the token is ambiguous: its \"iss\" and \"sub\" claims fit the issuers %q and %q", found.Name, i.Name)
		}
		found = i
	}
	return found, nil
}

func (c *Config) mayHaveIssued(u *token.Unverified) bool {
	if c.Type == SPIFFE {
		return c.claimsDomain(u.Subject)
	}
	return u.Issuer == c.BoundIssuer
}
