package issuer_test

import (
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
)

// A change of configuration forgets no keys, unless it says that they come from
// elsewhere, or are another issuer's.
func TestAdopt(t *testing.T) {
	key := newKey("k1")
	p := newIDP(t, key)
	for _, c := range []struct {
		name string
		edit func(*issuer.Config)
		keys int
	}{
		{"nothing", func(*issuer.Config) {}, 1},
		{"what tokens must look like", func(c *issuer.Config) { c.BoundAudiences = []string{"other"}; c.MaxTokenAge = 1 }, 1},
		{"name", func(c *issuer.Config) { c.Name = "other" }, 0},
		{"bound_issuer", func(c *issuer.Config) { c.BoundIssuer = "https://other.example" }, 0},
		{"oidc_discovery_url", func(c *issuer.Config) { c.DiscoveryURL += "/" }, 0},
		{"jwks_url", func(c *issuer.Config) { c.JWKSURL, c.DiscoveryURL = p.URL+keysPath, "" }, 0},
		{"ca_pem", func(c *issuer.Config) { c.CAPEM = testCA() }, 0},
		{"allowed_addresses", func(c *issuer.Config) { c.AllowedAddresses = []string{only} }, 0},
		{"inline keys", func(c *issuer.Config) { inline(c, jwks(newKey("k2"), newKey("k3"))); c.AllowedAddresses = nil }, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := newRemote(t, p, nil)
			before.mustVerify(t, key)
			after := newRemote(t, p, c.edit)
			after.Adopt(before.Issuer)
			if ids := after.Status().KeyIDs; len(ids) != c.keys {
				t.Errorf("got the keys %q, want %d", ids, c.keys)
			}
		})
	}
	from := func(url string) func(*issuer.Config) {
		return func(c *issuer.Config) { c.DiscoveryURL, c.JWKSURL = "", url }
	}
	before, after := newRemote(t, p, from(p.URL+keysPath)), newRemote(t, p, from(p.URL+"/other"))
	before.mustVerify(t, key)
	after.Adopt(before.Issuer)
	if ids := after.Status().KeyIDs; len(ids) != 0 {
		t.Errorf("another jwks_url: got the keys %q", ids)
	}
	fresh := newRemote(t, p, nil)
	fresh.Adopt(nil)
	fresh.Adopt(trusted(t, jwks(key), nil))
	if ids := fresh.Status().KeyIDs; len(ids) != 0 {
		t.Errorf("keys %q came from nowhere", ids)
	}
}
