//go:build e2e

package provider

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
	"github.com/hashicorp/vault/api"
)

// resourceHCL writes a resource, with its attributes as Terraform's expressions.
func resourceHCL(typeName, name, mount string, attributes map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "resource %q %q {\n  mount = %q\n", typeName, name, mount)
	for name, expression := range attributes {
		fmt.Fprintf(&b, "  %s = %s\n", name, expression)
	}
	return b.String() + "}\n"
}

// specimen is one kind of object in the tests: how it is written, and where.
type specimen struct {
	typeName string
	path     string            // below the mount
	minimal  map[string]string // required attributes
	updates  []update
	replaces map[string]string // attribute → another value, which makes another object
}

// update is another value of one attribute, as Terraform and as Vault has it.
type update struct {
	attribute, expression string
	inVault               any
	with                  map[string]string // what must change with it
}

var specimens = []specimen{
	{
		typeName: keyType, path: "keys/x", minimal: map[string]string{"name": `"x"`},
		updates: []update{
			{attribute: "publication_lead", expression: `"36h"`, inVault: 129600},
			{attribute: "rotation_period", expression: `"30d"`, inVault: 2592000},
			{attribute: "verification_period", expression: `"48h"`, inVault: 172800},
		},
		replaces: map[string]string{"name": `"y"`, "algorithm": `"EdDSA"`},
	},
	{
		typeName: issuerType, path: "issuers/x",
		minimal: map[string]string{
			"name": `"x"`, "bound_issuer": `"https://idp.example"`, "jwks_url": `"https://idp.example/keys"`, "bound_audiences": `["https://vault.example"]`,
		},
		updates: []update{
			{attribute: "bound_issuer", expression: `"https://other.example"`, inVault: "https://other.example"},
			{attribute: "jwks_url", expression: `"https://idp.example/keys2"`, inVault: "https://idp.example/keys2"},
			{attribute: "bound_audiences", expression: `["a", "b"]`, inVault: []any{"a", "b"}},
			{attribute: "type", expression: `"vault"`, inVault: "vault"},
			{attribute: "allowed_algorithms", expression: `["EdDSA"]`, inVault: []any{"EdDSA"}},
			{attribute: "allowed_addresses", expression: `["10.0.0.0/8"]`, inVault: []any{"10.0.0.0/8"}},
			{attribute: "required_claims", expression: `["jti"]`, inVault: []any{"jti"}},
			{attribute: "max_token_age", expression: `"1h"`, inVault: 3600},
			{attribute: "subject_prefix", expression: `"idp|"`, inVault: "idp|"},
			{attribute: "ca_pem", expression: "file(\"CA\")", inVault: "CA"},
			{attribute: "oidc_discovery_url", expression: `"https://idp.example"`, inVault: "https://idp.example", with: map[string]string{"jwks_url": ""}},
			{attribute: "jwks", expression: "file(\"JWKS\")", inVault: "JWKS", with: map[string]string{"jwks_url": ""}},
			{attribute: "jwt_validation_pubkeys", expression: "[file(\"PEM\")]", inVault: []any{"PEM"}, with: map[string]string{"jwks_url": ""}},
			{
				attribute: "spiffe_bundle_url", expression: `"https://spire.example/bundle"`, inVault: "https://spire.example/bundle",
				with: map[string]string{"jwks_url": "", "type": `"spiffe"`, "bound_issuer": `"spiffe://example.org"`},
			},
			{
				attribute: "introspection_url", expression: `"https://idp.example/introspect"`, inVault: "https://idp.example/introspect",
				with: map[string]string{
					"jwks_url": "", "introspection_client_id": `"engine"`,
					"introspection_client_secret_wo": `"secret-of-the-test"`, "introspection_client_secret_wo_version": "1",
				},
			},
			{
				attribute: "introspection_client_id", expression: `"engine-2"`, inVault: "engine-2",
				with: map[string]string{
					"jwks_url": "", "introspection_url": `"https://idp.example/introspect"`,
					"introspection_client_secret_wo": `"secret-of-the-test"`, "introspection_client_secret_wo_version": "1",
				},
			},
		},
		replaces: map[string]string{"name": `"y"`},
	},
	{
		typeName: roleType, path: "roles/x",
		minimal: map[string]string{
			"name": `"x"`, "issuers": `["ci"]`, "bound_subject": `"alice"`, "allowed_audiences": `["https://orders.example"]`, "allowed_scopes": `["read", "write"]`,
		},
		updates: []update{
			{attribute: "issuers", expression: `["ci", "second"]`, inVault: []any{"ci", "second"}},
			{attribute: "bound_subject", expression: `"bob"`, inVault: "bob"},
			{attribute: "bound_audiences", expression: `["https://vault.example"]`, inVault: []any{"https://vault.example"}},
			{attribute: "bound_claims", expression: `{ team = "a", n = 7, ok = true, list = ["x", 1] }`, inVault: map[string]any{"team": "a", "n": 7, "ok": true, "list": []any{"x", 1}}},
			{attribute: "bound_claims_type", expression: `"glob"`, inVault: "glob"},
			{attribute: "condition", expression: `"subject.sub != 'mallory'"`, inVault: "subject.sub != 'mallory'"},
			{attribute: "subject", expression: `"'ci:' + subject.sub"`, inVault: "'ci:' + subject.sub"},
			{attribute: "claims", expression: `{ team = "subject.team" }`, inVault: map[string]any{"team": "subject.team"}},
			{attribute: "allowed_audiences", expression: `["https://a.example", "https://b.example"]`, inVault: []any{"https://a.example", "https://b.example"}},
			{attribute: "default_audience", expression: `"https://orders.example"`, inVault: "https://orders.example"},
			{attribute: "allowed_scopes", expression: `["read"]`, inVault: []any{"read"}},
			{attribute: "default_scopes", expression: `["read"]`, inVault: []any{"read"}},
			{attribute: "subject_scopes", expression: `"ignore"`, inVault: "ignore"},
			{attribute: "scope_map", expression: `{ q = ["read", "write"] }`, inVault: map[string]any{"q": []any{"read", "write"}}, with: map[string]string{"subject_scopes": `"map"`}},
			{attribute: "format", expression: `"opaque"`, inVault: "opaque"},
			{attribute: "key", expression: `"main"`, inVault: "main"},
			{attribute: "typ", expression: `"JWT"`, inVault: "JWT"},
			{attribute: "ttl", expression: `"2m"`, inVault: 120},
			{attribute: "max_ttl", expression: `"10m"`, inVault: 600},
			{attribute: "generate_lease", expression: `false`, inVault: false},
			{attribute: "rate_limit", expression: `60`, inVault: 60},
			{attribute: "binding", expression: `"dpop"`, inVault: "dpop"},
			{attribute: "subject_binding", expression: `"rebind"`, inVault: "rebind", with: map[string]string{"binding": `"any"`}},
			{
				attribute: "delegation", expression: `"optional"`, inVault: "optional",
				with: map[string]string{"actor_issuers": `["ci"]`, "bound_actors": `["ci:service"]`},
			},
			{attribute: "actor_source", expression: `"caller"`, inVault: "caller", with: map[string]string{"delegation": `"required"`, "bound_actors": `["entity:e"]`}},
			{
				attribute: "actor_issuers", expression: `["second"]`, inVault: []any{"second"},
				with: map[string]string{"delegation": `"required"`, "bound_actors": `["second:service"]`},
			},
			{
				attribute: "bound_actors", expression: `["ci:a", "ci:b"]`, inVault: []any{"ci:a", "ci:b"},
				with: map[string]string{"delegation": `"required"`, "actor_issuers": `["ci"]`},
			},
			{attribute: "may_act", expression: `"require"`, inVault: "require", with: map[string]string{"delegation": `"required"`, "actor_issuers": `["ci"]`}},
			{
				attribute: "max_delegation_depth", expression: `2`, inVault: 2,
				with: map[string]string{"delegation": `"required"`, "actor_issuers": `["ci"]`, "bound_actors": `["ci:a"]`},
			},
			{attribute: "subject_source", expression: `"caller"`, inVault: "caller", with: map[string]string{"issuers": "[]"}},
		},
		replaces: map[string]string{"name": `"y"`},
	},
	{
		typeName: clientType, path: "clients/x", minimal: map[string]string{"name": `"x"`, "auth_method": `"client_secret_basic"`},
		updates: []update{
			{attribute: "auth_method", expression: `"client_secret_post"`, inVault: "client_secret_post"},
			{attribute: "role", expression: `"other"`, inVault: "other"},
			{attribute: "audiences", expression: `["https://orders.example"]`, inVault: []any{"https://orders.example"}},
			{attribute: "jwks", expression: "file(\"JWKS\")", inVault: "JWKS", with: map[string]string{"auth_method": `"private_key_jwt"`}},
			{attribute: "jwks_url", expression: `"https://app.example/keys"`, inVault: "https://app.example/keys", with: map[string]string{"auth_method": `"private_key_jwt"`}},
			{
				attribute: "ca_pem", expression: "file(\"CA\")", inVault: "CA",
				with: map[string]string{"auth_method": `"private_key_jwt"`, "jwks_url": `"https://app.example/keys"`},
			},
			{
				attribute: "allowed_addresses", expression: `["10.0.0.0/8"]`, inVault: []any{"10.0.0.0/8"},
				with: map[string]string{"auth_method": `"private_key_jwt"`, "jwks_url": `"https://app.example/keys"`},
			},
			{
				attribute: "federated_issuer", expression: `"second"`, inVault: "second",
				with: map[string]string{"auth_method": `"federated_jwt"`, "federated_subject": `"app"`},
			},
			{
				attribute: "federated_subject", expression: `"app"`, inVault: "app",
				with: map[string]string{"auth_method": `"federated_jwt"`, "federated_issuer": `"ci"`},
			},
			{
				attribute: "federated_claims", expression: `{ app = ["a", "b"] }`, inVault: map[string]any{"app": []any{"a", "b"}},
				with: map[string]string{"auth_method": `"federated_jwt"`, "federated_issuer": `"ci"`},
			},
			tlsUpdate("tls_client_auth_subject_dn", "CN=app"),
			tlsUpdate("tls_client_auth_san_dns", "app.example"),
			tlsUpdate("tls_client_auth_san_uri", "spiffe://example.org/app"),
			tlsUpdate("tls_client_auth_san_ip", "192.0.2.1"),
			tlsUpdate("tls_client_auth_san_email", "app@example.org"),
			{
				attribute: "tls_client_auth_ca", expression: "file(\"CA\")", inVault: "CA",
				with: map[string]string{"auth_method": `"tls_client_auth"`, "tls_client_auth_san_dns": `"app.example"`},
			},
			{attribute: "dpop_required", expression: `true`, inVault: true},
			{attribute: "insecure_public", expression: `true`, inVault: true, with: map[string]string{"auth_method": `"none"`, "role": `"other"`}},
			{attribute: "rate_limit", expression: `60`, inVault: 60},
		},
		replaces: map[string]string{"name": `"y"`},
	},
	{
		typeName: configType, path: "config", minimal: map[string]string{"issuer": `"ISSUER"`, "allowed_audiences": `["https://*"]`, "allowed_scopes": `["*"]`},
		updates: []update{
			{attribute: "issuer", expression: `"https://vault.example/v1/other"`, inVault: "https://vault.example/v1/other", with: map[string]string{"force": "true"}},
			{attribute: "default_key", expression: `"main"`, inVault: "main"},
			{attribute: "default_ttl", expression: `"1m"`, inVault: 60},
			{attribute: "max_ttl", expression: `"2h"`, inVault: 7200},
			{attribute: "max_hops", expression: `2`, inVault: 2},
			{attribute: "max_delegation_depth", expression: `2`, inVault: 2},
			{attribute: "clock_skew_leeway", expression: `"5s"`, inVault: 5},
			{attribute: "jwks_max_age", expression: `"30m"`, inVault: 1800},
			{attribute: "allowed_audiences", expression: `["https://orders.*"]`, inVault: []any{"https://orders.*"}},
			{attribute: "allowed_scopes", expression: `["read"]`, inVault: []any{"read"}},
			{attribute: "token_endpoint_aliases", expression: `["https://gateway.example/token"]`, inVault: []any{"https://gateway.example/token"}},
		},
	},
}

// tlsUpdate is a name of a certificate, with what goes with it.
func tlsUpdate(attribute, name string) update {
	return update{
		attribute: attribute, expression: fmt.Sprintf("%q", name), inVault: name,
		with: map[string]string{"auth_method": `"tls_client_auth"`, "tls_client_auth_ca": `file("CA")`},
	}
}

// bench is a mount for the objects of a test: with config and a second issuer,
// and without what the test makes itself.
func (s specimen) bench(t *testing.T) *mount {
	t.Helper()
	m := newMount(t)
	m.remove("roles/deploy")
	if s.typeName == clientType {
		m.role("other", nil)
	}
	if s.path == "config" {
		m.remove("config")
		m.write("keys/main", block{"publication_lead": "24h"}) // more than any jwks_max_age
	}
	m.write("issuers/second", block{"bound_issuer": "https://second.example", "jwks_url": "https://second.example/keys", "bound_audiences": "https://vault.example"})
	return m
}

func (m *mount) remove(path string) {
	m.Helper()
	if _, err := m.client.Logical().DeleteWithContext(m.Context(), m.path+"/"+path); err != nil {
		m.Fatal(err)
	}
}

func (m *mount) read(path string) map[string]any {
	m.Helper()
	secret, err := m.client.Logical().ReadWithContext(m.Context(), m.path+"/"+path)
	if err != nil {
		m.Fatal(err)
	}
	if secret == nil {
		return nil
	}
	data, err := normal(secret.Data)
	if err != nil {
		m.Fatal(err)
	}
	return data
}

// files replaces what only a test run knows.
func (m *mount) files(text string) string {
	issuer := m.client.Address() + "/v1/" + m.path
	return strings.NewReplacer(`"ISSUER"`, fmt.Sprintf("%q", issuer), `file("CA")`, heredoc(certificate), `file("PEM")`, heredoc(certificate),
		`file("JWKS")`, fmt.Sprintf("%q", jwks)).Replace(text)
}

func heredoc(text string) string { return fmt.Sprintf("%q", text) }

func (m *mount) apply(config string, checks ...plancheck.PlanCheck) resource.TestStep {
	return resource.TestStep{Config: m.files(config), ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: checks}}
}

func (s specimen) config(m *mount, changes ...map[string]string) string {
	attributes := maps.Clone(s.minimal)
	for _, change := range changes {
		for name, expression := range change {
			if attributes[name] = expression; expression == "" {
				delete(attributes, name)
			}
		}
	}
	return resourceHCL(s.typeName, "x", m.path, attributes)
}

const address = ".x"

// Each attribute of each object, all of a kind in one configuration: it is
// written, read back, and a second plan is empty; what is changed in Vault
// instead is seen and put right; without it the default is back.
func TestEveryAttribute(t *testing.T) {
	for _, s := range specimens {
		t.Run(s.typeName, func(t *testing.T) {
			all := s.each(t)
			everyPlans := func(action plancheck.ResourceActionType) []plancheck.PlanCheck {
				var checks []plancheck.PlanCheck
				for _, one := range all {
					checks = append(checks, plancheck.ExpectResourceAction(s.typeName+"."+one.attribute, action))
				}
				return checks
			}
			step := func(config func(*trial) string, check func(*trial) error, checks ...plancheck.PlanCheck) resource.TestStep {
				var b strings.Builder
				for _, one := range all {
					b.WriteString(config(one))
				}
				return resource.TestStep{
					Config: b.String(), ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: checks},
					Check: func(*terraform.State) error {
						var problems []error
						for _, one := range all {
							problems = append(problems, check(one))
						}
						return errors.Join(problems...)
					},
				}
			}
			first := step((*trial).minimal, func(one *trial) error {
				one.before = one.read(one.path())
				return nil
			}, everyPlans(plancheck.ResourceActionCreate)...)
			updated := step((*trial).changed, (*trial).isInVault, everyPlans(plancheck.ResourceActionUpdate)...)
			drifted := step((*trial).changed, (*trial).isInVault, everyPlans(plancheck.ResourceActionUpdate)...)
			drifted.PreConfig = func() {
				for _, one := range all {
					one.drift(one.specimen, one.path(), one.before)
				}
			}
			back := step((*trial).without, (*trial).isDefault, everyPlans(plancheck.ResourceActionUpdate)...)
			test(t, first, updated, drifted, back)
		})
	}
}

// trial is an object of its own that tries one attribute.
type trial struct {
	specimen
	update
	*mount
	before map[string]any // in Vault, as the minimal configuration made it
}

func (s specimen) each(t *testing.T) map[string]*trial {
	t.Helper()
	all := map[string]*trial{}
	shared := s.bench(t)
	for _, u := range s.updates {
		m := shared
		if s.path == "config" { // a mount has one
			m = s.bench(t)
		}
		all[u.attribute] = &trial{specimen: s, update: u, mount: m}
	}
	return all
}

func (o *trial) path() string { return strings.Replace(o.specimen.path, "/x", "/"+o.attribute, 1) }

func (o *trial) hcl(changes ...map[string]string) string {
	attributes := maps.Clone(o.specimen.minimal)
	if attributes["name"] != "" {
		attributes["name"] = fmt.Sprintf("%q", o.attribute)
	}
	if attributes["bound_issuer"] != "" { // one to each
		attributes["bound_issuer"] = fmt.Sprintf("\"https://%s.example\"", strings.ReplaceAll(o.attribute, "_", "-"))
	}
	for _, change := range changes {
		for name, expression := range change {
			if attributes[name] = expression; expression == "" {
				delete(attributes, name)
			}
		}
	}
	return o.files(resourceHCL(o.typeName, o.attribute, o.mount.path, attributes))
}

func (o *trial) minimal() string { return o.hcl() }
func (o *trial) changed() string { return o.hcl(o.with, map[string]string{o.attribute: o.expression}) }

// without leaves the attribute out again.
func (o *trial) without() string {
	if o.attribute == "issuer" {
		return o.hcl(map[string]string{"force": "true"})
	}
	return o.hcl()
}

func (o *trial) isInVault() error { return o.want(o.api(o.inVault)) }
func (o *trial) isDefault() error { return o.want(o.before[o.attribute]) }

func (o *trial) want(want any) error {
	k, got := kindOf(o.typeName, o.attribute), o.read(o.path())[o.attribute]
	if k.canonical(got) != k.canonical(want) {
		return fmt.Errorf("%s is %v in Vault, want %v", o.attribute, got, want)
	}
	return nil
}

// drift writes an object as it was, behind the back of Terraform.
func (m *mount) drift(s specimen, path string, before map[string]any) {
	data := map[string]any{"force": true}
	if s.path != "config" {
		delete(data, "force")
	}
	for _, f := range objectOf(s.typeName).fields {
		if f.configured() {
			data[f.name] = digits(before[f.name])
		}
	}
	m.write(path, data)
}

func (m *mount) api(v any) any {
	data, err := normal(map[string]any{"v": v})
	if err != nil {
		m.Fatal(err)
	}
	switch data["v"] {
	case "CA":
		return certificate
	case "JWKS":
		return jwks
	}
	if list, ok := data["v"].([]any); ok && len(list) == 1 && list[0] == "PEM" {
		return []any{certificate}
	}
	return data["v"]
}

func kindOf(typeName, attribute string) kind {
	for _, f := range objectOf(typeName).fields {
		if f.name == attribute {
			return f.kind
		}
	}
	return text
}

// The specimens leave no attribute out.
func TestEveryAttributeIsTested(t *testing.T) {
	for _, s := range specimens {
		tested := map[string]bool{}
		for _, u := range s.updates {
			tested[u.attribute] = true
		}
		for _, f := range objectOf(s.typeName).fields {
			if f.configured() && f.use != immutable && !tested[f.name] {
				t.Errorf("%s.%s has no test", s.typeName, f.name)
			}
		}
	}
}

func TestReplacement(t *testing.T) {
	for _, s := range specimens {
		for attribute, expression := range s.replaces {
			t.Run(s.typeName+" "+attribute, func(t *testing.T) {
				m := s.bench(t)
				replaced := m.apply(s.config(m, map[string]string{attribute: expression}),
					plancheck.ExpectResourceAction(s.typeName+address, plancheck.ResourceActionReplace))
				replaced.Check = func(*terraform.State) error {
					if attribute == "name" && m.read(s.path) != nil {
						return errors.New("the former object is still there")
					}
					return nil
				}
				test(t, m.apply(s.config(m)), replaced)
			})
		}
		t.Run(s.typeName+" mount", func(t *testing.T) {
			m, other := s.bench(t), s.bench(t)
			test(t, m.apply(s.config(m)),
				m.apply(s.config(other), plancheck.ExpectResourceAction(s.typeName+address, plancheck.ResourceActionReplace)))
		})
	}
}

func TestDeletedBehindTerraform(t *testing.T) {
	for _, s := range specimens {
		t.Run(s.typeName, func(t *testing.T) {
			m := s.bench(t)
			again := m.apply(s.config(m), plancheck.ExpectResourceAction(s.typeName+address, plancheck.ResourceActionCreate))
			again.PreConfig = func() { m.remove(s.path) }
			test(t, m.apply(s.config(m)), again)
		})
	}
}

func TestMountDeleted(t *testing.T) {
	for _, s := range specimens {
		t.Run(s.typeName, func(t *testing.T) {
			m := s.bench(t)
			gone := resource.TestStep{
				Config: m.files(s.config(m)), PreConfig: func() { m.unmount() },
				ExpectError: regexp.MustCompile(`(?s)Cannot write the \w+.*no\s+handler\s+for\s+route.*check\s+that\s+the\s+engine\s+is\s+mounted\s+there`),
			}
			test(t, m.apply(s.config(m)), gone)
		})
	}
}

func (m *mount) unmount() {
	m.Helper()
	if err := m.client.Sys().UnmountWithContext(m.Context(), m.path); err != nil {
		m.Fatal(err)
	}
}

// An import by the path in Vault yields the state that a creation had.
func TestImport(t *testing.T) {
	for _, s := range specimens {
		t.Run(s.typeName, func(t *testing.T) {
			m := s.bench(t)
			o := objectOf(s.typeName)
			identifier := "name"
			if o.plural == "" {
				identifier = "mount"
			}
			imported := resource.TestStep{
				ResourceName: s.typeName + address, ImportState: true, ImportStateId: m.path + "/" + s.path,
				ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: identifier,
			}
			wrong := resource.TestStep{
				ResourceName: s.typeName + address, ImportState: true, ImportStateId: "x",
				ExpectError: regexp.MustCompile(`The id must be\s+` + regexp.QuoteMeta(o.exampleID())),
			}
			absent := resource.TestStep{
				ResourceName: s.typeName + address, ImportState: true, ImportStateId: "none/" + s.path,
				ExpectError: regexp.MustCompile(`Cannot import non-existent remote object`),
			}
			test(t, m.apply(s.config(m)), imported, wrong, absent)
		})
	}
}

func TestExistingObjectsAreNotWrittenOver(t *testing.T) {
	for _, s := range specimens {
		if s.path == "config" {
			continue // there is one, and it is taken over
		}
		t.Run(s.typeName, func(t *testing.T) {
			m := s.bench(t)
			m.writeAs(s)
			test(t, resource.TestStep{
				Config: m.files(s.config(m)), ExpectError: regexp.MustCompile(`(?s)exists already.*Import\s+it,\s+with\s+the\s+id\s+"` + m.path),
			})
			if m.read(s.path) == nil {
				t.Error("it has gone")
			}
		})
	}
}

// writeAs makes the object by hand.
func (m *mount) writeAs(s specimen) {
	m.Helper()
	data := block{}
	switch s.typeName {
	case issuerType:
		data = block{"bound_issuer": "https://idp.example", "jwks_url": "https://idp.example/keys", "bound_audiences": "https://vault.example"}
	case clientType:
		data = block{"auth_method": "client_secret_basic"}
	case roleType:
		data = block{"issuers": "ci", "bound_subject": "alice", "allowed_audiences": "https://orders.example"}
	}
	m.write(s.path, data)
}

func TestPermissionDenied(t *testing.T) {
	for _, s := range specimens {
		t.Run(s.typeName, func(t *testing.T) {
			m := s.bench(t)
			token := m.limited(fmt.Sprintf("path %q { capabilities = [\"read\"] }", m.path+"/"+s.path))
			blind := m.limited(`path "none" { capabilities = ["read"] }`)
			as := func(token string) string {
				return m.files(s.config(m)) + fmt.Sprintf("provider \"tokenexchange\" {\n  token = %q\n  skip_child_token = true\n}\n", token)
			}
			denied := `(?s)permission\s+denied.*needs\s+a\s+policy\s+with.*path\s+"` + m.path + `/` + s.path
			test(t,
				resource.TestStep{Config: as(token), ExpectError: regexp.MustCompile(denied + `.*"create",\s+"update"`)},
				m.apply(s.config(m)),
				resource.TestStep{Config: as(blind), ExpectError: regexp.MustCompile(denied + `.*"read"`)},
				m.apply(s.config(m), plancheck.ExpectEmptyPlan()), // the state is as it was
			)
		})
	}
}

// Every rule that a plan enforces is the engine's, in its words.
func TestVaultRefusesWhatAPlanDoes(t *testing.T) {
	m := newMount(t)
	m.write("issuers/i", block{"bound_issuer": "https://idp.example", "jwks_url": "https://idp.example/keys", "bound_audiences": "https://vault.example"})
	for _, c := range refusedCases {
		t.Run(c.name(), func(t *testing.T) {
			path, data := c.object+"s/refused", block{}
			if c.object == "config" {
				path = c.object
				data["force"] = true
			}
			for name, v := range c.config() {
				switch {
				case name == "name":
					path = c.object + "s/" + v.(string)
				case strings.HasSuffix(name, "_wo"):
					data[strings.TrimSuffix(name, "_wo")] = v
				case v != nil && !strings.HasSuffix(name, "_wo_version"):
					data[name] = v
				}
			}
			if path == "issuers/i" { // an update of one that is there would be partial
				path = "issuers/refused"
			}
			_, err := m.client.Logical().WriteWithContext(t.Context(), m.path+"/"+path, data)
			var refusal *api.ResponseError
			if !errors.As(err, &refusal) || refusal.StatusCode != 400 {
				t.Fatalf("Vault answers %v", err)
			}
			if want := "invalid_request: " + c.text; c.text != "" && refusal.Errors[0] != want {
				t.Errorf("got  %s\nwant %s", refusal.Errors[0], want)
			}
		})
	}
}

// A plan for what other objects will be is made before they are there.
func TestUnknownValues(t *testing.T) {
	m := newMount(t)
	config := fmt.Sprintf(`
resource "terraform_data" "audience" { input = "https://orders.example" }
resource "tokenexchange_role" "x" {
  mount             = %q
  name              = "unknown-%%s"
  issuers           = ["ci"]
  bound_claims      = { team = terraform_data.audience.id }
  allowed_audiences = [terraform_data.audience.output]
}`, m.path)
	wrong := strings.Replace(fmt.Sprintf(config, "b"), "terraform_data.audience.output]", "terraform_data.audience.id, \"a b\"]", 1)
	test(t,
		resource.TestStep{
			Config: fmt.Sprintf(config, "a"),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectUnknownValue(roleType+address, tfjsonpath.New("bound_claims").AtMapKey("team")),
				plancheck.ExpectUnknownValue(roleType+address, tfjsonpath.New("ttl")),
			}},
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(roleType+address, tfjsonpath.New("ttl"), knownvalue.StringExact("0s")),
			},
		},
		// What is found out only then is refused then.
		resource.TestStep{Config: wrong, ExpectError: regexp.MustCompile(`allowed_audiences: element "a b"`)},
	)
}

// Two providers, each with a token of its own, in one configuration. Each is a
// process: in this one they would share what was configured last.
func TestTwoProvidersSideBySide(t *testing.T) {
	a, b := newMount(t), newMount(t)
	var config strings.Builder
	for alias, m := range map[string]*mount{"a": a, "b": b} {
		token := m.limited(fmt.Sprintf("path %q { capabilities = [\"create\", \"read\", \"update\", \"delete\"] }", m.path+"/*"))
		fmt.Fprintf(&config, `
provider "tokenexchange" {
  alias            = %[1]q
  token            = %[2]q
  skip_child_token = true
}
resource "tokenexchange_role" %[1]q {
  provider          = tokenexchange.%[1]s
  mount             = %[3]q
  name              = "side"
  issuers           = ["ci"]
  bound_subject     = %[1]q
  allowed_audiences = ["https://orders.example"]
}`, alias, token, m.path)
	}
	tf := newCLI(t, config.String())
	tf.says("apply", "2 added", "apply", "-no-color", "-auto-approve")
	if gotA, gotB := a.read("roles/side")["bound_subject"], b.read("roles/side")["bound_subject"]; gotA != "a" || gotB != "b" {
		t.Errorf("bound to %v and %v", gotA, gotB)
	}
	tf.says("again", "No changes.", "plan", "-no-color")
	tf.says("destroy", "2 destroyed", "destroy", "-no-color", "-auto-approve")
}

// A sealed Vault is an outage: it changes no state.
func TestSealedVault(t *testing.T) {
	m := ownMount(t)
	tf := newCLI(t, specimens[0].config(m))
	tf.says("apply", "1 added", "apply", "-no-color", "-auto-approve")
	before := tf.read("terraform.tfstate")
	if err := m.client.Sys().SealWithContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"plan", "destroy"} {
		arguments := []string{command, "-no-color"}
		if command == "destroy" {
			arguments = append(arguments, "-auto-approve")
		}
		if tf.run(command, arguments...) == nil {
			t.Errorf("%s succeeded", command)
		}
		if out := tf.read(command + ".out"); !words("Vault is sealed").MatchString(out) {
			t.Errorf("%s says:\n%s", command, out)
		}
	}
	if tf.read("terraform.tfstate") != before {
		t.Error("the state has changed")
	}
}

// says runs Terraform, which must succeed and say something.
func (tf *cli) says(name, text string, arguments ...string) {
	tf.Helper()
	err := tf.run(name, arguments...)
	if out := tf.read(name + ".out"); err != nil || !strings.Contains(out, text) {
		tf.Fatalf("%s: %v, and it does not say %q:\n%s", name, err, text, out)
	}
}

// The key of a live token is not destroyed, unless its versions are revoked.
func TestRevokeOnDestroy(t *testing.T) {
	m := specimens[0].bench(t)
	all := func(revoke bool) string {
		return fmt.Sprintf(`
resource "tokenexchange_key" "k" {
  mount             = %[1]q
  name              = "k"
  publication_lead  = "2s"
  revoke_on_destroy = %[2]v
}
resource "tokenexchange_role" "r" {
  mount             = %[1]q
  name              = "r"
  issuers           = ["ci"]
  bound_subject     = "alice"
  allowed_audiences = [%[3]q]
  key               = tokenexchange_key.k.name
}`, m.path, revoke, audience)
	}
	// Keys that are made when there are roles wait for jwks_max_age: one second here.
	keyOnly := func(revoke bool) string {
		head, _, _ := strings.Cut(all(revoke), `resource "tokenexchange_role"`)
		return head
	}
	test(t,
		resource.TestStep{Config: keyOnly(false)},
		resource.TestStep{Config: all(false), PreConfig: func() {
			eventually(t, func() error {
				if _, err := m.client.Logical().Write(m.path+"/roles/probe", block{"issuers": "ci", "bound_subject": "a", "allowed_audiences": audience, "key": "k"}); err != nil {
					return err
				}
				_, err := m.client.Logical().Delete(m.path + "/roles/probe")
				return err
			})
		}},
		resource.TestStep{Config: "# nothing", ExpectError: regexp.MustCompile(`(?s)Cannot delete the key.*may\s+be\s+alive\s+until`)},
		resource.TestStep{Config: keyOnly(true)},
		resource.TestStep{Config: "# nothing", Check: func(*terraform.State) error {
			if m.read("keys/k") != nil {
				return errors.New("the key is still there")
			}
			return nil
		}},
	)
}

// A role that somebody wrote by hand: Terraform writes its configuration, and
// that has nothing to change.
func TestHandWrittenRoleIsImported(t *testing.T) {
	m := newMount(t)
	m.write("roles/hand", block{
		"issuers": "ci", "bound_claims": block{"a": true, "b": []any{"x", 7}, "c": "y"}, "allowed_audiences": audience,
		"subject_scopes": "map", "scope_map": block{"q": "read write"}, "allowed_scopes": "read write", "ttl": 60, "claims": block{"team": "subject.team"},
	})
	tf := newCLI(t, `
import {
  to = tokenexchange_role.hand
  id = "`+m.path+`/roles/hand"
}`)
	tf.says("generate", "1 to import, 0 to add, 0 to change, 0 to destroy", "plan", "-no-color", "-generate-config-out=generated.tf")
	tf.says("import", "1 imported, 0 added, 0 changed, 0 destroyed", "apply", "-no-color", "-auto-approve")
	tf.says("again", "No changes.", "plan", "-no-color")
}

// test runs the steps; what they leave is destroyed at the end.
func test(t *testing.T, steps ...resource.TestStep) {
	t.Helper()
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: providers(nil), Steps: steps})
}

// Terraform itself accepts these plans: it checks them against what is configured.
func TestPlansThatChangeNothing(t *testing.T) {
	m := newMount(t)
	role := func(mount, more string) string {
		return fmt.Sprintf(`
variable "claims" {
  type    = map(string)
  default = null
}
resource "tokenexchange_role" "x" {
  mount             = %q
  name              = "same"
  issuers           = ["ci"]
  bound_subject     = "alice"
  bound_claims      = var.claims
  allowed_audiences = ["https://orders.example"]
  %s
}`, mount, more)
	}
	update := plancheck.ExpectResourceAction(roleType+address, plancheck.ResourceActionUpdate)
	test(t,
		m.apply(role(m.path, "")),
		m.apply(role("/"+m.path+"/", ""), plancheck.ExpectEmptyPlan()),
		m.apply(role(m.path, `namespace = ""`), update), // only in the state
		m.apply(role(m.path, `namespace = "/"`), plancheck.ExpectEmptyPlan()),
		m.apply(role(m.path, ""), update),
		resource.TestStep{Config: role(m.path, `allowed_scopes = ["read write"]`), ExpectError: regexp.MustCompile(`to\s+the\s+engine:\s+write\s+\["read","write"\]`)},
	)
}

// What another resource will only say later neither replaces a key nor changes
// an issuer.
func TestWhatOthersSayLater(t *testing.T) {
	m := newMount(t)
	config := func(generation int) string {
		return fmt.Sprintf(`
resource "terraform_data" "later" {
  input            = "24h"
  triggers_replace = %[2]d
}
resource "tokenexchange_key" "x" {
  mount           = %[1]q
  name            = "later"
  rotation_period = terraform_data.later.output
}
resource "tokenexchange_issuer" "x" {
  mount                                  = %[1]q
  name                                   = "later"
  bound_issuer                           = "https://later.example"
  bound_audiences                        = ["https://vault.example"]
  introspection_url                      = "https://later.example/introspect"
  introspection_client_id                = "engine"
  introspection_client_secret_wo         = "of-${terraform_data.later.id}"
  introspection_client_secret_wo_version = 1
}`, m.path, generation)
	}
	test(t, m.apply(config(1)), m.apply(config(2),
		plancheck.ExpectResourceAction(keyType+address, plancheck.ResourceActionUpdate),
		plancheck.ExpectResourceAction(issuerType+address, plancheck.ResourceActionNoop),
	))
}
