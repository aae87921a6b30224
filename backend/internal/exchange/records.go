package exchange

import (
	"context"
	"errors"
	"slices"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/mint"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Records keeps the claims that opaque tokens stand for, each under a place that
// only its token leads to. They are no part of the snapshot: there may be a million,
// and each is asked for seldom.
type Records interface {
	Put(ctx context.Context, place string, claims []byte) error
	// Get returns nil if there is nothing.
	Get(ctx context.Context, place string) ([]byte, error)
}

var errNoRecords = errors.New("nothing keeps the records of opaque tokens here")

// record makes an opaque token. Nobody gets it before its record is kept.
func (a *attempt) record(ctx context.Context, p mint.Params) (token.Secret, error) {
	raw, made, err := mint.Opaque(p, a.Now())
	if err != nil {
		return "", err
	}
	if a.req.Records == nil {
		return "", denial.Server(denial.Mint, errNoRecords)
	}
	if err := a.req.Records.Put(ctx, made.Place, made.Claims); err != nil {
		return "", denial.New(denial.TemporarilyUnavailable, denial.Mint, "record", "the token cannot be stored now").Because(err)
	}
	return raw, nil
}

// recorded finds the record of an opaque token of ours, and checks it; nil if there
// is none. That it is there proves that the token is ours: who else could have put
// it under the hash of 256 random bits?
func (x *Exchanger) recorded(ctx context.Context, s *Snapshot, records Records, raw token.Secret) (*Own, error) {
	place, ok := token.ParseOpaque(raw)
	if !ok {
		return nil, nil
	}
	if records == nil {
		return nil, denial.Server(denial.Subject, errNoRecords)
	}
	stored, err := records.Get(ctx, place)
	if err != nil {
		return nil, denial.New(denial.TemporarilyUnavailable, denial.Subject, "record", "the token cannot be looked up now").Because(err)
	}
	if stored == nil {
		return nil, nil
	}
	claims, err := token.ParseClaims(stored)
	if err != nil {
		return nil, denial.Server(denial.Subject, err)
	}
	issuer, _ := claims["iss"].(string)
	return readOwn(claims, "at+jwt", token.NoKey, token.Expect{Issuer: issuer, Now: x.Now(), Leeway: s.Leeway()})
}

// recordedParty takes an opaque token of ours as a JWT of ours is taken.
func (a *attempt) recordedParty(t presented, own *Own, err error) (*party, error) {
	if err != nil {
		return nil, err
	}
	a.trace.Pass(t.stage, "form", "an opaque token of this engine")
	if !slices.Contains(t.issuers, policy.Self) {
		return nil, denial.New(denial.InvalidRequest, denial.Subject, t.list,
			"the token is one of this engine (issuer %q), which the role %q does not accept", policy.Self, a.role.Name)
	}
	a.trace.Pass(t.stage, t.list, "the issuer is %q", policy.Self)
	if own.Claims["iss"] != a.Config.Issuer {
		return nil, notOwn("iss", "is not this engine's")
	}
	if t.tokenType == TypeJWT {
		return nil, denial.New(denial.InvalidRequest, denial.Parse, t.field+"_type", "the token is opaque: use %q", TypeAccessToken)
	}
	if err := t.checkType(nil); err != nil {
		return nil, err
	}
	return a.ownParty(t, own)
}
