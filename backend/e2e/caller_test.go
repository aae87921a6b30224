//go:build e2e

package e2e_test

import (
	"testing"
)

func TestCallerIsTheSubject(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	group := uniqueName("developers")
	m.callerRole("orders", data{"bound_claims": data{"/metadata/team": "payments", "groups": []string{group, "admins"}}})
	alice := newUser(t, m.vault, `path "`+m.path+`/exchange/*" { capabilities = ["update"] }`)
	identity := func(path string, d data) {
		t.Helper()
		if _, err := m.client.Logical().Write("identity/"+path, d); err != nil {
			t.Fatal(err)
		}
	}
	ask := func() error {
		_, err := m.as(alice.token).tryWrite("exchange/orders", nil)
		return err
	}

	refused(t, ask(), 400, `invalid_request: subject: claim "/metadata/team" is missing and the role "orders" binds it`)
	identity("entity/id/"+alice.entity, data{"metadata": data{"team": "sales"}})
	refused(t, ask(), 400, `invalid_request: subject: claim "/metadata/team" does not have a value that the role "orders" is bound to`)
	identity("entity/id/"+alice.entity, data{"metadata": data{"team": "payments"}})
	refused(t, ask(), 400, `invalid_request: subject: claim "groups" does not have a value that the role "orders" is bound to`)
	identity("group/name/"+group, data{"member_entity_ids": alice.entity})

	answer := m.as(alice.token).write("exchange/orders", nil)
	token := accessToken(t, answer)
	wantSame(t, "subject", answer.Data["subject"].(string), "entity:"+alice.entity)
	wantSame(t, "scope", answer.Data["scope"].(string), "orders:read")
	verified, err := goVerifier(t, m, orders).Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "sub", verified.Subject, "entity:"+alice.entity)

	// Nothing of the caller is remembered.
	identity("group/name/"+group, data{"member_entity_ids": []string{}})
	refused(t, ask(), 400, `invalid_request: subject: claim "groups" does not have a value that the role "orders" is bound to`)
}

func TestCallerWithoutAnEntityIsRefused(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.callerRole("orders", nil)
	const message = `invalid_request: subject: the role "orders" needs to know the caller, and the caller's Vault token has no entity: ` +
		`log in with an auth method (a root token has none)`
	_, err := m.tryWrite("exchange/orders", nil)
	refused(t, err, 400, message)

	// A request cannot say who it comes from.
	_, err = m.tryWrite("exchange/orders", data{"entity_id": "someone"})
	refused(t, err, 400, `invalid_request: entity_id: is not a field of exchange/orders: see vault path-help`)
}

func TestCallerDoesNotBringASubjectTokenAlong(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.callerRole("orders", nil)
	ci := m.trust("ci")
	alice := newUser(t, m.vault, `path "`+m.path+`/exchange/*" { capabilities = ["update"] }`)
	_, err := m.as(alice.token).tryWrite("exchange/orders", data{"subject_token": ci.Sign(t, data{"iss": ci.URL})})
	refused(t, err, 400, `invalid_request: subject_token: the subject of the role "orders" is the caller: leave it out`)
}
