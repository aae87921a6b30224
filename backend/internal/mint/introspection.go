package mint

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Introspection signs the answer of an introspection for the client that has asked
// (RFC 9701 §5). What it says of the token is inside one claim, so that it cannot be
// taken for the token itself.
func Introspection(key *keyring.Key, issuer, clientID string, answer map[string]any, now time.Time) (token.Secret, error) {
	payload, err := json.Marshal(token.Claims{
		"iss": issuer, "aud": clientID, "iat": now.Unix(), "token_introspection": answer,
	})
	if err != nil {
		return "", denial.Server(denial.Mint, err)
	}
	signed, err := sign(key, token.IntrospectionType, payload)
	if err == nil {
		err = checkIntrospection(signed, key, string(payload), now)
	}
	if err != nil {
		return "", denial.Server(denial.Mint, fmt.Errorf("our own answer failed its check: %w", err))
	}
	return signed, nil
}

// checkIntrospection reads the signed answer back as the client will.
func checkIntrospection(signed token.Secret, key *keyring.Key, payload string, now time.Time) error {
	u, _, err := readBack(signed, key, now)
	if err == nil && string(u.Payload()) != payload {
		err = errors.New("it says something else")
	}
	return err
}
