package token_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

func TestLineageRoundTrip(t *testing.T) {
	for name, want := range map[string]token.Lineage{
		"no ancestors": {Role: "r1", Source: "s1"},
		"ancestors":    {Role: "r1", Source: "s1", Ancestors: []string{"root", "jti-1", "jti-2"}},
		"actors":       {Role: "r1", Source: "s1", Actors: []string{"ext:a", "jti-3"}, Via: []token.Step{{Role: "r2:id", KeyID: "k"}}},
	} {
		t.Run(name, func(t *testing.T) {
			payload := must(json.Marshal(map[string]any{"lineage": want.Claim()}))
			_, claims := verified(t, goodHeader, string(payload))
			got, err := token.ParseLineage(claims)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestParseLineageRefuses(t *testing.T) {
	for _, c := range []struct{ name, claim, rule, text string }{
		{"null", `null`, "lineage", `invalid_request: subject: "lineage" claim must be an object`},
		{"text", `"r1"`, "lineage", `invalid_request: subject: "lineage" claim must be an object`},
		{"no role", `{"src":"s"}`, "role", `invalid_request: subject: "role" claim is missing or empty`},
		{"no source", `{"role":"r"}`, "src", `invalid_request: subject: "src" claim is missing or empty`},
		{"role a number", `{"role":1,"src":"s"}`, "role", `invalid_request: subject: "role" claim must be a string`},
		{"ancestors hold a number", `{"role":"r","src":"s","anc":[1]}`, "anc", `invalid_request: subject: "anc" claim must hold strings only`},
		{"actors hold a number", `{"role":"r","src":"s","actors":[1]}`, "actors", `invalid_request: subject: "actors" claim must hold strings only`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, claims := verified(t, goodHeader, `{"lineage":`+c.claim+`}`)
			_, err := token.ParseLineage(claims)
			wantDenied(t, err, c.rule, c.text)
		})
	}
	_, err := token.ParseLineage(token.Claims{})
	wantDenied(t, err, "lineage", `invalid_request: subject: "lineage" claim must be an object`)
}
