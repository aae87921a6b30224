//go:build e2e

package e2e_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
)

// serve publishes the issuer's keys on the loopback interface.
func serve(t *testing.T, i *issuertest.Issuer, start func(http.Handler) *httptest.Server) *httptest.Server {
	t.Helper()
	jwks := i.JWKS(t)
	server := start(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(jwks)) }))
	t.Cleanup(server.Close)
	return server
}

// publicPEM is the issuer's public key as openssl writes it.
func publicPEM(t *testing.T, i *issuertest.Issuer) string {
	t.Helper()
	var set jose.JSONWebKeySet
	mustParse(t, i.JWKS(t), &set)
	der, err := x509.MarshalPKIXPublicKey(set.Keys[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
}

func TestKeysOfAnIssuerComeFrom(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	for _, c := range []struct {
		name   string
		source func(t *testing.T, i *issuertest.Issuer) data
		keyID  string // as the status shows it
	}{
		{"jwks", func(t *testing.T, i *issuertest.Issuer) data { return data{"jwks": i.JWKS(t)} }, "k1"},
		{"jwt_validation_pubkeys", func(t *testing.T, i *issuertest.Issuer) data {
			return data{"jwt_validation_pubkeys": []string{publicPEM(t, i)}}
		}, ""},
		{"jwks_url over http", func(t *testing.T, i *issuertest.Issuer) data {
			return data{"jwks_url": serve(t, i, httptest.NewServer).URL, "allowed_addresses": "127.0.0.0/8"}
		}, "k1"},
		{"jwks_url over https with a private CA", func(t *testing.T, i *issuertest.Issuer) data {
			server := serve(t, i, httptest.NewTLSServer)
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
			return data{"jwks_url": server.URL, "ca_pem": string(ca), "allowed_addresses": "127.0.0.0/8"}
		}, "k1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, name := m.in(t), uniqueName("issuer")
			i := issuertest.New(t, "https://"+name+".example")
			fields := c.source(t, i)
			fields["bound_issuer"], fields["bound_audiences"] = i.URL, engine
			m.write("issuers/"+name, fields)
			m.role(name, name, nil)

			answer := m.exchange(name, i.Sign(t, i.Claims(time.Now(), nil)))
			wantSame(t, "subject", answer.Data["subject"].(string), name+":ci-runner")
			wantJSON(t, "key_ids", m.read("issuers/" + name + "/status")["key_ids"], toJSON(t, []string{c.keyID}))

			// Another key of the same issuer is not this one's.
			forger := issuertest.New(t, i.URL)
			_, err := m.tryWrite("exchange/"+name, data{"subject_token": forger.Sign(t, forger.Claims(time.Now(), nil)), "audience": orders})
			refused(t, err, 400, `invalid_request: subject: the signature does not verify with key "k1"`)
		})
	}
}

func TestIssuerOnALoopbackAddressMustBeAllowed_JW8(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	i := issuertest.New(t, "https://ci.example")
	server := serve(t, i, httptest.NewServer)
	m.write("issuers/ci", data{"bound_issuer": i.URL, "bound_audiences": engine, "jwks_url": server.URL})
	m.role("orders", "ci", nil)
	_, err := m.tryWrite("exchange/orders", data{"subject_token": i.Sign(t, i.Claims(time.Now(), nil)), "audience": orders})
	refused(t, err, 503, `temporarily_unavailable: subject: the keys of the issuer "ci" cannot be had now: see issuers/ci/status`)
	status := m.read("issuers/ci/status")
	if text, _ := status["last_error"].(string); text == "" {
		t.Errorf("the status tells no reason: %v", status)
	}
	// The operator corrects it, and need not wait.
	m.write("issuers/ci", data{"allowed_addresses": "127.0.0.0/8"})
	m.exchange("orders", i.Sign(t, i.Claims(time.Now(), nil)))
}

func TestRefreshFetchesTheKeysOfAnIssuerOrClientNow(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	i := issuertest.New(t, "https://ci.example")
	server := serve(t, i, httptest.NewServer)
	m.write("issuers/ci", data{
		"bound_issuer": i.URL, "bound_audiences": engine, "jwks_url": server.URL, "allowed_addresses": "127.0.0.0/8",
	})
	m.write("clients/ci", data{"auth_method": "private_key_jwt", "jwks_url": server.URL, "allowed_addresses": "127.0.0.0/8"})
	for _, party := range []string{"issuers/ci", "clients/ci"} {
		wantJSON(t, party+": key_ids before", m.read(party + "/status")["key_ids"], `[]`)
		wantJSON(t, party+": key_ids after", m.write(party+"/refresh", nil).Data["key_ids"], `["k1"]`)
	}
	server.Close()
	for _, party := range []string{"issuers/ci", "clients/ci"} {
		if _, err := m.tryWrite(party+"/refresh", nil); err == nil {
			t.Errorf("%s is down, and was refreshed", party)
		}
	}
	m.role("orders", "ci", nil)
	m.exchange("orders", i.Sign(t, i.Claims(time.Now(), nil))) // with the keys that are held
}

func TestVaultsIdentityTokenIsExchanged(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	logical, name := m.client.Logical(), uniqueName("oidc")
	if _, err := logical.Write("identity/oidc/key/"+name, data{"allowed_client_ids": "*", "algorithm": "ES256"}); err != nil {
		t.Fatal(err)
	}
	if _, err := logical.Write("identity/oidc/role/"+name, data{"key": name, "client_id": engine, "ttl": "10m"}); err != nil {
		t.Fatal(err)
	}
	alice := newUser(t, m.vault, `path "identity/oidc/token/`+name+`" { capabilities = ["read"] }`)
	secret, err := m.vault.as(t, alice.token).Logical().Read("identity/oidc/token/" + name)
	if err != nil {
		t.Fatal(err)
	}
	issuer := m.vault.addr + "/v1/identity/oidc"
	m.write("issuers/vault", data{
		"bound_issuer": issuer, "oidc_discovery_url": issuer, "bound_audiences": engine, "allowed_addresses": "127.0.0.0/8",
	})
	m.role("orders", "vault", data{"bound_subject": alice.entity})
	answer := m.exchange("orders", secret.Data["token"].(string))
	wantSame(t, "subject", answer.Data["subject"].(string), "vault:"+alice.entity)
	if _, err := goVerifier(t, m, orders).Verify(t.Context(), accessToken(t, answer)); err != nil {
		t.Error(err)
	}
}

func TestChainOfExchangesNarrowsAtEachHop(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	m.role("orders", "ci", data{"ttl": "10m"})
	m.role("billing", "self", data{
		"bound_subject": "ci:ci-runner", "bound_audiences": orders, "allowed_audiences": billing,
		"allowed_scopes": "orders:read orders:write billing:read", "default_scopes": "orders:read orders:write billing:read", "ttl": "1h",
	})
	first := m.exchange("orders", ci.Sign(t, ci.Claims(time.Now(), nil)))
	second := m.write("exchange/billing", data{
		"subject_token": accessToken(t, first), "audience": billing,
		"subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
	})
	_, before := unsigned(t, accessToken(t, first))
	_, after := unsigned(t, accessToken(t, second))
	for _, kept := range []string{"sub", "txn", "exp"} { // the second asks for an hour
		if before[kept] != after[kept] {
			t.Errorf("%s: want %v, got %v", kept, before[kept], after[kept])
		}
	}
	wantJSON(t, "scope, aud, client_id", []any{after["scope"], after["aud"], after["client_id"]}, `["orders:read", "https://billing.example", "role:billing"]`)
	ancestors := after["lineage"].(data)["anc"].([]any)
	if len(ancestors) != 2 || ancestors[1] != before["jti"] {
		t.Errorf("ancestors: %v", ancestors)
	}
	_, err := m.tryWrite("exchange/billing", data{"subject_token": accessToken(t, second), "audience": billing})
	refused(t, err, 400, `invalid_request: subject: "aud" claim: the role "billing" expects one of ["https://orders.example"] but got ["https://billing.example"]`)
}

func TestChainIsNoLongerThanMaxHops(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	m.role("orders", "ci", nil)
	m.role("again", "self", data{"bound_subject": "ci:ci-runner", "bound_audiences": orders})
	m.write("config", data{"max_hops": 2})
	first := accessToken(t, m.exchange("orders", ci.Sign(t, ci.Claims(time.Now(), nil))))
	second := accessToken(t, m.exchange("again", first))
	_, err := m.tryWrite("exchange/again", data{"subject_token": second, "audience": orders})
	refused(t, err, 400, `invalid_request: max_hops: the chain of exchanges would have 3 tokens before this one: max_hops of config is 2`)
}
