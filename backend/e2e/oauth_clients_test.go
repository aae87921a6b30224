//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google/externalaccount"
)

// clientsDir is scripts/clients with its npm modules.
var clientsDir = os.Getenv("CLIENTS_DIR")

// clientKey is the key of a client that signs assertions.
type clientKey struct {
	key    jose.JSONWebKey
	public string // a JWKS
	jwk    json.RawMessage
}

func newClientKey(t *testing.T) clientKey {
	t.Helper()
	key := jose.JSONWebKey{Key: newECKey(t), KeyID: "client", Algorithm: "ES256", Use: "sig"}
	private, err := key.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return clientKey{key, toJSON(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}}), private}
}

// outcome is the line that a script of scripts/clients prints.
type outcome struct {
	Metadata data   `json:"metadata"`
	Steps    []step `json:"steps"`
}

type step struct {
	Do     string     `json:"do"`
	OK     bool       `json:"ok"`
	Result data       `json:"result"`
	Error  stepFailed `json:"error"`
}

type stepFailed struct {
	Name        string `json:"name"`
	Code        string `json:"code"`
	Message     string `json:"message"`
	Status      int    `json:"status"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// published runs a client of scripts/clients as it is published: it trusts the
// authority as an operator lets it, by the environment.
func (a *authorization) published(library string, input data, steps ...string) outcome {
	a.Helper()
	if clientsDir == "" {
		a.Fatal("CLIENTS_DIR is not set: run scripts/test-clients.sh")
	}
	all := data{"issuer": a.issuer, "steps": steps, "audience": orders, "algorithm": "oidc"}
	maps.Copy(all, input)
	cmd := exec.CommandContext(a.Context(), "node", filepath.Join(clientsDir, library+".mjs"))
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+a.ca)
	cmd.Stdin = strings.NewReader(toJSON(a.T, all))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		a.Fatalf("%s: %v\n%s", library, err, stderr.String())
	}
	var o outcome
	mustParse(a.T, string(out), &o)
	return o
}

// identified is the input of a client, by the method that is its id.
func (a *authorization) identified(method string) data {
	return data{"client_id": method, "method": method, "secret": a.secrets[method], "jwk": a.key.jwk}
}

// parameters are those of an exchange, in pairs.
func (a *authorization) parameters(audiences ...string) [][2]string {
	a.Helper()
	out := [][2]string{{"subject_token", a.subject()}, {"subject_token_type", typeJWT}, {"scope", "orders:read"}}
	for _, audience := range audiences {
		out = append(out, [2]string{"audience", audience})
	}
	return out
}

// exchangedBy gets a token as the client client_secret_post, without a library.
func (a *authorization) exchangedBy(audience string) string {
	a.Helper()
	got := a.post("token", a.form("client_secret_post", audience))
	if got.status != http.StatusOK {
		a.Fatalf("got %d %s", got.status, got.body)
	}
	return got.document["access_token"].(string)
}

// wantDone fails unless a client has done all that was asked of it.
func wantDone(t *testing.T, o outcome, steps ...string) {
	t.Helper()
	var done []string
	for _, s := range o.Steps {
		if !s.OK {
			t.Fatalf("%s: %+v", s.Do, s.Error)
		}
		done = append(done, s.Do)
	}
	if !slices.Equal(done, steps) {
		t.Fatalf("done: %q, want %q", done, steps)
	}
}

func (s step) accessToken() string {
	token, _ := s.Result["access_token"].(string)
	return token
}

// verified verifies a token with go-oidc.
func (a *authorization) verified(token string) *oidc.IDToken {
	a.Helper()
	ctx := oidc.ClientContext(a.Context(), a.http)
	provider, err := oidc.NewProvider(ctx, a.issuer)
	if err != nil {
		a.Fatal(err)
	}
	verified, err := provider.Verifier(&oidc.Config{ClientID: orders}).Verify(ctx, token)
	if err != nil {
		a.Fatal(err)
	}
	return verified
}

// TestOAuthClients takes clients as they are published from discovery to a token
// that is verified and taken back: by the TLS of Vault, and behind nginx.
func TestOAuthClients(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	for _, front := range []struct {
		name       string
		of         *authorization
		algorithms map[string]string // by which each library looks for the metadata
	}{
		{"Vault", s.authorize(t, s.url, "token-exchange"), map[string]string{"openid-client": "oidc", "oauth4webapi": "oidc"}},
		{"nginx", s.authorize(t, s.nginx(t), "team/token-exchange"), map[string]string{"openid-client": "oauth2", "oauth4webapi": "oauth2"}},
	} {
		for library, algorithm := range front.algorithms {
			for _, method := range []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"} {
				t.Run(front.name+"/"+library+"/"+method, func(t *testing.T) {
					front.of.in(t).lifecycle(library, algorithm, method)
				})
			}
			t.Run(front.name+"/"+library+"/DPoP", func(t *testing.T) { front.of.in(t).dpop(library, algorithm) })
		}
		t.Run(front.name+"/oauth4webapi/resource server", func(t *testing.T) { front.of.in(t).resourceServer() })
		t.Run(front.name+"/refused", func(t *testing.T) { front.of.in(t).refusedClients() })
		t.Run(front.name+"/externalaccount", func(t *testing.T) { front.of.in(t).externalAccount() })
		t.Run(front.name+"/mod_auth_openidc", func(t *testing.T) { front.of.in(t).apache() })
		if front.name == "Vault" { // whose mount has the path of the page
			t.Run("how-to", func(t *testing.T) { front.of.in(t).howTo() })
		}
	}
}

// lifecycle is all that a client does with a token. A public client may not
// introspect (RFC 7662 §2.1).
func (a *authorization) lifecycle(library, algorithm, method string) {
	a.Helper()
	steps := []string{"exchange", "introspect", "revoke", "introspect"}
	if method == "none" {
		steps = []string{"exchange"}
	}
	if library == "oauth4webapi" {
		steps = slices.Insert(steps, 1, "validate")
	}
	input := a.identified(method)
	maps.Copy(input, data{"algorithm": algorithm, "parameters": a.parameters(orders, billing)})
	o := a.published(library, input, steps...)
	wantDone(a.T, o, steps...)
	wantSame(a.T, "MD-1: issuer", fmt.Sprint(o.Metadata["issuer"]), a.issuer)

	granted := o.Steps[0].Result
	wantSame(a.T, "token_type", fmt.Sprint(granted["token_type"]), "bearer") // the libraries make it lower case
	wantSame(a.T, "issued_token_type", fmt.Sprint(granted["issued_token_type"]), typeAccess)
	wantSame(a.T, "scope", fmt.Sprint(granted["scope"]), "orders:read")
	verified := a.verified(o.Steps[0].accessToken())
	wantSame(a.T, "sub", verified.Subject, "ci:ci-runner")
	wantJSON(a.T, "TX-8: both audiences", verified.Audience, toJSON(a.T, []string{orders, billing}))
	for _, s := range o.Steps {
		if s.Do == "validate" {
			wantSame(a.T, "TX-25: client_id", fmt.Sprint(s.Result["client_id"]), method)
		}
	}
	if method == "none" {
		return
	}
	asked := o.Steps[len(o.Steps)-3].Result
	wantJSON(a.T, "IN-4: active, client_id, sub", []any{asked["active"], asked["client_id"], asked["sub"]}, toJSON(a.T, []any{true, method, "ci:ci-runner"}))
	wantJSON(a.T, "RV-4: introspection after the revocation", o.Steps[len(o.Steps)-1].Result, `{"active": false}`)
}

// dpop is the exchange of a client that proves possession of a key (RFC 9449). As
// long as the metadata does not offer that (§5.1), what it gets is bound to nothing,
// and its resource server says so.
func (a *authorization) dpop(library, algorithm string) {
	a.Helper()
	steps := []string{"exchange", "exchange"} // again with the nonce of the first answer (§8.2)
	if library == "oauth4webapi" {
		steps = append(steps, "validate")
	}
	input := a.identified("client_secret_basic")
	metadata := a.raw(http.MethodGet, ".well-known/openid-configuration", "", http.Header{}).document
	offered := metadata["dpop_signing_alg_values_supported"] != nil
	if offered {
		a.role("bound", "ci", data{"binding": "dpop"})
		a.write("clients/bound", data{"auth_method": "client_secret_basic", "role": "bound", "dpop_required": true})
		maps.Copy(input, data{"client_id": "bound", "secret": a.write("clients/bound/secret", nil).Data["client_secret"]})
	}
	maps.Copy(input, data{"algorithm": algorithm, "parameters": a.parameters(orders), "dpop": true})
	o := a.published(library, input, steps...)
	if !offered {
		wantSame(a.T, "token_type", fmt.Sprint(o.Steps[0].Result["token_type"]), "bearer")
		if library == "oauth4webapi" {
			wantSame(a.T, "the resource server", o.Steps[2].Error.Message, `JWT "cnf" (confirmation) claim missing`)
		}
		return
	}
	wantDone(a.T, o, steps...)
	wantSame(a.T, "DP-2: token_type", fmt.Sprint(o.Steps[0].Result["token_type"]), "dpop")
	_, claims := unsigned(a.T, o.Steps[0].accessToken())
	if confirmation, _ := claims["cnf"].(data); confirmation["jkt"] == nil {
		a.Errorf("DP-2: cnf %v", claims["cnf"])
	}
	if library == "oauth4webapi" {
		input["dpop"] = false
		input["parameters"] = a.parameters(orders)
		wantSame(a.T, "DP-5: no proof", a.published(library, input, "exchange").Steps[0].Error.Code, "OAUTH_RESPONSE_BODY_ERROR")
	}
}

// howTo runs what the page shows, with our Vault for the one of the example.
func (a *authorization) howTo() {
	a.Helper()
	here := func(text string) string { return strings.ReplaceAll(text, "https://vault.example.com", a.url) }
	subject := filepath.Join(a.TempDir(), "subject-token.txt")
	writeFile(a.T, subject, 0o600, []byte(a.subject()))
	commands := blocks(a.T, oauthHowTo, "```sh")
	for i, command := range commands {
		commands[i] = strings.ReplaceAll(here(command), "subject-token.txt", subject)
	}
	out := a.shell(data{"CURL_CA_BUNDLE": a.ca}, append(commands, `printf %s "$CLIENT_SECRET"`+"\n")...)
	var answered data
	mustParse(a.T, out[len(out)-2], &answered)
	wantSame(a.T, "curl: sub", a.verified(fmt.Sprint(answered["access_token"])).Subject, "ci:ci-runner")

	script := blocks(a.T, oauthHowTo, "```js")
	cmd := exec.CommandContext(a.Context(), "node", "--input-type=module")
	cmd.Dir = clientsDir
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+a.ca, "CLIENT_SECRET="+out[len(out)-1], "SUBJECT_TOKEN="+a.subject())
	cmd.Stdin = strings.NewReader(here(script[0]) + "console.log(access_token);\n")
	printed, err := cmd.Output()
	if err != nil {
		a.Fatal(err)
	}
	wantSame(a.T, "openid-client: sub", a.verified(strings.TrimSpace(string(printed))).Subject, "ci:ci-runner")
}

// resourceServer checks that an RFC 9068 resource server takes a token that is for
// it, and no other.
func (a *authorization) resourceServer() {
	a.Helper()
	good := a.exchangedBy(orders)
	for _, c := range []struct{ name, token, audience, message string }{
		{"a good token", good, orders, ""},
		{"another audience", good, billing, `unexpected JWT "aud" (audience) claim value`},
		{"a changed token", tampered(a.T, good), orders, "JWT signature verification failed"},
		{"a foreign token", a.subject(), orders, `JWT "client_id" (client id) claim missing`},
	} {
		o := a.published("oauth4webapi", data{"token": c.token, "audience": c.audience}, "validate")
		switch got := o.Steps[0]; {
		case len(o.Steps) != 1:
			a.Errorf("%s: %d steps", c.name, len(o.Steps))
		case c.message == "":
			wantDone(a.T, o, "validate")
		default:
			wantSame(a.T, c.name, got.Error.Message, c.message)
		}
	}
}

// refusedClients checks what a library makes of a refusal.
func (a *authorization) refusedClients() {
	a.Helper()
	for _, c := range []struct {
		name   string
		input  data
		status int
		code   string
	}{
		{"an audience that is not allowed", data{"parameters": a.parameters("https://other.example")}, 400, "invalid_target"},
		{"a token of nobody", data{"parameters": [][2]string{{"subject_token", "a.b.c"}, {"subject_token_type", typeJWT}, {"audience", orders}}}, 400, "invalid_request"},
	} {
		input := a.identified("client_secret_basic")
		maps.Copy(input, c.input)
		o := a.published("openid-client", input, "exchange")
		got := o.Steps[0].Error
		if got.Status != c.status || got.Error != c.code || got.Description == "" {
			a.Errorf("%s: %+v", c.name, got)
		}
	}
	input := a.identified("client_secret_basic")
	maps.Copy(input, data{"secret": "wrong", "parameters": a.parameters(orders)})
	got := a.published("openid-client", input, "exchange").Steps[0].Error
	// The library shows the challenge and not the body when there is one.
	if got.Status != http.StatusUnauthorized || got.Code != "OAUTH_WWW_AUTHENTICATE_CHALLENGE" {
		a.Errorf("a wrong secret: %+v", got)
	}
}

// supplier gives the subject token that a workload has.
type supplier string

func (s supplier) SubjectToken(context.Context, externalaccount.SupplierOptions) (string, error) {
	return string(s), nil
}

// externalAccount is the client that Google's libraries use. It sends Basic if it
// has a secret, and else nothing at all, not even its id.
func (a *authorization) externalAccount() {
	a.Helper()
	config := externalaccount.Config{
		Audience: orders, SubjectTokenType: typeJWT, TokenURL: a.issuer + "/oauth/token", SubjectTokenSupplier: supplier(a.subject()),
		Scopes: []string{"orders:read"}, ClientID: "client_secret_basic", ClientSecret: a.secrets["client_secret_basic"],
	}
	token, err := a.externalToken(config)
	if err != nil {
		a.Fatal(err)
	}
	wantSame(a.T, "token_type", token.TokenType, "Bearer")
	wantSame(a.T, "sub", a.verified(token.AccessToken).Subject, "ci:ci-runner")
	config.ClientSecret = ""
	if _, err = a.externalToken(config); err == nil || !strings.Contains(err.Error(), "client_id: is missing") {
		a.Errorf("without a secret: %v", err)
	}
}

func (a *authorization) externalToken(config externalaccount.Config) (*oauth2.Token, error) {
	source, err := externalaccount.NewTokenSource(context.WithValue(a.Context(), oauth2.HTTPClient, a.http), config)
	if err != nil {
		return nil, err
	}
	token, err := source.Token()
	if err == nil && token.Expiry.IsZero() {
		err = errors.New("the token has no expiry")
	}
	return token, err
}
