package backend_test

import (
	"errors"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
)

// Whatever a caller writes is granted or refused with status 400: no panic, no
// internal error, and no grant without the one good token.
func FuzzExchangeRequest(f *testing.F) {
	m := newMount(f)
	good := m.idp.Sign(f, m.idp.Claims(m.now, nil))
	f.Add(good, "", orders, "", "orders:read", "")
	f.Add(good, "urn:ietf:params:oauth:token-type:jwt", "", orders, "orders:read orders:write", "60")
	f.Add(good, "urn:ietf:params:oauth:token-type:access_token", orders+","+orders, "/x#f", "admin", "-1")
	f.Add(good[:len(good)-2], "", orders, "", "", "1h")
	f.Add("e30.e30.e30", "x", "\x00", "http://[::1", "\xff", "9999999999999999999")
	f.Add("", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, subjectToken, tokenType, audience, resource, scope, ttl string) {
		data := map[string]any{
			"subject_token": subjectToken, "subject_token_type": tokenType,
			"audience": audience, "resource": resource, "scope": scope,
		}
		if ttl != "" {
			data["ttl"] = ttl
		}
		resp, err := m.request(logical.UpdateOperation, "exchange/unleased", data)
		switch {
		case err == nil && resp.IsError(): // refused by the framework: a field of the wrong type
		case err == nil && subjectToken != good:
			t.Errorf("granted: %v", resp.Data)
		case err == nil && (resp.Data["audience"].([]string)[0] != orders || resp.Data["expires_in"].(int64) > 1800):
			t.Errorf("granted too much: %v", resp.Data)
		case err != nil && !errors.Is(err, logical.ErrInvalidRequest):
			t.Errorf("not the caller's fault: %v", err)
		}
	})
}
