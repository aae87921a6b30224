package token_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

func TestClaimOfWrongTypeIsNotAnAbsentClaim(t *testing.T) {
	for name, value := range map[string]any{
		"a number": json.Number("1"), "a boolean": true, "null": nil, "a list": []any{"alice"}, "an object": map[string]any{},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := token.Claims{"sub": value}.Text("sub")
			wantDenied(t, err, "sub", `invalid_request: subject: "sub" claim must be a string`)
			_, err = token.Claims{"sub": value}.Required("sub")
			wantDenied(t, err, "sub", `invalid_request: subject: "sub" claim must be a string`)
		})
	}
}

func TestRequired(t *testing.T) {
	for _, claims := range []token.Claims{{}, {"sub": ""}} {
		_, err := claims.Required("sub")
		wantDenied(t, err, "sub", `invalid_request: subject: "sub" claim is missing or empty`)
	}
	if got, err := (token.Claims{"sub": "alice"}).Required("sub"); got != "alice" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestScopes(t *testing.T) {
	for _, c := range []struct {
		name   string
		claims token.Claims
		want   []string
	}{
		{"none", token.Claims{}, nil},
		{"empty", token.Claims{"scope": ""}, []string{}},
		{"a string", token.Claims{"scope": "read  write"}, []string{"read", "write"}},
		{"scp a string", token.Claims{"scp": "read write"}, []string{"read", "write"}},
		{"scp a list", token.Claims{"scp": []any{"read", "write"}}, []string{"read", "write"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.claims.Scopes()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, c.want) || (got == nil) != (c.want == nil) {
				t.Errorf("got %#v, want %#v", got, c.want)
			}
		})
	}
}

func TestScopesRefused(t *testing.T) {
	for _, c := range []struct {
		name       string
		claims     token.Claims
		rule, text string
	}{
		{
			"both, so that two readers could differ",
			token.Claims{"scope": "read", "scp": "write"},
			"scp", `invalid_request: subject: "scp" claim stands beside "scope": one of them must be left out`,
		},
		{"scope null", token.Claims{"scope": nil}, "scope", `invalid_request: subject: "scope" claim must be a string or an array of strings`},
		{"scope an object", token.Claims{"scope": map[string]any{}}, "scope", `invalid_request: subject: "scope" claim must be a string or an array of strings`},
		{"scp holds a number", token.Claims{"scp": []any{"read", json.Number("1")}}, "scp", `invalid_request: subject: "scp" claim must hold strings only`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.claims.Scopes()
			if got != nil {
				t.Errorf("got %v beside the error", got)
			}
			wantDenied(t, err, c.rule, c.text)
		})
	}
}

func TestListIsShort(t *testing.T) {
	for _, c := range []struct {
		name  string
		items []string
		want  string
	}{
		{"nothing", nil, `[]`},
		{"quoted", []string{"a\"b", "c\n"}, `["a\"b", "c\n"]`},
		{"at most five", []string{"1", "2", "3", "4", "5", "6", "7"}, `["1", "2", "3", "4", "5", … (7 in all)]`},
		{"cut between letters", []string{strings.Repeat("é", 40)}, `["` + strings.Repeat("é", 32) + `…"]`},
		{"not cut within a letter", []string{"a" + strings.Repeat("é", 40)}, `["a` + strings.Repeat("é", 31) + `…"]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := token.List(c.items); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
