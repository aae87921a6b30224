package dpop_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/dpop"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/jwstest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// The proofs of RFC 9449 §§4.2, 5 and 7.1, and the thumbprint of their key (§6.1).
const (
	rfcHeader = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldW" +
		"QVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
	rfcTokenProof = rfcHeader + ".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0" +
		"IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	rfcRefreshProof = rfcHeader + ".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0" +
		"IjoxNTYyMjY1Mjk2fQ.pAqut2IRDm_De6PR93SYmGBPXpwrAk90e8cP2hjiaG5QsGSuKDYW7_X620BxqhvYC8ynrrvZLTk41mSRroapUA"
	rfcResourceProof = rfcHeader + ".eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNv" +
		"dXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1p" +
		"lemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	rfcAccessToken = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
	rfcThumbprint  = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
)

// DP-2 and DP-6: the thumbprint is that of RFC 9449 §6.1, "ath" that of §7.1.
func TestProofsOfTheRFC(t *testing.T) {
	tokenEndpoint := dpop.Request{Method: "POST", URLs: []string{"https://server.example.com/token"}}
	resource := dpop.Request{Method: "GET", URLs: []string{"https://resource.example.org/protectedresource"}}
	hash := sha256.Sum256([]byte(rfcAccessToken))
	for _, c := range []struct {
		name, raw string
		want      dpop.Request
		proof     dpop.Proof
	}{
		{"token request", rfcTokenProof, tokenEndpoint, dpop.Proof{ID: "-BwC3ESc6acc2lTc", IssuedAt: time.Unix(1562262616, 0)}},
		{"refresh request", rfcRefreshProof, tokenEndpoint, dpop.Proof{ID: "-BwC3ESc6acc2lTc", IssuedAt: time.Unix(1562265296, 0)}},
		{"resource request", rfcResourceProof, resource, dpop.Proof{
			ID: "e1j3V_bKic8-LAEB", IssuedAt: time.Unix(1562262618, 0), AccessTokenHash: b64(hash[:]),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.proof.Thumbprint = rfcThumbprint
			got, err := dpop.Verify(c.raw, c.want, c.proof.IssuedAt)
			if err != nil {
				t.Fatal(err)
			}
			if got != c.proof {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// Every algorithm that the engine knows makes a proof, whatever else a header says
// of keys; and all that a claim may say besides is left alone.
func TestGoodProofs(t *testing.T) {
	keys := map[jose.SignatureAlgorithm]any{jose.ES256: p256(), jose.ES384: p384(), jose.ES512: p521(), jose.EdDSA: edKey()}
	for _, alg := range token.Algorithms {
		key, ok := keys[alg]
		if !ok {
			key = rsa2048()
		}
		t.Run(string(alg), func(t *testing.T) {
			public := jose.JSONWebKey{Key: key}
			public = public.Public()
			d := good()
			d.header["alg"], d.header["jwk"], d.key = alg, jwk(public.Key), key
			wantThumbprint(t, d, &public)
		})
	}
	for _, c := range []struct {
		name   string
		change func(*draft)
	}{
		{"as it is", func(*draft) {}},
		{"DP-7 by an alias", func(d *draft) { d.claims["htu"] = "https://alias.example/token" }},
		{"DP-1 (9) another spelling of the URL, with query and fragment", func(d *draft) {
			d.claims["htu"] = "HTTPS://VAULT.example:443/v1/./x/../token%2dexchange/oauth/token?a=b#c"
		}},
		{"DP-1 (11) as old as can be", func(d *draft) { d.claims["iat"] = now.Unix() - 60 }},
		{"DP-1 (11) as far ahead as can be", func(d *draft) { d.claims["iat"] = now.Unix() + 5 }},
		{"DP-1 (11) a fraction of a second", func(d *draft) { d.claims["iat"] = float64(now.Unix()) - 0.5 }},
		{"dates of any JWT", func(d *draft) { d.claims["exp"], d.claims["nbf"] = now.Unix()+1, now.Unix() }},
		{"a long jti", func(d *draft) { d.claims["jti"] = strings.Repeat("j", 256) }},
		{"claims of no interest", func(d *draft) { d.claims["sub"], d.claims["x"] = "alice", []int{1} }},
		{"the members of WebCrypto", func(d *draft) {
			key := d.header["jwk"].(object)
			key["ext"], key["key_ops"], key["use"], key["alg"], key["kid"] = true, []string{"verify"}, "sig", "ES256", "k1"
		}},
		{"other keys in the header: nobody looks", func(d *draft) {
			d.header["kid"], d.header["jku"], d.header["x5u"] = "../../x", "https://evil.example/keys", "https://evil.example/cert"
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantThumbprint(t, good().with(c.change), &jose.JSONWebKey{Key: p256().Public()})
		})
	}
}

func wantThumbprint(t *testing.T, d *draft, key *jose.JSONWebKey) {
	t.Helper()
	got, err := dpop.Verify(d.signed(), want, now)
	if err != nil {
		t.Fatal(err)
	}
	if thumbprint := b64(must(key.Thumbprint(crypto.SHA256))); got.Thumbprint != thumbprint {
		t.Errorf("thumbprint %s, want %s", got.Thumbprint, thumbprint)
	}
}

type bad struct {
	name       string
	change     func(*draft)
	rule, text string // the text after "invalid_dpop_proof: <rule>: "
}

func header(name string, value any) func(*draft) { return func(d *draft) { d.header[name] = value } }

func claim(name string, value any) func(*draft) { return func(d *draft) { d.claims[name] = value } }

func member(name string, value any) func(*draft) {
	return func(d *draft) { d.header["jwk"].(object)[name] = value }
}
func noHeader(name string) func(*draft) { return func(d *draft) { delete(d.header, name) } }
func noClaim(name string) func(*draft)  { return func(d *draft) { delete(d.claims, name) } }

// by signs with another key, and says so in the header.
func by(alg string, key, public any) func(*draft) {
	return func(d *draft) { d.header["alg"], d.header["jwk"], d.key = alg, jwk(public), key }
}

const (
	badAlg     = "the header names no accepted algorithm: want an asymmetric one"
	badKey     = "is not a well-formed public key of an accepted type"
	secretKey  = "must be a public key alone: what was sent is known to others now and must not be used again"
	noJWK      = "is missing from the header, or is not an object"
	badURL     = "is not the URL of this endpoint: expected https://vault.example/v1/token-exchange/oauth/token or https://alias.example/token"
	badForm    = "is not one well-formed signed JWT in compact serialization"
	badTyp     = "the header must say dpop+jwt"
	isMissing  = "is missing or empty"
	notString  = "must be a string"
	notDate    = "is not a number of seconds since 1970"
	badHash    = "is not a SHA-256 hash in base64url"
	unsigned   = "does not verify with the key in the header"
	encodePath = "has a character in its path that must be encoded"
)

var badHeaders = []bad{
	{"DP-1 (4) no typ", noHeader("typ"), "typ", badTyp},
	{"DP-1 (4) typ JWT", header("typ", "JWT"), "typ", badTyp},
	{"DP-1 (4) typ in another case", header("typ", "DPoP+jwt"), "typ", badTyp},
	{"DP-1 (4) typ with application/", header("typ", "application/dpop+jwt"), "typ", badTyp},
	{"DP-1 (4) typ of an access token", header("typ", "at+jwt"), "typ", badTyp},
	{"DP-1 (5) none", header("alg", "none"), "alg", badAlg},
	{"DP-1 (5) no alg", noHeader("alg"), "alg", badAlg},
	{"DP-1 (5) alg in another case", header("alg", "es256"), "alg", badAlg},
	{"DP-1 (5) secp256k1", header("alg", "ES256K"), "alg", badAlg},
	{
		"DP-1 (5) DP-7 HS256 with a key in the header", func(d *draft) {
			d.header["alg"], d.header["jwk"], d.key = "HS256", object{"kty": "oct", "k": b64("secret")}, []byte("secret")
		}, "alg", badAlg,
	},
	{"DP-1 (5) alg of another curve", by("ES384", p256(), p256().Public()), "jwk", "an EC key on P-256 cannot be used with ES384"},
	{"DP-1 (5) alg of another type", by("RS256", p256(), p256().Public()), "jwk", "an EC key on P-256 cannot be used with RS256"},
	{"DP-1 (5) RSA key with EdDSA", by("EdDSA", rsa2048(), rsa2048().Public()), "jwk", "an RSA key cannot be used with EdDSA"},
	{"DP-1 (5) RSA key of 1024 bits", by("RS256", rsa1024(), rsa1024().Public()), "jwk", "an RSA key of 1024 bits is too short: 2048 is the least"},
	{"DP-1 (6) signed by another key", func(d *draft) { d.key = must(newKey()) }, "signature", unsigned},
	{"DP-1 (6) PS256 signed as RS256", func(d *draft) {
		by("RS256", rsa2048(), rsa2048().Public())(d)
		d.header["alg"], d.alg = "PS256", "RS256"
	}, "signature", unsigned},
	{"DP-1 (6) no jwk, and a kid", func(d *draft) { delete(d.header, "jwk"); d.header["kid"] = "k1" }, "jwk", noJWK},
	{"DP-1 (6) no jwk, and a jku", func(d *draft) { delete(d.header, "jwk"); d.header["jku"] = "https://evil.example" }, "jwk", noJWK},
	{"DP-1 (6) jwk a string", header("jwk", "{}"), "jwk", noJWK},
	{"DP-1 (6) jwk null", header("jwk", nil), "jwk", noJWK},
	{"DP-1 (6) jwk empty", header("jwk", object{}), "jwk", badKey},
	{"DP-1 (6) jwk of an unknown type", member("kty", "AKP"), "jwk", badKey},
	{"DP-1 (6) jwk type a number", member("kty", 1), "jwk", badKey},
	{"DP-1 (6) a point not on the curve", member("y", b64(make([]byte, 32))), "jwk", badKey},
	{"DP-1 (6) an unknown curve", member("crv", "secp256k1"), "jwk", badKey},
	{"DP-1 (6) X25519", header("jwk", object{"kty": "OKP", "crv": "X25519", "x": b64(make([]byte, 32))}), "jwk", badKey},
	{"DP-1 (6) half a key", func(d *draft) { delete(d.header["jwk"].(object), "y") }, "jwk", badKey},
	{"DP-1 (6) a coordinate an object", member("x", object{"a": 1}), "jwk", badKey},
	{"DP-1 (6) another spelling: a newline", func(d *draft) {
		key := d.header["jwk"].(object)
		key["x"] = key["x"].(string) + "\n"
	}, "jwk", badKey},
	{"DP-1 (6) another spelling: leading zeros", func(d *draft) {
		by("RS256", rsa2048(), rsa2048().Public())(d)
		d.header["jwk"].(object)["e"] = "AAEAAQ"
	}, "jwk", badKey},
	{"DP-1 (6) jwk for another algorithm", member("alg", "ES384"), "jwk", "is for another algorithm than the header alg names"},
	{"DP-1 (6) jwk for encryption", member("use", "enc"), "jwk", "is not for signatures"},
	{"DP-1 (7) DP-7 a private EC key", header("jwk", jwk(p256())), "jwk", secretKey},
	{"DP-1 (7) DP-7 a private RSA key", by("RS256", rsa2048(), rsa2048()), "jwk", secretKey},
	{"DP-1 (7) DP-7 a private Ed25519 key", by("EdDSA", edKey(), edKey()), "jwk", secretKey},
	{"DP-1 (7) DP-7 d null", member("d", nil), "jwk", secretKey},
	{"DP-1 (7) one prime", member("p", "AQAB"), "jwk", secretKey},
	{"DP-1 (7) the other prime", member("q", "AQAB"), "jwk", secretKey},
	{"DP-1 (7) an exponent", member("dp", "AQAB"), "jwk", secretKey},
	{"DP-1 (7) the other exponent", member("dq", "AQAB"), "jwk", secretKey},
	{"DP-1 (7) the coefficient", member("qi", "AQAB"), "jwk", secretKey},
	{"DP-1 (7) more primes", member("oth", []any{}), "jwk", secretKey},
	{"DP-1 (7) a symmetric key", member("k", "AQAB"), "jwk", secretKey},
	{"crit", func(d *draft) { d.header["crit"], d.header["x"] = []string{"x"}, 1 }, "crit", "the header has crit, which is not supported"},
	{"an empty crit", header("crit", []string{}), "crit", "the header has crit, which is not supported"},
	{"b64", header("b64", false), "b64", "the header has b64, which is not supported"},
	{"zip", header("zip", "DEF"), "zip", "the header has zip, which is not supported"},
	{"kid a number", header("kid", 1), "kid", "is malformed"},
}

var badClaims = []bad{
	{"DP-1 (3) no jti", noClaim("jti"), "jti", isMissing},
	{"DP-1 (3) jti empty", claim("jti", ""), "jti", isMissing},
	{"DP-1 (3) jti a number", claim("jti", 1), "jti", notString},
	{"DP-1 (3) jti null", claim("jti", nil), "jti", notString},
	{"DP-4 a large jti", claim("jti", strings.Repeat("j", 257)), "jti", "is 257 bytes long: the limit is 256"},
	{"DP-1 (3) no htm", noClaim("htm"), "htm", isMissing},
	{"DP-1 (3) htm a list", claim("htm", []string{"POST"}), "htm", notString},
	{"DP-1 (8) htm GET", claim("htm", "GET"), "htm", "is not the method of this request"},
	{"DP-1 (8) htm in another case", claim("htm", "post"), "htm", "is not the method of this request"},
	{"DP-1 (3) no htu", noClaim("htu"), "htu", isMissing},
	{"DP-1 (3) htu an object", claim("htu", object{}), "htu", notString},
	{"DP-1 (9) another path", claim("htu", endpoint+"/x"), "htu", badURL},
	{"DP-1 (9) a slash more", claim("htu", endpoint+"/"), "htu", badURL},
	{"DP-1 (9) path in another case", claim("htu", strings.Replace(endpoint, "oauth", "OAuth", 1)), "htu", badURL},
	{"DP-1 (9) an encoded slash is none", claim("htu", strings.Replace(endpoint, "oauth/", "oauth%2F", 1)), "htu", badURL},
	{"DP-1 (9) another scheme", claim("htu", strings.Replace(endpoint, "https", "http", 1)), "htu", badURL},
	{"DP-1 (9) another port", claim("htu", "https://vault.example:8200/v1/token-exchange/oauth/token"), "htu", badURL},
	{"DP-1 (9) VT-7 another host", claim("htu", "https://evil.example/v1/token-exchange/oauth/token"), "htu", badURL},
	{"DP-7 the listener behind the proxy", claim("htu", "http://127.0.0.1:8200/v1/token-exchange/oauth/token"), "htu", badURL},
	{"DP-1 (9) the path of one alias at the host of another", claim("htu", "https://alias.example/v1/token-exchange/oauth/token"), "htu", badURL},
	{"DP-1 (9) no URL", claim("htu", "/token"), "htu", "is not an http or https URL"},
	{"DP-1 (9) a user in it", claim("htu", "https://a@vault.example/v1/token-exchange/oauth/token"), "htu", "has a malformed host"},
	{"DP-1 (9) a space in it", claim("htu", endpoint+" "), "htu", encodePath},
	{"DP-1 (9) too long", claim("htu", "https://"+strings.Repeat("a", 2041)), "htu", "is 2049 bytes long: the limit is 2048"},
	{"DP-1 (3) no iat", noClaim("iat"), "iat", "is missing"},
	{"DP-1 (3) iat text", claim("iat", "1800000000"), "iat", notDate},
	{"DP-1 (3) iat null", claim("iat", nil), "iat", notDate},
	{"DP-1 (3) iat beyond any date", claim("iat", json.Number("1e400")), "iat", notDate},
	{"DP-1 (11) iat too old", claim("iat", now.Unix()-61), "iat", "is more than 60 seconds ago: check the clock"},
	{"DP-1 (11) iat too far ahead", claim("iat", now.Unix()+6), "iat", "is more than 5 seconds ahead: check the clock"},
	{"DP-1 (11) iat in milliseconds", claim("iat", now.UnixMilli()), "iat", notDate},
	{"DP-1 (11) iat the last date", claim("iat", 253402300799), "iat", "is more than 5 seconds ahead: check the clock"},
	{"DP-1 (11) iat the first date", claim("iat", 0), "iat", "is more than 60 seconds ago: check the clock"},
	{"exp passed", claim("exp", now.Unix()), "exp", "is in the past"},
	{"exp text", claim("exp", "never"), "exp", notDate},
	{"nbf ahead", claim("nbf", now.Unix()+6), "nbf", "is more than 5 seconds ahead: check the clock"},
	{"DP-3 nonce a number", claim("nonce", 1), "nonce", notString},
	{"DP-3 a large nonce", claim("nonce", strings.Repeat("n", 257)), "nonce", "is 257 bytes long: the limit is 256"},
	{"DP-6 ath a number", claim("ath", 1), "ath", notString},
	{"DP-6 ath empty", claim("ath", ""), "ath", badHash},
	{"DP-6 ath too short", claim("ath", b64("short")), "ath", badHash},
	{"DP-6 ath padded", claim("ath", rfcThumbprint+"="), "ath", badHash},
	{"iss a number", claim("iss", 1), "iss", "is malformed"},
}

func TestBadProofs(t *testing.T) {
	for _, c := range slices.Concat(badHeaders, badClaims) {
		t.Run(c.name, func(t *testing.T) {
			_, err := dpop.Verify(good().with(c.change).signed(), want, now)
			wantRefused(t, err, c.rule, fmt.Sprintf("invalid_dpop_proof: %s: %s", c.rule, c.text))
		})
	}
}

// DP-1 (1) and (2): one proof, one form.
func TestBadForms(t *testing.T) {
	raw := good().signed()
	parts := strings.Split(raw, ".")
	for _, c := range []struct{ name, raw, rule, text string }{
		{"DP-5 none", "", "form", "is missing"},
		{"DP-1 (1) two headers, joined", raw + "," + raw, "form", "there is more than one: send one DPoP header"},
		{"DP-1 (1) two headers, joined with a space", raw + ", " + raw, "form", "there is more than one: send one DPoP header"},
		{"DP-1 (2) a line break", raw + "\n", "form", badForm},
		{"DP-1 (2) JSON serialization", `{"payload":"` + parts[1] + `"}`, "form", badForm},
		{"DP-1 (2) no signature", parts[0] + "." + parts[1] + ".", "form", badForm},
		{"DP-1 (2) two segments", parts[0] + "." + parts[1], "form", badForm},
		{"DP-1 (2) encrypted", raw + ".YQ.YQ", "form", badForm},
		{"DP-1 (2) padded", raw + "=", "form", badForm},
		{"DP-1 (2) no base64", parts[0] + "." + parts[1] + "A." + parts[2], "form", badForm},
		{"DP-1 (2) claims a list", jwstest.Sign(string(must(json.Marshal(good().header))), "[]", p256(), "ES256"), "form", badForm},
		{
			"DP-1 (2) jti twice", jwstest.Sign(string(must(json.Marshal(good().header))), `{"jti":"a","jti":"b"}`, p256(), "ES256"),
			"form", badForm,
		},
		{
			"DP-1 (2) a member of the key twice",
			jwstest.Sign(`{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC","kty":"EC"}}`, "{}", p256(), "ES256"),
			"form", badForm,
		},
		{"too long", raw + strings.Repeat("a", 8193-len(raw)), "size", "is 8193 bytes long: the limit is 8192"},
		{"DP-1 (6) another byte in the claims", parts[0] + "." + b64(`{"jti":"two"}`) + "." + parts[2], "signature", unsigned},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := dpop.Verify(c.raw, want, now)
			wantRefused(t, err, c.rule, fmt.Sprintf("invalid_dpop_proof: %s: %s", c.rule, c.text))
		})
	}
}

// What is asked for decides: VT-7 and fail closed.
func TestRequestDecides(t *testing.T) {
	for _, c := range []struct {
		name       string
		want       dpop.Request
		rule, text string
	}{
		{"another method", dpop.Request{Method: "GET", URLs: want.URLs}, "htm", "is not the method of this request"},
		{"no URL configured", dpop.Request{Method: "POST"}, "htu", "is not the URL of this endpoint: expected "},
		{"only a bad URL configured", dpop.Request{Method: "POST", URLs: []string{"", "vault"}}, "htu", "is not the URL of this endpoint: expected  or vault"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := dpop.Verify(good().signed(), c.want, now)
			wantRefused(t, err, c.rule, fmt.Sprintf("invalid_dpop_proof: %s: %s", c.rule, c.text))
		})
	}
}
