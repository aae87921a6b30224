// Package revocation knows which tokens were taken back.
//
// A revocation is a selector and a watermark: a token is dead if one of its
// selectors has a watermark at or after its "iat". Tokens that we are asked
// about and tokens presented to us take the same look-ups.
package revocation

import (
	"slices"
	"sync"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Selector names what a revocation covers.
type Selector string

// ByID selects the token with a "jti", and every token exchanged from it.
func ByID(jti string) Selector { return Selector("jti:" + jti) }

// Entry is one revocation.
type Entry struct {
	Selector  Selector
	Watermark time.Time // tokens issued at or before it are dead
	Expires   time.Time // nothing that it covers can be alive after it
}

// clockSlack is how much longer than needed an entry is kept: another node's
// clock may run behind.
const clockSlack = 5 * time.Minute

// Token revokes one token and its descendants. Neither can be issued after the
// token's own expiry, so that is the watermark, whatever the clocks say.
func Token(jti string, expires time.Time) Entry {
	return Entry{Selector: ByID(jti), Watermark: expires, Expires: expires.Add(clockSlack)}
}

// Set is all revocations in force. The zero value is an empty set; it may be
// used concurrently.
type Set struct {
	mu      sync.RWMutex
	entries map[Selector]Entry
}

// Add puts a revocation in force. A later watermark or expiry wins.
func (s *Set) Add(e Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries == nil {
		s.entries = map[Selector]Entry{}
	}
	if old, ok := s.entries[e.Selector]; ok {
		if old.Watermark.After(e.Watermark) {
			e.Watermark = old.Watermark
		}
		if old.Expires.After(e.Expires) {
			e.Expires = old.Expires
		}
	}
	s.entries[e.Selector] = e
}

// Remove forgets a revocation that covers nothing any more.
func (s *Set) Remove(sel Selector) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, sel)
}

// Dead tells whether a token of ours was taken back: itself, an ancestor, or a
// token by which somebody came to act.
func (s *Set) Dead(jti string, lineage token.Lineage, issued time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.covers(ByID(jti), issued) {
		return true
	}
	dead := func(id string) bool { return s.covers(ByID(id), issued) }
	return slices.ContainsFunc(lineage.Ancestors, dead) || slices.ContainsFunc(lineage.Actors, dead)
}

func (s *Set) covers(sel Selector, issued time.Time) bool {
	e, ok := s.entries[sel]
	return ok && !e.Watermark.Before(issued)
}

// Expired returns up to limit revocations that cover nothing any more.
func (s *Set) Expired(now time.Time, limit int) []Selector {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []Selector
	for sel, e := range s.entries {
		if len(out) == limit {
			break
		}
		if now.After(e.Expires) {
			out = append(out, sel)
		}
	}
	return out
}

// Len returns how many revocations are in force.
func (s *Set) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.entries)
}
