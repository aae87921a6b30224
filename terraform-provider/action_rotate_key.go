package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/vault/api"
)

// rotateKey lets the successor of a signing key sign.
type rotateKey struct {
	connection *connection
}

var _ action.ActionWithConfigure = &rotateKey{}

func newRotateKey() action.Action { return &rotateKey{} }

// Metadata implements [action.Action].
func (r *rotateKey) Metadata(_ context.Context, req action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_rotate_key"
}

// Schema implements [action.Action].
func (r *rotateKey) Schema(_ context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Rotates a signing key: its successor, which has been in the JWKS for its `publication_lead`, signs from now on, and a new " +
			"successor is published. The version that signed before stays in the JWKS for its `verification_period`, so that its tokens remain valid. " +
			"The engine refuses to rotate while the successor has been published for less than `publication_lead`.\n\n" +
			"A key with a `rotation_period` rotates by itself and needs no action. The token of the provider needs a policy with the capability " +
			"`update` on `MOUNT/keys/NAME/rotate`. Actions need Terraform 1.14 or later.",
		Attributes: map[string]schema.Attribute{
			"mount":     actionMount(),
			"namespace": actionNamespace(),
			"name":      schema.StringAttribute{Required: true, MarkdownDescription: "Name of the key.", Validators: nameValidators()},
		},
	}
}

// Configure implements [action.ActionWithConfigure].
func (r *rotateKey) Configure(_ context.Context, req action.ConfigureRequest, _ *action.ConfigureResponse) {
	r.connection = connected(req.ProviderData)
}

// Invoke implements [action.Action].
func (r *rotateKey) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	var config struct {
		Mount     types.String `tfsdk:"mount"`
		Namespace types.String `tfsdk:"namespace"`
		Name      types.String `tfsdk:"name"`
	}
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	name := config.Name.ValueString()
	c := call{
		does: "rotate the key", path: mountOf(config.Mount) + "/keys/" + name + "/rotate",
		namespace: config.Namespace.ValueString(), capability: "update", attributes: named("name"), wrote: true,
	}
	client, err := r.connection.reach(ctx, &c)
	if err != nil {
		resp.Diagnostics.Append(c.failed(err))
		return
	}
	resp.SendProgress(action.InvokeProgressEvent{Message: fmt.Sprintf("rotating the key %q", name)})
	secret, err := client.Logical().WriteWithContext(once(ctx), c.path, nil)
	if err != nil {
		resp.Diagnostics.Append(c.failed(err))
		return
	}
	active, next, ok := signers(secret)
	if !ok {
		resp.Diagnostics.Append(c.foreign("that of a rotation"))
		return
	}
	resp.SendProgress(action.InvokeProgressEvent{Message: fmt.Sprintf(
		"the key %q signs with the kid %q now; its successor %q is published, and may sign from %s on", name, active.KeyID, next.KeyID, next.Ready)})
}

// version is a version of a key as the engine tells of it.
type version struct {
	KeyID string `json:"kid"`
	State string `json:"state"`
	Ready string `json:"may_sign_from"`
}

// signers finds the version that signs, and its successor.
func signers(secret *api.Secret) (active, next version, ok bool) {
	var key struct {
		Versions []version `json:"versions"`
	}
	if !decode(secret, &key) {
		return version{}, version{}, false
	}
	for _, v := range key.Versions {
		switch v.State {
		case "active":
			active = v
		case "next":
			next = v
		}
	}
	return active, next, active.KeyID != "" && next.KeyID != ""
}
