package ratelimit_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/ratelimit"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newLimits(t testing.TB, parties int) *ratelimit.Limits {
	t.Helper()
	l, err := ratelimit.New(parties)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTake(t *testing.T) {
	l := newLimits(t, 10)
	for i, step := range []struct {
		name string
		at   time.Duration
		want time.Duration
	}{
		{"a", 0, 0},
		{"a", 0, 0},
		{"a", 0, 30 * time.Second},
		{"b", 0, 0}, // another does not notice
		{"a", 29 * time.Second, time.Second},
		{"a", 30 * time.Second, 0},
		{"a", 30 * time.Second, 30 * time.Second},
		{"a", 10 * time.Minute, 0},
		{"a", 10 * time.Minute, 0},
		{"a", 10 * time.Minute, 30 * time.Second},
	} {
		if got := l.Take(step.name, 2, start.Add(step.at)).Round(time.Millisecond); got != step.want {
			t.Errorf("step %d: %s waits %s, want %s", i, step.name, got, step.want)
		}
	}
}

func TestAnotherRateBeginsAgain(t *testing.T) {
	l := newLimits(t, 10)
	l.Take("a", 1, start)
	if l.Take("a", 1, start) == 0 {
		t.Fatal("the second was taken")
	}
	if wait := l.Take("a", 2, start); wait != 0 {
		t.Errorf("waits %s", wait)
	}
}

func TestTheOneIdleForLongestIsForgotten(t *testing.T) {
	l := newLimits(t, 2)
	for _, name := range []string{"a", "b", "a", "c"} {
		l.Take(name, 1, start)
	}
	if l.Take("a", 1, start) == 0 {
		t.Error("a was forgotten, and b was idle for longer")
	}
	if l.Take("b", 1, start) != 0 {
		t.Error("b was not forgotten")
	}
}

// Whatever is asked and when, a party gets no more than its minute's worth and what
// has come back since.
func TestNobodyGetsMoreThanTheirRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, err := ratelimit.New(8)
		if err != nil {
			t.Fatal(err)
		}
		perMinute := rapid.IntRange(1, 100).Draw(t, "rate")
		now, taken := start, 0
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond)
			if l.Take("a", perMinute, now) == 0 {
				taken++
			}
		}
		if most := float64(perMinute) + float64(perMinute)*now.Sub(start).Minutes(); float64(taken) > most+1e-6 {
			t.Fatalf("took %d in %s at %d a minute", taken, now.Sub(start), perMinute)
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	l := newLimits(t, 4)
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for i := range 8 {
		wg.Go(func() {
			for range 100 {
				l.Take(fmt.Sprint(i%3), 10, start)
				if l.Take("shared", 50, start) == 0 {
					mu.Lock()
					taken++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if taken > 50*4 { // it may be forgotten in between
		t.Errorf("took %d", taken)
	}
}
