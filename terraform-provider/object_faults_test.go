package provider

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

const rolePath = "/v1/token-exchange/roles/r"

// script answers each request by its method; what is not in it fails the test.
func script(t *testing.T, answers map[string]http.HandlerFunc) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		answer := answers[r.Method]
		if answer == nil || r.URL.Path != rolePath {
			t.Errorf("unexpected %s %s", r.Method, r.URL.Path)
			w.WriteHeader(http.StatusTeapot)
			return
		}
		answer(w, r)
	}
}

// answering answers with data.
func answering(data block) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(block{"data": data}) }
}

const (
	sealed   = "token-exchange/roles/r in Vault: Vault is sealed\n\nVault is sealed, or cannot answer now. Nothing was changed; run this again when it is back."
	forbids  = "token-exchange/roles/r in Vault: permission denied\n\nThe token of the provider needs a policy with\n\n  path \"token-exchange/roles/r\" { capabilities = [\"%s\"] }"
	internal = "token-exchange/roles/r in Vault: internal error"
)

func forbidden(capability string) string { return strings.Replace(forbids, "%s", capability, 1) }

// Only "not found" takes an object out of the state.
func TestReadKeepsTheStateUnlessTheObjectHasGone(t *testing.T) {
	for _, tt := range []struct {
		name  string
		vault http.HandlerFunc
		kept  bool
		diags []string
	}{
		{"not found", faulty(http.StatusNotFound), false, nil},
		{"the mount has gone", faulty(http.StatusNotFound, `no handler for route "token-exchange/roles/r". route entry not found.`), false, nil},
		{"forbidden", faulty(http.StatusForbidden, "permission denied"), true, []string{"error: Cannot read the role: " + forbidden("read")}},
		{"sealed", faulty(http.StatusServiceUnavailable, "Vault is sealed"), true, []string{"error: Cannot read the role: " + sealed}},
		{"internal error", faulty(http.StatusInternalServerError, "internal error"), true, []string{"error: Cannot read the role: " + internal}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			vaultIs(t, script(t, map[string]http.HandlerFunc{http.MethodGet: tt.vault}))
			r := newRPC(t, nil)
			state, diags := r.refresh(roleType, existing(r, roleType, good["role"]))
			same(t, "diagnostics", diags, tt.diags...)
			if (state != nil) != tt.kept {
				t.Errorf("the state is %v", state)
			}
		})
	}
}

func TestDelete(t *testing.T) {
	for _, tt := range []struct {
		name  string
		vault http.HandlerFunc
		gone  bool
		diags []string
	}{
		{"done", noContent, true, nil},
		{"gone before", faulty(http.StatusNotFound), true, nil},
		{"the mount has gone", faulty(http.StatusNotFound, "no handler for route"), true, nil},
		{"forbidden", faulty(http.StatusForbidden, "permission denied"), false, []string{"error: Cannot delete the role: " + forbidden("delete")}},
		{"sealed", faulty(http.StatusServiceUnavailable, "Vault is sealed"), false, []string{"error: Cannot delete the role: " + sealed}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			vaultIs(t, script(t, map[string]http.HandlerFunc{http.MethodDelete: tt.vault}))
			r := newRPC(t, nil)
			state, diags := r.apply(roleType, existing(r, roleType, good["role"]), nil)
			same(t, "diagnostics", diags, tt.diags...)
			if (state == nil) != tt.gone {
				t.Errorf("the state is %v", state)
			}
		})
	}
}

func TestCreate(t *testing.T) {
	for _, tt := range []struct {
		name        string
		read, write http.HandlerFunc
		made        bool
		diags       []string
	}{
		{"over one that exists", answering(block{"ttl": 60}), nil, false, []string{
			"error: The role exists already: token-exchange/roles/r is in Vault and not in the state of Terraform. " +
				`Import it, with the id "token-exchange/roles/r", or choose another name.`,
		}},
		{"not allowed to look", faulty(http.StatusForbidden, "permission denied"), nil, false, []string{"error: Cannot read the role: " + forbidden("read")}},
		{"not allowed to write", faulty(http.StatusNotFound), faulty(http.StatusForbidden, "permission denied"), false, []string{
			"error: Cannot write the role: " + forbidden(`create", "update`),
		}},
		{
			"refused by another object", faulty(http.StatusNotFound),
			faulty(http.StatusBadRequest, `invalid_request: key: key "none" does not exist: create it with keys/none`), false,
			[]string{`error: Cannot write the role: token-exchange/roles/r in Vault: invalid_request: key: key "none" does not exist: create it with keys/none (at AttributeName("key"))`},
		},
		{
			"there is no mount", faulty(http.StatusNotFound, "no handler for route"), faulty(http.StatusNotFound, "no handler for route"), false,
			[]string{"error: Cannot write the role: token-exchange/roles/r in Vault: no handler for route\n\n" +
				"There is nothing at this path: check that the engine is mounted there, and that the namespace is right."},
		},
		// It is in Vault: Terraform must know of it.
		{"gone after the write", faulty(http.StatusNotFound), noContent, true, []string{
			"error: Cannot read the role: token-exchange/roles/r in Vault has gone since it was written.",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			vaultIs(t, script(t, map[string]http.HandlerFunc{http.MethodGet: tt.read, http.MethodPut: tt.write}))
			r := newRPC(t, nil)
			state, diags := r.apply(roleType, nil, good["role"])
			same(t, "diagnostics", diags, tt.diags...)
			if (state != nil) != tt.made {
				t.Errorf("the state is %v", state)
			}
		})
	}
}

// What is taken out of a configuration that is not known when the plan is made
// gets its default back all the same.
func TestEveryFieldIsWritten(t *testing.T) {
	var written block
	vaultIs(t, script(t, map[string]http.HandlerFunc{
		http.MethodGet: answering(block{}),
		http.MethodPut: func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewDecoder(r.Body).Decode(&written)
			w.WriteHeader(http.StatusNoContent)
		},
	}))
	r := newRPC(t, nil)
	state := existing(r, roleType, with(good["role"], block{"ttl": "5m", "condition": "subject.a == 'b'"}))
	_, _ = r.apply(roleType, state, good["role"])
	for name, want := range map[string]any{"ttl": "0s", "condition": "", "generate_lease": true, "bound_claims": block{}, "issuers": []any{"i"}} {
		if asJSON(written[name]) != asJSON(want) {
			t.Errorf("%s: wrote %v, want %v", name, written[name], want)
		}
	}
	for _, name := range []string{"role_id", "name", "mount", "namespace"} {
		if _, ok := written[name]; ok {
			t.Errorf("wrote %s, which is not a field", name)
		}
	}
}

func TestWarningsOfVaultAreShown(t *testing.T) {
	reads := 0
	vaultIs(t, script(t, map[string]http.HandlerFunc{
		http.MethodGet: func(w http.ResponseWriter, r *http.Request) {
			if reads++; reads == 1 {
				faulty(http.StatusNotFound)(w, r)
				return
			}
			answering(block{"allowed_audiences": []string{"https://a.example"}})(w, r)
		},
		http.MethodPut: func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(block{"warnings": []string{"binds little"}})
		},
	}))
	r := newRPC(t, nil)
	_, diags := r.apply(roleType, nil, good["role"])
	if len(diags) == 0 || diags[0] != "warning: Vault warns about the role token-exchange/roles/r: binds little" {
		t.Errorf("got %q", diags)
	}
}

func TestDataSourceOfWhatIsNotThere(t *testing.T) {
	vaultIs(t, script(t, map[string]http.HandlerFunc{http.MethodGet: faulty(http.StatusNotFound)}))
	r := newRPC(t, nil)
	_, diags := r.readData(roleType, block{"name": "r"})
	same(t, "diagnostics", diags, "error: There is no such role: Nothing is at token-exchange/roles/r in Vault: check mount, namespace and name.")
}

// A key is deletable once every version that may have signed is revoked. The one
// that signs comes last: until then what it signed counts.
func TestVersionsAreRevokedBeforeTheKeyIsDestroyed(t *testing.T) {
	versions := []block{{"kid": "a", "state": "retired"}, {"kid": "b", "state": "retired"}, {"kid": "c", "state": "active"}, {"kid": "d", "state": "next"}}
	revoked, refused := []string{"revoke a", "revoke b", "revoke c"}, "permission denied"
	for _, tt := range []struct {
		name   string
		revoke any
		vault  http.HandlerFunc // answers a revocation
		want   []string
		diags  int
	}{
		{"not asked for", nil, nil, []string{"delete"}, 0},
		{"asked for", true, noContent, append(revoked, "delete"), 0},
		{"not allowed", true, faulty(http.StatusForbidden, refused), revoked[:1], 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			vaultIs(t, func(w http.ResponseWriter, r *http.Request) {
				switch r.Method {
				case http.MethodGet:
					answering(block{"versions": versions})(w, r)
				case http.MethodDelete:
					got = append(got, "delete")
					noContent(w, r)
				default:
					var body struct {
						KID string `json:"kid"`
					}
					_ = json.NewDecoder(r.Body).Decode(&body)
					got = append(got, r.URL.Path[len("/v1/token-exchange/keys/k/"):]+" "+body.KID)
					tt.vault(w, r)
				}
			})
			r := newRPC(t, nil)
			_, diags := r.apply(keyType, existing(r, keyType, with(good["key"], block{"revoke_on_destroy": tt.revoke})), nil)
			same(t, "requests", got, tt.want...)
			if len(diags) != tt.diags {
				t.Errorf("got %q", diags)
			}
		})
	}
}
