package backend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

func (b *backend) keyPaths() []*framework.Path {
	keys := object{
		noun: "key", synopsis: "Make a signing key, or change its periods.", help: keyHelp,
		fields: keyFields, response: keyResponse,
		example: map[string]any{"algorithm": "ES256", "verification_period": "24h"},
		deletion: map[string]*framework.FieldSchema{"revoke": {
			Type: framework.TypeBool, Query: true,
			Description: "Of a deletion: whether to kill what the key signed, instead of refusing while a token may be alive. Default: false.",
		}},
		exists: func(s *exchange.Snapshot, name string) bool { return s.Keys[name] != nil },
		list:   b.keyList, write: b.keyWrite, read: b.keyRead, delete: b.keyDelete,
		listHelp:      "Lists the names of the keys, with their algorithm.",
		writeSummary:  "Make a key, or change its periods; fields left out keep their value.",
		readSummary:   "Read a key: versions, states and dates, never private material.",
		deleteSummary: "Delete a key that no role and no unexpired token may need; with revoke, kill the tokens.",
	}
	rotate := b.actionPath(keys, action{
		path: "rotate", op: logical.UpdateOperation, do: b.keyRotate,
		display: display("rotate", "key"), response: keyResponse,
		synopsis: "Let the successor of a key sign, and publish a new successor.",
		help: "The former version stays in the JWKS for its verification_period. " +
			"Refused while the successor has been published for less than publication_lead.",
	})
	revoke := b.actionPath(keys, action{
		path: "revoke", op: logical.UpdateOperation, do: b.keyRevoke,
		display: display("revoke", "key"), response: keyResponse,
		fields:   map[string]*framework.FieldSchema{"kid": {Type: framework.TypeString, Description: "The version to revoke. Default: the one that signs; needed for an hour after another one has taken over."}},
		synopsis: "In an emergency: drop a version of a key, and with it everything that it signed.",
		help: "The version leaves the JWKS at once. Tokens that it signed, and what was exchanged from them, are dead: " +
			"introspection says so, and they are refused as subject tokens. Consumers that have cached the JWKS may accept them for jwks_max_age more. " +
			"If the version signs, its successor takes over, known to consumers or not.",
	})
	return append(b.objectPaths(keys), rotate, revoke)
}

func (b *backend) keyWrite(ctx context.Context, req *logical.Request, d *framework.FieldData, _ *exchange.Snapshot) (*logical.Response, error) {
	name := named(d)
	return nil, b.update(ctx, req.Storage, func(s *exchange.Snapshot) ([]change, error) {
		wanted := newKey(name)
		old := s.Keys[name]
		if old != nil {
			wanted = *old
		}
		readKey(d, &wanted)
		next, err := b.makeKey(s, old, wanted)
		if err != nil {
			return nil, err
		}
		s.Keys[name] = next
		return b.storeKey(s, next)
	})
}

// newKey is a key as the defaults have it, without versions.
func newKey(name string) keyring.Key {
	return keyring.Key{
		Name: name, Algorithm: keyring.DefaultAlgorithm,
		PublicationLead: keyring.DefaultPublicationLead, VerificationPeriod: keyring.DefaultVerificationPeriod,
	}
}

func readKey(d *framework.FieldData, k *keyring.Key) {
	set(d, "algorithm", (*string)(&k.Algorithm))
	setDuration(d, "rotation_period", &k.RotationPeriod)
	setDuration(d, "publication_lead", &k.PublicationLead)
	setDuration(d, "verification_period", &k.VerificationPeriod)
}

// makeKey returns a new key, or an old one with other periods.
func (b *backend) makeKey(s *exchange.Snapshot, old *keyring.Key, wanted keyring.Key) (*keyring.Key, error) {
	if old == nil {
		// Before the work: generating an RSA key can take a second.
		if err := s.CheckKey(&wanted); err != nil {
			return nil, err
		}
		return keyring.Generate(wanted, b.now(), s.KeyReady(b.now()))
	}
	if wanted.Algorithm != old.Algorithm {
		return nil, denial.Field("algorithm", "cannot be changed: the key %q is for %s; make another key", old.Name, old.Algorithm)
	}
	return old.Configure(wanted.RotationPeriod, wanted.PublicationLead, wanted.VerificationPeriod), nil
}

func (b *backend) storeKey(s *exchange.Snapshot, k *keyring.Key) ([]change, error) {
	if err := s.CheckKey(k); err != nil {
		return nil, err
	}
	c, err := putKey(k)
	return []change{c}, err
}

func (b *backend) keyRead(_ context.Context, _ *logical.Request, d *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
	k := s.Keys[named(d)]
	if k == nil {
		return nil, nil
	}
	return b.keyResponse(k), nil
}

func (b *backend) keyResponse(k *keyring.Key) *logical.Response {
	versions := []map[string]any{}
	for i := range k.Versions {
		v := &k.Versions[i]
		versions = append(versions, map[string]any{
			"kid": v.KeyID, "state": string(v.State(b.now())), "published": stamp(v.Published), "may_sign_from": stamp(v.Ready),
			"activated": stamp(v.Activated), "retired": stamp(v.Retired), "published_until": stamp(v.PublishedUntil()),
		})
	}
	data := keyData(k)
	data["versions"] = versions
	return &logical.Response{Data: data}
}

// keyData leaves the versions out, whose states depend on the time.
func keyData(k *keyring.Key) map[string]any {
	return map[string]any{
		"algorithm": string(k.Algorithm), "rotation_period": seconds(k.RotationPeriod), "publication_lead": seconds(k.PublicationLead),
		"verification_period": seconds(k.VerificationPeriod), "needed_until": stamp(k.NeededUntil),
	}
}

func (b *backend) keyRotate(ctx context.Context, req *logical.Request, d *framework.FieldData, _ *exchange.Snapshot) (*logical.Response, error) {
	name := named(d)
	var rotated *keyring.Key
	err := b.update(ctx, req.Storage, func(s *exchange.Snapshot) ([]change, error) {
		key := s.Keys[name]
		if key == nil {
			return nil, denial.Field("name", "the key %q does not exist", name)
		}
		var err error
		if rotated, err = key.Rotate(b.now()); err != nil {
			return nil, err
		}
		s.Keys[name] = rotated
		return b.storeKey(s, rotated)
	})
	if err != nil {
		return nil, err
	}
	return b.keyResponse(rotated), nil
}

func (b *backend) keyRevoke(ctx context.Context, req *logical.Request, d *framework.FieldData, _ *exchange.Snapshot) (*logical.Response, error) {
	name, kid := named(d), ""
	set(d, "kid", &kid)
	if _, given := d.GetOk("kid"); given && kid == "" {
		return nil, denial.Field("kid", "is empty: give the id of a version, or leave it out for the one that signs")
	}
	var revoked *keyring.Key
	var warnings []string
	err := b.update(ctx, req.Storage, func(s *exchange.Snapshot) ([]change, error) {
		key := s.Keys[name]
		if key == nil {
			return nil, denial.Field("name", "the key %q does not exist", name)
		}
		var err error
		if revoked, err = key.Revoke(kid, b.now()); err != nil {
			return nil, err
		}
		if kid == "" {
			kid = key.Active().KeyID
		}
		if promoted := key.Next(); revoked.Active().KeyID == promoted.KeyID && b.now().Before(promoted.Ready) {
			warnings = []string{fmt.Sprintf("the version that signs now has been published since %s: consumers that cache the JWKS may refuse its tokens until they fetch it again",
				stamp(promoted.Published))}
		}
		s.Keys[name] = revoked
		c, err := putKey(revoked)
		c.urgent = true
		return []change{c}, err
	})
	if err != nil {
		return nil, err
	}
	b.Logger().Warn("key version revoked", "request_id", req.ID, "key", name, "kid", kid)
	return warn(b.keyResponse(revoked), warnings), nil
}

func (b *backend) keyDelete(ctx context.Context, req *logical.Request, d *framework.FieldData, _ *exchange.Snapshot) (*logical.Response, error) {
	name, revoke, revoked := named(d), false, false
	set(d, "revoke", &revoke)
	err := b.update(ctx, req.Storage, func(s *exchange.Snapshot) ([]change, error) {
		key := s.Keys[name]
		if key == nil {
			return nil, nil
		}
		if users := s.UsersOfKey(name); len(users) > 0 {
			return nil, denial.Field("name", "the key %q signs for the roles %s: give them another key first", name, token.List(users))
		}
		if s.Config != nil && s.Config.DefaultKey == name {
			return nil, denial.Field("name", "the key %q is the default_key of config: set another one first", name)
		}
		if needed := b.now().Before(key.NeededUntil); needed && !revoke {
			return nil, denial.Field("name", "tokens signed with the key %q may be alive until %s: delete it then", name, stamp(key.NeededUntil))
		}
		delete(s.Keys, name)
		revoked = revoke
		return []change{remove(keyPrefix + name)}, nil
	})
	if err == nil && revoked {
		b.Logger().Warn("key deleted and revoked", "request_id", req.ID, "key", name)
	}
	return nil, err
}

func (b *backend) keyList(_ context.Context, _ *logical.Request, _ *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
	info := map[string]any{}
	for name, k := range s.Keys {
		info[name] = map[string]any{"algorithm": string(k.Algorithm), "active_kid": k.Active().KeyID}
	}
	return logical.ListResponseWithInfo(slices.Sorted(maps.Keys(s.Keys)), info), nil
}

var keyFields = map[string]*framework.FieldSchema{
	"algorithm": {
		Type:          framework.TypeString,
		Description:   "Signature algorithm; cannot be changed later. ES256 suits most; RS256 is what every consumer knows. One of " + strings.Join(keyring.Algorithms(), ", ") + ". Default: ES256.",
		AllowedValues: allowedAlgorithms(),
	},
	"rotation_period": {
		Type:        framework.TypeDurationSecond,
		Description: "How long a version signs before its successor takes over by itself. At least publication_lead; 0 rotates on request only. Default: 0.",
	},
	"publication_lead": {
		Type:        framework.TypeDurationSecond,
		Description: "How long a successor is in the JWKS before it may sign. Must be more than jwks_max_age of config. Default: 24h.",
	},
	"verification_period": {
		Type:        framework.TypeDurationSecond,
		Description: "How long a version stays in the JWKS after it signed last; no token signed with it lives longer. At least the max_ttl of every role that uses the key. Default: 24h.",
	},
}

var keyResponse = plus(keyFields, map[string]*framework.FieldSchema{
	"needed_until": {Type: framework.TypeString, Description: "Until when the last token may live of a role that has let go of the key (RFC 3339); empty if none has. The key can be deleted then."},
	"versions":     {Type: framework.TypeSlice, Description: "The versions, oldest first: kid, state (retired, active, next) and dates."},
})

func allowedAlgorithms() []any {
	var out []any
	for _, a := range keyring.Algorithms() {
		out = append(out, a)
	}
	return out
}

const keyHelp = `
The key pair is generated here and its private half never leaves Vault. A key
always has one version that signs and one successor, which is in the JWKS but
does not sign: when the key is rotated, consumers know the successor already.
Once there are roles, a new key may sign only after jwks_max_age of config.

Raising a period applies to all versions, lowering it to new ones only.

A key that a role uses cannot be deleted. Neither can one while a token that it
signed may be alive, unless the deletion has revoke=true: then these tokens, and
what was exchanged from them, are dead. Consumers that have cached the JWKS may
accept them for jwks_max_age more.
`
