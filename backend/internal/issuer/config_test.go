package issuer_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
)

// goodConfig is a configuration with nothing to object to.
func goodConfig() *issuer.Config {
	c := issuer.NewConfig("github")
	c.BoundIssuer, c.BoundAudiences, c.DiscoveryURL = iss, []string{audience}, "https://idp.example"
	return c
}

// inline replaces where the keys of the good configuration come from.
func inline(c *issuer.Config, jwks string, publicKeys ...string) {
	c.DiscoveryURL, c.JWKS, c.PublicKeys = "", jwks, publicKeys
}

func pemOf(key any) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(key))}))
}

func TestValidateAccepts(t *testing.T) {
	key := newKey("k1")
	for name, edit := range map[string]func(*issuer.Config){
		"the good configuration": func(*issuer.Config) {},
		"jwks_url with ca_pem":   func(c *issuer.Config) { c.DiscoveryURL, c.JWKSURL, c.CAPEM = "", "https://x.example/keys", testCA() },
		"jwks":                   func(c *issuer.Config) { inline(c, jwks(key)) },
		"jwt_validation_pubkeys": func(c *issuer.Config) { inline(c, "", pemOf(publicOf(key)), pemOf(&rsa2048().PublicKey)) },
		"a certificate":          func(c *issuer.Config) { inline(c, "", testCA()) },
		"http to loopback":       func(c *issuer.Config) { c.DiscoveryURL = "http://127.0.0.1:8080/realm" },
		"an empty prefix":        func(c *issuer.Config) { c.SubjectPrefix = "" },
		"allowed_addresses":      func(c *issuer.Config) { c.AllowedAddresses = []string{"10.0.0.0/8", "::1/128"} },
		"every algorithm": func(c *issuer.Config) {
			c.AllowedAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := goodConfig()
			edit(c)
			if err := c.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

const oneSource = `exactly one of oidc_discovery_url, jwks_url, jwks, jwt_validation_pubkeys, introspection_url must be set`

func TestValidateRefuses(t *testing.T) {
	rsaPEM := pemOf(&rsa2048().PublicKey)
	for _, c := range []struct {
		name        string
		edit        func(*issuer.Config)
		field, text string
	}{
		{"name self", func(c *issuer.Config) { c.Name = "self" }, "name", `"self" is reserved: choose another name`},
		{"name entity", func(c *issuer.Config) { c.Name = "entity" }, "name", `"entity" is reserved: choose another name`},
		{"name role", func(c *issuer.Config) { c.Name = "role" }, "name", `"role" is reserved: choose another name`},
		{
			"no bound_issuer", func(c *issuer.Config) { c.BoundIssuer = "" },
			"bound_issuer", `must be set to the exact "iss" claim of the issuer's tokens`,
		},
		{"no source", func(c *issuer.Config) { c.DiscoveryURL = "" }, "oidc_discovery_url", oneSource + `: none is`},
		{
			"two sources", func(c *issuer.Config) { c.JWKSURL = "https://idp.example/keys" },
			"jwks_url", oneSource + `: got ["oidc_discovery_url", "jwks_url"]: empty all but one`,
		},
		{
			"two inline sources", func(c *issuer.Config) { inline(c, jwks(newKey("k1")), rsaPEM) },
			"jwt_validation_pubkeys", oneSource + `: got ["jwks", "jwt_validation_pubkeys"]: empty all but one`,
		},
		{
			"oidc_discovery_url http", func(c *issuer.Config) { c.DiscoveryURL = "http://idp.example" },
			"oidc_discovery_url", `"http://idp.example" ` + notHTTPS,
		},
		{
			"jwks_url http", func(c *issuer.Config) { c.DiscoveryURL, c.JWKSURL = "", "http://idp.example/keys" },
			"jwks_url", `"http://idp.example/keys" ` + notHTTPS,
		},
		{
			"ca_pem of inline keys", func(c *issuer.Config) { inline(c, jwks(newKey("k1"))); c.CAPEM = testCA() },
			"jwks", `the keys are given inline: ca_pem and allowed_addresses would mean nothing`,
		},
		{
			"allowed_addresses of inline keys", func(c *issuer.Config) { inline(c, "", rsaPEM); c.AllowedAddresses = []string{"10.0.0.0/8"} },
			"jwt_validation_pubkeys", `the keys are given inline: ca_pem and allowed_addresses would mean nothing`,
		},
		{"jwks not JSON", func(c *issuer.Config) { inline(c, "keys") }, "jwks", `is not JSON: want the text of a JSON Web Key Set, not the name of its file`},
		{"jwks one key", func(c *issuer.Config) { inline(c, `{"kty":"EC"}`) }, "jwks", `has no "keys": want a JSON Web Key Set, {"keys": [KEY, …]}`},
		{
			"keys that no allowed algorithm fits", func(c *issuer.Config) {
				c.AllowedAlgorithms = []string{"ES384", "EdDSA"}
				inline(c, issuertest.New(t, iss).JWKS(t))
			}, "allowed_algorithms", `none of ["ES384", "EdDSA"] fits any of the keys`,
		},
		{
			"a key whose own algorithm is not allowed", func(c *issuer.Config) {
				c.AllowedAlgorithms = []string{"RS256"}
				inline(c, "", rsaPEM)
				c.AllowedAlgorithms = []string{"ES256"}
			}, "allowed_algorithms", `none of ["ES256"] fits any of the keys`,
		},
		{"jwks empty", func(c *issuer.Config) { inline(c, `{"keys":[]}`) }, "jwks", `no usable key among the 0 of the JSON Web Key Set`},
		{
			"JW-2 jwks symmetric", func(c *issuer.Config) { inline(c, `{"keys":[{"kty":"oct","k":"c2VjcmV0","alg":"HS256","kid":"k1"}]}`) },
			"jwks", `holds a private or symmetric key: give the public keys only, and consider that key disclosed`,
		},
		{
			"jwks with a private key", func(c *issuer.Config) {
				inline(c, `{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"c2VjcmV0","kid":"k1"}]}`)
			},
			"jwks", `holds a private or symmetric key: give the public keys only, and consider that key disclosed`,
		},
		{
			"jwt_validation_pubkeys no PEM", func(c *issuer.Config) { inline(c, "", "key") },
			"jwt_validation_pubkeys", `element 1 is not one public key in PEM form`,
		},
		{
			"jwt_validation_pubkeys two keys in one element", func(c *issuer.Config) { inline(c, "", rsaPEM, rsaPEM+rsaPEM) },
			"jwt_validation_pubkeys", `element 2 is not one public key in PEM form`,
		},
		{
			"jwt_validation_pubkeys a private key", func(c *issuer.Config) {
				inline(c, "", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(newKey("").Key))})))
			},
			"jwt_validation_pubkeys", `element 1: want a block of type PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE`,
		},
		{
			"jwt_validation_pubkeys garbage", func(c *issuer.Config) {
				inline(c, "", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
			},
			"jwt_validation_pubkeys", `element 1: malformed key`,
		},
		{
			"JW-3 jwt_validation_pubkeys with 1024 bits", func(c *issuer.Config) { inline(c, "", pemOf(&rsa1024().PublicKey)) },
			"jwt_validation_pubkeys", `element 1: ` + unusablePEM,
		},
		{
			"JW-3 jwt_validation_pubkeys on P-224", func(c *issuer.Config) { inline(c, "", pemOf(publicOf(newKeyOn(elliptic.P224(), "", "")))) },
			"jwt_validation_pubkeys", `element 1: ` + unusablePEM,
		},
		{
			"JW-23 more than 100 jwt_validation_pubkeys", func(c *issuer.Config) { inline(c, "", strings.Split(strings.Repeat(rsaPEM+"|", 100), "|")...) },
			"jwt_validation_pubkeys", `has more than 100 keys`,
		},
		{"no algorithm", func(c *issuer.Config) { c.AllowedAlgorithms = nil }, "allowed_algorithms", `must name at least one algorithm`},
		{"JW-1 none", func(c *issuer.Config) { c.AllowedAlgorithms = []string{"RS256", "none"} }, "allowed_algorithms", badAlgorithm("none")},
		{"JW-1 HS256", func(c *issuer.Config) { c.AllowedAlgorithms = []string{"HS256"} }, "allowed_algorithms", badAlgorithm("HS256")},
		{"JW-1 es256", func(c *issuer.Config) { c.AllowedAlgorithms = []string{"es256"} }, "allowed_algorithms", badAlgorithm("es256")},
		{
			"JW-6 no bound_audiences", func(c *issuer.Config) { c.BoundAudiences = nil },
			"bound_audiences", `must be set: the "aud" claims that mean this engine`,
		},
		{"an empty audience", func(c *issuer.Config) { c.BoundAudiences = []string{audience, ""} }, "bound_audiences", `has an empty element`},
		{"an empty required claim", func(c *issuer.Config) { c.RequiredClaims = []string{""} }, "required_claims", `has an empty element`},
		{"a negative max_token_age", func(c *issuer.Config) { c.MaxTokenAge = -time.Second }, "max_token_age", `must not be negative`},
		{
			"allowed_addresses an address", func(c *issuer.Config) { c.AllowedAddresses = []string{"10.0.0.1"} },
			"allowed_addresses", `"10.0.0.1" is not a CIDR such as 10.0.0.0/8`,
		},
		{"ca_pem no PEM", func(c *issuer.Config) { c.CAPEM = "certificate" }, "ca_pem", `has no certificate in PEM form`},
		{"prefix entity:", func(c *issuer.Config) { c.SubjectPrefix = "entity:" }, "subject_prefix", reserved("entity:", "entity:")},
		{"prefix that begins with entity:", func(c *issuer.Config) { c.SubjectPrefix = "entity:x:" }, "subject_prefix", reserved("entity:x:", "entity:")},
		{"prefix that entity: begins with", func(c *issuer.Config) { c.SubjectPrefix = "ent" }, "subject_prefix", reserved("ent", "entity:")},
		{"prefix role:", func(c *issuer.Config) { c.SubjectPrefix = "role:" }, "subject_prefix", reserved("role:", "role:")},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := goodConfig()
			c.edit(config)
			wantDenied(t, config.Validate(), denial.InvalidRequest, c.field, c.field+": "+c.text)
		})
	}
}

const unusablePEM = `want an RSA key of 2048 bits or more, an EC key on P-256, P-384 or P-521, or an Ed25519 key`

func badAlgorithm(alg string) string {
	return fmt.Sprintf(`%q is not supported: use any of [RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA]`, alg)
}

func reserved(prefix, by string) string {
	return fmt.Sprintf(`%q cannot be told from the reserved prefix %q`, prefix, by)
}

func TestCheckAgainst(t *testing.T) {
	for _, c := range []struct {
		name        string
		edit        func(a, b *issuer.Config) // a is checked against b
		field, text string                    // field "" accepts
	}{
		{"two good issuers", func(_, _ *issuer.Config) {}, "", ""},
		{"itself", func(a, b *issuer.Config) { *a = *b }, "", ""},
		{"an empty prefix", func(a, _ *issuer.Config) { a.SubjectPrefix = "" }, "", ""},
		{"another's empty prefix", func(_, b *issuer.Config) { b.SubjectPrefix = "" }, "", ""},
		{
			"two empty prefixes", func(a, b *issuer.Config) { a.SubjectPrefix, b.SubjectPrefix = "", "" },
			"subject_prefix", `is empty, as the issuer "gitlab"'s already is: at most one may be`,
		},
		{
			"the same prefix", func(a, _ *issuer.Config) { a.SubjectPrefix = "gitlab:" },
			"subject_prefix", `"gitlab:" cannot be told from "gitlab:" of the issuer "gitlab"`,
		},
		{
			"a prefix that begins with another's", func(a, _ *issuer.Config) { a.SubjectPrefix = "gitlab:x:" },
			"subject_prefix", `"gitlab:x:" cannot be told from "gitlab:" of the issuer "gitlab"`,
		},
		{
			"a prefix that another's begins with", func(a, _ *issuer.Config) { a.SubjectPrefix = "git" },
			"subject_prefix", `"git" cannot be told from "gitlab:" of the issuer "gitlab"`,
		},
		{
			"the same bound_issuer", func(a, b *issuer.Config) { a.BoundIssuer = b.BoundIssuer },
			"bound_issuer", `"https://gitlab.example" is already the bound_issuer of the issuer "gitlab"`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := goodConfig(), issuer.NewConfig("gitlab")
			b.BoundIssuer = "https://gitlab.example"
			c.edit(a, b)
			err := a.CheckAgainst(b)
			if c.field == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantDenied(t, err, denial.InvalidRequest, c.field, c.field+": "+c.text)
		})
	}
}
