package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
)

const (
	orders  = "https://orders.example"
	billing = "https://billing.example"
)

func TestAudiences(t *testing.T) {
	for _, c := range []struct {
		name               string
		audience, resource []string
		want               []string
	}{
		{"the default", nil, nil, []string{orders}},
		{"one", []string{billing}, nil, []string{billing}},
		{"TX-8 two", []string{billing, orders}, nil, []string{billing, orders}},
		{"TX-8 an audience and a resource", []string{billing}, []string{orders}, []string{billing, orders}},
		{"TX-8 the same twice", []string{orders, orders}, []string{orders}, []string{orders}},
		{"TX-8 ten", slices.Repeat([]string{orders}, 10), nil, []string{orders}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := goodRole().Audiences(c.audience, c.resource, everything, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAudiencesRefused(t *testing.T) {
	type refused struct {
		name               string
		edit               func(*policy.Role)
		audience, resource []string
		guardrail          policy.Guardrail
		rule, text         string
	}
	const notAllowed = `allowed_audiences: the role "orders" does not allow the audience `
	cases := []refused{
		{"another", nil, []string{"https://other.example"}, nil, everything, "allowed_audiences", notAllowed + `["https://other.example"]`},
		{"TX-8 one of two", nil, []string{orders, "x"}, nil, everything, "allowed_audiences", notAllowed + `["x"]`},
		{"TX-8 a resource beside an allowed audience", nil, []string{orders}, []string{"urn:x"}, everything, "allowed_audiences", notAllowed + `["urn:x"]`},
		{"with a slash more", nil, []string{orders + "/"}, nil, everything, "allowed_audiences", notAllowed + `["https://orders.example/"]`},
		{"with another case", nil, []string{"https://Orders.example"}, nil, everything, "allowed_audiences", notAllowed + `["https://Orders.example"]`},
		{"a pattern", nil, []string{"https://*"}, nil, everything, "allowed_audiences", notAllowed + `["https://*"]`},
		{"empty", nil, []string{""}, nil, everything, "allowed_audiences", notAllowed + `[""]`},
		{"two, joined by a comma", nil, []string{orders + "," + billing}, nil, everything, "allowed_audiences", notAllowed + `["https://orders.example,https://billing.example"]`},
		{
			"none, and no default", func(r *policy.Role) { r.DefaultAudience = "" }, nil, nil, everything,
			"audience", `audience: is missing and the role "orders" has no default_audience: ask for one of its allowed_audiences`,
		},
		{
			"a default that is allowed no more", func(r *policy.Role) { r.AllowedAudiences = []string{billing} }, nil, nil, everything,
			"allowed_audiences", notAllowed + `["https://orders.example"]`,
		},
		{"TX-8 eleven", nil, slices.Repeat([]string{orders}, 11), nil, everything, "audience", `audience: 11 targets are more than the limit of 10`},
		{"TX-8 eleven of both", nil, slices.Repeat([]string{orders}, 5), slices.Repeat([]string{orders}, 6), everything, "audience", `audience: 11 targets are more than the limit of 10`},
		{
			"the guardrail", nil,
			[]string{orders, billing},
			nil,
			policy.Guardrail{"https://orders.*"},
			"config allowed_audiences", `config allowed_audiences: the mount's guardrail does not allow the audience "https://billing.example"`,
		},
		{
			"the guardrail, by default", nil, nil, nil,
			policy.Guardrail{"https://billing.*"},
			"config allowed_audiences", `config allowed_audiences: the mount's guardrail does not allow the audience "https://orders.example"`,
		},
		{
			"no guardrail", nil,
			[]string{orders},
			nil, nil,
			"config allowed_audiences", `config allowed_audiences: the mount's guardrail does not allow the audience "https://orders.example"`,
		},
	}
	for _, resource := range []string{"/x", "", "orders", "//orders.example", orders + "#f", orders + "#", "https://%zz", "orders.example/x"} {
		cases = append(cases, refused{
			"TX-7 resource " + resource, func(r *policy.Role) { r.AllowedAudiences = append(r.AllowedAudiences, resource) }, nil,
			[]string{resource},
			everything,
			"resource", fmt.Sprintf(`resource: [%q] is not an absolute URI without a fragment`, resource),
		})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := goodRole()
			if c.edit != nil {
				c.edit(r)
			}
			got, err := r.Audiences(c.audience, c.resource, c.guardrail, nil)
			if got != nil {
				t.Errorf("got %q beside the error", got)
			}
			wantDenied(t, err, denial.InvalidTarget, c.rule, c.text)
		})
	}
}

// TX-7: a query is allowed.
func TestResourceWithQuery(t *testing.T) {
	r := goodRole()
	r.AllowedAudiences = []string{"https://orders.example/?x=1", "urn:orders"}
	if _, err := r.Audiences(nil, r.AllowedAudiences, everything, nil); err != nil {
		t.Error(err)
	}
}

// What a reviewer should read: which scopes are granted, for what the subject
// brings. The role allows read and write, and read by default.
func TestScopes(t *testing.T) {
	var r *policy.Role
	var subject policy.SubjectScope
	guardrail := everything
	scopes := strings.Fields
	grant := func(requested, want string) {
		t.Helper()
		got, err := r.Scopes(scopes(requested), subject, guardrail, nil)
		if err != nil || !slices.Equal(got, scopes(want)) {
			t.Errorf("%q: got %q, %v, want %q", requested, got, err, want)
		}
	}
	deny := func(requested, rule, text string) {
		t.Helper()
		got, err := r.Scopes(scopes(requested), subject, guardrail, nil)
		if got != nil {
			t.Errorf("%q: got %q beside the error", requested, got)
		}
		wantDenied(t, err, denial.InvalidScope, rule, rule+": "+text)
	}
	denyBySubject := func(requested, scope string) {
		t.Helper()
		deny(requested, "subject_scopes", fmt.Sprintf(`the subject token does not have the scope %q, and subject_scopes is "intersect"`, scope))
	}
	denyByRole := func(requested, scope string) {
		t.Helper()
		deny(requested, "allowed_scopes", fmt.Sprintf(`the role "orders" does not allow the scope [%q]`, scope))
	}
	denyByGuardrail := func(requested, scope string) {
		t.Helper()
		deny(requested, "config allowed_scopes", fmt.Sprintf(`the mount's guardrail does not allow the scope %q`, scope))
	}

	// intersect: in the role and in the subject token.
	r, subject = goodRole(), policy.SubjectScope{Scopes: scopes("read write admin")}
	grant("", "read")
	grant("write", "write")
	grant("write read write", "write read")
	denyByRole("admin", "admin")
	denyByRole("read admin", "admin") // TX-10: nothing is dropped silently
	denyByRole("READ", "READ")
	denyByRole("*", "*")
	subject.Scopes = scopes("write")
	grant("", "") // the default is narrowed
	grant("write", "write")
	denyBySubject("read write", "read")
	subject.Scopes = scopes("*")
	denyBySubject("read", "read")
	subject.Scopes = nil // a token that says nothing of scopes has none
	grant("", "")
	denyBySubject("read", "read")
	subject.Scopes = []string{}
	denyBySubject("read", "read")

	// map: what the subject's scopes map to.
	r.SubjectScopes, r.ScopeMap = policy.ScopesMap, map[string][]string{"viewer": {"read"}, "editor": {"read", "write"}}
	subject.Scopes = scopes("viewer other")
	grant("", "read")
	grant("read", "read")
	deny("write", "scope_map", `no scope of the subject token maps to "write"`)
	subject.Scopes = scopes("editor")
	grant("read write", "read write")
	denyByRole("editor", "editor")
	subject.Scopes = scopes("read write") // the names before the map count
	grant("", "")
	deny("read", "scope_map", `no scope of the subject token maps to "read"`)
	subject.Scopes = nil
	deny("read", "scope_map", `no scope of the subject token maps to "read"`)

	// ignore: the role alone.
	r = goodRole()
	r.SubjectScopes = policy.ScopesIgnore
	subject.Scopes = nil
	grant("", "read")
	grant("read write", "read write")
	denyByRole("admin", "admin")

	// Our own tokens intersect, whatever the role says: scope never widens.
	for _, rule := range []string{policy.ScopesIntersect, policy.ScopesMap, policy.ScopesIgnore} {
		r.SubjectScopes, r.ScopeMap = rule, map[string][]string{"read": {"write"}}
		subject = policy.SubjectScope{Own: true, Scopes: scopes("read")}
		grant("", "read")
		grant("read", "read")
		denyBySubject("write", "write")
		subject.Scopes = nil
		grant("", "")
		denyBySubject("read", "read")
	}

	// A caller has no scopes: the role alone.
	r, subject = goodRole(), policy.SubjectScope{Caller: true}
	grant("", "read")
	grant("read write", "read write")
	denyByRole("admin", "admin")

	// The guardrail holds for everyone, and without one nothing is allowed.
	for _, s := range []policy.SubjectScope{{Scopes: scopes("read write")}, {Own: true, Scopes: scopes("read write")}, {Caller: true}} {
		subject = s
		guardrail = policy.Guardrail{"w*"}
		grant("", "")
		grant("write", "write")
		denyByGuardrail("read", "read")
		guardrail = nil
		grant("", "")
		denyByGuardrail("write", "write")
	}

	// A rule that nobody knows is no rule.
	r, guardrail, subject = goodRole(), everything, policy.SubjectScope{Scopes: scopes("read")}
	r.SubjectScopes = ""
	deny("read", "subject_scopes", `the role "orders" has no rule for the subject's scopes`)
}

func TestCheckWithin(t *testing.T) {
	within := func(audiences, scopes policy.Guardrail) error { return goodRole().CheckWithin(audiences, scopes) }
	if err := within(policy.Guardrail{"https://*.example"}, policy.Guardrail{"read", "write"}); err != nil {
		t.Error(err)
	}
	const addAudience = ` is not within the mount's guardrail: add it to allowed_audiences of config`
	const addScope = ` is not within the mount's guardrail: add it to allowed_scopes of config`
	wantDenied(t, within(nil, everything), denial.InvalidRequest, "allowed_audiences", `allowed_audiences: "https://orders.example"`+addAudience)
	wantDenied(t, within(policy.Guardrail{orders}, everything), denial.InvalidRequest, "allowed_audiences", `allowed_audiences: "https://billing.example"`+addAudience)
	wantDenied(t, within(everything, nil), denial.InvalidRequest, "allowed_scopes", `allowed_scopes: "read"`+addScope)
	wantDenied(t, within(everything, policy.Guardrail{"r*"}), denial.InvalidRequest, "allowed_scopes", `allowed_scopes: "write"`+addScope)
}
