package mint

import (
	"errors"
	"fmt"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Record is what is kept of an opaque token: its claims, which are those that a JWT
// would have, under a place that only the token leads to.
type Record struct {
	Place  string
	Claims []byte
}

// Opaque makes one opaque token, and the record by which it will be known. Now is
// the time of the check.
func Opaque(p Params, now time.Time) (token.Secret, Record, error) {
	payload, err := Payload(p)
	if err != nil {
		return "", Record{}, err
	}
	raw, place := token.NewOpaque(p.Expires)
	if err := checkOpaque(raw, place, payload, p, now); err != nil {
		return "", Record{}, denial.Server(denial.Mint, fmt.Errorf("our own token failed its check: %w", err))
	}
	return raw, Record{Place: place, Claims: payload}, nil
}

// checkOpaque reads the record as it will be read, and holds its claims against
// what was asked for.
func checkOpaque(raw token.Secret, place string, payload []byte, p Params, now time.Time) error {
	if found, ok := token.ParseOpaque(raw); !ok || found != place {
		return errors.New("it does not lead to its record")
	}
	claims, err := token.ParseClaims(payload)
	if err != nil {
		return err
	}
	if err := checkKind(claims, p.Type); err != nil {
		return err
	}
	dates, err := token.Expect{Issuer: p.Issuer, Audiences: p.Audience, Now: now}.Check(claims)
	if err != nil {
		return err
	}
	return checkClaims(claims, dates, p)
}
