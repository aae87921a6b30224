package backend_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend"
)

// A value that cannot be read may be a secret in the wrong place. Whatever the field,
// it is not repeated: in no answer, in none of what Vault logs and audits, at neither
// of the two ways by which Vault asks.
func TestUnreadableValuesAreNotRepeated(t *testing.T) {
	m := newMount(t)
	objects := []string{"claims", "scope_map", "bound_claims", "federated_claims"} // that are one, and repeat names
	for object, path := range map[string]string{
		backend.ObjectConfig: "config", backend.ObjectIssuer: "issuers/idp", backend.ObjectKey: "keys/main",
		backend.ObjectRole: "roles/orders", backend.ObjectClient: "clients/gateway",
	} {
		for field := range backend.Descriptions(object) {
			if slices.Contains(objects, field) {
				continue
			}
			for _, value := range []any{map[string]any{"d": "s3cret"}, []any{map[string]any{"d": "s3cret"}}} {
				req := &logical.Request{Operation: logical.UpdateOperation, Path: path, Data: map[string]any{field: value}, Storage: m.storage}
				_, _, existence := m.backend.HandleExistenceCheck(t.Context(), req)
				resp, err := m.backend.HandleRequest(t.Context(), req)
				if resp == nil || !resp.IsError() || err == nil {
					t.Errorf("%s: %s takes %v", path, field, value)
					continue
				}
				if said := fmt.Sprint(existence, resp.Error(), err); strings.Contains(said, "s3cret") {
					t.Errorf("%s: %s: it is repeated: %s", path, field, said)
				}
			}
		}
	}
	if strings.Contains(m.log.String(), "s3cret") {
		t.Error("it is in the log")
	}
}

// A value of the wrong type is refused by what would be right.
func TestUnreadableValues(t *testing.T) {
	m := newMount(t)
	for _, c := range []struct {
		name, path string
		op         logical.Operation
		data       map[string]any
		want       string
	}{
		{"keys as an object", "issuers/idp", logical.UpdateOperation, map[string]any{"jwks": map[string]any{"keys": []any{}}}, `jwks: must be one string: that of a file is jwks=@FILE`},
		{"a word for a flag", "roles/orders", logical.UpdateOperation, map[string]any{"generate_lease": "maybe"}, `generate_lease: must be true or false`},
		{"a word for a number", "roles/orders", logical.UpdateOperation, map[string]any{"rate_limit": "many"}, `rate_limit: must be a whole number`},
		{"a word for a duration", "roles/orders", logical.UpdateOperation, map[string]any{"ttl": "soon"}, `ttl: ` + backend.NotADuration},
		{"a space in a duration", "roles/orders", logical.UpdateOperation, map[string]any{"ttl": "5 m"}, `ttl: ` + backend.NotADuration},
		{"a negative duration", "exchange/orders", logical.UpdateOperation, map[string]any{"ttl": "-5m"}, `ttl: must not be negative`},
		{"claims as text", "roles/orders", logical.UpdateOperation, map[string]any{"bound_claims": `{"a":"b"}`}, `bound_claims: must be an object: give all fields as JSON on standard input ("vault write PATH -")`},
		{"claims to try as text", "explain/orders", logical.UpdateOperation, map[string]any{"subject_claims": "a"}, `subject_claims: must be an object: give all fields as JSON on standard input ("vault write PATH -")`},
		{"expressions as an object of objects", "roles/orders", logical.UpdateOperation, map[string]any{"claims": map[string]any{"a": map[string]any{}}}, `claims: must be NAME=TEXT, as in claims=NAME=TEXT, or an object of texts`},
		{"a list of objects", "roles/orders", logical.UpdateOperation, map[string]any{"issuers": []any{map[string]any{}}}, `issuers: must be a list of texts`},
		{"a word for a flag of a deletion", "keys/main", logical.DeleteOperation, map[string]any{"revoke": "maybe"}, `revoke: must be true or false`},
		{"a misspelt field of a deletion", "keys/main", logical.DeleteOperation, map[string]any{"revok": true}, `revok: is not a field of keys/main: see vault path-help`},
		{"a field of a write in a deletion", "keys/main", logical.DeleteOperation, map[string]any{"algorithm": "ES256"}, `algorithm: is not a field of keys/main: see vault path-help`},
		{"a field in a deletion that has none", "config", logical.DeleteOperation, map[string]any{"force": true}, `force: is not a field of config: see vault path-help`},
		{"a misspelt version to revoke", "keys/main/revoke", logical.UpdateOperation, map[string]any{"key_id": "x"}, `key_id: is not a field of keys/main/revoke: see vault path-help`},
		{"a version to revoke that a script did not set", "keys/main/revoke", logical.UpdateOperation, map[string]any{"kid": ""}, `kid: is empty: give the id of a version, or leave it out for the one that signs`},
		{"a misspelt overlap of secrets", "clients/gateway/secret", logical.UpdateOperation, map[string]any{"overlapp": "1h"}, `overlapp: is not a field of clients/gateway/secret: see vault path-help`},
		{"an overlap that would be none", "clients/gateway/secret", logical.UpdateOperation, map[string]any{"overlap": "900ms"}, `overlap: 900ms has a fraction of a second: give whole seconds`},
		{"a parameter of a question about a token", "introspect", logical.UpdateOperation, map[string]any{"token": "x", "audience": "y"}, `audience: is not a field of introspect: see vault path-help`},
		{"a parameter of a revocation", "revoke", logical.UpdateOperation, map[string]any{"token": "x", "chain": true}, `chain: is not a field of revoke: see vault path-help`},
		{"a token of Vault as a name", "introspect", logical.UpdateOperation, map[string]any{"token": "x", "hvs.CAESIJ0123456789abcdefghij": ""}, `parameters: the name of a parameter looks like a token or a client secret`},
		{"a client secret as a name, of a read", "roles/orders", logical.ReadOperation, map[string]any{"txcs_0123456789": ""}, `parameters: the name of a parameter looks like a token or a client secret`},
		{"a misspelt parameter of an exchange", "exchange/orders", logical.UpdateOperation, map[string]any{"subject_token": "x", "scopes": "read"}, `scopes: is not a field of exchange/orders: see vault path-help`},
	} {
		t.Run(c.name, func(*testing.T) { m.wantRefused(c.op, c.path, c.data, "invalid_request: "+c.want) })
	}
	m.wantRefused(logical.UpdateOperation, "exchange/orders", map[string]any{"subject_token": "x", "grant_type": "client_credentials"},
		`unsupported_grant_type: grant_type: the one that is supported is urn:ietf:params:oauth:grant-type:token-exchange`)
}
