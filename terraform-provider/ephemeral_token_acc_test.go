//go:build e2e

package provider

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
	"github.com/hashicorp/terraform-plugin-testing/tfversion"
)

// since110 skips where Terraform has no ephemeral resources.
var since110 = []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_10_0)}

// since111 skips where Terraform has no write-only attributes.
var since111 = []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_11_0)}

// exchangeOf is a configuration that exchanges the variable "subject".
func (m *mount) exchangeOf(arguments string) string {
	return fmt.Sprintf(`
variable "subject" {
  type      = string
  ephemeral = true
}
ephemeral "tokenexchange_token" "t" {
  mount         = %q
  subject_token = var.subject
  %s
}
`, m.path, arguments)
}

func TestAccTokenIsWhatWasAskedFor(t *testing.T) {
	m := newMount(t)
	t.Setenv("TF_VAR_subject", m.subjectToken()+"\n")
	data := func(name string) tfjsonpath.Path { return tfjsonpath.New("data").AtMapKey(name) }
	text := func(pattern string) knownvalue.Check { return knownvalue.StringRegexp(regexp.MustCompile(pattern)) }
	is := func(name string, check knownvalue.Check) statecheck.StateCheck {
		return statecheck.ExpectKnownValue("echo.t", data(name), check)
	}
	before := time.Now()
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: providers(nil), TerraformVersionChecks: since110,
		Steps: []resource.TestStep{{
			Config: m.exchangeOf(`
  role               = "deploy"
  subject_token_type = provider::tokenexchange::token_type_uri("jwt")
  audience           = ["https://orders.example"]
  scope              = ["write", "read"]
  ttl                = "90s"`) + `
provider "echo" { data = ephemeral.tokenexchange_token.t }
resource "echo" "t" {}`,
			ConfigStateChecks: []statecheck.StateCheck{
				is("issued_token_type", knownvalue.StringExact(typeAccessToken)), is("token_type", knownvalue.StringExact("Bearer")),
				is("expires_in", knownvalue.Int64Exact(90)), is("subject", knownvalue.StringExact("ci:alice")),
				is("granted_scope", knownvalue.SetExact([]knownvalue.Check{knownvalue.StringExact("read"), knownvalue.StringExact("write")})),
				is("granted_audience", knownvalue.SetExact([]knownvalue.Check{knownvalue.StringExact(audience)})),
				is("act", knownvalue.Null()), is("jti", text(`.{16,}`)), is("txn", text(`.{16,}`)), is("access_token", text(`^eyJ`)),
				is("expires_at", knownvalue.StringFunc(func(v string) error {
					expires, err := time.Parse(time.RFC3339, v)
					if left := expires.Sub(before); err != nil || left < 80*time.Second || left > 3*time.Minute {
						return fmt.Errorf("%s: %w", v, err)
					}
					return nil
				})),
			},
		}},
	})
}

// uses is a consumer of the token.
const uses = `
provider "sink" { token = ephemeral.tokenexchange_token.t.access_token }
resource "sink_thing" "s" { token_wo = ephemeral.tokenexchange_token.t.access_token }
`

// A token can be used while Terraform needs it, and a leased one no longer.
func TestAccTokenIsRevokedInTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		role   block
		leased bool
	}{
		"leased": {nil, true}, "unleased": {block{"generate_lease": false}, false}, "opaque": {block{"format": "opaque"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			m, leased := newMount(t), c.leased
			m.role("r", c.role)
			t.Setenv("TF_VAR_subject", m.subjectToken())
			tokens := map[string]bool{}
			resource.Test(t, resource.TestCase{
				ProtoV6ProviderFactories: providers(func(token string) {
					if !m.active(token) {
						t.Error("a token is not active while it is used")
					}
					tokens[token] = true
				}),
				TerraformVersionChecks: since111,
				Steps:                  []resource.TestStep{{Config: m.exchangeOf(`role = "r"`) + uses}},
			})
			if len(tokens) < 2 {
				t.Errorf("%d tokens were used: the plan and the apply have one each", len(tokens))
			}
			for token := range tokens {
				if m.active(token) == leased {
					t.Errorf("after the run a token is active: %t", !leased)
				}
			}
		})
	}
}

func TestAccTokenWaitsForUnknownInputs(t *testing.T) {
	m := newMount(t)
	t.Setenv("TF_VAR_subject", m.subjectToken())
	for _, argument := range []string{"role = terraform_data.later.output", "role = \"deploy\"\n  mount_id = terraform_data.later.id"} {
		var tokens []string
		resource.Test(t, resource.TestCase{
			ProtoV6ProviderFactories: providers(func(token string) { tokens = append(tokens, token) }), TerraformVersionChecks: since111,
			Steps: []resource.TestStep{{Config: m.exchangeOf(argument) + uses + `
resource "terraform_data" "later" { input = "deploy" }`}},
		})
		if len(tokens) < 2 || tokens[0] != "unknown" || tokens[1] == "unknown" {
			t.Errorf("%s: %d tokens; the plan must have an unknown one, and the apply a real one", argument, len(tokens))
		}
	}
}

// words matches a text however the command line wraps it.
func words(text string) *regexp.Regexp {
	var parts []string
	for word := range strings.FieldsSeq(text) {
		parts = append(parts, regexp.QuoteMeta(word))
	}
	return regexp.MustCompile(strings.Join(parts, `[\s│]+`))
}

func TestAccTokenIsRefused(t *testing.T) {
	m := newMount(t)
	t.Setenv("TF_VAR_subject", m.subjectToken())
	root := m.client.Token()
	nothing := m.limited(`path "sys/leases/revoke" { capabilities = ["update"] }`)
	for name, c := range map[string]struct{ token, config, want string }{
		"an audience": {root, m.exchangeOf(`role = "deploy"
  audience = ["https://billing.example"]`), m.path + `/exchange/deploy in Vault: invalid_target: allowed_audiences: the role "deploy" does not allow the audience ["https://billing.example"]`},
		"a role":     {root, m.exchangeOf(`role = "none"`), `invalid_request: role:`},
		"a mount":    {root, strings.ReplaceAll(m.exchangeOf(`role = "deploy"`), m.path, "not-there"), "There is nothing at this path: check that the engine is mounted there"},
		"a policy":   {nothing, m.exchangeOf(`role = "deploy"`), `permission denied The token of the provider needs a policy with path "` + m.path + `/exchange/deploy" { capabilities = ["update"] }`},
		"a type":     {root, m.exchangeOf("role = \"deploy\"\n subject_token_type = \"jwt\""), `subject_token_type: ["jwt"] is not supported: use one of ["urn:ietf:params:oauth:token-type:jwt",`},
		"at apply":   {root, m.exchangeOf("role = terraform_data.x.output") + `resource "terraform_data" "x" { input = "a/b" }`, "Attribute role must consist of letters, digits, _, - and ., and begin and end"},
		"of no form": {root, m.exchangeOf("role = \"deploy\"\n ttl = terraform_data.x.output") + `resource "terraform_data" "x" { input = "soon" }`, "ttl: is not a duration: use 5m, 1h30m or a number of seconds"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("VAULT_TOKEN", c.token)
			resource.Test(t, resource.TestCase{
				ProtoV6ProviderFactories: providers(nil), TerraformVersionChecks: since111,
				Steps: []resource.TestStep{{Config: c.config + uses, ExpectError: words(c.want)}},
			})
		})
	}
}

// What the client refuses, the engine refuses in the same words.
func TestAccTokenIsRefusedInTheWordsOfTheEngine(t *testing.T) {
	m := newMount(t)
	r := newRPC(t, nil)
	for name, config := range map[string]block{
		"a type without a token":  {"subject_token_type": typeJWT},
		"a type without an actor": {"subject_token": m.subjectToken(), "actor_token_type": typeJWT},
		"an actor without a type": {"subject_token": m.subjectToken(), "actor_token": m.subjectToken()},
		"a type":                  {"subject_token": m.subjectToken(), "subject_token_type": "jwt"},
		"a type of an actor":      {"subject_token": m.subjectToken(), "actor_token": m.subjectToken(), "actor_token_type": "jwt"},
		"a type not issued":       {"subject_token": m.subjectToken(), "requested_token_type": typeIDToken},
		"no duration":             {"subject_token": m.subjectToken(), "ttl": "soon"},
		"a negative duration":     {"subject_token": m.subjectToken(), "ttl": "-5m"},
	} {
		config["mount"], config["role"] = m.path, "deploy"
		ours := r.validate(config)
		_, _, theirs := r.open(config)
		if len(ours) != 1 || len(theirs) != 1 {
			t.Errorf("%s: ours %q, theirs %q", name, ours, theirs)
			continue
		}
		if reason := strings.SplitN(ours[0], ": ", 3)[2]; !strings.Contains(theirs[0], "invalid_request: "+reason) {
			t.Errorf("%s: ours %q, theirs %q", name, ours, theirs)
		}
	}
}

func TestAccTokenCloses(t *testing.T) {
	m := newMount(t)
	config := block{"mount": m.path, "role": "deploy", "subject_token": m.subjectToken()}
	open := func(t *testing.T) (r *rpc, token block, private []byte) {
		r = newRPC(t, nil)
		token, private, diags := r.open(config)
		same(t, "open", diags)
		return r, token, private
	}
	t.Run("twice", func(t *testing.T) {
		r, token, private := open(t)
		same(t, "close", r.close(private))
		if m.active(token["access_token"].(string)) {
			t.Error("the token is still active")
		}
		same(t, "close again", r.close(private))
	})
	t.Run("without permission", func(t *testing.T) {
		t.Setenv("VAULT_TOKEN", m.limited(`path "`+m.path+`/exchange/deploy" { capabilities = ["update"] }`))
		r, token, private := open(t)
		diags := r.close(private)
		want := fmt.Sprintf("The token of the provider needs a policy with\n\n  path \"sys/leases/revoke\" { capabilities = [\"update\"] }\n\n"+
			"The token with the jti %q was not revoked: it is valid until %s. "+
			"If its short life is enough, set generate_lease = false in the role \"deploy\" instead: its tokens are not leased then.", token["jti"], token["expires_at"])
		if len(diags) != 1 || !strings.HasPrefix(diags[0], "warning: Cannot revoke the lease of the token: ") || !strings.HasSuffix(diags[0], want) {
			t.Errorf("got %q, want %q", diags, want)
		}
		if !m.active(token["access_token"].(string)) {
			t.Error("the warning says that the token is valid, and it is not")
		}
	})
	t.Run("without the mount", func(t *testing.T) {
		r, _, private := open(t)
		if err := m.client.Sys().UnmountWithContext(t.Context(), m.path); err != nil {
			t.Fatal(err)
		}
		same(t, "close", r.close(private))
	})
}
