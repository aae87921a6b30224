package provider

import (
	"encoding/json"
	"net/http"
	"testing"
)

const rotateType = "tokenexchange_rotate_key"

func TestRotateKey(t *testing.T) {
	const rotating = `rotating the key "main"`
	const failed = "error: Cannot rotate the key: tx/keys/main/rotate in Vault, namespace \"team\": "
	versions := func(states ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPut || r.URL.Path != "/v1/tx/keys/main/rotate" || r.Header.Get("X-Vault-Namespace") != "team" {
				w.WriteHeader(http.StatusTeapot)
			}
			list := []block{}
			for _, state := range states {
				list = append(list, block{"kid": "k-" + state, "state": state, "may_sign_from": "2100-01-01T00:00:00Z"})
			}
			_ = json.NewEncoder(w).Encode(block{"data": block{"versions": list}})
		}
	}
	const other = failed + "the answer is not that of a rotation: is it the token-exchange engine that is mounted there?"
	for name, c := range map[string]struct {
		vault    http.HandlerFunc
		progress []string
		want     []string
	}{
		"rotated": {versions("retired", "active", "next"), []string{
			rotating, `the key "main" signs with the kid "k-active" now; its successor "k-next" is published, and may sign from 2100-01-01T00:00:00Z on`,
		}, nil},
		"too early": {
			faulty(http.StatusBadRequest, "invalid_request: publication_lead: the successor may sign from 2100 on"),
			[]string{rotating},
			[]string{failed + "invalid_request: publication_lead: the successor may sign from 2100 on"},
		},
		"no key": {
			faulty(http.StatusBadRequest, `invalid_request: name: the key "main" does not exist`),
			[]string{rotating},
			[]string{failed + `invalid_request: name: the key "main" does not exist (at AttributeName("name"))`},
		},
		"no permission": {
			faulty(http.StatusForbidden, "permission denied"),
			[]string{rotating},
			[]string{failed + "permission denied\n\nThe token of the provider needs a policy with\n\n  path \"tx/keys/main/rotate\" { capabilities = [\"update\"] }"},
		},
		"another engine": {noContent, []string{rotating}, []string{other}},
		"no successor":   {versions("active"), []string{rotating}, []string{other}},
	} {
		t.Run(name, func(t *testing.T) {
			vaultIs(t, c.vault)
			progress, diags := newRPC(t, nil).invoke(block{"mount": "tx", "namespace": "team", "name": "main"})
			same(t, "progress", progress, c.progress...)
			same(t, "diagnostics", diags, c.want...)
		})
	}
}

func TestRotateKeyConfiguration(t *testing.T) {
	bareEnv(t)
	progress, diags := newRPC(t, nil).invoke(block{"name": "a/b"})
	same(t, "progress", progress)
	same(t, "diagnostics", diags, "error: Invalid Attribute Value Match: Attribute name must consist of letters, digits, _, - and ., "+
		"and begin and end with a letter, a digit or _, got: a/b (at AttributeName(\"name\"))")
}
