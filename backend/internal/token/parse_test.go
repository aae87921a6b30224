package token_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

const (
	notCompact  = `invalid_request: subject: the token is not a JWT in compact serialization: only letters, digits, '-', '_' and '.' may occur`
	notSegments = `invalid_request: subject: the token is not a signed JWT: want three segments separated by '.'`
)

var good = compact(goodHeader, goodPayload)

func withHeader(header string) string   { return compact(header, goodPayload) }
func withPayload(payload string) string { return compact(goodHeader, payload) }

func withAlg(alg string) string {
	return withHeader(fmt.Sprintf(`{"alg":%q,"kid":"k1","typ":"at+jwt"}`, alg))
}

func algRefused(alg string) string {
	return fmt.Sprintf(`invalid_request: subject: header "alg" %q is not an accepted signature algorithm`, alg)
}

// nested is an object with depth levels of arrays in it.
func nested(depth int) string {
	return `{"iss":"https://idp.example","x":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}`
}

// wide is an object with n members.
func wide(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"m%d":0`, i)
	}
	return "{" + strings.Join(members, ",") + "}"
}

type hostile struct{ name, raw, rule, text string }

var hostileTokens = slices.Concat(hostileForms, hostileHeaders, hostilePayloads)

var hostileForms = []hostile{
	{"JW-12 nothing", "", "form", `invalid_request: subject: the token is empty`},
	{"JW-12 newline in the token", good[:60] + "\n" + good[60:], "form", notCompact},
	{"JW-12 newline at the end", good + "\n", "form", notCompact},
	{"JW-12 carriage return in the token", good[:60] + "\r" + good[60:], "form", notCompact},
	{"JW-12 space before the token", " " + good, "form", notCompact},
	{"JW-12 no-break space in the token", good[:60] + "\u00a0" + good[60:], "form", notCompact},
	{"JW-12 zero byte", good + "\x00", "form", notCompact},
	{"JW-12 padding", good + "=", "form", notCompact},
	{"JW-12 standard base64", strings.Replace(good, ".", "+.", 1), "form", notCompact},
	{"JW-12 a prefix Bearer", "Bearer " + good, "form", notCompact},
	{
		"JW-12 JSON serialization", `{"payload":"` + b64(goodPayload) + `","protected":"` + b64(goodHeader) + `","signature":"c2ln"}`,
		"form", notCompact,
	},
	{
		"JW-12 header with trailing bits", strings.Replace(withHeader(`{"alg":"ES256"}   `), ".", "x.", 1),
		"form", `invalid_request: subject: the token's header is not base64url`,
	},
	{
		"JW-12 payload with trailing bits", b64(goodHeader) + ".eyJhIjoxfR." + b64("signature"),
		"form", `invalid_request: subject: the token's payload is not base64url`,
	},
	{"JW-1 empty signature", strings.TrimSuffix(good, b64("signature")), "form", notSegments},
	{"JW-1 no signature", strings.TrimSuffix(good, "."+b64("signature")), "form", notSegments},
	{"JW-4 detached payload", b64(goodHeader) + ".." + b64("signature"), "form", notSegments},
	{"JW-4 four segments", good + "." + b64("more"), "form", notSegments},
	{
		"JW-4 an encrypted token", good + ".YQ.YQ",
		"form", `invalid_request: subject: the token is encrypted (JWE): only signed JWTs are accepted`,
	},
	{
		"JW-11 a key derived from a password, with a count that takes hours",
		b64(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483648,"p2s":"c2FsdA"}`) + ".YQ.YQ.YQ.YQ",
		"form", `invalid_request: subject: the token is encrypted (JWE): only signed JWTs are accepted`,
	},
	{
		"JW-17 one byte too long", good + strings.Repeat("a", token.MaxBytes+1-len(good)),
		"size", `invalid_request: subject: the token is 16385 bytes long: the limit is 16384`,
	},
	{
		"JW-17 16 MB", strings.Repeat("a", 16<<20),
		"size", `invalid_request: subject: the token is 16777216 bytes long: the limit is 16384`,
	},
}

var hostileHeaders = []hostile{
	{"JW-1 none", withAlg("none"), "alg", algRefused("none")},
	{"JW-1 noNE", withAlg("noNE"), "alg", algRefused("noNE")},
	{"JW-1 NONE", withAlg("NONE"), "alg", algRefused("NONE")},
	{"JW-1 lower case", withAlg("es256"), "alg", algRefused("es256")},
	{"JW-1 a space after it", withAlg("ES256 "), "alg", algRefused("ES256 ")},
	{"JW-2 HS256", withAlg("HS256"), "alg", algRefused("HS256")},
	{"JW-2 HS512", withAlg("HS512"), "alg", algRefused("HS512")},
	{"JW-1 a curve that nobody asked for", withAlg("ES256K"), "alg", algRefused("ES256K")},
	{"JW-4 an encryption algorithm", withAlg("RSA-OAEP"), "alg", algRefused("RSA-OAEP")},
	{"JW-1 no alg", withHeader(`{"kid":"k1","typ":"at+jwt"}`), "alg", algRefused("")},
	{"JW-1 alg in another case", withHeader(`{"ALG":"ES256"}`), "alg", algRefused("")},
	{
		"JW-1 a long alg is cut", withAlg(strings.Repeat("A", 1000)),
		"alg", algRefused(strings.Repeat("A", 64) + "…"),
	},
	{"JW-1 alg a list", withHeader(`{"alg":["ES256"]}`), "alg", `invalid_request: subject: header "alg" must be a string`},
	{"JW-7 kid a number", withHeader(`{"alg":"ES256","kid":1}`), "kid", `invalid_request: subject: header "kid" must be a string`},
	{"JW-7 kid null", withHeader(`{"alg":"ES256","kid":null}`), "kid", `invalid_request: subject: header "kid" must be a string`},
	{"JW-9 typ a list", withHeader(`{"alg":"ES256","typ":["JWT"]}`), "typ", `invalid_request: subject: header "typ" must be a string`},
	{"JW-15 crit that names exp", withHeader(`{"alg":"ES256","crit":["exp"],"exp":1}`), "crit", unsupported("crit")},
	{"JW-15 crit that names alg", withHeader(`{"alg":"ES256","crit":["alg"]}`), "crit", unsupported("crit")},
	{"JW-15 crit that names an absent header", withHeader(`{"alg":"ES256","crit":["x"]}`), "crit", unsupported("crit")},
	{"JW-15 empty crit", withHeader(`{"alg":"ES256","crit":[]}`), "crit", unsupported("crit")},
	{"JW-15 crit null", withHeader(`{"alg":"ES256","crit":null}`), "crit", unsupported("crit")},
	{"JW-16 b64 false, critical", withHeader(`{"alg":"ES256","b64":false,"crit":["b64"]}`), "crit", unsupported("crit")},
	{"JW-16 b64 false", withHeader(`{"alg":"ES256","b64":false}`), "b64", unsupported("b64")},
	{"JW-16 b64 true", withHeader(`{"alg":"ES256","b64":true}`), "b64", unsupported("b64")},
	{"JW-13 zip", withHeader(`{"alg":"ES256","zip":"DEF"}`), "zip", unsupported("zip")},
	{"JW-14 alg twice", withHeader(`{"alg":"ES256","alg":"none"}`), "form", twice("header", "alg")},
	{"JW-14 alg twice, with another case", withHeader(`{"alg":"ES256","Alg":"none"}`), "form", twice("header", "Alg")},
	{"JW-14 kid twice, spelled with an escape", withHeader(`{"alg":"ES256","kid":"a","\u006bid":"b"}`), "form", twice("header", "kid")},
	{"header a list", withHeader(`["ES256"]`), "form", `invalid_request: subject: the token's header: not a JSON object`},
}

var hostilePayloads = []hostile{
	{"JW-14 sub twice", withPayload(`{"sub":"a","sub":"b"}`), "form", twice("payload", "sub")},
	{"JW-14 sub twice, with the same value", withPayload(`{"sub":"a","sub":"a"}`), "form", twice("payload", "sub")},
	{"JW-14 sub twice, with another case", withPayload(`{"sub":"a","SUB":"b"}`), "form", twice("payload", "SUB")},
	{"JW-14 sub twice, with a long s", withPayload(`{"sub":"a","ſub":"b"}`), "form", twice("payload", "ſub")},
	{"JW-14 a k twice, with a Kelvin sign", withPayload(`{"k":"a","\u212a":"b"}`), "form", twice("payload", "\u212a")},
	{"JW-14 twice in a nested object", withPayload(`{"act":{"sub":"a","sub":"b"}}`), "form", twice("payload", "sub")},
	{"JW-14 twice in an object in a list", withPayload(`{"x":[{"y":1,"y":2}]}`), "form", twice("payload", "y")},
	{
		"JW-14 half of a surrogate pair", withPayload(`{"sub":"\ud800"}`),
		"form", `invalid_request: subject: the token's payload: text holds U+FFFD or half of a surrogate pair`,
	},
	{
		"JW-14 half of a surrogate pair in a name", withPayload(`{"\udfff":1}`),
		"form", `invalid_request: subject: the token's payload: text holds U+FFFD or half of a surrogate pair`,
	},
	{
		"JW-14 invalid UTF-8", withPayload("{\"sub\":\"\xff\"}"),
		"form", `invalid_request: subject: the token's payload: not valid UTF-8`,
	},
	{
		"JW-14 a second object", withPayload(goodPayload + `{"sub":"b"}`),
		"form", `invalid_request: subject: the token's payload: data after the JSON object`,
	},
	{
		"JW-17 nested too deep", withPayload(nested(16)),
		"form", `invalid_request: subject: the token's payload: nested deeper than 16 levels`,
	},
	{
		"JW-17 as deep as fits", withPayload(strings.Repeat("[", 12_000)),
		"form", `invalid_request: subject: the token's payload: nested deeper than 16 levels`,
	},
	{
		"JW-17 too many members", withPayload(wide(257)),
		"form", `invalid_request: subject: the token's payload: more than 256 members in one object`,
	},
	{
		"JW-17 too many members in a nested object", withPayload(`{"x":` + wide(257) + `}`),
		"form", `invalid_request: subject: the token's payload: more than 256 members in one object`,
	},
	{
		"JW-18 exp NaN", withPayload(`{"exp":NaN}`),
		"form", `invalid_request: subject: the token's payload: malformed JSON: invalid character 'N' looking for beginning of value`,
	},
	{"JW-22 iss a list", withPayload(`{"iss":["https://idp.example"]}`), "iss", `invalid_request: subject: "iss" claim must be a string`},
	{"JW-22 iss null", withPayload(`{"iss":null}`), "iss", `invalid_request: subject: "iss" claim must be a string`},
	{"payload text", withPayload(`"alice"`), "form", `invalid_request: subject: the token's payload: not a JSON object`},
	{"payload null", withPayload(`null`), "form", `invalid_request: subject: the token's payload: not a JSON object`},
}

func unsupported(name string) string {
	return fmt.Sprintf(`invalid_request: subject: header has %q, which is not supported`, name)
}

func twice(segment, name string) string {
	return fmt.Sprintf(`invalid_request: subject: the token's %s: member %q stands twice, or with another case`, segment, name)
}

func TestParseRefuses(t *testing.T) {
	for _, c := range hostileTokens {
		t.Run(c.name, func(t *testing.T) {
			u, err := token.Parse(token.Secret(c.raw))
			if u != nil {
				t.Error("got a token beside the error")
			}
			wantDenied(t, err, c.rule, c.text)
		})
	}
}

func TestParseAccepts(t *testing.T) {
	for _, c := range []struct {
		name, raw string
		want      token.Header
	}{
		{"the good token", good, token.Header{Algorithm: "ES256", KeyID: "k1", Type: "at+jwt"}},
		{"JW-9 application/ is implied", withHeader(`{"alg":"ES256","typ":"application/AT+JWT"}`), token.Header{Algorithm: "ES256", Type: "at+jwt"}},
		{"JW-9 no typ", withHeader(`{"alg":"ES256"}`), token.Header{Algorithm: "ES256"}},
		{"JW-8 keys in the header are not read", withHeader(`{"alg":"ES256","jku":1,"jwk":2,"x5u":3,"x5c":4}`), token.Header{Algorithm: "ES256"}},
		{"JW-14 nested names differ by case", withPayload(`{"iss":"https://idp.example","x":{"a":1,"A":2}}`), token.Header{Algorithm: "ES256", KeyID: "k1", Type: "at+jwt"}},
		{"JW-17 as deep as allowed", withPayload(nested(15)), token.Header{Algorithm: "ES256", KeyID: "k1", Type: "at+jwt"}},
		{"JW-17 as many members as allowed", withPayload(`{"iss":"https://idp.example","x":` + wide(256) + `}`), token.Header{Algorithm: "ES256", KeyID: "k1", Type: "at+jwt"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := token.Parse(token.Secret(c.raw))
			if err != nil {
				t.Fatal(err)
			}
			if u.Header != c.want || u.Issuer != "https://idp.example" {
				t.Errorf("got %+v of %q, want %+v", u.Header, u.Issuer, c.want)
			}
		})
	}
}

// JW-1: nobody adds "none" or a MAC to the list by accident.
func TestAlgorithmsAreAsymmetric(t *testing.T) {
	want := []jose.SignatureAlgorithm{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	if !slices.Equal(token.Algorithms, want) {
		t.Errorf("got %v, want %v", token.Algorithms, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	for _, c := range hostileTokens {
		if len(c.raw) < 1<<20 {
			f.Add(c.raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := token.Parse(token.Secret(raw))
		if (u == nil) != (err != nil) {
			t.Fatalf("got a token: %t, and error %v", u != nil, err)
		}
		if err == nil {
			return
		}
		var refusal *denial.Error
		if !errors.As(err, &refusal) || refusal.Code != denial.InvalidRequest {
			t.Errorf("got error %v, want a denial with invalid_request", err)
		}
		if len(err.Error()) > 1000 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
	})
}

// The subject is told as the issuer is: unverified, and only if it is text.
func TestParseTellsTheSubject(t *testing.T) {
	for payload, want := range map[string]string{
		goodPayload: "alice", `{"sub":""}`: "", `{}`: "", `{"sub":7}`: "", `{"sub":null}`: "", `{"sub":["alice"]}`: "", `{"SUB":"alice"}`: "",
	} {
		u, err := token.Parse(token.Secret(withPayload(payload)))
		if err != nil || u.Subject != want {
			t.Errorf("%s: got %q, %v, want %q", payload, u.Subject, err, want)
		}
	}
}

// Claims without a token are read as strictly.
func TestParseClaims(t *testing.T) {
	claims, err := token.ParseClaims([]byte(goodPayload))
	if err != nil || claims["sub"] != "alice" {
		t.Errorf("got %v, %v", claims, err)
	}
	for data, text := range map[string]string{
		`{"sub":"a","SUB":"b"}`: `member "SUB" stands twice, or with another case`,
		`{"sub":"a"} {}`:        `data after the JSON object`,
		`["sub"]`:               `not a JSON object`,
		`{"sub":"\ud800"}`:      `text holds U+FFFD or half of a surrogate pair`,
		nested(16):              `nested deeper than 16 levels`,
		wide(257):               `more than 256 members in one object`,
	} {
		claims, err := token.ParseClaims([]byte(data))
		if claims != nil || err == nil || err.Error() != text {
			t.Errorf("%s: got %v, %v, want %s", data, claims, err, text)
		}
	}
}
