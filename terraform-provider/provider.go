// Package provider is the Terraform provider "tokenexchange": it configures the
// token-exchange secrets engine of Vault, and hands short-lived tokens to other
// providers without storing them. It talks to Vault's HTTP API only.
package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/provider"
)

type tokenExchangeProvider struct {
	version string
	now     func() time.Time
}

// New returns the provider as Terraform's plugin server wants it.
func New(version string) func() provider.Provider {
	return func() provider.Provider { return &tokenExchangeProvider{version: version, now: time.Now} }
}

// Metadata implements [provider.Provider].
func (p *tokenExchangeProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "tokenexchange"
	resp.Version = p.version
}

// Configure implements [provider.Provider]. It asks nothing of Vault, which may
// not exist yet when a plan is made, and reads no file.
func (p *tokenExchangeProvider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	c := &connection{now: p.now, unknown: unknownArguments(req.Config.Raw)}
	if len(c.unknown) == 0 {
		var m model
		resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
		if resp.Diagnostics.HasError() {
			return
		}
		c.settings, c.invalid = m.settings()
	}
	resp.ResourceData, resp.DataSourceData, resp.EphemeralResourceData, resp.ActionData = c, c, c, c
}
