package backend

import (
	"context"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// authenticate finds out which client makes a request, and records a failure where
// it was decided.
func (b *backend) authenticate(ctx context.Context, req *logical.Request, s *exchange.Snapshot) (*client.Authenticated, error) {
	if s.LastIssuer(b.now()) == "" {
		return nil, notConfigured()
	}
	credentials, err := readCredentials(req)
	if err != nil {
		return nil, err
	}
	who, err := client.Select(s.Clients, credentials)
	if err == nil {
		var proven *client.Authenticated
		limit := func() error { return b.exchanger.CheckClientRate(who.Config) }
		proven, err = who.Authenticate(ctx, credentials, b.clientEnv(s, &replay{backend: b, storage: req.Storage, limit: limit}))
		if err == nil && who.AuthMethod != client.PrivateKeyJWT { // whose limit comes before its assertion is stored
			err = limit()
		}
		if err == nil {
			return proven, nil
		}
	}
	refusal := denial.From(err)
	b.metrics.clientFailed(knownClient(who), refusal.Rule)
	b.Logger().Info("client not authenticated", "request_id", req.ID, "path", req.Path, "client_id", knownClient(who),
		"rule", refusal.Rule, "reason", refusal.Reason, "cause", refusal.Unwrap())
	return nil, err
}

// knownClient keeps what a caller made up out of logs and metrics.
func knownClient(c *client.Client) string {
	if c == nil {
		return ""
	}
	return c.ID
}

func notConfigured() error {
	return denial.New(denial.InvalidRequest, denial.Configuration, "config", "the mount is not configured: write config first")
}

// clientEnv knows a mount whose configuration was deleted by its last name: clients
// go on revoking.
func (b *backend) clientEnv(s *exchange.Snapshot, r *replay) client.Env {
	return client.Env{
		Issuer: s.LastIssuer(b.now()), Now: b.now(), Leeway: s.Leeway(), Replay: r,
		Federated: func(name string) (client.Verifier, bool) {
			i, ok := s.Issuers[name]
			return i, ok
		},
	}
}

// readCredentials reads what a request says of the client. Of the Authorization
// header nothing but Basic is looked at: what else is there may be a Vault token. An
// assertion that was sent twice is invalid_client (RFC 7521 §4.2.1), and no JWT.
func readCredentials(req *logical.Request) (client.Credentials, error) {
	r := reader{form: form(req.Data)}
	c := client.Credentials{
		ClientID: r.one("client_id"), ClientSecret: issuer.NewCredential(token.Secret(r.one("client_secret"))),
		AssertionType: r.text("client_assertion_type"), Assertion: issuer.NewCredential(token.Secret(r.text("client_assertion"))),
	}
	if r.err != nil {
		return c, r.err
	}
	for name, values := range req.Headers {
		if !strings.EqualFold(name, "Authorization") {
			continue
		}
		for _, value := range values {
			scheme, rest, _ := strings.Cut(value, " ")
			if !strings.EqualFold(scheme, "Basic") {
				continue
			}
			if c.HasBasic {
				return c, malformed("authorization", "must be sent once")
			}
			c.HasBasic, c.Basic = true, issuer.NewCredential(token.Secret(strings.TrimSpace(rest)))
		}
	}
	if req.Connection != nil && req.Connection.ConnState != nil {
		c.Certificates = req.Connection.ConnState.PeerCertificates
	}
	return c, nil
}
