//go:build e2e

package e2e_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
)

// revokedMessage is how a revoked token, or one that descends from it, is
// refused as a subject.
const revokedMessage = "invalid_request: revoked: the token, or one that it was exchanged from, was revoked"

// chain is a mount whose role "orders" takes tokens of the issuer "ci", and whose
// role "again" takes the tokens that both have made.
type chain struct {
	*mount
	ci *issuertest.Issuer
}

func newChain(m *mount) *chain {
	m.Helper()
	c := &chain{mount: m, ci: m.trust("ci")}
	c.role("orders", "ci", data{"ttl": "30m"})
	c.role("again", "self", data{"bound_subject": "ci:ci-runner", "bound_audiences": orders, "ttl": "30m"})
	return c
}

// subject is a token of the issuer "ci".
func (c *chain) subject() string {
	c.Helper()
	return c.ci.Sign(c.T, c.ci.Claims(time.Now(), nil))
}

func TestLeaseTellsTheLifeOfTheToken(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t))
	answer := c.write("exchange/orders", data{"subject_token": c.subject(), "audience": orders, "ttl": "7m"})
	_, claims := unsigned(t, accessToken(t, answer))
	if !strings.HasPrefix(answer.LeaseID, c.path+"/exchange/orders/") || answer.Renewable {
		t.Errorf("want a lease of exchange/orders that is not renewable, got %q %v", answer.LeaseID, answer.Renewable)
	}
	life := int64(claims["exp"].(float64) - claims["iat"].(float64))
	if got := number(t, answer.Data["expires_in"]); got != 420 || life != 420 || answer.LeaseDuration != 420 {
		t.Errorf("want 420 seconds: expires_in %d, exp-iat %d, lease_duration %d", got, life, answer.LeaseDuration)
	}
	for _, hint := range []string{"ttl", "rotation_period"} {
		if answer.Data[hint] != nil {
			t.Errorf("a leased answer has %s", hint)
		}
	}
	_, err := c.client.Sys().Renew(answer.LeaseID, 0)
	refused(t, err, 400, "lease is not renewable")
	c.wantActive(accessToken(t, answer))
}

func TestWhatRevokesAToken(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		revoke func(c *chain, answer *api.Secret, caller string) error
	}{
		{"RV-8 revocation of its lease", func(c *chain, answer *api.Secret, _ string) error {
			return c.client.Sys().RevokeWithOptions(&api.RevokeOptions{LeaseID: answer.LeaseID, Sync: true})
		}},
		{"revocation of all leases of the role", func(c *chain, _ *api.Secret, _ string) error {
			return c.client.Sys().RevokeWithOptions(&api.RevokeOptions{LeaseID: c.path + "/exchange/orders", Prefix: true, Sync: true})
		}},
		{"forced revocation of all leases of the role", func(c *chain, _ *api.Secret, _ string) error {
			return c.client.Sys().RevokeForce(c.path + "/exchange/orders")
		}},
		{"revocation of the Vault token that asked for it", func(c *chain, _ *api.Secret, caller string) error {
			return c.client.Auth().Token().RevokeTree(caller)
		}},
		{"RV-4 revoke", func(c *chain, answer *api.Secret, _ string) error {
			_, err := c.tryWrite("revoke", data{"token": answer.Data["access_token"]})
			return err
		}},
		{"RV-2 revoke with a wrong hint", func(c *chain, answer *api.Secret, _ string) error {
			_, err := c.tryWrite("revoke", data{"token": answer.Data["access_token"], "token_type_hint": "refresh_token"})
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newChain(newMount(t))
			caller := callerToken(t, c.mount, `path "`+c.path+`/exchange/*" { capabilities = ["update"] }`)
			answer := c.as(caller).exchange("orders", c.subject())
			parent, sibling := accessToken(t, answer), accessToken(t, c.write("exchange/again", data{
				"subject_token": accessToken(t, c.exchangeUnleased()), "audience": orders,
			}))
			child := accessToken(t, c.exchange("again", parent))
			grandchild := accessToken(t, c.exchange("again", child))
			for _, token := range []string{parent, child, grandchild, sibling} {
				c.wantActive(token)
			}

			if err := test.revoke(c, answer, caller); err != nil {
				t.Fatal(err)
			}
			// Vault revokes the leases of a token after it has answered.
			eventually(t, func() error {
				if c.introspect(parent)["active"] != false {
					return errors.New("the token is active")
				}
				return nil
			})
			for _, token := range []string{parent, child, grandchild} {
				c.wantInactive(token)
				_, err := c.tryWrite("exchange/again", data{"subject_token": token, "audience": orders})
				refused(t, err, 400, revokedMessage)
			}
			c.wantActive(sibling)
		})
	}
}

// exchangeUnleased makes a token by a role of its own.
func (c *chain) exchangeUnleased() *api.Secret {
	c.Helper()
	c.role("unleased", "ci", data{"generate_lease": false, "ttl": "10m"})
	return c.exchange("unleased", c.subject())
}

// callerToken is a Vault token with a policy.
func callerToken(t *testing.T, m *mount, rules string) string {
	t.Helper()
	policy := uniqueName("policy")
	if err := m.vault.Sys().PutPolicy(policy, rules); err != nil {
		t.Fatal(err)
	}
	secret, err := m.vault.Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{policy}})
	if err != nil {
		t.Fatal(err)
	}
	return secret.Auth.ClientToken
}

func TestWhatIsNoTokenOfTheMountIsInactive_IN3(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t))
	foreign := issuertest.New(t, "https://stranger.example")
	token := accessToken(t, c.exchange("orders", c.subject()))
	for name, token := range map[string]string{
		"garbage": "garbage", "a token of a trusted issuer": c.subject(), "a changed token": tampered(t, token),
		"a token of a stranger": foreign.Sign(t, foreign.Claims(time.Now(), nil)),
		"a forgery":             foreign.Sign(t, foreign.Claims(time.Now(), data{"iss": c.issuer})),
	} {
		t.Run(name, func(t *testing.T) {
			m := c.in(t)
			m.wantInactive(token)
			// RV-1: there is nothing to do, which is no error.
			secret := m.write("revoke", data{"token": token})
			wantJSON(t, "warnings", secret.Warnings, `["the token is not an unexpired token of this mount: there was nothing to revoke"]`)
		})
	}
	c.wantActive(token)
}

func TestIntrospectionTellsWhatTheTokenSays_IN4(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t))
	token := accessToken(t, c.exchange("orders", c.subject()))
	_, claims := unsigned(t, token)
	delete(claims, "lineage")
	claims["active"], claims["token_type"], claims["aud"] = true, "Bearer", []string{orders}
	wantJSON(t, "introspect", c.introspect(token), toJSON(t, claims))
}

func TestAnswerWithoutALeaseSaysWhenToComeAgain(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t))
	answer := c.exchangeUnleased()
	if answer.LeaseID != "" || answer.LeaseDuration != 0 {
		t.Errorf("lease: %q %d", answer.LeaseID, answer.LeaseDuration)
	}
	if n := number(t, answer.Data["expires_in"]); n != 600 {
		t.Errorf("expires_in: %d", n)
	}
	if n := number(t, answer.Data["rotation_period"]); n != 600 {
		t.Errorf("rotation_period: %d", n)
	}
	within(t, "ttl", number(t, answer.Data["ttl"]), 600*72/100, 600*80/100)
}

func TestLeaseThatExpiresWritesNothing(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t))
	answer := c.write("exchange/orders", data{"subject_token": c.subject(), "audience": orders, "ttl": "1s"})
	eventually(t, func() error {
		if _, err := c.client.Sys().Lookup(answer.LeaseID); err == nil {
			return errors.New("the lease exists")
		}
		return nil
	})
	c.wantInactive(accessToken(t, answer))
	samples := c.metrics().samples
	for _, series := range []string{`token_exchange_objects{kind="revocations"}`, `token_exchange_revocations_total`} {
		if n, ok := samples[series]; !ok || n != 0 {
			t.Errorf("%s: want 0, got %v", series, n)
		}
	}
	c.wantActive(accessToken(t, c.exchange("orders", c.subject())))
}

func TestMountWithLiveLeasesIsDisabled(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t))
	var last *api.Secret
	for range 5 {
		last = c.exchange("orders", c.subject())
	}
	old := activeKeyID(t, c.mount)
	if err := c.client.Sys().Unmount(c.path); err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.Sys().Lookup(last.LeaseID); err == nil {
		t.Error("the lease outlives the mount")
	}

	// A mount that comes in its place knows nothing of it.
	again := enable(t, c.vault, c.path)
	again.configure()
	if activeKeyID(t, again) == old {
		t.Error("the key outlives the mount")
	}
	again.wantInactive(accessToken(t, last))
}

func TestMountThatMovesRevokesItsLeases(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t))
	token := accessToken(t, c.exchange("orders", c.subject()))
	unleased := accessToken(t, c.exchangeUnleased())
	moved := *c.mount
	moved.path = uniqueName("moved")
	if err := c.client.Sys().Remount(c.path, moved.path); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		_, err := moved.client.Logical().Read(moved.path + "/config")
		return err
	})
	moved.wantInactive(token)
	moved.wantActive(unleased)
}

func TestMaxTTLOfTheMountShortensTheToken(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t)) // its roles say 30 minutes
	limit := "90s"
	if err := c.client.Sys().TuneMountAllowNil(c.path, api.TuneMountConfigInput{MaxLeaseTTL: &limit}); err != nil {
		t.Fatal(err)
	}
	for _, lease := range []bool{true, false} {
		c.write("roles/orders", data{"generate_lease": lease})
		answer := c.exchange("orders", c.subject())
		_, claims := unsigned(t, accessToken(t, answer))
		life := int64(claims["exp"].(float64) - claims["iat"].(float64))
		if got := number(t, answer.Data["expires_in"]); got != 90 || life != 90 || lease && answer.LeaseDuration != 90 {
			t.Errorf("with a lease %v: want 90 seconds: expires_in %d, exp-iat %d, lease_duration %d", lease, got, life, answer.LeaseDuration)
		}
		if len(answer.Warnings) > 0 { // Vault had to shorten the lease
			t.Errorf("warnings: %q", answer.Warnings)
		}
	}
}

func TestRoleThatIsDeletedTakesItsTokensAlong(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t))
	token := accessToken(t, c.exchange("orders", c.subject()))
	c.delete("roles/orders")
	c.wantInactive(token)
	c.role("orders", "ci", nil) // another role of the same name
	c.wantInactive(token)
	_, err := c.tryWrite("exchange/again", data{"subject_token": token, "audience": orders})
	refused(t, err, 400, "invalid_request: role_deleted: the role that minted the token, or one that it was exchanged from, was deleted")
}

func TestManyExchangesAtOnceEachHaveATokenOfTheirOwn_AT4(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t))
	const n = 50
	subject := c.subject()
	type result struct {
		jti any
		err error
	}
	results := make(chan result)
	for range n {
		go func() {
			answer, err := c.tryWrite("exchange/orders", data{"subject_token": subject, "audience": orders})
			if err != nil {
				results <- result{err: err}
				return
			}
			results <- result{jti: answer.Data["jti"]}
		}()
	}
	seen := map[any]bool{}
	for range n {
		r := <-results
		if r.err != nil {
			t.Error(r.err)
		}
		seen[r.jti] = true
	}
	if len(seen) != n {
		t.Errorf("%d different ids of %d tokens", len(seen), n)
	}
}
