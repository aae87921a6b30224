package client

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Client is a client that can be asked whether a request is its own.
type Client struct {
	*Config
	keys *issuer.Keys   // nil if the method has none
	ca   *x509.CertPool // for tls_client_auth
}

// New makes a client from a valid configuration. It makes no request.
func New(c *Config, o issuer.Options) (*Client, error) {
	made := &Client{Config: c}
	var err error
	switch {
	case c.hasKeys():
		made.keys, err = issuer.NewKeys(c.keySource(), o)
	case c.AuthMethod == TLSClientAuth:
		made.ca, err = authorities(c.TLSCA)
	}
	return made, err
}

// Adopt takes over the keys that an earlier form of the client has fetched from
// the same place.
func (c *Client) Adopt(old *Client) {
	if old != nil && c.keys != nil {
		c.keys.Adopt(old.keys)
	}
}

// Keys returns the client's keys, for its status; nil if its method has none.
func (c *Client) Keys() *issuer.Keys { return c.keys }

// Replay remembers what may be used once.
type Replay interface {
	// Use tells whether the key is new, and remembers it until then.
	Use(ctx context.Context, key string, until time.Time) (fresh bool, err error)
}

// Verifier is a trusted issuer, as far as it verifies tokens.
type Verifier interface {
	VerifyToken(ctx context.Context, u *token.Unverified, c issuer.Check) (token.Claims, token.Dates, error)
}

// Env is what a client is authenticated with, beside its own configuration.
type Env struct {
	Issuer string // our issuer identifier, for which an assertion has to be made
	Now    time.Time
	Leeway time.Duration // for "iat" and "nbf" alone
	Replay Replay
	// Federated returns the trusted issuer of a name.
	Federated func(name string) (Verifier, bool)
}

func (e Env) check() error {
	switch {
	case e.Issuer == "":
		return errors.New("no issuer identifier: every audience would be wrong")
	case e.Now.IsZero():
		return errors.New("no time: crypto/x509 would take its own")
	case e.Replay == nil:
		return errors.New("no memory of used assertions")
	}
	return nil
}

// Authenticated is a client that has proven who it is, as far as its method goes:
// with the method "none" it has not.
type Authenticated struct {
	*Client
	// Certificate is that of this connection, nil if the peer presented none. It
	// is the only one to which a token may be bound (RFC 8705 §6.1).
	Certificate *x509.Certificate

	// assertion is the digest of the claims by which the client has proven who it
	// is: fmt reaches past the methods of a token that is a field.
	assertion *[sha256.Size]byte
}

// Presented tells whether a token is the one by which the client authenticated
// itself: one JWT must not be both (RFC 7523bis §4, RFC 8725 §3.12). It looks at
// the claims, since the same ones can be signed and encoded in several ways.
func (a *Authenticated) Presented(u *token.Unverified) bool {
	return a.assertion != nil && *a.assertion == sha256.Sum256(u.Payload())
}

// accepted is the one mechanism that each method uses.
var accepted = map[string]mechanism{
	PrivateKeyJWT: byAssertion, FederatedJWT: byAssertion,
	ClientSecretBasic: byHeader, ClientSecretPost: byParameter,
	TLSClientAuth: byNothing, SelfSignedTLS: byNothing, None: byNothing,
}

// Authenticate checks that a request is from this client (RFC 6749 §2.3, RFC 7521
// §4.2, RFC 8705 §2). Every error is a [denial.Error].
func (c *Client) Authenticate(ctx context.Context, credentials Credentials, env Env) (*Authenticated, error) {
	p, refusal := credentials.read()
	if refusal != nil {
		return nil, refusal
	}
	if err := env.check(); err != nil {
		return nil, denial.Server(denial.Client, err)
	}
	if refusal := c.prove(ctx, p, credentials, env); refusal != nil {
		return nil, refusal
	}
	out := &Authenticated{Client: c}
	if p.assertion != nil {
		digest := sha256.Sum256(p.assertion.Payload())
		out.assertion = &digest
	}
	if len(credentials.Certificates) > 0 {
		out.Certificate = credentials.Certificates[0]
	}
	return out, nil
}

func (c *Client) prove(ctx context.Context, p presented, credentials Credentials, env Env) *denial.Error {
	switch {
	case p.id != c.ID:
		return unproven("the credentials are another client's")
	case accepted[c.AuthMethod] != p.mechanism:
		return unproven(c.wrongMechanism(p.mechanism))
	}
	switch c.AuthMethod {
	case PrivateKeyJWT:
		return c.proveByKey(ctx, p.assertion, env)
	case FederatedJWT:
		return c.proveByIssuer(ctx, p.assertion, credentials.ClientID, env)
	case ClientSecretBasic, ClientSecretPost:
		if !c.Secrets.match(p.secret, env.Now) {
			return unproven("the secret is none of the client's, or has been replaced")
		}
		return nil
	case TLSClientAuth, SelfSignedTLS:
		return c.proveByCertificate(ctx, credentials.Certificates, env)
	case None:
		return nil // a public client: its role and DPoP decide what that is worth
	}
	return unproven("the client's auth_method is unknown")
}

func (c *Client) wrongMechanism(how mechanism) string {
	text := fmt.Sprintf("the client's auth_method is %s, and it came with %s", c.AuthMethod, how)
	if c.AuthMethod == ClientSecretBasic && how == byNothing {
		text += ": is Authorization among the passthrough_request_headers of the mount?"
	}
	return text
}
