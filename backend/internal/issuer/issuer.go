package issuer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Issuer verifies the tokens of one trusted issuer. It has its keys from one
// place: inline, remote, or not at all, if it is asked about each token.
type Issuer struct {
	*Config
	inline        keySet
	remote        *remote
	introspection *introspection
}

// Options are what an issuer needs from outside.
type Options struct {
	Now func() time.Time
	// OnFetch is told of every request to the issuer.
	OnFetch func(name string, f Fetch)
}

// Fetch is how one request to an issuer ended.
type Fetch struct {
	Err error
	// Turned tells that the one before ended otherwise: an outage begins or ends.
	Turned bool
	// Introspection tells that the issuer was asked about a token, and not for
	// its keys.
	Introspection bool
}

// Check is what a token is checked with, beside the configuration of its issuer.
type Check struct {
	Now    time.Time
	Leeway time.Duration
	// Offline asks nobody: the keys and answers that are held decide.
	Offline bool
}

// New makes an issuer from a valid configuration. It makes no request.
func New(c *Config, o Options) (*Issuer, error) {
	c = c.normal()
	i := &Issuer{Config: c}
	onFetch := func(f Fetch) { o.OnFetch(c.Name, f) }
	var err error
	switch {
	case c.IntrospectionURL != "":
		i.introspection, err = newIntrospection(c, o.Now, onFetch)
	case c.remoteURL() != "":
		i.remote = &remote{now: o.Now, onFetch: onFetch}
		i.remote.fetcher, err = newFetcher(c)
	default:
		i.inline, err = c.inlineKeys()
	}
	return i, err
}

// Adopt takes over the keys that an earlier form of the issuer has fetched, and
// the answers that it got, if they come from the same place: a change of
// configuration does not forget them.
func (i *Issuer) Adopt(old *Issuer) {
	if old == nil || !i.sameOrigin(old.Config) {
		return
	}
	if i.remote != nil && old.remote != nil {
		i.remote = old.remote
	}
	if i.introspection != nil && old.introspection != nil {
		i.introspection = old.introspection
	}
}

// VerifyToken checks a token with the keys of this issuer alone, and returns its
// claims and dates.
func (i *Issuer) VerifyToken(ctx context.Context, u *token.Unverified, c Check) (token.Claims, token.Dates, error) {
	if i.Introspects() {
		return nil, token.Dates{}, refuse("introspection_url", "the issuer %q has no keys: it is asked about each token", i.Name)
	}
	if !slices.Contains(i.AllowedAlgorithms, string(u.Header.Algorithm)) {
		return nil, token.Dates{}, refuse("alg", "header \"alg\" %q is not among the allowed_algorithms of the issuer %q", u.Header.Algorithm, i.Name)
	}
	claims, err := i.verifySignature(ctx, u, c.Offline)
	if err != nil {
		return nil, token.Dates{}, err
	}
	if err := i.checkTokenType(u); err != nil {
		return nil, token.Dates{}, err
	}
	dates, err := i.CheckClaims(claims, c)
	if err != nil {
		return nil, token.Dates{}, err
	}
	return claims, dates, nil
}

func (i *Issuer) checkTokenType(u *token.Unverified) error {
	if i.Type == SPIFFE {
		return checkSVIDType(u.Header.Type)
	}
	return u.CheckType(token.ForeignTypes())
}

// CheckClaims checks everything that does not need the token itself: who issued
// the claims and for whom, dates, and required claims.
func (i *Issuer) CheckClaims(claims token.Claims, c Check) (token.Dates, error) {
	expect := token.Expect{
		Issuer: i.BoundIssuer, Audiences: i.BoundAudiences,
		Now: c.Now, Leeway: c.Leeway, MaxAge: i.MaxTokenAge, Required: i.RequiredClaims,
	}
	switch {
	case i.Type == SPIFFE:
		if err := i.checkSVIDSubject(claims); err != nil {
			return token.Dates{}, err
		}
		expect.AnyIssuer = true // the trust domain of "sub" has taken its place
	case i.Introspects():
		if _, err := claims.Required("sub"); err != nil {
			return token.Dates{}, err
		}
		if err := checkTold(claims); err != nil {
			return token.Dates{}, err
		}
		expect.AnyIssuer = !claims.Has("iss") // optional (RFC 7662 §2.2)
	}
	return expect.Check(claims)
}

func (i *Issuer) verifySignature(ctx context.Context, u *token.Unverified, offline bool) (token.Claims, error) {
	candidates, err := i.candidates(ctx, u.Header, offline)
	if err != nil {
		return nil, err
	}
	if len(candidates) == 0 {
		held := i.Status().KeyIDs
		return nil, refuse("kid", "the issuer %q has no key that fits the header \"alg\" and \"kid\"", i.Name).
			Because(fmt.Errorf("alg %q, kid %.64q; %d keys are held: %.64q", u.Header.Algorithm, u.Header.KeyID, len(held), held[:min(len(held), 10)]))
	}
	for _, key := range candidates {
		var claims token.Claims
		if claims, err = u.Verify(key.Key); err == nil {
			return claims, nil
		}
	}
	return nil, err
}

func (i *Issuer) candidates(ctx context.Context, h token.Header, offline bool) ([]publicKey, error) {
	if i.remote == nil {
		return i.inline.candidates(h), nil
	}
	get, problem := i.remote.candidates, "cannot be had now"
	if offline {
		get = func(_ context.Context, h token.Header) ([]publicKey, error) { return i.remote.held(h) }
		problem = "are not held, and nothing is fetched offline"
	}
	keys, err := get(ctx, h)
	if err != nil {
		return nil, i.unavailable("issuer_keys", "the keys of the issuer %q %s", i.Name, problem).Because(err)
	}
	return keys, nil
}

// unavailable is a refusal that is not the token's fault.
func (i *Issuer) unavailable(rule, format string, args ...any) *denial.Error {
	return denial.New(denial.TemporarilyUnavailable, denial.Subject, rule, format+": see issuers/%s/status", append(args, i.Name)...)
}

// Subject returns the subject under which a token of this issuer goes on:
// prefix and "sub". Others are the issuers of the mount, for an issuer with an
// empty prefix must not speak for them.
func (i *Issuer) Subject(claims token.Claims, others map[string]*Issuer) (string, error) {
	sub, err := claims.Required("sub")
	if err != nil {
		return "", err
	}
	if i.SubjectPrefix != "" {
		return i.SubjectPrefix + sub, nil
	}
	for _, prefix := range ReservedPrefixes {
		if strings.HasPrefix(sub, prefix) {
			return "", refuse("subject_prefix", "\"sub\" claim begins with the reserved prefix %q", prefix)
		}
	}
	for _, other := range others {
		if other.SubjectPrefix != "" && strings.HasPrefix(sub, other.SubjectPrefix) {
			return "", refuse("subject_prefix", "\"sub\" claim begins with the prefix of the issuer %q", other.Name)
		}
	}
	return sub, nil
}

// Status tells which keys are held and how the last request went.
func (i *Issuer) Status() Status {
	switch {
	case i.introspection != nil:
		return i.introspection.status()
	case i.remote != nil:
		return i.remote.status()
	}
	return Status{KeyIDs: i.inline.ids()}
}

// Refresh fetches the keys now; it does nothing if there are none to fetch.
func (i *Issuer) Refresh(ctx context.Context) error {
	if i.remote == nil {
		return nil
	}
	return i.remote.refresh(ctx)
}

func refuse(rule, format string, args ...any) *denial.Error {
	return denial.New(denial.InvalidRequest, denial.Subject, rule, format, args...)
}
