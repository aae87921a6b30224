//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"
)

// delegated is a mount that trusts the OpenID provider, and a service that is
// logged in to Vault and exchanges the tokens of users.
type delegated struct {
	*mount
	idp     *idp
	service *user
}

func newDelegated(t *testing.T) *delegated {
	t.Helper()
	m := newMount(t)
	m.trustProvider(oidcProvider(t))
	d := &delegated{mount: m, idp: oidcProvider(t)}
	d.service = d.newService()
	return d
}

// newService is another service that is logged in to Vault.
func (d *delegated) newService() *user {
	d.Helper()
	return newUser(d.T, d.vault, `path "`+d.path+`/exchange/*" { capabilities = ["update"] }`)
}

// onBehalf writes a role by which the service acts for users; further fields
// replace those.
func (d *delegated) onBehalf(name string, fields data) {
	d.Helper()
	role := data{
		"issuers": "idp", "bound_audiences": engine, "bound_claims": data{"client_id": "portal"},
		"delegation": "required", "actor_source": "caller", "bound_actors": []string{"entity:" + d.service.entity},
		"allowed_audiences": orders, "default_audience": orders, "allowed_scopes": "orders:read", "default_scopes": "orders:read",
	}
	maps.Copy(role, fields)
	d.write("roles/"+name, role)
}

// alice is a new token of the user alice.
func (d *delegated) alice() string {
	d.Helper()
	return d.idp.userToken(d.T, "portal", "alice", engine)
}

// runner is a new token of the service ci-runner, by the OpenID provider.
func (d *delegated) runner() string {
	d.Helper()
	return d.idp.token(d.T, engine, "orders:read")
}

// tryAs exchanges as the holder of a Vault token.
func (d *delegated) tryAs(token, role string, request data) (string, error) {
	answer, err := d.as(token).tryWrite("exchange/"+role, request)
	if err != nil {
		return "", err
	}
	return accessToken(d.T, answer), nil
}

// mustAs is tryAs, which must succeed.
func (d *delegated) mustAs(token, role string, request data) string {
	d.Helper()
	minted, err := d.tryAs(token, role, request)
	if err != nil {
		d.Fatal(err)
	}
	return minted
}

// actor is how "act" names a Vault entity.
func (d *delegated) actor(u *user) data { return data{"iss": d.issuer, "sub": "entity:" + u.entity} }

// wantActs verifies a token as resource servers do: it is alice's, and names who
// acts for her.
func (d *delegated) wantActs(token string, act data) {
	d.Helper()
	verified, err := goVerifier(d.T, d.mount, orders).Verify(d.Context(), token)
	if err != nil {
		d.Fatal(err)
	}
	var byGo, byNode data
	if err := verified.Claims(&byGo); err != nil {
		d.Fatal(err)
	}
	mustParse(d.T, node(d.T, "verify.mjs", d.issuer, orders, token), &byNode)
	for name, claims := range map[string]data{"go-oidc": byGo, "jose": byNode, "introspect": d.introspect(token)} {
		wantJSON(d.T, name, data{"sub": claims["sub"], "act": claims["act"]}, toJSON(d.T, data{"sub": "idp:alice", "act": act}))
	}
}

func TestServiceActsForAUserByItsVaultToken(t *testing.T) {
	t.Parallel()
	d := newDelegated(t)
	d.onBehalf("orders", nil)
	request := data{"subject_token": d.alice()}

	answer := d.as(d.service.token).write("exchange/orders", request)
	wantJSON(t, "act of the answer", answer.Data["act"], toJSON(t, d.actor(d.service)))
	d.wantActs(accessToken(t, answer), d.actor(d.service))
	_, claims := unsigned(t, accessToken(t, answer))
	for _, name := range []string{"may_act", "cnf"} {
		if claims[name] != nil {
			t.Errorf("%s: %v", name, claims[name])
		}
	}
	eventually(t, func() error { // the line comes through a pipe
		want := fmt.Sprintf("jti=%s ", answer.Data["jti"])
		for line := range strings.Lines(d.vault.process.log.String()) {
			if strings.Contains(line, "token exchanged") && strings.Contains(line, want) {
				if actor := fmt.Sprintf(`actor="%s entity:%s"`, d.issuer, d.service.entity); !strings.Contains(line, actor) {
					t.Errorf("want %s in the line %s", actor, line)
				}
				return nil
			}
		}
		return errors.New("the log does not know the exchange")
	})

	other := d.newService()
	for _, c := range []struct{ name, token, message string }{
		{"a token without an entity", d.client.Token(), `invalid_request: actor: the role "orders" needs to know the caller, and the caller's Vault token has no entity: log in with an auth method (a root token has none)`},
		{"another entity", other.token, `invalid_request: actor: ["entity:` + other.entity + `"] is not among the bound_actors of the role "orders"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := d.tryAs(c.token, "orders", request)
			refused(t, err, 400, c.message)
		})
	}
	_, err := d.tryAs(d.service.token, "orders", data{"subject_token": d.alice(), "actor_token": d.runner(), "actor_token_type": typeJWT})
	refused(t, err, 400, `invalid_request: actor_token: the actor of the role "orders" is the caller: leave it out`)
}

// TestActorLeavesAGroup: nothing of the caller is remembered.
func TestActorLeavesAGroup(t *testing.T) {
	t.Parallel()
	d := newDelegated(t)
	group := uniqueName("on-behalf")
	d.onBehalf("orders", data{"bound_actors": []string{}, "condition": `caller.groups.exists(g, g == "` + group + `")`})
	members := func(ids ...string) {
		t.Helper()
		if _, err := d.client.Logical().Write("identity/group/name/"+group, data{"member_entity_ids": ids}); err != nil {
			t.Fatal(err)
		}
	}
	const notMet = `invalid_request: condition: the condition of the role "orders" is not met`
	request := data{"subject_token": d.alice()}
	for range 2 {
		_, err := d.tryAs(d.service.token, "orders", request)
		refused(t, err, 400, notMet)
		members(d.service.entity)
		d.wantActs(d.mustAs(d.service.token, "orders", request), d.actor(d.service))
		members()
	}
	_, err := d.tryAs(d.service.token, "orders", request)
	refused(t, err, 400, notMet)

	// A disabled entity is nobody.
	members(d.service.entity)
	if _, err := d.client.Logical().Write("identity/entity/id/"+d.service.entity, data{"disabled": true}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.tryAs(d.service.token, "orders", request); err == nil {
		t.Error("a disabled entity acts")
	}
}

func TestServiceActsForAUserByATokenOfItsOwn(t *testing.T) {
	t.Parallel()
	d := newDelegated(t)
	d.onBehalf("orders", data{"actor_source": "token", "actor_issuers": "idp", "bound_actors": []string{"idp:ci-runner"}})
	runner := data{"iss": d.idp.Issuer, "sub": "ci-runner"}
	minted := d.mustAs(d.client.Token(), "orders", data{"subject_token": d.alice(), "actor_token": d.runner(), "actor_token_type": typeJWT})
	d.wantActs(minted, runner)

	elsewhere := d.idp.token(t, billing, "")
	for _, c := range []struct {
		name    string
		request data
		message string
	}{
		{"TX-20 nobody acts", data{"subject_token": d.alice()}, `invalid_request: actor_token: is required by the role "orders"`},
		{"TX-4 without the type", data{"subject_token": d.alice(), "actor_token": d.runner()}, `invalid_request: actor_token_type: is required with actor_token`},
		{"another user acts", data{"subject_token": d.alice(), "actor_token": d.idp.userToken(t, "portal", "bob", engine), "actor_token_type": typeJWT}, `invalid_request: actor: ["idp:bob"] is not among the bound_actors of the role "orders"`},
		{"TX-28 the actor's token is for another service", data{"subject_token": d.alice(), "actor_token": elsewhere, "actor_token_type": typeJWT}, `invalid_request: actor: "aud" claim expected one of ["https://vault.example"] but got ["https://billing.example"]`},
		{"the tokens are swapped", data{"subject_token": d.runner(), "actor_token": d.alice(), "actor_token_type": typeJWT}, `invalid_request: subject: claim "client_id" does not have a value that the role "orders" is bound to`},
		{"the actor acts by the user's token", data{"subject_token": d.alice(), "actor_token": d.alice(), "actor_token_type": typeJWT}, `invalid_request: actor: ["idp:alice"] is not among the bound_actors of the role "orders"`},
		{"the actor's token is changed", data{"subject_token": d.alice(), "actor_token": tampered(t, d.runner()), "actor_token_type": typeJWT}, `invalid_request: actor: the signature does not verify with key "` + keyID(t, d.runner()) + `"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := d.tryAs(d.client.Token(), "orders", c.request)
			refused(t, err, 400, c.message)
		})
	}
}

func keyID(t *testing.T, token string) string {
	t.Helper()
	header, _ := unsigned(t, token)
	return header["kid"].(string)
}

// TestChainOfTwoServices: the portal's back end calls the orders service, which
// calls on (RFC 8693 §4.1).
func TestChainOfTwoServices(t *testing.T) {
	t.Parallel()
	d := newDelegated(t)
	second := d.newService()
	d.onBehalf("orders", nil)
	again := data{
		"issuers": "self", "bound_subject": "idp:alice", "bound_audiences": orders, "bound_claims": data{},
		"bound_actors": []string{"entity:" + second.entity},
	}
	d.onBehalf("again", again)
	first := d.mustAs(d.service.token, "orders", data{"subject_token": d.alice()})
	chained := d.mustAs(second.token, "again", data{"subject_token": first})
	nested := d.actor(second)
	nested["act"] = d.actor(d.service)
	d.wantActs(chained, nested)

	t.Run("TX-22 access is decided by the current actor alone", func(t *testing.T) {
		_, err := d.tryAs(d.service.token, "again", data{"subject_token": first})
		refused(t, err, 400, `invalid_request: actor: ["entity:`+d.service.entity+`"] is not among the bound_actors of the role "again"`)
	})
	t.Run("TX-22 the chain has an end", func(t *testing.T) {
		d.in(t).write("roles/again", data{"max_delegation_depth": 2})
		_, err := d.tryAs(second.token, "again", data{"subject_token": chained})
		refused(t, err, 400, `invalid_request: max_delegation_depth: the token would name 3 actors: max_delegation_depth is 2`)
		d.in(t).write("roles/again", data{"max_delegation_depth": 0})
		d.in(t).write("config", data{"max_delegation_depth": 1})
		_, err = d.tryAs(second.token, "again", data{"subject_token": first})
		refused(t, err, 400, `invalid_request: max_delegation_depth: the token would name 2 actors: max_delegation_depth of config is 1`)
		d.in(t).write("config", data{"max_delegation_depth": 4})
	})
	t.Run("revoking the first ends the second", func(t *testing.T) {
		m := d.in(t)
		m.write("revoke", data{"token": first})
		m.wantInactive(chained)
	})
}

// TestActorOfATokenCannotBeDropped: of a token by which somebody acts no other is
// made in which nobody does.
func TestActorOfATokenCannotBeDropped_TX23(t *testing.T) {
	t.Parallel()
	d := newDelegated(t)
	d.onBehalf("orders", nil)
	first := d.mustAs(d.service.token, "orders", data{"subject_token": d.alice()})
	own := func(name string, fields data) {
		role := data{
			"issuers": "self", "bound_subject": "idp:alice", "bound_audiences": orders, "bound_claims": data{},
			"actor_source": "token", "actor_issuers": "self", "bound_actors": []string{"entity:" + d.service.entity},
		}
		maps.Copy(role, fields)
		d.onBehalf(name, role)
	}
	own("kept", data{"delegation": "optional"})
	own("required", nil)
	own("stranger", data{"delegation": "optional", "bound_actors": []string{"entity:somebody"}})
	own("elsewhere", data{"delegation": "optional", "actor_issuers": "idp"})
	own("forbidden", data{"delegation": "forbidden", "actor_issuers": []string{}, "bound_actors": []string{}})

	d.wantActs(d.mustAs(d.client.Token(), "kept", data{"subject_token": first}), d.actor(d.service))
	for role, message := range map[string]string{
		"required":  `invalid_request: actor_token: is required by the role "required"`,
		"stranger":  `invalid_request: actor: ["entity:` + d.service.entity + `"] is not among the bound_actors of the role "stranger"`,
		"elsewhere": `invalid_request: actor: "act" claim: the current actor is not of an issuer that the role "elsewhere" accepts actors from`,
		"forbidden": `invalid_request: subject: "act" claim: the token is already a delegation, and the role does not allow delegation`,
	} {
		_, err := d.tryAs(d.client.Token(), role, data{"subject_token": first})
		refused(t, err, 400, message)
	}
	_, err := d.tryAs(d.client.Token(), "kept", data{"subject_token": first, "actor_token": "", "actor_token_type": ""})
	if err != nil {
		t.Errorf("TX-2 an empty actor_token is none: %v", err)
	}
}

// TestActorsTokenEndsWithIt: what an actor's token was used for is bound by its
// life, and dies with it.
func TestActorsTokenEndsWithIt(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t))
	c.write("config", data{"allowed_audiences": []string{"https://*", c.issuer}})
	c.role("identity", "ci", data{"bound_subject": "api", "allowed_audiences": []string{c.issuer, billing}, "ttl": "10m"})
	c.role("acting", "ci", data{"delegation": "required", "actor_issuers": "self", "bound_actors": []string{"ci:api"}, "ttl": "30m"})
	api := c.ci.Sign(t, c.ci.Claims(time.Now(), data{"sub": "api", "jti": "actor-1"}))
	identityFor := func(audience string) string {
		return accessToken(t, c.write("exchange/identity", data{"subject_token": api, "audience": audience}))
	}
	request := func(actor string) data {
		return data{"subject_token": c.subject(), "actor_token": actor, "actor_token_type": typeAccessToken, "audience": orders}
	}
	identity := identityFor(c.issuer)
	answer := c.write("exchange/acting", request(identity))
	wantJSON(t, "act", answer.Data["act"], toJSON(t, data{"iss": c.issuer, "sub": "ci:api"}))
	within(t, "life", life(t, answer), 590, 600)
	c.wantActive(accessToken(t, answer))
	c.write("revoke", data{"token": identity})
	c.wantInactive(accessToken(t, answer))
	_, err := c.tryWrite("exchange/acting", request(identity))
	refused(t, err, 400, `invalid_request: revoked: of the actor: the token, or one that it was exchanged from, was revoked`)

	// A service that api calls has got such a token, and does not act with it.
	_, err = c.tryWrite("exchange/acting", request(identityFor(billing)))
	refused(t, err, 400, `invalid_request: actor: "aud" claim: a token of this engine by which somebody acts must be for the engine alone: expected "`+c.issuer+`" but got ["https://billing.example"]`)
}

// TestUserNamesWhoMayAct_TX24 looks at "may_act" claims of an issuer's tokens.
func TestUserNamesWhoMayAct_TX24(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t))
	c.role("acting", "ci", data{"delegation": "required", "actor_issuers": "ci", "may_act": "require"})
	for _, test := range []struct {
		name    string
		mayAct  any
		message string
	}{
		{"this actor", data{"sub": "api"}, ""},
		{"this actor, by its issuer", data{"iss": c.ci.URL, "sub": "api"}, ""},
		{"another actor", data{"sub": "other"}, `invalid_request: actor: "may_act" claim of the subject token names another actor`},
		{"the same name at another issuer", data{"iss": "https://other.example", "sub": "api"}, `invalid_request: actor: "may_act" claim of the subject token names another actor`},
		{"an actor with a claim that it does not have", data{"sub": "api", "team": "x"}, `invalid_request: actor: "may_act" claim of the subject token names another actor`},
		{"nobody", nil, `invalid_request: actor: the subject token has no "may_act" claim and the role "acting" requires it`},
		{"no object", "api", `invalid_request: actor: "may_act" claim of the subject token must be an object that names an actor`},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := c.in(t)
			request := data{
				"subject_token":    c.ci.Sign(t, c.ci.Claims(time.Now(), data{"may_act": test.mayAct})),
				"actor_token":      c.ci.Sign(t, c.ci.Claims(time.Now(), data{"sub": "api", "jti": "actor-1"})),
				"actor_token_type": typeJWT, "audience": orders,
			}
			answer, err := m.tryWrite("exchange/acting", request)
			if test.message != "" {
				refused(t, err, 400, test.message)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_, claims := unsigned(t, accessToken(t, answer))
			wantJSON(t, "act and may_act", []any{claims["act"], claims["may_act"]}, toJSON(t, []any{data{"iss": c.ci.URL, "sub": "api"}, nil}))
		})
	}
}

// TestFormOfADelegation: as a form with a token in each field, as RFC 8693 has it.
func TestFormOfADelegation(t *testing.T) {
	t.Parallel()
	d := newDelegated(t)
	d.onBehalf("orders", data{"actor_source": "token", "actor_issuers": "idp", "bound_actors": []string{"idp:ci-runner"}})
	form := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "audience": {orders},
		"subject_token": {d.alice()}, "subject_token_type": {typeJWT}, "actor_token": {d.runner()}, "actor_token_type": {typeJWT},
	}
	var answer struct{ Data data }
	mustParse(t, send(t, d.vault, "POST", d.path+"/exchange/orders", d.client.Token(), "application/x-www-form-urlencoded", form.Encode()), &answer)
	wantJSON(t, "act", answer.Data["act"], toJSON(t, data{"iss": d.idp.Issuer, "sub": "ci-runner"}))
}
