package dpop_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/dpop"
)

const (
	usedBefore = "invalid_dpop_proof: jti: was used before: every request needs a proof of its own"
	noRoom     = "temporarily_unavailable: replay: too many proofs in the last minute: try again later"
)

func proof(id int) dpop.Proof {
	return dpop.Proof{Thumbprint: rfcThumbprint, ID: fmt.Sprint(id), IssuedAt: now}
}

// DP-4: what makes two proofs the same one.
func TestReplay(t *testing.T) {
	other := dpop.CertificateThumbprint(nil)
	for _, c := range []struct {
		name   string
		change func(*dpop.Proof)
		client string
		after  time.Duration
		text   string
	}{
		{"the same", func(*dpop.Proof) {}, "shop", 0, usedBefore},
		{"the same at its last moment", func(*dpop.Proof) {}, "shop", time.Minute, usedBefore},
		{"the same by another client", func(*dpop.Proof) {}, "other", 0, usedBefore},
		{"the same jti, signed anew", func(p *dpop.Proof) { p.IssuedAt = now.Add(30 * time.Second) }, "shop", 30 * time.Second, usedBefore},
		{"another jti", func(p *dpop.Proof) { p.ID = "2" }, "shop", 0, ""},
		{"another key", func(p *dpop.Proof) { p.Thumbprint = other }, "other", 0, ""},
		{"the same jti, long after", func(p *dpop.Proof) { p.IssuedAt = now.Add(time.Hour) }, "shop", time.Hour, ""},
		{"too old", func(p *dpop.Proof) { p.ID = "2" }, "shop", time.Minute + time.Millisecond, "invalid_dpop_proof: iat: is too old"},
		{
			"too far ahead to remember", func(p *dpop.Proof) { p.ID, p.IssuedAt = "2", now.Add(5001*time.Millisecond) }, "shop", 0,
			"invalid_dpop_proof: iat: is too far ahead",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := dpop.NewReplay(100)
			if err := r.Use(proof(1), "shop", now); err != nil {
				t.Fatal(err)
			}
			p := proof(1)
			c.change(&p)
			err := r.Use(p, c.client, now.Add(c.after))
			if c.text == "" && err != nil || c.text != "" && (err == nil || err.Error() != c.text) {
				t.Errorf("got %v, want %s", err, c.text)
			}
		})
	}
}

// Time does not go back: a proof that was forgotten is too old, whatever the clock
// says after that.
func TestReplayAfterTheClockWasSetBack(t *testing.T) {
	r := dpop.NewReplay(100)
	later := proof(2)
	later.IssuedAt = now.Add(2 * time.Minute)
	for _, c := range []struct {
		p    dpop.Proof
		at   time.Time
		text string
	}{
		{proof(1), now, ""},
		{later, now.Add(2 * time.Minute), ""}, // proof 1 is forgotten
		{proof(1), now, "invalid_dpop_proof: iat: is too old"},
		{later, now.Add(2 * time.Minute), usedBefore},
	} {
		if err := r.Use(c.p, "shop", c.at); (err == nil) != (c.text == "") || err != nil && err.Error() != c.text {
			t.Errorf("proof %s: got %v, want %s", c.p.ID, err, c.text)
		}
	}
}

// When there is no room it refuses: no client takes all, and nothing is forgotten
// to make room.
func TestReplayRoom(t *testing.T) {
	const capacity = 64
	r := dpop.NewReplay(capacity)
	next := 0
	fill := func(client string, at time.Time) (accepted int) {
		for range capacity {
			next++
			p := proof(next)
			p.IssuedAt = at
			err := r.Use(p, client, at)
			if err != nil {
				wantRefused(t, err, "replay", noRoom)
				return accepted
			}
			accepted++
		}
		return accepted
	}
	if got := fill("a", now); got != 32 {
		t.Errorf("the first client got %d", got)
	}
	if got := fill("b", now); got != 16 {
		t.Errorf("the second client got %d", got)
	}
	if got := fill("c", now); got != 8 {
		t.Errorf("the third client got %d", got)
	}
	for id := 1; id <= 32; id++ {
		if err := r.Use(proof(id), "d", now); err == nil || err.Error() != usedBefore {
			t.Errorf("proof %d was forgotten: %v", id, err)
		}
	}
	// Later on all have room again.
	if got := fill("a", now.Add(2*time.Minute)); got != 32 {
		t.Errorf("later the first client got %d", got)
	}
}

func TestReplayWithoutRoom(t *testing.T) {
	wantRefused(t, dpop.NewReplay(0).Use(proof(1), "shop", now), "replay", noRoom)
}

// Of many requests with one proof one gets through.
func TestReplayIsConcurrent(t *testing.T) {
	r := dpop.NewReplay(1 << 16)
	var accepted [50]atomic.Int32
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range accepted {
				id := (i + g) % len(accepted)
				if r.Use(proof(id), "shop", now.Add(time.Duration(g)*time.Second)) == nil {
					accepted[id].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for id := range accepted {
		if n := accepted[id].Load(); n != 1 {
			t.Errorf("proof %d was accepted %d times", id, n)
		}
	}
}

// Against a model that remembers all: a proof that can be used, by its date, is
// accepted if there is room and key and jti were never used, and refused if there
// is none or they were used in the last 65 seconds.
func TestReplayAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const capacity = 12
		r := dpop.NewReplay(capacity)
		type record struct {
			at     time.Time
			client string
		}
		last := map[string]record{}
		clock := now
		t.Repeat(map[string]func(*rapid.T){
			"advance": func(t *rapid.T) {
				clock = clock.Add(time.Duration(rapid.IntRange(1, 40_000).Draw(t, "ms")) * time.Millisecond)
			},
			"use": func(t *rapid.T) {
				p := dpop.Proof{
					Thumbprint: rapid.SampledFrom([]string{rfcThumbprint, dpop.CertificateThumbprint(nil)}).Draw(t, "key"),
					ID:         fmt.Sprint(rapid.IntRange(1, 40).Draw(t, "jti")),
					IssuedAt:   clock.Add(time.Duration(rapid.IntRange(-60_000, 5_000).Draw(t, "iat")) * time.Millisecond),
				}
				client := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "client")
				remembered, held, mine := 0, false, 0
				for id, rec := range last {
					if clock.Sub(rec.at) <= 65*time.Second {
						remembered++
						held = held || id == p.Thumbprint+p.ID
						if rec.client == client {
							mine++
						}
					}
				}
				_, known := last[p.Thumbprint+p.ID]
				err := r.Use(p, client, clock)
				switch {
				case err == nil && held:
					t.Fatalf("accepted %s again", p.ID)
				case err == nil && mine >= capacity-remembered:
					t.Fatalf("accepted without room: %d of %d", mine, remembered)
				case err != nil && !known && mine < capacity-remembered:
					t.Fatalf("refused %s: %v, with %d remembered and %d of the client's", p.ID, err, remembered, mine)
				}
				if err == nil {
					last[p.Thumbprint+p.ID] = record{clock, client}
				}
			},
		})
	})
}
