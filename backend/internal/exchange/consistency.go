package exchange

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// The checks in this file hold one object about to be written against the
// others of the mount. Each is called on a snapshot that has the object already.

// CheckConfig checks the configuration against keys, issuers and roles.
func (s *Snapshot) CheckConfig(now time.Time) error {
	c := s.Config
	if c.DefaultKey != "" {
		if err := s.checkKeyName("default_key", c.DefaultKey, now); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Issuers)) {
		if s.Issuers[name].BoundIssuer == c.Issuer {
			return denial.Field("issuer", "%q is the bound_issuer of the issuer %q: this engine's own tokens are accepted under the name %q", c.Issuer, name, policy.Self)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Keys)) {
		if lead := s.Keys[name].PublicationLead; c.JWKSMaxAge >= lead {
			return denial.Field("jwks_max_age", "%s must be less than the publication_lead of every key, and that of key %q is %s", c.JWKSMaxAge, name, lead)
		}
	}
	return s.checkRoleKeys("default_key", "max_ttl")
}

// CheckIssuer checks an issuer against the other issuers.
func (s *Snapshot) CheckIssuer(c *issuer.Config, now time.Time) error {
	if slices.Contains(s.issuers(now), c.BoundIssuer) {
		return denial.Field("bound_issuer", "%q is this engine itself, now or until its last tokens expire: its tokens are accepted under the name %q", c.BoundIssuer, policy.Self)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Issuers)) {
		if err := c.CheckAgainst(s.Issuers[name].Config); err != nil {
			return err
		}
	}
	return nil
}

// maxJWKS is how many keys the JWKS may hold: Entra reads the first 100.
const maxJWKS = 100

// ValidateKey checks a key by itself: what can be said without knowing the
// configuration of the mount and the roles that use it.
func ValidateKey(k *keyring.Key) error {
	if err := keyring.CheckAlgorithm(k.Algorithm); err != nil {
		return err
	}
	if k.VerificationPeriod < MinTTL {
		return denial.Field("verification_period", "must be at least %s", MinTTL)
	}
	if k.RotationPeriod < 0 || k.RotationPeriod > 0 && k.RotationPeriod < k.PublicationLead {
		return denial.Field("rotation_period", "%s must be 0 or at least publication_lead, which is %s", k.RotationPeriod, k.PublicationLead)
	}
	return nil
}

// CheckKey checks a key against the configuration and the roles that use it.
func (s *Snapshot) CheckKey(k *keyring.Key) error {
	if err := ValidateKey(k); err != nil {
		return err
	}
	maxAge := NewConfig().JWKSMaxAge
	if s.Config != nil {
		maxAge = s.Config.JWKSMaxAge
	}
	if k.PublicationLead <= maxAge {
		return denial.Field("publication_lead", "%s must be more than jwks_max_age of config, which is %s", k.PublicationLead, maxAge)
	}
	versions := k.MostVersions()
	for name, other := range s.Keys {
		if name != k.Name {
			versions += other.MostVersions()
		}
	}
	if versions > maxJWKS {
		return denial.Field("rotation_period", "the JWKS could hold %d keys: %d is the limit; make rotation_period longer or verification_period shorter, or delete a key", versions, maxJWKS)
	}
	return s.checkRoleKeys("name", "verification_period")
}

// CheckRole checks a role against configuration, issuers and keys.
func (s *Snapshot) CheckRole(r *policy.Role, now time.Time) error {
	if s.Config == nil {
		return denial.Field("allowed_audiences", "the mount has no guardrails yet: write config first")
	}
	if err := s.checkRoleOfClients(r); err != nil {
		return err
	}
	if err := s.checkIssuerNames("issuers", r.Issuers); err != nil {
		return err
	}
	if err := s.checkIssuerNames("actor_issuers", r.ActorIssuers); err != nil {
		return err
	}
	if err := s.checkRoleKey(r, now); err != nil {
		return err
	}
	if r.MaxDelegationDepth > s.Config.MaxDelegationDepth {
		return denial.Field("max_delegation_depth", "%d is more than max_delegation_depth of config, which is %d", r.MaxDelegationDepth, s.Config.MaxDelegationDepth)
	}
	if r.MaxTTL > s.Config.MaxTTL {
		return denial.Field("max_ttl", "%s is more than max_ttl of config, which is %s", r.MaxTTL, s.Config.MaxTTL)
	}
	if ceiling := s.MaxTTLOf(r); r.TTL > ceiling { // of config: against its own the role was checked
		return denial.Field("ttl", "%s is more than max_ttl of config, which is %s", r.TTL, ceiling)
	}
	if err := r.CheckWithin(s.Config.AllowedAudiences, s.Config.AllowedScopes); err != nil {
		return err
	}
	return s.checkRoleKeys("key", "max_ttl")
}

func (s *Snapshot) checkRoleKey(r *policy.Role, now time.Time) error {
	switch {
	case r.Opaque():
		return nil
	case s.KeyOf(r) == "":
		return denial.Field("key", "is empty and config has no default_key")
	}
	return s.checkKeyName("key", s.KeyOf(r), now)
}

// checkRoleKeys holds every role against the key that signs for it: the key
// exists, and stays published for as long as a token of the role may live.
func (s *Snapshot) checkRoleKeys(keyField, ttlField string) error {
	if s.Config == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(s.Roles)) {
		role := s.Roles[name]
		if role.Opaque() {
			continue
		}
		key := s.Keys[s.KeyOf(role)]
		if key == nil {
			return denial.Field(keyField, "the role %q would have no key to sign with", name)
		}
		if ttl := s.MaxTTLOf(role); ttl > key.VerificationPeriod {
			return denial.Field(ttlField, "tokens of the role %q may live %s, and the verification_period of key %q is %s",
				name, ttl, key.Name, key.VerificationPeriod)
		}
	}
	return nil
}

// checkKeyName refuses a key that is not there, or that consumers of the JWKS may
// not know yet.
func (s *Snapshot) checkKeyName(field, name string, now time.Time) error {
	key := s.Keys[name]
	if key == nil && len(s.Keys) == 0 {
		return denial.Field(field, "key %q does not exist: create it with keys/%s", name, name)
	}
	if key == nil {
		return denial.Field(field, "key %q does not exist: create it with keys/%s, or use one of %s",
			name, name, token.List(slices.Sorted(maps.Keys(s.Keys))))
	}
	if ready := key.Active().Ready; now.Before(ready) {
		return denial.Field(field, "key %q may sign from %s on: consumers that cache the JWKS may not know it before then",
			name, ready.UTC().Format(time.RFC3339))
	}
	return nil
}

// KeyReady is when a key made now may sign: at once while there is no role, since
// nobody has reason to have fetched the JWKS; else when every cached JWKS that
// lacks it has expired.
func (s *Snapshot) KeyReady(now time.Time) time.Time {
	if len(s.Roles) == 0 || s.Config == nil {
		return now
	}
	return now.Add(s.Config.JWKSMaxAge)
}

func (s *Snapshot) checkIssuerNames(field string, names []string) error {
	introspecting := ""
	for _, name := range names {
		trusted := s.Issuers[name]
		switch {
		case name == policy.Self:
		case trusted == nil:
			return denial.Field(field, "issuer %q does not exist: create it with issuers/%s, or use one of %s",
				name, name, token.List(append(slices.Sorted(maps.Keys(s.Issuers)), policy.Self)))
		case trusted.Introspects() && introspecting != "":
			return denial.Field(field, "%q and %q are both asked about opaque tokens, which do not say whose they are: name one of them", introspecting, name)
		case trusted.Introspects():
			introspecting = name
		}
	}
	return nil
}

// LintRole refuses a role that binds too little for its issuers, and returns what
// is accepted but deserves a second look.
func (s *Snapshot) LintRole(r *policy.Role) ([]string, error) {
	var facts []policy.IssuerFacts
	for _, name := range r.Issuers {
		if i := s.Issuers[name]; i != nil {
			facts = append(facts, factsOf(i))
		}
	}
	warnings, err := r.Lint(facts)
	if err != nil {
		return nil, err
	}
	warnings = append(warnings, s.lintSubject(r)...)
	return append(warnings, s.lintActors(r)...), nil
}

func factsOf(i *issuer.Issuer) policy.IssuerFacts {
	return policy.IssuerFacts{Name: i.Name, Type: i.Type, URL: i.BoundIssuer}
}

// lintActors warns of a name that no actor of the role can have.
func (s *Snapshot) lintActors(r *policy.Role) []string {
	prefixes := []string{}
	switch {
	case r.ActorSource == policy.SourceCaller:
		prefixes = append(prefixes, "entity:")
	case r.ActorSource == policy.SourceClient:
		prefixes = append(prefixes, "client:")
	case slices.Contains(r.ActorIssuers, policy.Self):
		return nil // they may have any
	}
	for _, name := range r.ActorIssuers {
		if i := s.Issuers[name]; i != nil {
			prefixes = append(prefixes, i.SubjectPrefix)
		}
	}
	var out []string
	for _, actor := range r.BoundActors {
		if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(actor, p) }) {
			out = append(out, fmt.Sprintf("bound_actors: %q is nobody: actors of the role begin with one of %s", actor, token.List(prefixes)))
		}
	}
	return out
}

// CheckUsers refuses an issuer for which a role that accepts it, or a client whose
// assertions it makes, binds too little.
func (s *Snapshot) CheckUsers(issuerName string) error {
	for _, name := range s.UsersOfIssuer(issuerName) {
		if _, err := s.LintRole(s.Roles[name]); err != nil {
			return denial.Field("bound_issuer", "the role %q binds too little for what the issuer would be: %s", name, denial.From(err).Reason)
		}
	}
	users := s.ClientsOfIssuer(issuerName)
	if len(users) > 0 && s.Issuers[issuerName].Introspects() {
		return denial.Field("introspection_url", "the issuer makes the assertions of the clients %s, which are JWTs: give them another federated_issuer first", token.List(users))
	}
	for _, name := range users {
		if _, err := s.lintFederated(s.Clients[name].Config); err != nil {
			return denial.Field("bound_issuer", "the client %q binds too little for what the issuer would be: %s", name, denial.From(err).Reason)
		}
	}
	return nil
}

// PrefixWarnings names the roles whose bound_actors mean others, or nobody, since
// the subject_prefix of an issuer has changed.
func (s *Snapshot) PrefixWarnings(before *Snapshot, issuerName string) []string {
	old, now := before.Issuers[issuerName], s.Issuers[issuerName]
	if old == nil || old.SubjectPrefix == now.SubjectPrefix {
		return nil
	}
	roles := s.RolesWith(func(r *policy.Role) bool {
		return slices.ContainsFunc(r.BoundActors, func(actor string) bool {
			return strings.HasPrefix(actor, old.SubjectPrefix) || strings.HasPrefix(actor, now.SubjectPrefix)
		})
	})
	if len(roles) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("subject_prefix was %q and is %q: look at bound_actors of the roles %s", old.SubjectPrefix, now.SubjectPrefix, strings.Join(roles, ", "))}
}

// warningsFor are those of a role that may have become bad since it was written.
func (s *Snapshot) warningsFor(r *policy.Role) []string {
	warnings, err := s.LintRole(r)
	if err != nil {
		return []string{denial.From(err).Error()}
	}
	return warnings
}

// lintSubject warns of a subject expression that does not begin with the prefix
// of the issuer: subjects of two issuers may then be the same.
func (s *Snapshot) lintSubject(r *policy.Role) []string {
	if r.Subject == "" {
		return nil
	}
	if r.SubjectSource == policy.SourceCaller {
		return []string{"subject gives callers other names than entity: and their id: they may come to be those of an issuer's subjects"}
	}
	var out []string
	for _, name := range r.Issuers {
		if i := s.Issuers[name]; i != nil && !r.SubjectBeginsWith(i.SubjectPrefix, name) {
			out = append(out, fmt.Sprintf("subject does not begin with %q, the subject_prefix of the issuer %q: its subjects may come to be those of another", i.SubjectPrefix, name))
		}
	}
	return out
}
