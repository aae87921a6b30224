package backend

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"golang.org/x/sync/errgroup"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/revocation"
)

// Bounds of one run: Vault cannot seal or step down while it lasts.
const (
	tidyTime  = 10 * time.Second
	tidyBatch = 100
	// maxTidied is of one period, so that none keeps the others waiting.
	maxTidied = 10_000
	// tidyAtATime deletions are under way at the same time: one waits for a disk.
	tidyAtATime = 16
	// recordSlack keeps a record a little longer: another node's clock may run behind.
	recordSlack = 5 * time.Minute
)

// periodic drops what has expired. Vault calls it about once a minute; on Vault
// Enterprise also at nodes that may not write.
func (b *backend) periodic(ctx context.Context, req *logical.Request) error {
	if !b.WriteSafeReplicationState() {
		b.forgetExpired()
		return nil
	}
	if _, err := b.state(ctx, req.Storage); err != nil {
		return err
	}
	if err := b.tidyRevocations(ctx, req.Storage); err != nil {
		return err
	}
	if err := b.tidyAssertions(ctx, req.Storage); err != nil {
		return err
	}
	// Neither keeps the other waiting: keys are not turned while entries cannot be read.
	return errors.Join(b.turnKeys(ctx, req.Storage), b.tidyRecords(ctx, req.Storage))
}

// forgetExpired drops from memory what the node that writes drops from storage.
func (b *backend) forgetExpired() {
	for _, selector := range b.revocations.Expired(b.now(), math.MaxInt) {
		b.revocations.Remove(selector)
	}
	b.assertions.prune(b.now())
}

func (b *backend) tidyRevocations(ctx context.Context, storage logical.Storage) error {
	ctx, cancel := context.WithTimeout(ctx, tidyTime)
	defer cancel()
	for ctx.Err() == nil {
		expired := b.revocations.Expired(b.now(), tidyBatch)
		if len(expired) == 0 {
			break
		}
		for _, selector := range expired {
			if err := b.forget(ctx, storage, selector); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
	return nil // what is left is for the next run
}

func (b *backend) forget(ctx context.Context, storage logical.Storage, selector revocation.Selector) error {
	if err := remove(revocationPrefix+string(selector)).apply(ctx, storage); err != nil {
		return err
	}
	b.revocations.Remove(selector)
	return nil
}

// turnKeys rotates the keys that are due, and drops the versions that are
// published no more.
func (b *backend) turnKeys(ctx context.Context, storage logical.Storage) error {
	s, err := b.state(ctx, storage)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.Keys)) {
		if k := s.Keys[name]; !k.Due(b.now()) && len(k.Prune(b.now()).Versions) == len(k.Versions) {
			continue
		}
		if err := b.turnKey(ctx, storage, name); err != nil {
			return err
		}
	}
	return nil
}

// turnKey logs a rotation once it is in storage.
func (b *backend) turnKey(ctx context.Context, storage logical.Storage, name string) error {
	var before, after *keyring.Key
	err := b.update(ctx, storage, func(s *exchange.Snapshot) (changes []change, err error) {
		if before = s.Keys[name]; before == nil {
			return nil, nil // it was deleted since
		}
		if after, err = turned(before, b.now()); after == nil || err != nil {
			return nil, err
		}
		s.Keys[name] = after
		c, err := putKey(after)
		return []change{c}, err
	})
	if err == nil && after != nil && after.Active().KeyID != before.Active().KeyID {
		b.Logger().Info("key rotated", "key", name, "kid", after.Active().KeyID)
	}
	return err
}

// turned returns the key as it should be now; nil if that is as it is.
func turned(k *keyring.Key, now time.Time) (*keyring.Key, error) {
	if k.Due(now) {
		return k.Rotate(now)
	}
	if pruned := k.Prune(now); len(pruned.Versions) < len(k.Versions) {
		return pruned, nil
	}
	return nil, nil
}

// tidyPeriods deletes what has ended. It lies in storage by the period in which it
// ends, so that nothing need be read, and what is alive need not even be listed.
func (b *backend) tidyPeriods(ctx context.Context, storage logical.Storage, prefix string, end func(period string) (time.Time, bool), gone func()) error {
	ctx, cancel := context.WithTimeout(ctx, tidyTime)
	defer cancel()
	periods, err := storage.List(ctx, prefix)
	if err != nil {
		return err
	}
	for _, period := range periods {
		ended, ok := end(strings.TrimSuffix(period, "/"))
		if !ok || b.now().Before(ended) {
			continue
		}
		if err := tidyPeriod(ctx, storage, prefix+period, gone); err != nil {
			if ctx.Err() != nil {
				return nil // what is left is for the next run
			}
			return err
		}
	}
	return nil
}

func tidyPeriod(ctx context.Context, storage logical.Storage, prefix string, gone func()) error {
	names, err := storage.List(ctx, prefix)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(tidyAtATime)
	for _, name := range names[:min(len(names), maxTidied)] {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := remove(prefix+name).apply(ctx, storage); err != nil {
				return err
			}
			gone()
			return nil
		})
	}
	return group.Wait()
}
