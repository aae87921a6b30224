package provider

import (
	"fmt"
	"maps"
	"strings"
	"testing"
)

// refusedCase is a configuration that the engine refuses: one that it takes, but for
// some attributes.
type refusedCase struct {
	object    string
	change    block  // of the attributes of a good one; nil takes one out
	attribute string // that the diagnostic points at; "" for none: the line of a secret is not shown
	text      string // "FIELD: REASON"
}

// good is a configuration of each object that the engine takes.
var good = map[string]block{
	"config": {"issuer": "https://vault.example/v1/tx", "allowed_audiences": []string{"https://*"}, "allowed_scopes": []string{"*"}},
	"key":    {"name": "k"},
	"issuer": {
		"name": "i", "bound_issuer": "https://idp.example", "jwks_url": "https://idp.example/keys", "bound_audiences": []string{"https://vault.example"},
	},
	"client": {"name": "c", "auth_method": "client_secret_basic"},
	"role": {
		"name": "r", "issuers": []string{"i"}, "bound_subject": "ci", "allowed_audiences": []string{"https://a.example"},
		"allowed_scopes": []string{"read", "write"},
	},
}

// refusedCases has each rule that an object alone can break.
var refusedCases = []refusedCase{
	{"config", block{"issuer": ""}, "issuer", "issuer: must be set to the URL under which consumers reach this mount, such as https://vault.example.com/v1/token-exchange"},
	{"config", block{"issuer": "http://vault.example"}, "issuer", ""},
	{"config", block{"issuer": "https://vault.example/"}, "issuer", `issuer: "https://vault.example/" must not end in a slash`},
	{"config", block{"issuer": "https://vault.example?a=b"}, "issuer", `issuer: "https://vault.example?a=b" must have no query`},
	{"config", block{"default_ttl": "0s"}, "default_ttl", "default_ttl: must be at least 1s"},
	{"config", block{"max_ttl": "0s"}, "max_ttl", "max_ttl: must be at least 1s"},
	{"config", block{"default_ttl": "2h"}, "default_ttl", "default_ttl: 2h0m0s is more than max_ttl, which is 1h0m0s"},
	{"config", block{"default_ttl": "five"}, "default_ttl", ""},
	{"config", block{"max_hops": 0}, "max_hops", "max_hops: must be from 1 to 16"},
	{"config", block{"max_hops": 17}, "max_hops", "max_hops: must be from 1 to 16"},
	{"config", block{"max_delegation_depth": 0}, "max_delegation_depth", "max_delegation_depth: must be from 1 to 8"},
	{"config", block{"clock_skew_leeway": "61s"}, "clock_skew_leeway", "clock_skew_leeway: must be from 0s to 1m0s"},
	{"config", block{"jwks_max_age": "0s"}, "jwks_max_age", "jwks_max_age: must be at least 1s"},
	{"config", block{"allowed_audiences": []string{"a,b"}}, "allowed_audiences", ""},
	{"config", block{"token_endpoint_aliases": []string{"http://gateway.example/token"}}, "token_endpoint_aliases", ""},
	{"config", block{"allowed_scopes": []string{"a b"}}, "allowed_scopes", ""},

	{"key", block{"algorithm": "HS256"}, "algorithm", `algorithm: "HS256" is not supported: use one of ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512`},
	{"key", block{"verification_period": "0s"}, "verification_period", "verification_period: must be at least 1s"},
	{"key", block{"rotation_period": "1h"}, "rotation_period", "rotation_period: 1h0m0s must be 0 or at least publication_lead, which is 24h0m0s"},
	{"key", block{"publication_lead": "soon"}, "publication_lead", ""},

	{"issuer", block{"name": "self"}, "name", `name: "self" is reserved: choose another name`},
	{"issuer", block{"type": "okta"}, "type", `type: "okta" is not a type of issuer: use one of generic, kubernetes, github, gitlab, spiffe, vault`},
	{"issuer", block{"bound_issuer": nil}, "bound_issuer", `bound_issuer: must be set to the exact "iss" claim of the issuer's tokens`},
	{"issuer", block{"bound_audiences": []string{}}, "bound_audiences", `bound_audiences: must be set: the "aud" claims that mean this engine`},
	{"issuer", block{"bound_audiences": []string{""}}, "bound_audiences", "bound_audiences: has an empty element"},
	{"issuer", block{"allowed_algorithms": []string{}}, "allowed_algorithms", "allowed_algorithms: must name at least one algorithm"},
	{"issuer", block{"allowed_algorithms": []string{"HS256"}}, "allowed_algorithms", ""},
	{"issuer", block{"jwks_url": nil}, "oidc_discovery_url", "oidc_discovery_url: exactly one of oidc_discovery_url, jwks_url, jwks, jwt_validation_pubkeys, introspection_url must be set: none is"},
	{"issuer", block{"oidc_discovery_url": "https://idp.example"}, "jwks_url", `jwks_url: exactly one of oidc_discovery_url, jwks_url, jwks, jwt_validation_pubkeys, introspection_url must be set: got ["oidc_discovery_url", "jwks_url"]: empty all but one`},
	{"issuer", block{"jwks_url": "http://idp.example/keys"}, "jwks_url", ""},
	{"issuer", block{"jwks_url": nil, "jwks": "{}"}, "jwks", ""},
	{"issuer", block{"jwks_url": nil, "jwks": `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`}, "jwks", "jwks: holds a private or symmetric key: give the public keys only, and consider that key disclosed"},
	{"issuer", block{"jwks_url": nil, "jwt_validation_pubkeys": []string{"no PEM"}}, "jwt_validation_pubkeys", ""},
	{"issuer", block{"ca_pem": "no PEM"}, "ca_pem", ""},
	{"issuer", block{"allowed_addresses": []string{"127.0.0.1"}}, "allowed_addresses", ""},
	{"issuer", block{"max_token_age": "-1s"}, "max_token_age", "max_token_age: must not be negative"},
	{"issuer", block{"required_claims": []string{""}}, "required_claims", "required_claims: has an empty element"},
	{"issuer", block{"subject_prefix": "entity:"}, "subject_prefix", `subject_prefix: "entity:" cannot be told from the reserved prefix "entity:"`},
	{"issuer", block{"introspection_client_id": "engine"}, "introspection_client_id", "introspection_client_id: means nothing without introspection_url"},
	{"issuer", block{"introspection_client_secret_wo": "secret-of-the-test", "introspection_client_secret_wo_version": 1}, "", "introspection_client_secret: means nothing without introspection_url"},
	{"issuer", block{"jwks_url": nil, "introspection_url": "https://idp.example/introspect"}, "introspection_client_id", ""},
	{"issuer", block{"type": "spiffe"}, "bound_issuer", ""},
	{"issuer", block{"spiffe_bundle_url": "https://idp.example/bundle"}, "spiffe_bundle_url", ""},
	{"issuer", block{"type": "kubernetes", "bound_audiences": []string{"https://kubernetes.default.svc"}}, "bound_audiences", ""},

	{"client", block{"auth_method": "password"}, "auth_method", ""},
	{"client", block{"jwks": "{}"}, "jwks", `jwks: means nothing for the auth_method "client_secret_basic": leave it empty`},
	{"client", block{"auth_method": "private_key_jwt"}, "jwks", ""},
	{"client", block{"auth_method": "none"}, "auth_method", `auth_method: "none" lets everyone who knows the id be the client: set dpop_required=true, or insecure_public=true if that is meant`},
	{"client", block{"auth_method": "federated_jwt", "federated_subject": "ci"}, "federated_issuer", "federated_issuer: must be set to the name of a trusted issuer"},
	{"client", block{"auth_method": "federated_jwt", "federated_issuer": "ci", "federated_claims": block{"a": []any{}}}, "federated_claims", ""},
	{"client", block{"auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example"}, "tls_client_auth_ca", ""},
	{"client", block{"rate_limit": -1}, "rate_limit", "rate_limit: must be from 0 (no limit) to 1000000 requests a minute"},
	{"client", block{"audiences": []string{""}}, "audiences", ""},

	{"role", block{"subject_source": "user"}, "subject_source", `subject_source: "user" is not one of ["token", "caller"]`},
	{"role", block{"bound_claims_type": "regex"}, "bound_claims_type", `bound_claims_type: "regex" is not one of ["string", "glob"]`},
	{"role", block{"delegation": "allowed"}, "delegation", `delegation: "allowed" is not one of ["forbidden", "optional", "required"]`},
	{"role", block{"actor_source": "user"}, "actor_source", `actor_source: "user" is not one of ["token", "caller", "client"]`},
	{"role", block{"may_act": "ignore"}, "may_act", `may_act: "ignore" is not one of ["honor", "require"]`},
	{"role", block{"subject_scopes": "all"}, "subject_scopes", `subject_scopes: "all" is not one of ["intersect", "map", "ignore"]`},
	{"role", block{"typ": "at+JWT"}, "typ", `typ: "at+JWT" is not one of ["at+jwt", "JWT"]`},
	{"role", block{"format": "JWT"}, "format", `format: "JWT" is not one of ["jwt", "opaque"]`},
	{"role", block{"format": "opaque", "key": "k"}, "key", `key: must be empty when format is "opaque": no key signs an opaque token`},
	{"role", block{"format": "opaque", "typ": "JWT"}, "typ", `typ: must be left at "at+jwt" when format is "opaque": an opaque token has no header`},
	{"role", block{"issuers": nil}, "issuers", `issuers: must name at least one issuer (or set subject_source to "caller")`},
	{"role", block{"issuers": []string{"self", "i"}}, "issuers", ""},
	{"role", block{"issuers": []string{"self"}}, "bound_audiences", `bound_audiences: must be set in a role that accepts this engine's own tokens (issuer "self")`},
	{"role", block{"subject_source": "caller"}, "issuers", `issuers: must be empty when subject_source is "caller"`},
	{"role", block{"bound_subject": nil}, "bound_claims", "bound_claims: the role would accept every token of its issuers: set at least one of bound_claims, bound_subject, bound_audiences, or a condition on the subject"},
	{"role", block{"bound_claims": block{"": "x"}}, "bound_claims", "bound_claims: has a claim without a name"},
	{"role", block{"bound_claims": block{"a": []any{}}}, "bound_claims", `bound_claims: claim "a" has an empty list of values: nothing could match it`},
	{"role", block{"bound_claims": block{"a": ""}}, "bound_claims", `bound_claims: claim "a" has an empty value`},
	{"role", block{"bound_claims": block{"a": block{"b": "c"}}}, "bound_claims", `bound_claims: claim "a" must be bound to a string, a boolean, an integer below 2^53, or a list of them`},
	{"role", block{"bound_claims": block{"a": 1.5}}, "bound_claims", `bound_claims: claim "a" must be bound to a string, a boolean, an integer below 2^53, or a list of them`},
	{"role", block{"bound_claims": block{"a": "*"}, "bound_claims_type": "glob"}, "bound_claims", `bound_claims: claim "a": the pattern "*" matches every value`},
	{"role", block{"bound_claims": "a=b"}, "bound_claims", ""},
	{"role", block{"condition": "subject.sub = 'a'"}, "condition", ""},
	{"role", block{"condition": "1"}, "condition", ""},
	{"role", block{"condition": "nobody.sub == 'a'"}, "condition", ""},
	{"role", block{"subject": "1"}, "subject", ""},
	{"role", block{"claims": block{"sub": "subject.sub"}}, "claims", `claims: "sub" is reserved: the engine sets it, or it would mean something that no role may say`},
	{"role", block{"claims": block{"team": ""}}, "claims", `claims: "team" has an empty expression: give one, such as subject.team`},
	{"role", block{"actor_issuers": []string{"i"}}, "actor_issuers", `actor_issuers: means nothing while delegation is "forbidden": set delegation to "optional" or "required"`},
	{"role", block{"delegation": "required"}, "actor_issuers", `actor_issuers: must name at least one issuer (or set actor_source to "caller" and delegation to "required")`},
	{"role", block{"delegation": "required", "actor_issuers": []string{"i"}}, "bound_actors", ""},
	{"role", block{"delegation": "optional", "actor_source": "caller"}, "delegation", `delegation: must be "required" when actor_source is "caller": there is always a caller`},
	{"role", block{"max_delegation_depth": 9}, "max_delegation_depth", "max_delegation_depth: must be from 0 (the mount's) to 8"},
	{"role", block{"allowed_audiences": []string{}}, "allowed_audiences", "allowed_audiences: must name at least one audience"},
	{"role", block{"allowed_audiences": []string{"https://*"}}, "allowed_audiences", `allowed_audiences: "https://*": a role lists exact values, without wildcards`},
	{"role", block{"allowed_audiences": []string{"a b"}}, "allowed_audiences", ""},
	{"role", block{"default_audience": "https://b.example"}, "default_audience", `default_audience: "https://b.example" is not in allowed_audiences`},
	{"role", block{"default_scopes": []string{"admin"}}, "default_scopes", `default_scopes: "admin" is not in allowed_scopes`},
	{"role", block{"subject_scopes": "map"}, "scope_map", `scope_map: must be set when subject_scopes is "map", and only then`},
	{"role", block{"subject_scopes": "map", "scope_map": block{"q": []any{"admin"}}}, "scope_map", `scope_map: "q" maps to "admin", which is not in allowed_scopes`},
	{"role", block{"binding": "cookie"}, "binding", `binding: "cookie" is not one of ["none", "dpop", "mtls", "any"]`},
	{"role", block{"subject_binding": "ignore"}, "subject_binding", `subject_binding: "ignore" is not one of ["prove", "reject", "rebind"]`},
	{"role", block{"subject_binding": "rebind"}, "subject_binding", `subject_binding: means nothing while binding is "none": a subject token that is bound is refused`},
	{"role", block{"rate_limit": -1}, "rate_limit", "rate_limit: must be from 0 (no limit) to 1000000 exchanges a minute"},
	{"role", block{"ttl": "-1s"}, "ttl", "ttl: must not be negative"},
	{"role", block{"max_ttl": "-1s"}, "max_ttl", "max_ttl: must not be negative"},
	{"role", block{"ttl": "10m", "max_ttl": "5m"}, "ttl", "ttl: 10m0s is more than max_ttl, which is 5m0s"},
	{"role", block{"ttl": "ten minutes"}, "ttl", ""},
}

func (c refusedCase) name() string {
	return c.object + " " + strings.ReplaceAll(fmt.Sprint(c.change), " ", "_")
}

// config is the whole configuration of the case.
func (c refusedCase) config() block {
	config := maps.Clone(good[c.object])
	maps.Copy(config, c.change)
	return config
}

// A plan fails where the engine would refuse, and says what it says.
func TestPlansFailInTheEnginesWords(t *testing.T) {
	bareEnv(t)
	r := newRPC(t, nil)
	for _, c := range refusedCases {
		t.Run(c.name(), func(t *testing.T) {
			r.T = t
			got := r.check("tokenexchange_"+c.object, c.config())
			if len(got) != 1 {
				t.Fatalf("got %q, want one error", got)
			}
			// A name that is not Terraform's is replaced.
			text := strings.ReplaceAll(c.text, "introspection_client_secret:", "introspection_client_secret_wo:")
			want := "error: Invalid " + c.object + ": " + text
			at := ""
			if c.attribute != "" {
				at = " (at AttributeName(\"" + c.attribute + "\"))"
			}
			if c.text != "" && got[0] != want+at ||
				!strings.HasPrefix(got[0], "error: Invalid "+c.object+": ") || !strings.HasSuffix(got[0], at) {
				t.Errorf("got  %s\nwant %s (at %s)", got[0], want, c.attribute)
			}
			if strings.Contains(got[0], "secret-of-the-test") {
				t.Error("the secret is in the diagnostic")
			}
		})
	}
	for noun, config := range good {
		r.T = t
		same(t, noun, r.check("tokenexchange_"+noun, config))
	}
}

// Paths and names that Vault has no path for are refused before it is asked.
func TestPlaces(t *testing.T) {
	bareEnv(t)
	r := newRPC(t, nil)
	for _, tt := range []struct {
		attribute, value string
		ok               bool
	}{
		{"name", "a", true},
		{"name", "a.b-c_d", true},
		{"name", "a/b", false},
		{"name", "", false},
		{"name", ".a", false},
		{"name", "a-", false},
		{"mount", "tx", true},
		{"mount", "teams/a/tx", true},
		{"mount", "/tx", true},
		{"mount", "tx/", true},
		{"mount", "t x", false},
		{"mount", "tx?list=true", false},
		{"mount", "", false},
		{"mount", "tx/../sys", false},
		{"mount", "..", false},
		{"mount", "./tx", false},
		{"mount", "tx/.hidden", true},
		{"mount", "tx/a..b", true},
	} {
		config := maps.Clone(good["role"])
		config[tt.attribute] = tt.value
		if got := r.check("tokenexchange_role", config); (len(got) == 0) != tt.ok {
			t.Errorf("%s %q: %q", tt.attribute, tt.value, got)
		}
	}
}
