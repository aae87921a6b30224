package issuer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// How long fetched keys are used. A token is never answered from keys older
// than maxStale; an unknown "kid" causes one fetch per minInterval at the most.
const (
	refreshAfter = 5 * time.Minute
	minInterval  = 10 * time.Second
	maxStale     = 12 * time.Hour
)

// Status is what is known of an issuer's keys.
type Status struct {
	KeyIDs    []string
	Fetched   time.Time // the last success; zero if the keys are inline or none came yet
	Attempted time.Time // the last attempt
	Err       error     // of the last attempt
	Next      time.Time // when a refresh is due; zero if the keys are inline
}

// remote is a cache of keys that are fetched. One fetch runs at a time.
type remote struct {
	fetcher *fetcher
	now     func() time.Time
	onFetch func(error)
	flight  singleflight.Group

	mu        sync.Mutex
	set       keySet
	fetched   time.Time
	attempted time.Time
	err       error
}

// candidates returns the keys that may have signed a token. It asks the issuer
// if nothing usable is cached, and in the background if what is cached ages.
func (r *remote) candidates(ctx context.Context, h token.Header) ([]publicKey, error) {
	set, age, idle := r.cached()
	known := set.candidates(h)
	switch {
	case age < refreshAfter && len(known) > 0:
		return known, nil
	case age < maxStale && len(known) > 0:
		if idle >= minInterval {
			go func() { _ = r.refresh(context.WithoutCancel(ctx)) }()
		}
		return known, nil
	case idle < minInterval:
		return nil, r.outage(age)
	}
	if err := r.refresh(ctx); err != nil && age >= maxStale {
		return nil, err
	}
	set, _, _ = r.cached()
	return set.candidates(h), nil
}

// cached returns the keys, their age and the time since the last attempt. Keys
// that never came are older than any bound.
func (r *remote) cached() (set keySet, age, idle time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	age, idle = maxStale, minInterval
	if !r.fetched.IsZero() {
		age = now.Sub(r.fetched)
	}
	if !r.attempted.IsZero() {
		idle = now.Sub(r.attempted)
	}
	return r.set, age, idle
}

// outage tells why there are no keys at all, when it is too early to ask again:
// nil if there are and none of them is the token's, which is the token's fault.
func (r *remote) outage(age time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if age < maxStale {
		return nil
	}
	if r.err == nil {
		return errors.New("the first fetch is under way")
	}
	return r.err
}

// refresh fetches the keys, or waits for the fetch that is under way. The fetch
// does not end with the request that began it: others wait for it too.
func (r *remote) refresh(ctx context.Context) error {
	done := r.flight.DoChan("", func() (_ any, err error) {
		// A panic in this goroutine would end the process, and with it every
		// mount that it serves.
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic while fetching keys: %v", p)
			}
		}()
		return nil, r.fetch(context.WithoutCancel(ctx))
	})
	select {
	case result := <-done:
		return result.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *remote) fetch(ctx context.Context) error {
	r.mu.Lock()
	r.attempted = r.now()
	r.mu.Unlock()

	set, err := r.fetcher.fetch(ctx)

	r.mu.Lock()
	r.err = err
	if err == nil {
		r.set, r.fetched = set, r.now()
	}
	r.mu.Unlock()
	r.onFetch(err)
	return err
}

func (r *remote) status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Status{KeyIDs: r.set.ids(), Fetched: r.fetched, Attempted: r.attempted, Err: r.err}
	switch {
	case r.err != nil:
		s.Next = r.attempted.Add(minInterval)
	case !r.fetched.IsZero():
		s.Next = r.fetched.Add(refreshAfter)
	}
	return s
}
