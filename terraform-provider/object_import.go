package provider

import (
	"context"
	"os"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// importNamespace names the namespace of what is imported by its id, as the Vault
// provider has it: an id has no place for one.
const importNamespace = "TERRAFORM_VAULT_NAMESPACE_IMPORT"

// IdentitySchema implements [resource.ResourceWithIdentity].
func (r *objectResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = r.object.identitySchema()
}

// identify sets the identity, where Terraform is new enough to ask for it.
func (r *objectResource) identify(ctx context.Context, v values, identity *tfsdk.ResourceIdentity, diags *diag.Diagnostics) {
	if identity == nil {
		return
	}
	for name := range r.object.identitySchema().Attributes {
		// In one spelling: that of the configuration may change.
		one := types.StringValue(placed(name, v.text(name)))
		if name == "namespace" && one.ValueString() == "" {
			one = types.StringNull()
		}
		diags.Append(identity.SetAttribute(ctx, path.Root(name), one)...)
	}
}

// ImportState implements [resource.ResourceWithImportState]: by identity, or by
// the path in Vault.
func (r *objectResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	place := map[string]types.String{}
	if req.ID == "" {
		for name := range r.object.identitySchema().Attributes {
			var v types.String
			resp.Diagnostics.Append(req.Identity.GetAttribute(ctx, path.Root(name), &v)...)
			place[name] = v
		}
		if !isMount(place["mount"].ValueString()) || r.object.plural != "" && !namePattern.MatchString(place["name"].ValueString()) {
			resp.Diagnostics.AddError("Cannot import the "+r.object.noun, "The mount of the identity must be a path, and the name a name in Vault.")
			return
		}
	} else {
		mount, name, ok := r.object.parseID(req.ID)
		if !ok {
			resp.Diagnostics.AddError("Cannot import the "+r.object.noun,
				"The id must be "+r.object.exampleID()+": the path of the "+r.object.noun+" in Vault. The id given is "+strings.TrimSpace(quote(req.ID))+".")
			return
		}
		place["mount"] = types.StringValue(mount)
		if r.object.plural != "" {
			place["name"] = types.StringValue(name)
		}
		if ns := os.Getenv(importNamespace); ns != "" {
			place["namespace"] = types.StringValue(ns)
		}
	}
	for name, v := range place {
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root(name), v)...)
	}
}

func quote(s string) string { return "\"" + s + "\"" }

// parseID splits a path in Vault. A mount may have slashes, a name has none.
func (o object) parseID(id string) (mount, name string, ok bool) {
	id = strings.Trim(id, "/")
	if o.plural == "" {
		mount, ok = strings.CutSuffix(id, "/"+o.noun)
		return mount, "", ok && isMount(mount)
	}
	i := strings.LastIndex(id, "/"+o.plural+"/")
	if i <= 0 {
		return "", "", false
	}
	mount, name = strings.TrimRight(id[:i], "/"), id[i+len("/"+o.plural+"/"):]
	return mount, name, isMount(mount) && namePattern.MatchString(name)
}

func (o object) exampleID() string {
	if o.plural == "" {
		return "MOUNT/" + o.noun
	}
	return "MOUNT/" + o.plural + "/NAME"
}
