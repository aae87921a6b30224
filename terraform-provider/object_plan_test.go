package provider

import (
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	roleType, issuerType, keyType = "tokenexchange_role", "tokenexchange_issuer", "tokenexchange_key"
	configType, clientType        = "tokenexchange_config", "tokenexchange_client"
)

// with returns a copy in which some members are others; nil takes one out.
func with(b, change block) block {
	out := maps.Clone(b)
	maps.Copy(out, change)
	return out
}

// existing is the state of an object as a first apply leaves it.
func existing(r *rpc, typeName string, config block) block {
	r.Helper()
	p := r.plan(typeName, nil, config)
	same(r.T, "plan", p.diags)
	state := maps.Clone(p.state)
	for name, v := range map[string]any{
		"role_id": "id-1", "needed_until": "", "versions": []any{}, "former_issuers": []any{}, "secrets": []any{},
	} {
		if _, ok := state[name]; ok {
			state[name] = v
		}
	}
	return state
}

func TestPlanFillsInTheDefaultsOfTheEngine(t *testing.T) {
	bareEnv(t)
	r := newRPC(t, nil)
	github := block{"name": "gh", "type": "github", "bound_audiences": []string{"https://vault.example"}}
	for _, tt := range []struct {
		typeName string
		config   block
		want     block
	}{
		{roleType, good["role"], block{"mount": "token-exchange", "ttl": "0s", "typ": "at+jwt", "generate_lease": true, "delegation": "forbidden", "role_id": unknown{}}},
		{keyType, good["key"], block{"algorithm": "ES256", "publication_lead": "24h", "revoke_on_destroy": false, "versions": unknown{}}},
		{configType, good["config"], block{"default_ttl": "5m", "max_ttl": "1h", "max_hops": json.Number("4"), "force": nil}},
		{issuerType, good["issuer"], block{"type": "generic", "subject_prefix": "i:", "allowed_algorithms": []any{"RS256", "ES256"}}},
		{issuerType, github, block{
			"bound_issuer": "https://token.actions.githubusercontent.com", "allowed_algorithms": []any{"RS256"}, "subject_prefix": "gh:",
		}},
		{
			issuerType, with(github, block{"type": "kubernetes", "bound_issuer": "https://k8s.example", "jwks_url": "https://k8s.example/keys"}),
			block{"required_claims": []any{"kubernetes.io"}},
		},
	} {
		p := r.plan(tt.typeName, nil, tt.config)
		same(t, tt.typeName, p.diags)
		for name, want := range tt.want {
			if !reflect.DeepEqual(p.state[name], want) {
				t.Errorf("%s %v: got %s %v, want %v", tt.typeName, tt.config, name, p.state[name], want)
			}
		}
	}
}

// Until everything is known no default is: it may depend on the rest.
func TestPlanOfWhatIsNotKnownYet(t *testing.T) {
	bareEnv(t)
	r := newRPC(t, nil)
	for name, config := range map[string]block{
		"the type of an issuer": with(good["issuer"], block{"type": unknown{}}),
		"an element":            with(good["issuer"], block{"bound_audiences": []any{unknown{}}}),
		"the name":              with(good["issuer"], block{"name": unknown{}}),
	} {
		same(t, name, r.check(issuerType, config))
		p := r.plan(issuerType, nil, config)
		same(t, name, p.diags)
		if p.state["subject_prefix"] != (unknown{}) || p.state["jwks_url"] != "https://idp.example/keys" {
			t.Errorf("%s: planned %v", name, p.state)
		}
	}
	// A claim inside an object too.
	config := with(good["role"], block{"bound_claims": block{"repository": unknown{}}})
	same(t, "claim", r.check(roleType, config))
	if p := r.plan(roleType, nil, config); p.state["ttl"] != (unknown{}) {
		t.Errorf("claim: planned ttl %v", p.state["ttl"])
	}
}

func TestWhatIsTheSameToTheEngineIsNoChange(t *testing.T) {
	bareEnv(t)
	r := newRPC(t, nil)
	config := with(good["role"], block{"ttl": "5m", "bound_claims": block{"n": 1, "l": []any{"a"}}})
	state := existing(r, roleType, config)
	for name, change := range map[string]block{
		"nothing":                          {},
		"a duration in another spelling":   {"ttl": "300s"},
		"a duration as a bare number":      {"ttl": "300"},
		"a default written out":            {"delegation": "forbidden"},
		"the other members of a set first": {"allowed_scopes": []string{"write", "read"}},
	} {
		p := r.plan(roleType, state, with(config, change))
		same(t, name, p.diags)
		if changed := p.changes(state); len(changed) > 0 || len(p.replace) > 0 {
			t.Errorf("%s: changes %q, replaces by %q", name, changed, p.replace)
		}
	}
}

func TestChanges(t *testing.T) {
	bareEnv(t)
	r := newRPC(t, nil)
	role := with(good["role"], block{"ttl": "5m", "bound_claims": block{"a": "x"}})
	for _, tt := range []struct {
		name, typeName   string
		config, change   block
		changed, replace []string
	}{
		{"field", roleType, role, block{"ttl": "6m"}, []string{"ttl"}, nil},
		{"field taken out: the default comes back", roleType, role, block{"ttl": nil}, []string{"ttl"}, nil},
		{"claims taken out", roleType, role, block{"bound_claims": nil}, []string{"bound_claims"}, nil},
		{"text for a list in a claim", roleType, role, block{"bound_claims": block{"a": []any{"x"}}}, []string{"bound_claims"}, nil},
		{"number for text in a claim", roleType, with(role, block{"bound_claims": block{"a": "1"}}), block{"bound_claims": block{"a": 1}}, []string{"bound_claims"}, nil},
		{"name", roleType, role, block{"name": "other"}, []string{"name", "role_id"}, []string{"name"}},
		{"mount", roleType, role, block{"mount": "tx"}, []string{"mount", "role_id"}, []string{"mount"}},
		{"namespace", roleType, role, block{"namespace": "team"}, []string{"namespace", "role_id"}, []string{"namespace"}},
		{"key period: the dates of its versions may move", keyType, good["key"], block{"publication_lead": "48h"}, []string{"needed_until", "publication_lead", "versions"}, nil},
		{"key algorithm", keyType, good["key"], block{"algorithm": "RS256"}, []string{"algorithm", "needed_until", "versions"}, []string{"algorithm"}},
		{"key algorithm taken out", keyType, with(good["key"], block{"algorithm": "RS256"}), block{"algorithm": nil}, []string{"algorithm", "needed_until", "versions"}, []string{"algorithm"}},
		{"local field", keyType, good["key"], block{"revoke_on_destroy": true}, []string{"needed_until", "revoke_on_destroy", "versions"}, nil},
		{"type of an issuer", issuerType, good["issuer"], block{"type": "vault"}, []string{"type"}, nil},
		{"config", configType, good["config"], block{"max_ttl": "2h"}, []string{"former_issuers", "max_ttl"}, nil},
	} {
		state := existing(r, tt.typeName, tt.config)
		p := r.plan(tt.typeName, state, with(tt.config, tt.change))
		same(t, tt.name, p.diags)
		if got := p.changes(state); !slices.Equal(got, tt.changed) || !slices.Equal(p.replace, tt.replace) {
			t.Errorf("%s: changes %q, want %q; replaces by %q, want %q", tt.name, got, tt.changed, p.replace, tt.replace)
		}
	}
}

// Another issuer URL needs force, and a plan says so.
func TestIssuerURLNeedsForce(t *testing.T) {
	bareEnv(t)
	r := newRPC(t, nil)
	state := existing(r, configType, good["config"])
	other := with(good["config"], block{"issuer": "https://new.example"})
	same(t, "without", r.plan(configType, state, other).diags, `error: Invalid config: issuer: changing it from "https://vault.example/v1/tx" `+
		`makes consumers refuse new tokens until they know the new URL: set force=true to do it (at AttributeName("issuer"))`)
	same(t, "with", r.plan(configType, state, with(other, block{"force": true})).diags)
	same(t, "first", r.plan(configType, nil, other).diags)
}

// The secret is neither in the plan nor asked for again while Vault has it.
func TestWriteOnlySecret(t *testing.T) {
	bareEnv(t)
	r := newRPC(t, nil)
	config := block{
		"name": "i", "bound_issuer": "https://idp.example", "bound_audiences": []string{"https://vault.example"},
		"introspection_url": "https://idp.example/introspect", "introspection_client_id": "engine",
	}
	secret := block{"introspection_client_secret_wo": "secret-of-the-test", "introspection_client_secret_wo_version": 1}
	missing := r.plan(issuerType, nil, config).diags
	if len(missing) != 1 {
		t.Errorf("a new issuer without its secret: %q", missing)
	}
	state := existing(r, issuerType, with(config, secret))
	if state["introspection_client_secret_wo"] != nil {
		t.Error("the secret is in the plan")
	}
	for _, tt := range []struct {
		name    string
		change  block
		changed []string
		diags   int
	}{
		{"nothing", secret, []string{}, 0},
		{"the secret alone is not seen", with(secret, block{"introspection_client_secret_wo": "other"}), []string{}, 0},
		{"its version", with(secret, block{"introspection_client_secret_wo_version": 2}), []string{"introspection_client_secret_wo_version"}, 0},
		{"neither is given any more", nil, []string{"introspection_client_secret_wo_version"}, 0},
		{"another URL without the secret", block{"introspection_url": "https://other.example/introspect"}, nil, 1},
		{"another URL with it", with(secret, block{"introspection_url": "https://other.example/introspect"}), []string{"introspection_url"}, 0},
	} {
		p := r.plan(issuerType, state, with(config, tt.change))
		if len(p.diags) != tt.diags {
			t.Errorf("%s: %q", tt.name, p.diags)
			continue
		}
		if got := p.changes(state); tt.diags == 0 && !slices.Equal(append([]string{}, got...), tt.changed) {
			t.Errorf("%s: changes %q, want %q", tt.name, got, tt.changed)
		}
	}
}

// A key is not made anew because something else of it is not known yet.
func TestWhatIsNotKnownYetReplacesNothing(t *testing.T) {
	bareEnv(t)
	r := newRPC(t, nil)
	for name, config := range map[string]block{
		"algorithm left out":      good["key"],
		"algorithm written":       with(good["key"], block{"algorithm": "ES256"}),
		"an algorithm of its own": with(good["key"], block{"algorithm": "EdDSA"}),
	} {
		state := existing(r, keyType, config)
		for _, attribute := range []string{"rotation_period", "verification_period", "publication_lead", "revoke_on_destroy"} {
			p := r.plan(keyType, state, with(config, block{attribute: unknown{}}))
			same(t, name, p.diags)
			if len(p.replace) > 0 || p.state["algorithm"] != state["algorithm"] {
				t.Errorf("%s, %s unknown: replaced by %q, algorithm %v", name, attribute, p.replace, p.state["algorithm"])
			}
		}
	}
	p := r.plan(keyType, nil, with(good["key"], block{"rotation_period": unknown{}}))
	if same(t, "new", p.diags); p.state["algorithm"] != "ES256" {
		t.Errorf("a new key: planned %v", p.state["algorithm"])
	}
	// What Terraform alone looks at leaves the engine's defaults known.
	if p := r.plan(keyType, nil, with(good["key"], block{"revoke_on_destroy": unknown{}})); p.state["publication_lead"] != "24h" {
		t.Errorf("planned %v", p.state)
	}
}

// A place in another spelling is the same place.
func TestSpellingOfAPlaceReplacesNothing(t *testing.T) {
	bareEnv(t)
	r := newRPC(t, nil)
	for _, tt := range []struct {
		prior, next block
		changed     string
		replace     string
	}{
		{block{"mount": "tx"}, block{"mount": "tx/"}, "", ""},
		{block{"mount": "/tx/"}, block{"mount": "tx"}, "", ""},
		{block{"mount": "tx", "namespace": "team"}, block{"mount": "tx", "namespace": "/team/"}, "", ""},
		{block{"mount": "tx", "namespace": "/"}, block{"mount": "tx", "namespace": ""}, "", ""},
		// Terraform demands that null is planned as null, and what was null as it is written.
		{block{"mount": "tx", "namespace": "/"}, block{"mount": "tx"}, "namespace", ""},
		{block{"mount": "tx"}, block{"mount": "tx", "namespace": ""}, "namespace", ""},
		{block{"mount": "tx", "namespace": "team"}, block{"mount": "tx"}, "namespace role_id", "namespace"},
		{block{"mount": "tx"}, block{"mount": "ty"}, "mount role_id", "mount"},
		{block{"mount": "tx"}, block{"mount": unknown{}}, "mount role_id", "mount"},
	} {
		state := existing(r, roleType, with(good["role"], tt.prior))
		p := r.plan(roleType, state, with(good["role"], tt.next))
		same(t, "plan", p.diags)
		if got := strings.Join(p.changes(state), " "); got != tt.changed || strings.Join(p.replace, " ") != tt.replace {
			t.Errorf("%v to %v: changes %q, replaced by %q", tt.prior, tt.next, got, p.replace)
		}
	}
}

// A configuration of another mount is another one: nobody knows it by this URL.
func TestConfigOfAnotherMountNeedsNoForce(t *testing.T) {
	bareEnv(t)
	r := newRPC(t, nil)
	state := existing(r, configType, with(good["config"], block{"mount": "tx"}))
	p := r.plan(configType, state, with(good["config"], block{"mount": "ty", "issuer": "https://vault.example/v1/ty"}))
	same(t, "plan", p.diags)
	if strings.Join(p.replace, " ") != "mount" {
		t.Errorf("replaced by %q", p.replace)
	}
	// Whether it is forced may be known later.
	same(t, "force", r.plan(configType, state, with(good["config"], block{"mount": "tx", "issuer": "https://new.example", "force": unknown{}})).diags)
}

var introspected = block{
	"name": "i", "bound_issuer": "https://idp.example", "bound_audiences": []string{"https://vault.example"},
	"introspection_url": "https://idp.example/introspect", "introspection_client_id": "engine",
	"introspection_client_secret_wo": "secret-of-the-test", "introspection_client_secret_wo_version": 1,
}

// A secret comes from elsewhere, often in the same run.
func TestSecretThatIsNotKnownYet(t *testing.T) {
	bareEnv(t)
	r := newRPC(t, nil)
	later := with(introspected, block{"introspection_client_secret_wo": unknown{}})
	same(t, "validation", r.check(issuerType, later))
	p := r.plan(issuerType, nil, later)
	same(t, "new", p.diags)
	if p.state["subject_prefix"] != "i:" {
		t.Errorf("planned %v", p.state)
	}
	state := existing(r, issuerType, introspected)
	if p = r.plan(issuerType, state, later); len(p.changes(state)) > 0 || len(p.diags) > 0 {
		t.Errorf("changes %q, %q", p.changes(state), p.diags)
	}
	same(t, "a wrong field beside it", r.check(issuerType, with(later, block{"introspection_url": "http://idp.example"})),
		r.check(issuerType, with(introspected, block{"introspection_url": "http://idp.example"}))...)
}

func TestSecretNeedsItsVersion(t *testing.T) {
	bareEnv(t)
	r := newRPC(t, nil)
	for given, lacks := range map[string]string{
		"introspection_client_secret_wo_version": "introspection_client_secret_wo",
		"introspection_client_secret_wo":         "introspection_client_secret_wo_version",
	} {
		got := r.check(issuerType, with(introspected, block{lacks: nil}))
		if !strings.Contains(strings.Join(got, "\n"), `Attribute "`+lacks+`" must be specified when "`+given+`" is specified`) {
			t.Errorf("without %s: %q", lacks, got)
		}
	}
	same(t, "both", r.check(issuerType, introspected))
}

// Texts name the attributes that Terraform has.
func TestTextsNameAttributes(t *testing.T) {
	bareEnv(t)
	r := newRPC(t, nil)
	bare := with(introspected, block{"introspection_client_secret_wo": nil, "introspection_client_secret_wo_version": nil})
	got := strings.Join(r.plan(issuerType, nil, bare).diags, "\n")
	if !strings.Contains(got, "introspection_client_secret_wo") || regexp.MustCompile(`introspection_client_secret\b`).MatchString(got) {
		t.Errorf("a secret that is missing: %s", got)
	}
	for _, o := range objects() {
		for name, a := range o.schema().Attributes {
			if d := a.GetMarkdownDescription(); regexp.MustCompile(`introspection_client_secret\b|separated by spaces|command line`).MatchString(d) {
				t.Errorf("%s.%s: %s", o.noun, name, d)
			}
		}
		for name, a := range o.dataSchema().Attributes {
			if d := a.GetMarkdownDescription(); strings.Contains(d, "Required") || strings.Contains(d, "Needs") {
				t.Errorf("data %s.%s: %s", o.noun, name, d)
			}
		}
	}
}
