//go:build e2e

package e2e_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/hashicorp/vault/api"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
)

const formType = "application/x-www-form-urlencoded"

// answer is what came over the wire.
type answer struct {
	status   int
	header   http.Header
	body     string
	document data // nil if the body is no JSON
}

// raw makes a request as it stands.
func (a *authorization) raw(method, path, body string, header http.Header) answer {
	a.Helper()
	request, err := http.NewRequestWithContext(a.Context(), method, a.issuer+"/"+path, strings.NewReader(body))
	if err != nil {
		a.Fatal(err)
	}
	request.Header = header
	if host := header.Get("Host"); host != "" {
		request.Host = host
	}
	resp, err := a.http.Do(request)
	if err != nil {
		a.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		a.Fatal(err)
	}
	got := answer{status: resp.StatusCode, header: resp.Header, body: string(content)}
	_ = json.Unmarshal(content, &got.document)
	return got
}

// post sends a form to an OAuth endpoint. header is of pairs.
func (a *authorization) post(endpoint string, form url.Values, header ...string) answer {
	a.Helper()
	return a.raw(http.MethodPost, "oauth/"+endpoint, form.Encode(), headers(append(header, "Content-Type", formType)...))
}

func headers(pairs ...string) http.Header {
	out := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		out.Add(pairs[i], pairs[i+1])
	}
	return out
}

func (a *authorization) basic(id string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+a.secrets[id]))
}

// form is an exchange by a client; the credentials of client_secret_post are in it.
func (a *authorization) form(client, audience string) url.Values {
	a.Helper()
	out := url.Values{
		"grant_type": {grantExchange}, "subject_token": {a.subject()}, "subject_token_type": {typeJWT}, "audience": {audience},
		"scope": {"orders:read"},
	}
	if client == "client_secret_post" {
		out.Set("client_id", client)
		out.Set("client_secret", a.secrets[client])
	}
	return out
}

// wantOAuth holds an answer to what all of OAuth's have in common.
func wantOAuth(t *testing.T, name string, got answer, status int, code string) {
	t.Helper()
	if got.status != status || code != "" && got.document["error"] != code {
		t.Errorf("%s: got %d %s, want %d %s", name, got.status, got.body, status, code)
	}
	for header, want := range map[string]string{"Cache-Control": "no-store", "Pragma": "no-cache", "Content-Type": "application/json"} {
		wantSame(t, name+": TX-16: "+header, strings.Join(got.header.Values(header), "|"), want)
	}
	if challenged := got.header.Get("WWW-Authenticate") != ""; challenged != (status == http.StatusUnauthorized) {
		t.Errorf("%s: CA-7: WWW-Authenticate %q", name, got.header.Get("WWW-Authenticate"))
	}
	for _, member := range []string{"errors", "data", "request_id", "wrap_info", "lease_id"} {
		if _, found := got.document[member]; found {
			t.Errorf("%s: VT-4: the answer has Vault's %q: %s", name, member, got.body)
		}
	}
	if status >= 400 {
		names := slices.Sorted(maps.Keys(got.document))
		wantJSON(t, name+": members of a refusal", names, `["error", "error_description"]`)
	}
}

// wantVault holds an answer to one that Vault gives itself.
func wantVault(t *testing.T, name string, got answer, status int, message string) {
	t.Helper()
	errs, _ := got.document["errors"].([]any)
	if got.status != status || len(errs) != min(len(message), 1) || len(errs) == 1 && !strings.Contains(fmt.Sprint(errs[0]), message) {
		t.Errorf("%s: got %d %s, want %d with %q", name, got.status, got.body, status, message)
	}
	if got.document["access_token"] != nil || got.document["wrap_info"] != nil {
		t.Errorf("%s: granted", name)
	}
}

// newWire is a Vault with an audit log, and a mount with clients.
func newWire(t *testing.T) (a *authorization, auditLog string) {
	t.Helper()
	s := newServed(t)
	auditLog = filepath.Join(t.TempDir(), "audit.log")
	if err := s.Sys().EnableAuditWithOptions("file", &api.EnableAuditOptions{
		Type: "file", Options: map[string]string{"file_path": auditLog},
	}); err != nil {
		t.Fatal(err)
	}
	return s.authorize(t, s.url, "token-exchange"), auditLog
}

// TestOAuthWire checks requests and answers byte by byte, on a real Vault.
func TestOAuthWire(t *testing.T) {
	t.Parallel()
	a, log := newWire(t)
	t.Run("answers", func(t *testing.T) { a.in(t).wireAnswers() })
	t.Run("refusals", func(t *testing.T) { a.in(t).wireRefusals() })
	t.Run("forms", func(t *testing.T) { a.in(t).wireForms() })
	t.Run("bodies", func(t *testing.T) { a.in(t).wireBodies() })
	t.Run("methods", func(t *testing.T) { a.in(t).wireMethods() })
	t.Run("wrapping", func(t *testing.T) { a.in(t).wireWrapping() })
	t.Run("a Vault token", func(t *testing.T) { a.in(t).wireVaultToken() })
	t.Run("metadata", func(t *testing.T) { a.in(t).wireMetadata() })
	t.Run("untuned", func(t *testing.T) { a.in(t).wireUntuned() })
	t.Run("rates", func(t *testing.T) { a.in(t).wireRates() })
	t.Run("leases", func(t *testing.T) { a.in(t).wireLeases() })
	t.Run("audit", func(t *testing.T) { a.in(t).wireAudit(log) })
}

func (a *authorization) wireAnswers() {
	a.Helper()
	granted := a.post("token", a.form("", orders), "Authorization", a.basic("client_secret_basic"))
	wantOAuth(a.T, "token", granted, 200, "")
	wantJSON(a.T, "TX-13: members", slices.Sorted(maps.Keys(granted.document)), `["access_token", "expires_in", "issued_token_type", "scope", "token_type"]`)
	if _, isNumber := granted.document["expires_in"].(float64); !isNumber {
		a.Errorf("TX-13: expires_in is %T", granted.document["expires_in"])
	}
	question := url.Values{"token": {granted.document["access_token"].(string)}}
	for _, client := range []string{"client_secret_basic", "api"} {
		wantOAuth(a.T, "introspect", a.post("introspect", question, "Authorization", a.basic(client)), 200, "")
	}
	wantSame(a.T, "IN-3: garbage", a.post("introspect", url.Values{"token": {"x"}}, "Authorization", a.basic("api")).body, `{"active":false}`)
	revoked := a.post("revoke", question, "Authorization", a.basic("client_secret_basic"))
	wantOAuth(a.T, "revoke", revoked, 200, "")
	wantSame(a.T, "RV-1: the body", revoked.body, "")
	wantSame(a.T, "RV-4", a.post("introspect", question, "Authorization", a.basic("api")).body, `{"active":false}`)
}

func (a *authorization) wireRefusals() {
	a.Helper()
	with := func(name, value string) url.Values {
		out := a.form("client_secret_post", orders)
		out.Set(name, value)
		return out
	}
	for _, c := range []struct {
		name, endpoint string
		form           url.Values
		status         int
		code           string
	}{
		{"TX-1", "token", with("grant_type", ""), 400, "invalid_request"},
		{"TX-1: another grant", "token", with("grant_type", "password"), 400, "unsupported_grant_type"},
		{"TX-6", "token", with("subject_token", "a.b.c"), 400, "invalid_request"},
		{"TX-8", "token", with("audience", "https://other.example"), 400, "invalid_target"},
		{"TX-10", "token", with("scope", "admin"), 400, "invalid_scope"},
		{"a wrong secret", "token", with("client_secret", "wrong"), 401, "invalid_client"},
		{"an unknown client", "token", with("client_id", "nobody"), 401, "invalid_client"},
		{"IN-2", "introspect", url.Values{"token": {"x"}}, 401, "invalid_client"},
		{"IN-1", "introspect", with("token", ""), 400, "invalid_request"},
		{"RV-1", "revoke", with("token", ""), 400, "invalid_request"},
		{"revocation by nobody", "revoke", url.Values{"token": {"x"}}, 401, "invalid_client"},
	} {
		wantOAuth(a.T, c.name, a.post(c.endpoint, c.form), c.status, c.code)
	}
}

// wireForms is about the form itself (RFC 6749 §3.2).
func (a *authorization) wireForms() {
	a.Helper()
	form := headers("Content-Type", formType)
	body := func() string { return a.form("client_secret_post", orders).Encode() }
	for _, c := range []struct {
		name, path, body string
		status           int
		code             string
	}{
		{"TX-2: an unknown parameter", "oauth/token", body() + "&foo=bar", 200, ""},
		{"TX-2: an empty parameter", "oauth/token", body() + "&actor_token=", 200, ""},
		{"TX-2: the query is not looked at", "oauth/token?audience=https://other.example&grant_type=password", body(), 200, ""},
		{"TX-2: nor is it the request", "oauth/token?" + a.form("", orders).Encode(), "", 400, "invalid_request"},
		{"TX-8: two audiences", "oauth/token", body() + "&audience=" + url.QueryEscape(billing), 200, ""},
		{"TX-8: one of two is not allowed", "oauth/token", body() + "&audience=https%3A%2F%2Fother.example", 400, "invalid_target"},
		{"VT-1: grant_type twice", "oauth/token", body() + "&grant_type=" + url.QueryEscape(grantExchange), 400, "invalid_request"},
		{"VT-1: subject_token twice", "oauth/token", body() + "&subject_token=a.b.c", 400, "invalid_request"},
		{"VT-1: subject_token_type twice", "oauth/token", body() + "&subject_token_type=" + url.QueryEscape(typeJWT), 400, "invalid_request"},
		{"VT-1: scope twice", "oauth/token", body() + "&scope=orders:write", 400, "invalid_request"},
		{"VT-1: client_id twice", "oauth/token", body() + "&client_id=api", 400, "invalid_request"},
		{"VT-1: client_secret twice", "oauth/token", body() + "&client_secret=x", 400, "invalid_request"},
		{"an empty body", "oauth/token", "", 400, "invalid_request"},
	} {
		got := a.raw(http.MethodPost, c.path, c.body, form.Clone())
		wantOAuth(a.T, c.name, got, c.status, c.code)
	}
	charset := a.raw(http.MethodPost, "oauth/token", body(), headers("Content-Type", formType+";charset=UTF-8"))
	wantOAuth(a.T, "a content type with a charset", charset, 200, "")
}

// wireBodies is about bodies that are no form. What Vault answers itself is in the
// how-to.
func (a *authorization) wireBodies() {
	a.Helper()
	form := a.form("client_secret_post", orders)
	members := data{}
	for name := range form {
		members[name] = form.Get(name)
	}
	// The content type does not reach the engine.
	wantOAuth(a.T, "JSON", a.raw(http.MethodPost, "oauth/token", toJSON(a.T, members), headers("Content-Type", "application/json")), 200, "")
	wantOAuth(a.T, "a number for a text", a.raw(http.MethodPost, "oauth/token", `{"grant_type": 1}`, headers("Content-Type", "application/json")), 400, "invalid_request")
	wantOAuth(a.T, "an object for a text", a.raw(http.MethodPost, "oauth/token", `{"grant_type": {"a": "b"}}`, headers("Content-Type", "application/json")), 400, "invalid_request")
	page, err := os.ReadFile("../../" + oauthHowTo)
	if err != nil {
		a.Fatal(err)
	}
	for _, c := range []struct {
		name, contentType, body string // the name is that in the how-to
		status                  int
		message                 string
	}{
		{"a body that is neither declared as a form nor JSON", "", form.Encode(), 400, "error parsing JSON"},
		{"a body that is neither declared as a form nor JSON", "text/plain", form.Encode(), 400, "error parsing JSON"},
		{"a form of more than 10 MB", formType, "subject_token=" + strings.Repeat("x", 12<<20), 400, "error parsing form data"},
		{"JSON with a text of more than 1 MB", "application/json", `{"subject_token": "` + strings.Repeat("x", 2<<20) + `"}`, 500, "JSON string value exceeds allowed length"},
	} {
		header := http.Header{}
		if c.contentType != "" {
			header.Set("Content-Type", c.contentType)
		}
		wantVault(a.T, c.name, a.raw(http.MethodPost, "oauth/token", c.body, header), c.status, c.message)
		if row := fmt.Sprintf("| %s | %d `%s` |", c.name, c.status, c.message); !strings.Contains(string(page), row) {
			a.Errorf("the how-to lacks %s", row)
		}
	}
	wantOAuth(a.T, "a form of 1 MB", a.raw(http.MethodPost, "oauth/token", "subject_token="+strings.Repeat("x", 1<<20), headers("Content-Type", formType)), 400, "invalid_request")
}

// wireMethods: Vault makes PUT of POST, and nothing of a path that is not public.
func (a *authorization) wireMethods() {
	a.Helper()
	for _, endpoint := range []string{"oauth/token", "oauth/introspect", "oauth/revoke"} {
		for _, method := range []string{http.MethodGet, http.MethodDelete, http.MethodOptions} {
			got := a.raw(method, endpoint, "", http.Header{})
			wantOAuth(a.T, method+" "+endpoint, got, 405, "invalid_request")
			wantSame(a.T, method+" "+endpoint+": Allow", got.header.Get("Allow"), "POST")
		}
		wantSame(a.T, "HEAD "+endpoint, fmt.Sprint(a.raw(http.MethodHead, endpoint, "", http.Header{}).status), "405")
	}
	put := a.raw(http.MethodPut, "oauth/token", a.form("client_secret_post", orders).Encode(), headers("Content-Type", formType))
	wantOAuth(a.T, "PUT, which is POST to Vault", put, 200, "")
	wantOAuth(a.T, "another path", a.post("authorize", url.Values{}, "X-Vault-Token", a.client.Token()), 404, "invalid_request")
	wantVault(a.T, "another path, as nobody", a.post("authorize", url.Values{}), 403, "permission denied")
}

// wireWrapping: a wrapped refusal would be a success with a token in it.
func (a *authorization) wireWrapping() {
	a.Helper()
	for _, endpoint := range []string{"token", "introspect", "revoke"} {
		got := a.post(endpoint, a.form("client_secret_post", orders), "X-Vault-Wrap-TTL", "60s")
		wantVault(a.T, endpoint, got, 400, "invalid_request: the OAuth endpoints are not wrapped: leave X-Vault-Wrap-TTL out")
	}
}

// wireVaultToken: who has a Vault token is nobody here, and it is not read.
func (a *authorization) wireVaultToken() {
	a.Helper()
	alice := newUser(a.T, a.vault, `path "token-exchange/*" { capabilities = ["update"] }`)
	form := a.form("client_secret_post", orders)
	for name, header := range map[string][]string{
		"Bearer":        {"Authorization", "Bearer " + alice.token},
		"X-Vault-Token": {"X-Vault-Token", alice.token},
		"both":          {"Authorization", "Bearer " + alice.token, "X-Vault-Token", alice.token},
	} {
		got := a.post("token", form, header...)
		wantOAuth(a.T, name+" beside client_secret_post", got, 200, "")
		if _, claims := unsigned(a.T, fmt.Sprint(got.document["access_token"])); claims["client_id"] != "client_secret_post" || claims["act"] != nil {
			a.Errorf("%s: the token is for %v", name, claims)
		}
		wantOAuth(a.T, name+" alone", a.post("token", a.form("", orders), header...), 401, "invalid_client")
	}
	if log := a.process.log.String(); strings.Contains(log, alice.token) {
		a.Error("the Vault token is in the log")
	}
}

func (a *authorization) wireMetadata() {
	a.Helper()
	plain := a.raw(http.MethodGet, ".well-known/openid-configuration", "", http.Header{})
	for name, got := range map[string]answer{
		"RFC 8414":       a.raw(http.MethodGet, ".well-known/oauth-authorization-server", "", http.Header{}),
		"VT-7: evil":     a.raw(http.MethodGet, ".well-known/openid-configuration", "", headers("Host", "evil.example")),
		"VT-7: evil too": a.raw(http.MethodGet, ".well-known/openid-configuration", "", headers("X-Forwarded-Host", "evil.example", "Forwarded", "host=evil.example")),
	} {
		wantSame(a.T, name, got.body, plain.body)
	}
	wantSame(a.T, "MD-4: content type", plain.header.Get("Content-Type"), "application/json")
	wantSame(a.T, "MD-1: issuer", fmt.Sprint(plain.document["issuer"]), a.issuer)
	_, claims := unsigned(a.T, a.exchangedBy(orders))
	wantSame(a.T, "MD-1: iss", fmt.Sprint(claims["iss"]), a.issuer)
	for member, path := range map[string]string{
		"token_endpoint": "/oauth/token", "introspection_endpoint": "/oauth/introspect", "revocation_endpoint": "/oauth/revoke", "jwks_uri": "/.well-known/keys",
	} {
		wantSame(a.T, "MD-2, MD-3: "+member, fmt.Sprint(plain.document[member]), a.issuer+path)
	}
	wantJSON(a.T, "MD-2: response types", plain.document["response_types_supported"], `["id_token"]`)
	wantJSON(a.T, "MD-3: grant types", plain.document["grant_types_supported"], toJSON(a.T, []string{grantExchange}))
	wantJSON(a.T, "MD-4: subject types", plain.document["subject_types_supported"], `["public"]`)
	wantJSON(a.T, "MD-4: algorithms", plain.document["id_token_signing_alg_values_supported"], `["ES256"]`)
	for _, endpoint := range []string{"token", "introspection", "revocation"} {
		methods := toJSON(a.T, plain.document[endpoint+"_endpoint_auth_methods_supported"])
		algorithms := toJSON(a.T, plain.document[endpoint+"_endpoint_auth_signing_alg_values_supported"])
		if !strings.Contains(methods, `"private_key_jwt"`) || !strings.Contains(algorithms, `"ES256"`) || strings.Contains(algorithms, "none") || strings.Contains(algorithms, "HS") {
			a.Errorf("MD-3: %s: %s %s", endpoint, methods, algorithms)
		}
	}
	a.wireKeys()
}

func (a *authorization) wireKeys() {
	a.Helper()
	got := a.raw(http.MethodGet, ".well-known/keys", "", http.Header{})
	wantSame(a.T, "JK-1: content type", got.header.Get("Content-Type"), "application/jwk-set+json")
	keys, _ := got.document["keys"].([]any)
	if len(keys) == 0 {
		a.Fatalf("JK-1: %s", got.body)
	}
	for _, key := range keys {
		wantJSON(a.T, "JK-1: members", slices.Sorted(maps.Keys(key.(data))), `["alg", "crv", "kid", "kty", "use", "x", "y"]`)
		wantJSON(a.T, "JK-1: use and alg", []any{key.(data)["use"], key.(data)["alg"]}, `["sig", "ES256"]`)
	}
}

// wireUntuned: the engine cannot see that a header is kept back, and tells whoever
// comes without any credentials what the reason may be.
func (a *authorization) wireUntuned() {
	a.Helper()
	m := enable(a.T, a.vault, "untuned")
	m.issuer = a.url + "/v1/untuned"
	m.configure()
	other := &authorization{chain: newChain(m), served: a.served, secrets: map[string]string{}}
	for _, client := range []string{"client_secret_basic", "client_secret_post"} {
		m.write("clients/"+client, data{"auth_method": client, "role": "orders"})
		other.secrets[client] = m.write("clients/"+client+"/secret", nil).Data["client_secret"].(string)
	}
	wantOAuth(a.T, "client_secret_post", other.post("token", other.form("client_secret_post", orders)), 200, "")
	got := other.post("token", other.form("", orders), "Authorization", other.basic("client_secret_basic"))
	wantOAuth(a.T, "client_secret_basic", got, 401, "invalid_client")
	if text := fmt.Sprint(got.document["error_description"]); !strings.Contains(text, "is Authorization among the passthrough_request_headers of the mount?") {
		a.Errorf("the tune is not named: %s", text)
	}
}

func (a *authorization) wireLeases() {
	a.Helper()
	role := a.read("roles/services")
	wantSame(a.T, "the role leases", fmt.Sprint(role["generate_lease"]), "true") // where it can
	a.exchangedBy(orders)
	found, err := a.client.Logical().List("sys/leases/lookup/" + a.path)
	if err != nil || found != nil {
		a.Errorf("leases: %v %v", found, err)
	}
}

// wireAudit sends all that is secret, and looks for it in the logs.
func (a *authorization) wireAudit(file string) {
	a.Helper()
	b := &audited{a.chain, file}
	b.logs() // what was sent before is in there
	secrets := map[string]string{}
	for id, secret := range a.secrets {
		secrets["the secret of "+id] = secret
	}
	secrets["a Basic credential"] = strings.TrimPrefix(a.basic("client_secret_basic"), "Basic ")
	note := func(name, token string) {
		maps.Copy(secrets, segments(a.T, name, token))
	}
	for i, client := range []string{"client_secret_basic", "client_secret_post", "private_key_jwt"} {
		form, header := a.form(client, orders), []string{}
		form.Set("subject_token", b.unique())
		note(fmt.Sprintf("subject token %d", i), form.Get("subject_token"))
		switch client {
		case "client_secret_basic":
			header = []string{"Authorization", a.basic(client)}
		case "private_key_jwt":
			assertion := a.assertion()
			note("the assertion", assertion)
			form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
			form.Set("client_assertion", assertion)
		}
		got := a.post("token", form, header...)
		wantOAuth(a.T, client, got, 200, "")
		minted := fmt.Sprint(got.document["access_token"])
		note(fmt.Sprintf("access token %d", i), minted)
		question := url.Values{"token": {minted}}
		wantOAuth(a.T, "introspect", a.post("introspect", question, "Authorization", a.basic("api")), 200, "")
		wantOAuth(a.T, "revoke", a.post("revoke", question, "Authorization", a.basic("client_secret_basic")), 200, "")
	}
	b.wantNotLogged(secrets)
	a.wireBareToken(b)
}

// wireBareToken holds what Vault writes before the engine sees it: the body is taken
// for the name of a parameter, which it does not hash. The how-to tells it.
func (a *authorization) wireBareToken(b *audited) {
	a.Helper()
	for _, endpoint := range []string{"token", "introspect", "revoke"} {
		token := b.unique()
		got := a.raw(http.MethodPost, "oauth/"+endpoint, token, headers("Content-Type", formType, "Authorization", a.basic("client_secret_basic")))
		wantOAuth(a.T, "a bare token", got, 400, "invalid_request")
		audit, server := b.logs()
		for name, text := range segments(a.T, "the bare token", token) {
			if !strings.Contains(audit, text) || strings.Contains(server, text) || strings.Contains(got.body, text) {
				a.Errorf("%s of oauth/%s: want it in the audit log, and nowhere else", name, endpoint)
			}
		}
	}
}

// wireRates: a subject that asks too often is told when to come again, at either
// entrance, and nobody else has to wait.
func (a *authorization) wireRates() {
	a.Helper()
	a.role("limited", "ci", data{"bound_subject": "", "bound_audiences": engine, "allowed_audiences": orders, "rate_limit": 1})
	a.write("clients/limited", data{"auth_method": "client_secret_post", "role": "limited"})
	a.secrets["limited"] = a.write("clients/limited/secret", nil).Data["client_secret"].(string)
	token := func(subject string) string { return a.ci.Sign(a.T, a.ci.Claims(time.Now(), data{"sub": subject})) }
	ask := func(subject string) answer {
		form := a.form("client_secret_post", orders)
		form.Set("client_id", "limited")
		form.Set("client_secret", a.secrets["limited"])
		form.Set("subject_token", token(subject))
		return a.post("token", form)
	}
	var limited answer
	eventually(a.T, func() error {
		if limited = ask("greedy"); limited.status != http.StatusTooManyRequests {
			return fmt.Errorf("status %d", limited.status)
		}
		return nil
	})
	wantOAuth(a.T, "too many", limited, http.StatusTooManyRequests, "slow_down")
	if wait, err := strconv.Atoi(limited.header.Get("Retry-After")); err != nil || wait < 1 || wait > 60 {
		a.Errorf("Retry-After is %q", limited.header.Get("Retry-After"))
	}
	wantOAuth(a.T, "another subject", ask("modest"), http.StatusOK, "")
	_, err := a.tryWrite("exchange/limited", data{"subject_token": token("greedy"), "audience": orders})
	refused(a.T, err, http.StatusTooManyRequests, "slow_down: rate_limit: the subject has asked by the role for more than 1 exchanges a minute")
	if got := a.metrics().samples[`token_exchange_denied_total{role="limited", rule="rate_limit", stage="rate"}`]; got != 2 {
		a.Errorf("the metric has %v", got)
	}
}

// assertion is a client assertion of the client private_key_jwt.
func (a *authorization) assertion() string {
	a.Helper()
	const id = "private_key_jwt"
	now := time.Now()
	return issuertest.Sign(a.T, jose.SigningKey{Algorithm: jose.ES256, Key: a.key.key}, "client-authentication+jwt", data{
		"iss": id, "sub": id, "aud": a.issuer, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	})
}
