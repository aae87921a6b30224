//go:build e2e

package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// opaqueForm is what docs/reference.md tells scanners for secrets.
var opaqueForm = regexp.MustCompile(`^vtx_[0-9A-Za-z]{55}$`)

// newOpaqueChain is a chain whose role "orders" has opaque tokens, as has the role
// "onward", which takes them.
func newOpaqueChain(m *mount) *chain {
	m.Helper()
	c := newChain(m)
	c.write("roles/orders", data{"format": "opaque"})
	c.role("onward", "self", data{"bound_subject": "ci:ci-runner", "bound_audiences": orders, "ttl": "30m", "format": "opaque"})
	return c
}

// TestOpaqueTokenIsMintedAndIntrospected_IN9: the view is that of a JWT.
func TestOpaqueTokenIsMintedAndIntrospected_IN9(t *testing.T) {
	t.Parallel()
	c := newOpaqueChain(newMount(t))
	before := c.metrics()
	answer := c.exchange("orders", c.subject())
	token := accessToken(t, answer)
	if !opaqueForm.MatchString(token) {
		t.Error("the token does not have the form of one")
	}
	wantJSON(t, "types", []any{answer.Data["token_type"], answer.Data["issued_token_type"]}, `["Bearer","`+typeAccessToken+`"]`)
	view := c.introspect(token)
	issued := number(t, view["iat"])
	wantJSON(t, "introspect", view, toJSON(t, data{
		"active": true, "token_type": "Bearer", "iss": c.issuer, "sub": "ci:ci-runner", "aud": []string{orders}, "client_id": "role:orders",
		"scope": "orders:read", "iat": issued, "exp": issued + number(t, answer.Data["expires_in"]), "jti": answer.Data["jti"], "txn": answer.Data["txn"],
	}))
	c.write("roles/orders", data{"format": "jwt"})
	jwt := c.introspect(accessToken(t, c.exchange("orders", c.subject())))
	for name := range jwt {
		if view[name] == nil {
			t.Errorf("the view of a JWT has %s, and that of an opaque token not", name)
		}
	}
	if moved := c.metrics().samples[`token_exchange_opaque_total{role="orders"}`] - before.samples[`token_exchange_opaque_total{role="orders"}`]; moved != 1 {
		t.Errorf("the metric moves by %v", moved)
	}
	_, err := c.tryWrite("exchange/onward", data{"subject_token": token, "audience": orders, "requested_token_type": typeJWT})
	refused(t, err, 400, `invalid_request: requested_token_type: the role "onward" issues opaque tokens: ask for "`+typeAccessToken+`"`)
}

// TestOpaqueTokenIsExchangedOnward and everything of the chain dies with a lease.
func TestOpaqueTokenIsExchangedOnward_RV8(t *testing.T) {
	t.Parallel()
	c := newOpaqueChain(newMount(t))
	root := c.exchange("orders", c.subject())
	onward := accessToken(t, c.exchange("onward", accessToken(t, root)))
	jwt := accessToken(t, c.exchange("again", onward))
	if _, err := goVerifier(t, c.mount, orders).Verify(t.Context(), jwt); err != nil {
		t.Error(err)
	}
	all := []string{accessToken(t, root), onward, jwt}
	for _, token := range all {
		c.wantActive(token)
	}
	wantJSON(t, "explained", c.write("explain/onward", data{"subject_token": onward, "audience": orders}).Data["allowed"], "true")
	c.revokeLease(root.LeaseID)
	for _, token := range all {
		c.wantInactive(token)
		_, err := c.tryWrite("exchange/again", data{"subject_token": token, "audience": orders})
		refused(t, err, 400, revokedMessage)
	}

	// By itself, and by its role.
	other := accessToken(t, c.exchange("orders", c.subject()))
	c.write("revoke", data{"token": other})
	c.wantInactive(other)
	last := accessToken(t, c.exchange("orders", c.subject()))
	c.delete("roles/orders")
	c.wantInactive(last)
}

// TestOpaqueTokensOfNobody_IN3 get the same answer as a revoked one.
func TestOpaqueTokensOfNobody_IN3(t *testing.T) {
	t.Parallel()
	c, other := newOpaqueChain(newMount(t)), newOpaqueChain(newMount(t))
	token := accessToken(t, c.exchange("orders", c.subject()))
	for _, foreign := range []string{accessToken(t, other.exchange("orders", other.subject())), token[:58] + "0", token[1:], "vtx_"} {
		c.wantInactive(foreign)
		if _, err := c.tryWrite("exchange/onward", data{"subject_token": foreign, "audience": orders}); err == nil {
			t.Error("exchanged")
		} else if strings.Contains(err.Error(), foreign) && len(foreign) > 4 {
			t.Error("the error repeats the token")
		}
	}
	c.wantActive(token)
}

// TestOpaqueTokenSurvivesARestart: a crash, and another process of the plugin.
func TestOpaqueTokenSurvivesARestart(t *testing.T) {
	t.Parallel()
	s := newStored(t)
	m := enable(t, s.vault, "token-exchange")
	m.configure()
	c := newOpaqueChain(m)
	leased := c.exchange("orders", c.subject())
	alive, dead := accessToken(t, leased), accessToken(t, c.exchange("orders", c.subject()))
	c.write("revoke", data{"token": dead})
	before := toJSON(t, c.introspect(alive))
	s.crash()
	s.restart()
	c.vault, c.client = s.vault, s.Client
	for range 2 {
		wantJSON(t, "introspect", c.introspect(alive), before)
		c.wantInactive(dead)
		c.wantActive(accessToken(t, c.exchange("onward", alive)))
		if _, err := c.client.Sys().ReloadPlugin(&api.ReloadPluginInput{Plugin: plugin}); err != nil {
			t.Fatal(err)
		}
	}
	c.revokeLease(leased.LeaseID)
	c.wantInactive(alive)
}

// TestOpaqueTokenAtRest looks into the storage of Vault: there is the hash of a
// token and not the token, and what has expired is deleted.
func TestOpaqueTokenAtRest(t *testing.T) {
	t.Parallel()
	v := newOwn(t, pluginDir, data{"raw_storage_endpoint": true})
	m := enable(t, v, "token-exchange")
	m.configure()
	c := newOpaqueChain(m)
	c.write("roles/orders", data{"generate_lease": false}) // Vault's lease would hold it
	token := accessToken(t, c.exchange("orders", c.subject()))
	mounts, err := v.Sys().ListMounts()
	if err != nil {
		t.Fatal(err)
	}
	root := "sys/raw/logical/" + mounts[c.path+"/"].UUID + "/"
	if _, err := v.Logical().Write(root+"opaque/000001/of-long-ago", data{"value": "{}"}); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(token))
	var found []string
	var walk func(path string)
	walk = func(path string) {
		list, err := v.Logical().List(root + path)
		if err != nil || list == nil {
			t.Fatalf("list %s: %v %v", path, list, err)
		}
		names, _ := list.Data["keys"].([]any)
		for _, name := range names {
			at := path + name.(string)
			if strings.HasSuffix(at, "/") {
				walk(at)
				continue
			}
			entry, err := v.Logical().Read(root + at)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, at)
			if shown := at + toJSON(t, entry.Data); strings.Contains(shown, token) || strings.Contains(shown, token[:20]) {
				t.Errorf("the token is stored at %s", at)
			}
		}
	}
	walk("")
	if all := strings.Join(found, " "); strings.Count(all, "opaque/") != 2 || !strings.Contains(all, "/"+hex.EncodeToString(sum[:])) {
		t.Errorf("stored: %s", all)
	}
	eventuallyWithin(t, 3*time.Minute, func() error { // Vault calls once a minute
		entry, err := v.Logical().List(root + "opaque/000001")
		if err == nil && entry != nil {
			err = errors.New("the record of long ago is there")
		}
		return err
	})
	c.wantActive(token)
	if got := c.metrics().samples["token_exchange_opaque_tidied_total"]; got != 1 {
		t.Errorf("tidied: %v", got)
	}
	if strings.Contains(v.process.log.String(), token) {
		t.Error("the token is in the log")
	}
}
