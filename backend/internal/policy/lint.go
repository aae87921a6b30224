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
		found, err := bound.lint(issuer)
		if err != nil {
			return nil, err
		}
		warnings = append(warnings, found...)
	}
	return warnings, nil
}

// service is what is known of the tokens of one kind of issuer.
type service struct {
	// whose says who has tokens of such an issuer, and bind what to bind. They are
	// the text of a refusal; without them nothing is required.
	whose, bind string
	// requires has the claims of which one must be bound. If it is empty, anything
	// does that is not of every token.
	requires []tie
	// says has what a subject tells of other claims.
	says   []implication
	advice []advice
	// texts are claims that look like numbers or booleans and are strings.
	texts []string
	check func(bindings, IssuerFacts) error
}

// tie is a claim that ties a token to one owner. If it is bound to a pattern,
// the text before the first "*" must match fixed; nil for any pattern.
type tie struct {
	claim string
	fixed *regexp.Regexp
}

// exact is matched by nothing: no pattern will do.
var exact = regexp.MustCompile(`[^\s\S]`)

// implication: a subject, or pattern of subjects, that is like this binds the
// claims as well.
type implication struct {
	like   *regexp.Regexp
	claims []string
}

// advice is a warning. It is given when one of the claims is bound (and to a text
// that is like this), or always if it names none; unless one of others is bound.
type advice struct {
	when   []string
	like   *regexp.Regexp
	unless []string
	text   string
}

// services recognises issuers by their URL, whatever their type. A URL with a
// slash at its end stands for all that begin so.
var services = []struct {
	url     string
	service service
	own     bool // one customer's: what is refused of a shared one is a warning
}{
	{"https://token.actions.githubusercontent.com", gitHub, false},
	{"https://token.actions.githubusercontent.com/", gitHub, true}, // of an enterprise
	{"https://gitlab.com", gitLab, false},
	{"https://agent.buildkite.com", buildkite, false},
	{"https://app.terraform.io", terraform, false},
	{"https://accounts.google.com", google, false},
	{"https://oidc.circleci.com/org/", circleCI, false},
	{"https://login.microsoftonline.com/", entra, false},
	{"https://sts.windows.net/", entra, false},
}

var servicesByType = map[string]service{
	"github": gitHub, "gitlab": gitLab, "kubernetes": kubernetes, "spiffe": spiffe, "vault": vault,
}

// gitHub does not let job_workflow_ref tie: every caller of a public reusable
// workflow has it.
var gitHub = service{
	whose: "every repository of the service can have such tokens",
	bind:  "repository_id and repository_owner_id",
	requires: []tie{
		// The forms beside repo: are of subjects by a template.
		{"sub", regexp.MustCompile(`(^|:)(repo:[^/:]+/|repository(_owner)?_id:\d+:|repository:[^/:]+/|repository_owner:[^/:]+:)`)},
		{"repository", regexp.MustCompile(`^[^/]+/`)},
		{"repository_owner", exact},
		{"repository_id", exact},
		{"repository_owner_id", exact},
	},
	// One id in the subject is enough: no other owner has it.
	says: []implication{{
		regexp.MustCompile(`(^|:)(repo:[^/:@*]+@\d+/|repository(_owner)?_id:\d+(:|$))`), []string{"repository_owner_id"},
	}},
	advice: []advice{
		{
			when: []string{"sub"}, unless: []string{"repository_id", "repository_owner_id"},
			text: "names can be renamed and taken over: bind repository_id and repository_owner_id. " +
				"Subjects of repositories created, renamed or transferred after 2026-07-15 carry ids (repo:owner@id/repo@id:…): one of the old form will stop matching",
		},
		{
			when: []string{"repository", "repository_owner"}, unless: []string{"repository_id", "repository_owner_id", "sub"},
			text: "names can be renamed and taken over: bind repository_id and repository_owner_id",
		},
		{
			when: []string{"sub"}, like: regexp.MustCompile(`(^|:)repo:[^/*]+/[^:*]*\*`), unless: []string{"repository_id"},
			text: "the pattern fits more than one repository of the owner: bind repository_id",
		},
		{
			when: []string{"sub"}, like: regexp.MustCompile(`:pull_request`),
			text: "pull requests run what nobody has approved yet: bind ref or environment, and event_name",
		},
		{
			when: []string{"sub"}, like: regexp.MustCompile(`^repo:[^:]*:?\*$`), unless: []string{"ref", "environment", "event_name", "job_workflow_ref"},
			text: anyRun,
		},
		{unless: []string{"ref", "environment", "event_name", "job_workflow_ref", "sub"}, text: anyRun},
	},
	texts: []string{"repository_id", "repository_owner_id"},
}

const anyRun = "every branch and pull request fits: bind ref or environment, and event_name"

var gitLab = service{
	whose: "every project of the service can have such tokens",
	bind:  "project_id and namespace_id",
	requires: []tie{
		{"sub", regexp.MustCompile(`^(project_path:[^/:]+/|project_id:\d+:)`)},
		{"project_path", regexp.MustCompile(`^[^/]+/`)},
		{"namespace_path", regexp.MustCompile(`^[^/]+/`)},
		{"project_id", exact},
		{"namespace_id", exact},
	},
	says: []implication{{regexp.MustCompile(`^project_id:\d+(:|$)`), []string{"project_id"}}},
	advice: []advice{
		{
			when: []string{"sub", "project_path", "namespace_path"}, unless: []string{"project_id", "namespace_id"},
			text: "paths can be renamed and taken over: bind project_id and namespace_id",
		},
		{unless: []string{"ref_protected"}, text: `whoever may push a branch fits: bind ref_protected to "true", which is a string`},
	},
	texts: []string{"project_id", "namespace_id", "ref_protected"},
}

const (
	namespaceClaim = "/kubernetes.io/namespace"
	accountClaim   = "/kubernetes.io/serviceaccount/name"
	accountID      = "/kubernetes.io/serviceaccount/uid"
	podID          = "/kubernetes.io/pod/uid"
)

var kubernetes = service{
	whose:    "every pod of the cluster can have such tokens",
	bind:     "sub and " + accountID,
	requires: []tie{{"sub", nil}, {namespaceClaim, nil}, {accountClaim, nil}, {accountID, nil}, {podID, nil}},
	advice: []advice{
		{
			when: []string{"sub", namespaceClaim, accountClaim}, unless: []string{accountID, podID},
			text: "whoever can recreate the namespace or service account fits: bind " + accountID,
		},
		{
			when: []string{accountClaim}, unless: []string{"sub", namespaceClaim, accountID, podID},
			text: "an account of that name in any namespace fits: bind sub, or " + namespaceClaim,
		},
	},
	check: bindings.checkPointers,
}

var spiffe = service{
	advice: []advice{
		{unless: []string{"sub"}, text: "every workload of the trust domain fits: bind bound_subject to one SPIFFE ID"},
		{
			when: []string{"sub"}, like: regexp.MustCompile(`^spiffe:.*\*`),
			text: "the pattern fits workloads that are yet to be registered: bind bound_subject to one SPIFFE ID",
		},
	},
	check: bindings.checkSPIFFE,
}

var vault = service{
	whose: "every entity of that Vault can have such tokens",
	bind:  "sub, which is the entity's id",
	advice: []advice{
		{unless: []string{"sub"}, text: "names and metadata of an entity can be edited: bind sub, which is its id"},
	},
}

var buildkite = service{
	whose: "every organization of Buildkite can have such tokens",
	bind:  "organization_id and pipeline_id",
	requires: []tie{
		{"sub", regexp.MustCompile(`^organization:[^:]+:`)},
		{"organization_id", exact},
		{"pipeline_id", exact},
		{"organization_slug", exact},
	},
	says: []implication{
		// By --subject-claim the subject is an id.
		{regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`), []string{"organization_id"}},
		{regexp.MustCompile(`:ref:refs/[a-z]+/[^:*]+:`), []string{"build_branch"}},
	},
	advice: []advice{
		{
			when: []string{"sub", "organization_slug", "pipeline_slug"}, unless: []string{"organization_id", "pipeline_id"},
			text: "slugs can be renamed and taken over: bind organization_id and pipeline_id, which the job must ask for",
		},
		{unless: []string{"build_branch"}, text: "builds of every branch and pull request fit: bind build_branch"},
	},
}

var terraform = service{
	whose: "every organization of HCP Terraform can have such tokens",
	bind:  "terraform_organization_id and terraform_workspace_id",
	requires: []tie{
		{"sub", regexp.MustCompile(`^organization:[^:]+:`)},
		{"terraform_organization_id", exact},
		{"terraform_project_id", exact},
		{"terraform_workspace_id", exact},
		{"terraform_organization_name", exact},
	},
	says: []implication{{regexp.MustCompile(`:(run_phase|operation):[a-z_]+$`), []string{"terraform_run_phase"}}},
	advice: []advice{
		{
			when:   []string{"sub", "terraform_organization_name", "terraform_project_name", "terraform_workspace_name"},
			unless: []string{"terraform_organization_id", "terraform_project_id", "terraform_workspace_id"},
			text:   "names can be renamed and taken over: bind terraform_organization_id and terraform_workspace_id",
		},
		{unless: []string{"terraform_run_phase"}, text: "a plan fits as an apply does, and a pull request can start one: bind terraform_run_phase"},
	},
}

var google = service{
	whose: "every Google account can have such tokens, for any audience",
	bind:  "sub, the number of the account",
	requires: []tie{
		{"sub", exact},
		{"email", nil},
		{"hd", nil},
		{"/google/compute_engine/project_id", nil},
		{"/google/compute_engine/project_number", nil},
		{"/google/compute_engine/instance_id", nil},
	},
	advice: []advice{{
		when:   []string{"email", "hd", "/google/compute_engine/project_id", "/google/compute_engine/project_number"},
		unless: []string{"sub"},
		text:   "an address can pass to another account, and a domain or project has many accounts: bind sub, the number of the account",
	}},
}

var circleCI = service{
	says: []implication{
		{regexp.MustCompile(`/vcs-origin/[^*]+/vcs-ref/`), []string{"oidc.circleci.com/vcs-origin"}},
		{regexp.MustCompile(`/vcs-ref/[^*]+$`), []string{"oidc.circleci.com/vcs-ref"}},
	},
	advice: []advice{
		{unless: []string{"oidc.circleci.com/vcs-origin"}, text: "builds of forks fit: bind oidc.circleci.com/vcs-origin"},
		{unless: []string{"oidc.circleci.com/vcs-ref"}, text: "builds of every branch fit: bind oidc.circleci.com/vcs-ref"},
	},
}

var entra = service{
	advice: []advice{{
		when: []string{"email", "preferred_username", "upn"}, unless: []string{"oid", "sub"},
		text: "users and administrators can change it to what another's is: bind tid and oid",
	}},
}

func serviceOf(issuer IssuerFacts) (s service, own bool) {
	for _, known := range services {
		if issuer.URL == known.url || strings.HasSuffix(known.url, "/") && strings.HasPrefix(issuer.URL, known.url) {
			return known.service, known.own
		}
	}
	return servicesByType[issuer.Type], false
}

// bindings are the claims that a role binds, by their canonical names.
type bindings map[string]binding

type binding struct {
	mentioned bool // by the condition
	values    []wanted
}

// wanted is a value to which bound_subject or bound_claims bind a claim.
type wanted struct {
	field   string
	text    string // "" if it is not a string
	pattern bool   // text has wildcards
}

func (r *Role) bindings() bindings {
	bound := bindings{}
	for _, name := range r.compiled.condition.Claims() {
		bound[canonical(name)] = binding{mentioned: true}
	}
	for _, name := range slices.Sorted(maps.Keys(r.BoundClaims)) {
		b := bound[canonical(name)]
		values, ok := r.BoundClaims[name].([]any)
		if !ok {
			values = []any{r.BoundClaims[name]}
		}
		for _, v := range values {
			text, _ := v.(string)
			b.values = append(b.values, wanted{"bound_claims", text, r.BoundClaimsType == MatchGlob && strings.Contains(text, "*")})
		}
		bound[canonical(name)] = b
	}
	if r.BoundSubject != "" { // must match as well, and is not a pattern
		bound["sub"] = binding{values: []wanted{{field: "bound_subject", text: r.BoundSubject}}}
	}
	return bound
}

// canonical names a claim of the token itself without a pointer.
func canonical(name string) string {
	if path := token.SplitPointer(name); len(path) == 1 {
		return path[0]
	}
	return name
}

func (b bindings) lint(issuer IssuerFacts) ([]string, error) {
	s, own := serviceOf(issuer)
	if s.check != nil {
		if err := s.check(b, issuer); err != nil {
			return nil, err
		}
	}
	var out []string
	if problem := s.untied(b); problem != "" {
		if !own {
			return nil, denial.Field("bound_claims", "issuer %q: %s", issuer.Name, problem)
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

// untied tells why the role takes tokens of others; "" if it does not.
func (s service) untied(b bindings) string {
	if s.whose == "" {
		return ""
	}
	if len(s.requires) == 0 {
		for name := range b {
			if !slices.Contains(everyToken, token.SplitPointer(name)[0]) {
				return ""
			}
		}
		return fmt.Sprintf("%s, and the role binds nothing but audiences: bind %s", s.whose, s.bind)
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
		open = "the role binds none of " + token.List(names)
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
func (b bindings) checkPointers(issuer IssuerFacts) error {
	for _, name := range slices.Sorted(maps.Keys(b)) {
		member := kubernetesMember.FindStringSubmatch(name)
		if member == nil || b[name].values == nil {
			continue
		}
		return denial.Field("bound_claims", "issuer %q: no token has a claim %q: members of kubernetes.io are named by JSON pointer: write %q",
			issuer.Name, name, "/kubernetes.io/"+memberNames.Replace(member[1]))
	}
	return nil
}

var kubernetesMember = regexp.MustCompile(`^kubernetes\.io[/.](.+)$`)

// memberNames also knows the claims of the tokens before Kubernetes 1.21.
var memberNames = strings.NewReplacer("serviceaccount/service-account.", "serviceaccount/", "serviceaccount/namespace", "namespace", ".", "/")

// checkSPIFFE refuses subjects of another trust domain and patterns that do not
// end where a path segment does: spiffe://a/ns/prod* also fits prod-evil.
func (b bindings) checkSPIFFE(issuer IssuerFacts) error {
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
			return denial.Field("bound_claims", `issuer %q: the pattern %q of "sub" leaves the trust domain open: begin it with %q`, issuer.Name, v.text, domain)
		case after != "" || !strings.HasSuffix(before, "/"):
			return denial.Field("bound_claims", `issuer %q: the pattern %q of "sub" does not end with a whole segment of the path, so that it fits other workloads too: `+
				`use one "*", after the last slash, or the exact SPIFFE ID`, issuer.Name, v.text)
		}
	}
	return nil
}
