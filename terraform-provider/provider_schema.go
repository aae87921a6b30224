package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/boolvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// Schema implements [provider.Provider]. Names, blocks and environment variables
// are those of hashicorp/vault, so that its configuration can be pasted.
func (p *tokenExchangeProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Configures the token-exchange secrets engine of Vault. The arguments, and the environment " +
			"variables that stand in for them, are those of the `hashicorp/vault` provider. Vault is contacted when it is " +
			"first needed, so that it may be created in the same run.",
		Attributes: providerAttributes(),
		Blocks: map[string]schema.Block{
			"client_auth": one("The certificate that the provider shows to Vault's listener.", map[string]schema.Attribute{
				"cert_file": requiredText("File of the certificate, in PEM. Environment, without the block: `VAULT_CLIENT_CERT`."),
				"key_file":  requiredText("File of its private key, in PEM. Environment, without the block: `VAULT_CLIENT_KEY`."),
			}),
			"headers": schema.ListNestedBlock{
				MarkdownDescription: "A header for every request. It replaces one of the same name in `VAULT_HEADERS`. " +
					"Headers that begin with `X-Vault-` are Vault's own, and refused in both.",
				NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
					"name":  requiredText("Name of the header."),
					"value": schema.StringAttribute{Required: true, Sensitive: true, MarkdownDescription: "Value of the header."},
				}},
			},
			"auth_login":            genericLoginBlock(),
			"auth_login_jwt":        jwtLoginBlock(),
			"auth_login_userpass":   userpassLoginBlock(),
			"auth_login_cert":       certLoginBlock(),
			"auth_login_token_file": tokenFileLoginBlock(),
		},
	}
}

func providerAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"address": optionalText("URL of Vault, with `https://`, `http://` or `unix://`. Environment: `VAULT_AGENT_ADDR`, then `VAULT_ADDR`. " +
			"One of them is required. The provider follows a redirect to another host only if Vault names that as its leader."),
		"token": credential("Vault token. Environment: `VAULT_TOKEN`; otherwise the token helper, which is `~/.vault-token` " +
			"unless the Vault CLI is set up with another. Not used with an `auth_login` block."),
		"token_name": optionalText("Display name of the child token. Environment: `VAULT_TOKEN_NAME`; default `terraform`."),
		"skip_child_token": flag("Use the token itself, and not a short-lived child of it. " +
			"Environment: `TERRAFORM_VAULT_SKIP_CHILD_TOKEN`."),
		"max_lease_ttl_seconds": schema.Int64Attribute{
			Optional: true, Validators: []validator.Int64{int64validator.AtLeast(1)},
			MarkdownDescription: "Life of the child token. A new one is made before it ends. What was leased with it, ends " +
				"with it: give it more than the life of a `tokenexchange_token` that is leased, and the run before it. " +
				"Environment: `TERRAFORM_VAULT_MAX_TTL`; default 1200.",
		},
		"namespace": optionalText("Namespace of Vault Enterprise or OpenBao. The namespaces of objects are below it. " +
			"Environment: `VAULT_NAMESPACE`. Refused if Vault is the Community Edition, which would write to the root namespace, or if it does not say " +
			"what it is: `sys/health` must be reached without a token."),
		"set_namespace_from_token": flag("Without a `namespace`, use that of the token. " +
			"Environment: `VAULT_SET_NAMESPACE_FROM_TOKEN`; default true."),
		"ca_cert_file": optionalText("File of the CA certificates for Vault's own, in PEM. Environment: `VAULT_CACERT`; " +
			"`VAULT_CACERT_BYTES` has the certificates themselves."),
		"ca_cert_dir":     optionalText("Directory with such files. Environment: `VAULT_CAPATH`. Not used with `ca_cert_file`."),
		"tls_server_name": optionalText("Name that Vault's certificate must have. Environment: `VAULT_TLS_SERVER_NAME`."),
		"skip_tls_verify": flag("Do not check Vault's certificate. Whoever is in between then gets the token. " +
			"Environment: `VAULT_SKIP_VERIFY`."),
		"max_retries": schema.Int64Attribute{
			Optional: true, Validators: []validator.Int64{int64validator.Between(0, 1000)},
			MarkdownDescription: "How often a request is repeated that got no answer, or one with a 5xx status. Exchanges and rotations are not. " +
				"Environment: `VAULT_MAX_RETRIES`; default 2.",
		},
	}
}

func genericLoginBlock() schema.Block {
	attributes := loginAttributes()
	attributes["path"] = schema.StringAttribute{
		Required: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
		MarkdownDescription: "Path to log in at, such as `auth/approle/login`.",
	}
	attributes["method"] = schema.StringAttribute{
		Optional: true, Validators: []validator.String{stringvalidator.NoneOf("aws")},
		MarkdownDescription: "Kind of the auth method. Nothing depends on it; `aws` is refused, because it needs signed requests.",
	}
	attributes["parameters"] = schema.MapAttribute{
		Optional: true, Sensitive: true, ElementType: types.StringType,
		MarkdownDescription: "What to send there.",
	}
	return one("Log in with any auth method, such as AppRole or Kubernetes.", attributes)
}

func jwtLoginBlock() schema.Block {
	attributes := mountedLoginAttributes("jwt")
	attributes["role"] = requiredText("Role of the auth method.")
	attributes["jwt"] = credential("The JWT. Environment: `TERRAFORM_VAULT_AUTH_JWT`.")
	return one("Log in with a JWT.", attributes)
}

func userpassLoginBlock() schema.Block {
	attributes := mountedLoginAttributes("userpass")
	attributes["username"] = optionalText("Name of the user. Environment: `TERRAFORM_VAULT_USERNAME`.")
	attributes["password"] = credential("Password. Environment: `TERRAFORM_VAULT_PASSWORD`.")
	attributes["password_file"] = schema.StringAttribute{
		Optional:            true,
		Validators:          []validator.String{stringvalidator.ConflictsWith(path.MatchRelative().AtParent().AtName("password"))},
		MarkdownDescription: "File of the password. Environment: `TERRAFORM_VAULT_PASSWORD_FILE`.",
	}
	return one("Log in with a name and a password.", attributes)
}

func certLoginBlock() schema.Block {
	attributes := mountedLoginAttributes("cert")
	attributes["name"] = optionalText("Role of the auth method. Without it Vault tries all.")
	attributes["cert_file"] = requiredText("File of the certificate, in PEM. It is used for the whole connection, before `client_auth`.")
	attributes["key_file"] = requiredText("File of its private key, in PEM.")
	return one("Log in with a TLS certificate.", attributes)
}

func tokenFileLoginBlock() schema.Block {
	attributes := loginAttributes()
	attributes["filename"] = optionalText("File with a Vault token in its only line, which nobody but its owner may read. " +
		"Environment: `TERRAFORM_VAULT_TOKEN_FILENAME`.")
	return one("Read the token from a file, for example of Vault Agent.", attributes)
}

// loginAttributes are those that every block has to log in.
func loginAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"namespace": optionalText("Namespace of the auth method, from the root. Without it, that of the provider."),
		"use_root_namespace": schema.BoolAttribute{
			Optional:            true,
			Validators:          []validator.Bool{boolvalidator.ConflictsWith(path.MatchRelative().AtParent().AtName("namespace"))},
			MarkdownDescription: "The auth method is in the root namespace.",
		},
	}
}

func mountedLoginAttributes(mount string) map[string]schema.Attribute {
	attributes := loginAttributes()
	attributes["mount"] = optionalText("Mount of the auth method, below `auth/`. Default `" + mount + "`.")
	return attributes
}

// one is a block that may be there once.
func one(description string, attributes map[string]schema.Attribute) schema.Block {
	return schema.ListNestedBlock{
		MarkdownDescription: description,
		Validators:          []validator.List{listvalidator.SizeAtMost(1)},
		NestedObject:        schema.NestedBlockObject{Attributes: attributes},
	}
}

func requiredText(description string) schema.Attribute {
	return schema.StringAttribute{Required: true, MarkdownDescription: description}
}

func optionalText(description string) schema.Attribute {
	return schema.StringAttribute{Optional: true, MarkdownDescription: description}
}

func credential(description string) schema.Attribute {
	return schema.StringAttribute{Optional: true, Sensitive: true, MarkdownDescription: description}
}

func flag(description string) schema.Attribute {
	return schema.BoolAttribute{Optional: true, MarkdownDescription: description}
}
