package exchange

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Own is one of our own tokens, verified.
type Own struct {
	Claims   token.Claims
	Dates    token.Dates
	Kind     token.Kind
	KeyID    string // token.NoKey of an opaque one
	ID       string // "jti"
	Chain    string // "txn"
	Audience []string
	Lineage  token.Lineage
}

// Own checks a token that claims to be ours: signature with a key that is still
// published, or the record of an opaque one; kind, dates and lineage. Whether it was
// taken back is for [Exchanger.CheckAlive] to say.
func (x *Exchanger) Own(ctx context.Context, s *Snapshot, records Records, raw token.Secret) (*Own, error) {
	if own, err := x.recorded(ctx, s, records, raw); own != nil || err != nil {
		return own, err
	}
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
	return readOwn(claims, u.Header.Type, version.KeyID, token.Expect{Issuer: u.Issuer, Now: now, Leeway: s.Leeway()})
}

// readOwn checks the claims of one of our tokens, whose signature was checked.
func readOwn(claims token.Claims, typ, keyID string, expect token.Expect) (*Own, error) {
	own := &Own{Claims: claims, KeyID: keyID}
	var known bool
	var err error
	own.Kind, known = token.KindOf(typ)
	problem := own.Kind.Check(claims)
	if problem != "" && keyID == claimedKey {
		return nil, denial.New(denial.InvalidRequest, denial.Subject, "claims", "%s: these are not all the claims of an access token of this engine (introspection leaves some out)", problem)
	}
	if !known || problem != "" {
		return nil, notOwn("typ", "is not that of a token of this engine")
	}
	if own.Audience, err = claims.Strings("aud"); err != nil {
		return nil, err
	}
	expect.Audiences = own.Audience
	if own.Dates, err = expect.Check(claims); err != nil {
		return nil, err
	}
	if own.ID, err = claims.Required("jti"); err != nil {
		return nil, err
	}
	if own.Chain, err = claims.Required("txn"); err != nil {
		return nil, err
	}
	own.Lineage, err = token.ParseLineage(claims)
	return own, err
}

// CheckAlive refuses a token of ours if it or an ancestor was revoked, or if a
// role that minted or a key that signed one of them is gone. (The key of an
// ancestor is published for as long as the ancestor may live, and no token
// outlives its ancestors: only an emergency takes it away.)
func (x *Exchanger) CheckAlive(s *Snapshot, own *Own) error {
	for _, step := range slices.Concat(own.Lineage.Via, []token.Step{{Role: own.Lineage.Role, KeyID: own.KeyID, Client: own.Lineage.Client}}) {
		if s.roleByRef(step.Role) == nil {
			return denial.New(denial.InvalidRequest, denial.Revocation, "role_deleted",
				"the role that minted the token, or one that it was exchanged from, was deleted")
		}
		if step.Client != "" && s.clientByRef(step.Client) == nil {
			return denial.New(denial.InvalidRequest, denial.Revocation, "client_deleted",
				"the OAuth client that asked for the token, or for one that it was exchanged from, was deleted")
		}
		if step.KeyID == claimedKey || step.KeyID == token.NoKey {
			continue
		}
		if key, _ := findVersion(s.Keys, step.KeyID, x.Now()); key == nil {
			return denial.New(denial.InvalidRequest, denial.Revocation, "key_revoked",
				"the key that signed the token, or one that it was exchanged from, was revoked")
		}
	}
	if x.Revocations.Dead(own.ID, own.Lineage, own.Dates.IssuedAt) {
		return denial.New(denial.InvalidRequest, denial.Revocation, "revoked", "the token, or one that it was exchanged from, was revoked")
	}
	return nil
}

// roleByRef returns the role that a token names; nil if it was deleted, also if
// its name was given again.
func (s *Snapshot) roleByRef(ref string) *policy.Role {
	name, _, _ := strings.Cut(ref, ":")
	if r := s.Roles[name]; r != nil && r.Ref() == ref {
		return r
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

// Leeway is that of the configuration; none without one.
func (s *Snapshot) Leeway() time.Duration {
	if s.Config == nil {
		return 0
	}
	return s.Config.ClockSkewLeeway
}

func notOwn(rule, reason string) error {
	return denial.New(denial.InvalidRequest, denial.Subject, rule, "%q %s", rule, reason)
}
