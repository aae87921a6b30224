package backend_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

func TestLeasedAnswer(t *testing.T) {
	m := newMount(t)
	resp := m.exchange("orders")
	s := resp.Secret
	if s == nil || s.Renewable || s.TTL != 5*time.Minute || s.MaxTTL != 5*time.Minute {
		t.Fatalf("lease %+v", s)
	}
	for _, name := range []string{"rotation_period", "ttl"} {
		if _, ok := resp.Data[name]; ok {
			t.Errorf("a leased answer has %q, which is for unleased ones", name)
		}
	}
}

func TestUnleasedAnswerTellsAgentWhenToRefresh(t *testing.T) {
	m := newMount(t)
	for range 50 {
		resp := m.exchange("unleased")
		if resp.Secret != nil {
			t.Fatal("the answer has a lease")
		}
		hint := resp.Data["ttl"].(int64)
		if resp.Data["rotation_period"] != int64(300) || hint < 216 || hint > 240 {
			t.Fatalf("rotation_period %v, ttl %v", resp.Data["rotation_period"], hint)
		}
	}
}

// revokeLease revokes a lease as Vault does, whose numbers lose their type.
func (m *mount) revokeLease(resp *logical.Response) error {
	m.t.Helper()
	_, err := m.backend.HandleRequest(context.Background(), &logical.Request{
		Operation: logical.RevokeOperation, Path: "exchange/orders", Storage: m.storage, Secret: resp.Secret, Data: resp.Data,
	})
	return err
}

// RV-8: a lease, and the revoke path, take a token back in the same way.
func TestRevokingTheLeaseKillsTheToken(t *testing.T) {
	m := newMount(t)
	resp := m.exchange("orders")
	token := resp.Data["access_token"]
	child := m.write("exchange/again", map[string]any{"subject_token": token}).Data["access_token"]
	if !m.active(token) || !m.active(child) {
		t.Fatal("not active to begin with")
	}
	if err := m.revokeLease(resp); err != nil {
		t.Fatal(err)
	}
	if m.active(token) || m.active(child) {
		t.Error("still active")
	}
	m.wantRefused(logical.UpdateOperation, "exchange/again", map[string]any{"subject_token": token},
		`invalid_request: revoked: the token, or one that it was exchanged from, was revoked`)
	if err := m.revokeLease(resp); err != nil {
		t.Errorf("revoking twice: %v", err)
	}
}

func TestLeaseRevokedAfterExpiryWritesNothing(t *testing.T) {
	m := newMount(t)
	resp := m.exchange("orders")
	m.now = m.now.Add(5 * time.Minute)
	writes := m.storage.writes.Load()
	if err := m.revokeLease(resp); err != nil {
		t.Fatal(err)
	}
	if m.storage.writes.Load() != writes {
		t.Error("something was written")
	}
}

func TestRevocationThatCannotBeStoredFails(t *testing.T) {
	m := newMount(t)
	resp := m.exchange("orders")
	m.storage.failPut = func(string) bool { return true }
	if err := m.revokeLease(resp); err == nil {
		t.Error("the lease was reported as revoked")
	}
	if !m.active(resp.Data["access_token"]) {
		t.Error("inactive, though a restart would make it active again")
	}
}

func TestExpiredRevocationsAreTidied(t *testing.T) {
	m := newMount(t)
	m.write("revoke", map[string]any{"token": m.exchange("unleased").Data["access_token"]})
	count := func() int {
		names, err := m.storage.InmemStorage.List(t.Context(), "revocation/")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	m.do(logical.RollbackOperation, "", nil)
	if count() != 1 {
		t.Fatal("the revocation is gone while its token is alive")
	}
	m.now = m.now.Add(11 * time.Minute)
	m.do(logical.RollbackOperation, "", nil)
	if count() != 0 {
		t.Error("the revocation outlived its token")
	}
}

// RV-6: a token can be revoked after its role was deleted, and its descendants
// with it: deleting the role first must not make that impossible.
func TestRevocationAfterTheRoleIsDeleted(t *testing.T) {
	m := newMount(t)
	m.write("roles/more", map[string]any{"issuers": "self", "bound_audiences": orders, "allowed_audiences": orders, "default_audience": orders})
	parent := m.exchange("unleased").Data["access_token"]
	child := m.write("exchange/again", map[string]any{"subject_token": parent}).Data["access_token"]
	m.do(logical.DeleteOperation, "roles/unleased", nil)
	if m.active(parent) || m.active(child) {
		t.Error("a token outlived the role that it comes from")
	}
	if resp := m.write("revoke", map[string]any{"token": parent}); resp != nil {
		t.Errorf("not revoked: %v", resp)
	}
}

func TestTidyIsNotBoundedByItsBatch(t *testing.T) {
	m := newMount(t)
	for range 250 {
		m.write("revoke", map[string]any{"token": m.exchange("unleased").Data["access_token"]})
	}
	m.now = m.now.Add(11 * time.Minute)
	m.do(logical.RollbackOperation, "", nil)
	if names, err := m.storage.InmemStorage.List(t.Context(), "revocation/"); err != nil || len(names) != 0 {
		t.Errorf("%d left, %v", len(names), err)
	}
}

// A token in the wrong place is not repeated either.
func TestMisplacedTokenIsNotRepeated(t *testing.T) {
	m := newMount(t)
	token := m.idp.Sign(t, m.idp.Claims(m.now, nil))
	m.wantRefused(logical.UpdateOperation, "exchange/orders", map[string]any{"subject_token": token, "ttl": token},
		`invalid_request: ttl: is not a duration: use 5m, 1h30m or a number of seconds`)
	m.wantRefused(logical.UpdateOperation, "exchange/orders", map[string]any{"subject_token": token, token: ""},
		`invalid_request: parameters: the name of a parameter is longer than 64 characters`)
}

// An opaque token is short enough to be repeated whole where a JWT is cut off.
func TestMisplacedOpaqueTokenIsNotRepeated(t *testing.T) {
	m := newOpaqueMount(t)
	token, subject := m.opaque(), m.idp.Sign(t, m.idp.Claims(m.now, nil))
	for _, c := range []struct {
		path string
		data map[string]any
		text string
	}{
		{"exchange/orders", map[string]any{"subject_token": subject, token: ""}, `invalid_request: parameters: the name of a parameter looks like a token or a client secret`},
		{"roles/orders", map[string]any{token: ""}, `invalid_request: parameters: the name of a parameter looks like a token or a client secret`},
		{"exchange/orders", map[string]any{"subject_token": subject, "ttl": token}, `invalid_request: ttl: is not a duration: use 5m, 1h30m or a number of seconds`},
		{"exchange/orders", map[string]any{"subject_token": subject, "audience": token}, `invalid_target: allowed_audiences: the role "orders" does not allow the audience ["[redacted]"]`},
		{"exchange/orders", map[string]any{"subject_token": subject, "scope": token}, `invalid_scope: allowed_scopes: the role "orders" does not allow the scope ["[redacted]"]`},
		{"exchange/orders", map[string]any{"subject_token": subject, "subject_token_type": token}, `invalid_request: subject_token_type: ["[redacted]"] is not supported: use one of ["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:access_token"]`},
		{"exchange/" + token, map[string]any{"subject_token": subject}, `invalid_request: role: the role ["[redacted]"] does not exist`},
		{"roles/orders", map[string]any{"key": token}, `invalid_request: key: key "[redacted]" does not exist: create it with keys/[redacted], or use one of ["main"]`},
	} {
		m.wantRefused(logical.UpdateOperation, c.path, c.data, c.text)
	}
	explained := asJSON(t, m.write("explain/orders", map[string]any{"subject_token": subject, "audience": token}).Data)
	if strings.Contains(explained, token) || strings.Contains(m.log.String(), token) {
		t.Errorf("the token is in %s or in the log", explained)
	}
}

// A token from a file or a pipe often ends in a line break: revoking it must not
// quietly do nothing.
func TestWhiteSpaceAroundATokenIsNotPartOfIt(t *testing.T) {
	m := newMount(t)
	token := m.write("exchange/unleased", map[string]any{"subject_token": m.idp.Sign(t, m.idp.Claims(m.now, nil)) + "\n"}).Data["access_token"].(string)
	if !m.active(" " + token + "\r\n") {
		t.Error("not active")
	}
	m.write("revoke", map[string]any{"token": token + "\n"})
	if m.active(token) {
		t.Error("not revoked")
	}
}

// RV-1, RV-2, IN-1, IN-3: what is not an active token of ours gets one answer.
func TestUnknownTokens(t *testing.T) {
	m := newMount(t)
	elsewhere := newMount(t)
	for name, token := range map[string]string{
		"garbage":                                  "garbage",
		"IN-9 an opaque one that nobody issued":    unknownOpaque(m.now),
		"IN-9 another mount's opaque one":          newOpaqueMount(t).opaque(),
		"IN-9 an opaque one that is cut off":       unknownOpaque(m.now)[:58],
		"IN-9 an opaque one with a letter changed": changed(unknownOpaque(m.now)),
		"another issuer's":                         m.idp.Sign(t, m.idp.Claims(m.now, nil)),
		"another mount's":                          elsewhere.exchange("unleased").Data["access_token"].(string),
		"one with a changed id":                    tamper(m.exchange("unleased").Data["access_token"].(string)),
	} {
		if m.active(token) {
			t.Errorf("%s: active", name)
		}
		resp := m.write("revoke", map[string]any{"token": token, "token_type_hint": "refresh_token"})
		if len(resp.Warnings) != 1 || resp.Warnings[0] != "the token is not an unexpired token of this mount: there was nothing to revoke" {
			t.Errorf("%s: %v", name, resp)
		}
	}
	for _, path := range []string{"introspect", "revoke"} {
		m.wantRefused(logical.UpdateOperation, path, nil, `invalid_request: token: is required`)
	}
}

// tamper changes the payload of a JWT and leaves its signature.
func tamper(jwt string) string {
	parts := strings.Split(jwt, ".")
	parts[1] = strings.Replace(parts[1], parts[1][10:12], "AA", 1)
	return strings.Join(parts, ".")
}

// IN-4: the members of an active answer.
func TestIntrospection(t *testing.T) {
	m := newMount(t)
	answer := m.exchange("unleased").Data
	got := m.write("introspect", map[string]any{"token": answer["access_token"]}).Data
	wantEqual(t, "answer", asJSON(t, got), `{"active":true,"aud":["https://orders.example"],"client_id":"role:unleased","exp":1800000300,`+
		`"iat":1800000000,"iss":"https://vault.example/v1/token-exchange","jti":"`+answer["jti"].(string)+`","scope":"orders:read",`+
		`"sub":"idp:ci-runner","token_type":"Bearer","txn":"`+answer["txn"].(string)+`"}`)
}

// A credential of the wrong type is refused without being repeated.
func TestMalformedCredentialIsNotRepeated(t *testing.T) {
	m := newMount(t)
	for _, c := range [][2]string{
		{"exchange/orders", "subject_token"},
		{"exchange", "actor_token"},
		{"introspect", "token"},
		{"revoke", "token"},
		{"explain/orders", "subject_token"},
		{"issuers/idp", "introspection_client_secret"},
	} {
		for _, value := range []any{[]any{"s3cret"}, map[string]any{"s3cret": 1}, 5, nil} {
			m.wantRefused(logical.UpdateOperation, c[0], map[string]any{c[1]: value}, `invalid_request: `+c[1]+`: must be one string`)
		}
	}
	if strings.Contains(m.log.String(), "s3cret") {
		t.Error("it is in the log")
	}
}

// Nothing secret is logged, whatever happens.
func TestLogHoldsNoToken(t *testing.T) {
	m := newMount(t)
	subject := m.idp.Sign(t, m.idp.Claims(m.now, nil))
	minted := m.write("exchange/orders", map[string]any{"subject_token": subject}).Data["access_token"].(string)
	for _, data := range []map[string]any{
		{"subject_token": subject, "audience": "https://evil.example"},
		{"subject_token": subject[:len(subject)-4]},
		{"subject_token": subject, "actor_token": subject, "actor_token_type": "urn:ietf:params:oauth:token-type:jwt"},
	} {
		if _, err := m.request(logical.UpdateOperation, "exchange/orders", data); err == nil {
			t.Errorf("granted: %v", data)
		}
	}
	m.write("revoke", map[string]any{"token": minted})
	log := m.log.String()
	if !strings.Contains(log, "exchange denied") || !strings.Contains(log, "rule=allowed_audiences") || !strings.Contains(log, "token exchanged") {
		t.Fatalf("the log does not tell what happened: %s", log)
	}
	for _, secret := range []string{subject, minted} {
		for part := range strings.SplitSeq(secret, ".") {
			if strings.Contains(log, part) {
				t.Error("a part of a token is in the log")
			}
		}
	}
}

func TestCallerFromVault(t *testing.T) {
	m := newMount(t)
	ask := func(entityID string) (*logical.Response, error) {
		return m.backend.HandleRequest(context.Background(), &logical.Request{
			Operation: logical.UpdateOperation, Path: "exchange/me", Storage: m.storage, EntityID: entityID,
		})
	}
	m.write("roles/me", map[string]any{"bound_claims": map[string]any{"/metadata/team": "platform", "groups": "dev"}})
	m.system.EntityVal = &logical.Entity{ID: "e-1", Name: "alice", Metadata: map[string]string{"team": "platform"}}
	m.system.GroupsVal = []*logical.Group{{Name: "dev"}}
	resp, err := ask("e-1")
	if err != nil || resp.Data["subject"] != "entity:e-1" {
		t.Fatalf("got %v %v", resp, err)
	}
	for name, edit := range map[string]func(){
		"left the group":     func() { m.system.GroupsVal = nil },
		"a disabled entity":  func() { m.system.EntityVal.Disabled = true },
		"another's entity":   func() { m.system.EntityVal.ID = "e-2" },
		"no entity any more": func() { m.system.EntityVal = nil },
	} {
		m.system.EntityVal = &logical.Entity{ID: "e-1", Name: "alice", Metadata: map[string]string{"team": "platform"}}
		m.system.GroupsVal = []*logical.Group{{Name: "dev"}}
		edit()
		if resp, err := ask("e-1"); err == nil {
			t.Errorf("%s: granted %v", name, resp)
		}
	}
	if resp, err := ask(""); err == nil {
		t.Errorf("a root token: granted %v", resp)
	}
}

// Vault's ceiling for the mount holds, and a change of it within half a minute.
func TestMountTTL(t *testing.T) {
	m := newMount(t)
	m.exchange("unleased")
	m.system.MaxLeaseTTLVal = 30 * time.Second
	m.now = m.now.Add(31 * time.Second)
	if got := m.exchange("unleased").Data["expires_in"]; got != int64(30) {
		t.Errorf("lives %v s", got)
	}
}

func TestMetrics(t *testing.T) {
	m := newMount(t)
	m.exchange("orders")
	m.write("revoke", map[string]any{"token": m.exchange("unleased").Data["access_token"]})
	_, _ = m.request(logical.UpdateOperation, "exchange/made-up-by-a-caller", map[string]any{"subject_token": "x"})
	_, _ = m.request(logical.UpdateOperation, "exchange/orders", map[string]any{"subject_token": "x"})
	data := m.read("metrics")
	text := string(data[logical.HTTPRawBody].([]byte))
	for _, line := range []string{
		`token_exchange_granted_total{role="orders"} 1`,
		`token_exchange_denied_total{role="",rule="role",stage="role"} 1`,
		`token_exchange_denied_total{role="orders",rule="form",stage="subject"} 1`,
		`token_exchange_revocations_total 1`, `token_exchange_objects{kind="revocations"} 1`,
		`token_exchange_objects{kind="published_keys"} 2`, `token_exchange_issuer_keys{issuer="idp"} 1`,
		`token_exchange_duration_seconds_count 4`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(text, "made-up") {
		t.Error("a caller's text became a label")
	}
}
