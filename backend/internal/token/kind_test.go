package token_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// JW-10: no kind can be taken for another.
func TestKindsExcludeEachOther(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range token.Kinds {
		typ := strings.TrimPrefix(strings.ToLower(k.Type), "application/")
		if typ == "" || seen[typ] {
			t.Errorf("%q: the typ is empty or another kind's", k.Type)
		}
		seen[typ] = true
		if token.Intersects(k.Required, k.Forbidden) {
			t.Errorf("%q: a claim is both required and forbidden", k.Type)
		}
		for _, name := range []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "txn", "lineage"} {
			if (k.Subject || k.Introspected) && !slices.Contains(k.Required, name) {
				t.Errorf("%q: is accepted back, and %q is not required", k.Type, name)
			}
		}
	}
}

// JW-10: what we accept back as a subject is an access token only.
func TestOnlyAccessTokensAreSubjects(t *testing.T) {
	subjects := []string{}
	for _, k := range token.Kinds {
		if k.Subject {
			subjects = append(subjects, k.Type)
		}
	}
	if !slices.Equal(subjects, []string{"at+jwt"}) {
		t.Errorf("accepted back as subjects: %v", subjects)
	}
}

func TestKindOf(t *testing.T) {
	for typ, want := range map[string]string{
		"at+jwt": "at+jwt", "AT+JWT": "at+jwt", "application/at+jwt": "at+jwt", "JWT": "JWT", "jwt": "JWT",
	} {
		if k, ok := token.KindOf(typ); !ok || k.Type != want {
			t.Errorf("%q: got %q, %t", typ, k.Type, ok)
		}
	}
	for _, typ := range []string{"", "JOSE", "dpop+jwt", "statuslist+jwt", "txntoken+jwt", "x/at+jwt"} {
		if k, ok := token.KindOf(typ); ok || k.Type != "" || k.Subject || k.Introspected {
			t.Errorf("%q: got %+v, want the kind that is accepted nowhere", typ, k)
		}
	}
}

// A signed introspection answer is none of the kinds that are tokens.
func TestIntrospectionAnswerIsAcceptedNowhere(t *testing.T) {
	k, ok := token.KindOf("application/token-introspection+jwt")
	if !ok || k.Subject || k.Introspected {
		t.Errorf("got %+v, %t", k, ok)
	}
}

func TestKindCheck(t *testing.T) {
	accessToken := []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "txn", "lineage"}
	notInOne := []string{"nonce", "at_hash", "status_list", "token_introspection"}
	for _, tt := range []struct {
		kind                string
		required, forbidden []string
	}{
		{"at+jwt", accessToken, notInOne},
		{"JWT", accessToken, notInOne},
		{token.IntrospectionType, []string{"iss", "aud", "iat", "token_introspection"}, []string{"sub", "exp", "jti", "client_id", "scope", "lineage", "status_list"}},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			k, ok := token.KindOf(tt.kind)
			complete := token.Claims{}
			for _, name := range tt.required {
				complete[name] = "x"
			}
			if why := k.Check(complete); !ok || why != "" {
				t.Errorf("a complete one: %t %s", ok, why)
			}
			for _, name := range tt.required {
				claims := maps.Clone(complete)
				delete(claims, name)
				if why := k.Check(claims); why != name+" is missing" {
					t.Errorf("without %s: got %q", name, why)
				}
			}
			for _, name := range tt.forbidden {
				claims := maps.Clone(complete)
				claims[name] = nil
				if why := k.Check(claims); why != name+" is forbidden" {
					t.Errorf("with %s: got %q", name, why)
				}
			}
		})
	}
}
