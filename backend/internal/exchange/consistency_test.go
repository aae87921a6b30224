package exchange_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
)

// What is written is held against what is there, at whichever of the two is
// written last.
func TestInconsistentWritesAreRefused(t *testing.T) {
	config := func(edit func(*exchange.Config)) func(*world) error {
		return func(w *world) error {
			edit(w.snapshot.Config)
			return w.snapshot.CheckConfig(w.now)
		}
	}
	role := func(edit func(*policy.Role)) func(*world) error {
		return func(w *world) error {
			edit(w.snapshot.Roles["orders"])
			return w.snapshot.CheckRole(w.snapshot.Roles["orders"], w.now)
		}
	}
	key := func(lead, verification time.Duration) func(*world) error {
		return func(w *world) error {
			k := w.snapshot.Keys["main"].Configure(0, lead, verification)
			w.snapshot.Keys["main"] = k
			return w.snapshot.CheckKey(k)
		}
	}
	for _, c := range []struct {
		name  string
		write func(*world) error
		rule  string
		text  string
	}{
		{
			"default_key that does not exist", config(func(c *exchange.Config) { c.DefaultKey = "none" }),
			"default_key", `invalid_request: default_key: key "none" does not exist: create it with keys/none, or use one of ["main"]`,
		},
		{
			"no default_key while roles need it", config(func(c *exchange.Config) { c.DefaultKey = "" }),
			"default_key", `invalid_request: default_key: the role "again" would have no key to sign with`,
		},
		{
			"an issuer of actors that does not exist", role(func(r *policy.Role) { r.ActorIssuers = []string{"none"} }),
			"actor_issuers", `invalid_request: actor_issuers: issuer "none" does not exist: create it with issuers/none, or use one of ["idp", "self"]`,
		},
		{
			"more actors than the mount allows", role(func(r *policy.Role) { r.MaxDelegationDepth = 5 }),
			"max_delegation_depth", `invalid_request: max_delegation_depth: 5 is more than max_delegation_depth of config, which is 4`,
		},
		{
			"two issuers that are asked about opaque tokens", func(w *world) error {
				for _, name := range []string{"a", "b"} {
					c := issuer.NewConfig(name)
					c.IntrospectionURL = "https://" + name + ".example"
					made, err := issuer.New(c, issuer.Options{})
					w.must(err)
					w.snapshot.Issuers[name] = made
				}
				return role(func(r *policy.Role) { r.Issuers = []string{"a", "idp", "b"} })(w)
			},
			"issuers", `invalid_request: issuers: "a" and "b" are both asked about opaque tokens, which do not say whose they are: name one of them`,
		},
		{
			"jwks_max_age as long as a key's lead", config(func(c *exchange.Config) { c.JWKSMaxAge = time.Hour }),
			"jwks_max_age", `invalid_request: jwks_max_age: 1h0m0s must be less than the publication_lead of every key, and that of key "main" is 1h0m0s`,
		},
		{
			"issuer that is another issuer's", config(func(c *exchange.Config) { c.Issuer = "https://idp.example" }),
			"issuer", `invalid_request: issuer: "https://idp.example" is the bound_issuer of the issuer "idp": this engine's own tokens are accepted under the name "self"`,
		},
		{
			"max_ttl above a key's verification_period", func(w *world) error {
				w.snapshot.Config.MaxTTL = 3 * time.Hour
				w.snapshot.Roles["orders"].MaxTTL = 0
				return w.snapshot.CheckConfig(w.now)
			},
			"max_ttl", `invalid_request: max_ttl: tokens of the role "orders" may live 3h0m0s, and the verification_period of key "main" is 2h0m0s`,
		},
		{
			"publication_lead as short as jwks_max_age", key(10*time.Minute, 2*time.Hour),
			"publication_lead", `invalid_request: publication_lead: 10m0s must be more than jwks_max_age of config, which is 10m0s`,
		},
		{
			"verification_period below a role's max_ttl", key(time.Hour, 29*time.Minute),
			"verification_period", `invalid_request: verification_period: tokens of the role "again" may live 30m0s, and the verification_period of key "main" is 29m0s`,
		},
		{
			"verification_period of nothing", key(time.Hour, 0),
			"verification_period", `invalid_request: verification_period: must be at least 1s`,
		},
		{
			"role before config", func(w *world) error {
				w.snapshot.Config = nil
				return w.snapshot.CheckRole(w.snapshot.Roles["orders"], w.now)
			},
			"allowed_audiences", `invalid_request: allowed_audiences: the mount has no guardrails yet: write config first`,
		},
		{
			"role of an issuer that does not exist", role(func(r *policy.Role) { r.Issuers = []string{"none"} }),
			"issuers", `invalid_request: issuers: issuer "none" does not exist: create it with issuers/none, or use one of ["idp", "self"]`,
		},
		{
			"role with a key that does not exist", role(func(r *policy.Role) { r.Key = "none" }),
			"key", `invalid_request: key: key "none" does not exist: create it with keys/none, or use one of ["main"]`,
		},
		{
			"role without any key", func(w *world) error {
				w.snapshot.Config.DefaultKey = ""
				return w.snapshot.CheckRole(w.snapshot.Roles["orders"], w.now)
			},
			"key", `invalid_request: key: is empty and config has no default_key`,
		},
		{
			"role with a max_ttl above the mount's", role(func(r *policy.Role) { r.MaxTTL = 90 * time.Minute }),
			"max_ttl", `invalid_request: max_ttl: 1h30m0s is more than max_ttl of config, which is 1h0m0s`,
		},
		{
			"role with a ttl above the mount's max_ttl", role(func(r *policy.Role) { r.TTL, r.MaxTTL = 90*time.Minute, 0 }),
			"ttl", `invalid_request: ttl: 1h30m0s is more than max_ttl of config, which is 1h0m0s`,
		},
		{
			"role outside the guardrail for audiences", role(func(r *policy.Role) { r.AllowedAudiences = []string{"urn:other"} }),
			"allowed_audiences", `invalid_request: allowed_audiences: "urn:other" is not within the mount's guardrail: add it to allowed_audiences of config`,
		},
		{
			"role outside the guardrail for scopes", func(w *world) error {
				w.snapshot.Config.AllowedScopes = nil
				return w.snapshot.CheckRole(w.snapshot.Roles["orders"], w.now)
			},
			"allowed_scopes", `invalid_request: allowed_scopes: "orders:read" is not within the mount's guardrail: add it to allowed_scopes of config`,
		},
		{
			"issuer that is this engine", func(w *world) error {
				return w.snapshot.CheckIssuer(&issuer.Config{Name: "us", BoundIssuer: ourIssuer, SubjectPrefix: "us:"}, w.now)
			},
			"bound_issuer", `invalid_request: bound_issuer: "https://vault.example/v1/token-exchange" is this engine itself, now or until its last tokens expire: its tokens are accepted under the name "self"`,
		},
		{
			"issuer that this engine was, whose tokens may be alive", func(w *world) error {
				w.snapshot.RetireIssuer(w.now)
				w.snapshot.Config.Issuer = "https://new.example"
				return w.snapshot.CheckIssuer(&issuer.Config{Name: "us", BoundIssuer: ourIssuer, SubjectPrefix: "us:"}, w.now)
			},
			"bound_issuer", `invalid_request: bound_issuer: "https://vault.example/v1/token-exchange" is this engine itself, now or until its last tokens expire: its tokens are accepted under the name "self"`,
		},
		{
			"role with a key that consumers may not know yet", func(w *world) error {
				w.addKey("new", func(*keyring.Key) {})
				w.snapshot.Roles["orders"].Key = "new"
				return w.snapshot.CheckRole(w.snapshot.Roles["orders"], w.now)
			},
			"key", `invalid_request: key: key "new" may sign from 2027-01-15T08:10:00Z on: consumers that cache the JWKS may not know it before then`,
		},
		{
			"default_key that consumers may not know yet", func(w *world) error {
				w.addKey("new", func(*keyring.Key) {})
				w.snapshot.Config.DefaultKey = "new"
				return w.snapshot.CheckConfig(w.now)
			},
			"default_key", `invalid_request: default_key: key "new" may sign from 2027-01-15T08:10:00Z on: consumers that cache the JWKS may not know it before then`,
		},
		{
			"one key too many for the JWKS", func(w *world) error {
				for i := range 49 {
					w.snapshot.Keys[strconv.Itoa(i)] = w.snapshot.Keys["main"]
				}
				return w.snapshot.CheckKey(&keyring.Key{Name: "more", Algorithm: jose.ES256, PublicationLead: time.Hour, VerificationPeriod: time.Hour})
			},
			"rotation_period", `invalid_request: rotation_period: the JWKS could hold 102 keys: 100 is the limit; make rotation_period longer or verification_period shorter, or delete a key`,
		},
		{
			"key that rotates more often than the JWKS can hold", func(w *world) error {
				return w.snapshot.CheckKey(&keyring.Key{Name: "more", Algorithm: jose.ES256, PublicationLead: time.Hour, RotationPeriod: time.Hour, VerificationPeriod: 96 * time.Hour})
			},
			"rotation_period", `invalid_request: rotation_period: the JWKS could hold 101 keys: 100 is the limit; make rotation_period longer or verification_period shorter, or delete a key`,
		},
		{
			"key that rotates before its successor may sign", func(w *world) error {
				return w.snapshot.CheckKey(&keyring.Key{Name: "more", Algorithm: jose.ES256, PublicationLead: time.Hour, RotationPeriod: time.Minute, VerificationPeriod: time.Hour})
			},
			"rotation_period", `invalid_request: rotation_period: 1m0s must be 0 or at least publication_lead, which is 1h0m0s`,
		},
		{
			"issuer with another's prefix", func(w *world) error {
				return w.snapshot.CheckIssuer(&issuer.Config{Name: "two", BoundIssuer: "https://two.example", SubjectPrefix: "idp:x"}, w.now)
			},
			"subject_prefix", `invalid_request: subject_prefix: "idp:x" cannot be told from "idp:" of the issuer "idp"`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantDenied(t, c.write(newWorld(t)), denial.Configuration, c.rule, c.text)
		})
	}
}

// An issuer is used by the roles that take actors from it, too.
func TestUsersOfIssuer(t *testing.T) {
	w := newWorld(t)
	w.snapshot.Roles["again"].ActorIssuers = []string{"idp"}
	if got := w.snapshot.UsersOfIssuer("idp"); !slices.Equal(got, []string{"again", "orders"}) {
		t.Errorf("got %v", got)
	}
}

// A subject expression that drops the prefix is warned of.
func TestLintOfSubjects(t *testing.T) {
	const dropped = `subject does not begin with "idp:", the subject_prefix of the issuer "idp": its subjects may come to be those of another`
	for source, want := range map[string][]string{
		"":                           nil,
		`"idp:" + subject.email`:     nil,
		`subject.issuer + ":" + "x"`: nil,
		`subject.email`:              {dropped},
		`"idp" + subject.email`:      {dropped},
		`subject.issuer + "x"`:       {dropped},
	} {
		w := newWorld(t)
		w.addRole("orders", func(r *policy.Role) { r.Subject = source })
		got, err := w.snapshot.LintRole(w.snapshot.Roles["orders"])
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", source, got, err)
		}
	}
	w := newWorld(t)
	w.addRole("me", func(r *policy.Role) {
		r.SubjectSource, r.Issuers, r.BoundSubject, r.Subject = policy.SourceCaller, nil, "", "subject.name"
	})
	got, err := w.snapshot.LintRole(w.snapshot.Roles["me"])
	if want := "subject gives callers other names than entity: and their id: they may come to be those of an issuer's subjects"; err != nil || !slices.Equal(got, []string{want}) {
		t.Errorf("a caller: %q, %v", got, err)
	}
}

// A name without its prefix is nobody's.
func TestLintOfActors(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*policy.Role)
		want []string
	}{
		"named as the issuer's": {func(r *policy.Role) { r.ActorIssuers, r.BoundActors = []string{"idp"}, []string{"idp:api"} }, nil},
		"without the prefix": {
			func(r *policy.Role) { r.ActorIssuers, r.BoundActors = []string{"idp"}, []string{"api", "idp:api"} },
			[]string{`bound_actors: "api" is nobody: actors of the role begin with one of ["idp:"]`},
		},
		"a caller without its prefix": {
			func(r *policy.Role) { r.ActorSource, r.BoundActors = policy.SourceCaller, []string{"e-1"} },
			[]string{`bound_actors: "e-1" is nobody: actors of the role begin with one of ["entity:"]`},
		},
		"a caller":      {func(r *policy.Role) { r.ActorSource, r.BoundActors = policy.SourceCaller, []string{"entity:e-1"} }, nil},
		"of our tokens": {func(r *policy.Role) { r.ActorIssuers, r.BoundActors = []string{policy.Self}, []string{"whoever"} }, nil},
	} {
		w := newWorld(t)
		w.addRole("orders", func(r *policy.Role) { r.Delegation = policy.DelegationRequired; c.edit(r) })
		got, err := w.snapshot.LintRole(w.snapshot.Roles["orders"])
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*exchange.Config)
		text string
	}{
		{"no issuer", func(c *exchange.Config) { c.Issuer = "" }, `invalid_request: issuer: must be set to the URL under which consumers reach this mount, such as https://vault.example.com/v1/token-exchange`},
		{"MD-1 issuer with a query", func(c *exchange.Config) { c.Issuer += "?a=b" }, `invalid_request: issuer: "https://vault.example/v1/token-exchange?a=b" must have no query`},
		{"MD-1 issuer with a fragment", func(c *exchange.Config) { c.Issuer += "#" }, `invalid_request: issuer: "https://vault.example/v1/token-exchange#" must have no user and no fragment`},
		{"MD-1 issuer over http", func(c *exchange.Config) { c.Issuer = "http://vault.example/v1/token-exchange" }, `invalid_request: issuer: "http://vault.example/v1/token-exchange" must be https (http is accepted for a literal loopback address such as 127.0.0.1 only)`},
		{"issuer with a slash at the end", func(c *exchange.Config) { c.Issuer += "/" }, `invalid_request: issuer: "https://vault.example/v1/token-exchange/" must not end in a slash`},
		{"default_ttl of nothing", func(c *exchange.Config) { c.DefaultTTL = 0 }, `invalid_request: default_ttl: must be at least 1s`},
		{"max_ttl of nothing", func(c *exchange.Config) { c.MaxTTL = 0 }, `invalid_request: max_ttl: must be at least 1s`},
		{"default_ttl above max_ttl", func(c *exchange.Config) { c.DefaultTTL = 2 * time.Hour }, `invalid_request: default_ttl: 2h0m0s is more than max_ttl, which is 1h0m0s`},
		{
			"an alias of the token endpoint in the clear", func(c *exchange.Config) { c.TokenEndpointAliases = []string{"https://a.example", "http://b.example"} },
			`invalid_request: token_endpoint_aliases: "http://b.example" must be https (http is accepted for a literal loopback address such as 127.0.0.1 only)`,
		},
		{
			"seventeen aliases", func(c *exchange.Config) { c.TokenEndpointAliases = slices.Repeat([]string{"https://a.example"}, 17) },
			`invalid_request: token_endpoint_aliases: has more than 16 elements`,
		},
		{"no hops", func(c *exchange.Config) { c.MaxHops = 0 }, `invalid_request: max_hops: must be from 1 to 16`},
		{"too many hops", func(c *exchange.Config) { c.MaxHops = 17 }, `invalid_request: max_hops: must be from 1 to 16`},
		{"no actors", func(c *exchange.Config) { c.MaxDelegationDepth = 0 }, `invalid_request: max_delegation_depth: must be from 1 to 8`},
		{"too many actors", func(c *exchange.Config) { c.MaxDelegationDepth = 9 }, `invalid_request: max_delegation_depth: must be from 1 to 8`},
		{"too much leeway", func(c *exchange.Config) { c.ClockSkewLeeway = 61 * time.Second }, `invalid_request: clock_skew_leeway: must be from 0s to 1m0s`},
		{"negative leeway", func(c *exchange.Config) { c.ClockSkewLeeway = -time.Second }, `invalid_request: clock_skew_leeway: must be from 0s to 1m0s`},
		{"a JWKS that may not be cached", func(c *exchange.Config) { c.JWKSMaxAge = 0 }, `invalid_request: jwks_max_age: must be at least 1s`},
		{"a malformed list of audiences", func(c *exchange.Config) { c.AllowedAudiences = policy.Guardrail{`["a"`} }, `invalid_request: allowed_audiences: element "[\"a\"" has the character '"': printable ASCII other than space, comma, quote and backslash is allowed`},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := exchange.NewConfig()
			config.Issuer = ourIssuer
			c.edit(config)
			err := config.Validate()
			if err == nil || err.Error() != c.text {
				t.Errorf("got  %v\nwant %s", err, c.text)
			}
		})
	}
}
