package provider

import (
	"context"
	"fmt"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// objectData reads one object.
type objectData struct{ managed }

var _ datasource.DataSourceWithConfigure = &objectData{}

// Metadata implements [datasource.DataSource].
func (d *objectData) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = d.object.typeName(req.ProviderTypeName)
}

// Schema implements [datasource.DataSource].
func (d *objectData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = d.object.dataSchema()
}

// Configure implements [datasource.DataSourceWithConfigure].
func (d *objectData) Configure(_ context.Context, req datasource.ConfigureRequest, _ *datasource.ConfigureResponse) {
	d.connection, _ = req.ProviderData.(*connection)
}

// Read implements [datasource.DataSource]. An object that is not there is an
// error: the configuration counts on it.
func (d *objectData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	config := read(ctx, req.Config.Get, &resp.Diagnostics)
	at := config.located()
	q := d.request(ctx, at, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	data, err := q.read()
	if err != nil {
		resp.Diagnostics.Append(q.failed(q.call("read", "read"), err))
		return
	}
	if data == nil {
		resp.Diagnostics.AddError("There is no such "+d.object.noun, fmt.Sprintf("Nothing is at %s in Vault: check mount, namespace and name.", q.path))
		return
	}
	after := maps.Clone(config)
	for _, f := range d.object.fields {
		if !f.configured() && !f.computed() {
			continue
		}
		if after[f.name], err = f.kind.decode(data[f.name]); err != nil {
			resp.Diagnostics.AddError("Cannot read the "+d.object.noun, f.name+": "+err.Error())
			return
		}
	}
	setState(ctx, after, resp.State.Set, &resp.Diagnostics)
}

// located returns the values with the default mount filled in.
func (v values) located() values {
	out := values{"mount": v["mount"], "namespace": v["namespace"], "name": v["name"]}
	if v.text("mount") == "" {
		out["mount"] = types.StringValue(defaultMount)
	}
	return out
}

// listData lists the names of one kind of object.
type listData struct{ managed }

var _ datasource.DataSourceWithConfigure = &listData{}

// Metadata implements [datasource.DataSource].
func (d *listData) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_" + d.object.plural
}

// Schema implements [datasource.DataSource].
func (d *listData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	attributes := placeAttributes()
	attributes["names"] = schema.ListAttribute{
		Computed: true, ElementType: types.StringType, MarkdownDescription: "Names of the " + d.object.plural + ", sorted.",
	}
	resp.Schema = schema.Schema{MarkdownDescription: "Lists the " + d.object.plural + " of the mount.", Attributes: attributes}
}

// Configure implements [datasource.DataSourceWithConfigure].
func (d *listData) Configure(_ context.Context, req datasource.ConfigureRequest, _ *datasource.ConfigureResponse) {
	d.connection, _ = req.ProviderData.(*connection)
}

// Read implements [datasource.DataSource].
func (d *listData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	config := read(ctx, req.Config.Get, &resp.Diagnostics)
	at := config.located()
	q := d.request(ctx, at, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	q.path = at.text("mount") + "/" + d.object.plural
	names, err := q.list()
	if err != nil {
		resp.Diagnostics.Append(q.failed(call{
			does: "list the " + d.object.plural, path: q.path, namespace: q.namespace, capability: "list",
		}, err))
		return
	}
	config["names"] = types.ListValueMust(types.StringType, texted(names))
	setState(ctx, config, resp.State.Set, &resp.Diagnostics)
}

func texted(names []any) []attr.Value {
	out := make([]attr.Value, 0, len(names))
	for _, name := range names {
		out = append(out, types.StringValue(fmt.Sprint(name)))
	}
	return out
}
