package backend

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// records are those of opaque tokens, in the storage of one request. None is held
// in memory: a mount may have a million.
type records struct{ storage logical.Storage }

// Put writes one entry: the only write that an exchange can cost.
func (r records) Put(ctx context.Context, place string, claims []byte) error {
	c, err := put(recordPrefix+place, json.RawMessage(claims))
	if err != nil {
		return err
	}
	return c.apply(ctx, r.storage)
}

func (r records) Get(ctx context.Context, place string) ([]byte, error) {
	claims, _, err := get[json.RawMessage](ctx, r.storage, recordPrefix+place)
	return claims, err
}

// tidyRecords deletes the records of tokens that have expired.
func (b *backend) tidyRecords(ctx context.Context, storage logical.Storage) error {
	end := func(period string) (time.Time, bool) {
		end, ok := token.PeriodEnd(period)
		return end.Add(recordSlack), ok
	}
	return b.tidyPeriods(ctx, storage, recordPrefix, end, b.metrics.tidied.Inc)
}
