//go:build e2e

package provider

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	providerschema "github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// sink is a provider that uses a token without storing it, as those of users do:
// it has one in its own configuration, and its resource takes one that is
// write-only. What the resource stores of it is its SHA-256.
type sink struct{ hook func(token string) }

// newSink makes a sink. The hook is told of every configuration; an unknown
// token is "unknown".
func newSink(hook func(token string)) func() provider.Provider {
	return func() provider.Provider { return &sink{hook: hook} }
}

func (s *sink) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "sink"
}

func (s *sink) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = providerschema.Schema{Attributes: map[string]providerschema.Attribute{
		"token": providerschema.StringAttribute{Optional: true},
	}}
}

func (s *sink) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var config struct {
		Token types.String `tfsdk:"token"`
	}
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	switch {
	case s.hook == nil || config.Token.IsNull():
	case config.Token.IsUnknown():
		s.hook("unknown")
	default:
		s.hook(config.Token.ValueString())
	}
}

func (s *sink) DataSources(context.Context) []func() datasource.DataSource { return nil }

func (s *sink) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return &sinkThing{} }}
}

type sinkThing struct{}

type sinkModel struct {
	Token types.String `tfsdk:"token_wo"`
	Seen  types.String `tfsdk:"seen"`
}

func (s *sinkThing) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "sink_thing"
}

func (s *sinkThing) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"token_wo": schema.StringAttribute{Optional: true, WriteOnly: true},
		"seen":     schema.StringAttribute{Computed: true},
	}}
}

func (s *sinkThing) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m sinkModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	m.Seen = types.StringValue(sum(m.Token.ValueString()))
	m.Token = types.StringNull()
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (s *sinkThing) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

func (s *sinkThing) Update(_ context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	resp.State.Raw = req.State.Raw
}

func (s *sinkThing) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}

func sum(token string) string {
	s := sha256.Sum256([]byte(token))
	return hex.EncodeToString(s[:])
}
