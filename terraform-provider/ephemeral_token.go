package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/vault/api"
)

// tokenEphemeral mints a token that Terraform does not store.
type tokenEphemeral struct {
	connection *connection
}

var (
	_ ephemeral.EphemeralResourceWithConfigure      = &tokenEphemeral{}
	_ ephemeral.EphemeralResourceWithValidateConfig = &tokenEphemeral{}
	_ ephemeral.EphemeralResourceWithClose          = &tokenEphemeral{}
)

func newTokenEphemeral() ephemeral.EphemeralResource { return &tokenEphemeral{} }

// Metadata implements [ephemeral.EphemeralResource].
func (e *tokenEphemeral) Metadata(_ context.Context, req ephemeral.MetadataRequest, resp *ephemeral.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_token"
}

// Configure implements [ephemeral.EphemeralResourceWithConfigure].
func (e *tokenEphemeral) Configure(_ context.Context, req ephemeral.ConfigureRequest, _ *ephemeral.ConfigureResponse) {
	e.connection = connected(req.ProviderData)
}

// ValidateConfig implements [ephemeral.EphemeralResourceWithValidateConfig].
func (e *tokenEphemeral) ValidateConfig(ctx context.Context, req ephemeral.ValidateConfigRequest, resp *ephemeral.ValidateConfigResponse) {
	var m tokenModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(m.check()...)
	}
}

// Open implements [ephemeral.EphemeralResource]: it exchanges the token.
func (e *tokenEphemeral) Open(ctx context.Context, req ephemeral.OpenRequest, resp *ephemeral.OpenResponse) {
	var m tokenModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	body, diags := m.body(ctx)
	resp.Diagnostics.Append(diags...)
	if diags.HasError() {
		return
	}
	c := m.call()
	client, err := e.connection.reach(ctx, &c)
	if err != nil {
		resp.Diagnostics.Append(c.failed(err))
		return
	}
	secret, err := client.Logical().WriteWithContext(ctx, c.path, body)
	if err != nil {
		resp.Diagnostics.Append(refused(c, withhold(err, m.SubjectToken.ValueString(), m.ActorToken.ValueString())))
		return
	}
	a, ok := readAnswer(secret)
	if !ok {
		resp.Diagnostics.Append(c.foreign("that of an exchange"))
		return
	}
	resp.Diagnostics.Append(m.fill(ctx, a)...)
	resp.Diagnostics.Append(resp.Result.Set(ctx, &m)...)
	if secret.LeaseID == "" {
		return
	}
	lease, err := json.Marshal(lease{
		ID: secret.LeaseID, Namespace: c.namespace, Role: m.Role.ValueString(), Token: a.JTI, Expires: a.expires(),
	})
	if err != nil {
		resp.Diagnostics.Append(c.failed(err))
		return
	}
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, leaseKey, lease)...)
}

// leaseKey is where Open leaves a [lease] for Close.
const leaseKey = "lease"

// lease is what Close needs to revoke a token, and to say which one lives on if
// it cannot. It does not hold the token.
type lease struct {
	ID        string `json:"id"`
	Namespace string `json:"namespace"`
	Role      string `json:"role"`
	Token     string `json:"token"`
	Expires   string `json:"expires"`
}

// Close implements [ephemeral.EphemeralResourceWithClose]: it revokes the lease
// of the token. What goes wrong is a warning: the run has done its work, and the
// token expires by itself.
func (e *tokenEphemeral) Close(ctx context.Context, req ephemeral.CloseRequest, resp *ephemeral.CloseResponse) {
	stored, diags := req.Private.GetKey(ctx, leaseKey)
	resp.Diagnostics.Append(diags...)
	if len(stored) == 0 {
		return
	}
	var l lease
	if err := json.Unmarshal(stored, &l); err != nil {
		resp.Diagnostics.AddWarning("Cannot revoke the lease of the token", err.Error())
		return
	}
	c := call{does: "revoke the lease of the token", path: "sys/leases/revoke", namespace: l.Namespace, capability: "update"}
	client, err := e.connection.reach(ctx, &c)
	if err == nil {
		// Synchronous: when Terraform has ended, the token is dead.
		_, err = client.Logical().WriteWithContext(ctx, c.path, map[string]any{"lease_id": l.ID, "sync": true})
	}
	if err != nil && !notFound(err) {
		resp.Diagnostics.Append(l.remains(c.failed(err), err))
	}
}

// remains turns a failure to revoke into a warning that says what it means.
func (l lease) remains(failure diag.Diagnostic, err error) diag.Diagnostic {
	detail := fmt.Sprintf("%s\n\nThe token with the jti %q was not revoked: it is valid until %s.", failure.Detail(), l.Token, l.Expires)
	var response *api.ResponseError
	if errors.As(err, &response) && response.StatusCode == http.StatusForbidden {
		detail += fmt.Sprintf(" If its short life is enough, set generate_lease = false in the role %q instead: its tokens are not leased then.", l.Role)
	}
	return diag.NewWarningDiagnostic(failure.Summary(), detail)
}
