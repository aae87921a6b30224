package backend

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
)

// errInternal is all that a caller learns of a failure that is not theirs.
var errInternal = errors.New("internal error: see the log of the Vault server")

// handler answers one operation from the snapshot.
type handler func(ctx context.Context, req *logical.Request, d *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error)

// with makes a handler an operation: it gives it the snapshot, and maps its
// error, the only place where that is done.
func (b *backend) with(h handler) framework.OperationFunc {
	return func(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
		s, err := b.state(ctx, req.Storage)
		if err != nil {
			return b.refuse(req, err)
		}
		resp, err := h(ctx, req, d, s)
		if err != nil {
			return b.refuse(req, err)
		}
		return resp, nil
	}
}

// refuse is the one map from a refusal to Vault: a status, and the text for the
// caller. Errors go unwrapped, since Vault's plugin protocol knows them by
// identity.
func (b *backend) refuse(req *logical.Request, err error) (*logical.Response, error) {
	if errors.Is(err, logical.ErrReadOnly) {
		return nil, logical.ErrReadOnly // Vault forwards the request to a node that may write
	}
	refusal := denial.From(err)
	switch refusal.Code {
	case denial.ServerError:
		b.Logger().Error("request failed", "request_id", req.ID, "path", req.Path, "stage", refusal.Stage, "cause", refusal.Unwrap())
		return nil, errInternal
	case denial.SlowDown:
		return nil, logical.CodedError(http.StatusTooManyRequests, refusal.Error())
	case denial.TemporarilyUnavailable:
		b.Logger().Warn("request cannot be answered now", "request_id", req.ID, "path", req.Path, "stage", refusal.Stage, "cause", refusal.Unwrap())
		return nil, logical.CodedError(http.StatusServiceUnavailable, refusal.Error())
	default:
		return logical.ErrorResponse(refusal.Error()), logical.ErrInvalidRequest
	}
}

// splitWords splits list elements at white space, for fields that are a list or
// a space-separated string.
func splitWords(items []string) []string {
	out := []string{}
	for _, item := range items {
		out = append(out, strings.Fields(item)...)
	}
	return out
}
