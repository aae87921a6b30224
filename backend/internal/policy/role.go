// Package policy holds what roles allow, and decides. A decision is made from
// verified claims alone; what no rule allows is refused.
package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Self is the name under which a role accepts this engine's own tokens.
const Self = "self"

// Role says who may exchange, for what, and how the answer is made. The field
// names are those of the API.
type Role struct {
	// ID is random and never reused: a token names it, so that deleting a role
	// kills its tokens and a new role of the same name does not revive them.
	ID   string `json:"id"`
	Name string `json:"name"`

	// Who.
	SubjectSource   string         `json:"subject_source"`
	Issuers         []string       `json:"issuers"`
	BoundSubject    string         `json:"bound_subject"`
	BoundAudiences  []string       `json:"bound_audiences"`
	BoundClaims     map[string]any `json:"bound_claims"`
	BoundClaimsType string         `json:"bound_claims_type"`
	// Condition is an expression that must be true.
	Condition string `json:"condition"`

	// Acting for.
	Delegation         string   `json:"delegation"`
	ActorSource        string   `json:"actor_source"`
	ActorIssuers       []string `json:"actor_issuers"`
	BoundActors        []string `json:"bound_actors"`
	MayAct             string   `json:"may_act"`
	MaxDelegationDepth int      `json:"max_delegation_depth"` // 0 for the mount's

	// What.
	AllowedAudiences []string            `json:"allowed_audiences"`
	DefaultAudience  string              `json:"default_audience"`
	AllowedScopes    []string            `json:"allowed_scopes"`
	DefaultScopes    []string            `json:"default_scopes"`
	SubjectScopes    string              `json:"subject_scopes"`
	ScopeMap         map[string][]string `json:"scope_map"`
	// Subject and Claims are expressions: of "sub", and of further claims by name.
	Subject string            `json:"subject"`
	Claims  map[string]string `json:"claims"`

	// How.
	Format        string        `json:"format"`
	Key           string        `json:"key"`
	Type          string        `json:"typ"`
	TTL           time.Duration `json:"ttl"`
	MaxTTL        time.Duration `json:"max_ttl"`
	GenerateLease bool          `json:"generate_lease"`
	// Binding is what the token is bound to; SubjectBinding what becomes of a subject
	// token that is bound.
	Binding        string `json:"binding"`
	SubjectBinding string `json:"subject_binding"`
	RateLimit      int    `json:"rate_limit"` // tokens a minute for each subject; 0 for no limit

	compiled expressions
}

// Ref names the role in its tokens: the name finds it, the id tells it from a
// later role of the same name.
func (r *Role) Ref() string { return r.Name + ":" + r.ID }

// The values of subject_source and actor_source, bound_claims_type,
// subject_scopes, delegation, may_act and format.
const (
	SourceToken  = "token"
	SourceCaller = "caller"
	SourceClient = "client" // of actor_source alone

	MatchString = "string"
	MatchGlob   = "glob"

	ScopesIntersect = "intersect"
	ScopesMap       = "map"
	ScopesIgnore    = "ignore"

	DelegationForbidden = "forbidden"
	DelegationOptional  = "optional" // the answer may be without "act"
	DelegationRequired  = "required"

	MayActHonor   = "honor" // decides if the subject token has it
	MayActRequire = "require"

	BindNone = "none"
	BindDPoP = "dpop" // the key of a proof (RFC 9449)
	BindMTLS = "mtls" // the certificate of the connection (RFC 8705)
	BindAny  = "any"

	SubjectProve  = "prove"  // the request proves the key that the subject token is bound to
	SubjectReject = "reject" // a bound subject token is refused
	SubjectRebind = "rebind" // the client need not prove it: the answer is bound to its own

	FormatJWT    = "jwt"
	FormatOpaque = "opaque" // the claims are kept here, and the token leads to them
)

// typeDefault is the "typ" of RFC 9068.
const typeDefault = "at+jwt"

// NewRole returns a role with the defaults of every field that has one. It
// allows nothing yet.
func NewRole(id, name string) *Role {
	return &Role{
		ID: id, Name: name, SubjectSource: SourceToken, BoundClaimsType: MatchString,
		Delegation: DelegationForbidden, ActorSource: SourceToken, MayAct: MayActHonor,
		SubjectScopes: ScopesIntersect, Format: FormatJWT, Type: typeDefault, GenerateLease: true,
		Binding: BindNone, SubjectBinding: SubjectProve,
	}
}

// UnmarshalJSON reads a stored role. A field that it was stored without, since
// there was none, has its default.
func (r *Role) UnmarshalJSON(data []byte) error {
	type plain Role
	*r = *NewRole("", "")
	return json.Unmarshal(data, (*plain)(r))
}

// Validate checks the role by itself: what can be said without knowing the
// keys, issuers and guardrails of the mount.
func (r *Role) Validate() error {
	checks := []func() error{
		r.checkChoices, r.Compile, r.checkWho, r.checkCaller, r.checkDelegation, r.checkExpressions, r.checkTargets, r.checkScopes,
		r.checkFormat, r.checkTTL, r.checkBinding,
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (r *Role) checkChoices() error {
	for _, c := range []struct {
		field, value string
		allowed      []string
	}{
		{"subject_source", r.SubjectSource, []string{SourceToken, SourceCaller}},
		{"bound_claims_type", r.BoundClaimsType, []string{MatchString, MatchGlob}},
		{"delegation", r.Delegation, []string{DelegationForbidden, DelegationOptional, DelegationRequired}},
		{"actor_source", r.ActorSource, []string{SourceToken, SourceCaller, SourceClient}},
		{"may_act", r.MayAct, []string{MayActHonor, MayActRequire}},
		{"subject_scopes", r.SubjectScopes, []string{ScopesIntersect, ScopesMap, ScopesIgnore}},
		{"format", r.Format, []string{FormatJWT, FormatOpaque}},
		{"typ", r.Type, []string{typeDefault, "JWT"}},
		{"binding", r.Binding, []string{BindNone, BindDPoP, BindMTLS, BindAny}},
		{"subject_binding", r.SubjectBinding, []string{SubjectProve, SubjectReject, SubjectRebind}},
	} {
		if !slices.Contains(c.allowed, c.value) {
			return denial.Field(c.field, "%q is not one of %s", c.value, token.List(c.allowed))
		}
	}
	return nil
}

// checkWho refuses a role that binds nothing: it would take every token of its
// issuers.
func (r *Role) checkWho() error {
	if err := checkBoundClaims("bound_claims", r.BoundClaims, r.BoundClaimsType); err != nil {
		return err
	}
	if r.SubjectSource == SourceCaller {
		return nil
	}
	switch {
	case len(r.Issuers) == 0:
		return denial.Field("issuers", `must name at least one issuer (or set subject_source to "caller")`)
	case len(r.Issuers) > maxItems:
		return denial.Field("issuers", "has more than %d elements", maxItems)
	case hasTwice(r.Issuers):
		return denial.Field("issuers", "names an issuer twice")
	case slices.Contains(r.Issuers, Self) && len(r.Issuers) > 1:
		return denial.Field("issuers", "%q cannot be mixed with other issuers, whose tokens could claim what this engine's do: make a role for each", Self)
	case r.BoundSubject == "" && len(r.BoundAudiences) == 0 && len(r.BoundClaims) == 0 && !r.conditionBinds("subject"):
		return denial.Field("bound_claims", "the role would accept every token of its issuers: "+
			"set at least one of bound_claims, bound_subject, bound_audiences, or a condition on the subject")
	case slices.Contains(r.Issuers, Self) && len(r.BoundAudiences) == 0:
		return denial.Field("bound_audiences", "must be set in a role that accepts this engine's own tokens (issuer %q)", Self)
	}
	return checkIdentifiers("bound_audiences", r.BoundAudiences)
}

// checkCaller refuses fields that would silently mean nothing: a caller is
// identified by Vault, not by a token.
func (r *Role) checkCaller() error {
	if r.SubjectSource != SourceCaller {
		return nil
	}
	switch {
	case len(r.Issuers) > 0:
		return denial.Field("issuers", `must be empty when subject_source is "caller"`)
	case len(r.BoundAudiences) > 0:
		return denial.Field("bound_audiences", `must be empty when subject_source is "caller": a Vault entity has no audience`)
	case r.SubjectScopes != ScopesIntersect:
		return denial.Field("subject_scopes", `must be left at %q when subject_source is "caller": a Vault entity has no scopes, allowed_scopes alone decides`, ScopesIntersect)
	}
	return nil
}

func (r *Role) checkTargets() error {
	if len(r.AllowedAudiences) == 0 {
		return denial.Field("allowed_audiences", "must name at least one audience")
	}
	if err := checkIdentifiers("allowed_audiences", r.AllowedAudiences); err != nil {
		return err
	}
	if err := checkExact("allowed_audiences", r.AllowedAudiences); err != nil {
		return err
	}
	if r.DefaultAudience != "" && !slices.Contains(r.AllowedAudiences, r.DefaultAudience) {
		return denial.Field("default_audience", "%q is not in allowed_audiences", r.DefaultAudience)
	}
	return nil
}

func (r *Role) checkScopes() error {
	if err := checkIdentifiers("allowed_scopes", r.AllowedScopes); err != nil {
		return err
	}
	if err := checkExact("allowed_scopes", r.AllowedScopes); err != nil {
		return err
	}
	if s, ok := outside(r.DefaultScopes, r.AllowedScopes); ok {
		return denial.Field("default_scopes", "%q is not in allowed_scopes", s)
	}
	if (r.SubjectScopes == ScopesMap) != (len(r.ScopeMap) > 0) {
		return denial.Field("scope_map", "must be set when subject_scopes is %q, and only then", ScopesMap)
	}
	if len(r.ScopeMap) > maxItems {
		return denial.Field("scope_map", "has more than %d elements", maxItems)
	}
	for from, to := range r.ScopeMap {
		if s, ok := outside(to, r.AllowedScopes); ok {
			return denial.Field("scope_map", "%q maps to %q, which is not in allowed_scopes", from, s)
		}
	}
	return nil
}

// maxRate is the highest rate_limit: what is above it limits nothing.
const maxRate = 1_000_000

// checkBinding refuses what no request could meet, and what would mean nothing.
func (r *Role) checkBinding() error {
	switch {
	case r.Binding == BindNone && r.SubjectBinding != SubjectProve:
		return denial.Field("subject_binding", "means nothing while binding is %q: a subject token that is bound is refused", BindNone)
	case r.Binding != BindNone && r.NeedsCaller():
		return denial.Field("binding", "must be %q in a role that asks for the Vault caller: only an OAuth client can prove a key", BindNone)
	case r.RateLimit < 0 || r.RateLimit > maxRate:
		return denial.Field("rate_limit", "must be from 0 (no limit) to %d exchanges a minute", maxRate)
	case r.Binding == BindDPoP && r.Type == "JWT":
		return denial.Field("binding", "%q makes access tokens: leave typ at at+jwt", BindDPoP)
	}
	return nil
}

// Opaque tells whether the role's tokens are opaque, and so are signed by no key.
func (r *Role) Opaque() bool { return r.Format == FormatOpaque }

// checkFormat refuses fields that would silently mean nothing.
func (r *Role) checkFormat() error {
	switch {
	case !r.Opaque():
		return nil
	case r.Key != "":
		return denial.Field("key", "must be empty when format is %q: no key signs an opaque token", FormatOpaque)
	case r.Type != typeDefault:
		return denial.Field("typ", "must be left at %q when format is %q: an opaque token has no header", typeDefault, FormatOpaque)
	}
	return nil
}

func (r *Role) checkTTL() error {
	switch {
	case r.TTL < 0:
		return denial.Field("ttl", "must not be negative")
	case r.MaxTTL < 0:
		return denial.Field("max_ttl", "must not be negative")
	case r.MaxTTL > 0 && r.TTL > r.MaxTTL:
		return denial.Field("ttl", "%s is more than max_ttl, which is %s", r.TTL, r.MaxTTL)
	}
	return nil
}

// Warnings tells what is accepted but deserves a second look.
func (r *Role) Warnings() []string {
	var out []string
	if r.SubjectScopes == ScopesIgnore && len(r.AllowedScopes) > 0 {
		out = append(out, `subject_scopes is "ignore": allowed_scopes are granted even if the subject token does not have them`)
	}
	if len(r.Issuers) > 0 && r.BoundSubject == "" && len(r.BoundClaims) == 0 && !r.conditionBinds("subject") {
		out = append(out, "only bound_audiences is set: every subject of the issuers may use this role; "+
			"set bound_subject, bound_claims or a condition to narrow it")
	}
	if r.Delegation != DelegationForbidden && len(r.BoundActors) == 0 && r.MayAct != MayActRequire {
		out = append(out, "a condition alone decides who may act: name the actors in bound_actors where they are known")
	}
	for _, name := range slices.Sorted(maps.Keys(r.BoundClaims)) {
		if hasStar(r.BoundClaims[name]) && r.BoundClaimsType == MatchString {
			out = append(out, fmt.Sprintf("bound_claims: \"*\" in the value of %q is an ordinary character, since bound_claims_type is %q", name, MatchString))
		}
	}
	if strings.Contains(r.BoundSubject, "*") {
		out = append(out, `bound_subject: "*" is an ordinary character: for a pattern, bind "sub" in bound_claims with bound_claims_type "glob"`)
	}
	if len(r.Issuers) > 1 && r.BoundSubject != "" {
		out = append(out, "bound_subject is compared with the \"sub\" of every issuer of the role: make sure that it means the same one in each")
	}
	return out
}

// maxItems is how many elements any list or map of a role, or of the guardrails,
// may have.
const maxItems = 256

// maxIdentifier is the longest audience or scope, in characters.
const maxIdentifier = 512

// checkIdentifiers refuses audiences and scopes that cannot be told apart once
// they are written into a list. A comma is refused because Vault joins repeated
// form fields with one.
func checkIdentifiers(field string, values []string) error {
	if len(values) > maxItems {
		return denial.Field(field, "has more than %d elements", maxItems)
	}
	for i, v := range values {
		if len(v) > maxIdentifier {
			return denial.Field(field, "has an element of %d characters: the limit is %d", len(v), maxIdentifier)
		}
		if v == "" {
			return denial.Field(field, "has an empty element")
		}
		if c, bad := badCharacter(v); bad {
			return denial.Field(field, "element %q has the character %q: printable ASCII other than space, comma, quote and backslash is allowed", v, c)
		}
		if slices.Contains(values[:i], v) {
			return denial.Field(field, "has %q twice", v)
		}
	}
	return nil
}

// checkExact refuses what looks like a pattern, and would be compared as it is.
func checkExact(field string, values []string) error {
	for _, v := range values {
		if strings.Contains(v, "*") {
			return denial.Field(field, "%q: a role lists exact values, without wildcards", v)
		}
	}
	return nil
}

// badCharacter finds what RFC 6749 §3.3 does not permit in a scope token, or a
// comma.
func badCharacter(s string) (rune, bool) {
	for _, c := range s {
		if c <= ' ' || c > '~' || c == ',' || c == '"' || c == '\\' {
			return c, true
		}
	}
	return 0, false
}

func hasStar(value any) bool {
	values, ok := value.([]any)
	if !ok {
		values = []any{value}
	}
	return slices.ContainsFunc(values, func(v any) bool {
		text, ok := v.(string)
		return ok && strings.Contains(text, "*")
	})
}

func hasTwice(values []string) bool {
	sorted := slices.Sorted(slices.Values(values))
	return len(slices.Compact(sorted)) < len(values)
}

func outside(values, allowed []string) (string, bool) {
	for _, v := range values {
		if !slices.Contains(allowed, v) {
			return v, true
		}
	}
	return "", false
}
