package policy

import (
	"regexp"
	"strings"
)

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
	check func(bindings, binder, IssuerFacts) error
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
		{unless: []string{"sub"}, text: "every workload of the trust domain fits: bind sub to one SPIFFE ID"},
		{
			when: []string{"sub"}, like: regexp.MustCompile(`^spiffe:.*\*`),
			text: "the pattern fits workloads that are yet to be registered: bind sub to one SPIFFE ID",
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
