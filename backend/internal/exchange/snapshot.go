// Package exchange is the pipeline: from a request to a token, or to the one
// rule that refused it. It knows no Vault.
package exchange

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
)

// Config is the configuration of the mount. The field names are those of the API.
type Config struct {
	Issuer     string        `json:"issuer"`
	DefaultKey string        `json:"default_key"`
	DefaultTTL time.Duration `json:"default_ttl"`
	MaxTTL     time.Duration `json:"max_ttl"`
	MaxHops    int           `json:"max_hops"`
	// MaxDelegationDepth is how many actors an "act" claim may name.
	MaxDelegationDepth int              `json:"max_delegation_depth"`
	ClockSkewLeeway    time.Duration    `json:"clock_skew_leeway"`
	AllowedAudiences   policy.Guardrail `json:"allowed_audiences"`
	AllowedScopes      policy.Guardrail `json:"allowed_scopes"`
	JWKSMaxAge         time.Duration    `json:"jwks_max_age"`
	// TokenEndpointAliases are other URLs of the token endpoint.
	TokenEndpointAliases []string `json:"token_endpoint_aliases"`
}

// FormerIssuer is an earlier value of issuer. Tokens that carry it can be
// introspected and revoked until it is forgotten, when the last has expired.
type FormerIssuer struct {
	Issuer string    `json:"issuer"`
	Until  time.Time `json:"until"`
}

// Bounds and defaults of the mount's configuration.
const (
	maxLeeway   = time.Minute
	hopsCeiling = 16
	MinTTL      = time.Second
)

// NewConfig returns a configuration with its defaults. It allows nothing yet.
func NewConfig() *Config {
	return &Config{
		DefaultTTL: 5 * time.Minute, MaxTTL: time.Hour, MaxHops: 4, MaxDelegationDepth: 4,
		ClockSkewLeeway: 30 * time.Second, JWKSMaxAge: 10 * time.Minute,
	}
}

// UnmarshalJSON reads a stored configuration. A field that it was stored without,
// since there was none, has its default.
func (c *Config) UnmarshalJSON(data []byte) error {
	type plain Config
	*c = *NewConfig()
	return json.Unmarshal(data, (*plain)(c))
}

// maxAliases bounds what each DPoP proof is held against.
const maxAliases = 16

// TokenEndpoints are the URLs by which clients know the token endpoint: what the
// "htu" of a DPoP proof may be (RFC 9449 §4.3).
func (c *Config) TokenEndpoints() []string {
	return append([]string{c.Issuer + "/oauth/token"}, c.TokenEndpointAliases...)
}

// Validate checks the configuration by itself.
func (c *Config) Validate() error {
	if c.Issuer == "" {
		return denial.Field("issuer", "must be set to the URL under which consumers reach this mount, such as https://vault.example.com/v1/token-exchange")
	}
	if err := issuer.CheckURL("issuer", c.Issuer); err != nil {
		return err
	}
	if strings.HasSuffix(c.Issuer, "/") {
		return denial.Field("issuer", "%q must not end in a slash", c.Issuer)
	}
	if len(c.TokenEndpointAliases) > maxAliases {
		return denial.Field("token_endpoint_aliases", "has more than %d elements", maxAliases)
	}
	for _, alias := range c.TokenEndpointAliases {
		if err := issuer.CheckURL("token_endpoint_aliases", alias); err != nil {
			return err
		}
	}
	if err := policy.CheckGuardrail("allowed_audiences", c.AllowedAudiences); err != nil {
		return err
	}
	if err := policy.CheckGuardrail("allowed_scopes", c.AllowedScopes); err != nil {
		return err
	}
	switch {
	case c.DefaultTTL < MinTTL:
		return denial.Field("default_ttl", "must be at least %s", MinTTL)
	case c.MaxTTL < MinTTL:
		return denial.Field("max_ttl", "must be at least %s", MinTTL)
	case c.DefaultTTL > c.MaxTTL:
		return denial.Field("default_ttl", "%s is more than max_ttl, which is %s", c.DefaultTTL, c.MaxTTL)
	case c.MaxHops < 1 || c.MaxHops > hopsCeiling:
		return denial.Field("max_hops", "must be from 1 to %d", hopsCeiling)
	case c.MaxDelegationDepth < 1 || c.MaxDelegationDepth > policy.DepthCeiling:
		return denial.Field("max_delegation_depth", "must be from 1 to %d", policy.DepthCeiling)
	case c.ClockSkewLeeway < 0 || c.ClockSkewLeeway > maxLeeway:
		return denial.Field("clock_skew_leeway", "must be from 0s to %s", maxLeeway)
	case c.JWKSMaxAge < time.Second:
		return denial.Field("jwks_max_age", "must be at least 1s")
	}
	return nil
}

// Warnings tells what is accepted but deserves a second look.
func (c *Config) Warnings() []string {
	var out []string
	if u, err := url.Parse(c.Issuer); err == nil && issuer.IsLoopbackHTTP(u) {
		out = append(out, "issuer is plain http: accepted for a loopback address, for development only")
	}
	if len(c.AllowedAudiences) == 0 {
		out = append(out, "allowed_audiences is empty: every exchange is denied until it names at least one pattern")
	}
	return out
}

// Snapshot is everything that decides, at one moment: immutable, read once for
// each exchange.
type Snapshot struct {
	Config        *Config // nil: not configured, every exchange is denied
	FormerIssuers []FormerIssuer
	Issuers       map[string]*issuer.Issuer
	Keys          map[string]*keyring.Key
	Roles         map[string]*policy.Role
	Clients       map[string]*client.Client
	// IssuerMissing tells that an issuer cannot be read: which subjects are its own
	// is not known.
	IssuerMissing bool
	Unreadable    []string // places of the entries in storage that cannot be read
	// Secret makes the pseudonyms in "lineage". Nil until there is a Config.
	Secret []byte
}

// Clone returns a copy whose maps may be changed.
func (s *Snapshot) Clone() *Snapshot {
	c := *s
	c.Issuers, c.Keys, c.Roles, c.Clients = maps.Clone(s.Issuers), maps.Clone(s.Keys), maps.Clone(s.Roles), maps.Clone(s.Clients)
	return &c
}

// LastIssuer is the "iss" of the configuration or, for as long as tokens of it may be
// alive after that was deleted, the last one that there was; "" if there is none.
func (s *Snapshot) LastIssuer(now time.Time) string {
	if s.Config != nil {
		return s.Config.Issuer
	}
	last := ""
	for _, f := range s.FormerIssuers {
		if now.Before(f.Until) {
			last = f.Issuer
		}
	}
	return last
}

// RetireIssuer keeps tokens with the "iss" of today's configuration open to
// introspection and revocation for as long as one may live. It is called before
// that configuration is replaced or deleted.
func (s *Snapshot) RetireIssuer(now time.Time) {
	longest := s.Config.MaxTTL // of opaque tokens, which no key bounds
	for _, k := range s.Keys {
		for _, v := range k.Versions {
			longest = max(longest, v.VerificationPeriod)
		}
	}
	s.FormerIssuers = slices.DeleteFunc(slices.Clone(s.FormerIssuers), func(f FormerIssuer) bool {
		return f.Issuer == s.Config.Issuer || !now.Before(f.Until)
	})
	s.FormerIssuers = append(s.FormerIssuers, FormerIssuer{Issuer: s.Config.Issuer, Until: now.Add(longest + keyring.InFlight)})
}

// issuers are the "iss" claims that mean this engine: today's and those of
// tokens that may still be alive.
func (s *Snapshot) issuers(now time.Time) []string {
	var out []string
	if s.Config != nil {
		out = append(out, s.Config.Issuer)
	}
	for _, f := range s.FormerIssuers {
		if now.Before(f.Until) {
			out = append(out, f.Issuer)
		}
	}
	return out
}

// KeyOf returns the name of the key that signs for a role; "" if there is none.
func (s *Snapshot) KeyOf(r *policy.Role) string {
	if r.Opaque() {
		return ""
	}
	if r.Key == "" && s.Config != nil {
		return s.Config.DefaultKey
	}
	return r.Key
}

// MaxTTLOf returns the longest life that the role and the mount allow.
func (s *Snapshot) MaxTTLOf(r *policy.Role) time.Duration {
	ceiling := s.Config.MaxTTL
	if r.MaxTTL > 0 {
		ceiling = min(ceiling, r.MaxTTL)
	}
	return ceiling
}

// RolesWith returns the sorted names of the roles for which used is true.
func (s *Snapshot) RolesWith(used func(*policy.Role) bool) []string {
	var names []string
	for name, r := range s.Roles {
		if used(r) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// UsersOfKey returns the sorted names of the roles that sign with a key.
func (s *Snapshot) UsersOfKey(name string) []string {
	return s.RolesWith(func(r *policy.Role) bool { return s.KeyOf(r) == name })
}

// UsersOfIssuer returns the sorted names of the roles that accept an issuer.
func (s *Snapshot) UsersOfIssuer(name string) []string {
	return s.RolesWith(func(r *policy.Role) bool {
		return slices.Contains(r.Issuers, name) || slices.Contains(r.ActorIssuers, name)
	})
}
