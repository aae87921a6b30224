package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/resource"
)

// What the provider offers, by kind.
var (
	_ provider.ProviderWithEphemeralResources = &tokenExchangeProvider{}
	_ provider.ProviderWithFunctions          = &tokenExchangeProvider{}
	_ provider.ProviderWithActions            = &tokenExchangeProvider{}
)

func (p *tokenExchangeProvider) Resources(context.Context) []func() resource.Resource {
	var out []func() resource.Resource
	for _, o := range objects() {
		out = append(out, func() resource.Resource { return &objectResource{managed{object: o}} })
	}
	return out
}

func (p *tokenExchangeProvider) DataSources(context.Context) []func() datasource.DataSource {
	out := []func() datasource.DataSource{newJWKSData}
	for _, o := range objects() {
		out = append(out, func() datasource.DataSource { return &objectData{managed{object: o}} })
		if o.plural != "" {
			out = append(out, func() datasource.DataSource { return &listData{managed{object: o}} })
		}
	}
	return out
}

func (p *tokenExchangeProvider) EphemeralResources(context.Context) []func() ephemeral.EphemeralResource {
	return []func() ephemeral.EphemeralResource{newTokenEphemeral}
}

func (p *tokenExchangeProvider) Functions(context.Context) []func() function.Function {
	return []func() function.Function{newJWTClaims, newTokenTypeURI, newJWKThumbprint}
}

func (p *tokenExchangeProvider) Actions(context.Context) []func() action.Action {
	return []func() action.Action{newRotateKey}
}
