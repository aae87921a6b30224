package provider

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

var _ provider.ProviderWithValidateConfig = &tokenExchangeProvider{}

// ValidateConfig implements [provider.ProviderWithValidateConfig], for what is
// between arguments, and for what must not repeat the value.
func (p *tokenExchangeProvider) ValidateConfig(ctx context.Context, req provider.ValidateConfigRequest, resp *provider.ValidateConfigResponse) {
	var m model
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	// A URL may have a password.
	if address, source := m.address(); source == "address" && !isAddress(address) {
		resp.Diagnostics.AddAttributeError(path.Root("address"), "Invalid Attribute Value", "Attribute address"+mustBeAddress)
	} else if address != "" && !m.Address.IsUnknown() && !isAddress(address) {
		resp.Diagnostics.AddError("Invalid Environment", source+mustBeAddress)
	}
	var logins []string
	for _, l := range m.logins() {
		if len(l.block.Elements()) > 0 {
			logins = append(logins, l.argument)
		}
	}
	if len(logins) > 1 {
		resp.Diagnostics.AddAttributeError(path.Root(logins[1]), "Invalid Attribute Combination",
			"At most one auth_login block can be specified, got: "+strings.Join(logins, ", "))
	}
	for i, h := range elements(m.Headers) {
		name, ok := h["name"].(types.String)
		// The namespace is checked before it is sent, and the token is not the
		// configuration's: neither may come in by a header.
		if ok && isVaultsHeader(name.ValueString()) {
			resp.Diagnostics.AddAttributeError(path.Root("headers").AtListIndex(i).AtName("name"), "Invalid Attribute Value",
				fmt.Sprintf("Attribute headers[%d].name must not begin with X-Vault-, which is for Vault's own headers", i))
		}
	}
}

const mustBeAddress = " must be a URL that begins with https://, http:// or unix://"

func isAddress(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	switch u.Scheme {
	case "http", "https":
		return u.Host != ""
	case "unix":
		return u.Path != ""
	default:
		return false
	}
}
