package exchange

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
)

// isOpaque tells whether a token may be shown to the issuer that introspects: not
// if it looks like a JWT, which is for nobody but the issuer that it names, or like
// a Vault token.
func isOpaque(text string) bool {
	for _, prefix := range []string{"hvs.", "hvb.", "hvr.", "s.", "b.", "r."} {
		if strings.HasPrefix(text, prefix) {
			return false
		}
	}
	first, rest, dotted := strings.Cut(text, ".")
	header, err := base64.RawURLEncoding.DecodeString(first)
	isJOSE := err == nil && dotted && strings.HasPrefix(strings.TrimSpace(string(header)), "{")
	return !isJOSE && strings.Count(rest, ".") != 1 && !strings.HasPrefix(text, "eyJ") && !strings.Contains(text, ".eyJ") && !strings.Contains(text, " ")
}

// opaqueIssuer returns the issuer that is to be asked about a token that is no
// JWT: the only one of the role that can be.
func (a *attempt) opaqueIssuer(t presented) (*issuer.Issuer, error) {
	if !isOpaque(t.token.Reveal()) {
		return nil, nil
	}
	var found *issuer.Issuer
	for _, name := range t.issuers {
		trusted := a.Issuers[name]
		switch {
		case trusted == nil || !trusted.Introspects():
		case found != nil:
			return nil, denial.New(denial.InvalidRequest, denial.Subject, t.list,
				"the token is opaque, and both %q and %q could be asked about it: a role may have one issuer with introspection_url", found.Name, name)
		default:
			found = trusted
		}
	}
	return found, nil
}

func (a *attempt) introspect(ctx context.Context, t presented, trusted *issuer.Issuer, err error) (*party, error) {
	if err != nil {
		return nil, err
	}
	if err := t.checkType(trusted); err != nil {
		return nil, err
	}
	claims, dates, err := trusted.Introspect(ctx, t.token, a.check())
	if err != nil {
		return nil, err
	}
	a.trace.Pass(t.stage, "active", "the issuer %q says that the token is active", trusted.Name)
	return a.foreignParty(t, trusted, claims, dates, []byte(t.token.Reveal()))
}
