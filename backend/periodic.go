package backend

import (
	"context"
	"maps"
	"slices"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/revocation"
)

// tidyBatch bounds one run: Vault cannot seal or step down while it lasts.
const tidyBatch = 500

// periodic drops what has expired. Vault calls it about once a minute, on the
// active node only.
func (b *backend) periodic(ctx context.Context, req *logical.Request) error {
	if _, err := b.state(ctx, req.Storage); err != nil {
		return err
	}
	for _, selector := range b.revocations.Expired(b.now(), tidyBatch) {
		if err := b.forget(ctx, req.Storage, selector); err != nil {
			return err
		}
	}
	return b.pruneKeys(ctx, req.Storage)
}

func (b *backend) forget(ctx context.Context, storage logical.Storage, selector revocation.Selector) error {
	if err := remove(revocationPrefix+string(selector)).apply(ctx, storage); err != nil {
		return err
	}
	b.revocations.Remove(selector)
	return nil
}

// pruneKeys drops the versions of keys that are published no more.
func (b *backend) pruneKeys(ctx context.Context, storage logical.Storage) error {
	return b.update(ctx, storage, func(s *exchange.Snapshot) ([]change, error) {
		var changes []change
		for _, name := range slices.Sorted(maps.Keys(s.Keys)) {
			pruned := s.Keys[name].Prune(b.now())
			if len(pruned.Versions) == len(s.Keys[name].Versions) {
				continue
			}
			s.Keys[name] = pruned
			c, err := putKey(pruned)
			if err != nil {
				return nil, err
			}
			changes = append(changes, c)
		}
		return changes, nil
	})
}
