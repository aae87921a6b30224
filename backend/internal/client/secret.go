package client

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// SecretPrefix begins every secret, so that scanners of source code and logs know
// one that has leaked.
const SecretPrefix = "txcs_"

const (
	secretBytes = 32   // 256 bits
	maxSecret   = 1024 // of what is presented: more is not hashed
	// MaxOverlap is the longest time that a replaced secret may go on.
	MaxOverlap = 90 * 24 * time.Hour
)

// Secrets are the hashes of a client's secrets: of the current one and, for a
// time, of the one before. A plain hash suffices: 256 random bits cannot be
// guessed, so that there is nothing to slow down. A function holds them, since
// fmt passes by the methods of what it reaches through a pointer with a verb that
// pointers do not have.
type Secrets struct{ held func() []hashed }

// hashed is one secret as stored.
type hashed struct {
	Hash    []byte    `json:"sha256"`
	Created time.Time `json:"created"`
	Until   time.Time `json:"until,omitzero"` // zero: until it is replaced
}

func newSecrets(list []hashed) Secrets { return Secrets{held: func() []hashed { return list }} }

func (s Secrets) list() []hashed {
	if s.held == nil {
		return nil
	}
	return s.held()
}

func (h hashed) alive(now time.Time) bool { return h.Until.IsZero() || now.Before(h.Until) }

// GenerateSecret makes a secret and returns it, once, with the client that has it.
// The one before stays good until the overlap has passed; one before that ends
// now, so that at most two are alive.
func (c *Config) GenerateSecret(now time.Time, overlap time.Duration) (*Config, token.Secret, error) {
	switch {
	case !c.HasSecret():
		return nil, "", denial.Field("auth_method", "%q has no secret: use %s or %s", c.AuthMethod, ClientSecretBasic, ClientSecretPost)
	case overlap < 0 || overlap > MaxOverlap:
		return nil, "", denial.Field("overlap", "must be between 0 and %s", MaxOverlap)
	}
	random := make([]byte, secretBytes)
	_, _ = rand.Read(random) // never fails
	secret := token.Secret(SecretPrefix + base64.RawURLEncoding.EncodeToString(random))
	hash := sha256.Sum256([]byte(secret.Reveal()))
	list := []hashed{{Hash: hash[:], Created: now}}
	for _, former := range c.Secrets.list() {
		if former.Until.IsZero() && overlap > 0 {
			former.Until = now.Add(overlap)
			list = append(list, former)
		}
	}
	changed := *c
	changed.Secrets = newSecrets(list)
	return &changed, secret, nil
}

// SecretDates are when a secret came to be, and until when it is good: zero if
// that is until it is replaced.
type SecretDates struct{ Created, Until time.Time }

// Dates returns the dates of the secrets that are alive, the current one first.
func (s Secrets) Dates(now time.Time) []SecretDates {
	var out []SecretDates
	for _, h := range s.list() {
		if h.alive(now) {
			out = append(out, SecretDates{h.Created, h.Until})
		}
	}
	return out
}

// match tells whether a secret is one of those alive. How long it takes tells
// nothing of how much of it was right, or whether there are any.
func (s Secrets) match(secret token.Secret, now time.Time) bool {
	if len(secret) > maxSecret {
		return false
	}
	hash := sha256.Sum256([]byte(secret.Reveal()))
	var found int
	for _, h := range s.list() {
		same := subtle.ConstantTimeCompare(h.Hash, hash[:])
		if h.alive(now) {
			found |= same
		}
	}
	return found == 1
}

// MarshalJSON writes a placeholder.
func (Secrets) MarshalJSON() ([]byte, error) { return json.Marshal(token.Secret("")) }

// UnmarshalJSON reads the secrets as [Stored] writes them.
func (s *Secrets) UnmarshalJSON(data []byte) error {
	var list []hashed
	if err := json.Unmarshal(data, &list); err != nil {
		return errors.New("the secrets of the client cannot be read")
	}
	if slices.ContainsFunc(list, func(h hashed) bool { return len(h.Hash) != sha256.Size }) {
		return errors.New("a secret of the client is stored as something other than a SHA-256 hash")
	}
	*s = newSecrets(list)
	return nil
}

// Stored is a configuration as storage holds it: the only form in which the
// secrets are serialised. It is read back as a [Config]. Secrets that the method
// does not use are left out, so that none comes to life again with a later change
// of the method.
type Stored struct{ *Config }

// MarshalJSON writes the configuration with its secrets.
func (s Stored) MarshalJSON() ([]byte, error) {
	var list []hashed
	if s.HasSecret() {
		list = s.Secrets.list()
	}
	return json.Marshal(struct {
		*Config
		Secrets []hashed `json:"secrets"`
	}{s.Config, list})
}
