package backend_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend"
)

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\ngot  %v\nwant %v", what, got, want)
	}
}

// Every configurable field: written alone it changes, and nothing else does.
func TestUpdatesArePartial(t *testing.T) {
	objects := map[string]map[string]any{
		"config": {
			"default_key": "second", "default_ttl": 60, "max_ttl": 1800, "max_hops": 2, "max_delegation_depth": 2, "clock_skew_leeway": 5,
			"allowed_audiences": []string{"https://orders.*"}, "allowed_scopes": []string{"orders:*"}, "jwks_max_age": 30,
		},
		"issuers/idp": {
			"bound_issuer": "https://new.example", "allowed_algorithms": []string{"ES256"}, "bound_audiences": []string{"a", "b"},
			"max_token_age": 7200, "required_claims": []string{"jti"}, "subject_prefix": "p:",
		},
		"keys/main": {"rotation_period": 14400, "publication_lead": 7200, "verification_period": 10800},
		"roles/orders": {
			"issuers": []string{"self"}, "bound_subject": "other", "bound_audiences": []string{"https://vault.example"},
			"bound_claims": map[string]any{"team": []any{"a", "b"}}, "bound_claims_type": "glob",
			"allowed_audiences": []string{orders, "https://b.example"}, "default_audience": "",
			"allowed_scopes": []string{"orders:read", "x"}, "default_scopes": []string{"orders:write"}, "subject_scopes": "ignore",
			"condition": `subject.sub != "mallory"`, "subject": `"idp:" + subject.sub`, "claims": map[string]string{"team": "subject.team"},
			"format": "opaque", "key": "second", "typ": "JWT", "ttl": 60, "max_ttl": 600, "generate_lease": false, "rate_limit": 60, "binding": "mtls",
		},
		"roles/delegating": {
			"delegation": "required", "actor_issuers": []string{"self"}, "bound_actors": []string{"idp:b", "a,b"},
			"may_act": "require", "max_delegation_depth": 3,
		},
	}
	maps.Copy(objects, partialClients(t))
	for path, fields := range objects {
		for name, value := range fields {
			t.Run(path+" "+name, func(t *testing.T) {
				m := newMount(t)
				m.secondKey()
				m.write("roles/delegating", delegating)
				m.everyClient()
				if name == "issuers" { // "self" needs bound_audiences
					m.write("roles/orders", map[string]any{"bound_audiences": "https://vault.example"})
				}
				want := m.read(path)
				m.write(path, map[string]any{name: value})
				got := m.read(path)
				wantEqual(t, name, asJSON(t, got[name]), asJSON(t, value))
				for _, changed := range []string{name, "versions"} { // a key's periods move the dates of its versions
					delete(got, changed)
					delete(want, changed)
				}
				wantEqual(t, "the other fields", got, want)
			})
		}
	}
}

// delegating is a role under which a service acts for users.
var delegating = map[string]any{
	"issuers": "idp", "bound_subject": "ci-runner", "allowed_audiences": orders, "default_audience": orders,
	"delegation": "optional", "actor_issuers": "idp", "bound_actors": []string{"idp:service"}, "generate_lease": false,
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestRefusedWritesChangeNothing(t *testing.T) {
	for _, c := range []struct {
		name, path string
		data       map[string]any
		text       string
	}{
		{"role without issuers", "roles/orders", map[string]any{"issuers": ""}, `invalid_request: issuers: must name at least one issuer (or set subject_source to "caller")`},
		{"role with a missing issuer", "roles/orders", map[string]any{"issuers": "none"}, `invalid_request: issuers: issuer "none" does not exist: create it with issuers/none, or use one of ["idp", "self"]`},
		{"role with a missing key", "roles/orders", map[string]any{"key": "none"}, `invalid_request: key: key "none" does not exist: create it with keys/none, or use one of ["main"]`},
		{"role with ttl above max_ttl", "roles/orders", map[string]any{"ttl": "31m"}, `invalid_request: ttl: 31m0s is more than max_ttl, which is 30m0s`},
		{"role with a malformed list", "roles/orders", map[string]any{"allowed_audiences": `["https://a.example"`}, `invalid_request: allowed_audiences: element "[\"https://a.example\"" has the character '"': printable ASCII other than space, comma, quote and backslash is allowed`},
		{"role with a malformed scope_map", "roles/orders", map[string]any{"subject_scopes": "map", "scope_map": map[string]any{"a": 1}}, `invalid_request: scope_map: "a" must map to a scope, or to a list of scopes`},
		{"role with an unknown format", "roles/orders", map[string]any{"format": "paseto"}, `invalid_request: format: "paseto" is not one of ["jwt", "opaque"]`},
		{"role with opaque tokens and a key", "roles/orders", map[string]any{"format": "opaque", "key": "main"}, `invalid_request: key: must be empty when format is "opaque": no key signs an opaque token`},
		{"role with opaque tokens and a typ", "roles/orders", map[string]any{"format": "opaque", "typ": "JWT"}, `invalid_request: typ: must be left at "at+jwt" when format is "opaque": an opaque token has no header`},
		{"config with another issuer", "config", map[string]any{"issuer": "https://new.example"}, `invalid_request: issuer: changing it from "https://vault.example/v1/token-exchange" makes consumers refuse new tokens until they know the new URL: set force=true to do it`},
		{"role with a misspelt restriction", "roles/orders", map[string]any{"bound_cliams": map[string]any{"a": "b"}}, `invalid_request: bound_cliams: is not a field of roles/orders: see vault path-help`},
		{"config with a field that is not one", "config", map[string]any{"issuers": "x"}, `invalid_request: issuers: is not a field of config: see vault path-help`},
		{"key with a short lead, before it is generated", "keys/new", map[string]any{"algorithm": "RS512", "publication_lead": "1s"}, `invalid_request: publication_lead: 1s must be more than jwks_max_age of config, which is 10m0s`},
		{"key with another algorithm", "keys/main", map[string]any{"algorithm": "RS256"}, `invalid_request: algorithm: cannot be changed: the key "main" is for ES256; make another key`},
		{"issuer with two sources", "issuers/idp", map[string]any{"jwks_url": "https://idp.example/keys"}, `invalid_request: jwks: exactly one of oidc_discovery_url, jwks_url, jwks, jwt_validation_pubkeys, introspection_url must be set: got ["jwks_url", "jwks"]: empty all but one`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMount(t)
			before, writes := m.do(logical.ReadOperation, c.path, nil), m.storage.writes.Load()
			m.wantRefused(logical.UpdateOperation, c.path, c.data, c.text)
			wantEqual(t, c.path, m.do(logical.ReadOperation, c.path, nil), before)
			if m.storage.writes.Load() != writes {
				t.Error("something was written")
			}
		})
	}
}

func TestReservedIssuerNames(t *testing.T) {
	m := newMount(t)
	for _, name := range []string{"self", "entity", "role"} {
		m.wantRefused(logical.CreateOperation, "issuers/"+name, map[string]any{"bound_issuer": "https://x.example"},
			`invalid_request: name: "`+name+`" is reserved: choose another name`)
	}
}

func TestDeleteInUseIsRefused(t *testing.T) {
	m := newMount(t)
	m.wantRefused(logical.DeleteOperation, "keys/main", nil,
		`invalid_request: name: the key "main" signs for the roles ["again", "me", "orders", "unleased"]: give them another key first`)
	m.wantRefused(logical.DeleteOperation, "issuers/idp", nil,
		`invalid_request: name: the issuer "idp" is accepted by the roles ["orders", "unleased"]: take it out of their issuers first`)
}

// A key that no role uses any more stays for as long as a token that it signed
// may live.
func TestKeyIsNeededUntilItsTokensHaveExpired(t *testing.T) {
	m := newMount(t)
	m.secondKey()
	token := m.exchange("unleased").Data["access_token"]
	m.write("config", map[string]any{"default_key": "second"})
	m.restart()
	m.wantRefused(logical.DeleteOperation, "keys/main", nil,
		`invalid_request: name: tokens signed with the key "main" may be alive until 2027-01-15T10:12:00Z: delete it then`)
	if !m.active(token) {
		t.Error("the token died with its role's change of key")
	}
	m.now = m.now.Add(2*time.Hour + 2*time.Minute)
	m.do(logical.DeleteOperation, "keys/main", nil)
	if resp := m.do(logical.ReadOperation, "keys/main", nil); resp != nil {
		t.Error("the key is still there")
	}
}

func TestRotation(t *testing.T) {
	m := newMount(t)
	token := m.exchange("unleased").Data["access_token"]
	m.wantRefused(logical.UpdateOperation, "keys/main/rotate", nil,
		`invalid_request: publication_lead: the successor of key "main" may sign from 2027-01-15T09:00:00Z on: consumers that cache the JWKS may not know it before then`)
	m.wantRefused(logical.UpdateOperation, "keys/none/rotate", nil, `invalid_request: name: the key "none" does not exist`)
	before := jwksKeyIDs(m)
	m.now = m.now.Add(time.Hour)
	m.write("keys/main/rotate", nil)
	m.restart()
	after := jwksKeyIDs(m)
	if len(before) != 2 || len(after) != 3 || before[1] != after[1] {
		t.Errorf("published %v, then %v", before, after)
	}
	if m.active(token) { // it lived five minutes
		t.Error("an expired token is active")
	}
	m.exchange("unleased")
	m.now = m.now.Add(2*time.Hour + 2*time.Minute)
	if got := jwksKeyIDs(m); len(got) != 2 {
		t.Errorf("a version that nothing needs is published: %v", got)
	}
	m.do(logical.RollbackOperation, "", nil)
	if versions := m.read("keys/main")["versions"].([]map[string]any); len(versions) != 2 {
		t.Errorf("the periodic function left %v", versions)
	}
}

func TestAutomaticRotation(t *testing.T) {
	m := newMount(t)
	m.write("keys/main", map[string]any{"rotation_period": "2h"})
	before := jwksKeyIDs(m)
	tick := func(after time.Duration) []string {
		m.now = m.now.Add(after)
		m.do(logical.RollbackOperation, "", nil)
		return jwksKeyIDs(m)
	}
	wantEqual(t, "before the period is over", tick(2*time.Hour-time.Second), before)
	after := tick(time.Second)
	if len(after) != 3 || after[1] != before[1] {
		t.Errorf("published %v, then %v", before, after)
	}
	m.restart()
	wantEqual(t, "after a restart", tick(0), after)
	if got := m.exchange("unleased").Data["access_token"]; !m.active(got) {
		t.Error("a token of the new version is not active")
	}
}

func TestEmergencyRevocationOfAKey(t *testing.T) {
	m := newMount(t)
	token := m.exchange("unleased").Data["access_token"]
	child := m.write("exchange/again", map[string]any{"subject_token": token}).Data["access_token"]
	before := jwksKeyIDs(m)
	resp := m.write("keys/main/revoke", nil)
	wantEqual(t, "warnings", resp.Warnings, []string{
		"the version that signs now has been published since 2027-01-15T08:00:00Z: consumers that cache the JWKS may refuse its tokens until they fetch it again",
	})
	m.restart()
	after := jwksKeyIDs(m)
	if len(after) != 2 || after[0] != before[1] {
		t.Errorf("published %v, then %v", before, after)
	}
	if m.active(token) || m.active(child) {
		t.Error("a token of the revoked key, or its child, is active")
	}
	if again := m.exchange("unleased").Data["access_token"]; !m.active(again) {
		t.Error("the promoted version does not sign")
	}
	m.now = m.now.Add(time.Hour)
	if resp := m.write("keys/main/revoke", nil); len(resp.Warnings) != 0 {
		t.Errorf("a successor that consumers know: %v", resp.Warnings)
	}
	m.wantRefused(logical.UpdateOperation, "keys/main/revoke", map[string]any{"kid": before[0]},
		`invalid_request: kid: "`+before[0]+`" is not a version of key "main"`)
	m.wantRefused(logical.UpdateOperation, "keys/none/revoke", nil, `invalid_request: name: the key "none" does not exist`)
}

func jwksKeyIDs(m *mount) []string {
	m.t.Helper()
	var set struct{ Keys []map[string]string }
	body := m.do(logical.ReadOperation, ".well-known/keys", nil).Data[logical.HTTPRawBody].([]byte)
	if err := json.Unmarshal(body, &set); err != nil {
		m.t.Fatal(err)
	}
	var ids []string
	for _, k := range set.Keys {
		ids = append(ids, k["kid"])
	}
	return ids
}

func TestKeyReadShowsNothingPrivate(t *testing.T) {
	m := newMount(t)
	entry, err := m.storage.InmemStorage.Get(t.Context(), "key/main")
	if err != nil {
		t.Fatal(err)
	}
	var stored struct {
		Value struct {
			Versions []struct{ Private string }
		}
	}
	if err := entry.DecodeJSON(&stored); err != nil {
		t.Fatal(err)
	}
	if stored.Value.Versions[0].Private == "" {
		t.Fatal("the test looks for nothing")
	}
	shown := asJSON(t, m.read("keys/main")) + asJSON(t, m.do(logical.ListOperation, "keys/", nil).Data) + m.log.String()
	for _, v := range stored.Value.Versions {
		if strings.Contains(shown, v.Private) {
			t.Error("a private key is shown")
		}
	}
}

// MD-4, JK-1, JK-4: what consumers read without a token. What the metadata says,
// TestMetadata knows.
func TestWellKnown(t *testing.T) {
	m := newMount(t)
	for path, contentType := range map[string]string{
		".well-known/keys": "application/jwk-set+json", ".well-known/openid-configuration": "application/json",
		".well-known/oauth-authorization-server": "application/json",
	} {
		data := m.do(logical.ReadOperation, path, nil).Data
		if data[logical.HTTPContentType] != contentType || data[logical.HTTPCacheControlHeader] != "public, max-age=600" || data[logical.HTTPStatusCode] != 200 {
			t.Errorf("%s: %v", path, data)
		}
	}
	resp, err := m.backend.HandleRequest(t.Context(), &logical.Request{
		Operation: logical.ReadOperation, Path: ".well-known/keys", Storage: m.storage, WrapInfo: &logical.RequestWrapInfo{TTL: time.Hour},
	})
	if err == nil || resp.Error().Error() != `invalid_request: wrap_ttl: what is public is not wrapped: leave X-Vault-Wrap-TTL out` {
		t.Errorf("a wrapped request: %v %v", resp, err)
	}

	m.do(logical.DeleteOperation, "config", nil)
	if ids := jwksKeyIDs(m); len(ids) != 2 {
		t.Error("deleting the configuration took the JWKS down")
	}
	m.wantRefused(logical.ReadOperation, ".well-known/openid-configuration", nil, `invalid_request: issuer: the mount is not configured: write config first`)
}

func TestDeletingConfigDeniesExchangesAndNothingElse(t *testing.T) {
	m := newMount(t)
	token := m.exchange("unleased").Data["access_token"]
	m.do(logical.DeleteOperation, "config", nil)
	m.restart()
	m.wantRefused(logical.UpdateOperation, "exchange/unleased", map[string]any{"subject_token": m.idp.Sign(t, m.idp.Claims(m.now, nil))},
		`invalid_request: config: the mount is not configured: write config first`)
	if !m.active(token) {
		t.Error("the token cannot be introspected")
	}
	m.write("revoke", map[string]any{"token": token})
	if m.active(token) {
		t.Error("the token cannot be revoked")
	}
}

func TestWarnings(t *testing.T) {
	m := newMount(t)
	for _, c := range []struct {
		path    string
		data    map[string]any
		warning string
	}{
		{"config", map[string]any{"allowed_audiences": ""}, "allowed_audiences is empty: every exchange is denied until it names at least one pattern"},
		{"config", map[string]any{"allowed_audiences": "https://other.*"}, "these roles allow more than the mount does now, and are held to the mount: again, me, orders, unleased"},
		{"config", map[string]any{"allowed_audiences": "https://*", "issuer": "https://proxy.example", "force": true}, "issuer does not end in /v1/token-exchange: discovery and JWKS can be fetched only if a proxy maps the URL to this mount"},
		{"config", map[string]any{"issuer": "http://127.0.0.1:8200/v1/token-exchange", "force": true}, "issuer is plain http: accepted for a loopback address, for development only"},
		{"roles/orders", map[string]any{"subject_scopes": "ignore"}, `subject_scopes is "ignore": allowed_scopes are granted even if the subject token does not have them`},
		{"roles/again", map[string]any{}, "only bound_audiences is set: every subject of the issuers may use this role; set bound_subject, bound_claims or a condition to narrow it"},
	} {
		resp := m.write(c.path, c.data)
		if resp == nil || !strings.Contains(strings.Join(resp.Warnings, "\n"), c.warning) {
			t.Errorf("%s %v: %v, want %q", c.path, c.data, resp, c.warning)
		}
	}
}

func TestLists(t *testing.T) {
	m := newMount(t)
	wantEqual(t, "keys", m.do(logical.ListOperation, "keys/", nil).Data["keys"], []string{"main"})
	wantEqual(t, "issuers", m.do(logical.ListOperation, "issuers/", nil).Data["key_info"],
		map[string]any{"idp": map[string]any{"bound_issuer": "https://idp.example", "type": "generic"}})
	wantEqual(t, "roles", m.do(logical.ListOperation, "roles/", nil).Data["keys"], []string{"again", "me", "orders", "unleased"})
}

// A key goes in one write with all that it signed, so that a deletion that is
// refused has revoked nothing.
func TestDeletingAKeyRevokesWhatItSigned(t *testing.T) {
	m := newMount(t)
	m.secondKey()
	revoke := map[string]any{"revoke": "true"} // as a query has it
	token := m.exchange("unleased").Data["access_token"]
	m.wantRefused(logical.DeleteOperation, "keys/main", revoke,
		`invalid_request: name: the key "main" signs for the roles ["again", "me", "orders", "unleased"]: give them another key first`)
	if !m.active(token) {
		t.Error("a refused deletion killed the token")
	}
	m.write("config", map[string]any{"default_key": "second"})
	child := m.write("exchange/again", map[string]any{"subject_token": token}).Data["access_token"] // signed by the other key
	if !m.active(child) {
		t.Fatal("the test looks for nothing")
	}
	m.wantRefused(logical.DeleteOperation, "keys/main", map[string]any{"revoke": false},
		`invalid_request: name: tokens signed with the key "main" may be alive until 2027-01-15T10:12:00Z: delete it then`)
	m.do(logical.DeleteOperation, "keys/main", revoke)
	m.restart()
	if m.active(token) || m.active(child) {
		t.Error("a token of the key, or one that was exchanged from it, is active")
	}
	m.wantRefused(logical.UpdateOperation, "exchange/again", map[string]any{"subject_token": token},
		`invalid_request: subject: "kid" is not a published key of this engine`)
	if !m.active(m.exchange("unleased").Data["access_token"]) {
		t.Error("the other key does not sign")
	}
	if !strings.Contains(m.log.String(), "key deleted and revoked") {
		t.Error("the log says nothing")
	}
	m.wantRefused(logical.UpdateOperation, "keys/second", map[string]any{"revoke": true},
		`invalid_request: revoke: is not a field of keys/second: see vault path-help`)
}

// What the framework would make 0, no limit, of.
func TestFractionsOfASecondAreRefused(t *testing.T) {
	m := newMount(t)
	for path, field := range map[string]string{"issuers/idp": "max_token_age", "keys/main": "rotation_period", "config": "default_ttl", "roles/orders": "ttl"} {
		before := m.read(path)[field]
		for _, v := range []any{"900ms", "1.5s", "-1ms", 1.5} {
			m.wantRefused(logical.UpdateOperation, path, map[string]any{field: v},
				fmt.Sprintf("invalid_request: %s: %v has a fraction of a second: give whole seconds", field, v))
			if _, refusal := backend.Draft(backend.ObjectIssuer, "i", map[string]any{"max_token_age": v}); refusal == nil {
				t.Errorf("a draft takes %v", v)
			}
		}
		wantEqual(t, path, m.read(path)[field], before)
	}
	m.write("roles/orders", map[string]any{"ttl": "2000ms"})
	wantEqual(t, "whole seconds", m.read("roles/orders")["ttl"], int64(2))
}
