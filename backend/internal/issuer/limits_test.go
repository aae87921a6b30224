package issuer_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
)

func TestLimits(t *testing.T) {
	const text = `has more than 256 elements`
	for _, c := range []struct {
		field, text string
		fill        func(*issuer.Config, int)
	}{
		{"bound_audiences", text, func(c *issuer.Config, n int) { c.BoundAudiences = slices.Repeat([]string{"a"}, n) }},
		{"required_claims", text, func(c *issuer.Config, n int) { c.RequiredClaims = slices.Repeat([]string{"a"}, n) }},
		{"allowed_addresses", text, func(c *issuer.Config, n int) { c.AllowedAddresses = slices.Repeat([]string{only}, n) }},
		{"subject_prefix", `has more than 256 characters`, func(c *issuer.Config, n int) { c.SubjectPrefix = strings.Repeat("a", n) }},
	} {
		t.Run(c.field, func(t *testing.T) {
			config := goodConfig()
			c.fill(config, 256)
			if err := config.Validate(); err != nil {
				t.Errorf("256: %s", err)
			}
			c.fill(config, 257)
			wantDenied(t, config.Validate(), denial.InvalidRequest, c.field, c.field+": "+c.text)
		})
	}
}

// Addresses that are global by their range, and not public.
func TestAddressesWithASpecialMeaning(t *testing.T) {
	for _, ip := range []string{"168.63.129.16", "3fff::1", "4000::1", "64:ff9b:1::1", "::7f00:1", "fec0::1", "5f00::1"} {
		err := issuer.CheckAddress(nil, "idp.example", "idp.example", ip)
		if want := "address " + ip + " of idp.example is not public: list it in allowed_addresses"; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}
