//go:build e2e

package e2e_test

import (
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// TestRestartForgetsNothing also covers that the plugin runs under the version
// that it was registered with.
func TestRestartForgetsNothing(t *testing.T) {
	t.Parallel()
	for _, how := range []struct {
		name    string
		restart func(*stored)
	}{
		{"after a crash", (*stored).crash},
		{"after an orderly end", (*stored).stop},
	} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			s := newStored(t)
			m := enable(t, s.vault, "token-exchange")
			m.configure()
			wantVersion(t, m)
			m.write("keys/rsa", data{"algorithm": "RS256"})
			c := newChain(m)
			c.write("roles/again", data{"key": "rsa"})
			c.writeExpressive()
			c.wantExpressive()
			tokens := c.tokens()
			before := c.everything()

			how.restart(s)
			s.restart()
			c.vault, c.client = s.vault, s.Client
			wantSame(t, "state after the restart", c.everything(), before)
			c.wantExpressive()
			tokens.check(c)

			// Another process of the plugin, in the same Vault.
			if _, err := c.client.Sys().ReloadPlugin(&api.ReloadPluginInput{Plugin: plugin}); err != nil {
				t.Fatal(err)
			}
			wantSame(t, "state after the reload", c.everything(), before)
			c.wantExpressive()
			tokens.check(c)

			// The leases are alive, too.
			if err := c.client.Sys().RevokeWithOptions(&api.RevokeOptions{LeaseID: tokens.lease, Sync: true}); err != nil {
				t.Fatal(err)
			}
			c.wantInactive(tokens.alive[0])
			c.wantInactive(tokens.alive[1])
			c.exchange("orders", c.subject())
		})
	}
}

// writeExpressive writes a role with all that is compiled when it is loaded, and
// an issuer with a secret.
func (c *chain) writeExpressive() {
	c.Helper()
	c.role("expressive", "ci", data{
		"bound_subject": "", "condition": `subject.team.regex("pay.*") && actor.sub == "api"`,
		"subject": `"ci:" + subject.team`, "claims": data{"team": "subject.team"},
		"delegation": "required", "actor_issuers": "ci", "bound_actors": []string{"ci:api"},
	})
	c.write("issuers/opaque", data{
		"bound_issuer": "https://opaque.example", "bound_audiences": engine, "introspection_url": "https://opaque.example/ask",
		"introspection_client_id": "engine", "introspection_client_secret": "secret",
	})
}

// wantExpressive uses the role, and needs the secret.
func (c *chain) wantExpressive() {
	c.Helper()
	request := func(team, actor string) data {
		return data{
			"subject_token": c.ci.Sign(c.T, c.ci.Claims(time.Now(), data{"team": team})), "audience": orders,
			"actor_token": c.ci.Sign(c.T, c.ci.Claims(time.Now(), data{"sub": actor})), "actor_token_type": typeJWT,
		}
	}
	_, claims := unsigned(c.T, accessToken(c.T, c.write("exchange/expressive", request("payments", "api"))))
	wantJSON(c.T, "sub, team, act", []any{claims["sub"], claims["team"], claims["act"]},
		toJSON(c.T, []any{"ci:payments", "payments", data{"iss": c.ci.URL, "sub": "api"}}))
	_, err := c.tryWrite("exchange/expressive", request("sales", "api"))
	refused(c.T, err, 400, `invalid_request: condition: the condition of the role "expressive" is not met`)
	_, err = c.tryWrite("exchange/expressive", request("payments", "other"))
	refused(c.T, err, 400, `invalid_request: actor: ["ci:other"] is not among the bound_actors of the role "expressive"`)
	c.write("issuers/opaque", data{"max_token_age": 3600}) // refused if there were no secret
}

func wantVersion(t *testing.T, m *mount) {
	t.Helper()
	mounts, err := m.client.Sys().ListMounts()
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "running plugin version", mounts[m.path+"/"].RunningVersion, "v0.1.0")
}

// tokens are some that live and some that were revoked, each in another way.
type tokens struct {
	alive, dead []string
	lease       string // of the first that lives
}

func (c *chain) tokens() tokens {
	c.Helper()
	first := c.exchange("orders", c.subject())
	alive := accessToken(c.T, first)
	revoked, unleased := c.exchange("orders", c.subject()), c.exchange("orders", c.subject())
	child := c.exchange("again", accessToken(c.T, revoked))
	if err := c.client.Sys().RevokeWithOptions(&api.RevokeOptions{LeaseID: revoked.LeaseID, Sync: true}); err != nil {
		c.Fatal(err)
	}
	c.write("revoke", data{"token": accessToken(c.T, unleased)})
	return tokens{
		alive: []string{alive, accessToken(c.T, c.exchange("again", alive))},
		dead:  []string{accessToken(c.T, revoked), accessToken(c.T, unleased), accessToken(c.T, child)},
		lease: first.LeaseID,
	}
}

func (s tokens) check(c *chain) {
	c.Helper()
	for _, token := range s.alive {
		c.wantActive(token)
		if _, err := goVerifier(c.T, c.mount, orders).Verify(c.Context(), token); err != nil {
			c.Error(err)
		}
	}
	for _, token := range s.dead {
		c.wantInactive(token)
		_, err := c.tryWrite("exchange/again", data{"subject_token": token, "audience": orders})
		refused(c.T, err, 400, revokedMessage)
	}
}

// everything is the state of the mount with the keys that consumers see.
func (c *chain) everything() string {
	c.Helper()
	var jwks any
	get(c.T, c.issuer+"/.well-known/keys", &jwks)
	return c.state() + toJSON(c.T, jwks)
}
