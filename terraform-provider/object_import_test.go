package provider

import (
	"net/http"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

// importObject imports by an id or by an identity, and returns the state.
func (r *rpc) importObject(typeName, id string, identity block) (state block, diags []string) {
	r.Helper()
	req := &tfprotov6.ImportResourceStateRequest{TypeName: typeName, ID: id}
	if identity != nil {
		req.Identity = r.identity(typeName, identity)
	}
	resp, err := r.server.ImportResourceState(r.Context(), req)
	r.must(err, nil)
	if len(resp.ImportedResources) == 0 {
		return nil, told(resp.Diagnostics)
	}
	return r.decode(r.schemas.ResourceSchemas[typeName], resp.ImportedResources[0].State), told(resp.Diagnostics)
}

func (r *rpc) identitySchema(typeName string) *tfprotov6.ResourceIdentitySchema {
	r.Helper()
	schemas, err := r.server.GetResourceIdentitySchemas(r.Context(), &tfprotov6.GetResourceIdentitySchemasRequest{})
	r.must(err, schemas.Diagnostics)
	return schemas.IdentitySchemas[typeName]
}

func (r *rpc) identity(typeName string, members block) *tfprotov6.ResourceIdentityData {
	r.Helper()
	typ := r.identitySchema(typeName).ValueType()
	return &tfprotov6.ResourceIdentityData{IdentityData: r.dynamic(typ, r.value(typ, members))}
}

func TestImportFindsTheObject(t *testing.T) {
	const wrong = "error: Cannot import the role: The id must be MOUNT/roles/NAME: the path of the role in Vault. The id given is \"r\"."
	for _, tt := range []struct {
		name, typeName, id, env string
		identity                block
		want                    block
		diags                   []string
	}{
		{"id", roleType, "teams/tx/roles/r", "", nil, block{"mount": "teams/tx", "name": "r", "namespace": nil}, nil},
		{"id of config", configType, "tx/config", "", nil, block{"mount": "tx", "namespace": nil}, nil},
		{"id, with the namespace in the environment", roleType, "tx/roles/r", "team", nil, block{"mount": "tx", "name": "r", "namespace": "team"}, nil},
		{"identity", roleType, "", "", block{"mount": "tx", "name": "r"}, block{"mount": "tx", "name": "r", "namespace": nil}, nil},
		{"identity with a namespace", roleType, "", "other", block{"namespace": "team", "mount": "tx", "name": "r"}, block{"mount": "tx", "name": "r", "namespace": "team"}, nil},
		{"identity of config", configType, "", "", block{"mount": "tx"}, block{"mount": "tx", "namespace": nil}, nil},
		{"id with a slash before", roleType, "/tx/roles/r", "", nil, block{"mount": "tx", "name": "r"}, nil},
		{"identity elsewhere", roleType, "", "", block{"mount": "tx/..", "name": "r"}, nil, []string{
			"error: Cannot import the role: The mount of the identity must be a path, and the name a name in Vault.",
		}},
		{"not an id", roleType, "r", "", nil, nil, []string{wrong}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bareEnv(t)
			t.Setenv(importNamespace, tt.env)
			state, diags := newRPC(t, nil).importObject(tt.typeName, tt.id, tt.identity)
			same(t, "diagnostics", diags, tt.diags...)
			for name, want := range tt.want {
				if state[name] != want {
					t.Errorf("%s: got %v, want %v", name, state[name], want)
				}
			}
		})
	}
}

// The identity is set with every read, also of an object that has gone and of one
// whose state is from a Terraform that knew no identities.
func TestReadSetsTheIdentity(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{"there": answering(answered(nil)), "gone": faulty(http.StatusNotFound)} {
		t.Run(name, func(t *testing.T) {
			vaultIs(t, script(t, map[string]http.HandlerFunc{http.MethodGet: answer}))
			r := newRPC(t, nil)
			schema := r.schemas.ResourceSchemas[roleType]
			resp, err := r.server.ReadResource(t.Context(), &tfprotov6.ReadResourceRequest{
				TypeName: roleType, CurrentState: r.maybe(schema, existing(r, roleType, good["role"])),
			})
			r.must(err, resp.Diagnostics)
			if resp.NewIdentity == nil {
				t.Fatal("there is no identity")
			}
			v, err := resp.NewIdentity.IdentityData.Unmarshal(r.identitySchema(roleType).ValueType())
			r.must(err, nil)
			if got := asJSON(r.plain(v)); got != `{"mount":"token-exchange","name":"r","namespace":null}` {
				t.Errorf("the identity is %s", got)
			}
		})
	}
}
