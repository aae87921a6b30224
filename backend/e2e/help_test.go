//go:build e2e

package e2e_test

import (
	"encoding/json"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// operations are all that the mount does, by path and method.
const operations = `
/.well-known/keys GET token-exchange-read-jwks
/.well-known/oauth-authorization-server GET token-exchange-read-oauth-authorization-server
/.well-known/openid-configuration GET token-exchange-read-openid-configuration
/clients/ GET token-exchange-list-clients
/clients/{name} DELETE token-exchange-delete-client
/clients/{name} GET token-exchange-read-client
/clients/{name} POST token-exchange-write-client
/clients/{name}/refresh POST token-exchange-refresh-client
/clients/{name}/secret POST token-exchange-generate-client-secret
/clients/{name}/status GET token-exchange-read-client-status
/config DELETE token-exchange-delete-configuration
/config GET token-exchange-read-configuration
/config POST token-exchange-configure
/exchange POST token-exchange-exchange
/exchange/{role} POST token-exchange-exchange-with-role
/explain/{role} POST token-exchange-explain
/introspect POST token-exchange-introspect
/issuers/ GET token-exchange-list-issuers
/issuers/{name} DELETE token-exchange-delete-issuer
/issuers/{name} GET token-exchange-read-issuer
/issuers/{name} POST token-exchange-write-issuer
/issuers/{name}/refresh POST token-exchange-refresh-issuer
/issuers/{name}/status GET token-exchange-read-issuer-status
/keys/ GET token-exchange-list-keys
/keys/{name} DELETE token-exchange-delete-key
/keys/{name} GET token-exchange-read-key
/keys/{name} POST token-exchange-write-key
/keys/{name}/revoke POST token-exchange-revoke-key
/keys/{name}/rotate POST token-exchange-rotate-key
/metrics GET token-exchange-read-metrics
/oauth/introspect POST token-exchange-introspect-oauth
/oauth/revoke POST token-exchange-revoke-oauth
/oauth/token POST token-exchange-exchange-oauth
/revoke POST token-exchange-revoke
/roles/ GET token-exchange-list-roles
/roles/{name} DELETE token-exchange-delete-role
/roles/{name} GET token-exchange-read-role
/roles/{name} POST token-exchange-write-role`

func TestOpenAPIDescribesEveryOperation(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	document := openAPI(t, m)
	var got []string
	for path, item := range document["paths"].(data) {
		path, ours := strings.CutPrefix(path, "/"+m.path)
		if !ours {
			continue
		}
		if text, _ := item.(data)["description"].(string); text == "" {
			t.Errorf("%s has no description", path)
		}
		for method, operation := range item.(data) {
			o, ok := operation.(data)
			if !ok || method == "parameters" {
				continue
			}
			got = append(got, path+" "+strings.ToUpper(method)+" "+o["operationId"].(string))
			if text, _ := o["summary"].(string); text == "" {
				t.Errorf("%s %s has no summary", method, path)
			}
		}
		wantDescriptions(t, document, path, item)
	}
	slices.Sort(got)
	wantSame(t, "operations", "\n"+strings.Join(got, "\n"), operations)
}

func openAPI(t *testing.T, m *mount) data {
	t.Helper()
	resp, err := m.client.Logical().ReadRaw("sys/internal/specs/openapi")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var document data
	if err := json.NewDecoder(resp.Body).Decode(&document); err != nil {
		t.Fatal(err)
	}
	return document
}

// wantDescriptions looks for parameters, and fields of requests and responses,
// that say nothing of themselves.
func wantDescriptions(t *testing.T, document data, where string, node any) {
	t.Helper()
	switch node := node.(type) {
	case []any:
		for _, item := range node {
			wantDescriptions(t, document, where, item)
		}
	case data:
		if ref, ok := node["$ref"].(string); ok {
			name := strings.TrimPrefix(ref, "#/components/schemas/")
			if !strings.HasPrefix(name, "TokenExchange") {
				t.Errorf("%s: a schema of the name %s", where, name)
			}
			wantDescriptions(t, document, where+" "+name, document["components"].(data)["schemas"].(data)[name])
			return
		}
		if name, ok := node["name"].(string); ok && node["in"] != nil {
			wantText(t, where+" parameter "+name, node)
		}
		properties, _ := node["properties"].(data)
		for name, field := range properties {
			wantText(t, where+" field "+name, field.(data))
		}
		for _, name := range slices.Sorted(maps.Keys(node)) {
			if name != "properties" {
				wantDescriptions(t, document, where, node[name])
			}
		}
	}
}

func wantText(t *testing.T, where string, node data) {
	t.Helper()
	if text, _ := node["description"].(string); strings.TrimSpace(text) == "" {
		t.Errorf("%s has no description", where)
	}
}

func TestPathHelpExplainsEveryPath(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	for _, path := range []string{
		"config", "keys", "keys/x", "keys/x/rotate", "keys/x/revoke", "issuers", "issuers/x", "issuers/x/status", "issuers/x/refresh", "roles", "roles/x",
		"exchange", "exchange/x", "explain/x", "introspect", "revoke", "metrics", "clients", "clients/x", "clients/x/secret", "clients/x/status", "clients/x/refresh", "oauth/token", "oauth/introspect", "oauth/revoke", ".well-known/keys", ".well-known/oauth-authorization-server", ".well-known/openid-configuration",
	} {
		help, err := m.client.Help(m.path + "/" + path)
		if err != nil {
			t.Error(err)
			continue
		}
		synopsis, description, found := strings.Cut(help.Help, "## DESCRIPTION")
		if !found || len(description) < 40 || len(synopsis) < 40 || strings.Contains(help.Help, "<no ") {
			t.Errorf("path-help %s:\n%s", path, help.Help)
		}
	}

	// As a person calls it.
	cmd := exec.CommandContext(t.Context(), vaultBin, "path-help", m.path+"/")
	cmd.Env = append(cmd.Environ(), "VAULT_ADDR="+m.vault.addr, "VAULT_TOKEN="+m.client.Token())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, part := range []string{"OAuth 2.0 token exchange authorization", "roles/(?P<name>", "Say who may exchange a token, for what, and how."} {
		if !strings.Contains(string(out), part) {
			t.Errorf("path-help of the mount lacks %q:\n%s", part, out)
		}
	}
}

func TestListsHaveDetails(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.trust("ci")
	m.trust("other")
	m.role("orders", "ci", nil)
	kid := activeKeyID(t, m)
	for path, want := range map[string]data{
		"keys": {"keys": []string{"main"}, "key_info": data{"main": data{"algorithm": "ES256", "active_kid": kid}}},
		"issuers": {"keys": []string{"ci", "other"}, "key_info": data{
			"ci": data{"type": "generic", "bound_issuer": "https://ci.example"}, "other": data{"type": "generic", "bound_issuer": "https://other.example"},
		}},
		"roles": {"keys": []string{"orders"}, "key_info": data{
			"orders": data{"subject_source": "token", "issuers": []string{"ci"}, "allowed_audiences": []string{orders}},
		}},
	} {
		wantJSON(t, path, m.list(path), toJSON(t, want))
	}
}
