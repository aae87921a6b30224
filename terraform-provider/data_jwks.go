package provider

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/vault/api"
)

// jwksData reads the public keys of a mount.
type jwksData struct {
	connection *connection
}

var _ datasource.DataSourceWithConfigure = &jwksData{}

func newJWKSData() datasource.DataSource { return &jwksData{} }

// jwksModel is a tokenexchange_jwks as a configuration has it.
type jwksModel struct {
	Mount     types.String `tfsdk:"mount"`
	Namespace types.String `tfsdk:"namespace"`
	KeysJSON  types.String `tfsdk:"keys_json"`
	KeyIDs    types.List   `tfsdk:"key_ids"`
}

// Metadata implements [datasource.DataSource].
func (j *jwksData) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_jwks"
}

// Schema implements [datasource.DataSource].
func (j *jwksData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Reads the public keys with which the tokens of a mount are verified (RFC 7517 §5): for a consumer that cannot fetch them. " +
			"They change whenever a key is rotated, so a consumer that can fetch `MOUNT/.well-known/keys` itself should do that. " +
			"Anybody may read them: no policy is needed.",
		Attributes: map[string]schema.Attribute{
			"mount":     dataMount(),
			"namespace": dataNamespace(),
			"keys_json": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "The JSON Web Key Set as JSON text, as the engine serves it. It has the active keys, their successors, and retired keys whose tokens may be alive.",
			},
			"key_ids": schema.ListAttribute{
				Computed: true, ElementType: types.StringType,
				MarkdownDescription: "The `kid` of each key (RFC 7517 §4.5), in the order of the set.",
			},
		},
	}
}

// Configure implements [datasource.DataSourceWithConfigure].
func (j *jwksData) Configure(_ context.Context, req datasource.ConfigureRequest, _ *datasource.ConfigureResponse) {
	j.connection = connected(req.ProviderData)
}

// Read implements [datasource.DataSource].
func (j *jwksData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m jwksModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	c := call{
		does: "read the JWKS", path: mountOf(m.Mount) + "/.well-known/keys",
		namespace: m.Namespace.ValueString(), capability: "read",
	}
	client, err := j.connection.reach(ctx, &c)
	if err != nil {
		resp.Diagnostics.Append(c.failed(err))
		return
	}
	document, err := fetchPublic(ctx, client, c.path)
	if err != nil {
		resp.Diagnostics.Append(noEngine(c, err))
		return
	}
	ids, ok := keyIDs(document)
	if !ok {
		resp.Diagnostics.Append(c.foreign("a JSON Web Key Set"))
		return
	}
	var diags diag.Diagnostics
	m.KeysJSON = types.StringValue(string(document))
	m.KeyIDs, diags = types.ListValueFrom(ctx, types.StringType, ids)
	resp.Diagnostics.Append(diags...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// maxDocument is far more than the keys that the engine publishes at most take.
const maxDocument = 1 << 20

// fetchPublic reads a raw document that needs no token, without showing one:
// that the answer does not depend on it makes a refusal mean one thing.
func fetchPublic(ctx context.Context, client *api.Client, path string) ([]byte, error) {
	anonymous := client.WithNamespace(client.Namespace()) // a copy
	anonymous.ClearToken()
	resp, err := anonymous.Logical().ReadRawWithContext(ctx, path)
	if resp != nil {
		defer func() { _ = resp.Body.Close() }()
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxDocument))
}

// noEngine is the diagnostic of a JWKS that is not served. Vault refuses a path
// of which it knows nothing where no token is shown, instead of saying so.
func noEngine(c call, err error) diag.Diagnostic {
	var response *api.ResponseError
	if !errors.As(err, &response) || (response.StatusCode != http.StatusForbidden && response.StatusCode != http.StatusNotFound) {
		return c.failed(err)
	}
	return diag.NewAttributeErrorDiagnostic(path.Root("mount"), "Cannot "+c.does,
		c.where()+": there is no JWKS at this path: check that the engine is mounted there, and that the namespace is right.")
}

func keyIDs(document []byte) ([]string, bool) {
	var set struct {
		Keys []struct {
			KeyID string `json:"kid"`
		} `json:"keys"`
	}
	if json.Unmarshal(document, &set) != nil || set.Keys == nil {
		return nil, false
	}
	ids := []string{}
	for _, key := range set.Keys {
		ids = append(ids, key.KeyID)
	}
	return ids, true
}
