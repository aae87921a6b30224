//go:build e2e

package provider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
	"github.com/hashicorp/terraform-plugin-testing/tfversion"
)

func TestAccRotateKey(t *testing.T) {
	m := newMount(t)
	r := newRPC(t, nil)
	active := func() (kid string) {
		secret, err := m.client.Logical().ReadWithContext(t.Context(), m.path+"/keys/main")
		if err != nil {
			t.Fatal(err)
		}
		v, _, _ := signers(secret)
		return v.KeyID
	}
	m.write("keys/slow", block{"publication_lead": "1h"})
	before := active()
	var progress []string
	eventually(t, func() error { // its successor has to be published for 2 s
		var diags []string
		if progress, diags = r.invoke(block{"mount": m.path, "name": "main"}); len(diags) > 0 {
			return fmt.Errorf("%q", diags)
		}
		return nil
	})
	after := active()
	if before == after || len(progress) != 2 || !strings.Contains(progress[1], fmt.Sprintf("signs with the kid %q now", after)) {
		t.Errorf("before %s, after %s: %q", before, after, progress)
	}
	_, diags := r.invoke(block{"mount": m.path, "name": "slow"})
	if len(diags) != 1 || !strings.Contains(diags[0], "/keys/slow/rotate in Vault: invalid_request: publication_lead: the successor of key \"slow\" may sign from ") {
		t.Errorf("got %q", diags)
	}
	_, diags = r.invoke(block{"mount": m.path, "name": "none"})
	same(t, "no key", diags, fmt.Sprintf(`error: Cannot rotate the key: %s/keys/none/rotate in Vault: invalid_request: name: the key "none" does not exist (at AttributeName("name"))`, m.path))
}

func TestAccJWKS(t *testing.T) {
	m := newMount(t)
	resp, err := http.Get(m.client.Address() + "/v1/" + m.path + "/.well-known/keys")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var served any
	if err := json.NewDecoder(resp.Body).Decode(&served); err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(served)
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
data "tokenexchange_jwks" "k" { mount = %q }
output "normal" { value = jsonencode(jsondecode(data.tokenexchange_jwks.k.keys_json)) }
output "thumbprints" { value = [for k in jsondecode(data.tokenexchange_jwks.k.keys_json).keys : provider::tokenexchange::jwk_thumbprint(jsonencode(k))] }`, m.path)
	thumb := knownvalue.StringRegexp(regexp.MustCompile(`^[\w-]{43}$`))
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: providers(nil), TerraformVersionChecks: []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_8_0)},
		Steps: []resource.TestStep{
			{
				Config: config,
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectKnownValue("data.tokenexchange_jwks.k", tfjsonpath.New("key_ids"), knownvalue.ListSizeExact(2)),
					statecheck.ExpectKnownOutputValue("normal", knownvalue.StringExact(string(document))),
					statecheck.ExpectKnownOutputValue("thumbprints", knownvalue.ListExact([]knownvalue.Check{thumb, thumb})),
				},
			},
			{Config: strings.ReplaceAll(config, m.path, "not-there"), ExpectError: words("not-there/.well-known/keys in Vault: there is no JWKS at this path")},
			{Config: strings.ReplaceAll(config, m.path, "secret"), ExpectError: words("secret/.well-known/keys in Vault: there is no JWKS at this path")},
		},
	})
}

// The result of a function is as secret as its argument.
func TestAccFunctionsOfSecrets(t *testing.T) {
	m := newMount(t)
	t.Setenv("TF_VAR_subject", m.subjectToken())
	const claims = `provider::tokenexchange::jwt_claims(var.subject)`
	config := func(kind, rest string) string {
		return fmt.Sprintf("variable \"subject\" {\n  type = string\n  %s = true\n}\n%s", kind, rest)
	}
	var got []string
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: providers(func(token string) { got = append(got, token) }), TerraformVersionChecks: since111,
		Steps: []resource.TestStep{
			{Config: config("ephemeral", `
provider "sink" { token = `+claims+`.sub }
resource "sink_thing" "s" { token_wo = `+claims+`.sub }`)},
			{Config: config("sensitive", `output "sub" { value = `+claims+`.sub }`), ExpectError: words("Output refers to sensitive values")},
			{
				Config:            config("sensitive", `output "exact" { value = nonsensitive(`+claims+`.exp == `+claims+`.iat + 600) }`),
				ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectKnownOutputValue("exact", knownvalue.Bool(true))},
			},
			{Config: config("ephemeral", `output "sub" { value = `+claims+`.sub }`), ExpectError: regexp.MustCompile(words("Ephemeral value not allowed").String() + "|" + words("Output does not allow ephemeral value").String())},
			{
				Config: `
resource "terraform_data" "later" { input = "jwt" }
output "uri" { value = provider::tokenexchange::token_type_uri(terraform_data.later.output) }`,
				ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectKnownOutputValue("uri", knownvalue.StringExact(typeJWT))},
			},
			{Config: `output "uri" { value = provider::tokenexchange::token_type_uri(null) }`, ExpectError: words("argument must not be null")},
			{Config: `output "null" { value = provider::tokenexchange::jwt_claims("e30.` + "eyJhIjpudWxsLCJsIjpbMSxudWxsXX0" + `.x") }`, ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownOutputValue("null", knownvalue.ObjectExact(map[string]knownvalue.Check{
					"a": knownvalue.Null(), "l": knownvalue.TupleExact([]knownvalue.Check{knownvalue.Int64Exact(1), knownvalue.Null()}),
				})),
			}},
		},
	})
	if len(got) == 0 || got[0] != "alice" {
		t.Errorf("the consumer got %q", got)
	}
}
