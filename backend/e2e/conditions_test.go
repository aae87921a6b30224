//go:build e2e

package e2e_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestBadExpressionIsNotWritten: the refusal names the field, and the place in
// the expression. What was there before stays, and works.
func TestBadExpressionIsNotWritten(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	m.role("orders", "ci", data{"condition": `subject.sub == "ci-runner"`, "claims": data{"team": `"payments"`}})
	before := m.state()
	const inScope = `; in scope are subject, actor, caller, request and now`
	const tokens = `{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}`
	for _, c := range []struct {
		name    string
		fields  data
		message string
	}{
		{"condition that breaks off", data{"condition": `subject.sub == `}, `invalid_request: condition: line 1, column 16: Syntax error: mismatched input '<EOF>' expecting ` + tokens + inScope},
		{"condition of two lines", data{"condition": "subject.sub == \"x\" &&\n  subjet.sub == \"y\""}, `invalid_request: condition: line 2, column 3: undeclared reference to 'subjet' (did you mean 'subject'?)` + inScope},
		{"unknown variable", data{"condition": `user.sub == "x"`}, `invalid_request: condition: line 1, column 1: undeclared reference to 'user'` + inScope},
		{"unknown field of the request", data{"condition": `request.audiences == []`}, `invalid_request: condition: line 1, column 8: undefined field 'audiences'` + inScope},
		{"unknown function", data{"condition": `subject.sub.matches("x")`}, `invalid_request: condition: line 1, column 20: undeclared reference to 'matches'` + inScope},
		{"condition that is a text", data{"condition": `"yes"`}, `invalid_request: condition: must yield a boolean, and yields string`},
		{"condition that compares unlike types", data{"condition": `caller.name == 1`}, `invalid_request: condition: line 1, column 13: found no matching overload for '_==_' applied to '(string, int)'` + inScope},
		{"regex that does not compile", data{"condition": `subject.sub.regex("(")`}, "invalid_request: condition: line 1, column 19: the pattern of regex: error parsing regexp: missing closing ): `(`; in scope are subject, actor, caller, request and now"},
		{"regex bomb", data{"condition": `subject.sub.regex("((a{100}){100}){100}")`}, "invalid_request: condition: line 1, column 19: the pattern of regex: error parsing regexp: invalid repeat count: `{100}`; in scope are subject, actor, caller, request and now"},
		{"long regex", data{"condition": `subject.sub.regex("` + strings.Repeat("a", 600) + `")`}, `invalid_request: condition: line 1, column 19: the pattern of regex: 600 characters are more than the limit of 512` + inScope},
		{"regex from a claim", data{"condition": `subject.sub.regex(subject.pattern)`}, `invalid_request: condition: line 1, column 26: the pattern of regex must be a text literal, so that no claim can widen it` + inScope},
		{"glob from a claim", data{"condition": `subject.sub.glob(subject.pattern + "*")`}, `invalid_request: condition: line 1, column 34: the pattern of glob must be a text literal, so that no claim can widen it` + inScope},
		{"long condition", data{"condition": `subject.sub == "` + strings.Repeat("a", 5000) + `"`}, `invalid_request: condition: is 5017 characters long: the limit is 4096`},
		{"deep condition", data{"condition": strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200)}, `invalid_request: condition: expression recursion limit exceeded: 50`},
		{"costly condition", data{"condition": strings.Repeat("[1, 2, 3, 4, 5, 6, 7, 8, 9].map(a, ", 5) + "1" + strings.Repeat(")", 5) + " != []"}, `invalid_request: condition: costs at least 952160 units to evaluate: the limit is 10000`},
		{"actor where nobody acts", data{"condition": `actor.sub == "x"`}, `invalid_request: delegation: is "forbidden", and an expression of the role mentions actor, which would never be there`},
		{"subject that is a number", data{"subject": `1`}, `invalid_request: subject: must yield a string, and yields int`},
		{"subject that breaks off", data{"subject": `"a" +`}, `invalid_request: subject: line 1, column 6: Syntax error: mismatched input '<EOF>' expecting ` + tokens + inScope},
		{"claim that breaks off", data{"claims": data{"team": `subject.`}}, `invalid_request: claims: "team": line 1, column 9: Syntax error: no viable alternative at input '.'` + inScope},
		{"reserved claim", data{"claims": data{"exp": `1`}}, `invalid_request: claims: "exp" is reserved: the engine sets it, or it would mean something that no role may say`},
		{"reserved claim in capitals", data{"claims": data{"Act": `subject`}}, `invalid_request: claims: "Act" is reserved: the engine sets it, or it would mean something that no role may say`},
		{"claims that differ in case", data{"claims": data{"team": `"a"`, "Team": `"b"`}}, `invalid_request: claims: "Team" and "team" differ in case alone: consumers that ignore case would take one for the other`},
		{"claim without a name", data{"claims": data{"": `"a"`}}, `invalid_request: claims: "" is not a claim name: printable ASCII without spaces is`},
		{"many claims", data{"claims": manyClaims(17)}, `invalid_request: claims: has more than 16 elements`},
		{"claim that is no text", data{"claims": data{"team": data{"a": 1}}}, `invalid_request: claims: must be NAME=TEXT, as in claims=NAME=TEXT, or an object of texts`},
		{"role that anybody could act by", data{"delegation": "required", "actor_issuers": "ci"}, `invalid_request: bound_actors: anybody could act for the subject: name the actors, or set may_act to "require", or a condition on the actor`},
		{"actors where nobody acts", data{"bound_actors": []string{"ci:api"}}, `invalid_request: bound_actors: means nothing while delegation is "forbidden": set delegation to "optional" or "required"`},
		{"actor of an issuer that there is not", data{"delegation": "required", "actor_issuers": "nobody", "bound_actors": []string{"ci:api"}}, `invalid_request: actor_issuers: issuer "nobody" does not exist: create it with issuers/nobody, or use one of ["ci", "self"]`},
		{"optional actor that is the caller", data{"delegation": "optional", "actor_source": "caller", "bound_actors": []string{"entity:x"}}, `invalid_request: delegation: must be "required" when actor_source is "caller": there is always a caller`},
		{"depth beyond the mount's", data{"delegation": "required", "actor_issuers": "ci", "bound_actors": []string{"ci:api"}, "max_delegation_depth": 5}, `invalid_request: max_delegation_depth: 5 is more than max_delegation_depth of config, which is 4`},
		{"depth beyond any", data{"delegation": "required", "actor_issuers": "ci", "bound_actors": []string{"ci:api"}, "max_delegation_depth": 9}, `invalid_request: max_delegation_depth: must be from 0 (the mount's) to 8`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := m.in(t)
			_, err := m.tryWrite("roles/orders", c.fields)
			refused(t, err, 400, c.message)
			wantSame(t, "state", m.state(), before)
		})
	}
	answer := m.exchange("orders", ci.Sign(t, ci.Claims(time.Now(), nil)))
	_, claims := unsigned(t, accessToken(t, answer))
	wantSame(t, "team", claims["team"].(string), "payments")
}

func manyClaims(n int) data {
	many := data{}
	for i := range n {
		many[fmt.Sprint("c", i)] = `"x"`
	}
	return many
}

// TestBadIssuerIsNotWritten looks at what the types and introspection add.
func TestBadIssuerIsNotWritten(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	m.write("issuers/opaque", data{
		"bound_issuer": "https://opaque.example", "bound_audiences": engine, "introspection_url": "https://opaque.example/ask",
		"introspection_client_id": "engine", "introspection_client_secret": "secret",
	})
	before := m.state()
	for _, c := range []struct {
		name, issuer string
		fields       data
		message      string
	}{
		{"type that there is not", "ci", data{"type": "okta"}, `type: "okta" is not a type of issuer: use one of generic, kubernetes, github, gitlab, spiffe, vault`},
		{"JWKS of a trust domain without its use", "ci", data{"type": "spiffe", "bound_issuer": "spiffe://example.org"}, `jwks: no usable key among the 1 of the JSON Web Key Set`},
		{"trust domain with a path", "ci", data{"type": "spiffe", "bound_issuer": "spiffe://example.org/ns"}, `bound_issuer: "spiffe://example.org/ns" is not a trust domain such as spiffe://example.org, in lower case and without a path`},
		{"trust domain that is a URL", "ci", data{"type": "spiffe"}, `bound_issuer: "https://ci.example" is not a trust domain such as spiffe://example.org, in lower case and without a path`},
		{"bundle of an issuer that is no trust domain", "ci", data{"spiffe_bundle_url": "https://ci.example/bundle"}, `spiffe_bundle_url: means nothing for the type "generic": set exactly one of oidc_discovery_url, jwks_url, jwks, jwt_validation_pubkeys, introspection_url`},
		{"API server's audience", "ci", data{"type": "kubernetes", "bound_audiences": "https://kubernetes.default.svc.cluster.local"}, `bound_audiences: "https://kubernetes.default.svc.cluster.local" is the API server's own: let pods ask for a token with an audience of its own, in a projected volume`},
		{"introspection beside keys", "ci", data{"introspection_url": "https://ci.example/ask", "introspection_client_id": "a", "introspection_client_secret": "b"}, `introspection_url: exactly one of oidc_discovery_url, jwks_url, jwks, jwt_validation_pubkeys, introspection_url must be set: got ["jwks", "introspection_url"]: empty all but one`},
		{"client id without introspection", "ci", data{"introspection_client_id": "a"}, `introspection_client_id: means nothing without introspection_url`},
		{"client secret without introspection", "ci", data{"introspection_client_secret": "b"}, `introspection_client_secret: means nothing without introspection_url`},
		{"introspection without a client id", "opaque", data{"introspection_client_id": ""}, `introspection_client_id: must be set with introspection_url`},
		{"introspection without a client secret", "opaque", data{"introspection_client_secret": ""}, `introspection_client_secret: must be set with introspection_url, and again when that changes`},
		{"another introspection URL for the same secret", "opaque", data{"introspection_url": "https://evil.example/ask"}, `introspection_client_secret: must be set with introspection_url, and again when that changes`},
		{"client secret with a line break", "opaque", data{"introspection_client_secret": "secret\n"}, `introspection_client_secret: has a character other than printable ASCII, such as a line break at its end`},
		{"introspection over http", "opaque", data{"introspection_url": "http://opaque.example/ask", "introspection_client_secret": "secret"}, `introspection_url: "http://opaque.example/ask" must be https (http is accepted for a literal loopback address such as 127.0.0.1 only)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := m.in(t)
			_, err := m.tryWrite("issuers/"+c.issuer, c.fields)
			refused(t, err, 400, "invalid_request: "+c.message)
			wantSame(t, "state", m.state(), before)
		})
	}
	m.role("orders", "ci", nil)
	m.exchange("orders", ci.Sign(t, ci.Claims(time.Now(), nil)))
}

// TestRoleThatBindsTooLittleIsNotWritten_IS2: on an issuer that many share.
func TestRoleThatBindsTooLittleIsNotWritten_IS2(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("issuers/agent", data{"bound_issuer": "https://agent.buildkite.com", "jwks": w.gitlab.jwks(t), "bound_audiences": engine})
	for _, c := range []struct {
		name   string
		fields data
		want   string // of the refusal, or of the warnings
	}{
		{"GitHub, by audience alone", data{"issuers": "github", "bound_audiences": engine}, `invalid_request: bound_claims: issuer "github": every repository of the service can have such tokens, and the role binds none of ["sub", "repository", "repository_owner", "repository_id", "repository_owner_id"]: bind repository_id and repository_owner_id`},
		{"GitHub, by a pattern", data{"issuers": "github", "bound_claims": data{"sub": "repo:octo*"}, "bound_claims_type": "glob"}, `invalid_request: bound_claims: issuer "github": every repository of the service can have such tokens, and the pattern "repo:octo*" of "sub" fits those of others: bind repository_id and repository_owner_id`},
		{"GitHub, by names", data{"issuers": "github", "bound_subject": "repo:octo-org/octo-repo:ref:refs/heads/main"}, `issuer "github": ["sub"]: names can be renamed and taken over: bind repository_id and repository_owner_id. Subjects of repositories created, renamed or transferred after 2026-07-15 carry ids (repo:owner@id/repo@id:…): one of the old form will stop matching`},
		{"GitLab, by audience alone", data{"issuers": "gitlab", "bound_audiences": engine}, `invalid_request: bound_claims: issuer "gitlab": every project of the service can have such tokens, and the role binds none of ["sub", "project_path", "namespace_path", "project_id", "namespace_id"]: bind project_id and namespace_id`},
		{"Buildkite, by audience alone", data{"issuers": "agent", "bound_audiences": engine}, `invalid_request: bound_claims: issuer "agent": every organization of Buildkite can have such tokens, and the role binds none of ["sub", "organization_id", "pipeline_id", "organization_slug"]: bind organization_id and pipeline_id`},
		{"a cluster, by audience alone", data{"issuers": "cluster", "bound_audiences": engine}, `invalid_request: bound_claims: issuer "cluster": every pod of the cluster can have such tokens, and the role binds none of ["sub", "/kubernetes.io/namespace", "/kubernetes.io/serviceaccount/name", "/kubernetes.io/serviceaccount/uid", "/kubernetes.io/pod/uid"]: bind sub and /kubernetes.io/serviceaccount/uid`},
		{"a cluster, by a claim's name with a dot", data{"issuers": "cluster", "bound_claims": data{"kubernetes.io.namespace": "payments"}}, `invalid_request: bound_claims: issuer "cluster": no token has a claim "kubernetes.io.namespace": members of kubernetes.io are named by JSON pointer: write "/kubernetes.io/namespace"`},
		{"a trust domain, by the beginning of a segment", data{"issuers": "mesh", "bound_claims": data{"sub": "spiffe://example.org/ns/prod*"}, "bound_claims_type": "glob"}, `invalid_request: bound_claims: issuer "mesh": the pattern "spiffe://example.org/ns/prod*" of "sub" does not end with a whole segment of the path, so that it fits other workloads too: use one "*", after the last slash, or the exact SPIFFE ID`},
		{"a trust domain, by another's subject", data{"issuers": "mesh", "bound_subject": "spiffe://example.com/x"}, `invalid_request: bound_subject: issuer "mesh": the subject "spiffe://example.com/x" is not of its trust domain: SPIFFE IDs there begin with "spiffe://example.org/"`},
		{"Vault, by metadata", data{"issuers": "vault", "bound_claims": data{"team": "x"}}, `issuer "vault": names and metadata of an entity can be edited: bind sub, which is its id`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := w.in(t)
			role := data{"allowed_audiences": orders}
			maps.Copy(role, c.fields)
			answer, err := m.tryWrite("roles/lint", role)
			if err == nil {
				if answer == nil {
					t.Fatal("neither refusal nor warning")
				}
				wantSame(t, "warnings", strings.Join(answer.Warnings, "\n"), c.want)
				m.delete("roles/lint")
				return
			}
			refused(t, err, 400, c.want)
		})
	}
}

// TestConditionThatCannotBeEvaluatedDenies: and tells the step.
func TestConditionThatCannotBeEvaluatedDenies(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	thousands := slices.Repeat([]string{"g"}, 10_000)
	for name, fields := range map[string]data{
		"teams":   {"condition": `subject.team == "payments"`},
		"costly":  {"condition": `subject.groups.all(a, subject.groups.all(b, a == b))`},
		"bound":   {"bound_claims": data{"groups": "x"}},
		"mapped":  {"subject": `subject.name`},
		"claimed": {"claims": data{"groups": `subject.groups`, "since": `subject.since`}},
		"foreign": {"subject": `"entity:" + subject.name`},
		"flagged": {"condition": `subject.flag`},
	} {
		m.role(name, "ci", fields)
	}
	for _, c := range []struct {
		name, role string
		claims     data
		message    string // without "invalid_request: "
		rule       string
	}{
		{"a claim that is missing", "teams", nil, `condition: the condition of the role "teams" cannot be evaluated: no such key: team`, "condition"},
		{"a claim of another type", "teams", data{"team": []string{"payments"}}, `condition: the condition of the role "teams" is not met`, "condition"},
		{"a condition that is a text", "flagged", data{"flag": "true"}, `condition: the condition of the role "flagged" cannot be evaluated: yields string instead of a boolean`, "condition"},
		{"an array that costs too much", "costly", data{"groups": thousands[:500]}, `condition: the condition of the role "costly" cannot be evaluated: limit exceeded`, "condition"},
		{"an array of 10,000", "costly", data{"groups": thousands}, `subject: the token is 53709 bytes long: the limit is 16384`, "size"},
		{"an array of 10,000 where it is bound", "bound", data{"groups": thousands}, `subject: the token is 53709 bytes long: the limit is 16384`, "size"},
		{"a subject that is missing", "mapped", nil, `subject: the subject expression of the role "mapped" cannot be evaluated: no such key: name`, "subject"},
		{"a subject that is a number", "mapped", data{"name": 5}, `subject: the subject expression of the role "mapped" cannot be evaluated: yields int instead of a string`, "subject"},
		{"a subject that is empty", "mapped", data{"name": ""}, `subject: the subject expression of the role "mapped" yields nothing`, "subject"},
		{"a subject that is long", "mapped", data{"name": strings.Repeat("x", 1025)}, `sub: the subject is 1025 bytes long: the limit is 1024`, "sub"},
		{"a subject of others", "foreign", data{"name": "x"}, `subject: the subject expression of the role "foreign" yields a subject with the prefix "entity:", which belongs to others`, "subject"},
		{"a claim that is mapped and missing", "claimed", data{"since": 1}, `claims: the expression of the claim ["groups"] of the role "claimed" cannot be evaluated: no such key: groups`, "claims"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := m.in(t)
			claims := ci.Claims(time.Now(), c.claims)
			_, err := m.tryWrite("exchange/"+c.role, data{"subject_token": ci.Sign(t, claims), "audience": orders})
			refused(t, err, 400, "invalid_request: "+c.message)
			for _, question := range []data{{"subject_token": ci.Sign(t, claims)}, {"subject_claims": claims}} {
				question["audience"] = orders
				answer, err := m.tryWrite("explain/"+c.role, question)
				if c.rule == "size" && question["subject_claims"] != nil {
					refused(t, err, 400, `invalid_request: subject_claims: 40174 bytes are more than the limit of 16384`)
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				wantSame(t, "explained", explanation(answer.Data), "invalid_request: "+c.message)
				wantSame(t, "rule", fmt.Sprint(answer.Data["rule"]), c.rule)
				wantSteps(t, answer.Data)
			}
		})
	}
}

// TestClaimsAreMapped is what the roles above are for, when all is well.
func TestClaimsAreMapped(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	m.role("orders", "ci", data{
		"condition": `subject.team in ["payments", "billing"] && request.scope == ["orders:read"] && request.ttl <= duration("5m")`,
		"subject":   `"ci:" + subject.team + "/" + subject.sub`,
		"claims": data{
			"team": `subject.team`, "groups": `subject.groups.filter(g, g.glob("team-*"))`, "nothing": `subject.hasClaim("absent") ? dyn("x") : null`,
			"level": `subject.level`, "nested": `{"by": subject.issuer, "audience": request.audience}`,
		},
	})
	token := ci.Sign(t, ci.Claims(time.Now(), data{"team": "payments", "groups": []string{"team-a", "admins", "team-b"}, "level": 3}))
	answer := m.exchange("orders", token)
	_, claims := unsigned(t, accessToken(t, answer))
	if _, err := goVerifier(t, m, orders).Verify(t.Context(), accessToken(t, answer)); err != nil {
		t.Error(err)
	}
	got := data{}
	for _, name := range []string{"sub", "team", "groups", "nothing", "level", "nested"} {
		if v, ok := claims[name]; ok {
			got[name] = v
		}
	}
	wantJSON(t, "claims", got, `{"sub": "ci:payments/ci-runner", "team": "payments", "groups": ["team-a", "team-b"], "level": 3,
		"nested": {"by": "ci", "audience": ["https://orders.example"]}}`)
	_, err := m.tryWrite("exchange/orders", data{"subject_token": token, "audience": orders, "scope": "orders:write"})
	if err == nil || !strings.Contains(err.Error(), `the condition of the role "orders" is not met`) {
		t.Errorf("a scope that the condition does not want: %v", err)
	}
}
