package client

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// impersonal are claims, beside those of every token, that whole groups of tokens
// have in common: the application that asked, whoever uses it, under the names that
// issuers have for it; the kind of token and how its owner signed in; the tenant; what
// the token is good for.
var impersonal = []string{
	"azp", "client_id", "cid", "appid", "token_use", "typ", "ver", "acr", "amr", "auth_time",
	"tid", "hd", "email_verified", "scope", "scp",
}

// unfit are claims of tokens that are no assertions: they speak for somebody else,
// or prove nothing without a key.
var unfit = []string{"act", "may_act", "cnf"}

func (c *Config) checkFederated() error {
	if c.AuthMethod != FederatedJWT {
		return nil
	}
	switch {
	case c.FederatedIssuer == "":
		return denial.Field("federated_issuer", "must be set to the name of a trusted issuer")
	case slices.Contains(issuer.ReservedNames, c.FederatedIssuer):
		return denial.Field("federated_issuer", "%q is no trusted issuer: our own tokens authenticate nobody", c.FederatedIssuer)
	case c.FederatedSubject == "" && len(c.FederatedClaims) == 0:
		return denial.Field("federated_subject", "federated_subject or federated_claims must be set: every token of the issuer would be the client")
	case strings.Contains(c.FederatedSubject, "*"):
		return denial.Field("federated_subject", `%q: "*" would be an ordinary character: give the exact "sub" claim`, c.FederatedSubject)
	}
	return c.checkFederatedClaims()
}

func (c *Config) checkFederatedClaims() error {
	if err := c.FederatedClaims.Check("federated_claims"); err != nil {
		return err
	}
	tells := c.FederatedSubject != ""
	for _, name := range slices.Sorted(maps.Keys(c.FederatedClaims)) {
		first := token.SplitPointer(name)[0]
		if slices.Contains(unfit, first) {
			return denial.Field("federated_claims", "claim %q: a token that has it is no assertion: bind another claim", name)
		}
		tells = tells || !policy.OfEveryToken(name) && !slices.Contains(impersonal, first)
	}
	if !tells {
		return denial.Field("federated_claims", "binds only what every token of the issuer has: bind a claim that tells the client from others")
	}
	return nil
}

// proveByIssuer checks that the assertion is a token of the trusted issuer, and
// one of the client's (RFC 7523 §3, with the issuer's "iss" and "sub" and its
// bound_audiences). The parameter client_id is required, since the token does not
// name the client. Whoever has some other token of that issuer learns nothing of
// what the client is bound to. The token may come again: a workload has the same
// one for as long as it lives.
func (c *Client) proveByIssuer(ctx context.Context, u *token.Unverified, clientID string, env Env) *denial.Error {
	if clientID != c.ID {
		return unproven("the parameter client_id is missing, which federated_jwt needs")
	}
	if env.Federated == nil {
		return unproven("there are no trusted issuers")
	}
	trusted, ok := env.Federated(c.FederatedIssuer)
	if !ok {
		return unproven(fmt.Sprintf("the federated_issuer %q does not exist", c.FederatedIssuer))
	}
	claims, _, err := trusted.VerifyToken(ctx, u, issuer.Check{Now: env.Now, Leeway: env.Leeway})
	if err != nil {
		if isOurs(denial.From(err)) {
			// Nobody has proven anything yet: the names are for the log.
			return unavailable("federated_issuer", "the client's issuer cannot verify tokens now").
				Because(fmt.Errorf("the issuer %q of the client %q: %w", c.FederatedIssuer, c.ID, err))
		}
		return unprovenBy(err)
	}
	if problem := notPlain(claims); problem != "" {
		return unproven(problem)
	}
	if sub, _ := claims["sub"].(string); c.FederatedSubject != "" && sub != c.FederatedSubject {
		return unproven("the \"sub\" claim of the assertion is not federated_subject")
	}
	if name := c.FederatedClaims.Unmet(claims); name != "" {
		return unproven(fmt.Sprintf("the claim %q of the assertion has none of the values of federated_claims", name))
	}
	return nil
}

// notPlain tells why a token of the issuer is no assertion, although it is good: an
// assertion is a bearer token of the client itself, for one audience (RFC 7523 §3).
// "" if it is one.
func notPlain(claims token.Claims) string {
	for _, name := range unfit {
		switch {
		case !claims.Has(name):
		case name == "cnf":
			return "the assertion has a \"cnf\" claim: a token that is bound to a key cannot be an assertion, which nobody proves to have the key of"
		default:
			return fmt.Sprintf("the assertion has the claim %q: a token that speaks of an actor cannot be an assertion", name)
		}
	}
	// A further audience is sent the token too, and could present it as the client.
	if audience, err := claims.Strings("aud"); err != nil || len(audience) != 1 {
		return fmt.Sprintf("the assertion is for %s: one audience is wanted, each of several could present it", token.List(audience))
	}
	return ""
}
