package backend_test

import (
	"errors"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
)

// entranceCase is a request, made at both entrances in a world in which one thing is
// different from one in which all is well.
type entranceCase struct {
	sentence string
	role     string         // "unleased" if empty
	subject  map[string]any // claims of the subject token that differ
	form     map[string]any // parameters that differ; of those that hold a token, a function of the mount makes it
	world    func(m *mount)
	rule     string // that refuses, as the metric names it; "" if a token is granted
}

// made is the value of a parameter that only the mount can make.
type made func(m *mount) any

func signedFor(replaced map[string]any) made {
	return func(m *mount) any { return m.idp.Sign(m.t, m.idp.Claims(m.now, replaced)) }
}

func wrote(path string, data map[string]any) func(m *mount) {
	return func(m *mount) { m.write(path, data) }
}

func ownSubject(m *mount) any { return m.exchange("unleased").Data["access_token"] }

// The two entrances run one pipeline: they grant and refuse the same, by the same rule
// and in the same words.
func TestBothEntrancesAgree(t *testing.T) {
	rows := append(entranceSubjects(), append(entranceTargets(), entranceActors()...)...)
	if len(rows) < 40 {
		t.Fatalf("%d rows: the table has lost some", len(rows))
	}
	for _, c := range rows {
		t.Run(c.sentence, func(t *testing.T) { c.check(t) })
	}
}

func entranceSubjects() []entranceCase {
	unleased := func(data map[string]any) func(*mount) { return wrote("roles/unleased", data) }
	return []entranceCase{
		{sentence: "a subject of the role gets what it grants"},
		{sentence: "so it does by a role with leases", role: "orders"},
		{sentence: "an issuer that nobody configured", subject: map[string]any{"iss": "https://evil.example"}, rule: "issuers"},
		{sentence: "no issuer", subject: map[string]any{"iss": nil}, rule: "issuers"},
		{sentence: "another subject", subject: map[string]any{"sub": "mallory"}, rule: "bound_subject"},
		{sentence: "no subject", subject: map[string]any{"sub": nil}, rule: "sub"},
		{sentence: "an expired token", subject: map[string]any{"exp": 1_800_000_000}, rule: "exp"},
		{sentence: "a token without an end", subject: map[string]any{"exp": nil}, rule: "exp"},
		{sentence: "a token of the future", subject: map[string]any{"iat": 1_800_000_060}, rule: "iat"},
		{sentence: "a token for somebody else", subject: map[string]any{"aud": "https://other.example"}, rule: "aud"},
		{sentence: "a token for nobody", subject: map[string]any{"aud": []string{}}, rule: "aud"},
		{sentence: "a token bound to a key", subject: map[string]any{"cnf": map[string]any{"jkt": "x"}}, rule: "cnf"},
		{sentence: "a delegated token at a role without delegation", subject: map[string]any{"act": map[string]any{"sub": "service"}}, rule: "act"},
		{sentence: "a token that is reserved for an actor", subject: map[string]any{"may_act": map[string]any{"sub": "service"}}, rule: "may_act"},
		{sentence: "a claim with its value", subject: map[string]any{"team": "red"}, world: unleased(map[string]any{"bound_claims": map[string]any{"team": "red"}})},
		{sentence: "a claim with another value", subject: map[string]any{"team": "blue"}, world: unleased(map[string]any{"bound_claims": map[string]any{"team": "red"}}), rule: "bound_claims"},
		{sentence: "a claim that is missing", world: unleased(map[string]any{"bound_claims": map[string]any{"team": "red"}}), rule: "bound_claims"},
		{sentence: "a condition that is not met", world: unleased(map[string]any{"condition": `subject.sub == "alice"`}), rule: "condition"},
		{sentence: "a condition that cannot be evaluated", world: unleased(map[string]any{"condition": `subject.team == "red"`}), rule: "condition"},
		{sentence: "garbage", form: map[string]any{"subject_token": "garbage"}, rule: "form"},
		{sentence: "a changed token", form: map[string]any{"subject_token": made(func(m *mount) any { return tamper(m.idp.Sign(m.t, m.idp.Claims(m.now, nil))) })}, rule: "form"},
		{sentence: "a token signed by another", form: map[string]any{"subject_token": made(func(m *mount) any {
			other := issuertest.New(m.t, m.idp.URL)
			return other.Sign(m.t, other.Claims(m.now, nil))
		})}, rule: "signature"},
		{sentence: "one of our own tokens", role: "again", form: map[string]any{"subject_token": made(ownSubject), "subject_token_type": typeAccessToken, "scope": nil}},
		{sentence: "one of our own tokens, revoked", role: "again", form: map[string]any{"subject_token": made(func(m *mount) any {
			token := ownSubject(m)
			m.write("revoke", map[string]any{"token": token})
			return token
		}), "subject_token_type": typeAccessToken, "scope": nil}, rule: "revoked"},
		{sentence: "one of our own tokens at a role for others'", form: map[string]any{"subject_token": made(ownSubject), "subject_token_type": typeAccessToken}, rule: "issuers"},
		{sentence: "one of our own tokens declared an ID token", role: "again", form: map[string]any{
			"subject_token": made(ownSubject), "subject_token_type": "urn:ietf:params:oauth:token-type:id_token", "scope": nil,
		}, rule: "subject_token_type"},
		{sentence: "a foreign token declared an access token", form: map[string]any{"subject_token_type": typeAccessToken}, rule: "subject_token_type"},
		{sentence: "a type that there is not", form: map[string]any{"subject_token_type": "urn:x"}, rule: "subject_token_type"},
	}
}

func entranceTargets() []entranceCase {
	return []entranceCase{
		{sentence: "the default audience", form: map[string]any{"audience": nil}},
		{sentence: "no audience, and no default", form: map[string]any{"audience": nil}, world: wrote("roles/unleased", map[string]any{"default_audience": ""}), rule: "audience"},
		{sentence: "another audience", form: map[string]any{"audience": "https://other.example"}, rule: "allowed_audiences"},
		{sentence: "one refused audience of two", form: map[string]any{"audience": orders + ",https://other.example"}, rule: "allowed_audiences"},
		{sentence: "the audience as a resource", form: map[string]any{"audience": nil, "resource": orders}},
		{sentence: "a relative resource", form: map[string]any{"resource": "/x"}, rule: "resource"},
		{sentence: "a resource with a fragment", form: map[string]any{"resource": orders + "#f"}, rule: "resource"},
		{sentence: "an audience outside the guardrails", world: wrote("config", map[string]any{"allowed_audiences": "https://other.*"}), rule: "config allowed_audiences"},
		{sentence: "the default scopes", form: map[string]any{"scope": nil}},
		{sentence: "two scopes", form: map[string]any{"scope": "orders:read orders:write"}},
		{sentence: "a scope that is not allowed", form: map[string]any{"scope": "admin"}, rule: "allowed_scopes"},
		{sentence: "a scope that the subject does not have", subject: map[string]any{"scope": "x"}, rule: "subject_scopes"},
		{sentence: "a scope outside the guardrails", world: wrote("config", map[string]any{"allowed_scopes": "x"}), rule: "config allowed_scopes"},
		{sentence: "a subject token that ends soon", subject: map[string]any{"exp": 1_800_000_090}},
		{sentence: "a refresh token", form: map[string]any{"requested_token_type": typeRefresh}, rule: "requested_token_type"},
		{sentence: "a plain JWT of a role for access tokens", form: map[string]any{"requested_token_type": typeJWT}, rule: "requested_token_type"},
		{sentence: "a plain JWT of a role for them", form: map[string]any{"requested_token_type": typeJWT}, world: wrote("roles/unleased", map[string]any{"typ": "JWT"})},
		{sentence: "too long a chain", role: "again", world: wrote("config", map[string]any{"max_hops": 1}), form: map[string]any{
			"subject_token": made(ownSubject), "subject_token_type": typeAccessToken, "scope": nil,
		}, rule: "max_hops"},
	}
}

func entranceActors() []entranceCase {
	service := signedFor(map[string]any{"sub": "service"})
	acting := map[string]any{"actor_token": service, "actor_token_type": typeJWT, "scope": nil}
	actedBy := func(more map[string]any) map[string]any {
		out := maps.Clone(acting)
		maps.Copy(out, more)
		return out
	}
	return []entranceCase{
		{sentence: "a service acts for a user", role: "delegating", form: acting},
		{sentence: "nobody acts where somebody may", role: "delegating", form: map[string]any{"scope": nil}},
		{sentence: "nobody acts where somebody must", role: "delegating", form: map[string]any{"scope": nil}, world: wrote("roles/delegating", map[string]any{"delegation": "required"}), rule: "actor_token"},
		{sentence: "another service", role: "delegating", form: actedBy(map[string]any{"actor_token": signedFor(map[string]any{"sub": "mallory"})}), rule: "bound_actors"},
		{sentence: "an actor's token for somebody else", role: "delegating", form: actedBy(map[string]any{"actor_token": signedFor(map[string]any{"sub": "service", "aud": "https://other.example"})}), rule: "aud"},
		{sentence: "an actor where none may be", form: actedBy(map[string]any{"scope": "orders:read"}), rule: "delegation"},
		{sentence: "an actor's token without its type", role: "delegating", form: actedBy(map[string]any{"actor_token_type": nil}), rule: "actor_token_type"},
		{sentence: "an actor's type without a token", role: "delegating", form: actedBy(map[string]any{"actor_token": nil}), rule: "actor_token_type"},
		{sentence: "an actor whom the user does not name", role: "delegating", subject: map[string]any{"may_act": map[string]any{"iss": "https://idp.example", "sub": "other"}}, form: acting, rule: "may_act"},
		{sentence: "an actor whom the user names", role: "delegating", subject: map[string]any{"may_act": map[string]any{"iss": "https://idp.example", "sub": "service"}}, form: acting},
	}
}

func (c entranceCase) check(t *testing.T) {
	m, _, _ := newClients(t)
	m.write("roles/delegating", delegating)
	if c.role == "" {
		c.role = "unleased"
	}
	m.write("clients/gateway", map[string]any{"role": c.role})
	form := m.exchangeForm(map[string]any{"subject_token": m.idp.Sign(t, m.idp.Claims(m.now, c.subject))})
	for name, v := range c.form {
		if f, ok := v.(made); ok {
			v = f(m)
		}
		if form[name] = v; v == nil {
			delete(form, name)
		}
	}
	if c.world != nil {
		c.world(m)
	}
	byVault := maps.Clone(form)
	delete(byVault, "grant_type")
	resp, err := m.request(logical.UpdateOperation, "exchange/"+c.role, byVault)
	got := m.post("token", form, basic("gateway", m.secret("gateway")))
	if c.rule == "" {
		wantSameGrant(t, m, resp, err, got)
		return
	}
	if !errors.Is(err, logical.ErrInvalidRequest) || got.status != http.StatusBadRequest {
		t.Fatalf("by Vault %v %v, by OAuth %s", resp, err, got)
	}
	code, reason, _ := strings.Cut(resp.Error().Error(), ": ")
	if want := "400 " + code + " " + printable.Replace(reason); got.String() != want {
		t.Errorf("\nby OAuth %s\nby Vault %s", got, want)
	}
	// Both are counted under one rule.
	counted := regexp.MustCompile(`token_exchange_denied_total\{role="` + c.role + `",rule="` + c.rule + `",stage="\w+"\} 2\n`)
	if text := string(m.read("metrics")[logical.HTTPRawBody].([]byte)); !counted.MatchString(text) {
		t.Errorf("not counted twice by the rule %s: %s", c.rule, regexp.MustCompile(`token_exchange_denied_total.*`).FindAllString(text, -1))
	}
}

// printable is what an error_description of OAuth cannot have, and has instead.
var printable = strings.NewReplacer(`"`, `'`, `\`, `/`)

// wantSameGrant holds the answers against each other, and the tokens.
func wantSameGrant(t *testing.T, m *mount, resp *logical.Response, err error, got answer) {
	t.Helper()
	if err != nil || resp.IsError() || got.status != http.StatusOK {
		t.Fatalf("by Vault %v %v, by OAuth %s", resp, err, got)
	}
	for _, name := range []string{"issued_token_type", "token_type", "expires_in", "scope"} {
		wantEqual(t, name, asJSON(t, got.body[name]), asJSON(t, resp.Data[name]))
	}
	if resp.Data["token_type"] == "N_A" { // of which introspection tells nothing
		return
	}
	var says [2]map[string]any
	for i, token := range []any{resp.Data["access_token"], got.body["access_token"]} {
		says[i] = m.write("introspect", map[string]any{"token": token}).Data
		for _, name := range []string{"jti", "txn", "client_id"} { // random; role:NAME, and the client
			delete(says[i], name)
		}
	}
	if says[0]["active"] != true {
		t.Errorf("got %v", says[0])
	}
	wantEqual(t, "tokens", says[1], says[0])
}

// What the OAuth entrance demands beyond: it is a standard that has no defaults for it.
func TestEntrancesDiffer(t *testing.T) {
	m, gateway, _ := newClients(t)
	token := m.exchangeForm(nil)["subject_token"]
	m.write("exchange/unleased", map[string]any{"subject_token": token})
	if got := m.post("token", map[string]any{"grant_type": grantType, "subject_token": token}, gateway); got.String() != "400 invalid_request subject_token_type: is required" {
		t.Errorf("got %s", got)
	}
	m.write("exchange/unleased", map[string]any{"subject_token": " " + token.(string), "ttl": "1m"})
	got := m.post("token", m.exchangeForm(map[string]any{"ttl": "1m"}), gateway)
	if got.body["expires_in"] != (5 * time.Minute).Seconds() {
		t.Errorf("ttl is no parameter of OAuth: %s", got.raw)
	}
}
