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
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
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

// credentialFields are the fields that hold a token. The framework's own
// message for a field of the wrong type repeats its value.
var credentialFields = []string{"subject_token", "actor_token", "token", "introspection_client_secret"}

// Longest name of a parameter and value of "ttl". What is longer is not one, but
// may be a token in the wrong place, and Vault would repeat it in its answer.
const (
	maxParameterName = 64
	maxDuration      = 32
)

// checkCredentialFields refuses a credential that is not a string, or that stands
// where another thing belongs, without repeating it.
func checkCredentialFields(req *logical.Request) error {
	for name := range req.Data {
		if len(name) > maxParameterName {
			return denial.New(denial.InvalidRequest, denial.Parse, "parameters", "the name of a parameter is longer than %d characters", maxParameterName)
		}
		if strings.HasPrefix(name, token.OpaquePrefix) {
			return denial.New(denial.InvalidRequest, denial.Parse, "parameters", "the name of a parameter begins as an opaque token does")
		}
	}
	if ttl, ok := req.Data["ttl"].(string); ok && len(ttl) > maxDuration {
		return denial.New(denial.InvalidRequest, denial.Parse, "ttl", "is not a duration such as 5m")
	}
	if live, ok := req.Data["live"].(string); ok && len(live) > len("false") {
		return denial.New(denial.InvalidRequest, denial.Parse, "live", "is not true or false")
	}
	for _, name := range credentialFields {
		if v, ok := req.Data[name]; ok {
			if _, isString := v.(string); !isString {
				return denial.New(denial.InvalidRequest, denial.Parse, name, "must be one string")
			}
		}
	}
	return nil
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
