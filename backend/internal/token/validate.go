package token

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// Expect is what the claims of a verified token are held against. The zero
// value accepts nothing.
type Expect struct {
	Issuer    string   // exact "iss" (RFC 8725 §3.8); "" refuses
	AnyIssuer bool     // "iss" is not looked at: who issued the claims is known without it
	Audiences []string // at least one must be in "aud"; none refuses
	Types     []string // accepted "typ" headers; "" accepts its absence
	Now       time.Time
	// Leeway forgives clocks that run ahead, for iat and nbf alone: it never
	// lengthens a life.
	Leeway time.Duration
	// MaxAge is the longest life, exp-iat, that a token may have been issued
	// with; zero for no limit.
	MaxAge   time.Duration
	Required []string // further claims that must be there
}

// foreignTypes are the "typ" headers of other issuers' access and ID tokens.
// A token of any other declared type is something else (RFC 8725 §3.11).
var foreignTypes = []string{"", "jwt", "at+jwt", "jose"}

// ForeignTypes returns the "typ" headers accepted from other issuers.
func ForeignTypes() []string { return slices.Clone(foreignTypes) }

// Validate checks a verified token's type, issuer, audience and dates.
func (u *Unverified) Validate(claims Claims, e Expect) (Dates, error) {
	if err := u.CheckType(e.Types); err != nil {
		return Dates{}, err
	}
	return e.Check(claims)
}

// CheckType checks the "typ" header, the one thing that claims do not tell.
func (u *Unverified) CheckType(types []string) error {
	if !slices.Contains(types, u.Header.Type) {
		return malformed("typ", "header \"typ\" %q is not that of an access or ID token", clip(u.Header.Type))
	}
	return nil
}

// Check checks verified claims: issuer, audience and dates. The type of their
// token is not among them.
func (e Expect) Check(claims Claims) (Dates, error) {
	if err := e.checkIssuer(claims); err != nil {
		return Dates{}, err
	}
	audience, err := claims.Strings("aud")
	if err != nil {
		return Dates{}, err
	}
	if !Intersects(audience, e.Audiences) {
		return Dates{}, claimError("aud", "expected one of %s but got %s", List(e.Audiences), List(audience))
	}
	for _, name := range e.Required {
		if !claims.Has(name) {
			return Dates{}, claimError(name, "is missing and the issuer's required_claims name it")
		}
	}
	return checkDates(claims, e)
}

func (e Expect) checkIssuer(claims Claims) error {
	if e.AnyIssuer {
		return nil
	}
	issuer, err := claims.Text("iss")
	if err != nil {
		return err
	}
	if e.Issuer == "" || issuer != e.Issuer {
		return claimError("iss", "expected %q but got %q", e.Issuer, clip(issuer))
	}
	return nil
}

// Dates are the dates of a token; IssuedAt is zero if it has none.
type Dates struct{ IssuedAt, Expires time.Time }

func checkDates(claims Claims, e Expect) (Dates, error) {
	var d Dates
	var notBefore time.Time
	var err error
	for name, target := range map[string]*time.Time{"exp": &d.Expires, "iat": &d.IssuedAt, "nbf": &notBefore} {
		if *target, err = claims.Date(name); err != nil {
			return Dates{}, err
		}
	}
	ahead := e.Now.Add(e.Leeway)
	switch {
	case !claims.Has("exp"):
		return Dates{}, claimError("exp", "is missing: a token that never expires is not accepted")
	case !e.Now.Before(d.Expires):
		return Dates{}, claimError("exp", "expired at %s", stamp(d.Expires))
	case notBefore.After(ahead):
		return Dates{}, claimError("nbf", "not valid before %s", stamp(notBefore))
	case d.IssuedAt.After(ahead):
		return Dates{}, claimError("iat", "issued in the future, at %s", stamp(d.IssuedAt))
	case e.MaxAge > 0 && !claims.Has("iat"):
		return Dates{}, claimError("iat", "is missing and the issuer's max_token_age needs it")
	case e.MaxAge > 0 && d.Expires.Sub(d.IssuedAt) > e.MaxAge:
		return Dates{}, denial.New(denial.InvalidRequest, denial.Subject, "max_token_age",
			"issued to live %s: the issuer's max_token_age is %s", d.Expires.Sub(d.IssuedAt), e.MaxAge)
	}
	return d, nil
}

// Intersects tells whether a and b share a string.
func Intersects(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// List prints strings for an error message, each quoted and clipped, at most
// five of them.
func List(items []string) string {
	const limit = 5
	quoted := make([]string, 0, limit)
	for i, item := range items {
		if i == limit {
			quoted = append(quoted, fmt.Sprintf("… (%d in all)", len(items)))
			break
		}
		quoted = append(quoted, fmt.Sprintf("%q", clip(item)))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
