package backend

import (
	"context"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
)

// heldKeys are the keys that are held of an issuer or a client.
type heldKeys interface {
	Status() issuer.Status
	Refresh(ctx context.Context) error
}

// keysOf finds the keys of a party; nil if there is no such party, an error if it is
// one that has no keys.
type keysOf func(s *exchange.Snapshot, name string) (heldKeys, error)

// heldKeysPaths are the paths by which an operator sees and refreshes the keys of a kind
// of party. The note ends the help of the first.
func (b *backend) heldKeysPaths(o object, article string, find keysOf, note string) []*framework.Path {
	return []*framework.Path{
		b.actionPath(o, action{
			path: "status", op: logical.ReadOperation, do: heldKeysStatus(find),
			display: display("read", o.noun+"-status"), response: heldKeysFields,
			synopsis: "See which keys of " + article + " are held.",
			help:     "Shows the key ids held, when they were fetched, what went wrong last, and when a refresh is due. " + note,
		}),
		b.actionPath(o, action{
			path: "refresh", op: logical.UpdateOperation, do: heldKeysRefresh(o.noun, find),
			display: display("refresh", o.noun), response: heldKeysFields,
			synopsis: "Fetch the keys of " + article + " now.",
			help: "Answers with the status after the fetch. Use it when a key was dropped there, and what is signed " +
				"with it must not be taken any more.",
		}),
	}
}

func heldKeysStatus(find keysOf) handler {
	return func(_ context.Context, _ *logical.Request, d *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
		keys, err := find(s, named(d))
		if keys == nil || err != nil {
			return nil, err
		}
		return statusResponse(keys.Status()), nil
	}
}

func heldKeysRefresh(noun string, find keysOf) handler {
	return func(ctx context.Context, _ *logical.Request, d *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
		name := named(d)
		keys, err := find(s, name)
		switch {
		case err != nil:
			return nil, err
		case keys == nil:
			return nil, denial.Field("name", "the %s %q does not exist", noun, name)
		}
		if err := keys.Refresh(ctx); err != nil {
			return nil, denial.New(denial.TemporarilyUnavailable, denial.Configuration, noun+"_keys", "cannot fetch the keys of the %s %q: %s", noun, name, err).Because(err)
		}
		return statusResponse(keys.Status()), nil
	}
}

func statusResponse(s issuer.Status) *logical.Response {
	lastError := ""
	if s.Err != nil {
		lastError = s.Err.Error()
	}
	return &logical.Response{Data: map[string]any{
		"keys_held": len(s.KeyIDs), "key_ids": s.KeyIDs, "last_fetch": stamp(s.Fetched), "last_attempt": stamp(s.Attempted),
		"last_error": lastError, "next_refresh": stamp(s.Next),
	}}
}

var heldKeysFields = map[string]*framework.FieldSchema{
	"keys_held":    {Type: framework.TypeInt, Description: "How many keys are held."},
	"key_ids":      {Type: framework.TypeStringSlice, Description: `The "kid" of each key held; empty text for a PEM key.`},
	"last_fetch":   {Type: framework.TypeString, Description: "When the keys were fetched last (RFC 3339)."},
	"last_attempt": {Type: framework.TypeString, Description: "When a fetch was tried last (RFC 3339)."},
	"last_error":   {Type: framework.TypeString, Description: "What went wrong with it; empty if nothing did."},
	"next_refresh": {Type: framework.TypeString, Description: "When the next token refreshes the keys (RFC 3339)."},
}
