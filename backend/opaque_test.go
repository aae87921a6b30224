package backend_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// newOpaqueMount is a mount with a role whose tokens are opaque.
func newOpaqueMount(t testing.TB) *mount {
	t.Helper()
	m := newMount(t)
	m.write("roles/opaque", map[string]any{
		"issuers": "idp", "bound_subject": "ci-runner", "allowed_audiences": orders, "default_audience": orders, "generate_lease": false,
		"allowed_scopes": "orders:read orders:write", "default_scopes": "orders:read", "ttl": "5m", "format": "opaque",
	})
	return m
}

func (m *mount) opaque() string {
	m.t.Helper()
	text, _ := m.exchange("opaque").Data["access_token"].(string)
	return text
}

// unknownOpaque has the form of an opaque token, and nobody has issued it.
func unknownOpaque(now time.Time) string {
	raw, _ := token.NewOpaque(now.Add(time.Minute))
	return raw.Reveal()
}

// changed returns an opaque token with another letter in its midst.
func changed(text string) string {
	other := "a"
	if text[20] == 'a' {
		other = "b"
	}
	return text[:20] + other + text[21:]
}

// stored returns what is below a prefix, by path.
func (m *mount) stored(prefix string) map[string]string {
	m.t.Helper()
	paths, err := logical.CollectKeysWithPrefix(context.Background(), &m.storage.InmemStorage, prefix)
	if err != nil {
		m.t.Fatal(err)
	}
	all := map[string]string{}
	for _, path := range paths {
		entry, err := m.storage.InmemStorage.Get(context.Background(), path)
		if err != nil {
			m.t.Fatal(err)
		}
		all[path] = string(entry.Value)
	}
	return all
}

// IN-9: the same view as of a JWT with the same claims: the same members, and the
// same values where these are not random.
func TestOpaqueTokenHasTheViewOfAJWT_IN9(t *testing.T) {
	m := newOpaqueMount(t)
	var views []map[string]any
	for _, role := range []string{"opaque", "unleased"} {
		answer := m.exchange(role).Data
		if answer["token_type"] != "Bearer" || answer["issued_token_type"] != "urn:ietf:params:oauth:token-type:access_token" || answer["expires_in"] != int64(300) {
			t.Errorf("%s: %v", role, answer)
		}
		view := m.write("introspect", map[string]any{"token": answer["access_token"]}).Data
		if view["jti"] != answer["jti"] || view["txn"] != answer["txn"] || view["client_id"] != "role:"+role {
			t.Errorf("%s: %v", role, view)
		}
		delete(view, "jti")
		delete(view, "txn")
		delete(view, "client_id")
		views = append(views, view)
	}
	wantEqual(t, "the view of an opaque token", asJSON(t, views[0]), asJSON(t, views[1]))
	if views[0]["active"] != true || views[0]["scope"] != "orders:read" {
		t.Errorf("got %v", views[0])
	}
}

// IN-9: storage holds the hash of a token, and nothing that has the token in it;
// one write makes it, and one read finds it.
func TestOpaqueTokenIsOneWriteUnderItsHash_IN9(t *testing.T) {
	m := newOpaqueMount(t)
	subject := map[string]any{"subject_token": m.idp.Sign(t, m.idp.Claims(m.now, nil))}
	reads, writes := m.storage.reads.Load(), m.storage.writes.Load()
	text, _ := m.write("exchange/opaque", subject).Data["access_token"].(string)
	if r, w := m.storage.reads.Load()-reads, m.storage.writes.Load()-writes; r != 0 || w != 1 {
		t.Errorf("%d reads and %d writes to make it", r, w)
	}
	for what, use := range map[string]func(){
		"introspect": func() { m.active(text) },
		"exchange":   func() { m.write("exchange/again", map[string]any{"subject_token": text}) },
		"explain":    func() { m.write("explain/again", map[string]any{"subject_token": text}) },
	} {
		reads, writes = m.storage.reads.Load(), m.storage.writes.Load()
		use()
		if r, w := m.storage.reads.Load()-reads, m.storage.writes.Load()-writes; r != 1 || w != 0 {
			t.Errorf("%s: %d reads and %d writes", what, r, w)
		}
	}
	sum := sha256.Sum256([]byte(text))
	records := m.stored("opaque/")
	for path, value := range m.stored("") {
		if strings.Contains(path+value, text) || strings.Contains(path+value, text[:20]) {
			t.Errorf("the token is stored at %s", path)
		}
	}
	if len(records) != 1 {
		t.Fatalf("%d records", len(records))
	}
	for path := range records {
		if !strings.HasSuffix(path, "/"+hex.EncodeToString(sum[:])) {
			t.Errorf("stored at %s", path)
		}
	}
	if strings.Contains(m.log.String(), text) || strings.Contains(string(m.read("metrics")[logical.HTTPRawBody].([]byte)), text) {
		t.Error("the token is in the log or the metrics")
	}
}

// A role for opaque tokens explains what it would make, and makes nothing.
func TestExplainOpaque(t *testing.T) {
	m := newOpaqueMount(t)
	writes := m.storage.writes.Load()
	data := m.write("explain/opaque", map[string]any{"subject_claims": m.goodClaims()}).Data
	steps, _ := data["steps"].([]any)
	wantEqual(t, "the last step", steps[len(steps)-1], map[string]any{
		"stage": "mint", "rule": "format", "passed": true, "detail": "the token would be opaque: the claims are kept here and introspection tells them",
	})
	if m.storage.writes.Load() != writes || len(m.stored("opaque/")) != 0 {
		t.Error("something was written")
	}
}

// IN-3, IN-6, RV-4, RV-8: what takes a JWT back takes an opaque token back, and
// what was exchanged from it.
func TestWhatTakesAnOpaqueTokenBack(t *testing.T) {
	for name, take := range map[string]func(m *mount, leased *logical.Response){
		"RV-4 the token itself": func(m *mount, leased *logical.Response) {
			m.write("revoke", map[string]any{"token": leased.Data["access_token"]})
		},
		"RV-8 its lease": func(m *mount, leased *logical.Response) {
			if err := m.revokeLease(leased); err != nil {
				m.t.Fatal(err)
			}
		},
		"IN-6 its role": func(m *mount, _ *logical.Response) { m.do(logical.DeleteOperation, "roles/opaque", nil) },
		"IN-6 its role, written again": func(m *mount, _ *logical.Response) {
			role := m.read("roles/opaque")
			delete(role, "role_id")
			m.do(logical.DeleteOperation, "roles/opaque", nil)
			m.write("roles/opaque", role)
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newOpaqueMount(t)
			m.write("roles/opaque", map[string]any{"generate_lease": true})
			leased := m.exchange("opaque")
			parent := leased.Data["access_token"]
			child := m.write("exchange/again", map[string]any{"subject_token": parent}).Data["access_token"]
			if !m.active(parent) || !m.active(child) {
				t.Fatal("not active to begin with")
			}
			take(m, leased)
			for range 2 {
				if m.active(parent) || m.active(child) {
					t.Error("still active")
				}
				if _, err := m.request(logical.UpdateOperation, "exchange/again", map[string]any{"subject_token": parent}); !errors.Is(err, logical.ErrInvalidRequest) {
					t.Errorf("exchanged: %v", err)
				}
				m.restart()
			}
		})
	}
}

// A chain with an opaque token in its midst dies with what it began with.
func TestOpaqueTokenDiesWithItsAncestors_RV6(t *testing.T) {
	for name, take := range map[string]func(m *mount, root any){
		"revoked": func(m *mount, root any) { m.write("revoke", map[string]any{"token": root}) },
		"its key": func(m *mount, _ any) { m.write("keys/main/revoke", nil) },
		"its role": func(m *mount, _ any) {
			m.do(logical.DeleteOperation, "roles/unleased", nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newOpaqueMount(t)
			m.write("roles/midst", map[string]any{
				"issuers": "self", "bound_audiences": orders, "allowed_audiences": orders, "default_audience": orders, "generate_lease": false, "format": "opaque",
			})
			m.now = m.now.Add(2 * time.Hour) // so that the successor may sign
			root := m.exchange("unleased").Data["access_token"]
			opaque := m.write("exchange/midst", map[string]any{"subject_token": root}).Data["access_token"]
			last := m.write("exchange/midst", map[string]any{"subject_token": opaque}).Data["access_token"]
			other := m.opaque()
			take(m, root)
			if m.active(opaque) || m.active(last) {
				t.Error("still active")
			}
			if !m.active(other) {
				t.Error("another token was taken along")
			}
		})
	}
}

// A storage that fails tells nothing about a token, and issues none.
func TestOpaqueTokenNeedsStorage(t *testing.T) {
	m := newOpaqueMount(t)
	text := m.opaque()
	again, ask := map[string]any{"subject_token": text}, map[string]any{"token": text}

	m.storage.failPut = func(path string) bool { return strings.HasPrefix(path, "opaque/") }
	m.wantUnavailable("exchange/opaque", map[string]any{"subject_token": m.idp.Sign(t, m.idp.Claims(m.now, nil))},
		"temporarily_unavailable: record: the token cannot be stored now")
	m.storage.failGet = func(path string) bool { return strings.HasPrefix(path, "opaque/") }
	m.wantUnavailable("introspect", ask, "temporarily_unavailable: subject: the token cannot be looked up now")
	m.wantUnavailable("revoke", ask, "temporarily_unavailable: subject: the token cannot be looked up now")
	m.wantUnavailable("exchange/again", again, "temporarily_unavailable: subject: the token cannot be looked up now")
	if !strings.Contains(m.log.String(), errStorage.Error()) || strings.Contains(m.log.String(), text) {
		t.Errorf("the log tells no cause, or the token: %s", m.log)
	}
	m.exchange("unleased")
	m.storage.failPut, m.storage.failGet = nil, nil
	if len(m.stored("opaque/")) != 1 || !m.active(text) {
		t.Error("not as before")
	}
}

// A record that this engine cannot read is no reason to call a token inactive.
func TestRecordOfALaterVersion(t *testing.T) {
	m := newOpaqueMount(t)
	text := m.opaque()
	for path := range m.stored("opaque/") {
		m.spoil(path)
	}
	m.wantUnavailable("introspect", map[string]any{"token": text}, "temporarily_unavailable: subject: the token cannot be looked up now")
}

// An engine that does not know of the format would sign JWTs for the role: it must
// find a version that it does not read.
func TestOlderEngineDoesNotReadARoleWithOpaqueTokens(t *testing.T) {
	m := newOpaqueMount(t)
	if entry := m.stored("role/opaque")["role/opaque"]; !strings.HasPrefix(entry, `{"version":3,`) || !strings.Contains(entry, `"format":"opaque"`) {
		t.Errorf("stored %s", entry)
	}
}

// A record is deleted some time after its token has expired, and not before; the
// others are not read, nor those that are no records.
func TestExpiredRecordsAreTidied(t *testing.T) {
	m := newOpaqueMount(t)
	m.opaque()
	m.opaque()
	m.now = m.now.Add(time.Hour + 299*time.Second) // it will expire in the last second of a period
	late := m.opaque()
	if n := len(m.stored("opaque/")); n != 3 {
		t.Fatalf("%d records: an exchange has tidied", n)
	}
	reads := m.storage.reads.Load()
	m.do(logical.RollbackOperation, "", nil)
	if n := len(m.stored("opaque/")); n != 1 || !m.active(late) {
		t.Errorf("%d records", n)
	}
	if r := m.storage.reads.Load() - reads; r > 4 { // the periods, what is in one, the introspection, and the periods of assertions
		t.Errorf("%d reads", r)
	}
	text := string(m.read("metrics")[logical.HTTPRawBody].([]byte))
	for _, line := range []string{`token_exchange_opaque_total{role="opaque"} 3`, `token_exchange_opaque_tidied_total 2`} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	for range 6 { // a token is never without its record while it is alive, or is on a node whose clock is late
		m.now = m.now.Add(100 * time.Second)
		m.do(logical.RollbackOperation, "", nil)
		if alive := m.now.Before(time.Unix(1_800_004_199, 0)); m.active(late) != alive {
			t.Errorf("at %s: active is %v", m.now, !alive)
		}
		if m.now.Before(time.Unix(1_800_004_500, 0)) && len(m.stored("opaque/")) != 1 {
			t.Errorf("at %s the record is gone", m.now)
		}
	}
	if len(m.stored("opaque/")) != 1 {
		t.Error("the record is gone too early")
	}
	m.now = m.now.Add(5 * time.Minute)
	m.do(logical.RollbackOperation, "", nil)
	if len(m.stored("opaque/")) != 0 {
		t.Error("the record is still there")
	}
}

// One run deletes no more than a bounded number of a period, and goes on with the
// others; what is left is for the next.
func TestTidyingIsBounded(t *testing.T) {
	m := newOpaqueMount(t)
	for i := range 10_050 {
		if err := m.storage.InmemStorage.Put(t.Context(), &logical.StorageEntry{Key: fmt.Sprintf("opaque/000000/%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.storage.InmemStorage.Put(t.Context(), &logical.StorageEntry{Key: "opaque/000001/a"}); err != nil {
		t.Fatal(err)
	}
	for _, left := range []int{50, 0} {
		m.do(logical.RollbackOperation, "", nil)
		if n := len(m.stored("opaque/")); n != left {
			t.Errorf("%d are left, want %d", n, left)
		}
	}
}

// Keys that cannot be turned, because an entry cannot be read, do not keep what has
// expired.
func TestTidyingGoesOnWithoutTheKeys(t *testing.T) {
	m := newOpaqueMount(t)
	m.write("keys/main", map[string]any{"rotation_period": "2h"})
	m.opaque()
	m.spoil("role/me")
	m.now = m.now.Add(3 * time.Hour)
	if _, err := m.request(logical.RollbackOperation, "", nil); err == nil {
		t.Error("the failure is hidden")
	}
	if n := len(m.stored("opaque/")); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

// A failing deletion does not keep the keys from being turned.
func TestTidyingComesAfterTheKeys(t *testing.T) {
	m := newOpaqueMount(t)
	m.write("keys/main", map[string]any{"rotation_period": "2h"})
	before := jwksKeyIDs(m)
	m.opaque()
	m.now = m.now.Add(3 * time.Hour)
	m.storage.failDelete = func(path string) bool { return strings.HasPrefix(path, "opaque/") }
	_, err := m.request(logical.RollbackOperation, "", nil)
	if err == nil {
		t.Error("the failure is hidden")
	}
	if slices.Equal(jwksKeyIDs(m), before) {
		t.Error("the key was not rotated")
	}
}

// What another node stores for its tokens is no reason to load everything again.
func TestRecordsDoNotInvalidate(t *testing.T) {
	m := newOpaqueMount(t)
	reads := m.storage.reads.Load()
	for path := range m.stored("opaque/") {
		m.backend.InvalidateKey(context.Background(), path)
	}
	m.backend.InvalidateKey(context.Background(), "opaque/000000/a")
	m.read("config")
	if r := m.storage.reads.Load() - reads; r != 0 {
		t.Errorf("%d reads", r)
	}
}

// A role for opaque tokens needs no key, and holds none: neither its default_key,
// nor one that it has left.
func TestOpaqueRoleNeedsNoKey(t *testing.T) {
	m := emptyMount(t)
	m.write("config", map[string]any{"issuer": "https://vault.example/v1/token-exchange", "allowed_audiences": "https://*", "allowed_scopes": "*"})
	m.write("issuers/idp", map[string]any{"bound_issuer": m.idp.URL, "jwks": m.idp.JWKS(t), "bound_audiences": "https://vault.example"})
	role := map[string]any{"issuers": "idp", "bound_subject": "ci-runner", "allowed_audiences": orders, "default_audience": orders, "generate_lease": false}
	m.wantRefused(logical.UpdateOperation, "roles/opaque", role, `invalid_request: key: is empty and config has no default_key`)
	role["format"] = "opaque"
	m.write("roles/opaque", role)
	if !m.active(m.opaque()) {
		t.Error("not active")
	}
	m.wantRefused(logical.UpdateOperation, "roles/opaque", map[string]any{"format": "jwt"}, `invalid_request: key: is empty and config has no default_key`)

	m = newMount(t)
	for _, name := range []string{"orders", "unleased", "again", "me"} {
		m.write("roles/"+name, map[string]any{"format": "opaque"})
	}
	m.wantRefused(logical.DeleteOperation, "keys/main", nil, `invalid_request: name: the key "main" is the default_key of config: set another one first`)
	m.write("config", map[string]any{"default_key": ""})
	m.wantRefused(logical.DeleteOperation, "keys/main", nil,
		`invalid_request: name: tokens signed with the key "main" may be alive until 2027-01-15T10:02:00Z: delete it then`)
}

// Other formats of a role's tokens stay what they are when the format changes.
func TestFormatOfARoleChanges(t *testing.T) {
	m := newMount(t)
	jwt := m.exchange("unleased").Data["access_token"]
	m.write("roles/unleased", map[string]any{"format": "opaque"})
	opaque := m.exchange("unleased").Data["access_token"]
	m.write("roles/unleased", map[string]any{"format": "jwt"})
	if !m.active(jwt) || !m.active(opaque) {
		t.Error("a token has died")
	}
}

// Requests for a JWT get none.
func TestOpaqueRoleIssuesNoJWT(t *testing.T) {
	m := newOpaqueMount(t)
	m.wantRefused(logical.UpdateOperation, "exchange/opaque", map[string]any{
		"subject_token": m.idp.Sign(t, m.goodClaims()), "requested_token_type": "urn:ietf:params:oauth:token-type:jwt",
	}, `invalid_request: requested_token_type: the role "opaque" issues opaque tokens: ask for "urn:ietf:params:oauth:token-type:access_token"`)
}

// The configuration of the mount may be gone, or name another issuer: tokens can
// be asked about and revoked, as JWTs can, and are no subjects.
func TestOpaqueTokenOfAFormerIssuer(t *testing.T) {
	m := newOpaqueMount(t)
	text := m.opaque()
	m.write("config", map[string]any{"issuer": "https://new.example", "force": true})
	m.wantRefused(logical.UpdateOperation, "exchange/again", map[string]any{"subject_token": text}, `invalid_request: subject: "iss" is not this engine's`)
	m.do(logical.DeleteOperation, "config", nil)
	if !m.active(text) {
		t.Error("not active")
	}
	m.write("revoke", map[string]any{"token": text})
	if m.active(text) {
		t.Error("still active")
	}
}

// IN-3: whatever is not an active token gets one answer, to the byte.
func TestInactiveOpaqueTokensAreAllTheSame_IN3(t *testing.T) {
	m := newOpaqueMount(t)
	revoked, expired := m.opaque(), m.opaque()
	m.write("revoke", map[string]any{"token": revoked})
	for name, text := range map[string]string{"revoked": revoked, "unknown": unknownOpaque(m.now), "foreign": "abc_" + revoked[4:], "of no form": "vtx_"} {
		if got := asJSON(t, m.write("introspect", map[string]any{"token": text}).Data); got != `{"active":false}` {
			t.Errorf("%s: %s", name, got)
		}
	}
	m.now = m.now.Add(5 * time.Minute)
	if got := asJSON(t, m.write("introspect", map[string]any{"token": expired}).Data); got != `{"active":false}` {
		t.Errorf("expired, with its record: %s", got)
	}
	m.wantRefused(logical.UpdateOperation, "exchange/again", map[string]any{"subject_token": expired},
		`invalid_request: subject: "exp" claim expired at 2027-01-15T08:05:00Z`)
	m.now = m.now.Add(time.Hour)
	m.do(logical.RollbackOperation, "", nil)
	if got := asJSON(t, m.write("introspect", map[string]any{"token": expired}).Data); got != `{"active":false}` {
		t.Errorf("expired, without its record: %s", got)
	}
	m.wantRefused(logical.UpdateOperation, "exchange/again", map[string]any{"subject_token": expired},
		`invalid_request: subject: the token is not an active token of this engine`)
	// What has not the form of a token is not looked for.
	reads := m.storage.reads.Load()
	for _, text := range []string{"garbage", revoked[:58], revoked + "x", strings.Repeat("x", 59), changed(revoked)} {
		m.active(text)
	}
	if r := m.storage.reads.Load() - reads; r != 0 {
		t.Errorf("%d reads", r)
	}
}
