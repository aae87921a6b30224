package backend_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
)

// mount is one mount of the engine, entered as Vault enters it.
type mount struct {
	t       testing.TB
	now     time.Time
	idp     *issuertest.Issuer
	storage *meteredStorage
	system  *logical.StaticSystemView
	backend logical.Backend
	log     *strings.Builder
}

// meteredStorage counts what is done to storage, and fails on demand.
type meteredStorage struct {
	logical.InmemStorage
	reads, writes atomic.Int64
	failPut       func(path string) bool
	failGet       func(path string) bool
	failDelete    func(path string) bool
}

var errStorage = errors.New("storage is down")

func (s *meteredStorage) Get(ctx context.Context, path string) (*logical.StorageEntry, error) {
	s.reads.Add(1)
	if s.failGet != nil && s.failGet(path) {
		return nil, errStorage
	}
	return s.InmemStorage.Get(ctx, path)
}

func (s *meteredStorage) List(ctx context.Context, prefix string) ([]string, error) {
	s.reads.Add(1)
	return s.InmemStorage.List(ctx, prefix)
}

func (s *meteredStorage) Put(ctx context.Context, entry *logical.StorageEntry) error {
	s.writes.Add(1)
	if s.failPut != nil && s.failPut(entry.Key) {
		return errStorage
	}
	return s.InmemStorage.Put(ctx, entry)
}

func (s *meteredStorage) Delete(ctx context.Context, path string) error {
	s.writes.Add(1)
	if s.failDelete != nil && s.failDelete(path) {
		return errStorage
	}
	return s.InmemStorage.Delete(ctx, path)
}

// emptyMount is a mount on which nothing was written yet.
func emptyMount(t testing.TB) *mount {
	t.Helper()
	m := &mount{
		t: t, now: time.Unix(1_800_000_000, 0), idp: issuertest.New(t, "https://idp.example"), storage: &meteredStorage{},
		system: &logical.StaticSystemView{DefaultLeaseTTLVal: time.Hour, MaxLeaseTTLVal: 768 * time.Hour}, log: &strings.Builder{},
	}
	m.restart()
	return m
}

// restart makes the mount anew from what it stored, as a new process does.
func (m *mount) restart() {
	m.t.Helper()
	made, err := backend.New(context.Background(), &logical.BackendConfig{
		System: m.system, StorageView: m.storage,
		Logger: hclog.New(&hclog.LoggerOptions{Output: m.log, Level: hclog.Debug}),
	}, backend.Options{Now: func() time.Time { return m.now }})
	if err != nil {
		m.t.Fatal(err)
	}
	if err := made.Initialize(context.Background(), &logical.InitializationRequest{Storage: m.storage}); err != nil {
		m.t.Fatal(err)
	}
	m.backend = made
}

const orders = "https://orders.example"

// secondKey makes another key, and waits until it may sign.
func (m *mount) secondKey() {
	m.t.Helper()
	m.write("keys/second", map[string]any{"publication_lead": "1h", "verification_period": "2h"})
	m.now = m.now.Add(10 * time.Minute)
}

// newMount is a mount that works: key, config, issuer and roles are written.
func newMount(t testing.TB) *mount {
	t.Helper()
	m := emptyMount(t)
	m.write("keys/main", map[string]any{"publication_lead": "1h", "verification_period": "2h"})
	m.write("config", map[string]any{
		"issuer": "https://vault.example/v1/token-exchange", "default_key": "main",
		"allowed_audiences": "https://*", "allowed_scopes": "*",
	})
	m.write("issuers/idp", map[string]any{
		"bound_issuer": m.idp.URL, "jwks": m.idp.JWKS(t), "bound_audiences": "https://vault.example",
	})
	role := map[string]any{
		"issuers": "idp", "bound_subject": "ci-runner", "allowed_audiences": orders, "default_audience": orders,
		"allowed_scopes": "orders:read orders:write", "default_scopes": "orders:read", "ttl": "5m", "max_ttl": "30m",
	}
	m.write("roles/orders", role)
	role["generate_lease"] = false
	m.write("roles/unleased", role)
	m.write("roles/again", map[string]any{
		"issuers": "self", "bound_audiences": orders, "allowed_audiences": orders, "default_audience": orders, "generate_lease": false,
	})
	m.write("roles/me", map[string]any{
		"subject_source": "caller", "allowed_audiences": orders, "default_audience": orders, "generate_lease": false,
	})
	return m
}

func (m *mount) request(op logical.Operation, path string, data map[string]any) (*logical.Response, error) {
	return m.backend.HandleRequest(context.Background(), &logical.Request{
		ID: "request-1", Operation: op, Path: path, Data: data, Storage: m.storage, MountPoint: "token-exchange/",
	})
}

// do makes a request that must succeed.
func (m *mount) do(op logical.Operation, path string, data map[string]any) *logical.Response {
	m.t.Helper()
	resp, err := m.request(op, path, data)
	if err != nil || resp.IsError() {
		m.t.Fatalf("%s %s: %v %v", op, path, resp, err)
	}
	return resp
}

func (m *mount) write(path string, data map[string]any) *logical.Response {
	m.t.Helper()
	return m.do(logical.UpdateOperation, path, data)
}

func (m *mount) read(path string) map[string]any {
	m.t.Helper()
	resp := m.do(logical.ReadOperation, path, nil)
	if resp == nil {
		m.t.Fatalf("read %s: nothing there", path)
	}
	return resp.Data
}

// wantRefused makes a request that must be refused with status 400.
func (m *mount) wantRefused(op logical.Operation, path string, data map[string]any, text string) {
	m.t.Helper()
	resp, err := m.request(op, path, data)
	if !errors.Is(err, logical.ErrInvalidRequest) || !resp.IsError() {
		m.t.Fatalf("%s %s: got %v %v, want a refusal", op, path, resp, err)
	}
	if got := resp.Error().Error(); got != text {
		m.t.Errorf("%s %s:\ngot  %s\nwant %s", op, path, got, text)
	}
}

// wantUnavailable makes a request that must be refused with status 503.
func (m *mount) wantUnavailable(path string, data map[string]any, text string) {
	m.t.Helper()
	_, err := m.request(logical.UpdateOperation, path, data)
	coded, ok := errors.AsType[logical.HTTPCodedError](err)
	if !ok || coded.Code() != http.StatusServiceUnavailable || coded.Error() != text {
		m.t.Errorf("got %v, want %s", err, text)
	}
}

// exchange exchanges a good subject token and returns the answer.
func (m *mount) exchange(role string) *logical.Response {
	m.t.Helper()
	return m.write("exchange/"+role, map[string]any{"subject_token": m.idp.Sign(m.t, m.idp.Claims(m.now, nil))})
}

func (m *mount) active(token any) bool {
	m.t.Helper()
	data := m.write("introspect", map[string]any{"token": token}).Data
	if data["active"] == false && len(data) != 1 {
		m.t.Errorf("IN-3: an inactive token was told more about: %v", data)
	}
	return data["active"] == true
}

// What holds a secret is wrapped by the seal as well.
func TestSecretsAreSealWrapped(t *testing.T) {
	m := newMount(t)
	wrapped := m.backend.SpecialPaths().SealWrapStorage
	m.write("clients/gateway", map[string]any{"auth_method": "client_secret_basic", "role": "unleased"})
	for _, path := range []string{"key/", "pseudonym-secret", "issuer/", "client/"} {
		if !slices.Contains(wrapped, path) {
			t.Errorf("%s is not among %v", path, wrapped)
		}
		if names, err := m.storage.InmemStorage.List(t.Context(), ""); err != nil || !slices.Contains(names, path) {
			t.Errorf("nothing is stored at %s: %v, %v", path, names, err)
		}
	}
}

func TestFactoryWritesNothing(t *testing.T) {
	m := emptyMount(t)
	if n := m.storage.writes.Load(); n != 0 {
		t.Errorf("%d writes before the first request", n)
	}
	made, err := backend.Factory(context.Background(), &logical.BackendConfig{System: m.system})
	if err != nil || made.Type() != logical.TypeLogical {
		t.Errorf("Factory as Vault's catalog calls it: %v", err)
	}
}

// panicking is a storage whose content makes the engine panic.
type panicking struct{ logical.InmemStorage }

func (*panicking) Get(context.Context, string) (*logical.StorageEntry, error) { panic("secret detail") }

// A poisoned request may fail, the process may not: it serves other mounts.
func TestPanicIsAnError(t *testing.T) {
	m := emptyMount(t)
	m.restart()
	made, err := backend.New(context.Background(), &logical.BackendConfig{
		System: m.system, Logger: hclog.New(&hclog.LoggerOptions{Output: m.log}),
	}, backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	req := &logical.Request{Operation: logical.ReadOperation, Path: "config", Storage: &panicking{}}
	for range 2 { // the second finds no lock held
		resp, err := made.HandleRequest(context.Background(), req)
		if resp != nil || err == nil || err.Error() != "internal error: see the log of the Vault server" {
			t.Errorf("got %v %v", resp, err)
		}
		if _, _, err := made.HandleExistenceCheck(context.Background(), &logical.Request{Operation: logical.CreateOperation, Path: "config", Storage: &panicking{}}); err == nil {
			t.Error("the existence check went through")
		}
	}
	if !strings.Contains(m.log.String(), "panic in a request") || strings.Contains(m.log.String(), "secret detail") {
		t.Errorf("log: %s", m.log)
	}
}

func TestStorageFailureIsNotTheCallersFault(t *testing.T) {
	m := newMount(t)
	m.storage.failPut = func(string) bool { return true }
	resp, err := m.request(logical.UpdateOperation, "roles/new", map[string]any{
		"issuers": "idp", "bound_subject": "x", "allowed_audiences": orders,
	})
	if resp != nil || err == nil || err.Error() != "internal error: see the log of the Vault server" {
		t.Errorf("got %v %v", resp, err)
	}
	if !strings.Contains(m.log.String(), errStorage.Error()) {
		t.Error("the log does not tell the cause")
	}
	m.storage.failPut = nil
	if resp := m.do(logical.ReadOperation, "roles/new", nil); resp != nil {
		t.Error("a role that was not stored is there")
	}
}

// A read-only node (Vault Enterprise) must let Vault forward the write.
func TestReadOnlyIsPassedOn(t *testing.T) {
	m := newMount(t)
	m.storage.failPut = func(string) bool { return true }
	old := errStorage
	errStorage = logical.ErrReadOnly
	defer func() { errStorage = old }()
	if _, err := m.request(logical.UpdateOperation, "keys/more", nil); err != logical.ErrReadOnly { //nolint:errorlint // Vault compares by identity
		t.Errorf("got %v", err)
	}
}

// What one write changes in several places is not seen half done.
func TestHalfWrittenChangeIsReadAgain(t *testing.T) {
	m := newMount(t)
	m.secondKey()
	m.storage.failPut = func(path string) bool { return path == "role/orders" } // the key's entry is written before
	if _, err := m.request(logical.UpdateOperation, "roles/orders", map[string]any{"key": "second"}); err == nil {
		t.Fatal("the write went through")
	}
	m.storage.failPut = nil
	if got := m.read("roles/orders")["key"]; got != "" {
		t.Errorf("key is %q", got)
	}
	m.exchange("orders")
}

func TestRestartLosesNothing(t *testing.T) {
	m := newMount(t)
	token, revoked := m.exchange("unleased").Data["access_token"], m.exchange("unleased").Data["access_token"]
	m.write("revoke", map[string]any{"token": revoked})
	before := map[string]map[string]any{}
	for _, path := range []string{"config", "issuers/idp", "keys/main", "roles/orders"} {
		before[path] = m.read(path)
	}
	m.restart()
	for path, want := range before {
		wantEqual(t, path, m.read(path), want)
	}
	if !m.active(token) || m.active(revoked) {
		t.Error("tokens are not what they were before the restart")
	}
}

// spoil makes a stored entry one of a later version of the engine.
func (m *mount) spoil(path string) {
	m.t.Helper()
	m.replaceStored(path, `"version":3`, `"version":4`)
}

// replaceStored changes what is stored, and makes the mount anew from it.
func (m *mount) replaceStored(path, before, after string) {
	m.t.Helper()
	entry, err := m.storage.InmemStorage.Get(context.Background(), path)
	if err != nil {
		m.t.Fatal(err)
	}
	if !strings.Contains(string(entry.Value), before) {
		m.t.Fatalf("%s does not contain %s: %s", path, before, entry.Value)
	}
	entry.Value = []byte(strings.Replace(string(entry.Value), before, after, 1))
	if err := m.storage.InmemStorage.Put(context.Background(), entry); err != nil {
		m.t.Fatal(err)
	}
	m.restart()
}

// What was stored before a field existed is read with the field's default, and can
// be written to again.
func TestFieldsOfLaterAreDefaults(t *testing.T) {
	m := newMount(t)
	config, role := m.read("config"), m.read("roles/orders")
	m.replaceStored("config", `"max_delegation_depth":4,`, "")
	m.replaceStored("config", `"version":3`, `"version":1`)
	m.replaceStored("role/orders", `"version":3`, `"version":1`)
	m.replaceStored("role/orders", `"delegation":"forbidden","actor_source":"token",`, "")
	m.replaceStored("role/orders", `"may_act":"honor",`, "")
	wantEqual(t, "config", m.read("config"), config)
	wantEqual(t, "role", m.read("roles/orders"), role)
	m.write("config", map[string]any{"max_hops": 3})
	m.write("roles/orders", map[string]any{"ttl": "1m"})
}

// A role whose expressions this engine cannot compile is left out.
func TestRoleThatDoesNotCompileIsLeftOut(t *testing.T) {
	m := newMount(t)
	m.write("roles/orders", map[string]any{"condition": `subject.sub == "ci-runner"`})
	m.exchange("orders")
	m.replaceStored("role/orders", "subject.sub ==", "subject.sub =")
	m.wantRefused(logical.UpdateOperation, "exchange/orders", map[string]any{"subject_token": m.idp.Sign(t, m.idp.Claims(m.now, nil))},
		`invalid_request: role: the role ["orders"] does not exist`)
	if !strings.Contains(m.log.String(), "a storage entry cannot be read and is left out") {
		t.Errorf("log: %s", m.log)
	}
}

// An entry that a later version of the engine wrote may hold a restriction that
// this one does not know. A role or an issuer is left out: what needs it is
// denied, all else goes on, and nothing is overwritten.
func TestUnreadableRoleOrIssuerIsLeftOut(t *testing.T) {
	m := newMount(t)
	bare := issuertest.New(t, "https://bare.example")
	m.write("issuers/bare", map[string]any{"bound_issuer": bare.URL, "jwks": bare.JWKS(t), "bound_audiences": "https://vault.example", "subject_prefix": ""})
	m.write("roles/bare", map[string]any{"issuers": "bare", "bound_audiences": "https://vault.example", "allowed_audiences": orders, "default_audience": orders})
	token := m.exchange("unleased").Data["access_token"]
	lost := m.exchange("orders").Data["access_token"]
	m.spoil("role/orders")
	if !strings.Contains(m.log.String(), `storage entry \"role/orders\" has version 4`) {
		t.Errorf("log: %s", m.log)
	}
	subject := map[string]any{"subject_token": m.idp.Sign(t, m.idp.Claims(m.now, nil))}
	m.wantRefused(logical.UpdateOperation, "exchange/orders", subject, `invalid_request: role: the role ["orders"] does not exist`)
	m.exchange("unleased")
	if !m.active(token) || m.active(lost) {
		t.Error("the wrong token is active")
	}
	m.wantRefused(logical.UpdateOperation, "roles/orders", map[string]any{"issuers": "idp", "bound_subject": "x", "allowed_audiences": orders},
		`invalid_request: storage: nothing can be written while entries cannot be read: see the log, and restore or delete role/orders`)

	m.spoil("issuer/idp")
	m.wantRefused(logical.UpdateOperation, "exchange/unleased", subject,
		`invalid_request: subject: "iss" claim: ["https://idp.example"] is not an issuer that the role "unleased" accepts`)
	m.wantUnavailable("exchange/bare", map[string]any{"subject_token": bare.Sign(t, bare.Claims(m.now, map[string]any{"sub": "idp:ci-runner"}))},
		`temporarily_unavailable: subject: an issuer of the mount cannot be read, and its subjects cannot be told from others without a prefix: see the log`)
	if len(jwksKeyIDs(m)) != 2 || !m.active(token) {
		t.Error("the rest of the mount does not go on")
	}
	m.write("revoke", map[string]any{"token": token})
	if m.active(token) {
		t.Error("tokens cannot be revoked")
	}
}

// While an entry cannot be read, a key that has leaked can be revoked, and the entry
// itself can be deleted; then all is as before.
func TestWayOutOfAnUnreadableEntry(t *testing.T) {
	m := newMount(t)
	m.write("clients/gateway", map[string]any{"auth_method": "client_secret_basic", "role": "unleased"})
	m.write("clients/api", map[string]any{"auth_method": "client_secret_basic"})
	before := jwksKeyIDs(m)
	for _, entry := range []string{"role/orders", "issuer/idp", "client/gateway"} {
		m.spoil(entry)
	}
	if text := string(m.read("metrics")[logical.HTTPRawBody].([]byte)); !strings.Contains(text, `token_exchange_objects{kind="unreadable"} 3`+"\n") {
		t.Error("no metric tells of the entries")
	}
	m.write("keys/main/revoke", nil)
	if slices.Contains(jwksKeyIDs(m), before[0]) || !strings.Contains(m.log.String(), "key version revoked: request_id=request-1 key=main kid="+before[0]) {
		t.Errorf("%s is published; the log is %s", before[0], m.log)
	}
	const refused = `invalid_request: storage: nothing can be written while entries cannot be read: see the log, and restore or delete `
	m.wantRefused(logical.UpdateOperation, "config", map[string]any{"max_hops": 3}, refused+"issuer/idp, role/orders, client/gateway")
	m.wantRefused(logical.DeleteOperation, "clients/api", nil, refused+"issuer/idp, role/orders, client/gateway")
	m.do(logical.DeleteOperation, "clients/gateway", nil)
	m.do(logical.DeleteOperation, "roles/orders", nil)
	m.wantRefused(logical.DeleteOperation, "roles/unleased", nil, refused+"issuer/idp")
	m.do(logical.DeleteOperation, "issuers/idp", nil) // although a role accepts it
	m.wantRefused(logical.UpdateOperation, "exchange/unleased", map[string]any{"subject_token": m.idp.Sign(t, m.idp.Claims(m.now, nil))},
		`invalid_request: subject: "iss" claim: ["https://idp.example"] is not an issuer that the role "unleased" accepts`)
	m.write("issuers/idp", map[string]any{"bound_issuer": m.idp.URL, "jwks": m.idp.JWKS(t), "bound_audiences": "https://vault.example"})
	m.exchange("unleased")

	m.write("clients/api", map[string]any{"role": "unleased"})
	m.spoil("role/unleased")
	m.do(logical.DeleteOperation, "roles/unleased", nil) // although a client has it
	m.write("config", map[string]any{"max_hops": 3})
}

// Leases can be revoked whatever else is wrong: a failure would block the
// removal of the mount.
func TestUnreadableKeyStopsEverythingButLeases(t *testing.T) {
	m := newMount(t)
	lease := m.exchange("orders")
	m.spoil("key/main")
	if _, err := m.request(logical.ReadOperation, "config", nil); err == nil {
		t.Error("state was loaded")
	}
	if err := m.revokeLease(lease); err != nil {
		t.Errorf("the lease cannot be revoked: %v", err)
	}
}

// Loading goes on when the request that began it is given up.
func TestLoadingOutlivesItsRequest(t *testing.T) {
	m := newMount(t)
	m.backend.InvalidateKey(context.Background(), "config")
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	resp, err := m.backend.HandleRequest(gone, &logical.Request{Operation: logical.ReadOperation, Path: "config", Storage: m.storage})
	if err != nil || resp == nil {
		t.Errorf("got %v %v", resp, err)
	}
}

// The keys that an issuer has served are not forgotten with a change of
// configuration, or when storage fails.
func TestFetchedKeysOutliveConfiguration(t *testing.T) {
	m := newMount(t)
	var down atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = w.Write([]byte(m.idp.JWKS(t)))
	}))
	defer server.Close()
	m.write("issuers/idp", map[string]any{"jwks": "", "jwks_url": server.URL, "allowed_addresses": "127.0.0.0/8"})
	m.exchange("unleased")
	down.Store(true)
	m.write("issuers/idp", map[string]any{"required_claims": "sub"})
	m.exchange("unleased")
	m.storage.failPut = func(string) bool { return true }
	if _, err := m.request(logical.UpdateOperation, "roles/orders", map[string]any{"ttl": "1m"}); err == nil {
		t.Fatal("the write went through")
	}
	m.exchange("unleased")
}

// Invariant: no storage read in steady state, no write for a stateless JWT.
func TestExchangeTouchesNoStorage(t *testing.T) {
	m := newMount(t)
	m.exchange("unleased")
	reads, writes := m.storage.reads.Load(), m.storage.writes.Load()
	for _, role := range []string{"unleased", "orders"} {
		token := m.exchange(role).Data["access_token"]
		m.active(token)
		m.write("exchange/again", map[string]any{"subject_token": token})
	}
	m.do(logical.ReadOperation, ".well-known/keys", nil)
	m.do(logical.ReadOperation, "metrics", nil)
	if r, w := m.storage.reads.Load()-reads, m.storage.writes.Load()-writes; r != 0 || w != 0 {
		t.Errorf("%d reads and %d writes", r, w)
	}
}

func TestStatusCodes(t *testing.T) {
	m := newMount(t)
	m.write("issuers/down", map[string]any{
		"bound_issuer": "https://down.example", "jwks_url": "http://127.0.0.1:9/keys", "bound_audiences": "x",
	})
	_, err := m.request(logical.UpdateOperation, "issuers/down/refresh", nil)
	var coded logical.HTTPCodedError
	if !errors.As(err, &coded) || coded.Code() != http.StatusServiceUnavailable {
		t.Errorf("got %v, want 503", err)
	}
}
