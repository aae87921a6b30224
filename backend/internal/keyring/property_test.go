package keyring_test

import (
	"crypto"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"pgregory.net/rapid"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
)

// schedule is a key in the course of time, with what became of it so far.
type schedule struct {
	key     *keyring.Key
	now     time.Time
	tokens  []signed
	fetches []fetch

	before  *keyring.Key // the last rotation, and when that was
	rotated time.Time
}

// fetch is a JWKS that a consumer keeps.
type fetch struct {
	set jose.JSONWebKeySet
	at  time.Time
}

func minutes(least, most int) *rapid.Generator[time.Duration] {
	return rapid.Map(rapid.IntRange(least, most), func(n int) time.Duration { return time.Duration(n) * time.Minute })
}

// A token that lives no longer than its version's verification period can be
// verified until it expires, also if an exchange under way signs it just after
// a rotation: with the JWKS of that time, and with any that was fetched since its
// key was published. And whoever cached the JWKS for no longer than the
// publication lead knows a version when it begins to sign.
func TestTokenNeverOutlivesItsKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &schedule{now: start}
		s.key = must(keyring.Generate(keyring.Key{
			Name: "main", Algorithm: jose.EdDSA,
			PublicationLead: minutes(0, 120).Draw(t, "lead"), VerificationPeriod: minutes(1, 240).Draw(t, "verification"),
		}, s.now, s.now))
		t.Repeat(map[string]func(*rapid.T){
			"advance":   func(t *rapid.T) { s.now = s.now.Add(minutes(1, 90).Draw(t, "by")) },
			"configure": s.configure,
			"fetch":     func(*rapid.T) { s.fetches = append(s.fetches, fetch{published(s.key, s.now), s.now}) },
			"prune":     func(*rapid.T) { s.key = s.key.Prune(s.now) },
			"rotate":    s.rotate,
			"turn": func(t *rapid.T) {
				if s.key.Due(s.now) {
					s.rotate(t)
				}
			},
			"sign": func(t *rapid.T) { s.sign(t, s.key) },
			"sign with what was read before the rotation": func(t *rapid.T) {
				if s.before != nil && s.now.Sub(s.rotated) <= keyring.InFlight {
					s.sign(t, s.before)
				}
			},
			"": s.check,
		})
	})
}

func (s *schedule) configure(t *rapid.T) {
	s.key = s.key.Configure(minutes(0, 300).Draw(t, "rotation"), minutes(0, 120).Draw(t, "lead"), minutes(1, 240).Draw(t, "verification"))
}

func (s *schedule) sign(t *rapid.T, key *keyring.Key) {
	life := key.Active().LastVerifiable(s.now).Sub(s.now)
	if rapid.Bool().Draw(t, "shorter") {
		life = minutes(1, int(life/time.Minute)).Draw(t, "life")
	}
	made := sign(key, s.now, life)
	if err := made.verify(published(s.key, s.now)); err != nil {
		t.Fatalf("a token of %s does not verify at once: %v", s.now, err)
	}
	s.tokens = append(s.tokens, made)
}

func (s *schedule) rotate(t *rapid.T) {
	rotated, err := s.key.Rotate(s.now)
	if early := s.now.Before(s.key.Next().Ready); early != (err != nil) {
		t.Fatalf("rotated before the successor is ready: %t, error: %v", early, err)
	}
	if err != nil {
		return
	}
	oldest := s.now.Add(-s.key.PublicationLead)
	for _, f := range s.fetches {
		if f.at.After(oldest) && len(f.set.Key(rotated.Active().KeyID)) != 1 {
			t.Fatalf("the JWKS fetched at %s lacks the version that signs from %s on, with lead %s", f.at, s.now, s.key.PublicationLead)
		}
	}
	s.before, s.rotated, s.key = s.key, s.now, rotated
}

func (s *schedule) check(t *rapid.T) {
	s.tokens = slices.DeleteFunc(s.tokens, func(made signed) bool { return !s.now.Before(made.expires) })
	fetches := append(slices.Clip(s.fetches), fetch{published(s.key, s.now), s.now})
	for _, made := range s.tokens {
		for i, f := range fetches {
			// A fetch of the very instant may have been before the publication.
			if last := i == len(fetches)-1; !last && !f.at.After(made.keyPublished) {
				continue
			}
			if !made.key.Equal(keyOf(f.set, made.keyID)) {
				t.Fatalf("at %s the JWKS of %s lacks the key of a token of %s that lives until %s", s.now, f.at, made.at, made.expires)
			}
		}
	}
}

// keyOf is the public key that a JWKS has under an id; nil if it has none.
func keyOf(set jose.JSONWebKeySet, id string) crypto.PublicKey {
	if keys := set.Key(id); len(keys) == 1 {
		return keys[0].Key
	}
	return nil
}
