package backend

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
)

func (b *backend) clientPaths() []*framework.Path {
	clients := object{
		noun: "client", synopsis: "Let an OAuth client exchange, introspect and revoke tokens.", help: clientHelp,
		fields: clientFields, response: clientResponse,
		example: map[string]any{
			"auth_method": client.PrivateKeyJWT, "jwks_url": "https://gateway.example.com/jwks.json", "role": "orders",
		},
		exists: func(s *exchange.Snapshot, name string) bool { return s.Clients[name] != nil },
		list:   b.clientList, write: b.clientWrite, read: b.clientRead, delete: b.clientDelete,
		listHelp:      "Lists the ids of the clients, with auth_method and role of each.",
		writeSummary:  "Write an OAuth client; fields left out keep their value, lists and maps are replaced whole.",
		readSummary:   "Read an OAuth client, without its secrets.",
		deleteSummary: "Delete an OAuth client, and with it every token that it asked for.",
	}
	paths := append(b.objectPaths(clients), b.heldKeysPaths(clients, "a client", clientKeys,
		"Only a client with jwks or jwks_url has keys: those of federated_jwt are its issuer's.")...)
	return append(paths, b.actionPath(clients, action{
		path: "secret", op: logical.UpdateOperation, do: b.clientSecret,
		display: display("generate", "client-secret"), response: secretResponse,
		fields: map[string]*framework.FieldSchema{"overlap": {
			Type:        framework.TypeDurationSecond,
			Description: "How long the secret that this one replaces stays good. At most 90 days. Default: 0, it ends now.",
		}},
		synopsis: "Make a secret for a client.",
		help: "The secret is shown this once: Vault keeps its hash alone. Two are good at most, the new one and, for the time of overlap, " +
			"the one that it replaces.",
	}))
}

func (b *backend) clientWrite(ctx context.Context, req *logical.Request, d *framework.FieldData, _ *exchange.Snapshot) (*logical.Response, error) {
	name := named(d)
	var warnings []string
	err := b.update(ctx, req.Storage, func(s *exchange.Snapshot) ([]change, error) {
		next := client.Draft(name)
		if old := s.Clients[name]; old != nil {
			*next = *old.Config
		}
		readClient(d, next)
		if err := next.Validate(); err != nil {
			return nil, err
		}
		if err := s.CheckClient(next); err != nil {
			return nil, err
		}
		warnings = append(next.Warnings(), s.ClientWarnings(next)...)
		return b.storeClient(s, next)
	})
	if err != nil {
		return nil, err
	}
	return warn(nil, warnings), nil
}

// storeClient puts a client into the snapshot, and returns what to write. It goes
// on with the keys that its earlier form has fetched.
func (b *backend) storeClient(s *exchange.Snapshot, c *client.Config) ([]change, error) {
	made, err := b.newClient(c)
	if err != nil {
		return nil, err
	}
	made.Adopt(s.Clients[c.ID])
	s.Clients[c.ID] = made
	entry, err := put(clientPrefix+c.ID, client.Stored{Config: c})
	return []change{entry}, err
}

func (b *backend) newClient(c *client.Config) (*client.Client, error) {
	return client.New(c, issuer.Options{Now: b.now, OnFetch: func(_ string, f issuer.Fetch) { b.noteFetch(ofClient(c.ID), f) }})
}

func readClient(d *framework.FieldData, c *client.Config) {
	set(d, "role", &c.Role)
	set(d, "audiences", &c.Audiences)
	set(d, "auth_method", &c.AuthMethod)
	set(d, "jwks", &c.JWKS)
	set(d, "jwks_url", &c.JWKSURL)
	set(d, "ca_pem", &c.CAPEM)
	set(d, "allowed_addresses", &c.AllowedAddresses)
	set(d, "federated_issuer", &c.FederatedIssuer)
	set(d, "federated_subject", &c.FederatedSubject)
	set(d, "federated_claims", (*map[string]any)(&c.FederatedClaims))
	set(d, "tls_client_auth_subject_dn", &c.TLSSubjectDN)
	set(d, "tls_client_auth_san_dns", &c.TLSSANDNS)
	set(d, "tls_client_auth_san_uri", &c.TLSSANURI)
	set(d, "tls_client_auth_san_ip", &c.TLSSANIP)
	set(d, "tls_client_auth_san_email", &c.TLSSANEmail)
	set(d, "tls_client_auth_ca", &c.TLSCA)
	set(d, "dpop_required", &c.DPoPRequired)
	set(d, "rate_limit", &c.RateLimit)
	set(d, "insecure_public", &c.InsecurePublic)
	if !c.HasSecret() {
		c.Secrets = client.Secrets{} // else they came to life again with the next change of the method
	}
}

func (b *backend) clientRead(_ context.Context, _ *logical.Request, d *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
	c := s.Clients[named(d)]
	if c == nil {
		return nil, nil
	}
	data := clientData(c.Config)
	data["secrets"] = secretDates(c.Secrets.Dates(b.now()))
	return &logical.Response{Data: data}, nil
}

func clientKeys(s *exchange.Snapshot, name string) (heldKeys, error) {
	c := s.Clients[name]
	switch {
	case c == nil:
		return nil, nil
	case c.AuthMethod == client.FederatedJWT:
		return nil, denial.Field("auth_method", "the keys of a client with federated_jwt are those of its issuer: see issuers/%s/status", c.FederatedIssuer)
	case c.Keys() == nil:
		return nil, denial.Field("auth_method", "a client with %s has no keys", c.AuthMethod)
	}
	return c.Keys(), nil
}

// clientData leaves the secrets out, which are never shown.
func clientData(c *client.Config) map[string]any {
	return map[string]any{
		"role": c.Role, "audiences": list(c.Audiences), "auth_method": c.AuthMethod,
		"jwks": c.JWKS, "jwks_url": c.JWKSURL, "ca_pem": c.CAPEM, "allowed_addresses": list(c.AllowedAddresses),
		"federated_issuer": c.FederatedIssuer, "federated_subject": c.FederatedSubject, "federated_claims": maps.Clone(c.FederatedClaims),
		"tls_client_auth_subject_dn": c.TLSSubjectDN, "tls_client_auth_san_dns": c.TLSSANDNS, "tls_client_auth_san_uri": c.TLSSANURI,
		"tls_client_auth_san_ip": c.TLSSANIP, "tls_client_auth_san_email": c.TLSSANEmail, "tls_client_auth_ca": c.TLSCA,
		"rate_limit": c.RateLimit, "dpop_required": c.DPoPRequired, "insecure_public": c.InsecurePublic,
	}
}

func secretDates(dates []client.SecretDates) []map[string]any {
	out := []map[string]any{}
	for _, d := range dates {
		out = append(out, map[string]any{"created": stamp(d.Created), "until": stamp(d.Until)})
	}
	return out
}

func (b *backend) clientSecret(ctx context.Context, req *logical.Request, d *framework.FieldData, _ *exchange.Snapshot) (*logical.Response, error) {
	name := named(d)
	var overlap time.Duration
	setDuration(d, "overlap", &overlap)
	var shown string
	err := b.update(ctx, req.Storage, func(s *exchange.Snapshot) ([]change, error) {
		old := s.Clients[name]
		if old == nil {
			return nil, denial.Field("name", "the client %q does not exist", name)
		}
		next, secret, err := old.GenerateSecret(b.now(), overlap)
		if err != nil {
			return nil, err
		}
		shown = secret.Reveal()
		return b.storeClient(s, next)
	})
	if err != nil {
		return nil, err
	}
	b.Logger().Info("client secret generated", "request_id", req.ID, "client_id", name)
	return &logical.Response{Data: map[string]any{"client_id": name, "client_secret": shown}}, nil
}

func (b *backend) clientDelete(ctx context.Context, req *logical.Request, d *framework.FieldData, _ *exchange.Snapshot) (*logical.Response, error) {
	name := named(d)
	return nil, b.update(ctx, req.Storage, func(s *exchange.Snapshot) ([]change, error) {
		delete(s.Clients, name)
		return []change{remove(clientPrefix + name)}, nil
	})
}

func (b *backend) clientList(_ context.Context, _ *logical.Request, _ *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
	info := map[string]any{}
	for name, c := range s.Clients {
		info[name] = map[string]any{"auth_method": c.AuthMethod, "role": c.Role}
	}
	return logical.ListResponseWithInfo(slices.Sorted(maps.Keys(s.Clients)), info), nil
}

var clientFields = map[string]*framework.FieldSchema{
	"role": {
		Type:        framework.TypeString,
		Description: "Role by which the client exchanges tokens at oauth/token. Without one it may introspect and revoke alone.",
	},
	"audiences": {
		Type:        framework.TypeCommaStringSlice,
		Description: "Audiences of the tokens that the client may introspect, exactly: it is told nothing of others, except of those that it asked for itself.",
	},
	"auth_method": {
		Type: framework.TypeString,
		Description: `How the client proves who it is: "private_key_jwt", an assertion that it signs (RFC 7523); "federated_jwt", a token of federated_issuer as the assertion; ` +
			`"client_secret_basic" or "client_secret_post" (RFC 6749 §2.3.1); "tls_client_auth" or "self_signed_tls_client_auth", a certificate (RFC 8705); "none", not at all. Required.`,
		AllowedValues: allowedMethods(),
	},
	"jwks": {
		Type:        framework.TypeString,
		Description: `The client's JSON Web Key Set, for "private_key_jwt" and, with the keys of its certificates, for "self_signed_tls_client_auth".`,
	},
	"jwks_url": {
		Type:        framework.TypeString,
		Description: "URL of the client's JSON Web Key Set, instead of jwks.",
	},
	"ca_pem": {
		Type:        framework.TypeString,
		Description: "Certificates in PEM form that the TLS certificate of jwks_url is checked with. Default: those of the system.",
	},
	"allowed_addresses": {
		Type:        framework.TypeCommaStringSlice,
		Description: "CIDRs of addresses that may be contacted for jwks_url beyond the default, as those of an issuer.",
	},
	"federated_issuer": {
		Type:        framework.TypeString,
		Description: `For "federated_jwt": name of the issuer whose tokens are the client's assertions.`,
	},
	"federated_subject": {
		Type:        framework.TypeString,
		Description: `For "federated_jwt": the exact "sub" claim of the client's tokens, as the issuer wrote it.`,
	},
	"federated_claims": {
		Type:        framework.TypeMap,
		Description: `For "federated_jwt": claims that the client's tokens must have, as bound_claims of a role.`,
	},
	"tls_client_auth_subject_dn": {
		Type:        framework.TypeString,
		Description: `For "tls_client_auth": the subject of the client's certificate (RFC 4514). Exactly one of the tls_client_auth names must be set (RFC 8705 §2.1.2).`,
	},
	"tls_client_auth_san_dns":   {Type: framework.TypeString, Description: `For "tls_client_auth": a DNS name of the client's certificate.`},
	"tls_client_auth_san_uri":   {Type: framework.TypeString, Description: `For "tls_client_auth": a URI of the client's certificate, such as a SPIFFE ID.`},
	"tls_client_auth_san_ip":    {Type: framework.TypeString, Description: `For "tls_client_auth": an IP address of the client's certificate.`},
	"tls_client_auth_san_email": {Type: framework.TypeString, Description: `For "tls_client_auth": an e-mail address of the client's certificate.`},
	"tls_client_auth_ca": {
		Type:        framework.TypeString,
		Description: `For "tls_client_auth": certificates in PEM form of the authorities that may have issued the client's certificate. Required with that method.`,
	},
	"rate_limit": {
		Type:        framework.TypeInt,
		Description: "How many requests the client may make a minute to the OAuth endpoints, in whatever bursts. What is beyond is answered with status 429. Default: 0, no limit.",
	},
	"dpop_required": {
		Type:        framework.TypeBool,
		Description: "Whether each request of the client needs a DPoP proof (RFC 9449). Default: false.",
	},
	"insecure_public": {
		Type:        framework.TypeBool,
		Description: `For "none": whether the client may go without dpop_required. Whoever has a token that the role takes is then the client. Default: false.`,
	},
}

func allowedMethods() []any {
	var out []any
	for _, m := range client.Methods {
		out = append(out, m)
	}
	return out
}

var clientResponse = plus(clientFields, map[string]*framework.FieldSchema{
	"secrets": {Type: framework.TypeSlice, Description: "The secrets that are good, the current one first: when each was created, and until when it is good if it was replaced."},
})

var secretResponse = map[string]*framework.FieldSchema{
	"client_id":     {Type: framework.TypeString, Description: "Id of the client."},
	"client_secret": {Type: framework.TypeString, Description: "The secret, shown this once.", DisplayAttrs: &framework.DisplayAttributes{Sensitive: true}},
}

const clientHelp = `
A client speaks OAuth: it sends a form to oauth/token, oauth/introspect or
oauth/revoke, without a Vault token, and authenticates itself as auth_method says.
Its id is the "client_id" of the tokens that it asks for.

A client with a role exchanges tokens by that role, which must not ask for the
Vault caller: nobody is there. Without a role it may introspect the tokens of its
audiences, and revoke its own.

client_secret_basic needs a header that Vault keeps back until the mount is told:
vault secrets tune -passthrough-request-headers=Authorization PATH
`
