package provider

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend"
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

// answered is what the engine answers of a role that is as in [good], but for
// some fields.
func answered(change block) block {
	data := maps.Clone(good["role"])
	delete(data, "name")
	request, err := asRequest(data)
	if err != nil {
		panic(err)
	}
	drafted, _ := backend.Draft(backend.ObjectRole, "r", request)
	for _, f := range objectOf(roleType).fields {
		if _, there := drafted[f.name]; f.computed() && !there {
			drafted[f.name] = nil
		}
	}
	maps.Copy(drafted, change)
	return drafted
}

const (
	sealed   = "token-exchange/roles/r in Vault: Vault is sealed\n\nVault is sealed, or cannot answer now. Nothing was changed; run this again when it is back."
	forbids  = "token-exchange/roles/r in Vault: permission denied\n\nThe token of the provider needs a policy with\n\n  path \"token-exchange/roles/r\" { capabilities = [\"%s\"] }"
	sealedOn = "token-exchange/roles/r in Vault: Vault is sealed\n\nVault is sealed, or cannot answer now. Run this again when it is back: the next plan shows what was done."
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
			state, diags := r.refreshRole(existing(r, roleType, good["role"]))
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
		{"sealed", faulty(http.StatusServiceUnavailable, "Vault is sealed"), false, []string{"error: Cannot delete the role: " + sealedOn}},
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
		{"over one that exists", answering(answered(block{"ttl": 60})), nil, false, []string{
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
			[]string{`error: Cannot write the role: token-exchange/roles/r in Vault: invalid_request: key: key "none" does not exist: create it with keys/none` +
				"\n\nIn Terraform: refer to the name of a tokenexchange_key, as in tokenexchange_key.example.name, so that it is made before the role." +
				` (at AttributeName("key"))`},
		},
		{
			"there is no mount", faulty(http.StatusNotFound, "no handler for route"), faulty(http.StatusNotFound, "no handler for route"), false,
			[]string{"error: Cannot write the role: token-exchange/roles/r in Vault: no handler for route\n\n" +
				"There is nothing at this path: check that the engine is mounted there, and that the namespace is right."},
		},
		// It is in Vault: Terraform must know of it.
		{"gone after the write", faulty(http.StatusNotFound), noContent, true, []string{
			"warning: Cannot read the role that was written: token-exchange/roles/r in Vault is not there, though it was just written." + readsAgain,
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
		http.MethodGet: answering(answered(nil)),
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
			answering(answered(nil))(w, r)
		},
		http.MethodPut: func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(block{"warnings": []string{"binds little", "lives long"}})
		},
	}))
	r := newRPC(t, nil)
	_, diags := r.apply(roleType, nil, good["role"])
	// In one: of several with one summary Terraform shows the first.
	same(t, "diagnostics", diags, "warning: Vault warns about the role token-exchange/roles/r: binds little\n\nlives long")
}

func TestDataSourceOfWhatIsNotThere(t *testing.T) {
	vaultIs(t, script(t, map[string]http.HandlerFunc{http.MethodGet: faulty(http.StatusNotFound)}))
	r := newRPC(t, nil)
	_, diags := r.readData(roleType, block{"name": "r"})
	same(t, "diagnostics", diags, "error: There is no such role: Nothing is at token-exchange/roles/r in Vault: check mount, namespace and name.")
}

// A key is deleted and revoked in one request: if it is refused, all is as it was.
func TestRevokeOnDestroyIsOneRequest(t *testing.T) {
	const used = `invalid_request: name: the key "k" signs for the roles ["r"]: give them another key first`
	const needed = `invalid_request: name: tokens signed with the key "k" may be alive until 2100: delete it then`
	const failed = "error: Cannot delete the key: token-exchange/keys/k in Vault: "
	const at = ` (at AttributeName("name"))`
	for _, tt := range []struct {
		name   string
		revoke any
		vault  http.HandlerFunc
		query  string
		diags  []string
	}{
		{"not asked for", nil, noContent, "", nil},
		{"asked for", true, noContent, "?revoke=true", nil},
		{"in use", true, faulty(http.StatusBadRequest, used), "?revoke=true", []string{failed + used + at}},
		{"needed", false, faulty(http.StatusBadRequest, needed), "", []string{failed + needed + "\n\nIn Terraform: set revoke_on_destroy = true, apply that, " +
			"and destroy again: every token that the key signed is dead then. Or wait." + at}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			vaultIs(t, func(w http.ResponseWriter, r *http.Request) {
				got = append(got, r.Method+" "+r.RequestURI)
				tt.vault(w, r)
			})
			r := newRPC(t, nil)
			_, diags := r.apply(keyType, existing(r, keyType, with(good["key"], block{"revoke_on_destroy": tt.revoke})), nil)
			same(t, "requests", got, "DELETE /v1/token-exchange/keys/k"+tt.query)
			same(t, "diagnostics", diags, tt.diags...)
		})
	}
}

const readsAgain = "\n\nIt is written, and in the state as it was planned. The next plan reads it again."

// An error after the write would have Terraform make the object again, and
// destroy it before that.
func TestAReadThatFailsAfterTheWriteIsAWarning(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"sealed": faulty(http.StatusServiceUnavailable, "Vault is sealed"), "forbidden": faulty(http.StatusForbidden, "permission denied"),
		"another engine": answering(block{"x": 1}),
	} {
		t.Run(name, func(t *testing.T) {
			done := false
			vaultIs(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method != http.MethodGet:
					done = true
					noContent(w, r)
				case done:
					answer(w, r)
				default:
					faulty(http.StatusNotFound)(w, r)
				}
			})
			r := newRPC(t, nil)
			for typeName, config := range map[string]block{roleType: good["role"], configType: good["config"], keyType: good["key"]} {
				done = false
				state, diags := r.apply(typeName, nil, config)
				if len(diags) != 1 || !strings.HasPrefix(diags[0], "warning: ") || !strings.HasSuffix(diags[0], readsAgain) || strings.Contains(diags[0], "Nothing was changed") {
					t.Errorf("%s is made: %q", typeName, diags)
				}
				for attribute, v := range state {
					if v == (unknown{}) {
						t.Errorf("%s is not known", attribute)
					}
				}
			}
			before := existing(r, roleType, good["role"])
			state, diags := r.apply(roleType, before, with(good["role"], block{"ttl": "7m"}))
			if len(diags) != 1 || !strings.HasPrefix(diags[0], "warning: ") || state["role_id"] != before["role_id"] || state["ttl"] != "7m" {
				t.Errorf("a change: %v, %q", state, diags)
			}
			key := with(existing(r, keyType, good["key"]), block{"needed_until": "2100-01-01T00:00:00Z"})
			if state, _ = r.apply(keyType, key, with(good["key"], block{"publication_lead": "48h"})); state["needed_until"] != key["needed_until"] {
				t.Errorf("a change of the key: %v", state)
			}
		})
	}
}

// What somebody else answers is neither an object nor that there is none.
func TestAnswersThatAreNotTheEngines(t *testing.T) {
	says := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text))
		}
	}
	lacks := answered(nil)
	delete(lacks, "ttl")
	for name, answer := range map[string]http.HandlerFunc{
		"empty": says(200, ""), "no content": says(204, ""), "no data": says(200, `{"data":null}`), "an empty object": says(200, `{}`),
		"wrapped": says(200, `{"wrap_info":{"token":"x","ttl":1}}`), "a page": says(200, "<html>"), "a list": says(200, "[]"),
		"not found, a page": says(404, "<html>"), "not found, of a gateway": says(404, `{"message":"no route matched"}`), "not found, empty": says(404, ""),
		"empty data": answering(block{}), "another engine": answering(block{"x": 1}), "a field lacks": answering(lacks),
		"another type": answering(answered(block{"ttl": []int{1}})),
	} {
		t.Run(name, func(t *testing.T) {
			vaultIs(t, answer)
			r := newRPC(t, nil)
			before := existing(r, roleType, good["role"])
			one := func(what string, diags []string) {
				if len(diags) != 1 || !strings.HasPrefix(diags[0], "error: Cannot ") {
					t.Errorf("%s: %q", what, diags)
				}
			}
			after, diags := r.refreshRole(before)
			one("refresh", diags)
			if asJSON(after) != asJSON(before) {
				t.Errorf("the state is %v", after)
			}
			_, diags = r.readData(roleType, block{"name": "r"})
			one("data source", diags)
			_, diags = r.readData("tokenexchange_roles", block{})
			one("list", diags)
			_, diags = r.apply(roleType, nil, good["role"])
			one("creation", diags)
			if strings.HasPrefix(name, "not found") {
				after, diags = r.apply(roleType, before, nil)
				one("deletion", diags)
				if after == nil {
					t.Error("it is taken for deleted")
				}
			}
		})
	}
}

func TestHintsAreThoseOfTerraform(t *testing.T) {
	for text, hint := range map[string]string{
		"allowed_audiences: the mount has no guardrails yet: write config first":                  "name tokenexchange_config in depends_on of the role",
		`issuers: issuer "nope" does not exist: create it with issuers/nope, or use one of ["i"]`: "refer to the name of a tokenexchange_issuer",
		`issuer: changing it from "a" makes consumers refuse new tokens: set force=true to do it`: "",
	} {
		vaultIs(t, script(t, map[string]http.HandlerFunc{http.MethodGet: faulty(http.StatusNotFound), http.MethodPut: faulty(http.StatusBadRequest, "invalid_request: "+text)}))
		_, diags := newRPC(t, nil).apply(roleType, nil, good["role"])
		if len(diags) != 1 || !strings.Contains(diags[0], text) || strings.Contains(diags[0], "In Terraform: ") != (hint != "") || !strings.Contains(diags[0], hint) {
			t.Errorf("got %q", diags)
		}
	}
}
