package issuer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// How long fetched keys are used. From refreshAfter on the issuer is asked before
// they are used again; up to maxStale they serve if it does not answer within
// patience. An unknown "kid" causes one fetch per minInterval at the most.
const (
	refreshAfter = 5 * time.Minute
	minInterval  = 10 * time.Second
	maxStale     = 12 * time.Hour
	patience     = 2 * time.Second
)

// Status is what is known of an issuer's keys.
type Status struct {
	KeyIDs    []string
	Fetched   time.Time // the last success; zero if the keys are inline or none came yet
	Attempted time.Time // the last attempt
	Err       error     // of the last attempt
	Next      time.Time // when a refresh is due; zero if the keys are inline
}

// remote is a cache of keys that are fetched. One fetch runs at a time, beside one
// that an operator asks for.
type remote struct {
	fetcher *fetcher
	now     func() time.Time
	onFetch func(Fetch)
	flight  singleflight.Group

	mu        sync.Mutex
	set       keySet
	fetched   time.Time
	attempted time.Time
	fetching  bool
	err       error
}

// candidates returns the keys that may have signed a token. It asks the issuer
// first if what is cached is old or does not have the token's key, unless it was
// asked a moment ago.
func (r *remote) candidates(ctx context.Context, h token.Header) ([]publicKey, error) {
	return r.find(ctx, func(s keySet) []publicKey { return s.candidates(h) })
}

// find returns the keys that fit, whatever that means.
func (r *remote) find(ctx context.Context, fit func(keySet) []publicKey) ([]publicKey, error) {
	c := r.cached()
	known := fit(c.set)
	if c.age < refreshAfter && len(known) > 0 {
		return known, nil
	}
	if c.fetching || c.idle >= minInterval {
		c.err = r.refreshFor(ctx, c.age < maxStale && len(known) > 0)
		fresh := r.cached()
		c.set, c.age = fresh.set, fresh.age
	}
	if c.age >= maxStale {
		return nil, cmp.Or(c.err, errNoKeys)
	}
	return fit(c.set), nil
}

// held returns the same without asking anybody.
func (r *remote) held(h token.Header) ([]publicKey, error) {
	c := r.cached()
	if c.age >= maxStale {
		return nil, cmp.Or(c.err, errNoKeys)
	}
	return c.set.candidates(h), nil
}

// refreshFor fetches the keys; it waits no longer than patience if there are
// others to make do with.
func (r *remote) refreshFor(ctx context.Context, others bool) error {
	if others {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	return r.share(ctx, "due", func(ctx context.Context) error {
		// The fetch that this request saw may have ended before it got here.
		if c := r.cached(); c.idle < minInterval {
			return c.err
		}
		return r.fetch(ctx)
	})
}

var errNoKeys = errors.New("no keys yet")

// cache is what is known at one moment.
type cache struct {
	set       keySet
	age, idle time.Duration // since the last success and the last attempt; beyond any bound if never
	fetching  bool
	err       error // of the last attempt
}

func (r *remote) cached() cache {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	c := cache{set: r.set, age: maxStale, idle: minInterval, fetching: r.fetching, err: r.err}
	if !r.fetched.IsZero() {
		c.age = now.Sub(r.fetched)
	}
	if !r.attempted.IsZero() {
		c.idle = now.Sub(r.attempted)
	}
	return c
}

// refresh fetches the keys now, whether or not that is due.
func (r *remote) refresh(ctx context.Context) error { return r.share(ctx, "asked for", r.fetch) }

// share does something once for all requests that want it at the same time. It
// does not end with the request that began it: others wait for it too.
func (r *remote) share(ctx context.Context, what string, do func(context.Context) error) error {
	done := r.flight.DoChan(what, func() (_ any, err error) {
		// A panic in this goroutine would end the process, and with it every
		// mount that it serves.
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic while fetching keys: %T", p)
				r.mu.Lock()
				r.fetching, r.err = false, err
				r.mu.Unlock()
			}
		}()
		return nil, do(context.WithoutCancel(ctx))
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
	r.attempted, r.fetching = r.now(), true
	r.mu.Unlock()

	set, err := r.fetcher.fetch(ctx)

	r.mu.Lock()
	turned := (r.err == nil) != (err == nil)
	r.err, r.fetching = err, false
	if err == nil {
		r.set, r.fetched = set, r.now()
	}
	r.mu.Unlock()
	r.onFetch(Fetch{Err: err, Turned: turned})
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
