//go:build e2e

package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
)

// signer is an issuer of which the tests have the key: tokens of the shape of a
// service that cannot be had here.
type signer struct {
	url  string
	typ  string
	keys map[jose.SignatureAlgorithm]jose.JSONWebKey
}

func newSigner(t *testing.T, url, typ, use string) *signer {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{url: url, typ: typ, keys: map[jose.SignatureAlgorithm]jose.JSONWebKey{
		jose.RS256: {Key: rsaKey, KeyID: "rsa", Use: use},
		jose.ES256: {Key: ecKey, KeyID: "ec", Use: use},
	}}
}

func (s *signer) jwks(t *testing.T) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, key := range s.keys {
		set.Keys = append(set.Keys, key.Public())
	}
	out, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// sign signs the claims of a token of this engine, for five minutes, with some
// of them replaced; nil leaves one out.
func (s *signer) sign(t *testing.T, alg jose.SignatureAlgorithm, claims, replaced data) string {
	t.Helper()
	now := time.Now()
	all := data{"iss": s.url, "aud": engine, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "jti": rand.Text()}
	maps.Copy(all, claims)
	maps.Copy(all, replaced)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return issuertest.Sign(t, jose.SigningKey{Algorithm: alg, Key: s.keys[alg]}, s.typ, all)
}

// world is a mount that trusts an issuer of each type.
type world struct {
	*mount
	idp                           *idp
	vaultRole                     string // of identity tokens
	alice, bob                    *user
	cluster, github, gitlab, mesh *signer
}

const (
	clusterURL = "https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF"
	uid        = "8f4ad21d-7f5b-4d30-a8f0-6c1f0e5fd4a0"
)

func newWorld(t *testing.T) *world {
	t.Helper()
	m := newMount(t)
	w := &world{
		mount: m, idp: oidcProvider(t), vaultRole: uniqueName("oidc"),
		cluster: newSigner(t, clusterURL, "", "sig"), // no "typ"
		github:  newSigner(t, "https://token.actions.githubusercontent.com", "JWT", "sig"),
		gitlab:  newSigner(t, "https://gitlab.com", "JWT", "sig"),
		mesh:    newSigner(t, "https://spire.example.org", "JWT", "jwt-svid"),
	}
	m.trustProvider(w.idp)
	rules := `path "identity/oidc/token/` + w.vaultRole + `" { capabilities = ["read"] }`
	w.alice, w.bob = newUser(t, m.vault, rules), newUser(t, m.vault, rules)
	for _, c := range []struct {
		path string
		data data
	}{
		{"key/", data{"allowed_client_ids": "*"}}, // RS256
		{"role/", data{"key": w.vaultRole, "client_id": engine, "ttl": "10m"}},
	} {
		if _, err := m.client.Logical().Write("identity/oidc/"+c.path+w.vaultRole, c.data); err != nil {
			t.Fatal(err)
		}
	}
	vaultURL := m.vault.addr + "/v1/identity/oidc"
	for name, d := range map[string]data{
		"vault":   {"type": "vault", "bound_issuer": vaultURL, "oidc_discovery_url": vaultURL, "allowed_addresses": "127.0.0.0/8"},
		"cluster": {"type": "kubernetes", "bound_issuer": clusterURL, "jwks": w.cluster.jwks(t)},
		"github":  {"type": "github", "jwks": w.github.jwks(t)},
		"gitlab":  {"type": "gitlab", "jwks": w.gitlab.jwks(t)},
		"mesh":    {"type": "spiffe", "bound_issuer": "spiffe://example.org", "jwks": w.mesh.jwks(t)},
	} {
		d["bound_audiences"] = engine
		m.write("issuers/"+name, d)
	}
	return w
}

func TestPublicIssuersAreKnownByTheirType(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, want := range map[string]data{
		"github":  {"bound_issuer": "https://token.actions.githubusercontent.com", "allowed_algorithms": []string{"RS256"}, "required_claims": []string{}},
		"gitlab":  {"bound_issuer": "https://gitlab.com", "allowed_algorithms": []string{"RS256"}, "required_claims": []string{}},
		"cluster": {"bound_issuer": clusterURL, "allowed_algorithms": []string{"RS256", "ES256"}, "required_claims": []string{"kubernetes.io"}},
	} {
		got := w.read("issuers/" + name)
		wantSame(t, name+": oidc_discovery_url beside jwks", got["oidc_discovery_url"].(string), "")
		for field, value := range want {
			wantJSON(t, name+": "+field, got[field], toJSON(t, value))
		}
	}
	w.write("issuers/github", data{"jwks": "", "oidc_discovery_url": "https://token.actions.githubusercontent.com"})
	fresh := newMount(t) // where the type alone says it
	fresh.write("issuers/github", data{"type": "github", "bound_audiences": engine})
	wantJSON(t, "github by its type alone", fresh.read("issuers/github"), toJSON(t, w.read("issuers/github")))
}

// The tokens. Their claims are those that the services document.

func (w *world) identityToken(u *user) string {
	w.Helper()
	secret, err := w.vault.as(w.T, u.token).Logical().Read("identity/oidc/token/" + w.vaultRole)
	if err != nil {
		w.Fatal(err)
	}
	return secret.Data["token"].(string)
}

func (w *world) pod(replaced data) string {
	return w.cluster.sign(w.T, jose.RS256, data{
		"sub": "system:serviceaccount:payments:api", "aud": []string{engine},
		"kubernetes.io": account("payments", "api", uid),
	}, replaced)
}

func account(namespace, name, uid string) data {
	return data{
		"namespace": namespace, "serviceaccount": data{"name": name, "uid": uid},
		"node": data{"name": "ip-10-0-0-7", "uid": "n-1"}, "pod": data{"name": "api-6d4cf56db6-x7x2p", "uid": "p-1"},
	}
}

// workflow is a token of GitHub Actions, by default for a push to main.
func (w *world) workflow(alg jose.SignatureAlgorithm, replaced data) string {
	return w.github.sign(w.T, alg, data{
		"sub": "repo:octo-org/octo-repo:ref:refs/heads/main", "repository": "octo-org/octo-repo", "repository_owner": "octo-org",
		"repository_id": "456789", "repository_owner_id": "123456", "ref": "refs/heads/main", "ref_type": "branch", "event_name": "push",
		"job_workflow_ref": "octo-org/octo-repo/.github/workflows/release.yml@refs/heads/main", "runner_environment": "github-hosted",
		"run_id": "1", "run_attempt": "1", "actor": "octocat", "actor_id": "12",
	}, replaced)
}

func (w *world) pipeline(replaced data) string {
	return w.gitlab.sign(w.T, jose.RS256, data{
		"sub": "project_path:acme/shop:ref_type:branch:ref:main", "project_path": "acme/shop", "project_id": "42", "namespace_path": "acme",
		"namespace_id": "7", "ref": "main", "ref_type": "branch", "ref_protected": "true", "pipeline_source": "push", "environment": "production",
	}, replaced)
}

func (w *world) svid(replaced data) string {
	return w.mesh.sign(w.T, jose.ES256, data{"sub": "spiffe://example.org/ns/payments/sa/api", "aud": []string{engine}}, replaced)
}

// decision is a sentence that holds: a token, of a role, and what it comes to.
type decision struct {
	sentence string
	role     string
	token    func(w *world) string
	request  data // more of the request
	sub      string
	// Of a refusal: what decided, and the text.
	rule, message string
	noClaims      bool // it is about the signature, which claims do not have
}

// roles by which the decisions are made.
func (w *world) roles() {
	for name, d := range map[string]data{
		"users":  {"issuers": "idp", "bound_audiences": engine, "condition": `subject.client_id == "portal" && subject.sub in ["alice", "carol"]`},
		"people": {"issuers": "vault", "bound_subject": w.alice.entity},
		"pods": {
			"issuers": "cluster", "bound_subject": "system:serviceaccount:payments:api",
			"bound_claims": data{"/kubernetes.io/serviceaccount/uid": uid},
		},
		"workflows": {
			"issuers": "github", "bound_claims": data{"repository_id": "456789", "repository_owner_id": "123456", "runner_environment": "github-hosted"},
			"condition": `subject.event_name == "push" && subject.ref == "refs/heads/main"`,
		},
		"pipelines": {"issuers": "gitlab", "bound_claims": data{"project_id": "42", "namespace_id": "7", "ref_protected": "true", "ref": "main"}},
		"workloads": {"issuers": "mesh", "bound_subject": "spiffe://example.org/ns/payments/sa/api"},
		"mixed": {
			"issuers": "idp,cluster,mesh", "condition": `subject.sub.glob("*api") || subject.sub == "alice"`,
			"claims": data{"by": "subject.issuer", "team": `subject.hasClaim("/kubernetes.io/namespace") ? subject.claim("/kubernetes.io/namespace") : null`},
		},
	} {
		d["allowed_audiences"], d["default_audience"], d["subject_scopes"] = orders, orders, "ignore"
		d["allowed_scopes"] = "orders:read"
		w.write("roles/"+name, d)
	}
}

func TestDecisionsOnRealTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.roles()
	for _, d := range append(usersAndPeople(), append(machines(), meshesAndMixtures()...)...) {
		t.Run(d.sentence, func(t *testing.T) {
			inner := *w
			inner.mount = w.in(t)
			inner.decides(t, d)
		})
	}
}

func usersAndPeople() []decision {
	user := func(name, resource string) func(*world) string {
		return func(w *world) string { return w.idp.userToken(w.T, "portal", name, resource) }
	}
	return []decision{
		{sentence: "a user of the OpenID provider gets what the role grants", role: "users", token: user("alice", engine), sub: "idp:alice"},
		{
			sentence: "a user's token for another service is refused", role: "users", token: user("alice", billing),
			rule: "aud", message: `invalid_request: subject: "aud" claim expected one of ["https://vault.example"] but got ["https://billing.example"]`,
		},
		{
			sentence: "a user whom the condition does not name is refused", role: "users", token: user("mallory", engine),
			rule: "condition", message: `invalid_request: condition: the condition of the role "users" is not met`,
		},
		{
			sentence: "a service is no user", role: "users", token: func(w *world) string { return w.idp.token(w.T, engine, "orders:read") },
			rule: "condition", message: `invalid_request: condition: the condition of the role "users" is not met`,
		},
		{
			sentence: "a user's token that was changed is refused", role: "users", noClaims: true,
			token: func(w *world) string { return tampered(w.T, w.idp.userToken(w.T, "portal", "alice", engine)) },
			rule:  "signature",
		},
		{
			sentence: "a user does not get an audience that the role does not allow", role: "users", token: user("alice", engine), request: data{"audience": billing},
			rule: "allowed_audiences", message: `invalid_target: allowed_audiences: the role "users" does not allow the audience ["https://billing.example"]`,
		},
		{
			sentence: "a user does not get a scope that the role does not allow", role: "users", token: user("alice", engine), request: data{"scope": "orders:write"},
			rule: "allowed_scopes", message: `invalid_scope: allowed_scopes: the role "users" does not allow the scope ["orders:write"]`,
		},
		{
			sentence: "a user of one issuer is nobody at a role of another", role: "people", token: user("alice", engine), rule: "issuers",
		},
		{sentence: "a person of Vault is known by the id of the entity", role: "people", token: func(w *world) string { return w.identityToken(w.alice) }},
		{
			sentence: "another person of the same Vault is refused", role: "people", token: func(w *world) string { return w.identityToken(w.bob) },
			rule: "bound_subject", message: `invalid_request: subject: "sub" claim: the role "people" is bound to another subject`,
		},
	}
}

func machines() []decision {
	pod := func(replaced data) func(*world) string { return func(w *world) string { return w.pod(replaced) } }
	workflow := func(replaced data) func(*world) string {
		return func(w *world) string { return w.workflow(jose.RS256, replaced) }
	}
	pipeline := func(replaced data) func(*world) string {
		return func(w *world) string { return w.pipeline(replaced) }
	}
	const another = `claim %q does not have a value that the role %q is bound to`
	say := func(format string, args ...any) string {
		return "invalid_request: subject: " + fmt.Sprintf(format, args...)
	}
	return []decision{
		{sentence: "a pod of the service account is let in", role: "pods", token: pod(nil), sub: "cluster:system:serviceaccount:payments:api"},
		{sentence: "a service account that was made again under the same name is another", role: "pods", token: pod(data{"kubernetes.io": account("payments", "api", "another")}), rule: "bound_claims", message: say(another, "/kubernetes.io/serviceaccount/uid", "pods")},
		{sentence: "a service account of another namespace is refused", role: "pods", token: pod(data{"sub": "system:serviceaccount:default:api"}), rule: "bound_subject", message: say(`"sub" claim: the role "pods" is bound to another subject`)},
		{sentence: "a pod's token for the API server is refused", role: "pods", token: pod(data{"aud": []string{"https://kubernetes.default.svc"}}), rule: "aud", message: say(`"aud" claim expected one of ["https://vault.example"] but got ["https://kubernetes.default.svc"]`)},
		{sentence: "a legacy token of a service account is refused", role: "pods", token: pod(data{"kubernetes.io": nil, "kubernetes.io/serviceaccount/namespace": "payments"}), rule: "kubernetes.io", message: say(`"kubernetes.io" claim is missing and the issuer's required_claims name it`)},

		{sentence: "a push to main is let in", role: "workflows", token: workflow(nil), sub: "github:repo:octo-org/octo-repo:ref:refs/heads/main"},
		{sentence: "so it is with a subject that has ids", role: "workflows", token: workflow(data{"sub": "repo:octo-org@123456/octo-repo@456789:ref:refs/heads/main"}), sub: "github:repo:octo-org@123456/octo-repo@456789:ref:refs/heads/main"},
		{sentence: "a repository of the same name by another owner is refused", role: "workflows", token: workflow(data{"repository_owner_id": "666"}), rule: "bound_claims", message: say(another, "repository_owner_id", "workflows")},
		{sentence: "a number is not the text of it", role: "workflows", token: workflow(data{"repository_id": 456789}), rule: "bound_claims", message: say(another+": it is a number, and the role binds text", "repository_id", "workflows")},
		{sentence: "a pull request is refused", role: "workflows", token: workflow(data{"sub": "repo:octo-org/octo-repo:pull_request", "event_name": "pull_request", "ref": "refs/pull/7/merge"}), rule: "condition", message: `invalid_request: condition: the condition of the role "workflows" is not met`},
		{sentence: "a token without the claim that the condition needs is refused", role: "workflows", token: workflow(data{"event_name": nil}), rule: "condition", message: `invalid_request: condition: the condition of the role "workflows" cannot be evaluated: no such key: event_name`},
		{sentence: "GitHub does not sign with ES256", role: "workflows", noClaims: true, token: func(w *world) string { return w.workflow(jose.ES256, nil) }, rule: "alg", message: say(`header "alg" "ES256" is not among the allowed_algorithms of the issuer "github"`)},

		{sentence: "a pipeline of the protected branch is let in", role: "pipelines", token: pipeline(nil), sub: "gitlab:project_path:acme/shop:ref_type:branch:ref:main"},
		{sentence: "so it is with a subject that has ids", role: "pipelines", token: pipeline(data{"sub": "project_id:42:ref_type:branch:ref:main"}), sub: "gitlab:project_id:42:ref_type:branch:ref:main"},
		{sentence: "a pipeline of a branch that is not protected is refused", role: "pipelines", token: pipeline(data{"ref_protected": "false"}), rule: "bound_claims", message: say(another, "ref_protected", "pipelines")},
		{sentence: "true is not the text true", role: "pipelines", token: pipeline(data{"ref_protected": true}), rule: "bound_claims", message: say(another+": it is a boolean, and the role binds text", "ref_protected", "pipelines")},
		{sentence: "a token without the claim that is bound is refused", role: "pipelines", token: pipeline(data{"ref_protected": nil}), rule: "bound_claims", message: say(`claim "ref_protected" is missing and the role "pipelines" binds it`)},
		{sentence: "a project of another namespace is refused", role: "pipelines", token: pipeline(data{"namespace_id": "8"}), rule: "bound_claims", message: say(another, "namespace_id", "pipelines")},
	}
}

func meshesAndMixtures() []decision {
	svid := func(replaced data) func(*world) string { return func(w *world) string { return w.svid(replaced) } }
	say := func(reason string) string { return "invalid_request: subject: " + reason }
	return []decision{
		{sentence: "a workload of the trust domain is let in", role: "workloads", token: svid(nil), sub: "mesh:spiffe://example.org/ns/payments/sa/api"},
		{sentence: "so it is without an issuer", role: "workloads", token: svid(data{"iss": nil}), sub: "mesh:spiffe://example.org/ns/payments/sa/api"},
		{sentence: "another workload is refused", role: "workloads", token: svid(data{"sub": "spiffe://example.org/ns/payments/sa/web"}), rule: "bound_subject", message: say(`"sub" claim: the role "workloads" is bound to another subject`)},
		{sentence: "a workload of another trust domain is refused", role: "workloads", token: svid(data{"sub": "spiffe://example.com/ns/payments/sa/api"}), rule: "issuers", message: say(`"iss" claim: ["https://spire.example.org"] is not an issuer that the role "workloads" accepts`)},
		{sentence: "a trust domain that begins with ours is another", role: "workloads", token: svid(data{"sub": "spiffe://example.org.evil/ns/payments/sa/api"}), rule: "issuers", message: say(`"iss" claim: ["https://spire.example.org"] is not an issuer that the role "workloads" accepts`)},
		{sentence: "the trust domain itself is no workload", role: "workloads", token: svid(data{"sub": "spiffe://example.org"}), rule: "sub", message: say(`"sub" claim is the trust domain itself: expected a workload, which has a path`)},
		{
			sentence: "a token that fits two issuers of the role is refused", role: "mixed", token: svid(data{"iss": clusterURL}), rule: "issuers",
			message: say(`the token is ambiguous: its "iss" and "sub" claims fit the issuers "cluster" and "mesh"`),
		},
		{sentence: "of several issuers each vouches for its own: a pod", role: "mixed", token: func(w *world) string { return w.pod(nil) }, sub: "cluster:system:serviceaccount:payments:api"},
		{sentence: "of several issuers each vouches for its own: a workload", role: "mixed", token: svid(nil), sub: "mesh:spiffe://example.org/ns/payments/sa/api"},
		{
			sentence: "of several issuers none signs for another", role: "mixed", noClaims: true, rule: "kid",
			token: func(w *world) string {
				return w.cluster.sign(w.T, jose.RS256, nil, data{"iss": w.idp.Issuer, "sub": "alice"})
			},
			message: say(`the issuer "idp" has no key that fits the header "alg" and "kid"`),
		},
		{
			sentence: "an expired token is refused", role: "workloads", token: svid(data{"exp": 1_800_000_000 - 5*365*86400, "iat": nil, "nbf": nil}),
			rule: "exp", message: say(`"exp" claim expired at 2022-01-16T08:00:00Z`),
		},
	}
}

// decides exchanges, and asks for an explanation in each way that there is: all
// must come to what the decision says.
func (w *world) decides(t *testing.T, d decision) {
	t.Helper()
	token := d.token(w)
	request := data{"subject_token": token}
	maps.Copy(request, d.request)
	answer, err := w.tryWrite("exchange/"+d.role, request)

	questions := map[string]data{"by the token": request}
	if !d.noClaims {
		byClaims := without(request, "subject_token")
		_, byClaims["subject_claims"] = unsigned(t, token)
		questions["by claims"] = byClaims
	}
	for way, question := range questions {
		explained := w.write("explain/"+d.role, question).Data
		wantJSON(t, way+": unverified", explained["unverified"], fmt.Sprint(way == "by claims"))
		if d.rule != "" {
			d.wantDenied(t, w, way, err, explained)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if d.sub != "" {
			wantSame(t, "subject", answer.Data["subject"].(string), d.sub)
		}
		_, claims := unsigned(t, accessToken(t, answer))
		if explained["allowed"] != true {
			t.Fatalf("%s: granted, and the explanation is %s", way, toJSON(t, explained))
		}
		wantJSON(t, way+": claims", lasting(explained["claims"].(data)), toJSON(t, lasting(claims)))
		wantSteps(t, explained)
	}
}

// wantDenied holds refusal, log and explanation against each other.
func (d decision) wantDenied(t *testing.T, w *world, way string, err error, explained data) {
	t.Helper()
	if err == nil {
		t.Fatal("a token was minted")
	}
	got, text := explanation(explained), errorText(t, err)
	if d.message != "" {
		wantSame(t, "refusal", text, d.message)
	}
	wantSame(t, way+": rule", fmt.Sprint(explained["rule"]), d.rule)
	if explained["allowed"] != false || explained["claims"] != nil || got != text {
		t.Errorf("%s:\nexplained %s\nrefused   %s", way, got, text)
	}
	wantSteps(t, explained)
	eventually(t, func() error { // the line comes through a pipe
		for line := range strings.Lines(w.vault.process.log.String()) {
			if strings.Contains(line, "exchange denied") && strings.Contains(line, " role="+d.role+" ") &&
				strings.Contains(line, " rule="+d.rule+" ") && strings.Contains(line, fmt.Sprintf("reason=%q", explained["reason"])) {
				return nil
			}
		}
		return errors.New("the log does not tell the denial")
	})
}

// explanation is the refusal that an explanation tells of, as an exchange writes it.
func explanation(explained data) string {
	about := explained["rule"]
	if stage := explained["stage"]; stage == "subject" || stage == "actor" {
		about = stage
	}
	return fmt.Sprintf("%s: %s: %s", explained["error"], about, explained["reason"])
}

// wantSteps: the last step failed if the answer is a denial, and no other did.
func wantSteps(t *testing.T, explained data) {
	t.Helper()
	steps, _ := explained["steps"].([]any)
	if len(steps) == 0 {
		t.Error("no step is told")
	}
	for i, step := range steps {
		s := step.(data)
		if want := i < len(steps)-1 || explained["allowed"] == true; s["passed"] != want || s["stage"] == "" || s["rule"] == "" || s["detail"] == "" {
			t.Errorf("step %d of %d: %v", i+1, len(steps), s)
		}
	}
}

// lasting leaves out what differs from token to token, and from second to
// second.
func lasting(claims data) data {
	out := maps.Clone(claims)
	for _, name := range []string{"jti", "txn", "iat", "exp", "lineage"} {
		delete(out, name)
	}
	return out
}

// TestExplainAsksNobody: unless it is told to.
func TestExplainAsksNobody(t *testing.T) {
	t.Parallel()
	m, p := newMount(t), oidcProvider(t)
	m.trustProvider(p)
	m.role("orders", "idp", nil)
	question := data{"subject_token": p.token(t, engine, "orders:read"), "audience": orders}
	wantSame(t, "offline", explanation(m.write("explain/orders", question).Data),
		`temporarily_unavailable: subject: the keys of the issuer "idp" are not held, and nothing is fetched offline: see issuers/idp/status`)
	wantJSON(t, "keys", m.read("issuers/idp/status")["key_ids"], `[]`)
	question["live"] = true
	wantJSON(t, "live", m.write("explain/orders", question).Data["allowed"], `true`)
	question["live"] = false
	wantJSON(t, "with the keys that are held", m.write("explain/orders", question).Data["allowed"], `true`)
	answer := m.write("explain/orders", question)
	if answer.LeaseID != "" || strings.Contains(toJSON(t, answer), jwtPrefix) {
		t.Error("the explanation has a lease or a token")
	}
}
