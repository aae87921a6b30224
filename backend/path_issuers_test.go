package backend_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
)

// A type sets its defaults once: what is emptied later stays empty.
func TestIssuerTypes(t *testing.T) {
	m := newMount(t)
	resp := m.write("issuers/hub", map[string]any{"type": "github", "bound_audiences": "https://github.com/acme"})
	wantEqual(t, "warnings", resp.Warnings, []string{
		`bound_audiences has "https://github.com/acme", the default audience of every workflow of that owner: ask for an audience of your own`,
	})
	m.restart()
	got := m.read("issuers/hub")
	for field, want := range map[string]any{
		"type": "github", "bound_issuer": "https://token.actions.githubusercontent.com", "oidc_discovery_url": "https://token.actions.githubusercontent.com",
		"allowed_algorithms": []string{"RS256"}, "required_claims": []string{}, "subject_prefix": "hub:",
	} {
		wantEqual(t, field, got[field], want)
	}

	cluster := map[string]any{"type": "kubernetes", "bound_issuer": "https://cluster.example", "jwks_url": "https://cluster.example/keys", "bound_audiences": "ours"}
	m.write("issuers/cluster", cluster)
	wantEqual(t, "required_claims", m.read("issuers/cluster")["required_claims"], []string{"kubernetes.io"})
	m.write("issuers/cluster", map[string]any{"required_claims": ""})
	m.write("issuers/cluster", cluster)
	wantEqual(t, "required_claims that were emptied", m.read("issuers/cluster")["required_claims"], []string{})
	m.wantRefused(logical.UpdateOperation, "issuers/cluster", map[string]any{"type": "spiffe"},
		`invalid_request: bound_issuer: "https://cluster.example" is not a trust domain such as spiffe://example.org, in lower case and without a path`)

	list := m.do(logical.ListOperation, "issuers/", nil).Data["key_info"].(map[string]any)
	wantEqual(t, "list", list["cluster"], map[string]any{"type": "kubernetes", "bound_issuer": "https://cluster.example"})
}

// storedSecret is the client secret as it is in storage.
func (m *mount) storedSecret(issuer string) string {
	m.t.Helper()
	entry, err := m.storage.Get(context.Background(), "issuer/"+issuer)
	if err != nil || entry == nil {
		m.t.Fatalf("%v, %v", entry, err)
	}
	var stored struct {
		Value struct {
			Secret string `json:"introspection_client_secret"`
		} `json:"value"`
	}
	if err := json.Unmarshal(entry.Value, &stored); err != nil {
		m.t.Fatal(err)
	}
	return stored.Value.Secret
}

// The secret is stored and never shown; it goes to the URL that it was given for.
func TestIntrospectionSecret(t *testing.T) {
	m := newMount(t)
	opaque := map[string]any{
		"bound_issuer": "https://opaque.example", "bound_audiences": "ours", "introspection_url": "https://opaque.example/introspect",
		"introspection_client_id": "vault", "introspection_client_secret": "hunter2",
	}
	m.write("issuers/opaque", opaque)
	m.write("issuers/opaque", map[string]any{"max_token_age": 60})
	m.restart()
	m.write("issuers/opaque", map[string]any{"max_token_age": 90})
	m.restart()
	if got := m.storedSecret("opaque"); got != "hunter2" {
		t.Errorf("stored %q", got)
	}
	got := m.read("issuers/opaque")
	wantEqual(t, "introspection_url", got["introspection_url"], "https://opaque.example/introspect")
	wantEqual(t, "introspection_client_id", got["introspection_client_id"], "vault")
	if shown := asJSON(t, got) + asJSON(t, m.read("issuers/opaque/status")) + m.log.String(); strings.Contains(shown, "hunter2") {
		t.Errorf("the secret is shown: %s", shown)
	}
	if _, ok := got["introspection_client_secret"]; ok {
		t.Error("a read has a field for the secret")
	}

	m.wantRefused(logical.UpdateOperation, "issuers/opaque", map[string]any{"introspection_url": "https://evil.example/introspect"},
		`invalid_request: introspection_client_secret: must be set with introspection_url, and again when that changes`)
	m.write("issuers/opaque", map[string]any{"introspection_url": "https://new.example/introspect", "introspection_client_secret": "hunter3"})
	if got := m.storedSecret("opaque"); got != "hunter3" {
		t.Errorf("stored %q", got)
	}
	m.write("issuers/opaque", map[string]any{"introspection_url": "", "introspection_client_id": "", "jwks_url": "https://opaque.example/keys"})
	if got := m.storedSecret("opaque"); got != "" {
		t.Errorf("without introspection_url %q is stored", got)
	}
}

// An issuer without keys has none to fetch, and is not asked for any.
func TestRefreshOfAnIssuerThatIsAsked(t *testing.T) {
	m := newMount(t)
	var asked atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) }))
	t.Cleanup(server.Close)
	m.write("issuers/opaque", map[string]any{
		"bound_issuer": "https://opaque.example", "bound_audiences": "ours", "introspection_url": server.URL, "allowed_addresses": "127.0.0.1/32",
		"introspection_client_id": "vault", "introspection_client_secret": "hunter2",
	})
	wantEqual(t, "keys", m.write("issuers/opaque/refresh", nil).Data["keys_held"], 0)
	if asked.Load() {
		t.Error("the issuer was asked")
	}
}

// An issuer is held against the roles that accept it, as a role is against its
// issuers.
func TestIssuerIsHeldAgainstItsRoles(t *testing.T) {
	m := newMount(t)
	m.write("roles/orders", map[string]any{"bound_subject": "", "bound_claims": map[string]any{"environment": "prod"}})
	for name, data := range map[string]map[string]any{
		"another URL":  {"bound_issuer": "https://token.actions.githubusercontent.com"},
		"another type": {"type": "github"},
	} {
		t.Run(name, func(*testing.T) {
			before := m.read("issuers/idp")
			m.wantRefused(logical.UpdateOperation, "issuers/idp", data, `invalid_request: bound_issuer: the role "orders" binds too little for what the issuer would be: `+
				`issuer "idp": every repository of the service can have such tokens, and the role binds none of ["sub", "repository", "repository_owner", "repository_id", "repository_owner_id"]: bind repository_id and repository_owner_id`)
			wantEqual(t, "the issuer", m.read("issuers/idp"), before)
		})
	}
}

// Whoever bound_actors names may come to be another when a prefix changes.
func TestChangeOfPrefixWarns(t *testing.T) {
	m := newMount(t)
	m.write("roles/delegating", delegating)
	resp := m.write("issuers/idp", map[string]any{"subject_prefix": "i:"})
	want := []string{`subject_prefix was "idp:" and is "i:": look at bound_actors of the roles delegating`}
	if resp == nil || !slices.Equal(resp.Warnings, want) {
		t.Errorf("got %v", resp)
	}
}
