//go:build e2e

package e2e_test

import (
	"maps"
	"strings"
	"testing"
	"time"
)

func TestPolicyDecidesWhichRoleIsUsed(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	m.role("orders", "ci", nil)
	m.role("billing", "ci", nil)
	m.role("Orders", "ci", nil) // a role of its own: names keep their case
	const denied = "permission denied"
	for _, c := range []struct {
		name, policy, path string
		fields             data
		want               string // "client_id" of the token, or the refusal
	}{
		{"the role of the path", `path "M/exchange/orders" { capabilities = ["update"] }`, "exchange/orders", nil, "role:orders"},
		{"another role", `path "M/exchange/orders" { capabilities = ["update"] }`, "exchange/billing", nil, denied},
		{"another role in the body", `path "M/exchange/orders" { capabilities = ["update"] }`, "exchange/orders", data{"role": "billing"}, "role:orders"},
		{"another role as a parameter", `path "M/exchange/orders" { capabilities = ["update"] }`, "exchange", data{"role": "orders"}, denied},
		{"another case", `path "M/exchange/orders" { capabilities = ["update"] }`, "exchange/Orders", nil, denied},
		{"capability create alone", `path "M/exchange/orders" { capabilities = ["create", "read", "list", "delete"] }`, "exchange/orders", nil, denied},

		{"the role of the parameter", `path "M/exchange" { capabilities = ["update"] allowed_parameters = { role = ["orders"], "*" = [] } }`, "exchange", data{"role": "orders"}, "role:orders"},
		{"another role of the parameter", `path "M/exchange" { capabilities = ["update"] allowed_parameters = { role = ["orders"], "*" = [] } }`, "exchange", data{"role": "billing"}, denied},
		{"another case of the parameter's value", `path "M/exchange" { capabilities = ["update"] allowed_parameters = { role = ["orders"], "*" = [] } }`, "exchange", data{"role": "Orders"}, denied},
		{"another case of the parameter's name", `path "M/exchange" { capabilities = ["update"] allowed_parameters = { role = ["orders"], "*" = [] } }`, "exchange", data{"ROLE": "billing"}, denied},
		{"a list as the parameter", `path "M/exchange" { capabilities = ["update"] allowed_parameters = { role = ["orders"], "*" = [] } }`, "exchange", data{"role": []string{"billing"}}, denied},
		{"an audience of the parameter", `path "M/exchange/orders" { capabilities = ["update"] allowed_parameters = { audience = ["https://billing.example"], "*" = [] } }`, "exchange/orders", nil, denied},

		{"a role that is not denied", `path "M/exchange/*" { capabilities = ["update"] } path "M/exchange/orders" { capabilities = ["deny"] }`, "exchange/billing", nil, "role:billing"},
		{"a role that is denied", `path "M/exchange/*" { capabilities = ["update"] } path "M/exchange/orders" { capabilities = ["deny"] }`, "exchange/orders", nil, denied},
		{"another case of a role that is denied", `path "M/exchange/*" { capabilities = ["update"] } path "M/exchange/orders" { capabilities = ["deny"] }`, "exchange/ORDERS", nil, `invalid_request: role: the role ["ORDERS"] does not exist`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := m.in(t)
			caller := m.as(callerToken(t, m, strings.ReplaceAll(c.policy, "M/", m.path+"/")))
			request := data{"subject_token": ci.Sign(t, ci.Claims(time.Now(), nil)), "audience": orders}
			maps.Copy(request, c.fields)
			answer, err := caller.tryWrite(c.path, request)
			if want, granted := strings.CutPrefix(c.want, "role:"); granted {
				if err != nil {
					t.Fatal(err)
				}
				_, claims := unsigned(t, accessToken(t, answer))
				wantSame(t, "client_id", claims["client_id"].(string), "role:"+want)
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %q, got: %v", c.want, err)
			}
		})
	}
}

// TestWhoIsOnCallMayAskAndNotExchange: explain is a path of its own, with and
// without the token.
func TestWhoIsOnCallMayAskAndNotExchange(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	m.role("orders", "ci", nil)
	m.role("billing", "ci", nil)
	onCall := m.as(callerToken(t, m, `path "`+m.path+`/explain/orders" { capabilities = ["update"] }`))
	caller := m.as(callerToken(t, m, `path "`+m.path+`/exchange/*" { capabilities = ["update"] }`))
	claims := ci.Claims(time.Now(), nil)
	for name, request := range map[string]data{
		"with the token": {"subject_token": ci.Sign(t, claims), "audience": orders}, "with the claims": {"subject_claims": claims, "audience": orders},
	} {
		if answer := onCall.write("explain/orders", request); answer.Data["allowed"] != true {
			t.Errorf("%s: %v", name, answer.Data)
		}
		for _, c := range []struct {
			client *mount
			path   string
		}{{onCall, "exchange/orders"}, {onCall, "exchange"}, {onCall, "explain/billing"}, {onCall, "roles/orders"}, {caller, "explain/orders"}} {
			_, err := c.client.tryWrite(c.path, request)
			if err == nil || !strings.Contains(err.Error(), "permission denied") {
				t.Errorf("%s: %s: want a denial, got: %v", name, c.path, err)
			}
		}
	}
}

func TestNoSpellingOfAPathLeadsToADeniedRole(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	ci := m.trust("ci")
	m.role("orders", "ci", nil)
	caller := m.as(callerToken(t, m, `
		path "`+m.path+`/exchange/*" { capabilities = ["create", "update"] }
		path "`+m.path+`/exchange/orders" { capabilities = ["deny"] }`))
	for _, path := range []string{
		"exchange/orders/", "exchange//orders", "exchange/./orders", "exchange/x/../orders", "exchange/orders?x", "exchange/orders%20",
		"exchange/%6frders", "exchange/orders%00", "exchange/orders.", "exchange/orders%0a", "exchange/ORDERS", "exchange/ orders",
	} {
		answer, err := caller.tryWrite(path, data{"role": "orders", "subject_token": ci.Sign(t, ci.Claims(time.Now(), nil)), "audience": orders})
		if err == nil && answer != nil && answer.Data["access_token"] != nil {
			t.Errorf("%q: a token was granted", path)
		}
	}
}

func TestCapabilitiesOnConfigurationPaths(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.trust("ci")
	m.role("orders", "ci", nil)
	role := data{"issuers": "ci", "bound_subject": "x", "allowed_audiences": orders}
	do := func(m *mount, operation, path string) error {
		var err error
		switch operation {
		case "read":
			_, err = m.client.Logical().Read(m.path + "/" + path)
		case "list":
			_, err = m.client.Logical().List(m.path + "/" + path)
		case "write":
			_, err = m.tryWrite(path, role)
		case "delete":
			_, err = m.client.Logical().Delete(m.path + "/" + path)
		}
		return err
	}
	for _, c := range []struct {
		capability string
		allowed    string // operations on roles, in this order; all others are denied
	}{
		{"create", "write roles/new"},
		{"update", "write roles/orders"},
		{"read", "read roles/orders"},
		{"list", "list roles"},
		{"delete", "delete roles/orders"},
	} {
		t.Run(c.capability, func(t *testing.T) {
			m := m.in(t)
			caller := m.as(callerToken(t, m, `
				path "`+m.path+`/roles" { capabilities = ["`+c.capability+`"] }
				path "`+m.path+`/roles/*" { capabilities = ["`+c.capability+`"] }`))
			for _, try := range []string{
				"read roles/orders", "list roles", "write roles/orders", "write roles/new", "delete roles/orders",
				"read config", "write config", "delete config", "write keys/main", "delete issuers/ci", "read metrics",
			} {
				operation, path, _ := strings.Cut(try, " ")
				err := do(caller, operation, path)
				switch {
				case try == c.allowed && err != nil:
					t.Errorf("%s: %v", try, err)
				case try != c.allowed && (err == nil || !strings.Contains(err.Error(), "permission denied")):
					t.Errorf("%s: want a denial, got: %v", try, err)
				}
			}
			m.role("orders", "ci", nil)
			m.delete("roles/new")
		})
	}
}
