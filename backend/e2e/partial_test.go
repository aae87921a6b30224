//go:build e2e

package e2e_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
)

// update is one write of a few fields to an object, and what reads differently
// after it, where that is not what was written.
type update struct {
	write data
	reads data
}

// wantPartial makes updates one after the other. Each may change what it says
// and nothing else; together they must write every field that can be read,
// other than those listed.
func wantPartial(t *testing.T, m *mount, path string, fixed []string, updates []update) {
	t.Helper()
	written := map[string]bool{}
	for _, u := range updates {
		want := m.read(path)
		for name, value := range u.write {
			written[name] = true
			if _, readable := want[name]; readable {
				want[name] = value
			}
		}
		maps.Copy(want, u.reads)
		m.write(path, u.write)
		wantJSON(t, path+" after a write of "+toJSON(t, u.write), m.read(path), toJSON(t, want))
	}
	for _, name := range slices.Sorted(maps.Keys(m.read(path))) {
		if !written[name] && !slices.Contains(fixed, name) {
			t.Errorf("%s: no test writes %s alone", path, name)
		}
	}
}

func TestFieldOfTheConfigurationIsWrittenAlone(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("keys/spare", nil)
	wantPartial(t, m, "config", []string{"former_issuers"}, []update{
		{data{"issuer": m.issuer + "-2", "force": true}, data{"former_issuers": []string{m.issuer}}},
		{data{"default_key": "spare"}, nil},
		{data{"default_ttl": "4m"}, data{"default_ttl": 240}},
		{data{"max_ttl": 1800}, nil},
		{data{"max_hops": 2}, nil},
		{data{"max_delegation_depth": 3}, nil},
		{data{"clock_skew_leeway": "0s"}, data{"clock_skew_leeway": 0}},
		{data{"allowed_audiences": []string{"https://*.example", "api"}}, nil},
		{data{"allowed_scopes": "orders:*"}, data{"allowed_scopes": []string{"orders:*"}}},
		{data{"jwks_max_age": "1m"}, data{"jwks_max_age": 60}},
		{data{"allowed_scopes": []string{}}, nil},
		{data{"token_endpoint_aliases": []string{"https://gateway.example/token"}}, nil},
		{data{}, nil},
	})
}

func TestFieldOfAKeyIsWrittenAlone(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	wantPartial(t, m, "keys/main", []string{"versions", "needed_until"}, []update{
		{data{"algorithm": "ES256"}, nil},
		{data{"publication_lead": "12h"}, data{"publication_lead": 12 * 3600}},
		{data{"rotation_period": "14h"}, data{"rotation_period": 14 * 3600}},
		{data{"verification_period": "13h"}, data{"verification_period": 13 * 3600}},
		{data{}, nil},
	})
}

func TestFieldOfAnIssuerIsWrittenAlone(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.trust("ci")
	other := issuertest.New(t, "https://other.example")
	wantPartial(t, m, "issuers/ci", nil, []update{
		{data{"bound_issuer": "https://ci2.example"}, nil},
		{data{"jwks": other.JWKS(t)}, nil},
		{data{"bound_audiences": []string{engine, "another"}}, nil},
		{data{"required_claims": "jti,nbf"}, data{"required_claims": []string{"jti", "nbf"}}},
		{data{"allowed_algorithms": []string{"ES256"}}, nil},
		{data{"max_token_age": "1h"}, data{"max_token_age": 3600}},
		{data{"subject_prefix": ""}, nil},
		{data{"jwks": "", "jwks_url": "https://ci.example/jwks"}, nil},
		{data{"allowed_addresses": []string{"10.0.0.0/8"}}, nil},
		{data{"ca_pem": certificate}, nil},
		{data{"jwks_url": "", "oidc_discovery_url": "https://ci.example"}, nil},
		{data{"oidc_discovery_url": "", "ca_pem": "", "allowed_addresses": []string{}, "jwt_validation_pubkeys": []string{publicPEM(t, other)}}, nil},
		{data{"required_claims": []string{}}, nil},
		{data{"max_token_age": 0}, nil},
		{data{"type": "kubernetes"}, data{"required_claims": []string{"kubernetes.io"}}}, // the default of the type
		{data{"required_claims": []string{}}, nil},
		{data{"type": "vault"}, nil},
		{data{
			"jwt_validation_pubkeys": []string{}, "introspection_url": "https://ci.example/ask",
			"introspection_client_id": "engine", "introspection_client_secret": "first secret",
		}, nil},
		{data{"introspection_client_id": "another"}, nil},
		{data{"introspection_client_secret": "second secret"}, nil},
		{data{"introspection_url": "https://ci2.example/ask", "introspection_client_secret": "third secret"}, nil},
		{data{
			"type": "spiffe", "bound_issuer": "spiffe://example.org", "spiffe_bundle_url": "https://spire.example/bundle",
			"introspection_url": "", "introspection_client_id": "", "introspection_client_secret": "",
		}, nil},
		{data{"spiffe_bundle_url": "https://spire2.example/bundle"}, nil},
		{data{"bound_issuer": "spiffe://example.com"}, nil},
		{data{}, nil},
	})
}

func TestFieldOfARoleIsWrittenAlone(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("keys/spare", nil)
	m.trust("ci")
	m.trust("other")
	m.role("orders", "ci", nil)
	wantPartial(t, m, "roles/orders", []string{"role_id"}, []update{
		{data{"issuers": []string{"ci", "other"}}, nil},
		{data{"issuers": "other"}, data{"issuers": []string{"other"}}},
		{data{"bound_audiences": []string{engine, "another"}}, nil},
		{data{"bound_subject": "someone"}, nil},
		{data{"bound_claims": data{"team": "payments", "/a/b": []any{"x", true, 1}}}, nil},
		{data{"bound_claims": data{"team": "sales"}}, nil}, // maps are replaced whole
		{data{"bound_claims_type": "glob"}, nil},
		{data{"condition": `subject.team == "payments"`}, nil},
		{data{"subject": `"other:" + subject.sub`}, nil},
		{data{"claims": data{"team": "subject.team", "groups": `["a", "b"]`}}, nil},
		{data{"claims": data{"team": "subject.crew"}}, nil},
		{data{"delegation": "optional", "actor_issuers": "ci", "bound_actors": []string{"ci:api"}}, data{"actor_issuers": []string{"ci"}}},
		{data{"delegation": "required"}, nil},
		{data{"actor_issuers": []string{"ci", "other"}}, nil},
		{data{"bound_actors": []string{"ci:api", "other:a, b"}}, nil},
		{data{"may_act": "require"}, nil},
		{data{"max_delegation_depth": 2}, nil},
		{data{"bound_actors": []string{}}, nil},
		{data{"actor_source": "caller", "actor_issuers": []string{}}, nil},
		{data{"condition": `actor.sub == "x" && "callers" in caller.groups`}, nil},
		{data{"actor_source": "token", "delegation": "forbidden", "may_act": "honor", "max_delegation_depth": 0, "condition": ""}, nil},
		{data{"subject": ""}, nil},
		{data{"claims": data{}}, nil},
		{data{"allowed_audiences": []string{orders, billing}}, nil},
		{data{"default_audience": billing}, nil},
		{data{"allowed_scopes": []string{"a", "b", "c"}, "default_scopes": "a b"}, data{"default_scopes": []string{"a", "b"}}},
		{data{"allowed_scopes": []string{"a", "b"}}, nil},
		{data{"default_scopes": []string{}}, nil},
		{data{"subject_scopes": "map", "scope_map": data{"x": "a b"}}, data{"scope_map": data{"x": []string{"a", "b"}}}},
		{data{"scope_map": data{"y": []string{"b"}}}, nil},
		{data{"subject_scopes": "ignore", "scope_map": data{}}, nil},
		{data{"subject_scopes": "intersect"}, nil},
		{data{"key": "spare"}, nil},
		{data{"typ": "JWT"}, nil},
		{data{"max_ttl": "20m"}, data{"max_ttl": 1200}},
		{data{"ttl": "10m"}, data{"ttl": 600}},
		{data{"generate_lease": false}, nil},
		{data{"rate_limit": 60}, nil},
		{data{"bound_subject": ""}, nil},
		{data{"bound_claims": data{}}, nil},
		{data{"key": ""}, nil},
		{data{"typ": "at+jwt"}, nil},
		{data{"binding": "dpop"}, nil},
		{data{"subject_binding": "rebind"}, nil},
		{data{"subject_binding": "prove", "binding": "none"}, nil},
		{data{"format": "opaque"}, nil},
		{data{"subject_source": "caller", "issuers": []string{}, "bound_audiences": []string{}}, nil},
		{data{}, nil},
	})
}

// TestUpdateTakesEffectAtOnce: a role that was narrowed is narrow for the next
// request, and a role that is written again keeps its tokens alive.
func TestUpdateTakesEffectAtOnce(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t))
	token := accessToken(t, c.exchange("orders", c.subject()))
	c.write("roles/orders", data{"bound_subject": "someone-else"})
	c.wantActive(token)
	_, err := c.tryWrite("exchange/orders", data{"subject_token": c.subject(), "audience": orders})
	refused(t, err, 400, `invalid_request: subject: "sub" claim: the role "orders" is bound to another subject`)
	c.write("roles/orders", data{"bound_subject": "ci-runner"})
	c.write("config", data{"allowed_audiences": billing})
	_, err = c.tryWrite("exchange/orders", data{"subject_token": c.subject(), "audience": orders})
	refused(t, err, 400, `invalid_target: config allowed_audiences: the mount's guardrail does not allow the audience "https://orders.example"`)
}

// TestWarningsReachTheOperator looks at what is accepted and deserves a second
// look.
func TestWarningsReachTheOperator(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.trust("ci")
	m.role("orders", "ci", nil)
	var answer *api.Secret
	for _, c := range []struct {
		path     string
		fields   data
		warnings string
	}{
		{"roles/orders", data{"subject_scopes": "ignore"}, `["subject_scopes is \"ignore\": allowed_scopes are granted even if the subject token does not have them"]`},
		{"roles/wide", data{"issuers": "ci", "bound_audiences": engine, "allowed_audiences": orders}, `["only bound_audiences is set: every subject of the issuers may use this role; set bound_subject, bound_claims or a condition to narrow it"]`},
		{"config", data{"issuer": "https://vault.example/oauth", "force": true}, `["issuer does not end in /v1/` + m.path + `: discovery and JWKS can be fetched only if a proxy maps the URL to this mount"]`},
		{"config", data{"issuer": "https://vault.example/v1/" + m.path, "force": true, "allowed_scopes": "billing:*"}, `["these roles allow more than the mount does now, and are held to the mount: orders"]`},
	} {
		answer = m.write(c.path, c.fields)
		if answer == nil {
			t.Errorf("%s %v: no warning", c.path, c.fields)
			continue
		}
		wantJSON(t, c.path, answer.Warnings, c.warnings)
	}
}

// certificate is one that nobody trusts.
const certificate = `-----BEGIN CERTIFICATE-----
MIIBcTCCARegAwIBAgIUatBPiKkHl5jb1UPdz9OWsekf4tkwCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDZTJlMB4XDTI2MTEyNDE3NDE0NloXDTM2MTEyMTE3NDE0Nlow
DjEMMAoGA1UEAwwDZTJlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeNyakqCu
BQiLaUROrDRbT5Sn+tcJnkteybN06H38iAYqtdEa7S6XUwyPhU87VptjJW+oDCzP
Riu2pp4VOyNwpqNTMFEwHQYDVR0OBBYEFEg5OwxGR2xs4pZfmJPitdwIiBoZMB8G
A1UdIwQYMBaAFEg5OwxGR2xs4pZfmJPitdwIiBoZMA8GA1UdEwEB/wQFMAMBAf8w
CgYIKoZIzj0EAwIDSAAwRQIhAJCTGb62C1E3oO+wWlIucAgAHIKxoNls6txtcIbK
S5XcAiAAvxPp/eSBuyHZdhssnMUPdqSGvX1BxcYFLlH90i0i6g==
-----END CERTIFICATE-----
`
