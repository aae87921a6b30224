package revocation_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/revocation"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

var now = time.Unix(1_800_000_000, 0)

func TestDead(t *testing.T) {
	var set revocation.Set
	set.Add(revocation.Token("a", now.Add(time.Minute)))
	for _, c := range []struct {
		name      string
		jti       string
		ancestors []string
		dead      bool
	}{
		{"the token itself", "a", nil, true},
		{"its child", "b", []string{"a"}, true},
		{"its grandchild", "c", []string{"ext:x", "a", "b"}, true},
		{"another token", "b", nil, false},
		{"its parent", "p", []string{"ext:x"}, false},
	} {
		if got := set.Dead(c.jti, token.Lineage{Ancestors: c.ancestors}, now); got != c.dead {
			t.Errorf("%s: dead is %v", c.name, got)
		}
	}
	// A clock that runs behind when the token is revoked does not revive it.
	if !set.Dead("a", token.Lineage{}, now.Add(time.Minute)) {
		t.Error("alive at the end of its life")
	}
}

// RV-7: an entry is kept until nothing that it covers can be alive, and then
// forgotten.
func TestExpired(t *testing.T) {
	var set revocation.Set
	expires := now.Add(time.Minute)
	for _, id := range []string{"a", "b", "c"} {
		set.Add(revocation.Token(id, expires))
	}
	if got := set.Expired(expires.Add(5*time.Minute), 10); len(got) != 0 {
		t.Errorf("forgotten early: %v", got)
	}
	if got := set.Expired(expires.Add(5*time.Minute+1), 2); len(got) != 2 {
		t.Errorf("got %v, want a batch of two", got)
	}
	set.Remove(revocation.ByID("a"))
	got := set.Expired(expires.Add(time.Hour), 10)
	slices.Sort(got)
	if !slices.Equal(got, []revocation.Selector{"jti:b", "jti:c"}) || set.Len() != 2 {
		t.Errorf("left: %v", got)
	}
}

// Adding again never shortens a revocation.
func TestLaterWatermarkWins(t *testing.T) {
	var set revocation.Set
	set.Add(revocation.Token("a", now.Add(time.Hour)))
	set.Add(revocation.Token("a", now))
	if !set.Dead("a", token.Lineage{}, now.Add(time.Hour)) || len(set.Expired(now.Add(30*time.Minute), 1)) != 0 {
		t.Error("a second revocation shortened the first")
	}
}

func TestConcurrentUse(*testing.T) {
	var set revocation.Set
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 200 {
				set.Add(revocation.Token("a", now))
				_ = set.Dead("a", token.Lineage{Ancestors: []string{"b"}}, now)
				_ = set.Expired(now, 1)
				set.Remove("jti:a")
			}
		})
	}
	group.Wait()
}
