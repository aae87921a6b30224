package provider

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// unsigned is a token with a payload, whose signature nobody looks at.
func unsigned(payload string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"ES256"}`)) + "." + encode([]byte(payload)) + "." + encode([]byte("c2lnbmF0dXJl"))
}

func TestJWTClaims(t *testing.T) {
	r := newRPC(t, nil)
	for name, c := range map[string]struct {
		payload string
		want    block
	}{
		"texts, lists, null": {
			`{"sub":"a","aud":["x","y"],"ok":true,"no":null,"none":[],"kubernetes.io":{"pod":{"name":"p"}}}`,
			block{"sub": "a", "aud": []any{"x", "y"}, "ok": true, "no": nil, "none": []any{}, "kubernetes.io": block{"pod": block{"name": "p"}}},
		},
		"a list of several types": {`{"l":[1,"a",null,{}]}`, block{"l": []any{json.Number("1"), "a", nil, block{}}}},
		"integers are exact": {
			`{"a":9007199254740993,"b":18446744073709551617,"c":-170141183460469231731687303715884105729,"d":0,"e":1e3}`,
			block{
				"a": json.Number("9007199254740993"), "b": json.Number("18446744073709551617"),
				"c": json.Number("-170141183460469231731687303715884105729"), "d": json.Number("0"), "e": json.Number("1000"),
			},
		},
		"a fraction":     {`{"a":0.5}`, block{"a": json.Number("0.5")}},
		"the last twice": {`{"a":1,"a":2}`, block{"a": json.Number("2")}},
		"no claims":      {`{}`, block{}},
		"texts of signs": {`{"a":"[[\\\"[` + strings.Repeat("[1", 600) + `"}`, block{"a": `[[\"[` + strings.Repeat("[1", 600)}},
	} {
		got, failure := r.call("jwt_claims", " "+unsigned(c.payload)+"\n")
		if failure != "" || !reflect.DeepEqual(got, any(c.want)) {
			t.Errorf("%s: got %#v %s, want %#v", name, got, failure, c.want)
		}
	}
}

func TestJWTClaimsRefuses(t *testing.T) {
	const (
		parts     = "0: the token is not a signed JWT: that has three parts separated by dots"
		base64url = "0: the second part of the token, its claims, is not base64url without padding"
		object    = "0: the second part of the token, its claims, is not one JSON object"
		bounds    = "0: the claims are nested more than 64 deep, or have a number of more than 512 characters"
		number    = "0: a claim is a number that Terraform cannot hold: its size is limited to 512 bits"
	)
	r := newRPC(t, nil)
	for name, c := range map[string]struct{ token, want string }{
		"nothing":          {"", parts},
		"opaque":           {"hvs.CAESI-SECRET", parts},
		"encrypted":        {"SECRET.b.c.d.e", "0: the token is encrypted (five parts separated by dots): only its recipient can read it"},
		"padding":          {"SECRET.e30=.SECRET", base64url},
		"not base64":       {"SECRET.SECRET!.SECRET", base64url},
		"not JSON":         {unsigned(`SECRET`), object},
		"null":             {unsigned(`null`), object},
		"a list":           {unsigned(`["SECRET"]`), object},
		"two":              {unsigned(`{"a":"SECRET"}{}`), object},
		"too deep":         {unsigned(strings.Repeat(`{"a":`, 65) + `"SECRET"` + strings.Repeat(`}`, 65)), bounds},
		"far too deep":     {unsigned(`{"a":` + strings.Repeat(`[`, 200000) + strings.Repeat(`]`, 200000) + `}`), bounds},
		"a long number":    {unsigned(`{"a":0.` + strings.Repeat("9", 1000000) + `}`), bounds},
		"a long exponent":  {unsigned(`{"a":1e-` + strings.Repeat("9", 500) + `}`), number},
		"513 bits":         {unsigned(`{"a":1` + strings.Repeat("0", 155) + `}`), number},
		"expands":          {unsigned(`{"SECRET":[{"b":1e100000000}]}`), number},
		"beyond any size":  {unsigned(`{"SECRET":1e9999999999}`), number},
		"a small fraction": {unsigned(`{"a":1e-100000000}`), number},
	} {
		got, failure := r.call("jwt_claims", c.token)
		if failure != c.want || strings.Contains(failure, "SECRET") {
			t.Errorf("%s: got %v, error %q, want %q", name, got, failure, c.want)
		}
	}
}

func FuzzJWTClaims(f *testing.F) {
	f.Add(unsigned(`{"a":[1,2.5e7,null,{"b":"c"}]}`))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := readClaims(token)
		if err != nil {
			return
		}
		if v, err := asObject(t.Context(), claims); err == nil {
			if _, err := v.ToTerraformValue(t.Context()); err != nil {
				t.Errorf("%q: %v", token, err)
			}
		}
	})
}

func TestTokenTypeURI(t *testing.T) {
	r := newRPC(t, nil)
	for _, name := range []string{"access_token", "refresh_token", "id_token", "saml1", "saml2", "jwt"} {
		if got, failure := r.call("token_type_uri", name); got != "urn:ietf:params:oauth:token-type:"+name {
			t.Errorf("%s: got %v %s", name, got, failure)
		}
	}
	const want = "0: there is no such token type in RFC 8693: use one of access_token, refresh_token, id_token, saml1, saml2, jwt"
	for _, name := range []string{"", "JWT", "urn:ietf:params:oauth:token-type:jwt"} {
		if got, failure := r.call("token_type_uri", name); failure != want {
			t.Errorf("%s: got %v, error %q, want %q", name, got, failure, want)
		}
	}
}

func TestJWKThumbprint(t *testing.T) {
	r := newRPC(t, nil)
	for name, c := range map[string]struct{ jwk, want string }{
		"RFC 7638 §3.1": {
			`{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`,
			"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
		},
		"RFC 8037 A.3": {
			`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
			"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
		},
	} {
		if got, failure := r.call("jwk_thumbprint", c.jwk); got != c.want {
			t.Errorf("%s: got %v %s, want %s", name, got, failure, c.want)
		}
	}
}

func TestJWKThumbprintRefuses(t *testing.T) {
	private := func(key any) string {
		text, err := json.Marshal(jose.JSONWebKey{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const (
		public   = "0: the key is not a public key of the type RSA, EC or OKP (Ed25519) in JWK form (RFC 7517)"
		object   = "0: the key is not a JSON object"
		symmetic = "0: the key is symmetric: it is a secret, and must not be used where a public key belongs"
	)
	r := newRPC(t, nil)
	for name, c := range map[string]struct{ jwk, want string }{
		"private EC":         {private(ec), `0: the key is private (it has the member "d"): pass its public half alone`},
		"private Ed25519":    {private(ed), `0: the key is private (it has the member "d"): pass its public half alone`},
		"a prime alone":      {`{"kty":"RSA","n":"AQAB","e":"AQAB","p":"SECRET"}`, `0: the key is private (it has the member "p"): pass its public half alone`},
		"symmetric":          {private([]byte("SECRET-SECRET")), symmetic},
		"symmetric, no k":    {`{"kty":"oct","x":"SECRET"}`, symmetic},
		"k of another type":  {`{"kty":"EC","k":"SECRET"}`, symmetic},
		"a set":              {`{"keys":[{"kty":"oct","k":"SECRET"}]}`, `0: the argument is a set of keys: take one of its "keys"`},
		"PEM":                {"-----BEGIN PRIVATE KEY-----SECRET", object},
		"nothing":            {"", object},
		"null":               {"null", object},
		"a text":             {`"SECRET"`, object},
		"no type":            {`{}`, public},
		"an unknown type":    {`{"kty":"SECRET"}`, public},
		"not on the curve":   {`{"kty":"EC","crv":"P-256","x":"SECRET","y":"SECRET"}`, public},
		"an unknown curve":   {`{"kty":"OKP","crv":"SECRET","x":"AAAA"}`, public},
		"half an RSA key":    {`{"kty":"RSA","e":"AQAB"}`, public},
		"not even base64url": {`{"kty":"RSA","n":"SECRET!","e":"AQAB"}`, public},
	} {
		if got, failure := r.call("jwk_thumbprint", c.jwk); failure != c.want || strings.Contains(failure, "SECRET") {
			t.Errorf("%s: got %v, error %q, want %q", name, got, failure, c.want)
		}
	}
}

// That Terraform does not call them with null or unknown values, and marks what
// they return, is by the definition.
func TestFunctionsTakeKnownTexts(t *testing.T) {
	r := newRPC(t, nil)
	for name, f := range r.schemas.Functions {
		if p := f.Parameters[0]; len(f.Parameters) != 1 || p.AllowNullValue || p.AllowUnknownValues || f.VariadicParameter != nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if d := r.schemas.Functions["jwt_claims"].Description; !strings.HasPrefix(d, "**Nothing is verified: ") {
		t.Errorf("the documentation does not begin with a warning: %s", d)
	}
}
