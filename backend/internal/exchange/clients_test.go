package exchange_test

import (
	"slices"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denialtest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
)

// federated is a client whose assertions are tokens of the issuer "idp".
func federated(subject string, claims policy.Bound) *client.Config {
	c := client.Draft("workload")
	c.AuthMethod, c.FederatedIssuer, c.FederatedSubject, c.FederatedClaims = client.FederatedJWT, "idp", subject, claims
	return c
}

// as makes "idp" an issuer of another type.
func as(kind, url string) func(*issuer.Config) {
	return func(c *issuer.Config) {
		c.Type = kind
		if url != "" {
			c.BoundIssuer = url
		}
	}
}

const (
	gitHubURL  = "https://token.actions.githubusercontent.com"
	anyRepo    = `issuer "idp": every repository of the service can have such tokens, and the client binds none of ["sub", "repository", "repository_owner", "repository_id", "repository_owner_id"]: bind repository_id and repository_owner_id`
	anyProject = `issuer "idp": every project of the service can have such tokens, and the client binds none of ["sub", "project_path", "namespace_path", "project_id", "namespace_id"]: bind project_id and namespace_id`
	anyPod     = `issuer "idp": every pod of the cluster can have such tokens, and the client binds none of ["sub", "/kubernetes.io/namespace", "/kubernetes.io/serviceaccount/name", "/kubernetes.io/serviceaccount/uid", "/kubernetes.io/pod/uid"]: bind sub and /kubernetes.io/serviceaccount/uid`
)

// A client is held to what a role that binds the same would be held to, when it is
// written and when its issuer becomes another one.
func TestClientBindsTooLittleForItsIssuer(t *testing.T) {
	for _, c := range []struct {
		name        string
		kind, url   string
		client      *client.Config
		field, text string
	}{
		{"github, a branch", "github", "", federated("", policy.Bound{"ref": "refs/heads/main"}), "federated_claims", anyRepo},
		{"github, by its URL", "generic", gitHubURL, federated("", policy.Bound{"ref": "refs/heads/main"}), "federated_claims", anyRepo},
		{"github, a reusable workflow", "github", "", federated("", policy.Bound{"job_workflow_ref": "acme/ci/x.yml@refs/heads/main"}), "federated_claims", anyRepo},
		{"gitlab, protected", "gitlab", "", federated("", policy.Bound{"ref_protected": "true"}), "federated_claims", anyProject},
		{"kubernetes, the name of a pod", "kubernetes", "", federated("", policy.Bound{"/kubernetes.io/pod/name": "a-0"}), "federated_claims", anyPod},
		{
			"kubernetes, not a pointer", "kubernetes", "", federated("", policy.Bound{"kubernetes.io/serviceaccount/uid": "u"}), "federated_claims",
			`issuer "idp": no token has a claim "kubernetes.io/serviceaccount/uid": members of kubernetes.io are named by JSON pointer: write "/kubernetes.io/serviceaccount/uid"`,
		},
		{
			"spiffe, another trust domain", "spiffe", "spiffe://example.org", federated("spiffe://other.example/a", nil), "federated_subject",
			`issuer "idp": the subject "spiffe://other.example/a" is not of its trust domain: SPIFFE IDs there begin with "spiffe://example.org/"`,
		},
		{
			"spiffe, another trust domain as a claim", "spiffe", "spiffe://example.org", federated("", policy.Bound{"/sub": []any{"spiffe://other.example/a"}}), "federated_claims",
			`issuer "idp": the subject "spiffe://other.example/a" is not of its trust domain: SPIFFE IDs there begin with "spiffe://example.org/"`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.must(w.snapshot.CheckClient(c.client))
			made, err := client.New(c.client, issuer.Options{})
			w.must(err)
			w.snapshot.Clients = map[string]*client.Client{"workload": made}
			w.must(w.snapshot.CheckUsers("idp"))

			changed := *w.snapshot.Issuers["idp"].Config
			as(c.kind, c.url)(&changed)
			now := *w.snapshot.Issuers["idp"]
			now.Config = &changed
			w.snapshot.Roles = nil
			w.snapshot.Issuers["idp"] = &now
			denialtest.Want(t, w.snapshot.CheckClient(c.client), c.field, "invalid_request: "+c.field+": "+c.text)
			denialtest.Want(t, w.snapshot.CheckUsers("idp"), "bound_issuer",
				`invalid_request: bound_issuer: the client "workload" binds too little for what the issuer would be: `+c.text)
		})
	}
}

func TestClientThatOthersMayComeToFit(t *testing.T) {
	for name, c := range map[string]struct {
		kind, url string
		client    *client.Config
		want      []string
	}{
		"nothing to say": {"generic", "", federated("worker", nil), nil},
		"one repository": {"github", "", federated("", policy.Bound{"repository_id": "34", "ref": "refs/heads/main"}), nil},
		"a repository by its name": {
			"github", "", federated("", policy.Bound{"repository": "acme/deploy", "ref": "refs/heads/main"}),
			[]string{`issuer "idp": ["repository"]: names can be renamed and taken over: bind repository_id and repository_owner_id`},
		},
		"a service account by its name": {
			"kubernetes", "", federated("system:serviceaccount:a:b", nil),
			[]string{`issuer "idp": ["sub"]: whoever can recreate the namespace or service account fits: bind /kubernetes.io/serviceaccount/uid`},
		},
		"one SPIFFE ID": {"spiffe", "spiffe://example.org", federated("spiffe://example.org/a", nil), nil},
		"no SPIFFE ID": {
			"spiffe", "spiffe://example.org", federated("", policy.Bound{"team": "a"}),
			[]string{`issuer "idp": every workload of the trust domain fits: bind sub to one SPIFFE ID`},
		},
		"an enterprise's": {
			"github", gitHubURL + "/acme", federated("", policy.Bound{"ref": "refs/heads/main"}), []string{anyRepo},
		},
	} {
		w := newWorld(t)
		changed := *w.snapshot.Issuers["idp"]
		config := *changed.Config
		as(c.kind, c.url)(&config)
		changed.Config = &config
		w.snapshot.Issuers["idp"] = &changed
		w.must(w.snapshot.CheckClient(c.client))
		if got := w.snapshot.ClientWarnings(c.client); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// A client that proves nothing is nobody's actor, and has no key of its own that it
// could be held to: a role that asks for either could not be used, or not as it says.
func TestPublicClientNeedsARoleThatItCanUse(t *testing.T) {
	for _, c := range []struct {
		name        string
		edit        func(*policy.Role)
		ofClient    string
		field, text string
	}{
		{
			"an actor", func(r *policy.Role) {
				r.Delegation, r.ActorSource, r.BoundActors = policy.DelegationRequired, policy.SourceClient, []string{"client:app"}
			},
			`the actor of the role "orders" is the OAuth client, which the auth_method "none" proves to nobody: use another role or auth_method`,
			"actor_source", `the actor would be the OAuth client, and the clients ["app"] prove nothing (auth_method "none"): give them another role first`,
		},
		{
			"a new binding", func(r *policy.Role) { r.Binding, r.SubjectBinding = policy.BindDPoP, policy.SubjectRebind },
			`the role "orders" binds tokens again for a client that has authenticated itself (subject_binding "rebind"), which the auth_method "none" never does: use another role or auth_method`,
			"subject_binding", `must not be "rebind": the clients ["app"] prove nothing (auth_method "none"): give them another role first`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			app := client.Draft("app")
			app.AuthMethod, app.Role, app.InsecurePublic = client.None, "orders", true
			w.must(app.Validate())
			w.must(w.snapshot.CheckClient(app))
			w.addRole("orders", c.edit)
			denialtest.Want(t, w.snapshot.CheckClient(app), "role", "invalid_request: role: "+c.ofClient)

			made, err := client.New(app, issuer.Options{})
			w.must(err)
			w.snapshot.Clients = map[string]*client.Client{"app": made}
			denialtest.Want(t, w.snapshot.CheckRole(w.snapshot.Roles["orders"], w.now), c.field, "invalid_request: "+c.field+": "+c.text)

			proving := *app
			proving.AuthMethod, proving.InsecurePublic = client.ClientSecretBasic, false
			w.must(w.snapshot.CheckClient(&proving))
			made, err = client.New(&proving, issuer.Options{})
			w.must(err)
			w.snapshot.Clients["app"] = made
			w.must(w.snapshot.CheckRole(w.snapshot.Roles["orders"], w.now))
		})
	}
}

// Who acts by its client credentials has some, and sends no token besides.
func TestClientThatActs(t *testing.T) {
	for _, c := range []struct {
		name  string
		edit  func(*world, *exchange.Request)
		stage denial.Stage
		rule  string
		text  string
	}{
		{
			"TX-20 nobody", func(_ *world, r *exchange.Request) { r.Client = nil },
			denial.Actor, "actor_source", `invalid_request: actor: the actor of the role "orders" is the OAuth client, which has to authenticate itself at oauth/token`,
		},
		{
			"TX-20 one that proves nothing", func(w *world, r *exchange.Request) { r.Client = w.gateway(client.None) },
			denial.Actor, "actor_source", `invalid_request: actor: the actor of the role "orders" is the OAuth client, which has to authenticate itself at oauth/token`,
		},
		{
			"TX-20 with an actor_token", func(w *world, r *exchange.Request) {
				r.ActorToken, r.ActorTokenType = w.subject(nil), exchange.TypeJWT
			},
			denial.Parse, "actor_token", `invalid_request: actor_token: the actor of the role "orders" is the client: leave it out`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.addRole("orders", func(r *policy.Role) {
				r.Delegation, r.ActorSource, r.BoundActors = policy.DelegationRequired, policy.SourceClient, []string{"client:gateway"}
			})
			req := w.request()
			req.Client = w.gateway(client.ClientSecretBasic)
			if got := names(w.mustExchange(req).Acting); len(got) != 1 || got[0] != "client:gateway@us" {
				t.Fatalf("act is %v", got)
			}
			c.edit(w, &req)
			_, err := w.exchange(req)
			wantDenied(t, err, c.stage, c.rule, c.text)
		})
	}
}
