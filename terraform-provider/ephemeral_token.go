package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

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
		resp.Diagnostics.Append(m.checkSets()...)
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
	resp.Diagnostics.Append(m.checkSets()...)
	if resp.Diagnostics.HasError() {
		return
	}
	c := m.call()
	client, err := e.connection.reach(ctx, &c)
	if err != nil {
		resp.Diagnostics.Append(c.failed(err))
		return
	}
	asked := e.connection.now()
	// A repetition would mint another token, and nobody would revoke the first.
	secret, err := client.Logical().WriteWithContext(once(ctx), c.path, body)
	if err != nil {
		resp.Diagnostics.Append(refused(c, err))
		return
	}
	a, ok := readAnswer(secret, asked)
	if !ok {
		resp.Diagnostics.Append(c.foreign("that of an exchange"))
		// Terraform closes only what was opened.
		if secret != nil && secret.LeaseID != "" {
			resp.Diagnostics.Append(e.revoke(ctx, lease{ID: secret.LeaseID, Namespace: m.Namespace.ValueString()})...)
		}
		return
	}
	resp.Diagnostics.Append(m.fill(ctx, a)...)
	resp.Diagnostics.Append(resp.Result.Set(ctx, &m)...)
	if secret.LeaseID == "" {
		return
	}
	resp.Diagnostics.Append(a.outlives(c.ends, asked, m.Role.ValueString())...)
	lease, err := json.Marshal(lease{
		ID: secret.LeaseID, Namespace: m.Namespace.ValueString(), Role: m.Role.ValueString(), Token: a.JTI, Expires: a.expires(),
	})
	if err != nil {
		resp.Diagnostics.Append(c.failed(err))
		return
	}
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, leaseKey, lease)...)
}

// outlives warns of a token whose lease ends before it: Vault revokes what is
// leased when the token of the provider ends. The lives are compared, and not the
// dates: Vault's clock may be another one.
func (a *answer) outlives(ends, asked time.Time, role string) diag.Diagnostics {
	life, left := time.Duration(a.ExpiresIn)*time.Second, ends.Sub(asked)
	if ends.IsZero() || life < left+time.Second {
		return nil
	}
	return diag.Diagnostics{diag.NewWarningDiagnostic("The token is revoked before it expires", fmt.Sprintf(
		"The token with the jti %q may live for %s, but it is leased, and ends with the Vault token of the provider: in %s. "+
			"If the run needs it for longer, raise max_lease_ttl_seconds of the provider (or the life of the token itself, with skip_child_token) "+
			"to more than that of the exchanged token and the run before it, or set generate_lease = false in the role %q.",
		a.JTI, life, max(left, 0).Truncate(time.Second), role))}
}

// leaseKey is where Open leaves a [lease] for Close.
const leaseKey = "lease"

// lease is what Close needs to revoke a token, and to say which one lives on if
// it cannot. It does not hold the token.
type lease struct {
	ID        string `json:"id"`
	Namespace string `json:"namespace"` // relative to the provider's
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
	resp.Diagnostics.Append(e.revoke(ctx, l)...)
}

// revoke returns a warning if the token lives on.
func (e *tokenEphemeral) revoke(ctx context.Context, l lease) diag.Diagnostics {
	c := call{does: "revoke the lease of the token", path: "sys/leases/revoke", namespace: l.Namespace, capability: "update"}
	client, err := e.connection.reach(ctx, &c)
	if err == nil {
		// Synchronous: when Terraform has ended, the token is dead.
		_, err = client.Logical().WriteWithContext(ctx, c.path, map[string]any{"lease_id": l.ID, "sync": true})
	}
	if err == nil || hasGone(err) {
		return nil
	}
	return diag.Diagnostics{l.remains(c.failed(err), err)}
}

// hasGone tells whether Vault knows the lease no longer. Where it knows of no
// handler or no path, it says so, and has revoked nothing.
func hasGone(err error) bool {
	response, ok := errors.AsType[*api.ResponseError](err)
	return ok && response.StatusCode == http.StatusNotFound && len(response.Errors) == 0
}

// remains turns a failure to revoke into a warning that says what it means.
func (l lease) remains(failure diag.Diagnostic, err error) diag.Diagnostic {
	detail := fmt.Sprintf("%s\n\nThe token with the jti %q was not revoked: it is valid until %s.", failure.Detail(), l.Token, l.Expires)
	if l.Token == "" {
		detail = fmt.Sprintf("%s\n\nThe lease %q was not revoked: what it is of is valid until it ends.", failure.Detail(), l.ID)
	}
	var response *api.ResponseError
	if errors.As(err, &response) && response.StatusCode == http.StatusForbidden && l.Role != "" {
		detail += fmt.Sprintf(" If its short life is enough, set generate_lease = false in the role %q instead: its tokens are not leased then.", l.Role)
	}
	return diag.NewWarningDiagnostic(failure.Summary(), detail)
}
