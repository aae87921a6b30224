package backend

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
)

// state returns the snapshot. It reads storage only if nothing is loaded yet.
func (b *backend) state(ctx context.Context, storage logical.Storage) (*exchange.Snapshot, error) {
	if s := b.snapshot.Load(); s != nil {
		return s, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.load(ctx, storage)
}

// loadTimeout bounds the loading of what is stored.
const loadTimeout = 5 * time.Minute

// load reads the revocations and the snapshot. The caller holds mu. It does not
// stop when the request that began it is given up, else a load that takes longer
// than any client waits would never end.
func (b *backend) load(ctx context.Context, storage logical.Storage) (*exchange.Snapshot, error) {
	if s := b.snapshot.Load(); s != nil {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
	defer cancel()
	if !b.revocationsLoaded {
		if err := b.loadRevocations(ctx, storage); err != nil {
			return nil, err
		}
		b.revocationsLoaded = true
	}
	s, err := b.loadSnapshot(ctx, storage)
	if err != nil {
		return nil, err
	}
	b.publish(s)
	return s, nil
}

// publish makes a snapshot the one that requests see. The caller holds mu.
func (b *backend) publish(s *exchange.Snapshot) {
	b.issuers, b.clients = s.Issuers, s.Clients
	b.snapshot.Store(s)
}

// update changes the configuration of the mount. The edit works on a copy, may
// refuse, and returns what to write; readers see the copy once all of it is
// written. If a write fails, what is in storage is the truth and is read again.
func (b *backend) update(ctx context.Context, storage logical.Storage, edit func(s *exchange.Snapshot) ([]change, error)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, err := b.load(ctx, storage)
	if err != nil {
		return err
	}
	after := before.Clone()
	changes, err := edit(after)
	if err != nil {
		return err
	}
	released, err := b.releaseKeys(before, after)
	if err != nil {
		return err
	}
	changes = append(released, changes...)
	if err := checkReadable(before.Unreadable, changes); err != nil {
		return err
	}
	for _, c := range changes {
		if err := c.apply(ctx, storage); err != nil {
			b.snapshot.Store(nil)
			return err
		}
	}
	b.publish(after)
	if len(before.Unreadable) > 0 && len(changes) > 0 {
		b.snapshot.Store(nil) // what is left of them, the next load finds out
	}
	return nil
}

// checkReadable refuses to write while entries cannot be read: nobody knows what they
// restrict. But such an entry may be removed, and what takes back tokens does not wait.
func checkReadable(entries []string, changes []change) error {
	harmless := func(c change) bool { return c.urgent || c.entry == nil && slices.Contains(entries, c.path) }
	if len(entries) == 0 || !slices.ContainsFunc(changes, func(c change) bool { return !harmless(c) }) {
		return nil
	}
	return denial.New(denial.InvalidRequest, denial.Configuration, "storage",
		"nothing can be written while entries cannot be read: see the log, and restore or delete %s", strings.Join(entries, ", "))
}

// releaseKeys notes in each key that a role lets go of until when a token may
// need it. It is written before the role is: a crash in between keeps a key for
// longer, never for less.
func (b *backend) releaseKeys(before, after *exchange.Snapshot) ([]change, error) {
	var changes []change
	for _, name := range slices.Sorted(maps.Keys(before.Roles)) {
		keyName := before.KeyOf(before.Roles[name])
		if r := after.Roles[name]; r != nil && after.KeyOf(r) == keyName {
			continue
		}
		key := after.Keys[keyName]
		if key == nil {
			continue
		}
		after.Keys[keyName] = key.Release(b.now())
		c, err := putKey(after.Keys[keyName])
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// newIssuer makes an issuer; it goes on with the keys that its earlier form has
// fetched. The caller holds mu.
func (b *backend) newIssuer(c *issuer.Config) (*issuer.Issuer, error) {
	made, err := issuer.New(c, issuer.Options{Now: b.now, OnFetch: b.noteFetch})
	if err != nil {
		return nil, err
	}
	made.Adopt(b.issuers[c.Name])
	return made, nil
}

// noteFetch records a fetch of an issuer's keys, or a question about a token. An outage is logged when it
// begins and when it ends; how the last fetch went, the issuer's status tells.
func (b *backend) noteFetch(name string, f issuer.Fetch) {
	b.metrics.fetched(name, f.Err)
	fails, works := "cannot fetch the keys of an issuer", "the keys of an issuer can be fetched again"
	if f.Introspection {
		fails, works = "cannot ask an issuer about tokens", "an issuer can be asked about tokens again"
	}
	switch {
	case f.Turned && f.Err != nil:
		b.Logger().Warn(fails, "issuer", name, "error", f.Err)
	case f.Turned:
		b.Logger().Info(works, "issuer", name)
	}
}

// newSecret makes the key of the pseudonyms in "lineage".
func newSecret() []byte {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails: it ends the process instead
	return secret
}

// mountTTL caches the mount's max TTL, which takes a call to Vault.
type mountTTL struct {
	now    func() time.Time
	mu     sync.Mutex
	value  time.Duration
	expiry time.Time
}

// mountTTLAge is how long a change of the mount's tuning may go unnoticed.
const mountTTLAge = 30 * time.Second

func (m *mountTTL) get(system logical.SystemView) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.now(); now.After(m.expiry) {
		m.value, m.expiry = system.MaxLeaseTTL(), now.Add(mountTTLAge)
	}
	return m.value
}
