package issuer_test

import (
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// mount has an issuer with a prefix and one without.
func mount(t testing.TB) map[string]*issuer.Issuer {
	t.Helper()
	named := func(name, prefix string) *issuer.Issuer {
		return trusted(t, jwks(newKey("k1")), func(c *issuer.Config) { c.Name, c.SubjectPrefix = name, prefix })
	}
	return map[string]*issuer.Issuer{"github": named("github", "github:"), "corp": named("corp", ""), "odd": named("odd", "odd/")}
}

func TestSubject(t *testing.T) {
	all := mount(t)
	for _, c := range []struct{ issuer, sub, want string }{
		{"github", "alice", "github:alice"},
		{"github", "github:alice", "github:github:alice"},
		{"github", "entity:1", "github:entity:1"},
		{"odd", "alice", "odd/alice"},
		{"corp", "alice", "alice"},
		{"corp", "github", "github"},
		{"corp", "GitHub:alice", "GitHub:alice"},
		{"corp", "x-entity:1", "x-entity:1"},
	} {
		got, err := all[c.issuer].Subject(token.Claims{"sub": c.sub}, all)
		if err != nil || got != c.want {
			t.Errorf("%q of %s: got %q, %v, want %q", c.sub, c.issuer, got, err, c.want)
		}
	}
}

// An issuer with an empty prefix speaks for its own subjects alone.
func TestSubjectRefused(t *testing.T) {
	all := mount(t)
	for _, c := range []struct {
		name, issuer string
		sub          any
		rule, text   string
	}{
		{"another's prefix", "corp", "github:alice", "subject_prefix", `subject: "sub" claim begins with the prefix of the issuer "github"`},
		{"another's prefix alone", "corp", "github:", "subject_prefix", `subject: "sub" claim begins with the prefix of the issuer "github"`},
		{"another's odd prefix", "corp", "odd/x", "subject_prefix", `subject: "sub" claim begins with the prefix of the issuer "odd"`},
		{"a Vault entity", "corp", "entity:1", "subject_prefix", `subject: "sub" claim begins with the reserved prefix "entity:"`},
		{"a role", "corp", "role:orders", "subject_prefix", `subject: "sub" claim begins with the reserved prefix "role:"`},
		{"empty", "github", "", "sub", `subject: "sub" claim is missing or empty`},
		{"a number", "github", 1, "sub", `subject: "sub" claim must be a string`},
		{"null", "corp", nil, "sub", `subject: "sub" claim must be a string`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := all[c.issuer].Subject(token.Claims{"sub": c.sub}, all)
			if got != "" {
				t.Errorf("got %q beside the error", got)
			}
			wantDenied(t, err, denial.InvalidRequest, c.rule, c.text)
		})
	}
	_, err := all["github"].Subject(token.Claims{}, all)
	wantDenied(t, err, denial.InvalidRequest, "sub", `subject: "sub" claim is missing or empty`)
}
