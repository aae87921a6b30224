package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// subject holds the claims that every line of TestBoundClaims is held against.
const subject = `{
	"sub": "alice", "aud": ["vault", "other"], "env": "prod", "admin": true, "flag": "true", "zero": 0, "n": 42, "text": "42",
	"big": 9007199254740993, "half": 1.5, "one": 1.0, "null": null, "empty": "", "none": [],
	"groups": ["dev", "ops", 7, true, ["nested"], {"name": "x"}],
	"k8s": {"namespace": "web", "pod": {"name": "web-1"}, "a/b": "slash", "m~n": "tilde", "": "blank"},
	"https://idp.example/team": "blue"
}`

// What a reviewer should read: each line binds one claim.
func TestBoundClaims(t *testing.T) {
	how := policy.MatchString
	match := func(name string, want any) error {
		r := goodRole()
		r.BoundSubject, r.BoundClaims, r.BoundClaimsType = "", map[string]any{name: want}, how
		return r.Match(claims(subject), nil)
	}
	allow := func(name string, want any) {
		t.Helper()
		if err := match(name, want); err != nil {
			t.Errorf("%s = %#v: %s", name, want, err)
		}
	}
	deny := func(name string, want any) {
		t.Helper()
		wantDenied(t, match(name, want), denial.InvalidRequest, "bound_claims",
			fmt.Sprintf(`subject: claim %q does not have a value that the role "orders" is bound to`, name))
	}
	mistyped := func(name string, want any, is, binds string) {
		t.Helper()
		wantDenied(t, match(name, want), denial.InvalidRequest, "bound_claims",
			fmt.Sprintf(`subject: claim %q does not have a value that the role "orders" is bound to: it is %s, and the role binds %s`, name, is, binds))
	}
	missing := func(name string) {
		t.Helper()
		wantDenied(t, match(name, "x"), denial.InvalidRequest, "bound_claims",
			fmt.Sprintf(`subject: claim %q is missing and the role "orders" binds it`, name))
	}

	allow("env", "prod")
	allow("env", []any{"test", "prod"})
	deny("env", "test")
	deny("env", []any{"test", "dev"})
	deny("env", "PROD")
	deny("env", "pro")
	deny("env", "prod ")
	deny("env", "p*") // a pattern only where bound_claims_type says so
	missing("ENV")
	missing("stage")

	// Types must agree.
	allow("admin", true)
	deny("admin", false)
	mistyped("admin", "true", "a boolean", "text")
	mistyped("admin", 1.0, "a boolean", "a number")
	mistyped("admin", []any{nil}, "a boolean", "something else")
	allow("flag", "true")
	mistyped("flag", true, "text", "a boolean")
	deny("flag", []any{true, "no"})
	mistyped("zero", false, "a number", "a boolean")
	deny("null", false)
	deny("null", "null")
	deny("null", 0.0)
	mistyped("empty", false, "text", "a boolean")
	deny("none", "x")
	deny("k8s", "web")

	// Integers, in each form that a decoder gives them.
	allow("n", json.Number("42"))
	allow("n", 42.0)
	allow("n", 42)
	allow("n", int64(42))
	deny("n", 43.0)
	mistyped("n", "42", "a number", "text")
	mistyped("text", 42.0, "text", "a number")
	deny("half", 1.0)
	deny("half", 1.5)
	deny("half", json.Number("1.5"))
	deny("big", json.Number("9007199254740993")) // 2^53+1 may be another number
	deny("big", json.Number("9007199254740992"))
	deny("big", float64(1<<53))

	// One element of a list is enough.
	allow("groups", "dev")
	allow("groups", "ops")
	allow("groups", 7.0)
	allow("groups", true)
	allow("groups", []any{"admins", "ops"})
	deny("groups", "admins")
	deny("groups", "de")
	deny("groups", "nested")
	deny("groups", "x")

	// JSON pointers.
	allow("/env", "prod")
	allow("/k8s/namespace", "web")
	allow("/k8s/pod/name", "web-1")
	allow("/k8s/a~1b", "slash")
	allow("/k8s/m~0n", "tilde")
	allow("/k8s/", "blank")
	allow("/groups/0", "dev")
	allow("/groups/4/0", "nested")
	allow("/groups/5/name", "x")
	allow("https://idp.example/team", "blue") // not a pointer
	deny("/groups/0", "ops")
	deny("/k8s/namespace", "default")
	missing("/groups/6")
	missing("/groups/-1")
	missing("/groups/00")
	missing("/groups/+0")
	missing("/groups/-")
	missing("/env/x")
	missing("/k8s/pods/name")
	missing("k8s/namespace")
	missing("k8s.namespace")
	missing("/https://idp.example/team")

	// Globs are anchored at both ends.
	how = policy.MatchGlob
	allow("env", "p*")
	allow("env", "*d")
	allow("env", "p*d")
	allow("env", "*ro*")
	allow("env", "prod")
	allow("env", "prod*")
	deny("env", "r*")
	deny("env", "*o")
	deny("env", "ro")
	deny("env", "p*o")
	deny("env", "pro?")
	deny("env", "[p]rod")
	deny("env", "P*")
	deny("env", "prod*prod")
	allow("groups", "d*")
	deny("groups", "x*")
}

// Each bound claim must match: one is not enough.
func TestEveryBoundClaimMustMatch(t *testing.T) {
	r := goodRole()
	r.BoundSubject, r.BoundClaims = "", map[string]any{"env": "prod", "admin": true, "n": 43.0}
	wantDenied(t, r.Match(claims(subject), nil), denial.InvalidRequest, "bound_claims",
		`subject: claim "n" does not have a value that the role "orders" is bound to`)
	r.BoundClaims["n"] = 42.0
	if err := r.Match(claims(subject), nil); err != nil {
		t.Error(err)
	}
	r.BoundSubject = "bob"
	wantDenied(t, r.Match(claims(subject), nil), denial.InvalidRequest, "bound_subject",
		`subject: "sub" claim: the role "orders" is bound to another subject`)
}

func TestBoundSubject(t *testing.T) {
	for text, want := range map[string]bool{
		`{"sub":"alice"}`: true, `{"sub":"alice2"}`: false, `{"sub":"Alice"}`: false, `{"sub":"*"}`: false,
		`{"sub":""}`: false, `{}`: false, `{"sub":null}`: false, `{"sub":["alice"]}`: false,
	} {
		err := goodRole().Match(claims(text), nil)
		if want && err != nil {
			t.Errorf("%s: %s", text, err)
		}
		if !want {
			wantDenied(t, err, denial.InvalidRequest, "bound_subject", `subject: "sub" claim: the role "orders" is bound to another subject`)
		}
	}
}

func TestBoundAudiences(t *testing.T) {
	const expected = `subject: "aud" claim: the role "orders" expects one of ["vault", "engine"] but got `
	for _, c := range []struct{ aud, rule, text string }{ // rule "" accepts
		{`"vault"`, "", ""},
		{`["other","engine"]`, "", ""},
		{`"other"`, "bound_audiences", expected + `["other"]`},
		{`"vault-x"`, "bound_audiences", expected + `["vault-x"]`},
		{`"VAULT"`, "bound_audiences", expected + `["VAULT"]`},
		{`[]`, "bound_audiences", expected + `[]`},
		{`["vault",1]`, "aud", `subject: "aud" claim must hold strings only`},
		{`{"vault":1}`, "aud", `subject: "aud" claim must be a string or an array of strings`},
		{`null`, "aud", `subject: "aud" claim must be a string or an array of strings`},
	} {
		t.Run(c.aud, func(t *testing.T) {
			r := goodRole()
			r.BoundAudiences = []string{"vault", "engine"}
			err := r.Match(claims(`{"sub":"alice","aud":`+c.aud+`}`), nil)
			if c.rule == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantDenied(t, err, denial.InvalidRequest, c.rule, c.text)
		})
	}
	r := goodRole()
	r.BoundAudiences = []string{"vault", "engine"}
	wantDenied(t, r.Match(claims(`{"sub":"alice"}`), nil), denial.InvalidRequest, "bound_audiences", expected+`[]`)
}

// A pattern holds its first and last part to the ends of the text. In a
// guardrail a star before the end covers no "/", "?", "#" and "@" besides.
func FuzzGlobIsAnchored(f *testing.F) {
	f.Add("a", "b", "ba")
	f.Add("team-", "", "my-team-x")
	f.Add("", ".example", "x.example.evil")
	f.Add("https://", ".example", "https://evil/?.example")
	f.Add("", "0", "#0")
	f.Add("aa", "aa", "aaa")
	f.Fuzz(func(t *testing.T, prefix, suffix, value string) {
		if strings.Contains(prefix+suffix, "*") {
			return
		}
		pattern := prefix + "*" + suffix
		rest, begins := strings.CutPrefix(value, prefix)
		covered, ends := strings.CutSuffix(rest, suffix)
		within := suffix == "" || !strings.ContainsAny(covered, "/?#@")

		r := goodRole()
		r.BoundClaims, r.BoundClaimsType = map[string]any{"a": pattern}, policy.MatchGlob
		if got := r.Match(token.Claims{"sub": "alice", "a": value}, nil) == nil; got != (begins && ends) {
			t.Errorf("the claim %q, bound to %q: %t", value, pattern, got)
		}
		if got := (policy.Guardrail{pattern}).Allows(value); got != (begins && ends && within) {
			t.Errorf("the guardrail %q for %q: %t", pattern, value, got)
		}
		if got := (policy.Guardrail{prefix}).Allows(value); got != (prefix == value) {
			t.Errorf("the guardrail %q for %q: %t", prefix, value, got)
		}
	})
}
