//go:build e2e

package e2e_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
)

const (
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	typeJWT         = "urn:ietf:params:oauth:token-type:jwt"
)

func TestBadExchangeIsRefused(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	m.role("orders", "ci", data{"max_ttl": "10m"})
	stranger := issuertest.New(t, "https://stranger.example")
	with := func(claims data) string { return ci.Sign(t, ci.Claims(time.Now(), claims)) }
	good := with(nil)
	for _, c := range []struct {
		name    string
		path    string // "exchange/orders" if empty
		request data   // replaces fields of a good request; nil takes one out
		message string
	}{
		{"role that does not exist", "exchange/nobody", nil, `invalid_request: role: the role ["nobody"] does not exist`},
		{"no role", "exchange", nil, `invalid_request: role: is required`},
		{"TX-3 no subject token", "", data{"subject_token": nil}, `invalid_request: subject_token: is required by the role "orders"`},
		{"TX-3 empty subject token", "", data{"subject_token": ""}, `invalid_request: subject_token: is required by the role "orders"`},
		{"TX-4 actor token without its type", "", data{"actor_token": good}, `invalid_request: actor_token_type: is required with actor_token`},
		{"TX-4 type without an actor token", "", data{"actor_token_type": typeJWT}, `invalid_request: actor_token_type: is given without actor_token`},
		{"TX-4 type without a subject token", "", data{"subject_token": nil, "subject_token_type": typeJWT}, `invalid_request: subject_token_type: is given without subject_token`},
		{"TX-5 foreign token declared as ours", "", data{"subject_token_type": typeAccessToken}, `invalid_request: subject_token_type: "urn:ietf:params:oauth:token-type:access_token" means a token that this engine issued: use "urn:ietf:params:oauth:token-type:jwt"`},
		{"TX-5 unknown type", "", data{"subject_token_type": "saml"}, `invalid_request: subject_token_type: ["saml"] is not supported: use one of ["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:access_token"]`},
		{"TX-6 expired token", "", data{"subject_token": with(data{"exp": 1600000000, "iat": 1500000000})}, `invalid_request: subject: "exp" claim expired at 2020-09-13T12:26:40Z`},
		{"JW-19 token that never expires", "", data{"subject_token": with(data{"exp": nil})}, `invalid_request: subject: "exp" claim is missing: a token that never expires is not accepted`},
		{"JW-5 unknown issuer", "", data{"subject_token": stranger.Sign(t, stranger.Claims(time.Now(), nil))}, `invalid_request: subject: "iss" claim: ["https://stranger.example"] is not an issuer that the role "orders" accepts`},
		{"JW-5 another's signature", "", data{"subject_token": stranger.Sign(t, ci.Claims(time.Now(), nil))}, `invalid_request: subject: the signature does not verify with key "k1"`},
		{"JW-6 wrong audience", "", data{"subject_token": with(data{"aud": billing})}, `invalid_request: subject: "aud" claim expected one of ["https://vault.example"] but got ["https://billing.example"]`},
		{"JW-6 no audience", "", data{"subject_token": with(data{"aud": nil})}, `invalid_request: subject: "aud" claim expected one of ["https://vault.example"] but got []`},
		{"another subject", "", data{"subject_token": with(data{"sub": "someone"})}, `invalid_request: subject: "sub" claim: the role "orders" is bound to another subject`},
		{"TX-7 resource that is no URI", "", data{"resource": "/orders"}, `invalid_target: resource: ["/orders"] is not an absolute URI without a fragment`},
		{"TX-8 one audience of two", "", data{"audience": []string{orders, billing}}, `invalid_target: allowed_audiences: the role "orders" does not allow the audience ["https://billing.example"]`},
		{"AT-5 no audience and no default", "", data{"audience": nil}, `invalid_target: audience: is missing and the role "orders" has no default_audience: ask for one of its allowed_audiences`},
		{"TX-10 scope beyond the role", "", data{"scope": "orders:delete"}, `invalid_scope: allowed_scopes: the role "orders" does not allow the scope ["orders:delete"]`},
		{"TX-10 scope beyond the subject", "", data{"subject_token": with(data{"scope": "orders:read"}), "scope": "orders:write"}, `invalid_scope: subject_scopes: the subject token does not have the scope "orders:write", and subject_scopes is "intersect"`},
		{"TX-11 type of token that is not issued", "", data{"requested_token_type": typeJWT}, `invalid_request: requested_token_type: the role "orders" issues access tokens (typ at+jwt): ask for "urn:ietf:params:oauth:token-type:access_token"`},
		{"actor where there is no delegation", "", data{"actor_token": good, "actor_token_type": typeJWT}, `invalid_request: actor: the role "orders" does not allow delegation: leave actor_token out`},
		{"TX-23 delegation that would be lost", "", data{"subject_token": with(data{"act": data{"sub": "x"}})}, `invalid_request: subject: "act" claim: the token is already a delegation, and the role does not allow delegation`},
		{"TX-24 actor that would be left out", "", data{"subject_token": with(data{"may_act": data{"sub": "x"}})}, `invalid_request: subject: "may_act" claim: the token names who may act for its subject, and the request has no actor`},
		{"TX-26 key whose proof would be left out", "", data{"subject_token": with(data{"cnf": data{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}})}, `invalid_request: subject: "cnf" claim: the token is bound to a key, and the role "orders" would answer with one that is not: set binding`},
		{"ttl beyond the role", "", data{"ttl": "20m"}, `invalid_request: ttl: 20m0s is more than the max_ttl of the role "orders", which is 10m0s`},
		{"negative ttl", "", data{"ttl": "-5m"}, `invalid_request: ttl: must not be negative`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := m.in(t)
			request := data{"subject_token": good, "audience": orders}
			for name, value := range c.request {
				if request[name] = value; value == nil {
					delete(request, name)
				}
			}
			if c.path == "" {
				c.path = "exchange/orders"
			}
			_, err := m.tryWrite(c.path, request)
			refused(t, err, 400, c.message)
		})
	}
	m.exchange("orders", good) // what all of these differ from
}

func TestMountWithoutConfigurationRefuses(t *testing.T) {
	t.Parallel()
	m := enable(t, devVault(t), uniqueName("engine"))
	_, err := m.tryWrite("exchange/orders", data{"subject_token": "x"})
	refused(t, err, 400, "invalid_request: config: the mount is not configured: write config first")

	m.configure()
	ci := m.trust("ci")
	m.role("orders", "ci", nil)
	token := accessToken(t, m.exchange("orders", ci.Sign(t, ci.Claims(time.Now(), nil))))
	m.delete("config")
	_, err = m.tryWrite("exchange/orders", data{"subject_token": ci.Sign(t, ci.Claims(time.Now(), nil)), "audience": orders})
	refused(t, err, 400, "invalid_request: config: the mount is not configured: write config first")
	// What was minted is verified, introspected and revoked as before.
	var jwks struct{ Keys []data }
	if get(t, m.issuer+"/.well-known/keys", &jwks); len(jwks.Keys) != 2 {
		t.Errorf("the JWKS has %d keys", len(jwks.Keys))
	}
	m.wantActive(token)
	m.write("revoke", data{"token": token})
	m.wantInactive(token)
}

func TestCredentialOfTheWrongTypeIsNotRepeated_TX18(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	m.role("orders", "ci", nil)
	token := ci.Sign(t, ci.Claims(time.Now(), nil))
	signature := token[strings.LastIndex(token, ".")+1:]
	for _, c := range []struct{ path, field string }{
		{"exchange/orders", "subject_token"},
		{"exchange/orders", "actor_token"},
		{"exchange", "subject_token"},
		{"explain/orders", "subject_token"},
		{"explain/orders", "actor_token"},
		{"issuers/ci", "introspection_client_secret"},
		{"introspect", "token"},
		{"revoke", "token"},
	} {
		for _, value := range []any{[]string{token}, data{"jwt": token}, []any{[]string{token}}} {
			_, err := m.tryWrite(c.path, data{"role": "orders", c.field: value})
			refused(t, err, 400, "invalid_request: "+c.field+": must be one string")
			if strings.Contains(err.Error(), signature) {
				t.Errorf("%s: the answer repeats the token", c.path)
			}
		}
		// A token with a byte too many is refused without being repeated, too.
		_, err := m.tryWrite(c.path, data{"role": "orders", c.field: token + "\n", "audience": orders})
		if err != nil && strings.Contains(err.Error(), signature) {
			t.Errorf("%s: the answer repeats a malformed token", c.path)
		}
	}
}

func TestBadConfigurationChangesNothing(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.trust("ci")
	m.trust("other")
	m.write("keys/spare", nil)
	m.role("orders", "ci", data{"ttl": "5m", "max_ttl": "10m", "key": "main"})
	m.callerRole("caller", nil)
	before := m.state()
	unchanged := func(t *testing.T) {
		t.Helper()
		wantSame(t, "state", m.in(t).state(), before)
	}
	for _, c := range []struct {
		name, path string
		fields     data
		message    string
	}{
		{"role with a malformed list", "roles/orders", data{"ttl": "1m", "allowed_audiences": data{"a": 1}}, `invalid_request: allowed_audiences: must be a list of texts`},
		{"role with an audience that a list cannot hold", "roles/orders", data{"ttl": "1m", "allowed_audiences": []string{"https://a b.example"}}, `invalid_request: allowed_audiences: element "https://a b.example" has the character ' ': printable ASCII other than space, comma, quote and backslash is allowed`},
		{"role with a key that does not exist", "roles/orders", data{"ttl": "1m", "key": "nokey"}, `invalid_request: key: key "nokey" does not exist: create it with keys/nokey, or use one of ["main", "spare"]`},
		{"role with an issuer that does not exist", "roles/orders", data{"ttl": "1m", "issuers": "ci,nobody"}, `invalid_request: issuers: issuer "nobody" does not exist: create it with issuers/nobody, or use one of ["ci", "other", "self"]`},
		{"role with a ttl above its max_ttl", "roles/orders", data{"ttl": "20m"}, `invalid_request: ttl: 20m0s is more than max_ttl, which is 10m0s`},
		{"role with a max_ttl above the mount's", "roles/orders", data{"ttl": "1m", "max_ttl": "2h"}, `invalid_request: max_ttl: 2h0m0s is more than max_ttl of config, which is 1h0m0s`},
		{"role beyond the guardrail", "roles/orders", data{"ttl": "1m", "allowed_audiences": "spiffe://orders"}, `invalid_request: allowed_audiences: "spiffe://orders" is not within the mount's guardrail: add it to allowed_audiences of config`},
		{"role with a default that is not allowed", "roles/orders", data{"ttl": "1m", "default_scopes": "orders:delete"}, `invalid_request: default_scopes: "orders:delete" is not in allowed_scopes`},
		{"BC-2 role with a wildcard audience", "roles/orders", data{"allowed_audiences": "https://*"}, `invalid_request: allowed_audiences: "https://*": a role lists exact values, without wildcards`},
		{"role that binds nothing", "roles/orders", data{"bound_subject": ""}, `invalid_request: bound_claims: the role would accept every token of its issuers: set at least one of bound_claims, bound_subject, bound_audiences, or a condition on the subject`},
		{"role that takes our tokens and does not say for whom", "roles/orders", data{"issuers": "self"}, `invalid_request: bound_audiences: must be set in a role that accepts this engine's own tokens (issuer "self")`},
		{"role that takes our tokens and others", "roles/orders", data{"issuers": "ci,self", "bound_audiences": engine}, `invalid_request: issuers: "self" cannot be mixed with other issuers, whose tokens could claim what this engine's do: make a role for each`},
		{"role of callers with an issuer", "roles/caller", data{"issuers": "ci"}, `invalid_request: issuers: must be empty when subject_source is "caller"`},
		{"role with a choice that there is not", "roles/orders", data{"subject_scopes": "all"}, `invalid_request: subject_scopes: "all" is not one of ["intersect", "map", "ignore"]`},
		{"new role without anything", "roles/new", nil, `invalid_request: issuers: must name at least one issuer (or set subject_source to "caller")`},
		{"new role with an issuer that does not exist", "roles/new", data{"issuers": "nobody", "bound_subject": "x", "allowed_audiences": orders}, `invalid_request: issuers: issuer "nobody" does not exist: create it with issuers/nobody, or use one of ["ci", "other", "self"]`},

		{"another issuer URL without force", "config", data{"default_ttl": "1m", "issuer": "https://vault.example/v1/token-exchange"}, `invalid_request: issuer: changing it from "` + m.issuer + `" makes consumers refuse new tokens until they know the new URL: set force=true to do it`},
		{"MD-1 issuer URL with a query", "config", data{"issuer": "https://vault.example/?a", "force": true}, `invalid_request: issuer: "https://vault.example/?a" must have no query`},
		{"MD-1 issuer URL over http", "config", data{"issuer": "http://vault.example", "force": true}, `invalid_request: issuer: "http://vault.example" must be https (http is accepted for a literal loopback address such as 127.0.0.1 only)`},
		{"issuer URL of a trusted issuer", "config", data{"issuer": "https://ci.example", "force": true}, `invalid_request: issuer: "https://ci.example" is the bound_issuer of the issuer "ci": this engine's own tokens are accepted under the name "self"`},
		{"JK-4 JWKS cached for as long as a key is published ahead", "config", data{"jwks_max_age": "24h"}, `invalid_request: jwks_max_age: 24h0m0s must be less than the publication_lead of every key, and that of key "main" is 24h0m0s`},
		{"default key that does not exist", "config", data{"default_key": "nokey"}, `invalid_request: default_key: key "nokey" does not exist: create it with keys/nokey, or use one of ["main", "spare"]`},
		{"no default key while a role needs it", "config", data{"default_key": ""}, `invalid_request: default_key: the role "caller" would have no key to sign with`},
		{"leeway above a minute", "config", data{"default_ttl": "1m", "clock_skew_leeway": "61s"}, `invalid_request: clock_skew_leeway: must be from 0s to 1m0s`},
		{"max_ttl above what a key verifies", "config", data{"max_ttl": "25h"}, `invalid_request: max_ttl: tokens of the role "caller" may live 25h0m0s, and the verification_period of key "main" is 24h0m0s`},
		{"ttl that is no duration", "config", data{"default_ttl": "soon"}, `invalid_request: default_ttl: is not a duration: use 5m, 1h30m or a number of seconds`},

		{"another algorithm for a key", "keys/main", data{"verification_period": "48h", "algorithm": "RS256"}, `invalid_request: algorithm: cannot be changed: the key "main" is for ES256; make another key`},
		{"algorithm that there is not", "keys/new", data{"algorithm": "HS256"}, `invalid_request: algorithm: "HS256" is not supported: use one of ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512`},
		{"key published ahead for less than the JWKS is cached", "keys/main", data{"publication_lead": "10m"}, `invalid_request: publication_lead: 10m0s must be more than jwks_max_age of config, which is 10m0s`},
		{"key that forgets before its tokens expire", "keys/main", data{"verification_period": "9m"}, `invalid_request: verification_period: tokens of the role "caller" may live 1h0m0s, and the verification_period of key "main" is 9m0s`},
		{"JK-3 rotation before consumers know the successor", "keys/main/rotate", nil, ""},
		{"rotation of a key that does not exist", "keys/nokey/rotate", nil, `invalid_request: name: the key "nokey" does not exist`},

		{"issuer with two sources of keys", "issuers/ci", data{"max_token_age": "1h", "jwks_url": "https://ci.example/jwks"}, `invalid_request: jwks: exactly one of oidc_discovery_url, jwks_url, jwks, jwt_validation_pubkeys, introspection_url must be set: got ["jwks_url", "jwks"]: empty all but one`},
		{"issuer without keys", "issuers/ci", data{"jwks": ""}, `invalid_request: oidc_discovery_url: exactly one of oidc_discovery_url, jwks_url, jwks, jwt_validation_pubkeys, introspection_url must be set: none is`},
		{"issuer without an audience", "issuers/ci", data{"bound_audiences": []string{}}, `invalid_request: bound_audiences: must be set: the "aud" claims that mean this engine`},
		{"JW-1 issuer with HMAC", "issuers/ci", data{"max_token_age": "1h", "allowed_algorithms": "HS256"}, `invalid_request: allowed_algorithms: "HS256" is not supported: use any of [RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA]`},
		{"issuer that speaks for another", "issuers/ci", data{"subject_prefix": "other:"}, `invalid_request: subject_prefix: "other:" cannot be told from "other:" of the issuer "other"`},
		{"issuer that speaks for Vault", "issuers/ci", data{"subject_prefix": "entity:"}, `invalid_request: subject_prefix: "entity:" cannot be told from the reserved prefix "entity:"`},
		{"issuer that is another's", "issuers/ci", data{"bound_issuer": "https://other.example"}, `invalid_request: bound_issuer: "https://other.example" is already the bound_issuer of the issuer "other"`},
		{"issuer that is this engine", "issuers/ci", data{"bound_issuer": m.issuer}, `invalid_request: bound_issuer: "` + m.issuer + `" is this engine itself, now or until its last tokens expire: its tokens are accepted under the name "self"`},
		{"issuer with a reserved name", "issuers/self", data{"bound_issuer": "https://x.example", "jwks": "{}", "bound_audiences": engine}, `invalid_request: name: "self" is reserved: choose another name`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := m.tryWrite(c.path, c.fields)
			if strings.HasSuffix(c.path, "main/rotate") { // the message has a date
				if err == nil || !strings.Contains(err.Error(), `invalid_request: publication_lead: the successor of key "main" may sign from `) {
					t.Errorf("got: %v", err)
				}
			} else {
				refused(t, err, 400, c.message)
			}
			unchanged(t)
		})
	}
	for _, c := range []struct{ name, path, message string }{
		{"key in use", "keys/main", `invalid_request: name: the key "main" signs for the roles ["caller", "orders"]: give them another key first`},
		{"issuer in use", "issuers/ci", `invalid_request: name: the issuer "ci" is accepted by the roles ["orders"]: take it out of their issuers first`},
	} {
		t.Run("deletion of a "+c.name, func(t *testing.T) {
			_, err := m.client.Logical().Delete(m.path + "/" + c.path)
			refused(t, err, 400, c.message)
			unchanged(t)
		})
	}
	// What is not in use can go.
	m.delete("keys/spare")
	m.delete("issuers/other")
}

func TestChangeOfTheIssuerKeepsOldTokensRevocable(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	m.role("orders", "ci", nil)
	m.role("again", "self", data{"bound_subject": "ci:ci-runner", "bound_audiences": orders})
	old := accessToken(t, m.exchange("orders", ci.Sign(t, ci.Claims(time.Now(), nil))))
	m.write("config", data{"issuer": m.issuer + "-new", "force": true})
	_, claims := unsigned(t, accessToken(t, m.exchange("orders", ci.Sign(t, ci.Claims(time.Now(), nil)))))
	wantSame(t, "iss of a new token", claims["iss"].(string), m.issuer+"-new")
	wantJSON(t, "former_issuers", m.read("config")["former_issuers"], toJSON(t, []string{m.issuer}))

	m.wantActive(old)
	_, err := m.tryWrite("exchange/again", data{"subject_token": old, "audience": orders})
	refused(t, err, 400, `invalid_request: subject: "iss" claim: ["`+m.issuer+`"] is not an issuer that the role "again" accepts`)
	m.write("revoke", data{"token": old})
	m.wantInactive(old)
}

func TestKeyStaysWhileATokenMayNeedIt(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	m.write("keys/old", nil)
	m.role("orders", "ci", data{"key": "old"})
	token := accessToken(t, m.exchange("orders", ci.Sign(t, ci.Claims(time.Now(), nil))))
	m.write("roles/orders", data{"key": "main"})
	_, err := m.client.Logical().Delete(m.path + "/keys/old")
	if err == nil || !strings.Contains(err.Error(), `invalid_request: name: tokens signed with the key "old" may be alive until `) {
		t.Errorf("got: %v", err)
	}
	if _, err := goVerifier(t, m, orders).Verify(t.Context(), token); err != nil {
		t.Error(err)
	}
}

func TestNothingButMetadataIsPublic(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	m.role("orders", "ci", nil)
	nobody := m.as("")
	for _, path := range []string{"exchange/orders", "exchange", "explain/orders", "introspect", "revoke", "config", "roles/orders", "keys/main/rotate", "issuers/ci/refresh"} {
		_, err := nobody.tryWrite(path, data{"role": "orders", "subject_token": ci.Sign(t, ci.Claims(time.Now(), nil)), "audience": orders})
		if err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("write %s without a token: %v", path, err)
		}
	}
	for _, path := range []string{"config", "roles/orders", "keys/main", "issuers/ci", "issuers/ci/status", "metrics"} {
		resp, err := nobody.client.Logical().ReadRaw(m.path + "/" + path)
		if resp != nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("read %s without a token: %v", path, err)
		}
	}
	for _, path := range []string{".well-known/keys", ".well-known/openid-configuration"} {
		var document data
		get(t, m.issuer+"/"+path, &document)
	}
}

func TestPublicDocumentIsNotWrapped(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	for _, path := range []string{".well-known/keys", ".well-known/openid-configuration"} {
		nobody := m.vault.as(t, "")
		nobody.SetWrappingLookupFunc(func(string, string) string { return "5m" })
		_, err := nobody.Logical().Read(m.path + "/" + path)
		refused(t, err, 400, "invalid_request: wrap_ttl: what is public is not wrapped: leave X-Vault-Wrap-TTL out")
	}
}

// TestKeyMadeLaterMaySignWhenConsumersKnowIt_JK3: while there is no role nobody
// has reason to have cached the JWKS.
func TestKeyMadeLaterMaySignWhenConsumersKnowIt_JK3(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", data{"jwks_max_age": "1s"})
	m.trust("ci")
	m.write("keys/first", nil)
	m.role("orders", "ci", data{"key": "first"})
	m.write("keys/second", nil)
	eventually(t, func() error {
		_, err := m.tryWrite("roles/orders", data{"key": "second"})
		return err
	})
	m.write("config", data{"jwks_max_age": "10m"})
	m.write("keys/third", nil)
	_, err := m.tryWrite("roles/orders", data{"key": "third"})
	if err == nil || !strings.Contains(err.Error(), `invalid_request: key: key "third" may sign from `) {
		t.Errorf("got: %v", err)
	}
}
