package provider

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/vault/api"
)

// call is a request to Vault as a diagnostic tells of it.
type call struct {
	does       string            // "create the role", "read the JWKS"
	path       string            // Vault's, without /v1/
	namespace  string            // of the provider or the object; "" is the root namespace
	capability string            // what a policy needs for it
	wrote      bool              // something was sent that may have changed what is there
	attributes map[string]string // of the fields that a refusal may name
	sent       []secret          // that no diagnostic may repeat
	ends       time.Time         // when the session ends that it is made in; zero if it does not
}

// named are attributes that are spelt as the engine's fields are.
func named(names ...string) map[string]string {
	out := map[string]string{}
	for _, name := range names {
		out[name] = name
	}
	return out
}

// refusedField finds the field in a refusal of the engine: "invalid_request:
// FIELD: reason".
var refusedField = regexp.MustCompile(`invalid_request: ([a-z_]+): `)

// failed says what was tried, where, what came of it, and what helps.
func (c call) failed(err error) diag.Diagnostic {
	summary := "Cannot " + c.does
	text := cause(err, c.sent)
	detail := fmt.Sprintf("%s: %s", c.where(), text)
	if help := c.help(err); help != "" {
		detail += "\n\n" + help
	}
	if field := refusedField.FindStringSubmatch(text); field != nil && mayPointAt(c.attributes[field[1]]) {
		return diag.NewAttributeErrorDiagnostic(path.Root(c.attributes[field[1]]), summary, detail)
	}
	return diag.NewErrorDiagnostic(summary, detail)
}

// mayPointAt tells whether a diagnostic may be about an attribute. Terraform
// quotes the line that it points at, which must not be that of a secret.
func mayPointAt(attribute string) bool {
	return attribute != "" && !strings.HasSuffix(attribute, "_wo")
}

// quoted writes the words of a text as a list in HCL.
func quoted(words string) string {
	return `"` + strings.Join(strings.Fields(words), `", "`) + `"`
}

func (c call) help(err error) string {
	if _, ok := errors.AsType[*connectionError](err); ok {
		return "" // it says itself what helps
	}
	if e, ok := errors.AsType[*wireError](err); ok && e.status != 0 {
		return "" // the same
	}
	var response *api.ResponseError
	if !errors.As(err, &response) {
		return "No answer came from Vault. Check the address of the provider (VAULT_ADDR), TLS and the network."
	}
	if response.StatusCode == http.StatusServiceUnavailable && !isDown(response) {
		return ""
	}
	switch response.StatusCode {
	case http.StatusForbidden:
		return fmt.Sprintf("The token of the provider needs a policy with\n\n  path %q { capabilities = [%s] }", c.path, quoted(c.capability))
	case http.StatusNotFound:
		return "There is nothing at this path: check that the engine is mounted there, and that the namespace is right."
	case http.StatusServiceUnavailable:
		if c.wrote {
			return "Vault is sealed, or cannot answer now. Run this again when it is back: the next plan shows what was done."
		}
		return "Vault is sealed, or cannot answer now. Nothing was changed; run this again when it is back."
	default:
		return ""
	}
}

// isDown tells whether a 503 is about Vault. The engine has them as well, such as
// for an issuer that it cannot reach.
func isDown(response *api.ResponseError) bool {
	text := strings.ToLower(strings.Join(response.Errors, "; "))
	return !strings.HasPrefix(text, "temporarily_unavailable") &&
		(strings.Contains(text, "sealed") || strings.Contains(text, "standby") || strings.Contains(text, "not active"))
}
