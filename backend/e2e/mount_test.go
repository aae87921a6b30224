//go:build e2e

package e2e_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
)

// data is a request or a response.
type data = map[string]any

// The audiences of most tests: of the engine, and of two services.
const (
	engine  = "https://vault.example"
	orders  = "https://orders.example"
	billing = "https://billing.example"
)

// mount is the engine mounted for one test.
type mount struct {
	*testing.T
	vault  *vault
	path   string
	issuer string
	client *api.Client // has the root token
}

// newMount mounts the engine in the shared Vault, with one key and guardrails
// that let every https audience and every scope pass.
func newMount(t *testing.T) *mount {
	t.Helper()
	m := enable(t, devVault(t), uniqueName("engine"))
	m.configure()
	return m
}

func uniqueName(kind string) string { return kind + "-" + strings.ToLower(rand.Text()[:8]) }

// enable mounts the engine, and does not configure it.
func enable(t *testing.T, v *vault, path string) *mount {
	t.Helper()
	if err := v.Sys().Mount(path, &api.MountInput{Type: plugin}); err != nil {
		t.Fatal(err)
	}
	return &mount{T: t, vault: v, path: path, issuer: v.addr + "/v1/" + path, client: v.Client}
}

func (m *mount) configure() {
	m.Helper()
	m.write("keys/main", data{"algorithm": "ES256"})
	m.write("config", data{
		"issuer": m.issuer, "default_key": "main", "allowed_audiences": []string{"https://*"}, "allowed_scopes": []string{"*"},
	})
}

// as is the mount as the holder of another token sees it.
func (m *mount) as(token string) *mount {
	other := *m
	other.client = m.vault.as(m.T, token)
	return &other
}

// in is the mount in a subtest.
func (m *mount) in(t *testing.T) *mount {
	other := *m
	other.T = t
	return &other
}

func (m *mount) tryWrite(path string, d data) (*api.Secret, error) {
	if d == nil {
		d = data{}
	}
	return m.client.Logical().Write(m.path+"/"+path, d)
}

func (m *mount) write(path string, d data) *api.Secret {
	m.Helper()
	secret, err := m.tryWrite(path, d)
	if err != nil {
		m.Fatalf("write %s: %v", path, err)
	}
	return secret
}

// read returns what a path answers; nil if there is nothing.
func (m *mount) read(path string) data {
	m.Helper()
	secret, err := m.client.Logical().Read(m.path + "/" + path)
	if err != nil {
		m.Fatalf("read %s: %v", path, err)
	}
	if secret == nil {
		return nil
	}
	return secret.Data
}

func (m *mount) list(path string) data {
	m.Helper()
	secret, err := m.client.Logical().List(m.path + "/" + path)
	if err != nil {
		m.Fatalf("list %s: %v", path, err)
	}
	if secret == nil {
		return nil
	}
	return secret.Data
}

func (m *mount) delete(path string) {
	m.Helper()
	if _, err := m.client.Logical().Delete(m.path + "/" + path); err != nil {
		m.Fatalf("delete %s: %v", path, err)
	}
}

// role writes a role that takes ci-runner's tokens of an issuer for the orders
// service; further fields replace those.
func (m *mount) role(name, issuer string, fields data) {
	m.Helper()
	role := data{
		"issuers": issuer, "bound_subject": "ci-runner", "allowed_audiences": orders,
		"allowed_scopes": "orders:read orders:write", "default_scopes": "orders:read",
	}
	maps.Copy(role, fields)
	m.write("roles/"+name, role)
}

// callerRole writes a role whose subject is the caller.
func (m *mount) callerRole(name string, fields data) {
	m.Helper()
	role := data{
		"subject_source": "caller", "allowed_audiences": orders, "default_audience": orders,
		"allowed_scopes": "orders:read orders:write", "default_scopes": "orders:read",
	}
	maps.Copy(role, fields)
	m.write("roles/"+name, role)
}

// trust makes an issuer that needs no network, and trusts it under a name.
func (m *mount) trust(name string) *issuertest.Issuer {
	m.Helper()
	i := issuertest.New(m, "https://"+name+".example")
	m.write("issuers/"+name, data{"bound_issuer": i.URL, "jwks": i.JWKS(m), "bound_audiences": engine})
	return i
}

// exchange exchanges a token for the orders service.
func (m *mount) exchange(role, token string) *api.Secret {
	m.Helper()
	return m.write("exchange/"+role, data{"subject_token": token, "audience": orders})
}

// introspect returns what the mount says of a token.
func (m *mount) introspect(token string) data {
	m.Helper()
	return m.write("introspect", data{"token": token}).Data
}

func (m *mount) wantActive(token string) {
	m.Helper()
	if got := m.introspect(token); got["active"] != true {
		m.Errorf("introspect: want an active token, got %v", got)
	}
}

// wantInactive holds the whole answer against RFC 7662 §2.2.
func (m *mount) wantInactive(token string) {
	m.Helper()
	wantJSON(m.T, "introspect", m.introspect(token), `{"active":false}`)
}

// state is all that the mount holds and shows, as text to compare.
func (m *mount) state() string {
	m.Helper()
	all := data{"config": m.read("config")}
	for _, kind := range []string{"keys", "issuers", "roles"} {
		names, _ := m.list(kind)["keys"].([]any)
		for _, name := range names {
			path := fmt.Sprintf("%s/%s", kind, name)
			all[path] = m.read(path)
		}
	}
	return toJSON(m.T, all)
}

// refused tells whether an error is Vault's answer with a status and exactly one
// message.
func refused(t *testing.T, err error, status int, message string) {
	t.Helper()
	var refusal *api.ResponseError
	if !errors.As(err, &refusal) {
		t.Errorf("want status %d %q, got: %v", status, message, err)
		return
	}
	got := errorText(t, err)
	if refusal.StatusCode != status || got != message {
		t.Errorf("answer:\n got %d %q\nwant %d %q", refusal.StatusCode, got, status, message)
	}
}

// errorText is the message of an answer of Vault.
func errorText(t *testing.T, err error) string {
	t.Helper()
	var refusal *api.ResponseError
	if !errors.As(err, &refusal) {
		t.Fatalf("not an answer: %v", err)
	}
	text := strings.Join(refusal.Errors, "\n")
	if rest, ok := strings.CutPrefix(text, "1 error occurred:\n\t* "); ok { // what Vault makes of a status of 500 or above
		text = strings.TrimSpace(rest)
	}
	return text
}

// unsigned returns the header and the claims of a token, without verifying it.
func unsigned(t *testing.T, token string) (header, claims data) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts", len(parts))
	}
	for i, target := range []*data{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, target); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func accessToken(t *testing.T, s *api.Secret) string {
	t.Helper()
	token, ok := s.Data["access_token"].(string)
	if !ok || token == "" {
		t.Fatal("the answer has no access_token")
	}
	return token
}

func number(t *testing.T, v any) int64 {
	t.Helper()
	n, ok := v.(json.Number)
	if !ok {
		t.Fatalf("want a JSON number, got %T %v", v, v)
	}
	i, err := n.Int64()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// wantJSON compares a value with JSON text, in which spaces do not count.
func wantJSON(t *testing.T, what string, got any, want string) {
	t.Helper()
	var wanted any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	var normal any
	if err := json.Unmarshal([]byte(toJSON(t, got)), &normal); err != nil {
		t.Fatal(err)
	}
	wantSame(t, what, toJSON(t, normal), toJSON(t, wanted))
}

func wantSame(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

func sha256File(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// user is a person who logs in to Vault.
type user struct {
	name, password string
	entity         string
	token          string
	accessor       string // of the auth mount
}

// newUser makes a user with the given policy, and logs in.
func newUser(t *testing.T, v *vault, rules string) *user {
	t.Helper()
	u := &user{name: uniqueName("user"), password: rand.Text()}
	auth, policy := uniqueName("people"), uniqueName("policy")
	if err := v.Sys().EnableAuthWithOptions(auth, &api.EnableAuthOptions{Type: "userpass"}); err != nil {
		t.Fatal(err)
	}
	if err := v.Sys().PutPolicy(policy, rules); err != nil {
		t.Fatal(err)
	}
	must := func(path string, d data) *api.Secret {
		t.Helper()
		secret, err := v.Logical().Write(path, d)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	must("auth/"+auth+"/users/"+u.name, data{"password": u.password, "token_policies": policy})
	mounts, err := v.Sys().ListAuthWithContext(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	u.accessor = mounts[auth+"/"].Accessor
	login := must("auth/"+auth+"/login/"+u.name, data{"password": u.password})
	u.token, u.entity = login.Auth.ClientToken, login.Auth.EntityID
	return u
}

// within fails unless a duration in seconds is in a range: what Vault and the
// engine round down may differ by a second or two.
func within(t *testing.T, what string, got, least, most int64) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s: want %d to %d, got %d", what, least, most, got)
	}
}

func base64URL(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func mustParse(t *testing.T, text string, target any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), target); err != nil {
		t.Fatal(err)
	}
}

// get makes a request without a Vault token, as any consumer on the network.
func get(t *testing.T, url string, document any) http.Header {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", url, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(document); err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	return resp.Header
}
