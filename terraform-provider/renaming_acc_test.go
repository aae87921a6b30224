//go:build e2e

package provider

import (
	"fmt"
	"strings"
	"testing"
)

// renamed is a configuration of an issuer, a role that accepts it, and a client of
// that role.
func (m *mount) renamed(issuer, role string) string {
	return fmt.Sprintf(`
resource "tokenexchange_issuer" "i" {
  mount           = %[1]q
  name            = %[2]q
  bound_issuer    = "https://idp.example"
  jwks_url        = "https://idp.example/keys"
  bound_audiences = ["https://vault.example"]
}
resource "tokenexchange_role" "r" {
  mount             = %[1]q
  name              = %[3]q
  issuers           = [tokenexchange_issuer.i.name]
  bound_subject     = "alice"
  allowed_audiences = [%[4]q]
  generate_lease    = false
  lifecycle { create_before_destroy = true }
}
resource "tokenexchange_client" "c" {
  mount       = %[1]q
  name        = "c"
  auth_method = "client_secret_basic"
  role        = tokenexchange_role.r.name
}`, m.path, issuer, role, audience)
}

// What index.md says of renaming: a role of a client is made before the old one goes,
// and an issuer goes with the roles that accept it.
func TestAccRenaming(t *testing.T) {
	m := newMount(t)
	tf := newCLI(t, m.renamed("one", "first"))
	apply := []string{"apply", "-no-color", "-auto-approve"}
	tf.says("apply", "3 added", apply...)

	tf.write(m.renamed("one", "second"))
	tf.says("role", "1 added, 1 changed, 1 destroyed", apply...)
	if m.read("roles/first") != nil || m.read("clients/c")["role"] != "second" {
		t.Error("the role is not renamed")
	}

	tf.write(strings.ReplaceAll(m.renamed("two", "second"), "lifecycle { create_before_destroy = true }", ""))
	if tf.run("issuer", apply...) == nil {
		t.Error("an issuer is renamed that a role accepts")
	}
	tf.says("both", "destroyed", append(apply, "-replace=tokenexchange_role.r", "-replace=tokenexchange_client.c")...)
	if m.read("issuers/one") != nil || m.read("issuers/two") == nil || m.read("roles/second") == nil {
		t.Error("the issuer is not renamed")
	}
	tf.says("plan", "No changes", "plan", "-no-color")
}

// What index.md says of a destruction that a plan refuses.
func TestAccDestroyWithoutRefresh(t *testing.T) {
	m := newMount(t)
	if _, err := m.client.Logical().DeleteWithContext(t.Context(), m.path+"/roles/deploy"); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
resource "tokenexchange_config" "c" {
  mount        = %q
  issuer       = "https://vault.example/v1/tx"
  jwks_max_age = "1s"
`, m.path)
	tf := newCLI(t, config+"force = true\n}")
	tf.says("apply", "1 added", "apply", "-no-color", "-auto-approve")
	tf.write(config + "}")
	tf.says("unforced", "1 changed", "apply", "-no-color", "-auto-approve")
	m.write("config", block{"issuer": "https://vault.example/v1/other", "force": true})
	destroy := []string{"destroy", "-no-color", "-auto-approve"}
	if tf.run("refused", destroy...) == nil {
		t.Error("the plan refuses nothing")
	}
	tf.says("destroy", "1 destroyed", append(destroy, "-refresh=false")...)
	if m.read("config") != nil {
		t.Error("the configuration is there")
	}
}
