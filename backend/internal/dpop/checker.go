// Package dpop checks proofs of possession: DPoP proofs (RFC 9449) as a token
// endpoint gets them, and the "cnf" claim by which a token is bound to a key or
// a certificate (RFC 7800, RFC 8705 §3).
//
// No proof is accepted twice, though proofs are remembered in memory alone. The
// secret behind the nonces and the memory of used proofs begin together, with an
// epoch, and every proof must carry a nonce: one that another node or an earlier
// process may have seen carries a nonce that means nothing here.
package dpop

import (
	"io"
	"sync"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// DefaultCapacity is how many proofs a [Checker] remembers: 4000 a second for
// as long as a proof can be used, in some 30 MB.
const DefaultCapacity = 1 << 18

// Checker accepts each proof once. It may be used concurrently.
type Checker struct {
	random   io.Reader
	capacity int

	mu      sync.Mutex
	current epoch
}

// epoch is what must begin and end together: a nonce says which memory of used
// proofs is to be asked.
type epoch struct {
	nonces *Nonces
	replay *Replay
}

// NewChecker begins an epoch. Random must be unpredictable, such as
// [crypto/rand.Reader].
func NewChecker(random io.Reader, capacity int) (*Checker, error) {
	c := &Checker{random: random, capacity: capacity}
	begun, err := c.begin()
	if err != nil {
		return nil, err
	}
	c.current = begun
	return c, nil
}

// Nonce returns the nonce for the DPoP-Nonce header of a response (RFC 9449 §8):
// of a refusal with [denial.UseDPoPNonce], which needs one, and of any other
// answer to a proof, so that the client's next proof carries a fresh one.
func (c *Checker) Nonce(now time.Time) (string, error) {
	e, err := c.at(now)
	if err != nil {
		return "", err
	}
	return e.nonces.Issue(now), nil
}

// Check verifies a proof, and records that it was used. It belongs after the
// authentication of the client, since whoever gets here can fill memory (see
// [Replay]), and before anything that a replayed request must not cause.
//
// A proof without a nonce that is good now is refused with
// [denial.UseDPoPNonce], and counts as not used. All refusals are
// [denial.Error]s of the stage [denial.Binding].
func (c *Checker) Check(raw string, want Request, now time.Time) (Proof, error) {
	e, err := c.at(now)
	if err != nil {
		return Proof{}, err
	}
	proof, err := Verify(raw, want, now)
	if err != nil {
		return Proof{}, err
	}
	if err := e.nonces.Check(proof.Nonce, now); err != nil {
		return Proof{}, err
	}
	// Last: what is refused for another reason must not count as used.
	if err := e.replay.Use(proof, want.Client, now); err != nil {
		return Proof{}, err
	}
	return proof, nil
}

// at returns the epoch for a request. If the clock was set back so far that
// proofs of now look too old, that is a new one: the proofs that the old one has
// forgotten could be used again, and their nonces are void with it.
func (c *Checker) at(now time.Time) (epoch, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.current.replay.ahead(now) {
		return c.current, nil
	}
	begun, err := c.begin()
	if err != nil {
		return epoch{}, err
	}
	c.current = begun
	return begun, nil
}

func (c *Checker) begin() (epoch, error) {
	nonces, err := NewNonces(c.random)
	if err != nil {
		return epoch{}, denial.Server(denial.Binding, err)
	}
	return epoch{nonces, NewReplay(c.capacity)}, nil
}

// refuse makes the refusal of a proof. The reason holds nothing of the proof, no
// quote and no backslash (RFC 6749 §5.2).
func refuse(rule, format string, args ...any) *denial.Error {
	return denial.New(denial.InvalidDPoPProof, denial.Binding, rule, format, args...)
}
