//go:build e2e

package e2e_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// trustProvider trusts the OpenID provider as the issuer "idp".
func (m *mount) trustProvider(p *idp) {
	m.Helper()
	m.write("issuers/idp", data{
		"bound_issuer": p.Issuer, "oidc_discovery_url": p.Issuer, "bound_audiences": engine,
		"allowed_addresses": "127.0.0.0/8",
	})
}

func TestTokenOfAnOpenIDProviderIsExchanged(t *testing.T) {
	t.Parallel()
	p, m := oidcProvider(t), newMount(t)
	m.trustProvider(p)
	m.role("orders", "idp", data{"bound_audiences": engine, "ttl": "5m"})
	subject := p.token(t, engine, "orders:read orders:write")
	answer := m.write("exchange/orders", data{
		"subject_token": subject, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
		"audience": orders, "scope": "orders:read",
	})
	token := accessToken(t, answer)
	header, claims := unsigned(t, token)

	t.Run("TX-13 the answer has the members of RFC 8693 2.2.1", func(t *testing.T) {
		if n := number(t, answer.Data["expires_in"]); n != 300 {
			t.Errorf("expires_in: %d", n)
		}
		rest := maps.Clone(answer.Data)
		for _, random := range []string{"access_token", "expires_in", "jti", "txn"} {
			delete(rest, random)
		}
		wantJSON(t, "answer", rest, `{
			"issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "token_type": "Bearer",
			"scope": "orders:read", "subject": "idp:ci-runner", "audience": ["https://orders.example"]}`)
	})
	t.Run("AT-2 the header is that of RFC 9068 2.1", func(t *testing.T) {
		kid := activeKeyID(t, m)
		wantJSON(t, "header", header, toJSON(t, data{"alg": "ES256", "typ": "at+jwt", "kid": kid}))
	})
	t.Run("AT-3 the claims are those of RFC 9068 2.2", func(t *testing.T) {
		names := slices.Sorted(maps.Keys(claims))
		wantSame(t, "claims", strings.Join(names, " "), "aud client_id exp iat iss jti lineage scope sub txn")
		for name, want := range map[string]any{
			"iss": m.issuer, "sub": "idp:ci-runner", "aud": orders, "client_id": "role:orders", "scope": "orders:read",
			"jti": answer.Data["jti"], "txn": answer.Data["txn"],
		} {
			if claims[name] != want {
				t.Errorf("%s: want %v, got %v", name, want, claims[name])
			}
		}
		if life := claims["exp"].(float64) - claims["iat"].(float64); life != 300 {
			t.Errorf("lives %v seconds", life)
		}
	})
	t.Run("TX-19 the subject token is neither used up nor outlived", func(t *testing.T) {
		_, subjectClaims := unsigned(t, subject)
		again := m.in(t).write("exchange/orders", data{"subject_token": subject, "audience": orders, "ttl": "1h"})
		_, claims := unsigned(t, accessToken(t, again))
		if claims["exp"] != subjectClaims["exp"] {
			t.Errorf("exp: want that of the subject token %v, got %v", subjectClaims["exp"], claims["exp"])
		}
		if again.Data["jti"] == answer.Data["jti"] {
			t.Error("AT-4: two tokens have the same jti")
		}
	})
	t.Run("a Go resource server verifies it", func(t *testing.T) {
		verifier := goVerifier(t, m, orders)
		verified, err := verifier.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, "subject", verified.Subject, "idp:ci-runner")
		if _, err := verifier.Verify(t.Context(), tampered(t, token)); err == nil {
			t.Error("a changed token was accepted")
		}
		if _, err := goVerifier(t, m, billing).Verify(t.Context(), token); err == nil {
			t.Error("another service accepted the token")
		}
	})
	t.Run("a Node.js resource server verifies it", func(t *testing.T) {
		if got := node(t, "verify.mjs", m.issuer, orders, token); !strings.Contains(got, `"sub": "idp:ci-runner"`) {
			t.Errorf("verified claims: %s", got)
		}
		for name, args := range map[string][]string{
			"another service": {m.issuer, billing, token}, "a changed token": {m.issuer, orders, tampered(t, token)},
		} {
			if out, err := tryNode(t, "verify.mjs", args...); err == nil {
				t.Errorf("%s was accepted: %s", name, out)
			}
		}
	})
}

func TestConsumersFindTheKeysByTheIssuer(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("keys/rsa", data{"algorithm": "RS256"})
	m.write("config", data{"jwks_max_age": "7m"})

	t.Run("MD-1 MD-4 discovery tells the issuer byte for byte", func(t *testing.T) {
		var document data
		header := get(t, m.issuer+"/.well-known/openid-configuration", &document)
		wantSame(t, "Content-Type", header.Get("Content-Type"), "application/json")
		wantSame(t, "Cache-Control", header.Get("Cache-Control"), "public, max-age=420")
		// The whole document, to the letter, is a unit test's.
		for name, want := range (data{
			"issuer": m.issuer, "jwks_uri": m.issuer + "/.well-known/keys", "token_endpoint": m.issuer + "/oauth/token",
			"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{"ES256", "RS256"},
		}) {
			wantJSON(t, name, document[name], toJSON(t, want))
		}
	})
	t.Run("JK-1 JK-4 the JWKS has public members only, and may be cached", func(t *testing.T) {
		var document struct{ Keys []data }
		header := get(t, m.issuer+"/.well-known/keys", &document)
		wantSame(t, "Content-Type", header.Get("Content-Type"), "application/jwk-set+json")
		wantSame(t, "Cache-Control", header.Get("Cache-Control"), "public, max-age=420")
		var got []string
		for _, key := range document.Keys {
			got = append(got, strings.Join(slices.Sorted(maps.Keys(key)), " "))
		}
		ec, rsa := "alg crv kid kty use x y", "alg e kid kty n use"
		if want := []string{ec, ec, rsa, rsa}; !reflect.DeepEqual(got, want) { // of each key the active version and its successor
			t.Errorf("members:\n got %q\nwant %q", got, want)
		}
	})
}

func TestScopesAreNarrowedNeverWidened(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	m.role("intersect", "ci", nil)
	m.role("map", "ci", data{"subject_scopes": "map", "scope_map": data{"api": "orders:read"}})
	m.role("ignore", "ci", data{"subject_scopes": "ignore"})
	for _, c := range []struct {
		name, role, scope string
		has               any // "scope" of the subject token
		want              string
	}{
		{"TX-10 what was asked for is granted", "intersect", "orders:write", "orders:read orders:write", "orders:write"},
		{"TX-15 what is the default is told", "intersect", "", "orders:read", "orders:read"},
		{"a subject without scopes has none", "intersect", "", nil, ""},
		{"a scope is translated", "map", "", "api", "orders:read"},
		{"a scope that is in no map is not", "map", "", "orders:read", ""},
		{"the role alone decides", "ignore", "orders:write", nil, "orders:write"},
	} {
		t.Run(c.name, func(t *testing.T) {
			token := ci.Sign(t, ci.Claims(time.Now(), data{"scope": c.has}))
			answer := m.in(t).write("exchange/"+c.role, data{"subject_token": token, "audience": orders, "scope": c.scope})
			_, claims := unsigned(t, accessToken(t, answer))
			if answer.Data["scope"] != c.want {
				t.Errorf("answer: want the scope %q, got %q", c.want, answer.Data["scope"])
			}
			if granted, _ := claims["scope"].(string); granted != c.want {
				t.Errorf("claim: want the scope %q, got %q", c.want, granted)
			}
		})
	}
}

func TestSeveralAudiencesAndResources_TX8(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	m.role("both", "ci", data{"allowed_audiences": []string{orders, billing}})
	token := ci.Sign(t, ci.Claims(time.Now(), nil))
	answer := m.write("exchange/both", data{"subject_token": token, "audience": orders, "resource": []string{billing}})
	_, claims := unsigned(t, accessToken(t, answer))
	wantJSON(t, "aud", claims["aud"], `["https://orders.example", "https://billing.example"]`)
	wantJSON(t, "audience", answer.Data["audience"], `["https://orders.example", "https://billing.example"]`)
}

func TestTokenLogsInToTheJWTAuthMethod(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	m.role("orders", "ci", nil)
	token := accessToken(t, m.exchange("orders", ci.Sign(t, ci.Claims(time.Now(), nil))))

	auth := uniqueName("jwt")
	logical := m.client.Logical()
	if _, err := logical.Write("sys/auth/"+auth, data{"type": "jwt"}); err != nil {
		t.Fatal(err)
	}
	if _, err := logical.Write("auth/"+auth+"/config", data{"oidc_discovery_url": m.issuer, "bound_issuer": m.issuer}); err != nil {
		t.Fatal(err)
	}
	if _, err := logical.Write("auth/"+auth+"/role/orders", data{
		"role_type": "jwt", "user_claim": "sub", "bound_audiences": orders, "bound_claims": data{"client_id": "role:orders"},
	}); err != nil {
		t.Fatal(err)
	}
	login, err := logical.Write("auth/"+auth+"/login", data{"role": "orders", "jwt": token})
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "role", login.Auth.Metadata["role"], "orders")
	if login.Auth.ClientToken == "" {
		t.Error("no Vault token")
	}
	if _, err := logical.Write("auth/"+auth+"/login", data{"role": "orders", "jwt": tampered(t, token)}); err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("a changed token: want a refusal for its signature, got: %v", err)
	}
}

func TestMountsOfOneProcessShareNothing(t *testing.T) {
	t.Parallel()
	one, other := newMount(t), newMount(t)
	ci := one.trust("ci")
	one.role("orders", "ci", nil)
	token := accessToken(t, one.exchange("orders", ci.Sign(t, ci.Claims(time.Now(), nil))))

	one.wantActive(token)
	other.wantInactive(token)
	if other.list("roles") != nil || other.list("issuers") != nil {
		t.Error("one mount shows the roles or issuers of another")
	}
	if activeKeyID(t, one) == activeKeyID(t, other) {
		t.Error("two mounts have the same key")
	}
	if _, err := goVerifier(t, other, orders).Verify(t.Context(), token); err == nil {
		t.Error("a token verifies with the keys of another mount")
	}
}

// activeKeyID is the "kid" of the version of the key main that signs.
func activeKeyID(t *testing.T, m *mount) string {
	t.Helper()
	for _, version := range m.read("keys/main")["versions"].([]any) {
		if v := version.(data); v["state"] == "active" {
			return v["kid"].(string)
		}
	}
	t.Fatal("the key main has no active version")
	return ""
}

// goVerifier is a resource server that knows nothing but the issuer's URL.
func goVerifier(t *testing.T, m *mount, audience string) *oidc.IDTokenVerifier {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), m.issuer)
	if err != nil {
		t.Fatal(err)
	}
	return provider.Verifier(&oidc.Config{ClientID: audience})
}

// tampered returns the token with another subject, and the signature it had.
func tampered(t *testing.T, token string) string {
	t.Helper()
	_, claims := unsigned(t, token)
	claims["sub"] = "idp:admin"
	parts := strings.Split(token, ".")
	parts[1] = base64URL(toJSON(t, claims))
	return strings.Join(parts, ".")
}
