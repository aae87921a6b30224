package backend_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

const replayed = `401 invalid_client jti: 'jti' claim: the assertion has been used before: make a new one for each request`

func (m *mount) storedAssertions() []string {
	m.t.Helper()
	periods, err := m.storage.InmemStorage.List(context.Background(), "assertion/")
	if err != nil {
		m.t.Fatal(err)
	}
	var out []string
	for _, period := range periods {
		names, err := m.storage.InmemStorage.List(context.Background(), "assertion/"+period)
		if err != nil {
			m.t.Fatal(err)
		}
		for _, name := range names {
			out = append(out, period+name)
		}
	}
	return out
}

// CA-5, VT-6: an assertion is taken once, at whatever endpoint, also by the next
// process or node, and by one that has read storage before.
func TestAssertionIsTakenOnce_CA5(t *testing.T) {
	m, key := newSigner(t)
	claims := key.claims(m.now, nil)
	once := asserted(key.sign(t, "", claims))
	m.wantAnswer(t, once, "200")
	again := asserted(key.sign(t, "", claims)) // another signature of the same claims
	m.wantAnswer(t, again, replayed)
	if got := m.post("introspect", map[string]any{"token": "x"}, again); got.String() != replayed {
		t.Errorf("at another endpoint: %s", got)
	}
	m.restart()
	m.wantAnswer(t, again, replayed)
	m.now = m.now.Add(59 * time.Second)
	m.do(logical.RollbackOperation, "", nil)
	m.restart()
	m.wantAnswer(t, again, replayed)
	m.wantAnswer(t, asserted(key.sign(t, "", key.claims(m.now, nil))), "200")
}

// VT-6: what another node has taken is known here when Vault tells of it.
func TestAssertionTakenElsewhere_VT6(t *testing.T) {
	m, key := newSigner(t)
	m.wantAnswer(t, asserted(key.sign(t, "", key.claims(m.now, nil))), "200") // so that what was taken is in memory
	here, known := m.backend, m.storedAssertions()
	m.restart() // the other node
	assertion := asserted(key.sign(t, "", key.claims(m.now, nil)))
	m.wantAnswer(t, assertion, "200")
	m.backend = here
	for _, place := range m.storedAssertions() {
		if !slices.Contains(known, place) {
			m.backend.InvalidateKey(t.Context(), "assertion/"+place)
		}
	}
	m.wantAnswer(t, assertion, replayed)
}

// The same "jti" of two clients are two.
func TestAssertionsOfTwoClients(t *testing.T) {
	m, key := newSigner(t)
	m.write("clients/another", map[string]any{"auth_method": "private_key_jwt", "role": "unleased", "jwks": key.jwks(t)})
	for _, id := range []string{"signer", "another"} {
		m.wantAnswer(t, asserted(key.sign(t, "", key.claims(m.now, map[string]any{"iss": id, "sub": id, "jti": "the-same"}))), "200")
	}
}

func TestAssertionIsTakenOnceOfManyAtATime(t *testing.T) {
	m, key := newSigner(t)
	assertion := asserted(key.sign(t, "", key.claims(m.now, nil)))
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for range 20 {
		wg.Go(func() {
			if got := m.post("introspect", map[string]any{"token": "x"}, assertion); got.status == http.StatusOK {
				mu.Lock()
				taken++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if taken != 1 {
		t.Errorf("taken %d times", taken)
	}
}

// Nothing is remembered of an assertion that was refused, or of anybody but the client.
func TestRefusedAssertionIsNotRemembered(t *testing.T) {
	m, key := newSigner(t)
	for _, jwt := range []string{
		newKeyPair(t).sign(t, "", key.claims(m.now, nil)),
		key.sign(t, "", key.claims(m.now, map[string]any{"aud": "https://other.example"})),
		key.sign(t, "at+jwt", key.claims(m.now, nil)),
	} {
		if got := m.post("token", m.exchangeForm(nil), asserted(jwt)); got.status != http.StatusUnauthorized {
			t.Errorf("got %s", got)
		}
	}
	if names := m.storedAssertions(); len(names) != 0 {
		t.Errorf("stored: %v", names)
	}
}

// Entries last longer than their assertions, for nodes whose clock runs behind.
func TestExpiredAssertionsAreTidied(t *testing.T) {
	m, key := newSigner(t)
	for i := range 250 {
		claims := key.claims(m.now, map[string]any{"jti": fmt.Sprint(i)})
		if got := m.post("introspect", map[string]any{"token": "x"}, asserted(key.sign(t, "", claims))); got.status != http.StatusOK {
			t.Fatal(got)
		}
	}
	m.now = m.now.Add(time.Minute + 5*time.Minute) // the assertions have ended, and a slow clock sees them end
	m.do(logical.RollbackOperation, "", nil)
	if n := len(m.storedAssertions()); n != 250 {
		t.Fatalf("%d left while they are good for a clock that runs behind", n)
	}
	m.now = m.now.Add(5 * time.Minute)
	m.do(logical.RollbackOperation, "", nil)
	if n := len(m.storedAssertions()); n != 0 {
		t.Errorf("%d left", n)
	}
}

// VT-6: what has ended here has not on a node whose clock runs behind.
func TestAssertionIsNotTakenByASlowerClock_CA5(t *testing.T) {
	m, key := newSigner(t)
	assertion := asserted(key.sign(t, "", key.claims(m.now, nil)))
	m.wantAnswer(t, assertion, "200")
	m.now = m.now.Add(time.Minute)
	m.do(logical.RollbackOperation, "", nil)
	m.now = m.now.Add(-2 * time.Second)
	m.restart()
	m.wantAnswer(t, assertion, replayed)
}

// What a client may not do is not written down: its limit comes first.
func TestRateLimitBoundsWhatIsRemembered(t *testing.T) {
	m, key := newSigner(t)
	m.write("clients/signer", map[string]any{"rate_limit": 1})
	for i := range 5 {
		claims := key.claims(m.now, map[string]any{"jti": fmt.Sprint(i)})
		m.post("introspect", map[string]any{"token": "x"}, asserted(key.sign(t, "", claims)))
	}
	if n := len(m.storedAssertions()); n != 1 {
		t.Errorf("%d are remembered", n)
	}
}

// Whoever has seen an assertion cannot use up by it what the client may ask for.
func TestReplayedAssertionsDoNotCountAsRequests(t *testing.T) {
	m, key := newSigner(t)
	m.write("clients/signer", map[string]any{"rate_limit": 2})
	seen := asserted(key.sign(t, "", key.claims(m.now, nil)))
	m.wantAnswer(t, seen, "200")
	for range 5 {
		m.wantAnswer(t, seen, replayed)
	}
	m.wantAnswer(t, asserted(key.sign(t, "", key.claims(m.now, nil))), "200")
	m.wantAnswer(t, asserted(key.sign(t, "", key.claims(m.now, nil))),
		"429 slow_down client_rate_limit: the client has made more than 2 requests a minute")
}

// CA-5: what is on its way to storage is not forgotten when another node's writes are
// looked up.
func TestAssertionOnItsWayToStorage_CA5(t *testing.T) {
	m, key := newSigner(t)
	once := asserted(key.sign(t, "", key.claims(m.now, nil)))
	looked := false
	m.storage.failPut = func(string) bool {
		if !looked {
			looked = true
			m.backend.InvalidateKey(t.Context(), "assertion/0/x")
			m.wantAnswer(t, once, replayed)
		}
		return false
	}
	m.wantAnswer(t, once, "200")
	if !looked {
		t.Error("nothing was stored")
	}
}

// Nothing that lies in storage keeps the mount from being loaded.
func TestAssertionsThatAreJunk(t *testing.T) {
	m, key := newSigner(t)
	m.wantAnswer(t, asserted(key.sign(t, "", key.claims(m.now, nil))), "200")
	for _, path := range []string{"assertion/" + m.storedAssertions()[0], "assertion/junk", "assertion/junk/x"} {
		if err := m.storage.InmemStorage.Put(t.Context(), &logical.StorageEntry{Key: path, Value: []byte("junk")}); err != nil {
			t.Fatal(err)
		}
	}
	m.restart()
	m.read("config")
	m.wantAnswer(t, asserted(key.sign(t, "", key.claims(m.now, nil))), "200")
}

// Clients go on revoking when the configuration was deleted, and exchange nothing.
func TestClientsRevokeWithoutConfiguration(t *testing.T) {
	const unconfigured = "400 invalid_request config: the mount is not configured: write config first"
	m, gateway, api := newClients(t)
	token := map[string]any{"token": m.post("token", m.exchangeForm(nil), gateway).body["access_token"]}
	m.do(logical.DeleteOperation, "config", nil)
	if got := m.post("token", m.exchangeForm(nil), gateway); got.String() != unconfigured {
		t.Errorf("got %s", got)
	}
	if got := m.post("token", m.exchangeForm(nil), proving(gateway, newProver(t).proof(m.now, nil))); got.String() != unconfigured {
		t.Errorf("with a DPoP proof: got %s", got)
	}
	if got := m.post("introspect", token, api); got.body["active"] != true {
		t.Errorf("got %s", got)
	}
	m.post("revoke", token, gateway)
	if got := m.post("introspect", token, accepting(api, "application/token-introspection+jwt")); got.raw != `{"active":false}` {
		t.Errorf("got %s", got)
	}
}

// What cannot be remembered authenticates nobody.
func TestAssertionThatCannotBeStored(t *testing.T) {
	m, key := newSigner(t)
	m.storage.failPut = func(path string) bool { return strings.HasPrefix(path, "assertion/") }
	assertion := asserted(key.sign(t, "", key.claims(m.now, nil)))
	m.wantAnswer(t, assertion, "503 temporarily_unavailable client_assertion: it cannot be remembered now that it was used")
	if !strings.Contains(m.log.String(), errStorage.Error()) {
		t.Error("the log does not tell the cause")
	}
	m.storage.failPut = nil
	m.wantAnswer(t, assertion, replayed)
	m.wantAnswer(t, asserted(key.sign(t, "", key.claims(m.now, nil))), "200")
}

// A read-only node (Vault Enterprise) must let Vault forward the request, of which it
// has answered nothing.
func TestReadOnlyNodePassesOAuthOn(t *testing.T) {
	m, key := newSigner(t)
	gateway := basic("gateway", m.secret("gateway"))
	token := m.post("token", m.exchangeForm(nil), gateway).body["access_token"]
	old := errStorage
	errStorage = logical.ErrReadOnly
	defer func() { errStorage = old }()
	m.storage.failPut = func(string) bool { return true }
	for name, req := range map[string]*logical.Request{
		"an assertion": {Path: "oauth/token", Data: m.exchangeForm(map[string]any{
			"client_assertion": key.sign(t, "", key.claims(m.now, nil)), "client_assertion_type": assertionType,
		})},
		"a revocation": {Path: "oauth/revoke", Data: map[string]any{"token": token}},
	} {
		req.Operation, req.Storage = logical.UpdateOperation, m.storage
		if name == "a revocation" {
			gateway(req)
		}
		resp, err := m.backend.HandleRequest(t.Context(), req)
		if resp != nil || err != logical.ErrReadOnly { //nolint:errorlint // Vault compares by identity
			t.Errorf("%s: got %v %v", name, resp, err)
		}
	}
	if got := m.post("token", m.exchangeForm(nil), gateway); got.status != http.StatusOK {
		t.Errorf("what writes nothing is answered %s", got)
	}
}

// An exchange by a secret writes nothing and reads nothing; one by an assertion
// writes the one entry that keeps it from being used again.
func TestOAuthExchangeTouchesNoStorage(t *testing.T) {
	m, key := newSigner(t)
	gateway := basic("gateway", m.secret("gateway"))
	m.post("token", m.exchangeForm(nil), asserted(key.sign(t, "", key.claims(m.now, nil)))) // the first one looks what there was
	for _, c := range []struct {
		name   string
		who    func(*logical.Request)
		writes int64
	}{
		{"a secret", gateway, 0},
		{"an assertion", asserted(key.sign(t, "", key.claims(m.now, nil))), 1},
	} {
		reads, writes := m.storage.reads.Load(), m.storage.writes.Load()
		granted := m.post("token", m.exchangeForm(nil), c.who)
		if r, w := m.storage.reads.Load()-reads, m.storage.writes.Load()-writes; granted.status != http.StatusOK || r != 0 || w != c.writes {
			t.Errorf("%s: %s, %d reads and %d writes", c.name, granted, r, w)
		}
	}
}

// unreadable is a storage that cannot be read.
type unreadable struct{ logical.InmemStorage }

func (*unreadable) Get(context.Context, string) (*logical.StorageEntry, error) {
	return nil, errors.New("storage is down")
}

// VT-4: also when nothing can be loaded, or the engine panics, the answer is OAuth's.
func TestOAuthFailuresAreInItsShape_VT4(t *testing.T) {
	for name, storage := range map[string]logical.Storage{"storage is down": &unreadable{}, "a panic": &panicking{}} {
		m := emptyMount(t)
		m.backend.InvalidateKey(t.Context(), "config")
		got := m.post("token", map[string]any{"grant_type": grantType}, func(r *logical.Request) { r.Storage = storage })
		if want := "500 server_error internal error: see the log of the Vault server"; got.String() != want {
			t.Errorf("%s: got %s", name, got)
		}
	}
}
