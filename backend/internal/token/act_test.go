package token_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// withAct decodes claims with this "act" as those of a token are.
func withAct(act string) token.Claims {
	return must(token.ParseClaims([]byte(`{"iss":"https://idp.example","sub":"alice","act":` + act + `}`)))
}

func TestParseActing(t *testing.T) {
	for _, c := range []struct {
		name   string
		claims token.Claims
		want   token.Acting
	}{
		{"nobody", token.Claims{"iss": "https://idp.example", "sub": "alice"}, nil},
		{"nobody, in no claims", nil, nil},
		{"one", withAct(`{"iss":"a","sub":"x"}`), token.Acting{{"a", "x"}}},
		{"one of the token's issuer", withAct(`{"sub":"x"}`), token.Acting{{"https://idp.example", "x"}}},
		{"TX-22 the current one first", withAct(`{"iss":"b","sub":"y","act":{"iss":"a","sub":"x"}}`), token.Acting{{"b", "y"}, {"a", "x"}}},
		{
			"TX-22 three", withAct(`{"act":{"sub":"y","act":{"iss":"a","sub":"x"},"iss":"b"},"iss":"c","sub":"z"}`),
			token.Acting{{"c", "z"}, {"b", "y"}, {"a", "x"}},
		},
		{
			"a former one of the token's issuer, not of the one after it", withAct(`{"iss":"b","sub":"y","act":{"sub":"x"}}`),
			token.Acting{{"b", "y"}, {"https://idp.example", "x"}},
		},
		{"the same one twice", withAct(`{"sub":"x","act":{"sub":"x"}}`), token.Acting{{"https://idp.example", "x"}, {"https://idp.example", "x"}}},
		{
			"TX-21 only who it is", withAct(`{"iss":"a","sub":"x","exp":1,"nbf":"never","aud":["y"],"cnf":{},"may_act":{"sub":"z"}}`),
			token.Acting{{"a", "x"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := token.ParseActing(c.claims, "https://idp.example")
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, c.want) || (got == nil) != (c.want == nil) {
				t.Errorf("got %#v, want %#v", got, c.want)
			}
		})
	}
}

func TestParseActingRefuses(t *testing.T) {
	const (
		notObject = `must be an object`
		noSubject = `has an actor without "sub"`
		badIssuer = `has an actor whose "iss" is not a string`
	)
	for _, c := range []struct{ name, act, text string }{
		{"null", `null`, notObject},
		{"a text", `"x"`, notObject},
		{"a number", `1`, notObject},
		{"false", `false`, notObject},
		{"a list", `[{"sub":"x"}]`, notObject},
		{"empty", `{}`, noSubject},
		{"no sub", `{"iss":"a"}`, noSubject},
		{"an empty sub", `{"iss":"a","sub":""}`, noSubject},
		{"sub null", `{"iss":"a","sub":null}`, noSubject},
		{"sub a number", `{"iss":"a","sub":1}`, noSubject},
		{"sub a list", `{"iss":"a","sub":["x"]}`, noSubject},
		{"sub in another case", `{"iss":"a","SUB":"x"}`, noSubject},
		{"an empty iss", `{"iss":"","sub":"x"}`, `has an actor whose "iss" is empty`},
		{"iss null", `{"iss":null,"sub":"x"}`, badIssuer},
		{"iss a number", `{"iss":1,"sub":"x"}`, badIssuer},
		{"iss a list", `{"iss":["a"],"sub":"x"}`, badIssuer},
	} {
		// TX-22: former actors decide nothing, and are copied: they are read as strictly.
		for at, act := range map[string]string{
			"the current": c.act,
			"the former":  `{"iss":"b","sub":"y","act":` + c.act + `}`,
			"the first":   `{"iss":"c","sub":"z","act":{"iss":"b","sub":"y","act":` + c.act + `}}`,
		} {
			t.Run(c.name+", "+at, func(t *testing.T) {
				got, err := token.ParseActing(withAct(act), "https://idp.example")
				if got != nil {
					t.Errorf("got %v beside the error", got)
				}
				wantDenied(t, err, "act", `invalid_request: subject: "act" claim `+c.text)
			})
		}
	}
}

func TestActingClaim(t *testing.T) {
	for _, c := range []struct {
		name   string
		acting token.Acting
		want   string
	}{
		{"nobody", nil, `null`},
		{"nobody, in a list", token.Acting{}, `null`},
		{"TX-21 one", token.Acting{{"a", "x"}}, `{"iss":"a","sub":"x"}`},
		{
			"TX-22 the current one outermost",
			token.Acting{{"c", "z"}, {"b", "y"}, {"a", "x"}},
			`{"act":{"act":{"iss":"a","sub":"x"},"iss":"b","sub":"y"},"iss":"c","sub":"z"}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			claim := c.acting.Claim()
			if got, err := json.Marshal(claim); err != nil || string(got) != c.want {
				t.Errorf("got %s, %v", got, err)
			}
			if (claim == nil) != (len(c.acting) == 0) {
				t.Errorf("got %#v", claim)
			}
		})
	}
}

// What is written is read back as it was, whatever the issuer of the token.
func TestActingRoundTrip(t *testing.T) {
	var acting token.Acting
	for i := range 9 {
		act := must(json.Marshal(acting.Claim()))
		claims := token.Claims{}
		if i > 0 {
			claims = withAct(string(act))
		}
		got, err := token.ParseActing(claims, "https://other.example")
		if err != nil || !slices.Equal(got, acting) {
			t.Errorf("%d actors: got %v, %v, want %v", i, got, err, acting)
		}
		acting = append(token.Acting{{fmt.Sprintf("https://%d.example", i), fmt.Sprintf("é\"%d", i)}}, acting...)
	}
}

// TX-21: of a foreign "act" nothing comes out but who acted.
func TestActingDropsTheRest(t *testing.T) {
	acting, err := token.ParseActing(withAct(`{"iss":"b","sub":"y","exp":1,"nbf":1,"iat":1,"jti":"j","aud":"z","scope":"admin","email":"e",
		"act":{"sub":"x","exp":1,"aud":["z"],"cnf":{"jkt":"k"},"client_id":"c"}}`), "https://idp.example")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"act":{"iss":"https://idp.example","sub":"x"},"iss":"b","sub":"y"}`
	if got, err := json.Marshal(acting.Claim()); err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}
