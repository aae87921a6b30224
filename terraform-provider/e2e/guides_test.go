//go:build e2e

package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/hashicorp/vault/api"
)

// guides are the configurations of the guides, with the variables that their
// readers fill in.
var guides = map[string]func(t *testing.T, mount string) map[string]string{
	"first-role": func(*testing.T, string) map[string]string {
		return map[string]string{"idp_url": "https://idp.example.com", "subject": "ci-runner"}
	},
	"ci": func(*testing.T, string) map[string]string {
		return map[string]string{"pipelines": `{deploy = {repository_id = "123", repository_owner_id = "45", audience = "https://deploy.example.com"}}`}
	},
	"on-behalf-of": func(*testing.T, string) map[string]string {
		return map[string]string{
			"users_issuer": "https://login.example.com", "shop_entity_id": "5f0b6f0e-0000-4000-8000-000000000001",
			"orders_entity_id": "5f0b6f0e-0000-4000-8000-000000000002",
		}
	},
	"ephemeral": otherVault,
}

func TestGuides(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(examples + "/guides")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		name := entry.Name()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if guides[name] == nil {
				t.Fatal("nothing fills in its variables")
			}
			mount := mounted(t, "")
			w := copied(t, "guides/"+name)
			variables := guides[name](t, mount)
			variables["mount"], variables["vault_address"], variables["disposable"] = mount, vault.Address(), "true"
			secrets := []string{}
			for variable, value := range variables {
				w.environment = append(w.environment, "TF_VAR_"+variable+"="+value)
				if strings.HasSuffix(variable, "_token") {
					secrets = append(secrets, value)
				}
			}
			w.run("validate")
			// The pages say that a first plan needs no Vault.
			alone := w
			alone.environment = append(slices.Clone(w.environment), "VAULT_ADDR=http://127.0.0.1:1", "VAULT_TOKEN=")
			alone.run("plan")
			guardrailsFirst(t, w.run("graph"))
			w.run("apply", "-auto-approve")
			w.unchanged()
			state := w.read("terraform.tfstate")
			if state == "" || slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(state, s) }) || strings.Contains(state, "eyJhbGci") {
				t.Error("there is no state, or it has a token")
			}
			w.run("apply", "-destroy", "-auto-approve")
			empty(t, mount)
		})
	}
}

// guardrailsFirst checks that every role depends on the configuration of its
// mount. Without that it is a matter of luck which is written first.
func guardrailsFirst(t *testing.T, graph string) {
	t.Helper()
	needs := map[string][]string{}
	// Terraform writes addresses alone, OpenTofu "[root] ADDRESS (expand)". Its
	// providers close after all resources, which says nothing of their order.
	edge := regexp.MustCompile(`"(?:\[root\] )?([^" ]+)(?: \(expand\))?" -> "(?:\[root\] )?([^" ]+)(?: \(expand\))?"`)
	for _, e := range edge.FindAllStringSubmatch(graph, -1) {
		needs[e[1]] = append(needs[e[1]], e[2])
	}
	var reaches func(from string) bool
	reaches = func(from string) bool {
		return from == "tokenexchange_config.this" || slices.ContainsFunc(needs[from], reaches)
	}
	roles := 0
	for node := range needs {
		if !strings.HasPrefix(node, "tokenexchange_role.") {
			continue
		}
		if roles++; !reaches(node) {
			t.Errorf("%s does not depend on tokenexchange_config.this", node)
		}
	}
	if roles == 0 {
		t.Errorf("there is no role in the graph:\n%s", graph)
	}
}

// TestAKeyThatIsNotDisposable shows what the pages say of destroying.
func TestAKeyThatIsNotDisposable(t *testing.T) {
	t.Parallel()
	mount := mounted(t, "")
	w := copied(t, "guides/first-role")
	w.environment = []string{
		"TF_VAR_idp_url=https://idp.example.com", "TF_VAR_subject=ci-runner", "TF_VAR_mount=" + mount, "TF_VAR_vault_address=" + vault.Address(),
	}
	w.run("apply", "-auto-approve")
	if out, err := run(t.Context(), w.dir, w.environment, "destroy", "-auto-approve"); err == nil || !strings.Contains(out, "Cannot delete the key") {
		t.Errorf("want a refusal: %v\n%s", err, out)
	} else {
		t.Log(out)
	}
	w.environment = append(w.environment, "TF_VAR_disposable=true")
	w.run("apply", "-auto-approve")
	w.run("destroy", "-auto-approve")
	empty(t, mount)
}

// otherVault makes a CI system, and a second Vault (another mount of the same)
// that knows the first by its JWKS.
func otherVault(t *testing.T, mount string) map[string]string {
	t.Helper()
	target, auth := mounted(t, ""), mount+"-jwt"
	if err := vault.Sys().EnableAuthWithOptionsWithContext(t.Context(), auth, &api.EnableAuthOptions{Type: "jwt"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := vault.Sys().DisableAuth(auth); err != nil {
			t.Error(err)
		}
		empty(t, target)
	})
	policy := `path "` + target + `/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "auth/token/create" { capabilities = ["update"] }`
	if err := vault.Sys().PutPolicyWithContext(t.Context(), auth, policy); err != nil {
		t.Fatal(err)
	}
	issuer := vault.Address() + "/v1/" + mount
	write(t, "auth/"+auth+"/config", map[string]any{"jwks_url": issuer + "/.well-known/keys", "bound_issuer": issuer})
	write(t, "auth/"+auth+"/role/terraform", map[string]any{
		"role_type": "jwt", "user_claim": "sub", "bound_audiences": vault.Address(), "bound_subject": "ci:project:42", "token_policies": auth,
	})
	keys, token := ciToken(t, vault.Address())
	return map[string]string{
		"ci_issuer": "https://ci.example.com", "ci_jwks": keys, "ci_subject": "project:42", "ci_token": token,
		"target_address": vault.Address(), "target_auth_mount": auth, "target_mount": target,
	}
}

// ciToken is a token of a CI system, and the keys that it is verified with.
func ciToken(t *testing.T, audience string) (keys, token string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "ci"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err = jwt.Signed(signer).Claims(map[string]any{
		"iss": "https://ci.example.com", "sub": "project:42", "aud": audience,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "ci", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(set), token
}

// TestGuidesPolicy does all that the provider can with a token that has the policy
// of its page, and no other.
func TestGuidesPolicy(t *testing.T) {
	t.Parallel()
	page := regexp.MustCompile("(?s)\n## Policy\n.*?```hcl\n(.*?)```").FindStringSubmatch(source(t, "../docs/index.md"))
	if page == nil {
		t.Fatal("the page has no policy")
	}
	mount := mounted(t, "")
	if err := vault.Sys().PutPolicyWithContext(t.Context(), mount, strings.ReplaceAll(page[1], "token-exchange/", mount+"/")); err != nil {
		t.Fatal(err)
	}
	secret, err := vault.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{Policies: []string{mount}, TTL: "10m"})
	if err != nil {
		t.Fatal(err)
	}
	keys, token := ciToken(t, "https://vault.example.com")
	w := workspace{t: t, dir: t.TempDir(), environment: []string{
		"VAULT_TOKEN=" + secret.Auth.ClientToken, "TERRAFORM_VAULT_SKIP_CHILD_TOKEN=false",
		"TF_VAR_mount=" + mount, "TF_VAR_keys=" + keys, "TF_VAR_token=" + token,
	}}
	w.add("main.tf", requirement+policyUser)
	clean := func(out string) {
		t.Helper()
		// A lease that cannot be revoked is a warning.
		if strings.Contains(out, "permission denied") {
			t.Error(out)
		}
	}
	clean(w.run("apply", "-auto-approve"))
	// The role has to be updated, and the token is exchanged in the plan as well.
	clean(w.run("apply", "-auto-approve", "-var", "ttl=4m"))
	if left, err := vault.Logical().ListWithContext(t.Context(), "sys/leases/lookup/"+mount+"/exchange/deploy"); err != nil || left != nil {
		t.Errorf("leases are left: %v %v", left, err)
	}
	// Few products know actions yet.
	limited, err := vault.Clone()
	if err != nil {
		t.Fatal(err)
	}
	limited.SetToken(secret.Auth.ClientToken)
	if _, err := limited.Logical().WriteWithContext(t.Context(), mount+"/keys/main/rotate", nil); err == nil || !strings.Contains(err.Error(), "publication_lead: ") {
		t.Errorf("the engine would refuse a rotation for its own reason: %v", err)
	}
	clean(w.run("apply", "-destroy", "-auto-approve", "-var", "ttl=4m"))
}

const policyUser = `
variable "mount" { type = string }
variable "keys" { type = string }
variable "ttl" { default = "5m" }
variable "token" {
  type      = string
  ephemeral = true
}
resource "tokenexchange_key" "main" {
  mount             = var.mount
  name              = "main"
  revoke_on_destroy = true
}
resource "tokenexchange_config" "this" {
  mount             = var.mount
  issuer            = "https://vault.example.com/v1/tx"
  default_key       = tokenexchange_key.main.name
  allowed_audiences = ["https://*.example.com"]
}
resource "tokenexchange_issuer" "ci" {
  mount           = var.mount
  name            = "ci"
  bound_issuer    = "https://ci.example.com"
  jwks            = var.keys
  bound_audiences = ["https://vault.example.com"]
}
resource "tokenexchange_role" "deploy" {
  mount             = var.mount
  name              = "deploy"
  issuers           = [tokenexchange_issuer.ci.name]
  bound_subject     = "project:42"
  allowed_audiences = ["https://orders.example.com"]
  default_audience  = "https://orders.example.com"
  ttl               = var.ttl
  depends_on        = [tokenexchange_config.this]
}
ephemeral "tokenexchange_token" "deploy" {
  mount         = var.mount
  mount_id      = tokenexchange_role.deploy.role_id
  role          = "deploy"
  subject_token = var.token
}
provider "tokenexchange" {
  alias = "consumer"
  headers {
    name  = "X-Token"
    value = ephemeral.tokenexchange_token.deploy.access_token
  }
}
data "tokenexchange_jwks" "keys" {
  provider   = tokenexchange.consumer
  mount      = var.mount
  depends_on = [tokenexchange_role.deploy]
}
data "tokenexchange_keys" "all" {
  mount      = var.mount
  depends_on = [tokenexchange_role.deploy]
}
data "tokenexchange_issuers" "all" {
  mount      = var.mount
  depends_on = [tokenexchange_role.deploy]
}
data "tokenexchange_roles" "all" {
  mount      = var.mount
  depends_on = [tokenexchange_role.deploy]
  lifecycle {
    postcondition {
      condition     = contains(self.names, "deploy")
      error_message = "the role is not listed"
    }
  }
}
`

// TestModuleTest runs the test of a module, as the documentation shows it.
func TestModuleTest(t *testing.T) {
	t.Parallel()
	w := copied(t, "testing")
	mount := mounted(t, "")
	w.environment = []string{"TF_VAR_mount=" + mount}
	w.run("get") // the modules of the tests; the provider is not in a registry
	out := w.run("test")
	if !strings.Contains(out, "6 passed, 0 failed.") {
		t.Errorf("not all have passed:\n%s", out)
	}
	empty(t, mount)
}
