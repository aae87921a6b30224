package exchange

import (
	"slices"
	"strings"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Own is one of our own tokens: verified, alive, not revoked.
type Own struct {
	Claims   token.Claims
	Dates    token.Dates
	Kind     token.Kind
	ID       string // "jti"
	Chain    string // "txn"
	Audience []string
	Lineage  token.Lineage
	Role     *policy.Role
}

// Own checks a token that claims to be ours, in full: signature with a key that
// is still published, kind, dates, the role that minted it, revocation.
func (x *Exchanger) Own(s *Snapshot, raw token.Secret) (*Own, error) {
	u, err := token.Parse(raw)
	if err != nil {
		return nil, err
	}
	return x.verifyOwn(s, u, s.issuers(x.Now()))
}

func (x *Exchanger) verifyOwn(s *Snapshot, u *token.Unverified, issuers []string) (*Own, error) {
	now := x.Now()
	if !slices.Contains(issuers, u.Issuer) {
		return nil, notOwn("iss", "is not this engine's")
	}
	key, version := findVersion(s.Keys, u.Header.KeyID, now)
	if key == nil || key.Algorithm != u.Header.Algorithm {
		return nil, notOwn("kid", "is not a published key of this engine")
	}
	claims, err := u.Verify(version.Public)
	if err != nil {
		return nil, err
	}
	own := &Own{Claims: claims}
	var known bool
	if own.Kind, known = token.KindOf(u.Header.Type); !known || own.Kind.Check(claims) != "" {
		return nil, notOwn("typ", "is not that of a token of this engine")
	}
	if own.Audience, err = claims.Strings("aud"); err != nil {
		return nil, err
	}
	own.Dates, err = u.Validate(claims, token.Expect{
		Issuer: u.Issuer, Audiences: own.Audience, Types: []string{u.Header.Type}, Now: now, Leeway: s.leeway(),
	})
	if err != nil {
		return nil, err
	}
	return own, x.checkAlive(s, own)
}

// checkAlive reads the token's lineage, and refuses it if it or an ancestor was
// revoked or the role that minted it is gone.
func (x *Exchanger) checkAlive(s *Snapshot, own *Own) error {
	var err error
	if own.ID, err = own.Claims.Required("jti"); err != nil {
		return err
	}
	if own.Chain, err = own.Claims.Required("txn"); err != nil {
		return err
	}
	if own.Lineage, err = token.ParseLineage(own.Claims); err != nil {
		return err
	}
	client, err := own.Claims.Required("client_id")
	if err != nil {
		return err
	}
	own.Role = s.Roles[strings.TrimPrefix(client, clientPrefix)]
	if own.Role == nil || own.Role.ID != own.Lineage.Role { // the name may have been given again
		return denial.New(denial.InvalidRequest, denial.Revocation, "role_deleted", "the role that minted the token was deleted")
	}
	if x.Revocations.Dead(own.ID, own.Lineage, own.Dates.IssuedAt) {
		return denial.New(denial.InvalidRequest, denial.Revocation, "revoked", "the token, or one that it was exchanged from, was revoked")
	}
	return nil
}

func findVersion(keys map[string]*keyring.Key, id string, now time.Time) (*keyring.Key, *keyring.Version) {
	for _, key := range keys {
		for i := range key.Versions {
			if v := &key.Versions[i]; v.KeyID == id && v.State(now) != keyring.Expired {
				return key, v
			}
		}
	}
	return nil, nil
}

func (s *Snapshot) leeway() time.Duration {
	if s.Config == nil {
		return 0
	}
	return s.Config.ClockSkewLeeway
}

func notOwn(rule, reason string) error {
	return denial.New(denial.InvalidRequest, denial.Subject, rule, "%q %s", rule, reason)
}
