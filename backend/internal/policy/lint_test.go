package policy_test

import (
	"slices"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denialtest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
)

var (
	onGitHub     = policy.IssuerFacts{Name: "gh", Type: "github", URL: "https://token.actions.githubusercontent.com"}
	onEnterprise = policy.IssuerFacts{Name: "gh", Type: "github", URL: "https://token.actions.githubusercontent.com/acme"}
	onGHES       = policy.IssuerFacts{Name: "gh", Type: "github", URL: "https://github.corp.example/_services/token"}
	onGitLab     = policy.IssuerFacts{Name: "gl", Type: "gitlab", URL: "https://gitlab.com"}
	onKubernetes = policy.IssuerFacts{Name: "k8s", Type: "kubernetes", URL: "https://oidc.eks.eu-west-1.amazonaws.com/id/1"}
	onSPIFFE     = policy.IssuerFacts{Name: "mesh", Type: "spiffe", URL: "spiffe://example.org"}
	onVault      = policy.IssuerFacts{Name: "vault", Type: "vault", URL: "https://vault.example/v1/identity/oidc"}
	onBuildkite  = policy.IssuerFacts{Name: "bk", Type: "generic", URL: "https://agent.buildkite.com"}
	onTerraform  = policy.IssuerFacts{Name: "tf", Type: "generic", URL: "https://app.terraform.io"}
	onGoogle     = policy.IssuerFacts{Name: "goog", Type: "generic", URL: "https://accounts.google.com"}
	onCircleCI   = policy.IssuerFacts{Name: "cci", Type: "generic", URL: "https://oidc.circleci.com/org/0f6f"}
	onEntraV1    = policy.IssuerFacts{Name: "az", Type: "generic", URL: "https://sts.windows.net/t1/"}
	onEntraV2    = policy.IssuerFacts{Name: "az", Type: "generic", URL: "https://login.microsoftonline.com/t1/v2.0"}
	onKeycloak   = policy.IssuerFacts{Name: "kc", Type: "generic", URL: "https://sso.example/realms/acme"}
)

// generic is an issuer of which the type says nothing.
func generic(issuer policy.IssuerFacts) policy.IssuerFacts {
	issuer.Type = "generic"
	return issuer
}

// audienceOnly is a role that binds no subject at all.
func audienceOnly(r *policy.Role) { r.BoundSubject, r.BoundAudiences = "", []string{"vault"} }

func bindSub(sub string) func(*policy.Role) { return func(r *policy.Role) { r.BoundSubject = sub } }

func bindGlobSub(sub any) func(*policy.Role) { return bindGlob(map[string]any{"sub": sub}) }

// conditional binds audiences, and the subject by the condition alone.
func conditional(condition string) func(*policy.Role) {
	return func(r *policy.Role) { audienceOnly(r); r.Condition = condition }
}

func both(a, b func(*policy.Role)) func(*policy.Role) {
	return func(r *policy.Role) { a(r); b(r) }
}

// lint returns the warnings of Lint that are not those of Warnings.
func lint(t *testing.T, edit func(*policy.Role), issuers ...policy.IssuerFacts) ([]string, error) {
	t.Helper()
	r := goodRole()
	edit(r)
	if err := r.Validate(); err != nil {
		t.Fatalf("the role is not valid: %v", err)
	}
	got, err := r.Lint(issuers)
	if err != nil {
		return got, err
	}
	always := r.Warnings()
	if len(got) < len(always) || !slices.Equal(got[:len(always)], always) {
		t.Fatalf("got %q, which does not begin with %q", got, always)
	}
	return got[len(always):], nil
}

const (
	spiffeID = "spiffe://example.org/ns/prod/sa/deployer"
	uuid     = "0184990a-477b-4fa8-9968-496074483cee"
	account  = "system:serviceaccount:prod:deployer"
	newSub   = "repo:acme@12/deploy@34:ref:refs/heads/main"
	oldSub   = "repo:acme/deploy:ref:refs/heads/main"
)

// What the standards' table recommends, in each form, is taken without a word.
func TestLintAccepts(t *testing.T) {
	for _, c := range []struct {
		name   string
		issuer policy.IssuerFacts
		edit   func(*policy.Role)
	}{
		{"IS-1 github: ids, ref and event_name", onGitHub, bind(map[string]any{"repository_owner_id": "12", "repository_id": "34", "ref": "refs/heads/main", "event_name": "push"})},
		{"github: as pointers", onGitHub, bind(map[string]any{"/repository_id": "34", "/environment": "prod"})},
		{"IS-3 github: ids and a subject of the old form", onGitHub, both(bind(map[string]any{"repository_id": "34"}), bindSub(oldSub))},
		{"IS-3 github: ids and a subject of the new form", onGitHub, both(bind(map[string]any{"repository_id": "34"}), bindSub(newSub))},
		{"IS-3 github: ids and subjects of both forms", onGitHub, bind(map[string]any{"repository_id": "34", "sub": []any{oldSub, newSub}})},
		{"IS-3 github: a subject of the new form has the ids", onGitHub, bindSub(newSub)},
		{"github: a pattern of one that has", onGitHub, bindGlobSub("repo:acme@12/deploy@34:ref:refs/heads/*")},
		{"github: a subject by template has the ids", onGitHub, bindSub("repository_owner_id:12:repository_id:34:environment:prod")},
		{"github: by template, the owner alone", onGitHub, bindGlobSub("repository_owner_id:12:*")},
		{"github: by template, the repository", onGitHub, bindGlobSub("environment:prod:repository_id:34:*")},
		{"github: a pattern beside the workflow", onGitHub, bindGlob(map[string]any{"sub": "repo:acme@12/deploy@34:*", "job_workflow_ref": "acme/ci/.github/workflows/x.yml@refs/heads/main"})},
		{"github: a pattern beside the environment", onGitHub, bindGlob(map[string]any{"sub": "repo:acme@12/deploy@34:*", "environment": "prod"})},
		{"github: a pattern beside the event", onGitHub, bindGlob(map[string]any{"sub": "repo:acme@12/deploy@34:*", "event_name": "push"})},
		{"github: the event", onGitHub, bind(map[string]any{"repository_id": "34", "event_name": "push"})},
		{"github: the workflow", onGitHub, bind(map[string]any{"repository_id": "34", "job_workflow_ref": "acme/ci/.github/workflows/x.yml@refs/heads/main"})},
		{"github: a repository by name beside its id", onGitHub, bind(map[string]any{"repository": "acme/deploy", "repository_id": "34", "ref": "x"})},
		{"github: a repository by name beside its owner's id", onGitHub, bind(map[string]any{"repository": "acme/deploy", "repository_owner_id": "12", "ref": "x"})},
		{"github: an open pattern beside an owner and what ran", onGitHub, bindGlob(map[string]any{"sub": "repo:*:environment:prod", "repository_owner_id": "12"})},
		{"github: a pattern of subjects beside ids and ref", onGitHub, bindGlob(map[string]any{"sub": "repo:acme/*", "repository_id": "34", "ref": "refs/heads/main"})},
		{"github: by the condition", onGitHub, conditional(`subject.repository_id == "34" && subject.ref == "refs/heads/main"`)},
		{"github: of the type generic", generic(onGitHub), bind(map[string]any{"repository_id": "34", "ref": "refs/heads/main"})},
		{"IS-1 gitlab: ids and ref_protected", onGitLab, bind(map[string]any{"project_id": "7", "namespace_id": "3", "ref_protected": "true", "ref": "main", "ref_type": "branch"})},
		{"gitlab: a path beside the namespace's id", onGitLab, bind(map[string]any{"project_path": "acme/deploy", "namespace_id": "3", "ref_protected": "true"})},
		{"gitlab: a pattern of one project", onGitLab, bindGlob(map[string]any{"ref_protected": "true", "sub": "project_id:7:*"})},
		{"gitlab: a subject that begins with the id", onGitLab, both(bind(map[string]any{"ref_protected": "true"}), bindSub("project_id:7:ref_type:branch:ref:main"))},
		{"IS-1 kubernetes: sub and uid", onKubernetes, both(bind(map[string]any{"/kubernetes.io/serviceaccount/uid": "u-1"}), bindSub(account))},
		{"kubernetes: a pod", onKubernetes, both(bind(map[string]any{"/kubernetes.io/pod/uid": "u-2"}), bindSub(account))},
		{"kubernetes: a pod alone", onKubernetes, bind(map[string]any{"/kubernetes.io/pod/uid": "u-2"})},
		{"kubernetes: an account by name and uid", onKubernetes, bind(map[string]any{"/kubernetes.io/serviceaccount/name": "deployer", "/kubernetes.io/serviceaccount/uid": "u-1"})},
		{"kubernetes: an account by name, in a pod", onKubernetes, bind(map[string]any{"/kubernetes.io/serviceaccount/name": "deployer", "/kubernetes.io/pod/uid": "u-1"})},
		{"kubernetes: a claim of another name", onKubernetes, both(bind(map[string]any{"kubernetes.ioxx": "x", "/kubernetes.io/serviceaccount/uid": "u-1"}), bindSub(account))},
		{"kubernetes: a condition asks for the wrong name", onKubernetes, conditional(`subject.hasClaim("kubernetes.io/pod/uid") || subject["kubernetes.io"].pod.uid == "x"`)},
		{"kubernetes: by the condition", onKubernetes, conditional(`subject["kubernetes.io"].serviceaccount.uid == "u-1"`)},
		{"IS-1 spiffe: one SPIFFE ID", onSPIFFE, bindSub(spiffeID)},
		{"spiffe: some", onSPIFFE, bind(map[string]any{"sub": []any{spiffeID, "spiffe://example.org/x"}})},
		{"spiffe: some, of another trust domain too", onSPIFFE, bind(map[string]any{"sub": []any{"spiffe://other.example/x", spiffeID}})},
		{"spiffe: an exact one among patterns elsewhere", onSPIFFE, bindGlob(map[string]any{"sub": []any{"repo:acme/*", spiffeID}})},
		{"spiffe: by the condition", onSPIFFE, conditional(`subject.sub.startsWith("spiffe://example.org/ns/prod/")`)},
		{"IS-1 vault: the entity", onVault, bindSub(uuid)},
		{"IS-1 buildkite: ids and build_branch", onBuildkite, bind(map[string]any{"organization_id": uuid, "pipeline_id": uuid, "build_branch": "main"})},
		{"buildkite: a slug beside the pipeline's id", onBuildkite, bind(map[string]any{"organization_slug": "acme", "pipeline_id": uuid, "build_branch": "main"})},
		{"buildkite: the subject is an id", onBuildkite, both(bind(map[string]any{"build_branch": "main"}), bindSub(uuid))},
		{"buildkite: the subject has the branch", onBuildkite, bindGlob(map[string]any{"organization_id": uuid, "sub": "organization:acme:pipeline:p:ref:refs/heads/main:commit:*"})},
		{"IS-1 terraform: ids and phase", onTerraform, bind(map[string]any{"terraform_organization_id": "org-1", "terraform_workspace_id": "ws-1", "terraform_run_phase": "apply"})},
		{"terraform: a name beside the organization's id", onTerraform, bind(map[string]any{"terraform_workspace_name": "w", "terraform_organization_id": "org-1", "terraform_run_phase": "apply"})},
		{"terraform: a name beside the project's id", onTerraform, bind(map[string]any{"terraform_workspace_name": "w", "terraform_project_id": "prj-1", "terraform_run_phase": "apply"})},
		{"terraform: a test of a module", onTerraform, both(bind(map[string]any{"terraform_organization_id": "org-1"}), bindSub("organization:o:module:m:operation:test_run"))},
		{"terraform: the subject has the phase", onTerraform, both(bind(map[string]any{"terraform_workspace_id": "ws-1"}), bindSub("organization:o:project:p:workspace:w:run_phase:apply"))},
		{"IS-1 google: sub", onGoogle, bindSub("104512345678901234567")},
		{"google: sub beside an address", onGoogle, both(bind(map[string]any{"email": "a@acme.example"}), bindSub("104512345678901234567"))},
		{"IS-1 circleci: project, origin and ref", onCircleCI, bind(map[string]any{"oidc.circleci.com/project-id": uuid, "oidc.circleci.com/vcs-origin": "github.com/acme/deploy", "oidc.circleci.com/vcs-ref": "refs/heads/main"})},
		{"circleci: a subject of version 2", onCircleCI, bindSub("org/o/project/p/user/u/vcs-origin/github.com/acme/deploy/vcs-ref/refs/heads/main")},
		{"entra: the sub that is this application's alone", onEntraV2, both(bind(map[string]any{"email": "a"}), bindSub("AAAA"))},
		{"IS-1 entra: tid and oid", onEntraV2, bind(map[string]any{"tid": "t1", "oid": uuid, "upn": "a@acme.example"})},
		{"an issuer of which nothing is known", onKeycloak, bind(map[string]any{"email": "a@acme.example"})},
		{"audiences alone, at an issuer of which nothing is known", onKeycloak, audienceOnly},
		{"the caller", onGitHub, asCaller},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := lint(t, c.edit, c.issuer); err != nil || len(got) > 0 {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

const (
	noOwner    = `issuer "gh": every repository of the service can have such tokens, and the role binds none of ["sub", "repository", "repository_owner", "repository_id", "repository_owner_id"]: ` + bindIDs
	bindIDs    = `bind repository_id and repository_owner_id`
	noProject  = `issuer "gl": every project of the service can have such tokens, and the role binds none of ["sub", "project_path", "namespace_path", "project_id", "namespace_id"]: bind project_id and namespace_id`
	noAccount  = `issuer "k8s": every pod of the cluster can have such tokens, and the role binds none of ["sub", "/kubernetes.io/namespace", "/kubernetes.io/serviceaccount/name", "/kubernetes.io/serviceaccount/uid", "/kubernetes.io/pod/uid"]: bind sub and /kubernetes.io/serviceaccount/uid`
	noOrg      = `issuer "bk": every organization of Buildkite can have such tokens, and the role binds none of ["sub", "organization_id", "pipeline_id", "organization_slug"]: bind organization_id and pipeline_id`
	noTerra    = `issuer "tf": every organization of HCP Terraform can have such tokens, and the role binds none of ["sub", "terraform_organization_id", "terraform_project_id", "terraform_workspace_id", "terraform_organization_name"]: bind terraform_organization_id and terraform_workspace_id`
	noGoogle   = `issuer "goog": every Google account can have such tokens, for any audience, and the role binds none of ["sub", "email", "hd", "/google/compute_engine/project_id", "/google/compute_engine/project_number", … (6 in all)]: bind sub, the number of the account`
	noEntity   = `issuer "vault": every entity of that Vault can have such tokens, and the role binds nothing but audiences: bind sub, which is the entity's id`
	notWhole   = ` does not end with a whole segment of the path, so that it fits other workloads too: use one "*", after the last slash, or the exact SPIFFE ID`
	openDomain = ` leaves the trust domain open: begin it with "spiffe://example.org/"`
)

// openPattern is the refusal of a pattern that anybody can fit.
func openPattern(who, pattern, claim, what string) string {
	return who + `, and the pattern "` + pattern + `" of "` + claim + `" fits those of others: bind ` + what
}

func TestLintRefuses(t *testing.T) {
	const (
		repositories = `issuer "gh": every repository of the service can have such tokens`
		projects     = `issuer "gl": every project of the service can have such tokens`
		ids          = "repository_id and repository_owner_id"
	)
	for _, c := range []struct {
		name   string
		issuer policy.IssuerFacts
		edit   func(*policy.Role)
		text   string
	}{
		{"IS-2 github", onGitHub, audienceOnly, noOwner},
		{"IS-2 github, of the type generic", generic(onGitHub), audienceOnly, noOwner},
		{"IS-2 github, a server of one's own", onGHES, audienceOnly, noOwner},
		{"IS-2 gitlab.com", onGitLab, audienceOnly, noProject},
		{"IS-2 gitlab.com, of the type generic", generic(onGitLab), audienceOnly, noProject},
		{"IS-2 gitlab, a server of one's own", policy.IssuerFacts{Name: "gl", Type: "gitlab", URL: "https://gitlab.corp.example"}, audienceOnly, noProject},
		{"IS-2 buildkite", onBuildkite, audienceOnly, noOrg},
		{"IS-2 HCP Terraform", onTerraform, audienceOnly, noTerra},
		{"IS-2 google", onGoogle, audienceOnly, noGoogle},
		{"IS-2 the audience as a bound claim", onGoogle, bind(map[string]any{"aud": "vault", "iss": onGoogle.URL}), noGoogle},
		{"IS-2 a condition on something else", onGitLab, conditional(`subject.exp > 0`), noProject},
		{"kubernetes, audiences alone", onKubernetes, audienceOnly, noAccount},
		{"vault, audiences alone", onVault, audienceOnly, noEntity},
		{"vault, a condition on the issuer", onVault, conditional(`subject.issuer == "vault"`), noEntity},
		{"vault, what every token has", onVault, both(conditional(`subject.exp > 0`), func(r *policy.Role) { r.BoundClaims = map[string]any{"/aud/0": "a", "iss": "b"} }), noEntity},

		{"github, job_workflow_ref alone", onGitHub, bind(map[string]any{"job_workflow_ref": "acme/ci/.github/workflows/x.yml@refs/heads/main"}), noOwner},
		{"github, ref, environment, event_name and actor", onGitHub, bind(map[string]any{"ref": "refs/heads/main", "environment": "prod", "event_name": "push", "actor": "alice"}), noOwner},
		{"github, repo:*", onGitHub, bindGlobSub("repo:*"), openPattern(repositories, "repo:*", "sub", ids)},
		{"github, any subject that ends so", onGitHub, bindGlobSub("*:environment:prod"), openPattern(repositories, "*:environment:prod", "sub", ids)},
		{"github, owners that begin so", onGitHub, bindGlobSub("repo:acme*"), openPattern(repositories, "repo:acme*", "sub", ids)},
		{"github, owners of any id", onGitHub, bindGlobSub("repo:acme@*/deploy@*:ref:x"), openPattern(repositories, "repo:acme@*/deploy@*:ref:x", "sub", ids)},
		{"github, one open pattern among some", onGitHub, bindGlobSub([]any{"repo:acme/deploy:*", "repo:*"}), openPattern(repositories, "repo:*", "sub", ids)},
		{"github, an open pattern as a pointer", onGitHub, bindGlob(map[string]any{"/sub": "repo:*"}), openPattern(repositories, "repo:*", "sub", ids)},
		{"github, a repository of any owner", onGitHub, bindGlob(map[string]any{"repository": "*/deploy"}), openPattern(repositories, "*/deploy", "repository", ids)},
		{"github, an owner that begins so", onGitHub, bindGlob(map[string]any{"repository_owner": "acme*"}), openPattern(repositories, "acme*", "repository_owner", ids)},
		{"gitlab, ref_protected alone", onGitLab, bind(map[string]any{"ref_protected": "true", "ref": "main"}), noProject},
		{"gitlab, any project", onGitLab, bindGlobSub("project_path:*"), openPattern(projects, "project_path:*", "sub", "project_id and namespace_id")},
		{"gitlab, groups that begin so", onGitLab, bindGlob(map[string]any{"project_path": "acme*"}), openPattern(projects, "acme*", "project_path", "project_id and namespace_id")},
		{"buildkite, a branch", onBuildkite, bind(map[string]any{"build_branch": "main", "pipeline_slug": "p"}), noOrg},
		{"buildkite, any organization", onBuildkite, bindGlobSub("organization:*"), openPattern(`issuer "bk": every organization of Buildkite can have such tokens`, "organization:*", "sub", "organization_id and pipeline_id")},
		{"terraform, any organization", onTerraform, bindGlobSub("organization:*"), openPattern(`issuer "tf": every organization of HCP Terraform can have such tokens`, "organization:*", "sub", "terraform_organization_id and terraform_workspace_id")},
		{"terraform, a workspace by name", onTerraform, bind(map[string]any{"terraform_workspace_name": "prod", "terraform_run_phase": "apply"}), noTerra},
		{"kubernetes, the name of a pod", onKubernetes, bind(map[string]any{"/kubernetes.io/pod/name": "deployer-0"}), noAccount},

		{
			"kubernetes, a pointer without its slash", onKubernetes, both(bind(map[string]any{"kubernetes.io/serviceaccount/uid": "u-1"}), bindSub(account)),
			`issuer "k8s": no token has a claim "kubernetes.io/serviceaccount/uid": members of kubernetes.io are named by JSON pointer: write "/kubernetes.io/serviceaccount/uid"`,
		},
		{
			"kubernetes, with dots", onKubernetes, bind(map[string]any{"kubernetes.io.serviceaccount.uid": "u-1"}),
			`issuer "k8s": no token has a claim "kubernetes.io.serviceaccount.uid": members of kubernetes.io are named by JSON pointer: write "/kubernetes.io/serviceaccount/uid"`,
		},
		{
			"kubernetes, a claim of old tokens", onKubernetes, bind(map[string]any{"kubernetes.io/serviceaccount/service-account.uid": "u-1"}),
			`issuer "k8s": no token has a claim "kubernetes.io/serviceaccount/service-account.uid": members of kubernetes.io are named by JSON pointer: write "/kubernetes.io/serviceaccount/uid"`,
		},
		{
			"kubernetes, the namespace of old tokens", onKubernetes, bind(map[string]any{"kubernetes.io/serviceaccount/namespace": "prod"}),
			`issuer "k8s": no token has a claim "kubernetes.io/serviceaccount/namespace": members of kubernetes.io are named by JSON pointer: write "/kubernetes.io/namespace"`,
		},

		{"gitlab, namespaces that begin so", onGitLab, bindGlob(map[string]any{"namespace_path": "acme*"}), openPattern(projects, "acme*", "namespace_path", "project_id and namespace_id")},
		{"SP-2 a prefix of a segment", onSPIFFE, bindGlobSub("spiffe://example.org/ns/prod*"), `issuer "mesh": the pattern "spiffe://example.org/ns/prod*" of "sub"` + notWhole},
		{"SP-2 a prefix of a segment, beside a condition", onSPIFFE, both(bindGlobSub("spiffe://example.org/ns/prod*"), func(r *policy.Role) { r.Condition = `subject.sub != ""` }), `issuer "mesh": the pattern "spiffe://example.org/ns/prod*" of "sub"` + notWhole},
		{"SP-2 a segment that is not the last", onSPIFFE, bindGlobSub("spiffe://example.org/ns/*/sa/x"), `issuer "mesh": the pattern "spiffe://example.org/ns/*/sa/x" of "sub"` + notWhole},
		{"SP-2 two segments", onSPIFFE, bindGlobSub("spiffe://example.org/*/x/*"), `issuer "mesh": the pattern "spiffe://example.org/*/x/*" of "sub"` + notWhole},
		{"SP-2 the second of some", onSPIFFE, bindGlobSub([]any{spiffeID, "spiffe://example.org/a*"}), `issuer "mesh": the pattern "spiffe://example.org/a*" of "sub"` + notWhole},
		{"SP-2 trust domains that begin so", onSPIFFE, bindGlobSub("spiffe://example.org*"), `issuer "mesh": the pattern "spiffe://example.org*" of "sub"` + openDomain},
		{"SP-2 any trust domain", onSPIFFE, bindGlobSub("spiffe://*/ns/prod/sa/x"), `issuer "mesh": the pattern "spiffe://*/ns/prod/sa/x" of "sub"` + openDomain},
		{"SP-2 any beginning", onSPIFFE, bindGlobSub("*/ns/prod/sa/x"), `issuer "mesh": the pattern "*/ns/prod/sa/x" of "sub"` + openDomain},
		{"SP-2 another trust domain, as a bound claim", onSPIFFE, bind(map[string]any{"sub": "spiffe://other.example/x"}), `issuer "mesh": the subject "spiffe://other.example/x" is not of its trust domain: SPIFFE IDs there begin with "spiffe://example.org/"`},
		{"SP-2 a pattern of another trust domain", onSPIFFE, bindGlobSub("spiffe://other.example/*"), `issuer "mesh": the subject "spiffe://other.example/*" is not of its trust domain: SPIFFE IDs there begin with "spiffe://example.org/"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := lint(t, c.edit, c.issuer)
			denialtest.Want(t, err, "bound_claims", "invalid_request: bound_claims: "+c.text)
			if got != nil {
				t.Errorf("warnings beside the refusal: %q", got)
			}
		})
	}
	for name, sub := range map[string]string{"SP-2 another trust domain": "spiffe://other.example/x", "SP-2 a trust domain that begins so": "spiffe://example.org.evil/x", "SP-2 the trust domain itself": "spiffe://example.org"} {
		t.Run(name, func(t *testing.T) {
			_, err := lint(t, bindSub(sub), onSPIFFE)
			denialtest.Want(t, err, "bound_subject", `invalid_request: bound_subject: issuer "mesh": the subject "`+sub+`" is not of its trust domain: SPIFFE IDs there begin with "spiffe://example.org/"`)
		})
	}
}

// An id that begins so is anybody's.
func TestLintRefusesPatternsOfIDs(t *testing.T) {
	for _, c := range []struct {
		issuer    policy.IssuerFacts
		who, bind string
		claims    []string
	}{
		{onGitHub, `issuer "gh": every repository of the service can have such tokens`, "repository_id and repository_owner_id", []string{"repository_id", "repository_owner_id"}},
		{onGitLab, `issuer "gl": every project of the service can have such tokens`, "project_id and namespace_id", []string{"project_id", "namespace_id"}},
		{onBuildkite, `issuer "bk": every organization of Buildkite can have such tokens`, "organization_id and pipeline_id", []string{"organization_id", "pipeline_id", "organization_slug"}},
		{
			onTerraform, `issuer "tf": every organization of HCP Terraform can have such tokens`, "terraform_organization_id and terraform_workspace_id",
			[]string{"terraform_organization_id", "terraform_project_id", "terraform_workspace_id", "terraform_organization_name"},
		},
		{onGoogle, `issuer "goog": every Google account can have such tokens, for any audience`, "sub, the number of the account", []string{"sub"}},
	} {
		for _, claim := range c.claims {
			t.Run(c.issuer.Name+" "+claim, func(t *testing.T) {
				_, err := lint(t, bindGlob(map[string]any{claim: "1*"}), c.issuer)
				denialtest.Want(t, err, "bound_claims", "invalid_request: bound_claims: "+openPattern(c.who, "1*", claim, c.bind))
			})
		}
	}
}

func TestLintWarns(t *testing.T) {
	const (
		oldForm  = `names can be renamed and taken over: ` + bindIDs + `. Subjects of repositories created, renamed or transferred after 2026-07-15 carry ids (repo:owner@id/repo@id:…): one of the old form will stop matching`
		subNames = `issuer "gh": ["sub"]: ` + oldForm
		anyRun   = `issuer "gh": every branch and pull request fits: bind ref or environment, and event_name`
		anyRuns  = `issuer "gh": ["sub"]: every branch and pull request fits: bind ref or environment, and event_name`
		pulls    = `issuer "gh": ["sub"]: pull requests run what nobody has approved yet: bind ref or environment, and event_name`
		moreRepo = `issuer "gh": ["sub"]: the pattern fits more than one repository of the owner: bind repository_id`
		unsafe   = `issuer "gl": whoever may push a branch fits: bind ref_protected to "true", which is a string`
		quotes   = `it is a string, which no boolean or number matches: write the value in quotes`
		recreate = `whoever can recreate the namespace or service account fits: bind /kubernetes.io/serviceaccount/uid`
		slugs    = `slugs can be renamed and taken over: bind organization_id and pipeline_id, which the job must ask for`
		branches = `issuer "bk": builds of every branch and pull request fit: bind build_branch`
		plans    = `issuer "tf": a plan fits as an apply does, and a pull request can start one: bind terraform_run_phase`
		tfNames  = `names can be renamed and taken over: bind terraform_organization_id and terraform_workspace_id`
		address  = `an address can pass to another account, and a domain or project has many accounts: bind sub, the number of the account`
		noAuth   = `users and administrators can change it to what another's is: bind tid and oid`
		forks    = `issuer "cci": builds of forks fit: bind oidc.circleci.com/vcs-origin`
		refs     = `issuer "cci": builds of every branch fit: bind oidc.circleci.com/vcs-ref`
	)
	for _, c := range []struct {
		name   string
		issuer policy.IssuerFacts
		edit   func(*policy.Role)
		want   []string
	}{
		{"github: a subject without ids", onGitHub, bindSub(oldSub), []string{subNames}},
		{"github: a subject by the condition", onGitHub, conditional(`subject.sub == "x"`), []string{subNames}},
		{"IS-1 github: a repository without ids, from any run", onGitHub, bind(map[string]any{"repository": "acme/deploy"}), []string{`issuer "gh": ["repository"]: names can be renamed and taken over: ` + bindIDs, anyRun}},
		{"github: an open pattern that a condition may narrow", onGitHub, both(bindGlobSub("repo:*:environment:prod"), func(r *policy.Role) { r.Condition = `subject.sub.startsWith("repo:acme/")` }), []string{subNames}},
		{"github: the subject twice", onGitHub, bind(map[string]any{"/sub": oldSub, "sub": newSub}), []string{subNames}},
		{"github: what would be a pattern, in a role without", onGitHub, bind(map[string]any{"sub": "repo:*"}), []string{subNames}},
		{"github: by template, names alone", onGitHub, bindGlobSub("repository_owner:acme:*"), []string{subNames}},
		{"github: by template, the repository by name", onGitHub, bindGlobSub("repository:acme/deploy:*"), []string{subNames}},
		{"github: both names", onGitHub, bind(map[string]any{"repository": "acme/deploy", "repository_owner": "acme", "ref": "x"}), []string{`issuer "gh": ["repository", "repository_owner"]: names can be renamed and taken over: ` + bindIDs}},
		{"github: a repository beside its subject", onGitHub, both(bind(map[string]any{"repository": "acme/deploy"}), bindSub(oldSub)), []string{subNames}},
		{"github: ids, from any run", onGitHub, bind(map[string]any{"repository_id": "34"}), []string{anyRun}},
		{"github: repo:acme/*", onGitHub, bindGlobSub("repo:acme/*"), []string{subNames, moreRepo, anyRuns}},
		{"github: every repository, on one branch", onGitHub, bindGlobSub("repo:acme/*:ref:refs/heads/main"), []string{subNames, moreRepo}},
		{"github: every repository of an owner by id", onGitHub, bindGlobSub("repo:acme@12/*:ref:refs/heads/main"), []string{moreRepo}},
		{"github: one repository, every run", onGitHub, bindGlobSub("repo:acme@12/deploy@34:*"), []string{anyRuns}},
		{"github: a star in a text is not a wildcard", onGitHub, bindSub("repo:acme/*"), []string{subNames}},
		{"github: a subject of pull requests", onGitHub, bindSub("repo:acme@12/deploy@34:pull_request"), []string{pulls}},
		{"github: one subject of some has no ids", onGitHub, bind(map[string]any{"sub": []any{newSub, oldSub}}), []string{subNames}},
		{"IS-1 github: an id that is a number", onGitHub, bind(map[string]any{"repository_id": 34, "ref": "x"}), []string{`issuer "gh": ["repository_id"]: ` + quotes}},
		{"github: an enterprise's own", onEnterprise, audienceOnly, []string{noOwner, anyRun}},
		{"github: an enterprise's own, of the type generic", generic(onEnterprise), bind(map[string]any{"ref": "x"}), []string{noOwner}},

		{"IS-1 gitlab: paths", onGitLab, bind(map[string]any{"project_path": "acme/deploy", "namespace_path": "acme", "ref_protected": "true"}), []string{`issuer "gl": ["project_path", "namespace_path"]: paths can be renamed and taken over: bind project_id and namespace_id`}},
		{"gitlab: a subject", onGitLab, both(bind(map[string]any{"ref_protected": "true"}), bindSub("project_path:acme/deploy:ref_type:branch:ref:main")), []string{`issuer "gl": ["sub"]: paths can be renamed and taken over: bind project_id and namespace_id`}},
		{"gitlab: ids, on any branch", onGitLab, bind(map[string]any{"project_id": "7"}), []string{unsafe}},
		{"IS-1 gitlab: ref_protected as a boolean", onGitLab, bind(map[string]any{"project_id": "7", "ref_protected": true}), []string{`issuer "gl": ["ref_protected"]: ` + quotes}},
		{"IS-1 gitlab: one of some, as a pointer, is a number", onGitLab, bind(map[string]any{"/project_id": []any{"7", 8}, "ref_protected": "true"}), []string{`issuer "gl": ["project_id"]: ` + quotes}},

		{"IS-1 kubernetes: sub without uid", onKubernetes, bindSub(account), []string{`issuer "k8s": ["sub"]: ` + recreate}},
		{"kubernetes: names without uid", onKubernetes, bind(map[string]any{"/kubernetes.io/namespace": "prod", "/kubernetes.io/serviceaccount/name": "deployer"}), []string{`issuer "k8s": ["/kubernetes.io/namespace", "/kubernetes.io/serviceaccount/name"]: ` + recreate}},
		{"kubernetes: sub and a name without uid", onKubernetes, both(bind(map[string]any{"/kubernetes.io/serviceaccount/name": "deployer"}), bindSub(account)), []string{`issuer "k8s": ["sub", "/kubernetes.io/serviceaccount/name"]: ` + recreate}},
		{"kubernetes: an account of any namespace", onKubernetes, bind(map[string]any{"/kubernetes.io/serviceaccount/name": "deployer"}), []string{
			`issuer "k8s": ["/kubernetes.io/serviceaccount/name"]: ` + recreate,
			`issuer "k8s": ["/kubernetes.io/serviceaccount/name"]: an account of that name in any namespace fits: bind sub, or /kubernetes.io/namespace`,
		}},

		{"spiffe: audiences alone", onSPIFFE, audienceOnly, []string{`issuer "mesh": every workload of the trust domain fits: bind sub to one SPIFFE ID`}},
		{"SP-2 a pattern of whole segments", onSPIFFE, bindGlobSub("spiffe://example.org/ns/prod/*"), []string{`issuer "mesh": ["sub"]: the pattern fits workloads that are yet to be registered: bind sub to one SPIFFE ID`}},
		{"IS-1 vault: metadata", onVault, bind(map[string]any{"/metadata/team": "platform"}), []string{`issuer "vault": names and metadata of an entity can be edited: bind sub, which is its id`}},

		{"IS-1 buildkite: slugs, on any branch", onBuildkite, bind(map[string]any{"organization_slug": "acme", "pipeline_slug": "p"}), []string{`issuer "bk": ["organization_slug", "pipeline_slug"]: ` + slugs, branches}},
		{"buildkite: a subject that ends before the branch", onBuildkite, bindGlobSub("organization:acme:pipeline:p:ref:*"), []string{`issuer "bk": ["sub"]: ` + slugs, branches}},
		{"IS-1 terraform: names, in any phase", onTerraform, bind(map[string]any{"terraform_organization_name": "o", "terraform_workspace_name": "w"}), []string{`issuer "tf": ["terraform_organization_name", "terraform_workspace_name"]: ` + tfNames, plans}},
		{"terraform: a project by name", onTerraform, both(bind(map[string]any{"terraform_project_name": "p", "terraform_run_phase": "apply"}), bindSub("organization:o:project:p:workspace:w:run_phase:apply")), []string{`issuer "tf": ["sub", "terraform_project_name"]: ` + tfNames}},
		{"terraform: a subject of any phase", onTerraform, bindGlobSub("organization:o:project:p:workspace:w:run_phase:*"), []string{`issuer "tf": ["sub"]: ` + tfNames, plans}},
		{"IS-1 google: an address", onGoogle, bind(map[string]any{"email": "a@acme.example", "email_verified": true}), []string{`issuer "goog": ["email"]: ` + address}},
		{"google: a domain", onGoogle, bind(map[string]any{"hd": "acme.example"}), []string{`issuer "goog": ["hd"]: ` + address}},
		{"google: a project by number", onGoogle, bind(map[string]any{"/google/compute_engine/project_number": "1"}), []string{`issuer "goog": ["/google/compute_engine/project_number"]: ` + address}},
		{"google: a project", onGoogle, bind(map[string]any{"/google/compute_engine/project_id": "p"}), []string{`issuer "goog": ["/google/compute_engine/project_id"]: ` + address}},
		{"IS-1 circleci: a project", onCircleCI, bind(map[string]any{"oidc.circleci.com/project-id": uuid}), []string{forks, refs}},
		{"circleci: a subject of version 1", onCircleCI, bindSub("org/o/project/p/user/u"), []string{forks, refs}},
		{"circleci: a subject of version 2, of any ref", onCircleCI, bindGlobSub("org/o/project/p/user/u/vcs-origin/github.com/acme/deploy/vcs-ref/*"), []string{refs}},
		{"IS-1 entra v1: upn", onEntraV1, bind(map[string]any{"upn": "a@acme.example"}), []string{`issuer "az": ["upn"]: ` + noAuth}},
		{"entra v2: the names", onEntraV2, bind(map[string]any{"email": "a", "preferred_username": "b", "tid": "t1"}), []string{`issuer "az": ["email", "preferred_username"]: ` + noAuth}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := lint(t, c.edit, c.issuer); err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got  %q, %v\nwant %q", got, err, c.want)
			}
		})
	}
}

// Each issuer of a role is looked at; the warnings come in their order.
func TestLintOfManyIssuers(t *testing.T) {
	got, err := lint(t, bind(map[string]any{"email": "a"}), onEntraV2, onGoogle)
	if err != nil || len(got) != 2 || got[0][:11] != `issuer "az"` || got[1][:13] != `issuer "goog"` {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err = lint(t, bind(map[string]any{"email": "a"}), onGoogle, onGitHub); err == nil {
		t.Error("the second issuer is not looked at")
	}
}

// The lints look at a role and change nothing in it.
func TestLintTwice(t *testing.T) {
	edit := bindGlob(map[string]any{"sub": []any{"repo:acme/*", spiffeID}, "repository_id": 34})
	first, err := lint(t, edit, onGitHub)
	if err != nil {
		t.Fatal(err)
	}
	r := goodRole()
	edit(r)
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if again, err := r.Lint([]policy.IssuerFacts{onGitHub}); err != nil || !slices.Equal(again, append(r.Warnings(), first...)) {
			t.Errorf("got %q, %v\nwant %q", again, err, first)
		}
	}
}
