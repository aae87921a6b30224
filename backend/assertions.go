package backend

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// assertions are the client assertions that were used and might come again. Each is
// in storage too, so that none is taken twice, whichever node is active. It costs one
// small write for each. Its place tells all that there is to know: the period in
// which it ends, and a hash of what identifies it. So they are loaded by listing
// what has not ended, and no content can be unreadable.
type assertions struct {
	mu     sync.Mutex
	loaded bool
	used   map[string]time.Time // until when, by place
}

// assertionPeriod is how many assertions end together: those of five minutes.
const assertionPeriod = 5 * time.Minute

// assertionPlace is where an assertion is stored that may be used until then.
func assertionPlace(key string, until time.Time) string {
	sum := sha256.Sum256([]byte(key))
	return strconv.FormatInt(until.Unix()/int64(assertionPeriod/time.Second), 10) + "/" + hex.EncodeToString(sum[:])
}

// assertionEnd is when the last assertion of a period cannot be used any more, on
// any node: another's clock may run behind.
func assertionEnd(period string) (time.Time, bool) {
	n, err := strconv.ParseInt(period, 10, 64)
	return time.Unix(0, 0).Add(time.Duration(n+1) * assertionPeriod).Add(recordSlack), err == nil
}

// use notes an assertion, and tells whether it is new. The limit is asked of new ones
// alone: else whoever has seen one could use up what the client may ask for.
func (a *assertions) use(ctx context.Context, storage logical.Storage, place string, now time.Time, limit func() error) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.load(ctx, storage, now); err != nil {
		return false, cannotRemember(err)
	}
	if _, used := a.used[place]; used {
		return false, nil
	}
	if err := limit(); err != nil {
		return false, err
	}
	period, _, _ := strings.Cut(place, "/")
	a.used[place], _ = assertionEnd(period)
	return true, nil
}

// load lists what was used before this process began, or by another node. What is
// known already stays: it may be on its way to storage. The caller holds mu.
func (a *assertions) load(ctx context.Context, storage logical.Storage, now time.Time) error {
	if a.loaded {
		return nil
	}
	used := map[string]time.Time{}
	maps.Copy(used, a.used)
	periods, err := storage.List(ctx, assertionPrefix)
	if err != nil {
		return err
	}
	for _, name := range periods {
		end, ok := assertionEnd(strings.TrimSuffix(name, "/"))
		if !ok || !now.Before(end) {
			continue
		}
		places, err := storage.List(ctx, assertionPrefix+name)
		if err != nil {
			return err
		}
		for _, place := range places {
			used[name+place] = end
		}
	}
	a.used, a.loaded = used, true
	return nil
}

// forget makes the next use look at storage, where another node has written.
func (a *assertions) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.loaded = false
}

// prune drops from memory what cannot be used any more.
func (a *assertions) prune(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for place, end := range a.used {
		if !now.Before(end) {
			delete(a.used, place)
		}
	}
}

// tidyAssertions deletes those that have ended.
func (b *backend) tidyAssertions(ctx context.Context, storage logical.Storage) error {
	b.assertions.prune(b.now())
	return b.tidyPeriods(ctx, storage, assertionPrefix, assertionEnd, func() {})
}

// replay is what one request's assertion is held against.
type replay struct {
	*backend
	storage logical.Storage
	// limit is asked before anything is written: who is proven to be the client may
	// still come too often.
	limit func() error
}

// Use implements [client.Replay]. An assertion that could not be stored counts as
// used all the same: who sent it makes another.
func (r *replay) Use(ctx context.Context, key string, until time.Time) (bool, error) {
	place := assertionPlace(key, until)
	fresh, err := r.assertions.use(ctx, r.storage, place, r.now(), r.limit)
	if !fresh || err != nil {
		return false, err
	}
	c, err := put(assertionPrefix+place, struct{}{})
	if err == nil {
		err = c.apply(ctx, r.storage)
	}
	return true, cannotRemember(err)
}

// cannotRemember is the refusal for a failure of storage; nil for none. A node that may
// not write says so, and Vault sends the request to one that may.
func cannotRemember(err error) error {
	if err == nil || errors.Is(err, logical.ErrReadOnly) {
		return err
	}
	return denial.New(denial.TemporarilyUnavailable, denial.Client, "client_assertion", "it cannot be remembered now that it was used").Because(err)
}
