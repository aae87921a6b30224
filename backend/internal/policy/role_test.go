package policy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
)

// asCaller makes the good role one for the caller.
func asCaller(r *policy.Role) {
	r.SubjectSource, r.Issuers, r.BoundSubject = policy.SourceCaller, nil, ""
}

// bind replaces what the good role binds by claims alone.
func bind(claims map[string]any) func(*policy.Role) {
	return func(r *policy.Role) { r.BoundSubject, r.BoundClaims = "", claims }
}

func bindGlob(claims map[string]any) func(*policy.Role) {
	return func(r *policy.Role) { bind(claims)(r); r.BoundClaimsType = policy.MatchGlob }
}

func TestValidateAccepts(t *testing.T) {
	for name, edit := range map[string]func(*policy.Role){
		"the good role":        func(*policy.Role) {},
		"the caller":           asCaller,
		"the caller, narrowed": func(r *policy.Role) { asCaller(r); r.BoundClaims = map[string]any{"/metadata/team": "x"} },
		"bound_audiences":      func(r *policy.Role) { r.BoundSubject, r.BoundAudiences = "", []string{"vault"} },
		"self":                 func(r *policy.Role) { r.Issuers, r.BoundAudiences = []string{policy.Self}, []string{"vault"} },
		"claims of each type":  bind(map[string]any{"a": "x", "b": true, "c": json.Number("7"), "d": 7.0, "e": 7, "f": []any{"x", false, 1.0}}),
		"a glob":               bindGlob(map[string]any{"a": "team-*"}),
		"a condition alone":    func(r *policy.Role) { r.BoundSubject, r.Condition = "", `subject.team == "x"` },
		"a star as a text":     bind(map[string]any{"a": "*"}),
		"no scopes":            func(r *policy.Role) { r.AllowedScopes, r.DefaultScopes = nil, nil },
		"no default audience":  func(r *policy.Role) { r.DefaultAudience = "" },
		"ignore":               func(r *policy.Role) { r.SubjectScopes = policy.ScopesIgnore },
		"map": func(r *policy.Role) {
			r.SubjectScopes, r.ScopeMap = policy.ScopesMap, map[string][]string{"admin": {"read", "write"}}
		},
		"ttl as long as max_ttl": func(r *policy.Role) { r.TTL, r.MaxTTL = time.Hour, time.Hour },
		"typ JWT":                func(r *policy.Role) { r.Type = "JWT" },
	} {
		t.Run(name, func(t *testing.T) {
			r := goodRole()
			edit(r)
			if err := r.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

const allowedCharacters = `printable ASCII other than space, comma, quote and backslash is allowed`

func TestValidateRefuses(t *testing.T) {
	for _, c := range []struct {
		name        string
		edit        func(*policy.Role)
		field, text string
	}{
		{"no subject_source", func(r *policy.Role) { r.SubjectSource = "" }, "subject_source", `"" is not one of ["token", "caller"]`},
		{"bound_claims_type regex", func(r *policy.Role) { r.BoundClaimsType = "regex" }, "bound_claims_type", `"regex" is not one of ["string", "glob"]`},
		{"no subject_scopes", func(r *policy.Role) { r.SubjectScopes = "" }, "subject_scopes", `"" is not one of ["intersect", "map", "ignore"]`},
		{"typ in lower case", func(r *policy.Role) { r.Type = "jwt" }, "typ", `"jwt" is not one of ["at+jwt", "JWT"]`},
		{"typ of something else", func(r *policy.Role) { r.Type = "statuslist+jwt" }, "typ", `"statuslist+jwt" is not one of ["at+jwt", "JWT"]`},

		{"no issuer", func(r *policy.Role) { r.Issuers = nil }, "issuers", `must name at least one issuer (or set subject_source to "caller")`},
		{
			"nothing is bound", func(r *policy.Role) { r.BoundSubject = "" },
			"bound_claims", `the role would accept every token of its issuers: set at least one of bound_claims, bound_subject, bound_audiences, or a condition on the subject`,
		},
		{
			"a condition on nothing that tells subjects apart",
			func(r *policy.Role) {
				r.BoundSubject, r.Condition = "", `subject.issuer == "github" && has(subject.iss)`
			},
			"bound_claims", `the role would accept every token of its issuers: set at least one of bound_claims, bound_subject, bound_audiences, or a condition on the subject`,
		},
		{"an issuer twice", func(r *policy.Role) { r.Issuers = []string{"github", "idp", "github"} }, "issuers", `names an issuer twice`},
		{
			"self without bound_audiences", func(r *policy.Role) { r.Issuers = []string{"self"} },
			"bound_audiences", `must be set in a role that accepts this engine's own tokens (issuer "self")`,
		},
		{
			"self beside another issuer", func(r *policy.Role) { r.Issuers = []string{"github", "self"} },
			"issuers", `"self" cannot be mixed with other issuers, whose tokens could claim what this engine's do: make a role for each`,
		},
		{"too many issuers", func(r *policy.Role) { r.Issuers = make([]string, 257) }, "issuers", `has more than 256 elements`},
		{"too many audiences", func(r *policy.Role) { r.AllowedAudiences = make([]string, 257) }, "allowed_audiences", `has more than 256 elements`},
		{"an audience that is too long", func(r *policy.Role) { r.AllowedAudiences = []string{strings.Repeat("x", 513)} }, "allowed_audiences", `has an element of 513 characters: the limit is 512`},
		{"an empty bound audience", func(r *policy.Role) { r.BoundAudiences = []string{""} }, "bound_audiences", `has an empty element`},
		{"a claim without a name", bind(map[string]any{"": "x"}), "bound_claims", `has a claim without a name`},
		{"a pointer without a name", bind(map[string]any{"/": "x"}), "bound_claims", `has a claim without a name`},
		{"an empty list", bind(map[string]any{"a": []any{}}), "bound_claims", `claim "a" has an empty list of values: nothing could match it`},
		{"an empty value", bind(map[string]any{"a": ""}), "bound_claims", `claim "a" has an empty value`},
		{"an empty value in a list", bind(map[string]any{"a": []any{"x", ""}}), "bound_claims", `claim "a" has an empty value`},
		{"a null", bind(map[string]any{"a": nil}), "bound_claims", badValue},
		{"a fraction", bind(map[string]any{"a": 1.5}), "bound_claims", badValue},
		{"a fraction as text", bind(map[string]any{"a": json.Number("1.5")}), "bound_claims", badValue},
		{"2^53+1", bind(map[string]any{"a": json.Number("9007199254740993")}), "bound_claims", badValue},
		{"2^60 as a double", bind(map[string]any{"a": float64(1 << 60)}), "bound_claims", badValue},
		{"an object", bind(map[string]any{"a": map[string]any{"b": "x"}}), "bound_claims", badValue},
		{"a list in a list", bind(map[string]any{"a": []any{[]any{"x"}}}), "bound_claims", badValue},
		{"the glob *", bindGlob(map[string]any{"a": "*"}), "bound_claims", `claim "a": the pattern "*" matches every value`},
		{"the glob **", bindGlob(map[string]any{"a": []any{"x", "**"}}), "bound_claims", `claim "a": the pattern "**" matches every value`},
		{"the caller's claims", func(r *policy.Role) { asCaller(r); r.BoundClaims = map[string]any{"a": ""} }, "bound_claims", `claim "a" has an empty value`},

		{"the caller with issuers", func(r *policy.Role) { asCaller(r); r.Issuers = []string{"github"} }, "issuers", `must be empty when subject_source is "caller"`},
		{
			"the caller with bound_audiences", func(r *policy.Role) { asCaller(r); r.BoundAudiences = []string{"vault"} },
			"bound_audiences", `must be empty when subject_source is "caller": a Vault entity has no audience`,
		},
		{
			"the caller with subject_scopes", func(r *policy.Role) { asCaller(r); r.SubjectScopes = policy.ScopesIgnore },
			"subject_scopes", `must be left at "intersect" when subject_source is "caller": a Vault entity has no scopes, allowed_scopes alone decides`,
		},

		{"no audience", func(r *policy.Role) { r.AllowedAudiences = nil }, "allowed_audiences", `must name at least one audience`},
		{"an empty audience", func(r *policy.Role) { r.AllowedAudiences = []string{""} }, "allowed_audiences", `has an empty element`},
		{"an audience twice", func(r *policy.Role) { r.AllowedAudiences = []string{"a", "b", "a"} }, "allowed_audiences", `has "a" twice`},
		{
			"an audience with a star", func(r *policy.Role) { r.AllowedAudiences = []string{"https://*.example"} },
			"allowed_audiences", `"https://*.example": a role lists exact values, without wildcards`,
		},
		{
			"a scope with a star", func(r *policy.Role) { r.AllowedScopes = []string{"orders:*"} },
			"allowed_scopes", `"orders:*": a role lists exact values, without wildcards`,
		},
		{
			"a default audience that is not allowed", func(r *policy.Role) { r.DefaultAudience = "https://other.example" },
			"default_audience", `"https://other.example" is not in allowed_audiences`,
		},

		{"a scope twice", func(r *policy.Role) { r.AllowedScopes = []string{"read", "read"} }, "allowed_scopes", `has "read" twice`},
		{"an empty scope", func(r *policy.Role) { r.AllowedScopes = []string{""} }, "allowed_scopes", `has an empty element`},
		{"a default scope that is not allowed", func(r *policy.Role) { r.DefaultScopes = []string{"read", "admin"} }, "default_scopes", `"admin" is not in allowed_scopes`},
		{
			"map without scope_map", func(r *policy.Role) { r.SubjectScopes = policy.ScopesMap },
			"scope_map", `must be set when subject_scopes is "map", and only then`,
		},
		{
			"scope_map without map", func(r *policy.Role) { r.ScopeMap = map[string][]string{"a": {"read"}} },
			"scope_map", `must be set when subject_scopes is "map", and only then`,
		},
		{
			"scope_map to a scope that is not allowed", func(r *policy.Role) {
				r.SubjectScopes, r.ScopeMap = policy.ScopesMap, map[string][]string{"a": {"read", "admin"}}
			},
			"scope_map", `"a" maps to "admin", which is not in allowed_scopes`,
		},

		{"a negative ttl", func(r *policy.Role) { r.TTL = -time.Second }, "ttl", `must not be negative`},
		{"a negative max_ttl", func(r *policy.Role) { r.MaxTTL = -time.Second }, "max_ttl", `must not be negative`},
		{
			"subject_binding while nothing is bound", func(r *policy.Role) { r.SubjectBinding = policy.SubjectRebind },
			"subject_binding", `means nothing while binding is "none": a subject token that is bound is refused`,
		},
		{
			"the caller with a binding", func(r *policy.Role) { asCaller(r); r.Binding = policy.BindMTLS },
			"binding", `must be "none" in a role that asks for the Vault caller: only an OAuth client can prove a key`,
		},
		{"DP-2 dpop for what is no access token", func(r *policy.Role) { r.Binding, r.Type = policy.BindDPoP, "JWT" }, "binding", `"dpop" makes access tokens: leave typ at at+jwt`},
		{"a negative rate_limit", func(r *policy.Role) { r.RateLimit = -1 }, "rate_limit", badRate},
		{"a rate_limit that limits nothing", func(r *policy.Role) { r.RateLimit = 1_000_001 }, "rate_limit", badRate},
		{"ttl past max_ttl", func(r *policy.Role) { r.TTL, r.MaxTTL = time.Hour, time.Minute }, "ttl", `1h0m0s is more than max_ttl, which is 1m0s`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := goodRole()
			c.edit(r)
			wantDenied(t, r.Validate(), denial.InvalidRequest, c.field, c.field+": "+c.text)
		})
	}
}

const badRate = `must be from 0 (no limit) to 1000000 exchanges a minute`

const badValue = `claim "a" must be bound to a string, a boolean, an integer below 2^53, or a list of them`

// An operator who writes 2^53+1 must not get a role for 2^53: both are one
// double, which is how Vault may read the number.
func TestIntegersThatADoubleConfuses(t *testing.T) {
	for _, n := range []any{float64(1 << 53), json.Number("9007199254740992"), -float64(1 << 53)} {
		r := goodRole()
		bind(map[string]any{"a": n})(r)
		if err := r.Validate(); err == nil {
			t.Errorf("bound to %v, which 2^53+1 becomes as well", n)
		}
	}
	r := goodRole()
	bind(map[string]any{"a": float64(1<<53 - 1)})(r)
	if err := r.Validate(); err != nil {
		t.Errorf("2^53-1: %s", err)
	}
}

func TestIdentifierCharacters(t *testing.T) {
	fields := map[string]func(*policy.Role, string){
		"allowed_audiences": func(r *policy.Role, v string) { r.AllowedAudiences = []string{v} },
		"allowed_scopes":    func(r *policy.Role, v string) { r.AllowedScopes = []string{v} },
		"bound_audiences":   func(r *policy.Role, v string) { r.BoundAudiences = []string{v} },
	}
	for field, set := range fields {
		for _, bad := range []rune{',', ' ', '\t', '\n', '\x00', '"', '\\', '\x7f', 'é', '\u00a0', '\ufffd'} {
			r := goodRole()
			value := "a" + string(bad) + "b"
			set(r, value)
			wantDenied(t, r.Validate(), denial.InvalidRequest, field,
				fmt.Sprintf("%s: element %q has the character %q: %s", field, value, bad, allowedCharacters))
		}
	}
	err := policy.CheckGuardrail("allowed_audiences", []string{"https://*", "a,b"})
	wantDenied(t, err, denial.InvalidRequest, "allowed_audiences", `allowed_audiences: element "a,b" has the character ',': `+allowedCharacters)
	if err := policy.CheckGuardrail("allowed_audiences", []string{"https://*", "*"}); err != nil {
		t.Error(err)
	}
}

// A new role, and the zero value, allow nothing.
func TestNewRoleAllowsNothing(t *testing.T) {
	for name, r := range map[string]*policy.Role{"new": policy.NewRole("id", "orders"), "zero": {}} {
		if r.Validate() == nil {
			t.Errorf("%s: is valid", name)
		}
		if got, err := r.Audiences([]string{"x"}, nil, everything, nil); err == nil {
			t.Errorf("%s: grants the audience %q", name, got)
		}
		if got, err := r.Audiences(nil, nil, everything, nil); err == nil {
			t.Errorf("%s: grants the audience %q by default", name, got)
		}
		if got, err := r.Scopes([]string{"read"}, policy.SubjectScope{Scopes: []string{"read"}}, everything, nil); err == nil {
			t.Errorf("%s: grants the scope %q", name, got)
		}
	}
}

func TestWarnings(t *testing.T) {
	const (
		ignores = `subject_scopes is "ignore": allowed_scopes are granted even if the subject token does not have them`
		broad   = `only bound_audiences is set: every subject of the issuers may use this role; set bound_subject, bound_claims or a condition to narrow it`
	)
	const anyone = "a condition alone decides who may act: name the actors in bound_actors where they are known"
	ignore := func(r *policy.Role) { r.SubjectScopes = policy.ScopesIgnore }
	audienceOnly := func(r *policy.Role) { r.BoundSubject, r.BoundAudiences = "", []string{"vault"} }
	for _, c := range []struct {
		name string
		edit func(*policy.Role)
		want []string
	}{
		{"the good role", func(*policy.Role) {}, nil},
		{"the caller", asCaller, nil},
		{"ignore", ignore, []string{ignores}},
		{"ignore without scopes", func(r *policy.Role) { ignore(r); r.AllowedScopes = nil }, nil},
		{"bound_audiences alone", audienceOnly, []string{broad}},
		{"bound_audiences and a condition", func(r *policy.Role) { audienceOnly(r); r.Condition = `subject.team == "x"` }, nil},
		{"a condition alone on the actor", func(r *policy.Role) { delegates(r); anyActor(r); r.Condition = `actor.sub == "api"` }, []string{anyone}},
		{"actors by name", delegates, nil},
		{
			"a star that stands for itself", func(r *policy.Role) { r.BoundClaims = map[string]any{"a": []any{"x", "team-*"}, "b": true} },
			[]string{`bound_claims: "*" in the value of "a" is an ordinary character, since bound_claims_type is "string"`},
		},
		{
			"a star in a subject, which stands for itself", func(r *policy.Role) { r.BoundSubject = "repo:acme/*" },
			[]string{`bound_subject: "*" is an ordinary character: for a pattern, bind "sub" in bound_claims with bound_claims_type "glob"`},
		},
		{"a star in a pattern", func(r *policy.Role) {
			r.BoundClaims, r.BoundClaimsType = map[string]any{"a": "team-*"}, policy.MatchGlob
		}, nil},
		{"both", func(r *policy.Role) { ignore(r); audienceOnly(r) }, []string{ignores, broad}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := goodRole()
			c.edit(r)
			if err := r.Compile(); err != nil {
				t.Fatal(err)
			}
			if got := r.Warnings(); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
