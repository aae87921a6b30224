package client_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denialtest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
)

// configured is a good client of each method; each case changes one thing in it.
func configured(method string) *client.Config {
	c := &client.Config{ID: clientID, Role: "orders", AuthMethod: method}
	switch method {
	case client.PrivateKeyJWT, client.SelfSignedTLS:
		c.JWKS = jwks(clientKey())
	case client.FederatedJWT:
		c.FederatedIssuer, c.FederatedSubject = "ci", "repo:example/billing"
	case client.TLSClientAuth:
		c.TLSSANDNS, c.TLSCA = "billing.example", authority().pem
	case client.None:
		c.DPoPRequired = true
	}
	return c
}

const (
	oneName  = "exactly one of tls_client_auth_subject_dn and tls_client_auth_san_dns, _san_uri, _san_ip and _san_email must be set"
	notAName = `give it as RFC 4514 writes it, such as CN=billing,O=Example`
	vschar   = `has a character that is not allowed: use printable ASCII other than ":", "," and "/"`
)

const everyTokenHas = `binds only what every token of the issuer has: bind a claim that tells the client from others`

func neverTaken(name string) string {
	return fmt.Sprintf("claim %q: a token that has it is no assertion: bind another claim", name)
}

// bindOnly binds one claim, and no subject.
func bindOnly(name string) func(*client.Config) {
	return func(c *client.Config) { c.FederatedSubject, c.FederatedClaims = "", policy.Bound{name: "a"} }
}

func TestGoodConfigurations(t *testing.T) {
	for _, method := range client.Methods {
		if err := configured(method).Validate(); err != nil {
			t.Errorf("%s: %s", method, err)
		}
	}
	for name, edit := range map[string]func(*client.Config){
		"VSCHAR":              func(c *client.Config) { c.ID = "a b+c%d~!@" },
		"introspection only":  func(c *client.Config) { c.Role, c.Audiences = "", []string{"https://orders.example"} },
		"as long as an id is": func(c *client.Config) { c.ID = strings.Repeat("a", 128) },
	} {
		c := configured(client.ClientSecretBasic)
		edit(c)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %s", name, err)
		}
	}
}

func TestConfigurationRefused(t *testing.T) {
	for _, c := range []struct {
		name, method string
		edit         func(*client.Config)
		field, text  string
	}{
		{"no id", client.None, func(c *client.Config) { c.ID = "" }, "name", "must be set"},
		{"a long id", client.None, func(c *client.Config) { c.ID = strings.Repeat("a", 129) }, "name", "has 129 characters: the limit is 128"},
		{"VT-1 id with a comma", client.None, func(c *client.Config) { c.ID = "a,b" }, "name", vschar},
		{"CA-8 id with a colon", client.None, func(c *client.Config) { c.ID = "role:orders" }, "name", vschar},
		{"id with a slash", client.None, func(c *client.Config) { c.ID = "a/secret" }, "name", vschar},
		{"id with a line break", client.None, func(c *client.Config) { c.ID = "a\n" }, "name", vschar},
		{"id with an umlaut", client.None, func(c *client.Config) { c.ID = "ü" }, "name", vschar},
		{"id with a space at its end", client.None, func(c *client.Config) { c.ID = "a " }, "name", "must not begin or end with a space, and not be dots only"},
		{"id of dots", client.None, func(c *client.Config) { c.ID = ".." }, "name", "must not begin or end with a space, and not be dots only"},

		{"VT-1 audience with a comma", client.PrivateKeyJWT, func(c *client.Config) { c.Audiences = []string{"a,b"} }, "audiences", `"a,b" has a comma or "*": give the exact audiences, one an element`},
		{"audience a pattern", client.PrivateKeyJWT, func(c *client.Config) { c.Audiences = []string{"*"} }, "audiences", `"*" has a comma or "*": give the exact audiences, one an element`},
		{"audience empty", client.PrivateKeyJWT, func(c *client.Config) { c.Audiences = []string{""} }, "audiences", `has an empty element`},
		{"audience twice", client.PrivateKeyJWT, func(c *client.Config) { c.Audiences = []string{"a", "a"} }, "audiences", `has "a" twice`},
		{"audience long", client.PrivateKeyJWT, func(c *client.Config) { c.Audiences = []string{strings.Repeat("a", 2049)} }, "audiences", `has an element of 2049 characters: the limit is 2048`},
		{"many audiences", client.PrivateKeyJWT, func(c *client.Config) { c.Audiences = make([]string, 257) }, "audiences", `has more than 256 elements`},

		{"no method", client.None, func(c *client.Config) { c.AuthMethod = "" }, "auth_method", "must be one of " + strings.Join(client.Methods, ", ")},
		{"a symmetric method", client.None, func(c *client.Config) { c.AuthMethod = "client_secret_jwt" }, "auth_method", "must be one of " + strings.Join(client.Methods, ", ")},

		{
			"none without DPoP", client.None, func(c *client.Config) { c.DPoPRequired = false }, "auth_method",
			`"none" lets everyone who knows the id be the client: set dpop_required=true, or insecure_public=true if that is meant`,
		},
		{
			"none that introspects", client.None, func(c *client.Config) { c.Audiences = []string{"a"} }, "audiences",
			`means nothing for the auth_method "none": only a client that proves who it is may introspect`,
		},
		{
			"none without a role", client.None, func(c *client.Config) { c.Role = "" }, "role",
			`must be set for the auth_method "none": without a role a client may only introspect, for which it has to prove who it is`,
		},

		{
			"none with a limit", client.None, func(c *client.Config) { c.RateLimit = 1 }, "rate_limit",
			`would be anybody's to exhaust with the auth_method "none": leave it 0`,
		},

		{"no keys", client.PrivateKeyJWT, func(c *client.Config) { c.JWKS = "" }, "jwks", `exactly one of jwks and jwks_url must be set: none is`},
		{"two sources", client.PrivateKeyJWT, func(c *client.Config) { c.JWKSURL = endpoint }, "jwks_url", `exactly one of jwks and jwks_url must be set: both are`},
		{"no JWKS", client.PrivateKeyJWT, func(c *client.Config) { c.JWKS = "{}" }, "jwks", `has no "keys": want a JSON Web Key Set, {"keys": [KEY, …]}`},
		{
			"a symmetric key", client.PrivateKeyJWT, func(c *client.Config) { c.JWKS = `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}` },
			"jwks", `holds a private or symmetric key: give the public keys only, and consider that key disclosed`,
		},
		{"a large JWKS", client.PrivateKeyJWT, func(c *client.Config) { c.JWKS = strings.Repeat(" ", 1<<18+1) }, "jwks", `has 262145 characters: the limit is 262144`},
		{
			"keys by http", client.PrivateKeyJWT, func(c *client.Config) { c.JWKS, c.JWKSURL = "", "http://billing.example/keys" }, "jwks_url",
			`"http://billing.example/keys" must be https (http is accepted for a literal loopback address such as 127.0.0.1 only)`,
		},
		{
			"addresses of inline keys", client.PrivateKeyJWT, func(c *client.Config) { c.AllowedAddresses = []string{"10.0.0.0/8"} },
			"jwks", `the keys are given inline: ca_pem and allowed_addresses would mean nothing`,
		},
		{
			"an address that is none", client.PrivateKeyJWT, func(c *client.Config) { c.JWKS, c.JWKSURL, c.AllowedAddresses = "", endpoint, []string{"10"} },
			"allowed_addresses", `"10" is not a CIDR such as 10.0.0.0/8`,
		},

		{"no issuer", client.FederatedJWT, func(c *client.Config) { c.FederatedIssuer = "" }, "federated_issuer", `must be set to the name of a trusted issuer`},
		{"our own tokens", client.FederatedJWT, func(c *client.Config) { c.FederatedIssuer = "self" }, "federated_issuer", `"self" is no trusted issuer: our own tokens authenticate nobody`},
		{
			"nothing bound", client.FederatedJWT, func(c *client.Config) { c.FederatedSubject = "" }, "federated_subject",
			`federated_subject or federated_claims must be set: every token of the issuer would be the client`,
		},
		{
			"a pattern as subject", client.FederatedJWT, func(c *client.Config) { c.FederatedSubject = "repo:*" }, "federated_subject",
			`"repo:*": "*" would be an ordinary character: give the exact "sub" claim`,
		},
		{
			"a pattern as claim", client.FederatedJWT, func(c *client.Config) { c.FederatedClaims = policy.Bound{"ref": []any{"a", "*"}} }, "federated_claims",
			`claim "ref": "*" would be an ordinary character: give the exact values`,
		},
		{
			"an empty list of values", client.FederatedJWT, func(c *client.Config) { c.FederatedClaims = policy.Bound{"ref": []any{}} }, "federated_claims",
			`claim "ref" has an empty list of values: nothing could match it`,
		},
		{
			"only the audience bound", client.FederatedJWT, func(c *client.Config) {
				c.FederatedSubject, c.FederatedClaims = "", policy.Bound{"aud": "a", "/iss": "b"}
			}, "federated_claims",
			`binds only what every token of the issuer has: bind a claim that tells the client from others`,
		},
		{"an element of the audience bound", client.FederatedJWT, bindOnly("/aud/0"), "federated_claims", everyTokenHas},
		{"the end bound", client.FederatedJWT, bindOnly("exp"), "federated_claims", everyTokenHas},
		{"an application bound, whoever uses it", client.FederatedJWT, bindOnly("azp"), "federated_claims", everyTokenHas},
		{"an application bound by its id", client.FederatedJWT, bindOnly("client_id"), "federated_claims", everyTokenHas},
		{"an application bound, as Okta has it", client.FederatedJWT, bindOnly("cid"), "federated_claims", everyTokenHas},
		{"an application bound, as Entra has it", client.FederatedJWT, bindOnly("appid"), "federated_claims", everyTokenHas},
		{"the kind of a token bound", client.FederatedJWT, bindOnly("token_use"), "federated_claims", everyTokenHas},
		{"the type of a token bound", client.FederatedJWT, bindOnly("typ"), "federated_claims", everyTokenHas},
		{"the version of a token bound", client.FederatedJWT, bindOnly("ver"), "federated_claims", everyTokenHas},
		{"a way to sign in bound", client.FederatedJWT, bindOnly("/amr/0"), "federated_claims", everyTokenHas},
		{"a strength of it bound", client.FederatedJWT, bindOnly("acr"), "federated_claims", everyTokenHas},
		{"a time of it bound", client.FederatedJWT, bindOnly("auth_time"), "federated_claims", everyTokenHas},
		{"a tenant bound", client.FederatedJWT, bindOnly("tid"), "federated_claims", everyTokenHas},
		{"a domain bound", client.FederatedJWT, bindOnly("hd"), "federated_claims", everyTokenHas},
		{"any verified address bound", client.FederatedJWT, bindOnly("email_verified"), "federated_claims", everyTokenHas},
		{"a scope bound", client.FederatedJWT, bindOnly("scope"), "federated_claims", everyTokenHas},
		{"scopes bound", client.FederatedJWT, bindOnly("/scp/0"), "federated_claims", everyTokenHas},
		{"an actor bound", client.FederatedJWT, bindOnly("/act/sub"), "federated_claims", neverTaken("/act/sub")},
		{"an actor to come bound", client.FederatedJWT, func(c *client.Config) { c.FederatedClaims = policy.Bound{"/may_act/sub": "a"} }, "federated_claims", neverTaken("/may_act/sub")},
		{"a key bound", client.FederatedJWT, bindOnly("/cnf/jkt"), "federated_claims", neverTaken("/cnf/jkt")},

		{"MT-3 no authority", client.TLSClientAuth, func(c *client.Config) { c.TLSCA = "" }, "tls_client_auth_ca", `must be set to the certificates of the authorities that issue for the client: any other could name it as well`},
		{"MT-3 no PEM", client.TLSClientAuth, func(c *client.Config) { c.TLSCA = "x" }, "tls_client_auth_ca", `is not one or more certificates in PEM form`},
		{"MT-3 text after the PEM", client.TLSClientAuth, func(c *client.Config) { c.TLSCA += "x" }, "tls_client_auth_ca", `is not one or more certificates in PEM form`},
		{"MT-3 a private key", client.TLSClientAuth, func(c *client.Config) { c.TLSCA += "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n" }, "tls_client_auth_ca", `has a PEM block that is no certificate: give certificates only`},
		{"MT-3 a malformed certificate", client.TLSClientAuth, func(c *client.Config) { c.TLSCA += "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n" }, "tls_client_auth_ca", `has a malformed certificate`},
		{
			"MT-3 a certificate that is no authority's", client.TLSClientAuth, func(c *client.Config) { c.TLSCA = authority().issue(leaf()).pem }, "tls_client_auth_ca",
			`has a certificate that is no authority's: for one of the client's own use self_signed_tls_client_auth`,
		},
		{"no name", client.TLSClientAuth, func(c *client.Config) { c.TLSSANDNS = "" }, "tls_client_auth_subject_dn", oneName + `: none is`},
		{
			"two names", client.TLSClientAuth, func(c *client.Config) { c.TLSSANEmail = "a@b" }, "tls_client_auth_san_email",
			oneName + `: got ["tls_client_auth_san_dns", "tls_client_auth_san_email"]`,
		},
		{"a wildcard", client.TLSClientAuth, func(c *client.Config) { c.TLSSANDNS = "*.example" }, "tls_client_auth_san_dns", `"*.example" is not an exact host name such as billing.example`},
		{"no URI", client.TLSClientAuth, func(c *client.Config) { c.TLSSANDNS, c.TLSSANURI = "", "billing" }, "tls_client_auth_san_uri", `"billing" is not an absolute URI such as spiffe://example/billing`},
		{"no IP", client.TLSClientAuth, func(c *client.Config) { c.TLSSANDNS, c.TLSSANIP = "", "10.0.0.0/8" }, "tls_client_auth_san_ip", `"10.0.0.0/8" is not an IP address`},
		{"no address", client.TLSClientAuth, func(c *client.Config) { c.TLSSANDNS, c.TLSSANEmail = "", "billing" }, "tls_client_auth_san_email", `"billing" is not an address such as billing@example.org`},
		{"no DN", client.TLSClientAuth, func(c *client.Config) { c.TLSSANDNS, c.TLSSubjectDN = "", "billing" }, "tls_client_auth_subject_dn", `is not a distinguished name: ` + notAName},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := configured(c.method)
			c.edit(config)
			denialtest.Want(t, config.Validate(), c.field, "invalid_request: "+c.field+": "+c.text)
		})
	}
}

// No field is accepted and ignored: each means something for some methods, and is
// refused for all others.
func TestFieldsThatMeanNothing(t *testing.T) {
	keys := []string{client.PrivateKeyJWT, client.SelfSignedTLS}
	tls := []string{client.TLSClientAuth}
	federated := []string{client.FederatedJWT}
	for field, c := range map[string]struct {
		set     func(*client.Config)
		methods []string
	}{
		"jwks":                       {func(c *client.Config) { c.JWKS = "{}" }, keys},
		"jwks_url":                   {func(c *client.Config) { c.JWKSURL = "x" }, keys},
		"ca_pem":                     {func(c *client.Config) { c.CAPEM = "x" }, keys},
		"allowed_addresses":          {func(c *client.Config) { c.AllowedAddresses = []string{"x"} }, keys},
		"federated_issuer":           {func(c *client.Config) { c.FederatedIssuer = "x" }, federated},
		"federated_subject":          {func(c *client.Config) { c.FederatedSubject = "x" }, federated},
		"federated_claims":           {func(c *client.Config) { c.FederatedClaims = policy.Bound{"x": "y"} }, federated},
		"tls_client_auth_subject_dn": {func(c *client.Config) { c.TLSSubjectDN = "CN=x" }, tls},
		"tls_client_auth_san_dns":    {func(c *client.Config) { c.TLSSANDNS = "x" }, tls},
		"tls_client_auth_san_uri":    {func(c *client.Config) { c.TLSSANURI = "x:y" }, tls},
		"tls_client_auth_san_ip":     {func(c *client.Config) { c.TLSSANIP = "::1" }, tls},
		"tls_client_auth_san_email":  {func(c *client.Config) { c.TLSSANEmail = "x@y" }, tls},
		"tls_client_auth_ca":         {func(c *client.Config) { c.TLSCA = "x" }, tls},
		"insecure_public":            {func(c *client.Config) { c.InsecurePublic = true }, []string{client.None}},
	} {
		for _, method := range client.Methods {
			if slices.Contains(c.methods, method) {
				continue
			}
			config := configured(method)
			c.set(config)
			denialtest.Want(t, config.Validate(), field, fmt.Sprintf("invalid_request: %s: means nothing for the auth_method %q: leave it empty", field, method))
		}
	}
}

func TestWarnings(t *testing.T) {
	c := configured(client.None)
	c.DPoPRequired, c.InsecurePublic = false, true
	want := []string{`insecure_public: everyone who knows the id "billing" can use the role "orders": set dpop_required=true, or an auth_method`}
	if got := c.Warnings(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	c = configured(client.ClientSecretBasic)
	if got := c.Warnings(); got != nil {
		t.Errorf("got %q", got)
	}
	c.Role = ""
	want = []string{"the client has neither a role nor audiences: it can exchange and introspect nothing"}
	if got := c.Warnings(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
