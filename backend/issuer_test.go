package backend_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// However often the keys of an issuer are asked for during an outage, the log
// says once that it began, and once that it is over.
func TestOutageIsLoggedOnce(t *testing.T) {
	m := newMount(t)
	var up atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
		_, _ = w.Write([]byte(m.idp.JWKS(t)))
	}))
	t.Cleanup(server.Close)
	m.write("issuers/far", map[string]any{
		"bound_issuer": "https://far.example", "bound_audiences": "https://vault.example",
		"jwks_url": server.URL, "allowed_addresses": "127.0.0.1/32",
	})
	wantLogged := func(text string, times int) {
		t.Helper()
		if got := strings.Count(m.log.String(), text); got != times {
			t.Errorf("%q is in the log %d times, want %d", text, got, times)
		}
	}
	refresh := func() { _, _ = m.request("update", "issuers/far/refresh", nil) }

	for range 3 {
		refresh()
	}
	wantLogged("cannot fetch the keys of an issuer", 1)
	wantLogged("can be fetched again", 0)
	up.Store(true)
	for range 3 {
		refresh()
	}
	wantLogged("can be fetched again", 1)
	up.Store(false)
	refresh()
	wantLogged("cannot fetch the keys of an issuer", 2)
}
