package client_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

func raw(header string) client.Credentials {
	return client.Credentials{HasBasic: true, Basic: secret(base64.StdEncoding.EncodeToString([]byte(header)))}
}

// world is one client of each method, by its method as the id, and what each
// authenticates itself with.
type world struct {
	clients map[string]*client.Client
	good    map[string]client.Credentials
}

func newWorld(t testing.TB) world {
	t.Helper()
	own := pair{}.issue(leaf())
	w := world{map[string]*client.Client{}, map[string]client.Credentials{}}
	for _, method := range client.Methods {
		config := configured(method)
		config.ID = method
		var text string
		if config.HasSecret() {
			changed, made, err := config.GenerateSecret(now, 0)
			if err != nil {
				t.Fatal(err)
			}
			config, text = changed, made.Reveal()
		}
		credentials := client.Credentials{ClientID: method}
		switch method {
		case client.PrivateKeyJWT:
			credentials = withAssertion(signed(clientKey(), goodHeader(nil), good(map[string]any{"iss": method, "sub": method})))
		case client.FederatedJWT:
			credentials = federatedAssertion(nil)
			credentials.ClientID = method
		case client.ClientSecretBasic:
			credentials = basic(method, text)
		case client.ClientSecretPost:
			credentials.ClientSecret = secret(text)
		case client.TLSClientAuth:
			credentials.Certificates = withCertificate(authority().issue(leaf()).cert).Certificates
		case client.SelfSignedTLS:
			config.JWKS = jwks(keyOf(own, "a"))
			credentials.Certificates = withCertificate(own.cert).Certificates
		}
		w.clients[method], w.good[method] = compile(t, config), credentials
	}
	return w
}

func (w world) authenticate(t testing.TB, credentials client.Credentials) (*client.Authenticated, error) {
	t.Helper()
	found, err := client.Select(w.clients, credentials)
	if err != nil {
		return nil, err
	}
	env := goodEnv()
	env.Federated = trusted(t)
	return found.Authenticate(t.Context(), credentials, env)
}

// Each client is taken by its own method, and by no other's credentials.
func TestOneMethod(t *testing.T) {
	w := newWorld(t)
	for _, method := range client.Methods {
		got, err := w.authenticate(t, w.good[method])
		if err != nil || got.ID != method || got.AuthMethod != method {
			t.Errorf("%s: %v", method, err)
		}
		for _, other := range client.Methods {
			if other == method {
				continue
			}
			credentials := w.good[other]
			switch other {
			case client.ClientSecretBasic: // the same secret, another's id
				credentials = basic(method, password(credentials))
			case client.PrivateKeyJWT:
				credentials = withAssertion(signed(clientKey(), goodHeader(nil), good(map[string]any{"iss": method, "sub": method})))
			default:
				credentials.ClientID = method
			}
			// A public client has nothing to prove: a certificate changes nothing.
			want := method == client.None && (other == client.TLSClientAuth || other == client.SelfSignedTLS)
			_, err := w.authenticate(t, credentials)
			if want && err == nil {
				continue
			}
			wantFailure(t, err, unproven)
		}
	}
}

func password(c client.Credentials) string {
	_, text, _ := strings.Cut(string(must(base64.StdEncoding.DecodeString(c.Basic.Reveal()))), ":")
	return text
}

func TestMechanisms(t *testing.T) {
	w := newWorld(t)
	const (
		header    = "an Authorization header"
		parameter = "the parameter client_secret"
		assertion = "the parameter client_assertion"
		two       = " are two ways to authenticate: use one"
	)
	for _, c := range []struct {
		name, method string
		edit         func(*client.Credentials)
		text         string
	}{
		{
			"CA-6 Basic and an assertion", client.ClientSecretBasic,
			func(c *client.Credentials) {
				c.AssertionType, c.Assertion = client.AssertionType, goodAssertion().Assertion
			},
			`invalid_client: client_assertion: ` + header + ` and ` + assertion + two,
		},
		{
			"CA-6 Basic and the type of an assertion", client.ClientSecretBasic,
			func(c *client.Credentials) { c.AssertionType = client.AssertionType },
			`invalid_client: client_assertion: ` + header + ` and ` + assertion + two,
		},
		{
			"CA-6 an empty Authorization header and an assertion", client.PrivateKeyJWT,
			func(c *client.Credentials) { c.HasBasic = true },
			`invalid_client: client_assertion: ` + header + ` and ` + assertion + two,
		},
		{
			"CA-6 client_secret and an assertion", client.PrivateKeyJWT,
			func(c *client.Credentials) { c.ClientSecret = secret("x") },
			`invalid_client: client_assertion: ` + parameter + ` and ` + assertion + two,
		},
		{
			"CA-6 Basic and client_secret", client.ClientSecretBasic,
			func(c *client.Credentials) { c.ClientSecret = secret("x") },
			`invalid_request: client_secret: ` + header + ` and ` + parameter + two,
		},
		{
			"CA-6 all three", client.ClientSecretBasic,
			func(c *client.Credentials) { c.ClientSecret, c.Assertion = secret("x"), goodAssertion().Assertion },
			`invalid_client: client_assertion: ` + header + ` and ` + parameter + two,
		},
		{
			"CA-2 client_id is not that of the header", client.ClientSecretBasic,
			func(c *client.Credentials) { c.ClientID = client.ClientSecretPost },
			`invalid_client: client_id: is not the client of the Authorization header`,
		},
		{
			"VT-1 client_id twice", client.ClientSecretPost,
			func(c *client.Credentials) { c.ClientID += "," + c.ClientID },
			`invalid_request: client_id: has a comma, or was sent more than once`,
		},
		{
			"VT-1 client_secret twice", client.ClientSecretPost,
			func(c *client.Credentials) { c.ClientSecret = secret("a,a") },
			`invalid_request: client_secret: has a comma, or was sent more than once`,
		},
		{
			"no client_id", client.ClientSecretPost, func(c *client.Credentials) { c.ClientID = "" },
			`invalid_request: client_id: is missing: client_secret needs it`,
		},
		{
			"nothing", client.None, func(c *client.Credentials) { c.ClientID = "" },
			`invalid_client: client_id: is missing, as is every other way to authenticate; if Authorization: Basic was sent, is Authorization among the passthrough_request_headers of the mount?`,
		},
		{
			"a certificate alone", client.TLSClientAuth, func(c *client.Credentials) { c.ClientID = "" },
			`invalid_client: client_id: is missing, as is every other way to authenticate; if Authorization: Basic was sent, is Authorization among the passthrough_request_headers of the mount?`,
		},
		{"an unknown client", client.None, func(c *client.Credentials) { c.ClientID = "nobody" }, unproven},
		{"an unknown client, CA-7 by header", client.ClientSecretBasic, func(c *client.Credentials) { *c = basic("nobody", "x") }, unproven},
		{"a wrong secret, CA-7 by header", client.ClientSecretBasic, func(c *client.Credentials) { *c = basic(client.ClientSecretBasic, "x") }, unproven},
		{"no secret, CA-7 by header", client.ClientSecretBasic, func(c *client.Credentials) { *c = basic(client.ClientSecretBasic, "") }, unproven},
		{"a wrong secret", client.ClientSecretPost, func(c *client.Credentials) { c.ClientSecret = secret("x") }, unproven},
		{"a secret and more", client.ClientSecretPost, func(c *client.Credentials) { c.ClientSecret = secret(c.ClientSecret.Reveal() + "x") }, unproven},
		{"a large secret", client.ClientSecretPost, func(c *client.Credentials) { c.ClientSecret = secret(strings.Repeat("x", 1<<20)) }, unproven},
	} {
		t.Run(c.name, func(t *testing.T) {
			credentials := w.good[c.method]
			c.edit(&credentials)
			_, err := w.authenticate(t, credentials)
			wantFailure(t, err, c.text)
		})
	}
}

func TestBasic(t *testing.T) {
	made, text := withSecret(t, client.ClientSecretBasic)
	const malformed = `invalid_client: authorization: is not the base64 of a form-encoded client_id, ":", and a form-encoded secret`
	for _, c := range []struct {
		name        string
		credentials client.Credentials
		want        string // "" accepts
	}{
		{"CA-8 id and secret", basic(clientID, text), ""},
		{"CA-8 encoded more than it has to be", raw("%62illing:" + strings.ReplaceAll(text, "_", "%5F")), ""},
		{"client_id beside it", client.Credentials{ClientID: clientID, Basic: basic(clientID, text).Basic}, ""},
		{"CA-8 not encoded twice", raw("%2562illing:" + text), unproven},
		{"CA-8 a plus is a space", raw("+billing:" + text), unproven},
		{"no colon", raw("billing"), malformed},
		{"no id", raw(":" + text), malformed},
		{"CA-8 a percent sign that encodes nothing", raw("billing:%zz"), malformed},
		{"CA-8 the same in the id", raw("%zz:x"), malformed},
		{"nothing", client.Credentials{HasBasic: true}, malformed},
		{"no base64", client.Credentials{Basic: secret("billing:x")}, malformed},
		{"base64 with a line break", client.Credentials{Basic: secret("YmlsbGlu\nZzp4")}, malformed},
		{"base64 with bits at its end", client.Credentials{Basic: secret("YmlsbGluZzp4eH==")}, malformed},
		{"long", raw("billing:" + strings.Repeat("x", 4096)), malformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := authenticate(t, made, c.credentials, goodEnv())
			if c.want == "" {
				if err != nil || got.ID != clientID {
					t.Error(err)
				}
				return
			}
			wantFailure(t, err, c.want)
		})
	}
}

// CA-8: any id and any secret come through as RFC 6749 encodes them.
func TestBasicProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		id := rapid.StringMatching(`[!-+\--.0-9;-~]([ -+\--.0-9;-~]{0,20}[!-+\--.0-9;-~])?`).Filter(func(s string) bool { return strings.Trim(s, ".") != "" }).Draw(rt, "id")
		config := configured(client.ClientSecretBasic)
		config.ID = id
		config, made, err := config.GenerateSecret(now, 0)
		if err != nil {
			rt.Fatal(err)
		}
		c := compile(t, config)
		if _, err := authenticate(t, c, basic(id, made.Reveal()), goodEnv()); err != nil {
			rt.Fatalf("%q: %s", id, err)
		}
		wrong := rapid.String().Draw(rt, "secret")
		_, err = authenticate(t, c, basic(id, wrong), goodEnv())
		if err == nil {
			rt.Fatalf("%q is taken for the secret", wrong)
		}
	})
}

// VT-3: an Authorization header that the mount does not let through looks like no
// header. The log says where to look.
func TestHeaderThatDidNotArrive(t *testing.T) {
	made, _ := withSecret(t, client.ClientSecretBasic)
	_, err := authenticate(t, made, client.Credentials{ClientID: clientID}, goodEnv())
	wantFailure(t, err, unproven)
	wantCause(t, err, `the client's auth_method is client_secret_basic, and it came with its client_id alone: is Authorization among the passthrough_request_headers of the mount?`)
}

// A client that does not exist, a wrong secret and a wrong method get the same
// answer, word for word; the log tells them apart.
func TestWhoIsThereIsNotTold(t *testing.T) {
	w := newWorld(t)
	answers := map[string]string{}
	for id, cause := range map[string]string{
		"nobody":                 "there is no such client",
		client.ClientSecretBasic: "the secret is none of the client's, or has been replaced",
		client.ClientSecretPost:  "the client's auth_method is client_secret_post, and it came with an Authorization header",
	} {
		_, err := w.authenticate(t, basic(id, "wrong"))
		wantCause(t, err, cause)
		e := denial.From(err)
		answers[err.Error()+string(e.Code)+string(e.Stage)+e.Rule] = id
	}
	if len(answers) != 1 {
		t.Errorf("got %v", answers)
	}
}

// A method that nobody knows, from a newer version for instance, lets nobody in.
func TestUnknownMethod(t *testing.T) {
	config := configured(client.None)
	config.AuthMethod = "webauthn"
	made := must(client.New(config, options()))
	for _, credentials := range []client.Credentials{{ClientID: clientID}, basic(clientID, "x"), goodAssertion()} {
		_, err := authenticate(t, made, credentials, goodEnv())
		wantFailure(t, err, unproven)
	}
}
