package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// IssuerFacts is what the lints need to know of an issuer that a role accepts.
type IssuerFacts struct {
	Name string
	Type string // "generic", "kubernetes", "github", "gitlab", "spiffe" or "vault"
	URL  string // the exact "iss"; of the type spiffe the trust domain, as spiffe://example.org
}

// Lint holds a role against what is known of its issuers: it refuses a role that
// binds too little on an issuer that many share, and warns of bindings that
// someone else could come to fit, naming the claims to bind instead. A claim that
// the condition mentions counts as bound: what an expression proves of it cannot
// be told.
func (r *Role) Lint(issuers []IssuerFacts) (warnings []string, err error) {
	warnings = r.Warnings()
	if r.SubjectSource == SourceCaller {
		return warnings, nil
	}
	bound := r.bindings()
	for _, issuer := range issuers {
		found, err := bound.lint(aRole, issuer)
		if err != nil {
			return nil, err
		}
		warnings = append(warnings, found...)
	}
	return warnings, nil
}

// LintClient holds what makes the tokens of an issuer an OAuth client's assertions
// against what is known of the issuer, as [Role.Lint] does for a role: the exact
// subject, "" for any, and the claims.
func LintClient(subject string, claims Bound, issuer IssuerFacts) (warnings []string, err error) {
	bound := bindings{}
	bound.addClaims(aClient, claims, MatchString)
	bound.addSubject(aClient, subject)
	return bound.lint(aClient, issuer)
}

// binder is who binds claims, and the fields by which.
type binder struct{ noun, subject, claims string }

var (
	aRole   = binder{"role", "bound_subject", "bound_claims"}
	aClient = binder{"client", "federated_subject", "federated_claims"}
)

// bindings are the claims that a role or a client binds, by their canonical names.
type bindings map[string]binding

type binding struct {
	mentioned bool // by the condition
	values    []wanted
}

// wanted is a value to which a claim is bound.
type wanted struct {
	field   string
	text    string // "" if it is not a string
	pattern bool   // text has wildcards
}

func (r *Role) bindings() bindings {
	bound := bindings{}
	for _, name := range r.compiled.condition.Claims("subject") {
		bound[canonical(name)] = binding{mentioned: true}
	}
	bound.addClaims(aRole, r.BoundClaims, r.BoundClaimsType)
	bound.addSubject(aRole, r.BoundSubject)
	return bound
}

func (b bindings) addClaims(by binder, claims map[string]any, match string) {
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		bound := b[canonical(name)]
		values, ok := claims[name].([]any)
		if !ok {
			values = []any{claims[name]}
		}
		for _, v := range values {
			text, _ := v.(string)
			bound.values = append(bound.values, wanted{by.claims, text, match == MatchGlob && strings.Contains(text, "*")})
		}
		b[canonical(name)] = bound
	}
}

// addSubject binds the subject, which must match as well and is not a pattern.
func (b bindings) addSubject(by binder, subject string) {
	if subject != "" {
		b["sub"] = binding{values: []wanted{{field: by.subject, text: subject}}}
	}
}

// canonical names a claim of the token itself without a pointer.
func canonical(name string) string {
	if path := token.SplitPointer(name); len(path) == 1 {
		return path[0]
	}
	return name
}

func (b bindings) lint(by binder, issuer IssuerFacts) ([]string, error) {
	s, own := serviceOf(issuer)
	if s.check != nil {
		if err := s.check(b, by, issuer); err != nil {
			return nil, err
		}
	}
	var out []string
	if problem := s.untied(b, by); problem != "" {
		if !own {
			return nil, denial.Field(by.claims, "issuer %q: %s", issuer.Name, problem)
		}
		out = append(out, fmt.Sprintf("issuer %q: %s", issuer.Name, problem))
	}
	b = b.with(s.says)
	for _, a := range s.advice {
		if claims, given := a.given(b); given {
			out = append(out, fmt.Sprintf("issuer %q: %s%s", issuer.Name, about(claims), a.text))
		}
	}
	if claims := slices.DeleteFunc(slices.Clone(s.texts), b.onlyTexts); len(claims) > 0 {
		out = append(out, fmt.Sprintf("issuer %q: %sit is a string, which no boolean or number matches: write the value in quotes", issuer.Name, about(claims)))
	}
	return out, nil
}

func about(claims []string) string {
	if len(claims) == 0 {
		return ""
	}
	return token.List(claims) + ": "
}

// everyToken are claims that say nothing of whose a token is; "issuer" is what
// conditions see of the configuration.
var everyToken = []string{"issuer", "iss", "aud", "exp", "nbf", "iat", "jti"}

// OfEveryToken tells whether a claim, which may be named by a pointer, says nothing
// of whose a token is.
func OfEveryToken(name string) bool { return slices.Contains(everyToken, token.SplitPointer(name)[0]) }

// untied tells why tokens of others are taken; "" if they are not.
func (s service) untied(b bindings, by binder) string {
	if s.whose == "" {
		return ""
	}
	if len(s.requires) == 0 {
		for name := range b {
			if !OfEveryToken(name) {
				return ""
			}
		}
		return fmt.Sprintf("%s, and the %s binds nothing but audiences: bind %s", s.whose, by.noun, s.bind)
	}
	var names []string
	open := ""
	for _, t := range s.requires {
		pattern, tied := t.holds(b)
		if tied {
			return ""
		}
		if pattern != "" && open == "" {
			open = fmt.Sprintf("the pattern %q of %q fits those of others", pattern, t.claim)
		}
		names = append(names, t.claim)
	}
	if open == "" {
		open = "the " + by.noun + " binds none of " + token.List(names)
	}
	return fmt.Sprintf("%s, and %s: bind %s", s.whose, open, s.bind)
}

// holds tells whether the claim is bound, and if not, by which pattern it is
// left open.
func (t tie) holds(b bindings) (pattern string, tied bool) {
	bound, ok := b[t.claim]
	if !ok || bound.mentioned {
		return "", ok
	}
	for _, v := range bound.values {
		before, _, _ := strings.Cut(v.text, "*")
		if v.pattern && t.fixed != nil && !t.fixed.MatchString(before) {
			return v.text, false
		}
	}
	return "", true
}

// with adds the claims that every value of the subject tells.
func (b bindings) with(says []implication) bindings {
	out := maps.Clone(b)
	for _, i := range says {
		values := b["sub"].values
		if len(values) == 0 || slices.ContainsFunc(values, func(v wanted) bool { return !i.like.MatchString(v.text) }) {
			continue
		}
		for _, name := range i.claims {
			if !b.has(name) {
				out[name] = binding{}
			}
		}
	}
	return out
}

func (b bindings) has(name string) bool {
	_, ok := b[name]
	return ok
}

func (b bindings) onlyTexts(name string) bool {
	return !slices.ContainsFunc(b[name].values, func(v wanted) bool { return v.text == "" })
}

// given tells whether to give the advice, and of which claims it speaks.
func (a advice) given(b bindings) (claims []string, given bool) {
	if slices.ContainsFunc(a.unless, b.has) {
		return nil, false
	}
	for _, name := range a.when {
		if b.has(name) && (a.like == nil || slices.ContainsFunc(b[name].values, a.matches)) {
			claims = append(claims, name)
		}
	}
	return claims, len(a.when) == 0 || len(claims) > 0
}

// matches ignores texts with a star that is not a wildcard: no claim is like
// them.
func (a advice) matches(v wanted) bool {
	return (v.pattern || !strings.Contains(v.text, "*")) && a.like.MatchString(v.text)
}

// checkPointers refuses names that look like the members of the kubernetes.io
// claim and are not: the dot is part of its name, and a member takes a pointer.
func (b bindings) checkPointers(by binder, issuer IssuerFacts) error {
	for _, name := range slices.Sorted(maps.Keys(b)) {
		member := kubernetesMember.FindStringSubmatch(name)
		if member == nil || b[name].values == nil {
			continue
		}
		return denial.Field(by.claims, "issuer %q: no token has a claim %q: members of kubernetes.io are named by JSON pointer: write %q",
			issuer.Name, name, "/kubernetes.io/"+memberNames.Replace(member[1]))
	}
	return nil
}

var kubernetesMember = regexp.MustCompile(`^kubernetes\.io[/.](.+)$`)

// memberNames also knows the claims of the tokens before Kubernetes 1.21.
var memberNames = strings.NewReplacer("serviceaccount/service-account.", "serviceaccount/", "serviceaccount/namespace", "namespace", ".", "/")

// checkSPIFFE refuses subjects of another trust domain and patterns that do not
// end where a path segment does: spiffe://a/ns/prod* also fits prod-evil.
func (b bindings) checkSPIFFE(by binder, issuer IssuerFacts) error {
	domain, all := issuer.URL+"/", b["sub"].values
	outside := func(v wanted) bool {
		before, _, _ := strings.Cut(v.text, "*")
		inside := strings.HasPrefix(before, domain) || v.pattern && strings.HasPrefix(domain, before)
		return !inside
	}
	// Another issuer of the role may be what some of several are for.
	own := slices.DeleteFunc(slices.Clone(all), outside)
	if len(own) == 0 && len(all) > 0 {
		return denial.Field(all[0].field, "issuer %q: the subject %q is not of its trust domain: SPIFFE IDs there begin with %q", issuer.Name, all[0].text, domain)
	}
	for _, v := range own {
		before, after, _ := strings.Cut(v.text, "*")
		switch {
		case !v.pattern:
		case !strings.HasPrefix(before, domain):
			return denial.Field(by.claims, `issuer %q: the pattern %q of "sub" leaves the trust domain open: begin it with %q`, issuer.Name, v.text, domain)
		case after != "" || !strings.HasSuffix(before, "/"):
			return denial.Field(by.claims, `issuer %q: the pattern %q of "sub" does not end with a whole segment of the path, so that it fits other workloads too: `+
				`use one "*", after the last slash, or the exact SPIFFE ID`, issuer.Name, v.text)
		}
	}
	return nil
}
