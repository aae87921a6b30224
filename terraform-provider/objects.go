package provider

import (
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend"
)

// objects are all that the engine keeps, in the order in which one sets a mount
// up.
func objects() []object {
	return []object{keyObject().describe(), configObject().describe(), issuerObject().describe(), roleObject().describe(), clientObject().describe()}
}

func keyObject() object {
	return object{
		noun: backend.ObjectKey, plural: "keys",
		description: "A signing key of the mount. Its private half is made in Vault and never leaves it. " +
			"A successor is always published before it signs; `tokenexchange_rotate_key` or `rotation_period` lets it take over.",
		fields: []field{
			{name: "algorithm", kind: text, use: immutable},
			{name: "rotation_period", kind: duration},
			{name: "publication_lead", kind: duration},
			{name: "verification_period", kind: duration},
			{
				name: "revoke_on_destroy", kind: boolean, use: local,
				description: "Whether to revoke the key when it is destroyed: all tokens that it signed are dead at once, and so is what was exchanged from them. " +
					"Without it, the destruction of a key is refused while a token that it signed may be alive: set it, apply, and destroy again. Default: `false`.",
			},
			{name: "needed_until", kind: text, use: computed},
			{name: "versions", kind: keyVersion, use: computed},
		},
		deletion: func(prior values) map[string][]string {
			if !prior.bool("revoke_on_destroy") {
				return nil
			}
			return map[string][]string{"revoke": {"true"}}
		},
	}
}

func configObject() object {
	return object{
		noun: backend.ObjectConfig,
		description: "The configuration of the mount: its issuer URL, lifetimes and guardrails. A mount has one. " +
			"Creating it takes over what is there; destroying it denies every exchange, while tokens can still be introspected and revoked.",
		fields: []field{
			{name: "issuer", kind: text, use: required},
			{name: "force", kind: boolean, use: sent},
			{name: "default_key", kind: text},
			{name: "default_ttl", kind: duration},
			{name: "max_ttl", kind: duration},
			{name: "max_hops", kind: number},
			{name: "max_delegation_depth", kind: number},
			{name: "clock_skew_leeway", kind: duration},
			{name: "jwks_max_age", kind: duration},
			{name: "allowed_audiences", kind: texts},
			{name: "allowed_scopes", kind: texts},
			{name: "token_endpoint_aliases", kind: texts},
			{name: "former_issuers", kind: texts, use: computed},
		},
		check: func(c change) *backend.Refusal {
			before, forced := c.prior.text("issuer"), c.next.bool("force") || !known(c.next["force"])
			if before == "" || before == c.next.text("issuer") || forced || c.moved() {
				return nil
			}
			return &backend.Refusal{Field: "issuer", Reason: backend.IssuerChange(before)}
		},
	}
}

// kept stands for a client secret that Vault has and Terraform does not.
const kept = "kept"

func issuerObject() object {
	return object{
		noun: backend.ObjectIssuer, plural: "issuers",
		description: "A trusted issuer of subject and actor tokens. Trusting it allows nothing yet: roles name the issuers that they accept.",
		fields: []field{
			{name: "type", kind: text},
			{name: "bound_issuer", kind: text},
			{name: "oidc_discovery_url", kind: text},
			{name: "jwks_url", kind: text},
			{name: "jwks", kind: text},
			{name: "jwt_validation_pubkeys", kind: texts},
			{name: "spiffe_bundle_url", kind: text},
			{name: "introspection_url", kind: text},
			{name: "introspection_client_id", kind: text},
			{
				name: "introspection_client_secret_wo", kind: text, use: writeOnly, api: "introspection_client_secret", partner: "introspection_client_secret_wo_version",
				description: "Client secret of this engine at `introspection_url`. It is write-only: neither in state nor in a plan. " +
					"It is sent with every change of the issuer; count `introspection_client_secret_wo_version` up when the secret alone changes.",
			},
			{
				name: "introspection_client_secret_wo_version", kind: number, use: counter, partner: "introspection_client_secret_wo",
				description: "Any number; another one sends `introspection_client_secret_wo` again. Needed with it.",
			},
			{name: "ca_pem", kind: text},
			{name: "allowed_addresses", kind: texts},
			{name: "allowed_algorithms", kind: texts},
			{name: "bound_audiences", kind: texts, use: required},
			{name: "max_token_age", kind: duration},
			{name: "required_claims", kind: texts},
			{name: "subject_prefix", kind: text},
		},
		// Vault keeps the secret as long as the URL is the same. Before there is a
		// state to compare with, an issuer that is imported cannot be told from a
		// new one.
		complete: func(data map[string]any, c change) {
			_, given := data["introspection_client_secret"]
			url := c.next.text("introspection_url")
			if given || url == "" {
				return
			}
			if !c.secure || c.prior.text("introspection_url") == url {
				data["introspection_client_secret"] = kept
			}
		},
	}
}

func roleObject() object {
	return object{
		noun: backend.ObjectRole, plural: "roles",
		description: "A role: who may exchange a token, who may act for them, for what, and how the answer is made. " +
			"Nothing is allowed by default. Destroying a role kills every token that it minted.",
		fields: []field{
			{name: "subject_source", kind: text},
			{name: "issuers", kind: texts},
			{name: "bound_subject", kind: text},
			{name: "bound_audiences", kind: texts},
			{
				name: "bound_claims", kind: claims,
				description: "Claims that the subject must have, each with a value or a list of values of which it must have one: an object such as " +
					"`{ repository = \"acme/app\", ref = [\"refs/heads/main\", \"refs/heads/next\"] }`. " +
					"A name that begins with `/` is a JSON pointer (RFC 6901). A caller has the claims `sub`, `name`, `metadata` and `groups`. " +
					"Types must agree: the text `\"true\"` is not `true`.",
			},
			{name: "bound_claims_type", kind: text},
			{name: "condition", kind: text},
			{name: "delegation", kind: text},
			{name: "actor_source", kind: text},
			{name: "actor_issuers", kind: texts},
			{name: "bound_actors", kind: texts},
			{name: "may_act", kind: text},
			{name: "max_delegation_depth", kind: number},
			{name: "subject", kind: text},
			{
				name: "claims", kind: textMap,
				description: "Further claims: a map of names and CEL expressions, such as `{ team = \"subject.team\" }`. " +
					"One that yields null is left out. Claims that the engine sets are reserved.",
			},
			{name: "allowed_audiences", kind: texts, use: required},
			{name: "default_audience", kind: text},
			{name: "allowed_scopes", kind: texts, description: "Scopes that may be granted, exactly."},
			{name: "default_scopes", kind: texts},
			{name: "subject_scopes", kind: text},
			{
				name: "scope_map", kind: scopeMap,
				description: "For `subject_scopes` `map`: a map of a scope of the subject token and the set of scopes that it stands for.",
			},
			{name: "format", kind: text},
			{name: "key", kind: text},
			{name: "typ", kind: text},
			{name: "ttl", kind: duration},
			{name: "max_ttl", kind: duration},
			{name: "generate_lease", kind: boolean},
			{name: "rate_limit", kind: number},
			{name: "binding", kind: text},
			{name: "subject_binding", kind: text},
			{name: "role_id", kind: text, use: stable},
		},
	}
}

func clientObject() object {
	return object{
		noun: backend.ObjectClient, plural: "clients",
		description: "An OAuth client of the endpoints `oauth/token`, `oauth/introspect` and `oauth/revoke`. Its `name` is its `client_id`. " +
			"A secret is not made by Terraform, which would have to store it: `vault write -f MOUNT/clients/NAME/secret` shows one once. " +
			"Destroying a client kills every token that it asked for.",
		fields: []field{
			{name: "auth_method", kind: text, use: required},
			{name: "role", kind: text},
			{name: "audiences", kind: texts},
			{name: "jwks", kind: text},
			{name: "jwks_url", kind: text},
			{name: "ca_pem", kind: text},
			{name: "allowed_addresses", kind: texts},
			{name: "federated_issuer", kind: text},
			{name: "federated_subject", kind: text},
			{
				name: "federated_claims", kind: claims,
				description: "For `federated_jwt`: claims that the client's tokens must have: an object, as `bound_claims` of `tokenexchange_role`.",
			},
			{name: "tls_client_auth_subject_dn", kind: text},
			{name: "tls_client_auth_san_dns", kind: text},
			{name: "tls_client_auth_san_uri", kind: text},
			{name: "tls_client_auth_san_ip", kind: text},
			{name: "tls_client_auth_san_email", kind: text},
			{name: "tls_client_auth_ca", kind: text},
			{name: "dpop_required", kind: boolean},
			{name: "insecure_public", kind: boolean},
			{name: "rate_limit", kind: number},
			{name: "secrets", kind: secretDate, use: computed},
		},
	}
}
