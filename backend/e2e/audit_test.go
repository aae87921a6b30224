//go:build e2e

package e2e_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

const auditHowTo = "docs/how-to/find-an-exchange-in-the-audit-log.md"

// audited is a mount with a chain of roles in a Vault that writes an audit log,
// tuned with the very command of the README.
type audited struct {
	*chain
	file string
}

func newAudited(t *testing.T) *audited {
	t.Helper()
	v := newOwn(t, pluginDir, data{"raw_storage_endpoint": true}) // to know what must not be in a log
	m := enable(t, v, "token-exchange")
	m.shell(nil, tuneCommand(t, "README.md"))
	a := &audited{file: filepath.Join(t.TempDir(), "audit.log")}
	if err := v.Sys().EnableAuditWithOptions("file", &api.EnableAuditOptions{
		Type: "file", Options: map[string]string{"file_path": a.file},
	}); err != nil {
		t.Fatal(err)
	}
	m.configure()
	a.chain = newChain(m)
	return a
}

// log is the audit log as it is now: an answer is sent when its entry is written.
func (a *audited) log() string {
	a.Helper()
	content, err := os.ReadFile(a.file)
	if err != nil {
		a.Fatal(err)
	}
	return string(content)
}

// logs are the audit log and that of the server, with all that was logged before:
// the lines of the plugin and of the server come through pipes, in order.
func (a *audited) logs() (audit, server string) {
	a.Helper()
	last := fmt.Sprint(a.exchange("orders", a.subject()).Data["jti"])
	eventually(a.T, func() error {
		if server = a.vault.process.log.String(); !strings.Contains(server, "jti="+last) {
			return errors.New("the log of the server lacks the last exchange")
		}
		return nil
	})
	return a.log(), server
}

// entry is what these tests look at in one line of an audit log.
type entry struct {
	Type    string `json:"type"`
	Request struct {
		ID        string `json:"id"`
		Operation string `json:"operation"`
		Path      string `json:"path"`
		Data      data   `json:"data"`
	} `json:"request"`
	Response struct {
		Data   data `json:"data"`
		Secret struct {
			LeaseID string `json:"lease_id"`
		} `json:"secret"`
	} `json:"response"`
}

func parseAudit(t *testing.T, log string) []entry {
	t.Helper()
	var entries []entry
	for line := range strings.Lines(log) {
		var e entry
		mustParse(t, line, &e)
		entries = append(entries, e)
	}
	return entries
}

// recorded returns the entries of a request and its response, of which there
// must be one each.
func (a *audited) recorded(id string) (request, response entry) {
	a.Helper()
	found := map[string][]entry{}
	for _, e := range parseAudit(a.T, a.log()) {
		if e.Request.ID == id {
			found[e.Type] = append(found[e.Type], e)
		}
	}
	if id == "" || len(found) != 2 || len(found["request"]) != 1 || len(found["response"]) != 1 {
		a.Fatalf("want one request and one response of the id %q, got %d and %d", id, len(found["request"]), len(found["response"]))
	}
	return found["request"][0], found["response"][0]
}

func TestAuditLogTellsEachExchange(t *testing.T) {
	t.Parallel()
	a := newAudited(t)
	a.role("unleased", "ci", data{"generate_lease": false})
	a.callerRole("caller", nil)
	alice := newUser(t, a.vault, `path "token-exchange/exchange/*" { capabilities = ["update"] }`)
	parent := accessToken(t, a.exchange("orders", a.subject()))
	for _, c := range []struct {
		name, path string
		client     *mount
		request    data
	}{
		{"role in the path", "exchange/orders", a.mount, data{"subject_token": a.subject(), "audience": orders, "scope": "orders:read"}},
		{"role as a parameter", "exchange", a.mount, data{"subject_token": a.subject(), "audience": orders, "scope": "orders:read", "role": "orders"}},
		{"without a lease", "exchange/unleased", a.mount, data{"subject_token": a.subject(), "audience": orders, "scope": "orders:read"}},
		{"a token of this engine", "exchange/again", a.mount, data{"subject_token": parent, "audience": orders, "scope": "orders:read"}},
		{"the caller", "exchange/caller", a.as(alice.token), data{"audience": orders, "scope": "orders:read"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := a.in(t)
			answer, err := c.client.tryWrite(c.path, c.request)
			if err != nil {
				t.Fatal(err)
			}
			request, response := a.recorded(answer.RequestID)
			for _, e := range []entry{request, response} {
				wantSame(t, "path", e.Request.Path, "token-exchange/"+c.path)
				wantSame(t, "operation", e.Request.Operation, "update")
				wantJSON(t, "request in clear", inClear(e.Request.Data), toJSON(t, without(c.request, "subject_token")))
				if c.request["subject_token"] != nil {
					wantSame(t, "subject_token", e.Request.Data["subject_token"].(string), a.hash(c.request["subject_token"].(string)))
				}
			}
			for _, name := range []string{"jti", "txn", "subject", "audience", "scope"} {
				wantJSON(t, name, response.Response.Data[name], toJSON(t, answer.Data[name]))
			}
			wantSame(t, "access_token", response.Response.Data["access_token"].(string), a.hash(accessToken(t, answer)))
			wantSame(t, "lease", response.Response.Secret.LeaseID, answer.LeaseID)
		})
	}
}

func TestAuditLogTellsWhichExchangeWasDenied(t *testing.T) {
	t.Parallel()
	a := newAudited(t)
	_, err := a.tryWrite("exchange/orders", data{"subject_token": a.subject(), "audience": billing})
	refused(t, err, 400, `invalid_target: allowed_audiences: the role "orders" does not allow the audience ["https://billing.example"]`)
	denied := a.denied() // which has the reason
	request, response := a.recorded(denied)
	wantSame(t, "path", request.Request.Path, "token-exchange/exchange/orders")
	wantJSON(t, "audience", request.Request.Data["audience"], `"https://billing.example"`)
	if response.Response.Data["access_token"] != nil {
		t.Error("a token was made")
	}
}

// unique is a subject token whose claims no other has.
func (c *chain) unique() string {
	c.Helper()
	return c.ci.Sign(c.T, c.ci.Claims(time.Now(), data{"jti": rand.Text()}))
}

// denied is the id of the one request whose denial the server has logged. The
// plugin's lines come there through a pipe.
func (a *audited) denied() string {
	a.Helper()
	var found [][]string
	eventually(a.T, func() error {
		found = regexp.MustCompile(`exchange denied: .*request_id=([0-9a-f-]{36})`).FindAllStringSubmatch(a.vault.process.log.String(), -1)
		if len(found) == 0 {
			return errors.New("no denial in the log of the server")
		}
		return nil
	})
	if len(found) != 1 {
		a.Fatalf("want one denial in the log of the server, got %q", found)
	}
	return found[0][1]
}

// in is the same in a subtest.
func (a *audited) in(t *testing.T) *audited {
	return &audited{&chain{a.mount.in(t), a.ci}, a.file}
}

const hashed = "hmac-sha256:"

// inClear is what the audit log does not hash.
func inClear(d data) data {
	out := maps.Clone(d)
	maps.DeleteFunc(out, func(_ string, v any) bool {
		text, ok := v.(string)
		return ok && strings.HasPrefix(text, hashed)
	})
	return out
}

func without(d data, name string) data {
	out := maps.Clone(d)
	delete(out, name)
	return out
}

// hash is how the audit log shows a text.
func (a *audited) hash(text string) string {
	a.Helper()
	hash, err := a.client.Sys().AuditHash("file", text)
	if err != nil {
		a.Fatal(err)
	}
	return hash
}

// TestNoSecretIsInALog does all that the engine does, well and badly, and looks
// for what was secret in the audit log and in the log of the server.
func TestNoSecretIsInALog(t *testing.T) {
	t.Parallel()
	a := newAudited(t)
	a.callerRole("caller", nil)
	alice := newUser(t, a.vault, `path "token-exchange/exchange/*" { capabilities = ["update"] }`)

	subjects := []string{a.unique(), a.unique(), a.unique(), a.unique(), a.unique(), a.unique(), a.unique()}
	first, second := a.exchange("orders", subjects[0]), a.exchange("orders", subjects[1])
	child := a.exchange("again", accessToken(t, first))
	called := a.as(alice.token).write("exchange/caller", nil)
	minted := []string{accessToken(t, first), accessToken(t, second), accessToken(t, child), accessToken(t, called)}
	for _, token := range append(minted, subjects[2], tampered(t, minted[0])) {
		a.introspect(token)
	}
	for i, d := range []data{
		{"subject_token": subjects[2], "audience": billing},
		{"subject_token": subjects[3], "actor_token": subjects[4], "actor_token_type": typeJWT, "audience": orders},
		{"subject_token": subjects[3] + ".", "audience": orders},
		{"subject_token": tampered(t, subjects[3]), "audience": orders},
	} {
		if _, err := a.tryWrite("exchange/orders", d); err == nil {
			t.Errorf("bad request %d was granted", i)
		}
	}
	a.write("revoke", data{"token": minted[1]})
	if err := a.client.Sys().RevokeWithOptions(&api.RevokeOptions{LeaseID: first.LeaseID, Sync: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.tryWrite("exchange/again", data{"subject_token": minted[2], "audience": orders}); err == nil {
		t.Error("a token that descends from a revoked one was accepted")
	}
	a.explainAll(subjects[5], subjects[6])
	secrets := a.introspected()
	sent := append(slices.Collect(maps.Values(secrets)), alice.password)
	maps.Copy(secrets, map[string]string{"the root token": a.client.Token(), "alice's password": alice.password, "alice's Vault token": alice.token})
	swept := a.sweep()
	for i, token := range slices.Concat(subjects, minted, swept) {
		maps.Copy(secrets, segments(t, fmt.Sprintf("token %d", i), token))
	}
	maps.Copy(secrets, a.privateKeys())
	audit, server := a.wantNotLogged(secrets)
	// They were there to be logged.
	for _, token := range slices.Concat(subjects, minted, swept, sent) {
		if !strings.Contains(audit, a.hash(token)) {
			t.Error("the audit log does not know a token that was sent or made, nor the password")
		}
	}
	if !strings.Contains(server, fmt.Sprint(first.Data["jti"])) {
		t.Error("the log of the server does not know an exchange")
	}
}

// wantNotLogged looks for secrets in the logs, and returns those.
func (a *audited) wantNotLogged(secrets map[string]string) (audit, server string) {
	a.Helper()
	audit, server = a.logs()
	for name, secret := range secrets {
		if len(secret) < 8 {
			a.Fatalf("%s is too short to look for", name)
		}
		if strings.Contains(audit, secret) {
			a.Errorf("the audit log has %s", name)
		}
		if strings.Contains(server, secret) {
			a.Errorf("the log of the server has %s", name)
		}
	}
	return audit, server
}

// explainAll asks what would come of tokens and of claims, well and badly.
func (a *audited) explainAll(subject, actor string) {
	a.Helper()
	_, claims := unsigned(a.T, subject)
	for _, c := range []struct {
		request data
		allowed bool
	}{
		{data{"subject_token": subject, "audience": orders}, true},
		{data{"subject_token": subject, "audience": billing, "live": true}, false},
		{data{"subject_token": subject, "actor_token": actor, "actor_token_type": typeJWT, "audience": orders}, false},
		{data{"subject_token": tampered(a.T, subject), "audience": orders}, false},
		{data{"subject_claims": claims, "audience": orders}, true},
		{data{"subject_claims": claims, "actor_claims": claims, "audience": orders}, false},
	} {
		if answer := a.write("explain/orders", c.request); answer.Data["allowed"] != c.allowed {
			a.Errorf("want allowed to be %v, got %v", c.allowed, answer.Data)
		}
	}
}

// introspected trusts an issuer of opaque tokens that answers nonsense, and shows
// it one. It returns what is secret of that.
func (a *audited) introspected() map[string]string {
	a.Helper()
	name, secret, opaque := uniqueName("opaque"), rand.Text(), rand.Text()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, sent, _ := r.BasicAuth()
		_, _ = fmt.Fprintf(w, "%s %s", sent, r.FormValue("token")) // into an error, perhaps
	}))
	a.Cleanup(server.Close)
	a.write("issuers/"+name, data{
		"bound_issuer": "https://" + name + ".example", "bound_audiences": engine, "allowed_addresses": "127.0.0.0/8",
		"introspection_url": server.URL, "introspection_client_id": "engine", "introspection_client_secret": secret,
	})
	a.role(name, name, nil)
	request := data{"subject_token": opaque, "audience": orders}
	_, err := a.tryWrite("exchange/"+name, request)
	refused(a.T, err, 503, `temporarily_unavailable: subject: the issuer "`+name+`" cannot be asked about the token now: see issuers/`+name+`/status`)
	a.write("explain/"+name, request)
	request["live"] = true
	a.write("explain/"+name, request)
	shown := toJSON(a.T, []any{a.state(), a.list("issuers"), a.read("issuers/" + name + "/status")})
	for what, text := range map[string]string{"the client secret": secret, "an opaque token": opaque} {
		if strings.Contains(shown, text) {
			a.Errorf("%s is shown", what)
		}
	}
	return map[string]string{"the client secret of " + name: secret, "the opaque token of " + name: opaque}
}

// segments are the parts of a token that tell something: claims and signature.
func segments(t *testing.T, name, token string) map[string]string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%s has %d parts", name, len(parts))
	}
	return map[string]string{"the claims of " + name: parts[1], "the signature of " + name: parts[2]}
}

// sweep makes a request of every operation that there is, at a mount of its own,
// with a token in each field that is for one. It returns the tokens.
func (a *audited) sweep() []string {
	a.Helper()
	other := enable(a.T, a.vault, "swept")
	other.configure()
	var tokens []string
	missing := map[string]bool{}
	for line := range strings.Lines(strings.TrimSpace(operations)) {
		fields := strings.Fields(line)
		path, method, body := strings.NewReplacer("{name}", "main", "{role}", "main").Replace(fields[0]), fields[1], ""
		if method == http.MethodPost {
			sent := data{}
			for _, name := range []string{"subject_token", "actor_token", "token", "introspection_client_secret"} {
				token := a.unique()
				sent[name], tokens = token, append(tokens, token)
			}
			body = toJSON(a.T, sent)
		}
		query := ""
		if strings.HasSuffix(path, "/") {
			query = "?list=true"
		}
		send(a.T, a.vault, method, "swept"+path+query, a.client.Token(), "application/json", body)
		missing["swept"+path+" "+method] = true
	}
	methods := map[string]string{"read": "GET", "list": "GET", "create": "POST", "update": "POST", "delete": "DELETE"}
	for _, e := range parseAudit(a.T, a.log()) {
		if e.Type == "response" {
			delete(missing, e.Request.Path+" "+methods[e.Request.Operation])
		}
	}
	for _, operation := range slices.Sorted(maps.Keys(missing)) {
		a.Errorf("%s is not in the audit log", operation)
	}
	return tokens
}

// send makes a request as any HTTP client does, and returns the body of the
// answer.
func send(t *testing.T, v *vault, method, path, token, contentType, body string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, v.addr+"/v1/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Vault-Token", token)
	request.Header.Set("Content-Type", contentType)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// privateKeys are the secrets of the mount as its storage has them, and the
// numbers that make the keys, as a JWK and a debugger would write them.
func (a *audited) privateKeys() map[string]string {
	a.Helper()
	mounts, err := a.client.Sys().ListMounts()
	if err != nil {
		a.Fatal(err)
	}
	stored := func(path string, target any) {
		a.Helper()
		secret, err := a.client.Logical().Read("sys/raw/logical/" + mounts["token-exchange/"].UUID + "/" + path)
		if err != nil || secret == nil {
			a.Fatalf("storage entry %s: %v", path, err)
		}
		mustParse(a.T, secret.Data["value"].(string), target)
	}
	var key struct {
		Value struct{ Versions []struct{ Private []byte } }
	}
	var pseudonym struct{ Value []byte }
	stored("key/main", &key)
	stored("pseudonym-secret", &pseudonym)
	found := map[string]string{"the secret of the pseudonyms": base64.StdEncoding.EncodeToString(pseudonym.Value)}
	for i, version := range key.Value.Versions {
		parsed, err := x509.ParsePKCS8PrivateKey(version.Private)
		if err != nil {
			a.Fatal(err)
		}
		number, err := parsed.(interface{ Bytes() ([]byte, error) }).Bytes()
		if err != nil {
			a.Fatal(err)
		}
		block := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: version.Private})
		name := fmt.Sprintf("the private key %d ", i)
		found[name+"as stored"] = base64.StdEncoding.EncodeToString(version.Private)
		found[name+"in PEM"] = strings.Split(string(block), "\n")[1]
		found[name+"in a JWK"] = base64.RawURLEncoding.EncodeToString(number)
		found[name+"in hexadecimal"] = fmt.Sprintf("%x", number)
	}
	if len(found) != 9 {
		a.Fatalf("want the secret and two versions of the key, got %d texts", len(found))
	}
	return found
}

// withoutTrace leaves the lines out by which the SDK traces the paths of requests.
func withoutTrace(log string) string {
	var kept strings.Builder
	for line := range strings.Lines(log) {
		if !strings.Contains(line, " [TRACE] ") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// TestTokenInTheWrongPlace holds what Vault writes in clear before the engine
// sees a request, or because the README's tune says so. The how-to tells it.
func TestTokenInTheWrongPlace(t *testing.T) {
	t.Parallel()
	a := newAudited(t)
	const form, json = "application/x-www-form-urlencoded", "application/json"
	for _, c := range []struct {
		name, method, path, contentType, body string // T is the token
		leaks                                 bool   // into the audit log
	}{
		{"nowhere wrong", "POST", "exchange/orders", json, `{"subject_token": "T"}`, false},
		{"a form", "POST", "exchange/orders", form, `subject_token=T`, false},
		{"a list", "POST", "exchange/orders", json, `{"subject_token": ["T"]}`, false},
		{"a list of lists", "POST", "exchange/orders", json, `{"subject_token": [["T"]]}`, false},
		{"the value of an object", "POST", "exchange/orders", json, `{"subject_token": {"jwt": "T"}}`, false},
		{"the name in an object", "POST", "exchange/orders", json, `{"subject_token": {"T": "jwt"}}`, true},
		{"a body that is a list", "POST", "exchange/orders", json, `["T"]`, false},
		{"a body that is a string", "POST", "exchange/orders", json, `"T"`, false},
		{"a body that is no JSON", "POST", "exchange/orders", json, `T`, false},
		{"a body that breaks off", "POST", "exchange/orders", json, `{"subject_token": "T`, false},
		{"a body that is a form's bare name", "POST", "exchange/orders", form, `T`, true},
		{"a body of introspect that is a form's bare name", "POST", "introspect", form, `T`, true},
		{"the name of a parameter", "POST", "exchange/orders", json, `{"subject_token": "T", "audience": "https://orders.example", "T": "x"}`, true},
		{"the value of an unknown parameter", "POST", "exchange/orders", json, `{"subject_token": "T", "audience": "https://orders.example", "unknown": "T"}`, false},
		{"ttl", "POST", "exchange/orders", json, `{"ttl": "T"}`, false},
		{"subject_token_type", "POST", "exchange/orders", json, `{"subject_token": "x", "subject_token_type": "T"}`, false},
		{"actor_token_type", "POST", "exchange/orders", json, `{"actor_token": "x", "actor_token_type": "T"}`, false},
		{"requested_token_type", "POST", "exchange/orders", json, `{"requested_token_type": "T"}`, false},
		{"token_type_hint", "POST", "introspect", json, `{"token": "x", "token_type_hint": "T"}`, false},
		{"explain", "POST", "explain/orders", json, `{"subject_token": "T"}`, false},
		{"explain, as a list", "POST", "explain/orders", json, `{"subject_token": ["T"]}`, false},
		{"explain, a claim", "POST", "explain/orders", json, `{"subject_claims": {"sub": "T"}}`, false},
		{"explain, an actor's claim", "POST", "explain/orders", json, `{"subject_token": "x", "actor_claims": {"sub": "T"}}`, false},
		{"explain, the name of a claim", "POST", "explain/orders", json, `{"subject_claims": {"T": "x"}}`, true},
		{"explain, instead of claims", "POST", "explain/orders", json, `{"subject_claims": "T"}`, false},
		{"explain, a list instead of claims", "POST", "explain/orders", json, `{"subject_claims": ["T"]}`, false},
		{"explain, live", "POST", "explain/orders", json, `{"live": "T"}`, false},
		{"a client secret", "POST", "issuers/ci", json, `{"introspection_client_secret": "T"}`, false},
		{"a client secret that is a list", "POST", "issuers/ci", json, `{"introspection_client_secret": ["T"]}`, false},
		{"audience, which the tune shows", "POST", "exchange/orders", json, `{"audience": "T"}`, true},
		{"resource, which the tune shows", "POST", "exchange/orders", json, `{"resource": "T"}`, true},
		{"scope, which the tune shows", "POST", "exchange/orders", json, `{"scope": "T"}`, true},
		{"role, which the tune shows", "POST", "exchange", json, `{"role": "T"}`, true},
		{"the query of a POST", "POST", "exchange/orders?subject_token=T", json, `{}`, false},
		{"a bare query of a POST", "POST", "exchange/orders?T", json, `{}`, false},
		{"the query of a GET", "GET", "exchange/orders?subject_token=T", json, ``, false},
		{"a bare query of a GET", "GET", "exchange/orders?T", json, ``, true},
		{"the path of an exchange", "POST", "exchange/T", json, `{}`, true},
		{"the path of an issuer", "POST", "issuers/T", json, `{}`, true},
		{"the path of an issuer that is read", "GET", "issuers/T", json, ``, true},
		{"the path of a role that is deleted", "DELETE", "roles/T", json, ``, true},
		{"a path that there is not", "POST", "T", json, `{}`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			token := a.unique()
			with := func(text string) string { return strings.ReplaceAll(text, "T", token) }
			answer := send(t, a.vault, c.method, "token-exchange/"+with(c.path), a.client.Token(), c.contentType, with(c.body))
			audit, server := a.in(t).logs()
			path, query, _ := strings.Cut(c.path, "?")
			leaks := c.leaks || strings.Contains(query, "T") && strings.Contains(audit, `"request_uri"`) // not before Vault 1.21
			for part, text := range segments(t, "the token", token) {
				if got := strings.Contains(audit, text); got != leaks {
					t.Errorf("the audit log has %s: want %v, got %v", part, leaks, got)
				}
				if strings.Contains(withoutTrace(server), text) {
					t.Errorf("the log of the server has %s", part)
				}
				if got := strings.Contains(server, text); got != strings.Contains(path, "T") {
					t.Errorf("the log of the server has %s at level trace: want %v, got %v", part, !got, got)
				}
				if strings.Contains(answer, text) {
					t.Errorf("the answer has %s", part)
				}
			}
		})
	}
	t.Run("the Vault token", func(t *testing.T) {
		token := a.unique()
		send(t, a.vault, "POST", "token-exchange/exchange/orders", token, json, `{}`)
		audit, server := a.in(t).logs()
		for part, text := range segments(t, "the token", token) {
			if strings.Contains(audit+server, text) {
				t.Errorf("a log has %s", part)
			}
		}
	})
}

// TestHowToFindAnExchangeRuns runs the commands of the how-to in one shell.
func TestHowToFindAnExchangeRuns(t *testing.T) {
	t.Parallel()
	wantSame(t, "the tune of the how-to", tuneCommand(t, auditHowTo), tuneCommand(t, "README.md"))
	a := newAudited(t)
	subject := a.subject()
	first := a.exchange("orders", subject)
	child := a.exchange("again", accessToken(t, first))
	a.exchange("orders", a.subject()) // which is not to be found
	_, err := a.tryWrite("exchange/orders", data{"subject_token": subject, "audience": billing})
	if err == nil {
		t.Fatal("granted")
	}
	out := a.shell(data{
		"AUDIT_LOG": a.file, "ACCESS_TOKEN": accessToken(t, first), "SUBJECT_TOKEN": subject,
	}, blocks(t, auditHowTo, "```sh")...)
	var found [][]string
	for _, printed := range out {
		var entries []string
		for _, e := range parseAudit(t, printed) {
			entries = append(entries, e.Type+" "+e.Request.ID)
		}
		found = append(found, entries)
	}
	denied := a.denied()
	wantJSON(t, "what the blocks find", found, toJSON(t, [][]string{
		{"response " + first.RequestID},
		{"request " + first.RequestID, "response " + first.RequestID},
		{"response " + first.RequestID, "response " + child.RequestID},
		{"request " + first.RequestID, "response " + first.RequestID, "request " + denied, "response " + denied},
	}))
}

// tuneCommand returns the block of a document that tunes the audit log.
func tuneCommand(t *testing.T, document string) string {
	t.Helper()
	found := slices.DeleteFunc(blocks(t, document, "```"), func(block string) bool { return !strings.Contains(block, "-audit-non-hmac-") })
	if len(found) != 1 {
		t.Fatalf("%s has %d blocks that tune the audit log", document, len(found))
	}
	return found[0]
}

// blocks returns the blocks of a document that begin with a fence.
func blocks(t *testing.T, document, fence string) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(document)))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	open := ""
	for line := range strings.Lines(string(content)) {
		switch {
		case strings.HasPrefix(line, "```") && open == "":
			if open = strings.TrimSpace(line); open == fence {
				found = append(found, "")
			}
		case strings.HasPrefix(line, "```"):
			open = ""
		case open == fence:
			found[len(found)-1] += line
		}
	}
	return found
}

// shell runs commands in one shell, as one who has the root token types them,
// and returns what each of them printed.
func (m *mount) shell(variables data, commands ...string) []string {
	m.Helper()
	bin := m.TempDir() // has `vault`, whatever the binary is called
	absolute, err := filepath.Abs(vaultBin)
	if err != nil {
		m.Fatal(err)
	}
	if err := os.Symlink(absolute, filepath.Join(bin, "vault")); err != nil {
		m.Fatal(err)
	}
	const separator = "--- next command ---\n"
	cmd := exec.CommandContext(m.Context(), "bash", "-euo", "pipefail")
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+bin,
		"VAULT_ADDR="+m.vault.addr, "VAULT_TOKEN="+m.client.Token())
	for name, value := range variables {
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%v", name, value))
	}
	cmd.Stdin = strings.NewReader(strings.Join(commands, "printf -- '"+strings.TrimSpace(separator)+"\\n'\n"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		m.Fatalf("%v:\n%s%s", err, out, stderr.String())
	}
	return strings.Split(strings.TrimSuffix(string(out), separator), separator)
}
