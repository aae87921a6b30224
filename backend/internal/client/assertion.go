package client

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

const (
	// maxAssertionLife is how far ahead an assertion may expire: so long its "jti"
	// has to be remembered.
	maxAssertionLife = 5 * time.Minute
	maxTokenID       = 256 // characters of "jti"
)

// assertionTypes are the "typ" headers of a client's assertion (RFC 7523bis §4).
// Its absence is accepted; another kind of JWT is not.
var assertionTypes = []string{"", "jwt", "client-authentication+jwt"}

// proveByKey checks an assertion that the client has signed itself (RFC 7523 §3).
// Until the signature is verified the caller learns nothing of what is wrong.
func (c *Client) proveByKey(ctx context.Context, u *token.Unverified, env Env) *denial.Error {
	claims, err := c.keys.VerifySignature(ctx, u)
	if err != nil {
		if isOurs(denial.From(err)) {
			return c.noKeys(err)
		}
		return unprovenBy(err)
	}
	if !slices.Contains(assertionTypes, u.Header.Type) {
		return fail("typ", "header \"typ\" %.64q is not that of a client assertion: expected client-authentication+jwt, JWT or none", u.Header.Type)
	}
	expires, refusal := c.checkAssertion(claims, env)
	if refusal != nil {
		return refusal
	}
	return c.useOnce(ctx, claims, expires, env)
}

func (c *Client) noKeys(err error) *denial.Error {
	return unavailable("client_keys", "the keys of the client cannot be had now").Because(fmt.Errorf("the client %q: %w", c.ID, err))
}

// checkAssertion checks the claims: who, for whom, and when.
func (c *Client) checkAssertion(claims token.Claims, env Env) (time.Time, *denial.Error) {
	sub, err := claims.Required("sub")
	if err != nil {
		return time.Time{}, ofAssertion(err)
	}
	if sub != c.ID {
		return time.Time{}, fail("sub", "\"sub\" claim is not the client_id")
	}
	dates, err := token.Expect{
		Issuer: c.ID, Audiences: []string{env.Issuer}, Now: env.Now, Leeway: env.Leeway,
	}.Check(claims)
	if err != nil {
		return time.Time{}, ofAssertion(err)
	}
	// A further audience could present the assertion here as the client.
	if audience, err := claims.Strings("aud"); err != nil || len(audience) != 1 {
		return time.Time{}, fail("aud", "\"aud\" claim: expected %q alone but got %s", env.Issuer, token.List(audience))
	}
	switch {
	case dates.Expires.After(env.Now.Add(maxAssertionLife)):
		return time.Time{}, fail("exp", "\"exp\" claim is more than %s ahead", maxAssertionLife)
	case claims.Has("iat") && dates.IssuedAt.Before(env.Now.Add(-maxAssertionLife-env.Leeway)):
		return time.Time{}, fail("iat", "\"iat\" claim is more than %s ago", maxAssertionLife+env.Leeway)
	}
	return dates.Expires, nil
}

// useOnce lets an assertion be used once. It comes after everything else, so that
// nobody else's assertions are remembered, nor any that is refused.
func (c *Client) useOnce(ctx context.Context, claims token.Claims, expires time.Time, env Env) *denial.Error {
	id, err := claims.Required("jti")
	if err != nil {
		return ofAssertion(err)
	}
	if len(id) > maxTokenID {
		return fail("jti", "\"jti\" claim has %d characters: the limit is %d", len(id), maxTokenID)
	}
	fresh, err := env.Replay.Use(ctx, c.replayKey(id), expires)
	switch {
	case err != nil:
		return denial.From(err).At(denial.Client)
	case !fresh:
		return fail("jti", "\"jti\" claim: the assertion has been used before: make a new one for each request")
	}
	return nil
}

// replayKey is a key of fixed length for a client's "jti". No id has a zero byte.
func (c *Client) replayKey(id string) string {
	sum := sha256.Sum256([]byte("client\x00" + c.ID + "\x00" + id))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
