package provider

import (
	"context"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// tokenModel is a tokenexchange_token as a configuration has it.
type tokenModel struct {
	Mount     types.String `tfsdk:"mount"`
	MountID   types.String `tfsdk:"mount_id"`
	Namespace types.String `tfsdk:"namespace"`

	Role               types.String `tfsdk:"role"`
	SubjectToken       types.String `tfsdk:"subject_token"`
	SubjectTokenType   types.String `tfsdk:"subject_token_type"`
	ActorToken         types.String `tfsdk:"actor_token"`
	ActorTokenType     types.String `tfsdk:"actor_token_type"`
	Audience           types.Set    `tfsdk:"audience"`
	Resource           types.Set    `tfsdk:"resource"`
	Scope              types.Set    `tfsdk:"scope"`
	RequestedTokenType types.String `tfsdk:"requested_token_type"`
	TTL                types.String `tfsdk:"ttl"`

	AccessToken     types.String `tfsdk:"access_token"`
	IssuedTokenType types.String `tfsdk:"issued_token_type"`
	TokenType       types.String `tfsdk:"token_type"`
	ExpiresIn       types.Int64  `tfsdk:"expires_in"`
	ExpiresAt       types.String `tfsdk:"expires_at"`
	GrantedScope    types.Set    `tfsdk:"granted_scope"`
	GrantedAudience types.Set    `tfsdk:"granted_audience"`
	JTI             types.String `tfsdk:"jti"`
	TXN             types.String `tfsdk:"txn"`
	Subject         types.String `tfsdk:"subject"`
	Act             types.String `tfsdk:"act"`
}

const tokenDescription = `Exchanges a token for a narrower one (RFC 8693), which Terraform stores neither in its state nor in a plan.

Terraform opens an ephemeral resource when it plans and again when it applies, so that each of the two makes an exchange. While an
input is unknown, the exchange waits for the apply.

The token is not renewed: it must outlive the part of the run that needs it. ` + "`expires_at`" + ` says until when it is valid; what takes
longer than that fails at the service that the token is shown to. Raise ` + "`ttl`" + `, up to what the role allows, where that is the case.
The lease of a token also ends with the Vault token that the provider works with, so that ` + "`expires_at`" + ` may promise too much: a warning
says so, with what to do (` + "`max_lease_ttl_seconds`" + ` of the provider, or ` + "`generate_lease = false`" + ` in the role).

An exchange is not repeated when its answer is lost: there may be a token already. Run Terraform again.

The token of a role with ` + "`generate_lease = true`" + ` (the default) is revoked when the run no longer needs it. The token of the
provider needs a policy with the capability ` + "`update`" + ` on ` + "`sys/leases/revoke`" + ` for that; without it a warning says so, and the
token lives until it expires. It also does if what uses it fails, since Terraform does not close it then: keep ` + "`ttl`" + ` as short as the
run allows.

Ephemeral resources need Terraform 1.10 or later.`

// Schema implements [ephemeral.EphemeralResource].
func (e *tokenEphemeral) Schema(_ context.Context, _ ephemeral.SchemaRequest, resp *ephemeral.SchemaResponse) {
	resp.Schema = schema.Schema{MarkdownDescription: tokenDescription, Attributes: map[string]schema.Attribute{}}
	for _, attributes := range []map[string]schema.Attribute{tokenPlace(), tokenInputs(), tokenOutputs()} {
		maps.Copy(resp.Schema.Attributes, attributes)
	}
}

func tokenPlace() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"mount": ephemeralMount(),
		"mount_id": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Anything that is known only after the mount has been made, such as the `id` of its `vault_mount`. " +
				"It is not sent to Vault: it lets Terraform wait for the apply while the mount does not exist.",
		},
		"namespace": ephemeralNamespace(),
		"role":      schema.StringAttribute{Required: true, MarkdownDescription: "Name of the role.", Validators: nameValidators()},
	}
}

func tokenInputs() map[string]schema.Attribute {
	text := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Optional: true, MarkdownDescription: description}
	}
	secret := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Optional: true, Sensitive: true, MarkdownDescription: description}
	}
	set := func(description string) schema.SetAttribute {
		return schema.SetAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: description}
	}
	return map[string]schema.Attribute{
		"subject_token": secret("The token of the party on whose behalf the request is made (RFC 8693 §2.1). " +
			"It is left out if the role's `subject_source` is `caller`: then the owner of the provider's token is the subject. " +
			"Pass it by a variable that is `ephemeral`: Terraform writes the values of others into a plan file, also of those that are `sensitive`, " +
			"and quotes lines of the configuration in its messages."),
		"subject_token_type": text("Type of `subject_token`, a URI of RFC 8693 §3: that of `jwt`, `id_token` or `access_token`, " +
			"which `provider::tokenexchange::token_type_uri` spells out. `access_token` means a token of the engine itself. " +
			"Default: `access_token` for the engine's own tokens, else `jwt`."),
		"actor_token": secret("The token of the party that acts for the subject (RFC 8693 §2.1), for a role with delegation. " +
			"It is left out if the role's `actor_source` is `caller`."),
		"actor_token_type": text("Type of `actor_token`, a URI of RFC 8693 §3 as for `subject_token_type`. Required with `actor_token`."),
		"audience": set("Logical names of the services where the token will be used (RFC 8693 §2.1). " +
			"Default, also of null: `default_audience` of the role. An empty set is refused."),
		"resource": set("URIs of the services where the token will be used (RFC 8707 §2), beside or instead of `audience`. " +
			"An empty set is refused: leave it out."),
		"scope": set("Scopes asked for (RFC 6749 §3.3). All of them are granted, or the exchange is refused. " +
			"Default, also of null: `default_scopes` of the role. An empty set is refused."),
		"requested_token_type": text("Type of token asked for, a URI of RFC 8693 §3: that of `access_token`, or that of `jwt` for a role with " +
			"the `typ` JWT. Default: that of `access_token`."),
		"ttl": text("Life asked for, such as `5m` or `300` (seconds), at most the `max_ttl` of the role. " +
			"The tokens it is made from may shorten it. Default: `ttl` of the role."),
	}
}

func tokenOutputs() map[string]schema.Attribute {
	text := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	set := func(description string) schema.SetAttribute {
		return schema.SetAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: description}
	}
	return map[string]schema.Attribute{
		"access_token": schema.StringAttribute{
			Computed: true, Sensitive: true,
			MarkdownDescription: "The token that was minted, whatever its type (RFC 8693 §2.2.1).",
		},
		"issued_token_type": text("Type of the token, a URI of RFC 8693 §3."),
		"token_type":        text("`Bearer` for an access token, else `N_A` (RFC 8693 §2.2.1)."),
		"expires_in":        schema.Int64Attribute{Computed: true, MarkdownDescription: "Life of the token in seconds, from when it was minted."},
		"expires_at":        text("When the token expires (RFC 3339, UTC): its `exp`; for an opaque token, `expires_in` after the request."),
		"granted_scope":     set("Scopes granted: those asked for, or the role's default. It may be empty."),
		"granted_audience":  set("Audiences granted, the token's `aud`: those asked for by `audience` and `resource`, or the role's default."),
		"jti":               text("Id of the token (RFC 7519 §4.1.7). It is no secret, and is in the log and in Vault's audit log."),
		"txn":               text("Id of the chain of exchanges that the token belongs to."),
		"subject":           text("The token's `sub`: on whose behalf it is used."),
		"act":               text("The token's `act` as JSON text: who acts for the subject (RFC 8693 §4.1). Null if nobody does."),
	}
}
