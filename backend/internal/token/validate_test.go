package token_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// expect accepts the good token at now.
func expect() token.Expect {
	return token.Expect{
		Issuer: "https://idp.example", Audiences: []string{"https://vault.example"}, Types: token.ForeignTypes(),
		Now: now, Leeway: time.Minute,
	}
}

// with is the good payload with one claim replaced, or without it if value is "".
func with(claim, value string) string {
	claims := []string{}
	for _, c := range [][2]string{
		{"iss", `"https://idp.example"`},
		{"sub", `"alice"`},
		{"aud", `"https://vault.example"`},
		{"iat", "1800000000"},
		{"exp", "1800003600"},
	} {
		if c[0] != claim {
			claims = append(claims, fmt.Sprintf("%q:%s", c[0], c[1]))
		}
	}
	if value != "" {
		claims = append(claims, fmt.Sprintf("%q:%s", claim, value))
	}
	return "{" + strings.Join(claims, ",") + "}"
}

func TestValidateClaims(t *testing.T) {
	type refused struct{ name, payload, rule, text string }
	cases := []refused{
		{"JW-6 aud missing", with("aud", ""), "aud", `invalid_request: subject: "aud" claim expected one of ["https://vault.example"] but got []`},
		{"JW-6 aud empty", with("aud", `[]`), "aud", `invalid_request: subject: "aud" claim expected one of ["https://vault.example"] but got []`},
		{"JW-6 aud a list of numbers", with("aud", `[1]`), "aud", `invalid_request: subject: "aud" claim must hold strings only`},
		{"JW-6 aud good and a number", with("aud", `["https://vault.example",1]`), "aud", `invalid_request: subject: "aud" claim must hold strings only`},
		{"JW-6 aud a number", with("aud", `1`), "aud", `invalid_request: subject: "aud" claim must be a string or an array of strings`},
		{"JW-6 aud null", with("aud", `null`), "aud", `invalid_request: subject: "aud" claim must be a string or an array of strings`},
		{
			"JW-6 aud that begins with ours", with("aud", `"https://vault.example-x"`),
			"aud", `invalid_request: subject: "aud" claim expected one of ["https://vault.example"] but got ["https://vault.example-x"]`,
		},
		{"JW-19 no exp", with("exp", ""), "exp", `invalid_request: subject: "exp" claim is missing: a token that never expires is not accepted`},
		{"JW-19 expired now", with("exp", `1800000060`), "exp", `invalid_request: subject: "exp" claim expired at 2027-01-15T08:01:00Z`},
		{"JW-19 expired within the leeway", with("exp", `1800000059`), "exp", `invalid_request: subject: "exp" claim expired at 2027-01-15T08:00:59Z`},
		{"JW-19 nbf past the leeway", with("nbf", `1800000121`), "nbf", `invalid_request: subject: "nbf" claim not valid before 2027-01-15T08:02:01Z`},
		{"JW-19 iat past the leeway", with("iat", `1800000121`), "iat", `invalid_request: subject: "iat" claim issued in the future, at 2027-01-15T08:02:01Z`},
		{"JW-19 iat 10 minutes ahead", with("iat", `1800000660`), "iat", `invalid_request: subject: "iat" claim issued in the future, at 2027-01-15T08:11:00Z`},
		{"JW-18 exp text", with("exp", `"1800003600"`), "exp", `invalid_request: subject: "exp" claim must be a number of seconds since 1970`},
		{"JW-18 exp null", with("exp", `null`), "exp", `invalid_request: subject: "exp" claim must be a number of seconds since 1970`},
		{"JW-18 exp true", with("exp", `true`), "exp", `invalid_request: subject: "exp" claim must be a number of seconds since 1970`},
		{"JW-18 exp a list", with("exp", `[1800003600]`), "exp", `invalid_request: subject: "exp" claim must be a number of seconds since 1970`},
		{"JW-18 exp 1e400", with("exp", `1e400`), "exp", `invalid_request: subject: "exp" claim is not a date between 1970 and 9999, in seconds since 1970`},
		{"JW-18 exp 1e18", with("exp", `1e18`), "exp", `invalid_request: subject: "exp" claim is not a date between 1970 and 9999, in seconds since 1970`},
		{"JW-18 exp in the year 10000", with("exp", `253402300800`), "exp", `invalid_request: subject: "exp" claim is not a date between 1970 and 9999, in seconds since 1970`},
		{"JW-18 exp negative", with("exp", `-1`), "exp", `invalid_request: subject: "exp" claim is not a date between 1970 and 9999, in seconds since 1970`},
		{"JW-18 iat negative", with("iat", `-1800000000`), "iat", `invalid_request: subject: "iat" claim is not a date between 1970 and 9999, in seconds since 1970`},
		{"JW-18 iat text", with("iat", `"now"`), "iat", `invalid_request: subject: "iat" claim must be a number of seconds since 1970`},
		{"JW-18 nbf text", with("nbf", `"0"`), "nbf", `invalid_request: subject: "nbf" claim must be a number of seconds since 1970`},
		{"JW-22 iss missing", with("iss", ""), "iss", wrongIssuer("")},
		{"JW-14 exp in another case", strings.Replace(goodPayload, `"exp"`, `"EXP"`, 1), "exp", `invalid_request: subject: "exp" claim is missing: a token that never expires is not accepted`},
	}
	for _, iss := range []string{"https://idp.example/", "https://IDP.example", "https://idp.example:443", "http://idp.example", "https://idp.example "} {
		cases = append(cases, refused{"JW-22 iss " + iss, with("iss", fmt.Sprintf("%q", iss)), "iss", wrongIssuer(iss)})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			u, claims := verified(t, goodHeader, c.payload)
			dates, err := u.Validate(claims, expect())
			if dates != (token.Dates{}) {
				t.Errorf("got dates %v beside the error", dates)
			}
			wantDenied(t, err, c.rule, c.text)
		})
	}
}

func wrongIssuer(got string) string {
	return fmt.Sprintf(`invalid_request: subject: "iss" claim expected "https://idp.example" but got %q`, got)
}

// What the operator asks of an issuer's tokens, and what asks for nothing.
func TestValidateExpectations(t *testing.T) {
	for _, c := range []struct {
		name, payload string
		edit          func(*token.Expect)
		rule, text    string
	}{
		{
			"the zero value accepts nothing", goodPayload, func(e *token.Expect) { *e = token.Expect{} },
			"typ", `invalid_request: subject: header "typ" "at+jwt" is not that of an access or ID token`,
		},
		{
			"JW-22 no issuer expected, none in the token", with("iss", ""), func(e *token.Expect) { e.Issuer = "" },
			"iss", `invalid_request: subject: "iss" claim expected "" but got ""`,
		},
		{
			"JW-6 no audience expected", goodPayload, func(e *token.Expect) { e.Audiences = nil },
			"aud", `invalid_request: subject: "aud" claim expected one of [] but got ["https://vault.example"]`,
		},
		{
			"JW-6 no audience expected, none in the token", with("aud", ""), func(e *token.Expect) { e.Audiences = nil },
			"aud", `invalid_request: subject: "aud" claim expected one of [] but got []`,
		},
		{
			"a required claim", goodPayload, func(e *token.Expect) { e.Required = []string{"jti"} },
			"jti", `invalid_request: subject: "jti" claim is missing and the issuer's required_claims name it`,
		},
		{
			"JW-19 issued to live too long", goodPayload, func(e *token.Expect) { e.MaxAge = time.Hour - time.Second },
			"max_token_age", `invalid_request: subject: issued to live 1h0m0s: the issuer's max_token_age is 59m59s`,
		},
		{
			"JW-19 a longest life, and no iat", with("iat", ""), func(e *token.Expect) { e.MaxAge = time.Hour },
			"iat", `invalid_request: subject: "iat" claim is missing and the issuer's max_token_age needs it`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := expect()
			c.edit(&e)
			u, claims := verified(t, goodHeader, c.payload)
			_, err := u.Validate(claims, e)
			wantDenied(t, err, c.rule, c.text)
		})
	}
}

func TestValidateAccepts(t *testing.T) {
	issued, expires := time.Unix(1_800_000_000, 0), time.Unix(1_800_003_600, 0)
	for _, c := range []struct {
		name, payload string
		want          token.Dates
	}{
		{"the good token", goodPayload, token.Dates{IssuedAt: issued, Expires: expires}},
		{"JW-6 one of several audiences", with("aud", `["x","https://vault.example"]`), token.Dates{IssuedAt: issued, Expires: expires}},
		{"JW-18 fractions", with("exp", `1800003600.5`), token.Dates{IssuedAt: issued, Expires: expires.Add(time.Second / 2)}},
		{"JW-18 an exponent", with("exp", `18000036e2`), token.Dates{IssuedAt: issued, Expires: expires}},
		{"no iat", with("iat", ""), token.Dates{Expires: expires}},
		{"JW-19 iat just within the leeway", with("iat", `1800000120`), token.Dates{IssuedAt: issued.Add(2 * time.Minute), Expires: expires}},
		{"JW-19 nbf just within the leeway", with("nbf", `1800000120`), token.Dates{IssuedAt: issued, Expires: expires}},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, claims := verified(t, goodHeader, c.payload)
			got, err := u.Validate(claims, expect())
			if err != nil {
				t.Fatal(err)
			}
			if !got.IssuedAt.Equal(c.want.IssuedAt) || !got.Expires.Equal(c.want.Expires) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// JW-9: the absence of "typ" is tolerated, the "typ" of something else is not.
func TestValidateType(t *testing.T) {
	headerOf := func(typ string) string { return fmt.Sprintf(`{"alg":"ES256","typ":%q}`, typ) }
	for _, header := range []string{
		`{"alg":"ES256"}`, headerOf("JWT"), headerOf("jwt"), headerOf("at+jwt"), headerOf("application/at+jwt"), headerOf("JOSE"),
	} {
		u, claims := verified(t, header, goodPayload)
		if _, err := u.Validate(claims, expect()); err != nil {
			t.Errorf("%s: %s", header, err)
		}
	}
	for _, typ := range []string{
		"dpop+jwt", "secevent+jwt", "statuslist+jwt", "token-introspection+jwt", "txntoken+jwt", "logout+jwt",
		"oauth-id-jag+jwt", "kb+jwt", "application/dpop+jwt", "x/at+jwt", "at+jwt ", "at+jwtx",
	} {
		t.Run("JW-9 "+typ, func(t *testing.T) {
			u, claims := verified(t, headerOf(typ), goodPayload)
			_, err := u.Validate(claims, expect())
			wantDenied(t, err, "typ", fmt.Sprintf(`invalid_request: subject: header "typ" %q is not that of an access or ID token`,
				strings.TrimPrefix(typ, "application/")))
		})
	}
}

func TestForeignTypesAreACopy(t *testing.T) {
	token.ForeignTypes()[0] = "dpop+jwt"
	if got := token.ForeignTypes()[0]; got != "" {
		t.Errorf("a caller changed the list: it begins with %q", got)
	}
}

// Who knows the issuer by other means leaves "iss" alone, and nothing else.
func TestCheckWithAnyIssuer(t *testing.T) {
	e := expect()
	e.Issuer, e.AnyIssuer = "", true
	for _, payload := range []string{goodPayload, with("iss", ""), with("iss", `"https://other.example"`)} {
		if _, err := e.Check(must(token.ParseClaims([]byte(payload)))); err != nil {
			t.Errorf("%s: %s", payload, err)
		}
	}
	for rule, payload := range map[string]string{"aud": with("aud", ""), "exp": with("exp", "")} {
		_, err := e.Check(must(token.ParseClaims([]byte(payload))))
		var refusal *denial.Error
		if !errors.As(err, &refusal) || refusal.Rule != rule {
			t.Errorf("%s: got %v", payload, err)
		}
	}
	if dates, err := (token.Expect{AnyIssuer: true}).Check(token.Claims{}); err == nil {
		t.Errorf("no expectation accepts no claims: %v", dates)
	}
}

// JW-22: claims that come without a token have their "iss" checked too.
func TestCheckIssuerOfClaims(t *testing.T) {
	for payload, text := range map[string]string{
		with("iss", ""):                        wrongIssuer(""),
		with("iss", `"https://idp.example/x"`): wrongIssuer("https://idp.example/x"),
		with("iss", `7`):                       `invalid_request: subject: "iss" claim must be a string`,
	} {
		_, err := expect().Check(must(token.ParseClaims([]byte(payload))))
		wantDenied(t, err, "iss", text)
	}
	e := expect()
	e.Issuer = ""
	_, err := e.Check(must(token.ParseClaims([]byte(with("iss", `""`)))))
	wantDenied(t, err, "iss", `invalid_request: subject: "iss" claim expected "" but got ""`)
}
