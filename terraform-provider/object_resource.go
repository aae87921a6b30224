package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// managed is a kind of object, and the way to it.
type managed struct {
	object     object
	connection *connection
}

// objectResource manages one kind of object.
type objectResource struct{ managed }

var (
	_ resource.ResourceWithConfigure      = &objectResource{}
	_ resource.ResourceWithIdentity       = &objectResource{}
	_ resource.ResourceWithImportState    = &objectResource{}
	_ resource.ResourceWithModifyPlan     = &objectResource{}
	_ resource.ResourceWithValidateConfig = &objectResource{}
)

// Metadata implements [resource.Resource].
func (r *objectResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = r.object.typeName(req.ProviderTypeName)
}

// Schema implements [resource.Resource].
func (r *objectResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = r.object.schema()
}

// Configure implements [resource.ResourceWithConfigure].
func (r *objectResource) Configure(_ context.Context, req resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	r.connection, _ = req.ProviderData.(*connection)
}

// Create implements [resource.Resource]. What is there already is not written
// over: it belongs to somebody. A mount's configuration is always there in some
// way, and is taken over.
func (r *objectResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	next := read(ctx, req.Plan.Get, &resp.Diagnostics)
	config := read(ctx, req.Config.Get, &resp.Diagnostics)
	q := r.request(ctx, next, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	if r.object.plural != "" && r.exists(q, &resp.Diagnostics) {
		return
	}
	after := r.write(q, change{object: r.object, next: next, config: config, secure: true}, &resp.Diagnostics)
	if after == nil {
		return
	}
	setState(ctx, after, resp.State.Set, &resp.Diagnostics)
	r.identify(ctx, after, resp.Identity, &resp.Diagnostics)
}

// Update implements [resource.Resource].
func (r *objectResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	next, prior := read(ctx, req.Plan.Get, &resp.Diagnostics), read(ctx, req.State.Get, &resp.Diagnostics)
	config := read(ctx, req.Config.Get, &resp.Diagnostics)
	q := r.request(ctx, next, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	after := r.write(q, change{object: r.object, prior: prior, next: next, config: config, secure: true}, &resp.Diagnostics)
	if after == nil {
		return
	}
	setState(ctx, after, resp.State.Set, &resp.Diagnostics)
	r.identify(ctx, after, resp.Identity, &resp.Diagnostics)
}

// Read implements [resource.Resource]. Only an answer that says that there is
// nothing takes the object out of the state: a refusal or an outage does not.
func (r *objectResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	prior := read(ctx, req.State.Get, &resp.Diagnostics)
	q := r.request(ctx, prior, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	// Also of what has gone: Terraform wants to know what it was.
	r.identify(ctx, prior, resp.Identity, &resp.Diagnostics)
	data, err := q.read()
	switch {
	case err != nil:
		resp.Diagnostics.Append(q.failed(q.call("read", "read"), err))
	case data == nil:
		resp.State.RemoveResource(ctx)
	default:
		setState(ctx, r.merge(data, prior, &resp.Diagnostics), resp.State.Set, &resp.Diagnostics)
	}
}

// Delete implements [resource.Resource]. What is gone already is deleted.
func (r *objectResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	prior := read(ctx, req.State.Get, &resp.Diagnostics)
	q := r.request(ctx, prior, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	var query map[string][]string
	if r.object.deletion != nil {
		query = r.object.deletion(prior)
	}
	if err := q.remove(query); err != nil {
		resp.Diagnostics.Append(q.failed(q.sends("delete", "delete"), err))
	}
}

// write writes an object and returns what it is then; nil if that failed.
func (r *objectResource) write(q request, c change, diags *diag.Diagnostics) values {
	drafted, refusal, err := c.draft()
	if err != nil {
		diags.AddError("Cannot read the "+r.object.noun, err.Error())
		return nil
	}
	if refusal != nil {
		r.refuse(*refusal, diags)
		return nil
	}
	secret, err := q.vault.Logical().WriteWithContext(q.ctx, q.path, c.body(drafted))
	if err != nil {
		diags.Append(q.failed(q.sends("write", "create update"), err))
		return nil
	}
	// One diagnostic: of several with one summary Terraform shows the first.
	if secret != nil && len(secret.Warnings) > 0 {
		diags.AddWarning(fmt.Sprintf("Vault warns about the %s %s", r.object.noun, q.path), strings.Join(secret.Warnings, "\n\n"))
	}
	data, err := q.read()
	if data != nil {
		return r.merge(data, c.next, diags)
	}
	// It is written: an error would have Terraform make it again.
	diags.Append(q.unread(err))
	after := r.merge(drafted, c.next, diags)
	for _, f := range r.object.fields {
		if f.computed() && c.prior != nil {
			after[f.name] = c.prior[f.name]
		}
	}
	return after
}

// exists refuses to write over an object.
func (r *objectResource) exists(q request, diags *diag.Diagnostics) bool {
	data, err := q.read()
	if err != nil {
		diags.Append(q.failed(q.call("read", "read"), err))
		return true
	}
	if data != nil {
		diags.AddError(fmt.Sprintf("The %s exists already", r.object.noun),
			fmt.Sprintf("%s is in Vault and not in the state of Terraform. Import it, with the id %q, or choose another name.", q.path, q.path))
		return true
	}
	return false
}

// merge makes an answer of the API the values of a state. What means the same as
// before stays as it was written: "300s" is not a drift of "5m".
func (r *objectResource) merge(data map[string]any, prior values, diags *diag.Diagnostics) values {
	after := values{}
	for _, name := range []string{"mount", "namespace", "name"} {
		if v, ok := prior[name]; ok {
			after[name] = v
		}
	}
	for _, f := range r.object.fields {
		before := prior[f.name]
		switch {
		case f.use == writeOnly:
			after[f.name] = f.kind.null()
		case f.use == local && before.IsNull():
			after[f.name] = f.kind.empty()
		case !f.configured() && !f.computed():
			after[f.name] = before
		case f.configured() && !before.IsNull() && known(before) && f.kind.same(encode(before), data[f.name]):
			after[f.name] = before
		default:
			v, err := f.kind.decode(data[f.name])
			if err != nil {
				diags.AddAttributeError(path.Root(f.name), "Cannot read the "+r.object.noun, err.Error())
				v = f.kind.null()
			}
			after[f.name] = v
		}
	}
	return after
}

// refuse reports what the engine would say of a field.
func (r *objectResource) refuse(refusal refusal, diags *diag.Diagnostics) {
	summary := "Invalid " + r.object.noun
	detail := r.object.inTerraform(refusal.Field + ": " + refusal.Reason)
	if name := r.object.attributes()[refusal.Field]; mayPointAt(name) {
		diags.AddAttributeError(path.Root(name), summary, detail)
		return
	}
	diags.AddError(summary, detail)
}

// read gets a plan, a state or a configuration whole.
func read(ctx context.Context, get func(context.Context, any) diag.Diagnostics, diags *diag.Diagnostics) values {
	var o types.Object
	diags.Append(get(ctx, &o)...)
	v := values(o.Attributes())
	for name, value := range v {
		if d, ok := value.(types.Dynamic); ok && d.IsUnderlyingValueNull() {
			v[name] = types.DynamicNull() // null of some type is null
		}
	}
	return v
}

// setState sets a state or a plan whole.
func setState(ctx context.Context, v values, set func(context.Context, any) diag.Diagnostics, diags *diag.Diagnostics) {
	attrTypes := map[string]attr.Type{}
	for name, value := range v {
		attrTypes[name] = value.Type(ctx)
	}
	o, problems := types.ObjectValue(attrTypes, v)
	diags.Append(problems...)
	if !problems.HasError() {
		diags.Append(set(ctx, o)...)
	}
}
