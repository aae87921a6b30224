package provider

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

const jwksType = "tokenexchange_jwks"

func TestJWKS(t *testing.T) {
	const document = `{"keys":[{"kid":"b","kty":"EC"},{"kid":"a"}]}`
	vaultIs(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/tx/.well-known/keys" || r.Header.Get("X-Vault-Namespace") != "team" {
			w.WriteHeader(http.StatusNotFound)
		}
		if _, shown := r.Header["X-Vault-Token"]; shown {
			t.Error("a token was shown for what is public")
		}
		_, _ = w.Write([]byte(document))
	})
	state, diags := newRPC(t, nil).readData(jwksType, block{"mount": "tx/", "namespace": "team"})
	same(t, "read", diags)
	want := block{"mount": "tx/", "namespace": "team", "keys_json": document, "key_ids": []any{"b", "a"}}
	if !reflect.DeepEqual(state, want) {
		t.Errorf("got %v, want %v", state, want)
	}
}

func TestJWKSFails(t *testing.T) {
	const failed = "error: Cannot read the JWKS: token-exchange/.well-known/keys in Vault: "
	const noMount = failed + `there is no JWKS at this path: check that the engine is mounted there, and that the namespace is right. (at AttributeName("mount"))`
	const other = failed + "the answer is not a JSON Web Key Set: is it the token-exchange engine that is mounted there?"
	says := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
	}
	for name, c := range map[string]struct {
		vault http.HandlerFunc
		want  string
	}{
		"as Vault tells strangers": {faulty(http.StatusForbidden, "permission denied"), noMount},
		"no handler":               {faulty(http.StatusNotFound, "no handler for route"), noMount},
		"internal error":           {faulty(http.StatusInternalServerError, "internal error"), failed + "internal error"},
		"too large":                {says(`{"keys":[` + strings.Repeat(" ", 1<<20) + `]}`), other},
		"no keys":                  {says(`{"data":{}}`), other},
	} {
		t.Run(name, func(t *testing.T) {
			vaultIs(t, c.vault)
			_, diags := newRPC(t, nil).readData(jwksType, nil)
			same(t, "read", diags, c.want)
		})
	}
	vaultIs(t, says("<html>"))
	if _, diags := newRPC(t, nil).readData(jwksType, nil); len(diags) != 1 || !strings.Contains(diags[0], "the answer, 200 OK, is not of the form of Vault's") {
		t.Errorf("not JSON: got %q", diags)
	}
	vaultIs(t, faulty(http.StatusForbidden))
	_, diags := newRPC(t, nil).readData(jwksType, block{"namespace": "team"})
	same(t, "in a namespace", diags, "error: Cannot read the JWKS: token-exchange/.well-known/keys in Vault, namespace \"team\": there is no JWKS at this path: "+
		`check that the engine is mounted there, and that the namespace is right. (at AttributeName("mount"))`)
}
