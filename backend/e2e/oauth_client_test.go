//go:build e2e

package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// oauthAnswer is what a client without a Vault token is told.
type oauthAnswer struct {
	status int
	header http.Header
	body   string
}

func (a oauthAnswer) members(t *testing.T) data {
	t.Helper()
	var out data
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		t.Fatalf("not JSON: %d %q", a.status, a.body)
	}
	return out
}

// post sends a form to an OAuth endpoint, as any OAuth client does.
func (m *mount) post(endpoint string, form url.Values, change ...func(*http.Request)) oauthAnswer {
	m.Helper()
	req, err := http.NewRequestWithContext(m.Context(), http.MethodPost, m.issuer+"/oauth/"+endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		m.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range change {
		c(req)
	}
	resp, err := (&http.Client{Timeout: patience}).Do(req)
	if err != nil {
		m.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		m.Fatal(err)
	}
	return oauthAnswer{resp.StatusCode, resp.Header, string(body)}
}

func TestOAuthClientWithoutAVaultToken(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	m.role("orders", "ci", data{"generate_lease": false, "allowed_audiences": []string{orders, billing}})
	m.write("clients/gateway", data{"auth_method": "client_secret_basic", "role": "orders"})
	secret := m.write("clients/gateway/secret", nil).Data["client_secret"].(string)
	basic := func(r *http.Request) { r.SetBasicAuth("gateway", url.QueryEscape(secret)) }
	form := func() url.Values {
		return url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {ci.Sign(t, ci.Claims(time.Now(), nil))},
			"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}, "audience": {orders},
		}
	}

	if got := m.post("token", form(), basic); got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") == "" {
		t.Errorf("VT-3 before the mount is tuned: %d %s", got.status, got.body)
	}
	m.tune(api.TuneMountConfigInput{PassthroughRequestHeaders: &[]string{"Authorization"}})
	granted := m.post("token", form(), basic)
	token, _ := granted.members(t)["access_token"].(string)
	if granted.status != http.StatusOK || token == "" || granted.header.Get("Cache-Control") != "no-store" || granted.header.Get("Content-Type") != "application/json" {
		t.Fatalf("TX-13, TX-16: %d %v", granted.status, granted.header)
	}
	several := form()
	several["audience"] = []string{orders, billing}
	if got := m.post("token", several, basic); got.status != http.StatusOK {
		t.Errorf("TX-8 two audiences: %d %s", got.status, got.body)
	}
	twice := form()
	twice["subject_token"] = append(twice["subject_token"], "x.y.z")
	if got := m.post("token", twice, basic); got.status != http.StatusBadRequest || got.members(t)["error"] != "invalid_request" {
		t.Errorf("VT-1 two subject tokens: %d %s", got.status, got.body)
	}
	asked := url.Values{"token": {token}}
	if got := m.post("introspect", asked, basic); got.members(t)["client_id"] != "gateway" {
		t.Errorf("IN-4: %d %s", got.status, got.body)
	}
	wrapped := m.post("token", form(), basic, func(r *http.Request) { r.Header.Set("X-Vault-Wrap-TTL", "60") })
	if wrapped.status != http.StatusBadRequest || strings.Contains(wrapped.body, jwtPrefix) || strings.Contains(wrapped.body, "wrap_info\":{") {
		t.Errorf("a wrapped request: %d %s", wrapped.status, wrapped.body)
	}
	if got := m.post("revoke", asked, basic); got.status != http.StatusOK || got.body != "" {
		t.Errorf("RV-1: %d %q", got.status, got.body)
	}
	if got := m.post("introspect", asked, basic); got.body != `{"active":false}` {
		t.Errorf("RV-4: %d %s", got.status, got.body)
	}
}
