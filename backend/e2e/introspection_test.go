//go:build e2e

package e2e_test

import (
	"crypto/rand"
	"errors"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"
)

// trustOpaque trusts the OpenID provider as the issuer "idp" by asking it about
// each token; further fields replace those.
func (m *mount) trustOpaque(p *idp, fields data) {
	m.Helper()
	d := data{
		"bound_issuer": p.Issuer, "bound_audiences": engine, "allowed_addresses": "127.0.0.0/8",
		"introspection_url": p.Issuer + "/token/introspection", "introspection_client_id": "engine", "introspection_client_secret": p.Clients["engine"],
	}
	maps.Copy(d, fields)
	m.write("issuers/idp", d)
	m.write("roles/orders", data{
		"issuers": "idp", "bound_subject": "alice", "bound_claims": data{"client_id": "legacy"}, "allowed_audiences": orders,
		"default_audience": orders, "allowed_scopes": "orders:read orders:write", "default_scopes": "orders:read",
	})
}

func TestOpaqueTokenIsExchanged(t *testing.T) {
	t.Parallel()
	p, m := oidcProvider(t), newMount(t)
	m.trustOpaque(p, nil)
	subject := p.userToken(t, "legacy", "alice", engine)
	if strings.Contains(subject, ".") {
		t.Fatal("the token is not opaque")
	}
	question := data{"subject_token": subject}
	wantSame(t, "explained before anybody was asked", explanation(m.write("explain/orders", question).Data),
		`temporarily_unavailable: subject: what the issuer "idp" says of the token is not held, and nobody is asked offline: see issuers/idp/status`)

	answer := m.write("exchange/orders", data{"subject_token": subject, "scope": "orders:write"})
	wantSame(t, "scope", answer.Data["scope"].(string), "orders:write")
	verified, err := goVerifier(t, m, orders).Verify(t.Context(), accessToken(t, answer))
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "sub", verified.Subject, "idp:alice")
	if strings.Contains(toJSON(t, answer.Data), subject) {
		t.Error("the answer has the opaque token")
	}
	if answer := m.write("explain/orders", question); answer.Data["allowed"] != true || answer.Data["unverified"] != false {
		t.Errorf("explained after that: %v", answer.Data)
	}
	status := m.read("issuers/idp/status")
	if status["last_error"] != "" || status["last_fetch"] == "" || number(t, status["keys_held"]) != 0 {
		t.Errorf("status: %v", status)
	}
}

func TestOpaqueTokenIsRefused(t *testing.T) {
	t.Parallel()
	p, m := oidcProvider(t), newMount(t)
	m.trustOpaque(p, nil)
	good := p.userToken(t, "legacy", "alice", engine)
	service := func(form url.Values) string {
		form.Set("grant_type", "client_credentials")
		return p.post(t, "/token", "legacy", form)["access_token"].(string)
	}
	for _, c := range []struct {
		name, token, tokenType, message string
	}{
		{"that nobody issued", rand.Text(), "", `invalid_request: subject: the token is not active`},
		{"of another user", p.userToken(t, "legacy", "bob", engine), "", `invalid_request: subject: "sub" claim: the role "orders" is bound to another subject`},
		{"for another service", p.userToken(t, "legacy", "alice", billing), "", `invalid_request: subject: "aud" claim expected one of ["https://vault.example"] but got ["https://billing.example"]`},
		{"declared as an ID token", good, "urn:ietf:params:oauth:token-type:id_token", `invalid_request: subject_token_type: the issuer "idp" is asked about access tokens alone: use "urn:ietf:params:oauth:token-type:access_token"`},
		{"with a space in it", "a b", "", "invalid_request: subject: the token is not a JWT in compact serialization: only letters, digits, '-', '_' and '.' may occur"},
		{"that is too long", strings.Repeat("x", 20_000), "", `invalid_request: subject: the token is 20000 bytes long: the limit is 16384`},
		{"with a line break in it", "a\nb", "", `invalid_request: subject: the token has a character other than printable ASCII`},
		// The provider names no subject of a service, and no audience if none was asked for.
		{"of a service, without a subject", service(url.Values{"resource": {engine}}), "", `invalid_request: subject: "sub" claim is missing or empty`},
		{"of a service, without a subject and audience", service(url.Values{}), "", `invalid_request: subject: "sub" claim is missing or empty`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := m.in(t)
			request := data{"subject_token": c.token}
			if c.tokenType != "" {
				request["subject_token_type"] = c.tokenType
			}
			_, err := m.tryWrite("exchange/orders", request)
			refused(t, err, 400, c.message)
			request["live"] = true
			wantSame(t, "explained", explanation(m.write("explain/orders", request).Data), c.message)
		})
	}
	m.write("exchange/orders", data{"subject_token": good, "subject_token_type": typeAccessToken})
}

// TestRevocationOfAnOpaqueTokenTakesEffect: within the ten seconds for which an
// answer is used again.
func TestRevocationOfAnOpaqueTokenTakesEffect(t *testing.T) {
	t.Parallel()
	p, m := oidcProvider(t), newMount(t)
	m.trustOpaque(p, nil)
	subject := p.userToken(t, "legacy", "alice", engine)
	m.write("exchange/orders", data{"subject_token": subject})
	p.post(t, "/token/revocation", "legacy", url.Values{"token": {subject}})
	began := time.Now()
	m.refusedSoon(subject, `invalid_request: subject: the token is not active`)
	t.Logf("refused %s after it was revoked", time.Since(began).Round(time.Millisecond))
	wantSame(t, "explained offline", explanation(m.write("explain/orders", data{"subject_token": subject}).Data),
		`temporarily_unavailable: subject: what the issuer "idp" says of the token is not held, and nobody is asked offline: see issuers/idp/status`)
}

// refusedSoon waits until a token is refused in these words. Nothing but a refusal
// may come before.
func (m *mount) refusedSoon(subject, message string) {
	m.Helper()
	eventually(m.T, func() error {
		_, err := m.tryWrite("exchange/orders", data{"subject_token": subject})
		if err == nil {
			return errors.New("the token is exchanged")
		}
		if text := errorText(m.T, err); text != message {
			return errors.New(text)
		}
		return nil
	})
}

func TestExpiredOpaqueTokenIsRefused(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	p, err := startProvider("IDP_TOKEN_TTL=8")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.process.kill)
	m.trustOpaque(p, nil)
	subject := p.userToken(t, "legacy", "alice", engine)
	within(t, "life", life(t, m.write("exchange/orders", data{"subject_token": subject})), 1, 8)
	m.refusedSoon(subject, `invalid_request: subject: the token is not active`)
}

// TestIntrospectionThatFails is an outage, and no fault of the token: the caller
// learns that, and the log and the status why.
func TestIntrospectionThatFails(t *testing.T) {
	t.Parallel()
	p := oidcProvider(t)
	const message = `temporarily_unavailable: subject: the issuer "idp" cannot be asked about the token now: see issuers/idp/status`
	for _, c := range []struct {
		name   string
		fields data
		reason string
	}{
		{"wrong client secret", data{"introspection_client_secret": "a wrong secret"}, "it refuses introspection_client_id and introspection_client_secret"},
		{"unknown client", data{"introspection_client_id": "nobody"}, "it refuses introspection_client_id and introspection_client_secret"},
		{"an endpoint that there is not", data{"introspection_url": p.Issuer + "/nowhere"}, "404"},
		{"nobody listens", data{"introspection_url": "http://127.0.0.1:1/ask"}, "connection refused"},
		{"a loopback address that is not listed", data{"allowed_addresses": []string{}}, "address 127.0.0.1 of 127.0.0.1 is not public: list it in allowed_addresses"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMount(t)
			m.trustOpaque(p, c.fields)
			subject := p.userToken(t, "legacy", "alice", engine)
			answer, err := m.tryWrite("exchange/orders", data{"subject_token": subject})
			if err == nil {
				t.Fatalf("granted: %v", answer.Data)
			}
			refused(t, err, 503, message)
			status, _ := m.read("issuers/idp/status")["last_error"].(string)
			if !strings.Contains(status, c.reason) {
				t.Errorf("want %q in last_error, got %q", c.reason, status)
			}
			eventually(t, func() error { // the line comes through a pipe
				for line := range strings.Lines(m.vault.process.log.String()) {
					if strings.Contains(line, "exchange/orders") && strings.Contains(line, "cannot be answered now") && strings.Contains(line, c.reason) {
						return nil
					}
				}
				return errors.New("the log does not tell why")
			})
			shown := toJSON(t, []any{m.state(), status, err.Error(), m.vault.process.log.String()})
			for _, secret := range []string{subject, "a wrong secret", p.Clients["engine"]} {
				if strings.Contains(shown, secret) {
					t.Error("a secret is shown")
				}
			}
			// The operator corrects it, and need not wait.
			m.trustOpaque(p, nil)
			m.write("exchange/orders", data{"subject_token": subject})
		})
	}
}

// TestOpaqueActorActs: subject and actor by opaque tokens, beside an issuer whose
// tokens are JWTs.
func TestOpaqueActorActs(t *testing.T) {
	t.Parallel()
	p, m := oidcProvider(t), newMount(t)
	m.trustOpaque(p, nil)
	ci := m.trust("ci")
	m.write("roles/orders", data{"issuers": "ci,idp", "bound_subject": "", "delegation": "optional", "actor_issuers": "idp", "bound_actors": []string{"idp:bob"}, "bound_claims": data{"scope": "orders:read orders:write"}})
	bob := p.userToken(t, "legacy", "bob", engine)
	for subject, want := range map[string]string{
		p.userToken(t, "legacy", "alice", engine): "idp:alice",
		ci.Sign(t, ci.Claims(time.Now(), data{})): "ci:ci-runner",
	} {
		answer := m.write("exchange/orders", data{"subject_token": subject, "actor_token": bob, "actor_token_type": typeAccessToken})
		wantJSON(t, "subject and act", []any{answer.Data["subject"], answer.Data["act"]}, toJSON(t, []any{want, data{"iss": p.Issuer, "sub": "bob"}}))
	}
}
