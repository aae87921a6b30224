package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// nonceStep is how long one nonce is given out. It is accepted during the step
// after that as well: at least two minutes, less than four. Proofs made in
// advance by whoever gets at a client's key for a moment are good for no longer
// (RFC 9449 §11.2).
const nonceStep = 2 * time.Minute

// Nonces gives out and recognises nonces (RFC 9449 §8) and stores none: a nonce
// is a MAC of the time, in steps, with a secret that nobody else has.
type Nonces struct {
	// A function, so that printing it does not print the secret.
	sum func(step int64) string
}

// NewNonces makes nonces with a new secret from random: those of any other are
// refused.
func NewNonces(random io.Reader) (*Nonces, error) {
	secret := make([]byte, sha256.Size)
	if _, err := io.ReadFull(random, secret); err != nil {
		return nil, fmt.Errorf("a secret for nonces: %w", err)
	}
	return &Nonces{sum: func(step int64) string {
		mac := hmac.New(sha256.New, secret)
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(step))) //nolint:gosec // one number for each step is all it takes
		return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}}, nil
}

// Issue returns the nonce of now.
func (n *Nonces) Issue(now time.Time) string { return n.sum(step(now)) }

// Check refuses what is not the nonce of this step or the one before it, with
// [denial.UseDPoPNonce].
func (n *Nonces) Check(nonce string, now time.Time) error {
	if nonce == "" {
		return denial.New(denial.UseDPoPNonce, denial.Binding, "nonce", "is missing: use the one in the DPoP-Nonce header of this answer (if there is none: is DPoP-Nonce among the allowed_response_headers of the mount?)")
	}
	for _, s := range []int64{step(now), step(now) - 1} {
		if hmac.Equal([]byte(nonce), []byte(n.sum(s))) {
			return nil
		}
	}
	return denial.New(denial.UseDPoPNonce, denial.Binding, "nonce", "is not valid any more: use the one in the DPoP-Nonce header of this answer")
}

func step(now time.Time) int64 { return now.Unix() / int64(nonceStep/time.Second) }
