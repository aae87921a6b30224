package backend

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
)

func (b *backend) configPaths() []*framework.Path {
	return []*framework.Path{{
		Pattern:      "config",
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix},
		Fields:       configFields,
		ExistenceCheck: b.exists(func(s *exchange.Snapshot, _ string) bool {
			return s.Config != nil
		}),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.CreateOperation: b.configWriteOperation(),
			logical.UpdateOperation: b.configWriteOperation(),
			logical.ReadOperation: &framework.PathOperation{
				Callback: b.with(b.configRead), Summary: "Read the configuration of the mount.",
				DisplayAttrs: display("read", "configuration"), Responses: ok("The configuration.", configResponse),
			},
			logical.DeleteOperation: &framework.PathOperation{
				Callback: b.with(strictDeletion(b.configDelete)), Summary: "Delete the configuration: every exchange is denied from then on.",
				DisplayAttrs: display("delete", "configuration"), Responses: noContent("Deleted."),
			},
		},
		HelpSynopsis:    "Configure the mount: its issuer URL, default key, lifetimes and guardrails.",
		HelpDescription: configHelp,
	}}
}

func (b *backend) configWriteOperation() *framework.PathOperation {
	return &framework.PathOperation{
		Callback: b.with(strict(b.configWrite)), Summary: "Write the configuration of the mount; fields left out keep their value.",
		DisplayAttrs: display("configure", ""), Responses: noContent("Written."),
		Examples: []framework.RequestExample{{Data: map[string]any{
			"issuer": "https://vault.example.com/v1/token-exchange", "default_key": "main",
			"allowed_audiences": []string{"https://*.example.com"}, "allowed_scopes": []string{"orders:*"},
		}}},
	}
}

func (b *backend) configWrite(ctx context.Context, req *logical.Request, d *framework.FieldData, _ *exchange.Snapshot) (*logical.Response, error) {
	var warnings []string
	err := b.update(ctx, req.Storage, func(s *exchange.Snapshot) ([]change, error) {
		next := exchange.NewConfig()
		if s.Config != nil {
			*next = *s.Config
		}
		readConfig(d, next)
		if err := next.Validate(); err != nil {
			return nil, err
		}
		if err := b.changeIssuer(s, next, d.Get("force") == true); err != nil {
			return nil, err
		}
		s.Config = next
		if err := s.CheckConfig(b.now()); err != nil {
			return nil, err
		}
		warnings = slices.Concat(next.Warnings(), mountWarnings(next, req.MountPoint), narrowed(s))
		return storeConfig(s)
	})
	if err != nil {
		return nil, err
	}
	return warn(nil, warnings), nil
}

func readConfig(d *framework.FieldData, c *exchange.Config) {
	set(d, "issuer", &c.Issuer)
	set(d, "default_key", &c.DefaultKey)
	set(d, "max_hops", &c.MaxHops)
	set(d, "max_delegation_depth", &c.MaxDelegationDepth)
	set(d, "allowed_audiences", (*[]string)(&c.AllowedAudiences))
	set(d, "allowed_scopes", (*[]string)(&c.AllowedScopes))
	set(d, "token_endpoint_aliases", &c.TokenEndpointAliases)
	setDuration(d, "default_ttl", &c.DefaultTTL)
	setDuration(d, "max_ttl", &c.MaxTTL)
	setDuration(d, "clock_skew_leeway", &c.ClockSkewLeeway)
	setDuration(d, "jwks_max_age", &c.JWKSMaxAge)
}

// changeIssuer keeps tokens with the former issuer open to introspection and
// revocation, and asks for force: consumers know the mount by this URL.
func (b *backend) changeIssuer(s *exchange.Snapshot, next *exchange.Config, force bool) error {
	if s.Config == nil || s.Config.Issuer == next.Issuer {
		return nil
	}
	if !force {
		return denial.Field("issuer", "%s", IssuerChange(s.Config.Issuer))
	}
	s.RetireIssuer(b.now())
	return nil
}

// storeConfig writes the configuration, and before the first one the secret
// that no token can be minted without.
func storeConfig(s *exchange.Snapshot) ([]change, error) {
	var changes []change
	if s.Secret == nil {
		s.Secret = newSecret()
		c, err := put(secretPath, s.Secret)
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	c, err := put(configPath, storedConfig{Config: s.Config, FormerIssuers: s.FormerIssuers})
	return append(changes, c), err
}

// IssuerChange is why the issuer of a mount is not changed without force.
func IssuerChange(before string) string {
	return fmt.Sprintf("changing it from %q makes consumers refuse new tokens until they know the new URL: set force=true to do it", before)
}

func mountWarnings(c *exchange.Config, mountPoint string) []string {
	u, err := url.Parse(c.Issuer)
	if err != nil || mountPoint == "" || strings.HasSuffix(u.Path, "/v1/"+strings.Trim(mountPoint, "/")) {
		return nil
	}
	return []string{fmt.Sprintf("issuer does not end in /v1/%s: discovery and JWKS can be fetched only if a proxy maps the URL to this mount",
		strings.Trim(mountPoint, "/"))}
}

// narrowed names the roles that ask for more than the guardrails now allow:
// what they are denied at exchange.
func narrowed(s *exchange.Snapshot) []string {
	names := s.RolesWith(func(r *policy.Role) bool {
		return r.MaxTTL > s.Config.MaxTTL || r.MaxDelegationDepth > s.Config.MaxDelegationDepth ||
			r.CheckWithin(s.Config.AllowedAudiences, s.Config.AllowedScopes) != nil
	})
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("these roles allow more than the mount does now, and are held to the mount: %s", strings.Join(names, ", "))}
}

func (b *backend) configRead(_ context.Context, _ *logical.Request, _ *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
	c := s.Config
	if c == nil {
		return nil, nil
	}
	former := []string{}
	for _, f := range s.FormerIssuers {
		if b.now().Before(f.Until) {
			former = append(former, f.Issuer)
		}
	}
	data := configData(c)
	data["former_issuers"] = former
	return &logical.Response{Data: data}, nil
}

func configData(c *exchange.Config) map[string]any {
	return map[string]any{
		"issuer": c.Issuer, "former_issuers": []string{}, "default_key": c.DefaultKey,
		"default_ttl": seconds(c.DefaultTTL), "max_ttl": seconds(c.MaxTTL), "max_hops": c.MaxHops,
		"max_delegation_depth": c.MaxDelegationDepth,
		"clock_skew_leeway":    seconds(c.ClockSkewLeeway), "jwks_max_age": seconds(c.JWKSMaxAge),
		"allowed_audiences": list(c.AllowedAudiences), "allowed_scopes": list(c.AllowedScopes),
		"token_endpoint_aliases": list(c.TokenEndpointAliases),
	}
}

func (b *backend) configDelete(ctx context.Context, req *logical.Request, _ *framework.FieldData, _ *exchange.Snapshot) (*logical.Response, error) {
	return nil, b.update(ctx, req.Storage, func(s *exchange.Snapshot) ([]change, error) {
		if s.Config == nil {
			return nil, nil
		}
		s.RetireIssuer(b.now())
		s.Config = nil
		return storeConfig(s)
	})
}

// exists makes an existence check from the snapshot.
func (b *backend) exists(in func(s *exchange.Snapshot, name string) bool) framework.ExistenceFunc {
	return func(ctx context.Context, req *logical.Request, d *framework.FieldData) (bool, error) {
		s, err := b.state(ctx, req.Storage)
		if err != nil {
			b.Logger().Error("cannot load the mount's state", "request_id", req.ID, "error", err)
			return false, errInternal
		}
		name := ""
		if _, ok := d.Schema["name"]; ok {
			name = named(d)
		}
		return in(s, name), nil
	}
}

var configFields = map[string]*framework.FieldSchema{
	"issuer": {
		Type:        framework.TypeString,
		Description: `The "iss" of every token and the URL under which consumers reach this mount, such as https://vault.example.com/v1/token-exchange. Never taken from a request.`,
	},
	"force": {
		Type:        framework.TypeBool,
		Description: "Confirms a change of issuer. Tokens with the former one can be introspected and revoked until they expire.",
	},
	"default_key": {
		Type:        framework.TypeString,
		Description: "Key that signs for roles that name none.",
	},
	"default_ttl": {
		Type:        framework.TypeDurationSecond,
		Description: "Life of a token when neither request nor role says one. Default: 5m.",
	},
	"max_ttl": {
		Type:        framework.TypeDurationSecond,
		Description: "Longest life of any token of this mount. Default: 1h.",
	},
	"max_hops": {
		Type:        framework.TypeInt,
		Description: "How many tokens a chain of exchanges may have before the one that is minted. Default: 4.",
	},
	"max_delegation_depth": {
		Type:        framework.TypeInt,
		Description: `How many actors the "act" claim of a token may name: who acts now, and who did before. Default: 4.`,
	},
	"clock_skew_leeway": {
		Type:        framework.TypeDurationSecond,
		Description: `How far an issuer's clock may run ahead: applies to "iat" and "nbf", never to "exp". At most 60s. Default: 30s.`,
	},
	"allowed_audiences": {
		Type:        framework.TypeCommaStringSlice,
		Description: `Guardrail: the audiences that roles of this mount may allow, as patterns: "*" stands for any text at the end, and for any text without / ? # @ elsewhere. Without a pattern every exchange is denied.`,
	},
	"allowed_scopes": {
		Type:        framework.TypeCommaStringSlice,
		Description: `Guardrail: the scopes that roles of this mount may allow, as patterns: "*" stands for any text at the end, and for any text without / ? # @ elsewhere. Without a pattern no scope is granted.`,
	},
	"token_endpoint_aliases": {
		Type:        framework.TypeCommaStringSlice,
		Description: `Other URLs under which clients know oauth/token, beyond the issuer's: what the "htu" of a DPoP proof may be too (RFC 9449 §4.3).`,
	},
	"jwks_max_age": {
		Type:        framework.TypeDurationSecond,
		Description: "How long consumers may cache the JWKS. Must be less than the publication_lead of every key. Default: 10m.",
	},
}

var configResponse = plus(without(configFields, "force"), map[string]*framework.FieldSchema{
	"former_issuers": {
		Type:        framework.TypeStringSlice,
		Description: "Earlier values of issuer whose tokens may still be alive.",
	},
})

const configHelp = `
Nothing is exchanged before the configuration is written: it holds the issuer
URL that goes into every token, and the guardrails that no role can exceed.

Deleting it denies every exchange. The JWKS is still served, and tokens can
still be introspected and revoked.
`
