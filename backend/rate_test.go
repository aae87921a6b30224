package backend_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// A subject that asks for too much is turned away at both entrances; another is
// not.
func TestRateLimitOfASubject(t *testing.T) {
	m, gateway, _ := newClients(t)
	m.write("roles/unleased", map[string]any{"rate_limit": 2, "bound_subject": "", "bound_audiences": "https://vault.example"})
	as := func(subject string) map[string]any {
		return m.exchangeForm(map[string]any{"subject_token": m.idp.Sign(t, m.idp.Claims(m.now, map[string]any{"sub": subject}))})
	}
	for range 2 {
		if got := m.post("token", as("ci-runner"), gateway); got.status != 200 {
			t.Fatalf("got %d %s", got.status, got.raw)
		}
	}
	got := m.post("token", as("ci-runner"), gateway)
	if got.status != http.StatusTooManyRequests || got.body["error"] != "slow_down" || got.headers["Retry-After"][0] != "30" {
		t.Errorf("got %d %s %v", got.status, got.raw, got.headers)
	}
	_, err := m.request(logical.UpdateOperation, "exchange/unleased", map[string]any{"subject_token": as("ci-runner")["subject_token"]})
	coded, ok := errors.AsType[logical.HTTPCodedError](err)
	if !ok || coded.Code() != http.StatusTooManyRequests {
		t.Errorf("at the other entrance: %v", err)
	}
	if got := m.post("token", as("another"), gateway); got.status != 200 {
		t.Errorf("another subject: %d %s", got.status, got.raw)
	}
	m.now = m.now.Add(30 * time.Second)
	if got := m.post("token", as("ci-runner"), gateway); got.status != 200 {
		t.Errorf("half a minute later: %d %s", got.status, got.raw)
	}
}

func TestRateLimitOfAClient(t *testing.T) {
	m, gateway, api := newClients(t)
	m.write("clients/gateway", map[string]any{"rate_limit": 1})
	unknown := map[string]any{"token": "a.b.c"}
	for i, want := range []int{200, 429} {
		if got := m.post("introspect", unknown, gateway); got.status != want {
			t.Errorf("request %d: got %d %s", i, got.status, got.raw)
		}
	}
	if got := m.post("introspect", unknown, api); got.status != 200 {
		t.Errorf("another client: %d %s", got.status, got.raw)
	}
	// Who does not prove to be the client uses up nothing of it.
	m.now = m.now.Add(time.Minute)
	for range 3 {
		m.post("introspect", unknown, basic("gateway", "wrong"))
	}
	if got := m.post("introspect", unknown, gateway); got.status != 200 {
		t.Errorf("after strangers: %d %s", got.status, got.raw)
	}
}
