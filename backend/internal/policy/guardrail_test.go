package policy_test

import (
	"strings"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
)

func TestGuardrail(t *testing.T) {
	allow := func(pattern, value string) {
		t.Helper()
		if !(policy.Guardrail{"urn:other", pattern}).Allows(value) {
			t.Errorf("%q does not allow %q", pattern, value)
		}
	}
	deny := func(pattern, value string) {
		t.Helper()
		if (policy.Guardrail{"urn:other", pattern}).Allows(value) {
			t.Errorf("%q allows %q", pattern, value)
		}
	}
	deny("https://a", "https://a.example")
	deny("https://*.example", "x-https://a.example")
	deny("a*", "ba")
	deny("*a", "ab")
	deny("aa*aa", "aaa")
	allow("https://a.example", "https://a.example")
	deny("https://a.example", "https://a.example/")
	deny("https://a.example", "https://A.example")
	allow("*", "")
	allow("*", "https://a.example/b?c#d")
	allow("https://a.example/*", "https://a.example/b/c")
	deny("https://a.example/*", "https://a.example")
	allow("https://*.example", "https://a.b.example")
	deny("https://*.example", "https://a.b.example.evil")
	deny("https://*.example", "https://evil/.example")
	deny("https://*.example", "https://evil?.example")
	deny("https://*.example", "https://evil#.example")
	allow("https://*.example/*", "https://a.example/b?c")
	deny("https://*.example/*", "https://evil/x.example/")
	deny("https://*@example", "https://a@b@example")
	allow("a*a*b", "aaab")
	deny("a*a*b", "ab")
	if (policy.Guardrail{}).Allows("") || policy.Guardrail(nil).Allows("x") {
		t.Error("no pattern allows something")
	}
}

// The cost of a comparison is bounded, whatever the text.
func TestGuardrailHasFewWildcards(t *testing.T) {
	err := policy.CheckGuardrail("allowed_audiences", []string{"a*b*c*d*"})
	if err == nil || err.Error() != `invalid_request: allowed_audiences: "a*b*c*d*" has more than 3 wildcards` {
		t.Errorf("got %v", err)
	}
	if (policy.Guardrail{"a*a*a*b"}).Allows(strings.Repeat("a", 512)) {
		t.Error("allowed")
	}
}
