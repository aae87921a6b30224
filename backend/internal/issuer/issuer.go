package issuer

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Issuer verifies the tokens of one trusted issuer.
type Issuer struct {
	*Config
	inline keySet
	remote *remote // nil if the keys are inline
}

// Options are what an issuer needs from outside.
type Options struct {
	Now func() time.Time
	// OnFetch is told of every fetch of the issuer's keys.
	OnFetch func(name string, f Fetch)
}

// Fetch is how one fetch of an issuer's keys ended.
type Fetch struct {
	Err error
	// Turned tells that the one before ended otherwise: an outage begins or ends.
	Turned bool
}

// New makes an issuer from a valid configuration. It makes no request.
func New(c *Config, o Options) (*Issuer, error) {
	i := &Issuer{Config: c}
	var err error
	if c.DiscoveryURL == "" && c.JWKSURL == "" {
		i.inline, err = c.inlineKeys()
		return i, err
	}
	i.remote = &remote{now: o.Now, onFetch: func(f Fetch) { o.OnFetch(c.Name, f) }}
	i.remote.fetcher, err = newFetcher(c)
	return i, err
}

// Adopt takes over the keys that an earlier form of the issuer has fetched, if
// they come from the same place: a change of configuration does not forget them.
func (i *Issuer) Adopt(old *Issuer) {
	if i.remote == nil || old == nil || old.remote == nil {
		return
	}
	a, b := i.Config, old.Config
	if a.Name == b.Name && a.BoundIssuer == b.BoundIssuer && a.DiscoveryURL == b.DiscoveryURL && a.JWKSURL == b.JWKSURL &&
		a.CAPEM == b.CAPEM && slices.Equal(a.AllowedAddresses, b.AllowedAddresses) {
		i.remote = old.remote
	}
}

// Verify checks a token with the keys of this issuer alone, and returns its
// claims and dates.
func (i *Issuer) Verify(ctx context.Context, u *token.Unverified, now time.Time, leeway time.Duration) (token.Claims, token.Dates, error) {
	if !slices.Contains(i.AllowedAlgorithms, string(u.Header.Algorithm)) {
		return nil, token.Dates{}, refuse("alg", "header \"alg\" %q is not among the allowed_algorithms of the issuer %q", u.Header.Algorithm, i.Name)
	}
	claims, err := i.verifySignature(ctx, u)
	if err != nil {
		return nil, token.Dates{}, err
	}
	dates, err := u.Validate(claims, token.Expect{
		Issuer: i.BoundIssuer, Audiences: i.BoundAudiences, Types: token.ForeignTypes(),
		Now: now, Leeway: leeway, MaxAge: i.MaxTokenAge, Required: i.RequiredClaims,
	})
	if err != nil {
		return nil, token.Dates{}, err
	}
	return claims, dates, nil
}

func (i *Issuer) verifySignature(ctx context.Context, u *token.Unverified) (token.Claims, error) {
	candidates := i.inline.candidates(u.Header)
	if i.remote != nil {
		var err error
		if candidates, err = i.remote.candidates(ctx, u.Header); err != nil {
			return nil, denial.New(denial.TemporarilyUnavailable, denial.Subject, "issuer_keys",
				"the keys of the issuer %q cannot be had now: see issuers/%s/status", i.Name, i.Name).Because(err)
		}
	}
	var err error = refuse("kid", "the issuer %q has no key that fits the header \"alg\" and \"kid\"", i.Name)
	for _, key := range candidates {
		var claims token.Claims
		if claims, err = u.Verify(key.Key); err == nil {
			return claims, nil
		}
	}
	return nil, err
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

// Status tells which keys are held and how the last fetch went.
func (i *Issuer) Status() Status {
	if i.remote == nil {
		return Status{KeyIDs: i.inline.ids()}
	}
	return i.remote.status()
}

// Refresh fetches the keys now; it does nothing if they are inline.
func (i *Issuer) Refresh(ctx context.Context) error {
	if i.remote == nil {
		return nil
	}
	return i.remote.refresh(ctx)
}

func refuse(rule, format string, args ...any) *denial.Error {
	return denial.New(denial.InvalidRequest, denial.Subject, rule, format, args...)
}
