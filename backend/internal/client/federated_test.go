package client_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

const ciURL, ciAudience = "https://ci.example", "https://vault.example"

// trusted is the one trusted issuer, "ci".
func trusted(t testing.TB) func(string) (client.Verifier, bool) {
	t.Helper()
	c := issuer.NewConfig("ci")
	c.BoundIssuer, c.BoundAudiences, c.JWKS = ciURL, []string{ciAudience}, jwks(ciKey())
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	ci := must(issuer.New(c, issuer.Options{}))
	return func(name string) (client.Verifier, bool) { return ci, name == "ci" }
}

// federatedAssertion is a token of the trusted issuer, with some claims replaced.
func federatedAssertion(replaced map[string]any) client.Credentials {
	claims := map[string]any{
		"iss": ciURL, "sub": "repo:example/billing", "aud": ciAudience, "exp": now.Add(time.Hour).Unix(),
		"jti": nil, "environment": "production", "run": 7,
	}
	maps.Copy(claims, replaced)
	credentials := withAssertion(signed(ciKey(), goodHeader(map[string]any{"typ": "JWT"}), good(claims)))
	credentials.ClientID = clientID
	return credentials
}

func TestFederated(t *testing.T) {
	env := goodEnv()
	memory := &replay{}
	env.Federated, env.Replay = trusted(t), memory
	for name, edit := range map[string]func(*client.Config){
		"subject": func(*client.Config) {},
		"claims": func(c *client.Config) {
			c.FederatedSubject, c.FederatedClaims = "", policy.Bound{"environment": []any{"staging", "production"}, "/run": 7}
		},
		"both": func(c *client.Config) { c.FederatedClaims = policy.Bound{"environment": "production"} },
	} {
		config := configured(client.FederatedJWT)
		edit(config)
		got, err := authenticate(t, compile(t, config), federatedAssertion(nil), env)
		if err != nil || got.ID != clientID {
			t.Errorf("%s: %v", name, err)
		}
		// CA-10: it is not the subject token as well.
		if u := must(token.Parse(token.Secret(federatedAssertion(nil).Assertion.Reveal()))); err == nil && !got.Presented(u) {
			t.Error("CA-10 the assertion is not known again")
		}
	}
	// CA-3: a list of one is one.
	if _, err := authenticate(t, compile(t, configured(client.FederatedJWT)), federatedAssertion(map[string]any{"aud": []string{ciAudience}}), env); err != nil {
		t.Error(err)
	}
	if memory.calls != 0 {
		t.Error("a workload's token is remembered, which comes again for as long as it lives")
	}
}

func TestFederatedRefused(t *testing.T) {
	const name = `invalid_request: subject: `
	const bound = `the assertion has a "cnf" claim: a token that is bound to a key cannot be an assertion, which nobody proves to have the key of`
	delegated := func(claim string) string {
		return fmt.Sprintf("the assertion has the claim %q: a token that speaks of an actor cannot be an assertion", claim)
	}
	for _, c := range []struct {
		name     string
		config   func(*client.Config)
		edit     func(*client.Credentials)
		replaced map[string]any
		cause    string
	}{
		{"CA-2 no client_id", func(c *client.Config) { c.ID = "repo:example/billing" }, func(c *client.Credentials) { c.ClientID = "" }, nil, "the parameter client_id is missing, which federated_jwt needs"},
		{"another subject", nil, nil, map[string]any{"sub": "repo:example/billing-fork"}, `the "sub" claim of the assertion is not federated_subject`},
		{"subject in another case", nil, nil, map[string]any{"sub": "repo:Example/billing"}, `the "sub" claim of the assertion is not federated_subject`},
		{"no subject", nil, nil, map[string]any{"sub": nil}, `the "sub" claim of the assertion is not federated_subject`},
		{
			"another claim", func(c *client.Config) { c.FederatedClaims = policy.Bound{"environment": "staging"} }, nil, nil,
			`the claim "environment" of the assertion has none of the values of federated_claims`,
		},
		{
			"a claim of another type", func(c *client.Config) { c.FederatedClaims = policy.Bound{"run": "7"} }, nil, nil,
			`the claim "run" of the assertion has none of the values of federated_claims`,
		},
		{
			"a claim that is missing", func(c *client.Config) { c.FederatedClaims = policy.Bound{"environment": "production", "team": "a"} }, nil, nil,
			`the claim "team" of the assertion has none of the values of federated_claims`,
		},
		{"CA-3 for another audience", nil, nil, map[string]any{"aud": ourIssuer}, name + `"aud" claim expected one of ["https://vault.example"] but got ["https://vault.example/v1/token-exchange"]`},
		{"another issuer", nil, nil, map[string]any{"iss": clientID}, name + `"iss" claim expected "https://ci.example" but got "billing"`},
		{"CA-5 expired", nil, nil, map[string]any{"exp": now.Unix()}, name + `"exp" claim expired at 2027-01-15T08:00:00Z`},
		{
			"another's key", nil, func(c *client.Credentials) {
				c.Assertion = secret(signed(otherKey(), goodHeader(nil), good(nil)))
			}, nil, name + `the signature does not verify with key "k1"`,
		},
		{"of a delegation", nil, nil, map[string]any{"act": map[string]any{"sub": "x"}}, delegated("act")},
		{"of a delegation without an actor", nil, nil, map[string]any{"act": map[string]any{}}, delegated("act")},
		{"reserved for an actor", nil, nil, map[string]any{"may_act": map[string]any{"sub": "x"}}, delegated("may_act")},
		{"CA-2 bound to a key", nil, nil, map[string]any{"cnf": map[string]any{"jkt": "x"}}, bound},
		{"CA-2 bound to a certificate", nil, nil, map[string]any{"cnf": map[string]any{"x5t#S256": "x"}}, bound},
		{"CA-2 bound to what nobody knows", nil, nil, map[string]any{"cnf": "x"}, bound},
		{
			"CA-3 for further audiences", nil, nil,
			map[string]any{"aud": []string{ciAudience, "https://orders.example"}},
			`the assertion is for ["https://vault.example", "https://orders.example"]: one audience is wanted, each of several could present it`,
		},
		{
			"CA-3 for one audience twice", nil, nil,
			map[string]any{"aud": []string{ciAudience, ciAudience}},
			`the assertion is for ["https://vault.example", "https://vault.example"]: one audience is wanted, each of several could present it`,
		},
		{"an issuer that does not exist", func(c *client.Config) { c.FederatedIssuer = "cd" }, nil, nil, `the federated_issuer "cd" does not exist`},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := configured(client.FederatedJWT)
			if c.config != nil {
				c.config(config)
			}
			credentials := federatedAssertion(c.replaced)
			if c.edit != nil {
				c.edit(&credentials)
			}
			env := goodEnv()
			env.Federated = trusted(t)
			_, err := authenticate(t, must(client.New(config, options())), credentials, env)
			wantFailure(t, err, unproven)
			wantCause(t, err, c.cause)
		})
	}
	_, err := authenticate(t, compile(t, configured(client.FederatedJWT)), federatedAssertion(nil), goodEnv())
	wantFailure(t, err, unproven)
	wantCause(t, err, "there are no trusted issuers")
}

// down is an issuer that cannot verify anything now.
type down struct{}

func (down) VerifyToken(context.Context, *token.Unverified, issuer.Check) (token.Claims, token.Dates, error) {
	err := denial.New(denial.TemporarilyUnavailable, denial.Subject, "issuer_keys", "cannot be had now")
	return nil, token.Dates{}, err.Because(errors.New("timeout"))
}

func TestFederatedIssuerIsDown(t *testing.T) {
	env := goodEnv()
	env.Federated = func(string) (client.Verifier, bool) { return down{}, true }
	_, err := authenticate(t, compile(t, configured(client.FederatedJWT)), federatedAssertion(nil), env)
	wantFailure(t, err, `temporarily_unavailable: federated_issuer: the client's issuer cannot verify tokens now`)
	wantCause(t, err, `the issuer "ci" of the client "billing": temporarily_unavailable: subject: cannot be had now`)
}
