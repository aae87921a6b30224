package backend_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend"
)

// What Draft says must be what the paths do: each case is written to a mount too.
func TestDraftIsWhatAWriteDoes(t *testing.T) {
	tests := []struct {
		name, object string
		data         map[string]any
	}{
		{"config", backend.ObjectConfig, map[string]any{"issuer": "https://vault.example/v1/token-exchange", "default_key": "main", "max_ttl": "2h"}},
		{"issuer of no type", backend.ObjectIssuer, map[string]any{
			"bound_issuer": "https://idp.example.com", "jwks_url": "https://idp.example.com/jwks", "bound_audiences": []any{"us"},
		}},
		{"issuer github", backend.ObjectIssuer, map[string]any{"type": "github", "bound_audiences": []any{"us"}}},
		{"issuer without its own algorithms", backend.ObjectIssuer, map[string]any{
			"type": "github", "bound_audiences": []any{"us"}, "allowed_algorithms": []any{},
		}},
		{"key", backend.ObjectKey, map[string]any{"rotation_period": "30d"}},
		{"key that rotates too often", backend.ObjectKey, map[string]any{"rotation_period": 1}},
		{"key for no algorithm", backend.ObjectKey, map[string]any{"algorithm": "HS256"}},
		{"role", backend.ObjectRole, map[string]any{
			"issuers": []any{"idp"}, "bound_subject": "ci", "allowed_audiences": []any{"https://orders.example.com"}, "key": "main",
		}},
		{"role that binds nothing", backend.ObjectRole, map[string]any{
			"issuers": []any{"idp"}, "allowed_audiences": []any{"https://orders.example.com"},
		}},
		{"role with a misspelt condition", backend.ObjectRole, map[string]any{
			"issuers": []any{"idp"}, "condition": "subjet.sub == 'a'", "allowed_audiences": []any{"https://orders.example.com"},
		}},
		{"client", backend.ObjectClient, map[string]any{
			"auth_method": "private_key_jwt", "jwks_url": "https://gateway.example/jwks", "audiences": []any{"https://orders.example"},
		}},
		{"client of a federation", backend.ObjectClient, map[string]any{
			"auth_method": "federated_jwt", "federated_issuer": "idp", "federated_claims": map[string]any{"team": "a"},
		}},
		{"client of no method", backend.ObjectClient, map[string]any{"audiences": []any{"https://orders.example"}}},
		{"client without authentication", backend.ObjectClient, map[string]any{"auth_method": "none"}},
		{"role with a scope map of numbers", backend.ObjectRole, map[string]any{"scope_map": map[string]any{"a": 1}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			drafted, refusal := backend.Draft(tt.object, "fresh", maps.Clone(tt.data))
			m := newMount(t)
			if tt.object == backend.ObjectConfig {
				m.do(logical.DeleteOperation, "config", nil)
			}
			path := tt.object + "s/fresh"
			if tt.object == backend.ObjectConfig {
				path = tt.object
			}
			if refusal != nil {
				m.wantRefused(logical.UpdateOperation, path, tt.data, "invalid_request: "+refusal.Field+": "+refusal.Reason)
				return
			}
			m.write(path, tt.data)
			read := m.read(path)
			for field := range maps.Keys(drafted) {
				if field == "role_id" || field == "former_issuers" { // random, and a matter of the mount
					continue
				}
				wantEqual(t, field, asJSON(t, drafted[field]), asJSON(t, read[field]))
			}
		})
	}
}

func TestDraftRefusesWhatIsNotAField(t *testing.T) {
	_, refusal := backend.Draft(backend.ObjectRole, "r", map[string]any{"audiences": []any{"a"}})
	if want := (backend.Refusal{Field: "audiences", Reason: "is not a field of role"}); refusal == nil || *refusal != want {
		t.Errorf("got %v, want %v", refusal, want)
	}
}

func TestDescriptionsNameEveryField(t *testing.T) {
	got := slices.Sorted(maps.Keys(backend.Descriptions(backend.ObjectKey)))
	want := []string{"algorithm", "needed_until", "publication_lead", "rotation_period", "verification_period", "versions"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
