package issuer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// maxUnderWay is how many requests about tokens one issuer gets at one time.
const maxUnderWay = 16

// introspection asks an issuer about tokens that only it can read (RFC 7662). It
// asks about one token once at a time.
type introspection struct {
	config  *Config // the secret is read where it is sent, and held nowhere else
	client  *http.Client
	timeout time.Duration // of one request, with the wait for its turn
	now     func() time.Time
	onFetch func(Fetch)
	flight  singleflight.Group
	slots   *semaphore.Weighted
	answers *answers

	mu        sync.Mutex
	answered  time.Time
	attempted time.Time
	err       error
}

func newIntrospection(c *Config, now func() time.Time, onFetch func(Fetch)) (*introspection, error) {
	n := &introspection{
		config: c, timeout: fetchTimeout, now: now, onFetch: onFetch, slots: semaphore.NewWeighted(maxUnderWay),
	}
	// Credentials and token go to the URL that the operator wrote and nowhere else.
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	var err error
	if n.client, err = newClient(c, noRedirect); err != nil {
		return nil, err
	}
	n.answers, err = newAnswers(now)
	return n, err
}

// Introspects tells whether the issuer is asked about its tokens.
func (i *Issuer) Introspects() bool { return i.introspection != nil }

// Introspect asks the issuer about a token, and returns the claims and dates that
// it states. An answer is used again for a moment.
func (i *Issuer) Introspect(ctx context.Context, raw token.Secret, c Check) (token.Claims, token.Dates, error) {
	if !i.Introspects() {
		return nil, token.Dates{}, refuse("introspection_url", "the issuer %q is not asked about tokens: it has no introspection_url", i.Name)
	}
	if err := checkOpaque(raw); err != nil {
		return nil, token.Dates{}, err
	}
	claims, err := i.introspection.ask(ctx, raw, c.Offline)
	switch {
	case errors.Is(err, errOffline):
		return nil, token.Dates{}, i.unavailable("introspection", "what the issuer %q says of the token is not held, and nobody is asked offline", i.Name)
	case err != nil:
		return nil, token.Dates{}, i.unavailable("introspection", "the issuer %q cannot be asked about the token now", i.Name).Because(err)
	case claims == nil:
		return nil, token.Dates{}, refuse("active", "the token is not active")
	}
	dates, err := i.CheckClaims(claims, c)
	if err != nil {
		return nil, token.Dates{}, err
	}
	return claims, dates, nil
}

// checkOpaque checks what can be checked of a token that cannot be read.
func checkOpaque(raw token.Secret) error {
	text := raw.Reveal()
	switch {
	case text == "":
		return refuse("form", "the token is empty")
	case len(text) > token.MaxBytes:
		return refuse("size", "the token is %d bytes long: the limit is %d", len(text), token.MaxBytes)
	case !isPrintable(text):
		return refuse("form", "the token has a character other than printable ASCII")
	}
	return nil
}

var errOffline = errors.New("not held")

// ask returns the claims of an active token; none if it is not active.
func (n *introspection) ask(ctx context.Context, raw token.Secret, offline bool) (token.Claims, error) {
	key := digest(sha256.Sum256([]byte(raw.Reveal())))
	if claims := n.answers.get(key); claims != nil {
		return claims, nil
	}
	if offline {
		return nil, errOffline
	}
	done := n.flight.DoChan(string(key[:]), func() (_ any, err error) {
		// A panic in this goroutine would end the process, and with it every
		// mount that it serves.
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic while introspecting: %T", p)
				n.mu.Lock()
				n.err = err
				n.mu.Unlock()
			}
		}()
		// It does not end with the request that began it: others wait for it too.
		return n.fetch(context.WithoutCancel(ctx), key, raw)
	})
	select {
	case result := <-done:
		claims, _ := result.Val.(token.Claims)
		return maps.Clone(claims), result.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fetch asks the issuer when it is this token's turn.
func (n *introspection) fetch(ctx context.Context, key digest, raw token.Secret) (token.Claims, error) {
	if claims := n.answers.get(key); claims != nil {
		return claims, nil // it came while this request was on its way here
	}
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	if err := n.slots.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("%d requests are under way: %w", maxUnderWay, err)
	}
	defer n.slots.Release(1)

	n.mu.Lock()
	n.attempted = n.now()
	n.mu.Unlock()
	body, err := n.post(ctx, raw)
	if refusesToken(err) {
		n.ended(nil)
		return nil, nil
	}
	var claims token.Claims
	if err == nil {
		claims, err = parseAnswer(body)
	}
	n.ended(err)
	if claims != nil {
		n.answers.put(key, claims)
	}
	return claims, err
}

func (n *introspection) ended(err error) {
	n.mu.Lock()
	turned := (n.err == nil) != (err == nil)
	n.err = err
	if err == nil {
		n.answered = n.now()
	}
	n.mu.Unlock()
	n.onFetch(Fetch{Err: err, Turned: turned, Introspection: true})
}

// refusesToken tells whether the issuer refuses to speak of a token, of a kind that
// it does not introspect for instance, rather than to speak with us. Whoever sends
// such tokens does not make the issuer look down.
func refusesToken(err error) bool {
	status, ok := errors.AsType[*statusError](err)
	return ok && status.status == http.StatusBadRequest && !status.refusesUs()
}

// refusesUs tells whether the credentials are wrong, which some say with 400.
func (e *statusError) refusesUs() bool {
	return e.status == http.StatusUnauthorized || e.code == "invalid_client" || e.code == "unauthorized_client"
}

// post makes the request (RFC 7662 §2.1).
func (n *introspection) post(ctx context.Context, raw token.Secret) ([]byte, error) {
	form := url.Values{"token": {raw.Reveal()}, "token_type_hint": {"access_token"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, n.config.IntrospectionURL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	// RFC 6749 §2.3.1 encodes both before HTTP does.
	request.SetBasicAuth(url.QueryEscape(n.config.IntrospectionClientID), url.QueryEscape(n.config.IntrospectionClientSecret.Reveal()))
	body, err := answerTo(n.client, request)
	if status, ok := errors.AsType[*statusError](err); ok && status.refusesUs() {
		return nil, fmt.Errorf("%w: it refuses introspection_client_id and introspection_client_secret", err)
	}
	return body, err
}

// parseAnswer returns the claims of an active token; none if the issuer does not
// say in so many words that it is active.
func parseAnswer(body []byte) (token.Claims, error) {
	if len(body) > token.MaxBytes {
		return nil, fmt.Errorf("answer: %d bytes are more than a token may have: the limit is %d", len(body), token.MaxBytes)
	}
	claims, err := token.ParseClaims(body)
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	if active, _ := claims["active"].(bool); !active {
		return nil, nil
	}
	delete(claims, "active") // it is about the token, and no claim of it
	return claims, nil
}

// checkTold refuses a token that is bound to a key of which the issuer does not
// tell (RFC 9449 §6.2): it would be taken for one that is not bound.
func checkTold(claims token.Claims) error {
	if kind, _ := claims["token_type"].(string); strings.EqualFold(kind, "DPoP") && !claims.Has("cnf") {
		return refuse("cnf", `"cnf" claim is missing, and "token_type" is DPoP: the token is bound to a key, and the issuer does not tell which`)
	}
	return nil
}

func (n *introspection) status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	return Status{KeyIDs: []string{}, Fetched: n.answered, Attempted: n.attempted, Err: n.err}
}
