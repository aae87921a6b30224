package issuer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

const (
	clientID     = "vault:engine 1"
	clientSecret = "hunter2 %&+ü"
	opaqueToken  = "opaque+token/1=="
	introspect   = "/introspect"
)

// printable is the client secret as far as a credential may go.
var printable = strings.ReplaceAll(clientSecret, "ü", "~")

// opaque is an issuer that is asked about its tokens.
type opaque struct {
	*issuer.Issuer
	*clock
	server *httptest.Server
	asked  atomic.Int32
	told   chan issuer.Fetch

	mu      sync.Mutex
	handler http.HandlerFunc
}

// newOpaque makes an issuer that says of every token what it is told to; a nil
// handler says that it is active, and good.
func newOpaque(t testing.TB, handler http.HandlerFunc, edit func(*issuer.Config)) *opaque {
	t.Helper()
	o := &opaque{clock: newClock(), told: make(chan issuer.Fetch, 2000)}
	o.handle(handler)
	o.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.asked.Add(1)
		o.mu.Lock()
		handler := o.handler
		o.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(o.server.Close)
	c := issuer.NewConfig("idp")
	c.BoundIssuer, c.BoundAudiences, c.AllowedAddresses = iss, []string{audience}, []string{"127.0.0.0/8"}
	c.IntrospectionURL, c.IntrospectionClientID, c.IntrospectionClientSecret = o.server.URL+introspect, clientID, issuer.NewCredential(token.Secret(printable))
	if edit != nil {
		edit(c)
	}
	o.Issuer = o.rebuild(t, c)
	return o
}

func (o *opaque) rebuild(t testing.TB, c *issuer.Config) *issuer.Issuer {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return must(issuer.New(c, issuer.Options{Now: o.Now, OnFetch: func(_ string, f issuer.Fetch) { o.told <- f }}))
}

func (o *opaque) handle(h http.HandlerFunc) {
	if h == nil {
		h = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(o.good(nil))) }
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.handler = h
}

// good is the answer for a good token, with some members replaced; nil leaves
// one out.
func (o *opaque) good(replaced map[string]any) string {
	members := map[string]any{"active": true, "sub": "alice", "aud": audience, "exp": o.Now().Add(time.Hour).Unix(), "scope": "orders:read"}
	maps.Copy(members, replaced)
	maps.DeleteFunc(members, func(_ string, v any) bool { return v == nil })
	return string(must(json.Marshal(members)))
}

func (o *opaque) ask(raw string) error {
	_, _, err := o.Introspect(context.Background(), token.Secret(raw), issuer.Check{Now: o.Now()})
	return err
}

func (o *opaque) offline(raw string) error {
	_, _, err := o.Introspect(context.Background(), token.Secret(raw), issuer.Check{Now: o.Now(), Offline: true})
	return err
}

func (o *opaque) mustAsk(t testing.TB, raw string) {
	t.Helper()
	if err := o.ask(raw); err != nil {
		t.Fatalf("%v, because %v", err, errors.Unwrap(err))
	}
}

func (o *opaque) wantAsked(t testing.TB, want int32) {
	t.Helper()
	if got := o.asked.Load(); got != want {
		t.Errorf("the issuer was asked %d times, want %d", got, want)
	}
}

// wantNoAnswer checks that the issuer could not be asked, and why.
func wantNoAnswer(t testing.TB, err error, cause string) {
	t.Helper()
	wantDenied(t, err, denial.TemporarilyUnavailable, "introspection",
		`subject: the issuer "idp" cannot be asked about the token now: see issuers/idp/status`)
	if got := errors.Unwrap(err); got == nil || got.Error() != cause {
		t.Errorf("cause is %v\nwant %s", got, cause)
	}
}

// IN-1, and the encoding of the credentials (RFC 6749 §2.3.1).
func TestIntrospectionRequest(t *testing.T) {
	var got *http.Request
	o := newOpaque(t, nil, nil)
	o.handle(func(w http.ResponseWriter, r *http.Request) {
		got = r
		_ = r.ParseForm()
		_, _ = w.Write([]byte(o.good(map[string]any{"iss": iss})))
	})
	claims, dates, err := o.Introspect(t.Context(), opaqueToken, issuer.Check{Now: o.Now()})
	if err != nil {
		t.Fatal(err)
	}
	want := token.Claims{"sub": "alice", "aud": audience, "exp": claims["exp"], "scope": "orders:read", "iss": iss}
	if !maps.Equal(claims, want) || !dates.Expires.Equal(o.Now().Add(time.Hour)) {
		t.Errorf("got the claims %v and dates %v", claims, dates)
	}
	if got.Method != http.MethodPost || got.URL.String() != introspect || got.Header.Get("Accept") != "application/json" ||
		got.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("%s %s, Accept %q, Content-Type %q", got.Method, got.URL, got.Header.Get("Accept"), got.Header.Get("Content-Type"))
	}
	if form := got.PostForm.Encode(); form != (url.Values{"token": {opaqueToken}, "token_type_hint": {"access_token"}}).Encode() {
		t.Errorf("form %s", form)
	}
	user, password, _ := got.BasicAuth()
	if user != "vault%3Aengine+1" || must(url.QueryUnescape(password)) != printable {
		t.Errorf("client %q, and a secret of %d characters", user, len(password))
	}
	if s := o.Status(); s.Err != nil || !s.Fetched.Equal(o.Now()) || !s.Attempted.Equal(o.Now()) || len(s.KeyIDs) != 0 || !s.Next.IsZero() {
		t.Errorf("status %+v", s)
	}
	if f := <-o.told; f != (issuer.Fetch{Introspection: true}) {
		t.Errorf("OnFetch was told %+v", f)
	}
}

func TestIntrospectionAnswers(t *testing.T) {
	members := func(replaced map[string]any) func(*opaque) string {
		return func(o *opaque) string { return o.good(replaced) }
	}
	const inactive = `subject: the token is not active`
	const unknownKey = `subject: "cnf" claim is missing, and "token_type" is DPoP: the token is bound to a key, and the issuer does not tell which`
	now := newClock().Now().Unix()
	for _, c := range []struct {
		name, rule, text string // rule "" accepts
		answer           func(*opaque) string
	}{
		{"IN-4 active", "", "", members(nil)},
		{"IN-4 iss that is the issuer", "", "", members(map[string]any{"iss": iss})},
		{"IN-4 one of several audiences", "", "", members(map[string]any{"aud": []string{"x", audience}})},
		{"IN-3 inactive", "active", inactive, func(*opaque) string { return `{"active":false}` }},
		{"IN-3 inactive, with all the rest", "active", inactive, members(map[string]any{"active": false})},
		{"IN-4 active text", "active", inactive, members(map[string]any{"active": "true"})},
		{"IN-4 active a number", "active", inactive, members(map[string]any{"active": 1})},
		{"IN-4 active an object", "active", inactive, members(map[string]any{"active": map[string]any{"active": true}})},
		{"IN-4 active null", "active", inactive, func(*opaque) string { return `{"active":null}` }},
		{"IN-4 active missing", "active", inactive, members(map[string]any{"active": nil})},
		{"IN-4 active in another case", "active", inactive, members(map[string]any{"active": nil, "Active": true})},
		{"IN-4 no sub", "sub", `subject: "sub" claim is missing or empty`, members(map[string]any{"sub": nil})},
		{"IN-4 empty sub", "sub", `subject: "sub" claim is missing or empty`, members(map[string]any{"sub": ""})},
		{"IN-4 sub a number", "sub", `subject: "sub" claim must be a string`, members(map[string]any{"sub": 7})},
		{"JW-19 no exp", "exp", `subject: "exp" claim is missing: a token that never expires is not accepted`, members(map[string]any{"exp": nil})},
		{"JW-19 expired", "exp", `subject: "exp" claim expired at 2027-01-15T08:00:00Z`, members(map[string]any{"exp": now})},
		{"JW-18 exp text", "exp", `subject: "exp" claim must be a number of seconds since 1970`, members(map[string]any{"exp": "soon"})},
		{"JW-19 nbf", "nbf", `subject: "nbf" claim not valid before 2027-01-15T08:00:01Z`, members(map[string]any{"nbf": now + 1})},
		{"JW-19 iat", "iat", `subject: "iat" claim issued in the future, at 2027-01-15T08:00:01Z`, members(map[string]any{"iat": now + 1})},
		{"JW-6 no aud", "aud", `subject: "aud" claim expected one of ["https://vault.example"] but got []`, members(map[string]any{"aud": nil})},
		{
			"JW-6 another aud", "aud", `subject: "aud" claim expected one of ["https://vault.example"] but got ["https://api.example"]`,
			members(map[string]any{"aud": "https://api.example"}),
		},
		{
			"JW-22 another iss", "iss", `subject: "iss" claim expected "https://idp.example" but got "https://evil.example"`,
			members(map[string]any{"iss": "https://evil.example"}),
		},
		{"JW-22 empty iss", "iss", `subject: "iss" claim expected "https://idp.example" but got ""`, members(map[string]any{"iss": ""})},
		{"JW-22 iss null", "iss", `subject: "iss" claim must be a string`, func(o *opaque) string {
			return strings.Replace(o.good(nil), `{`, `{"iss":null,`, 1)
		}},
		{"IN-4 a bearer token", "", "", members(map[string]any{"token_type": "Bearer"})},
		{"IN-4 bound to a key that is told", "", "", members(map[string]any{"token_type": "DPoP", "cnf": map[string]any{"jkt": "x"}})},
		{"IN-4 bound to a key that is not told", "cnf", unknownKey, members(map[string]any{"token_type": "DPoP"})},
		{"IN-4 bound to a key that is not told, in another case", "cnf", unknownKey, members(map[string]any{"token_type": "dpop"})},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOpaque(t, nil, nil)
			o.handle(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(c.answer(o))) })
			claims, dates, err := o.Introspect(t.Context(), opaqueToken, issuer.Check{Now: o.Now()})
			if c.rule == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if claims != nil || dates != (token.Dates{}) {
				t.Error("got claims or dates beside the error")
			}
			wantDenied(t, err, denial.InvalidRequest, c.rule, c.text)
			if s := o.Status(); s.Err != nil {
				t.Errorf("the refusal is the issuer's failure: %s", s.Err)
			}
		})
	}
}

// The rest of the configuration counts as it does for a JWT.
func TestIntrospectionClaims(t *testing.T) {
	o := newOpaque(t, nil, func(c *issuer.Config) { c.RequiredClaims = []string{"client_id"} })
	wantDenied(t, o.ask(opaqueToken), denial.InvalidRequest, "client_id", `subject: "client_id" claim is missing and the issuer's required_claims name it`)
	o = newOpaque(t, nil, func(c *issuer.Config) { c.MaxTokenAge = time.Minute })
	wantDenied(t, o.ask(opaqueToken), denial.InvalidRequest, "iat", `subject: "iat" claim is missing and the issuer's max_token_age needs it`)
	o = newOpaque(t, nil, func(c *issuer.Config) { c.MaxTokenAge = time.Minute })
	o.handle(answer(o.good(map[string]any{"iat": o.Now().Unix()})))
	wantDenied(t, o.ask(opaqueToken), denial.InvalidRequest, "max_token_age", `subject: issued to live 1h0m0s: the issuer's max_token_age is 1m0s`)
	o = newOpaque(t, nil, func(c *issuer.Config) { c.RequiredClaims = []string{"active"} }) // it is no claim
	wantDenied(t, o.ask(opaqueToken), denial.InvalidRequest, "active", `subject: "active" claim is missing and the issuer's required_claims name it`)
}

func TestIntrospectionFails(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(`{"active":true,"sub":"alice","aud":"https://vault.example","exp":1900000000}`))
		}
	}
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		cause   string // URL stands for the endpoint
	}{
		{
			"IN-2 status 400 that refuses us", func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = w.Write([]byte(`{"error":"invalid_client"}`))
			}, `URL answered status 400: it refuses introspection_client_id and introspection_client_secret`,
		},
		{"IN-2 status 401", status(http.StatusUnauthorized), `URL answered status 401: it refuses introspection_client_id and introspection_client_secret`},
		{"status 500", status(http.StatusInternalServerError), `URL answered status 500`},
		{"status 201", status(http.StatusCreated), `URL answered status 201`},
		{"status 204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, `URL answered status 204`},
		{"JW-8 redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, `URL answered status 302`},
		{"JW-8 redirect that keeps the body", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, `URL answered status 307`},
		{"JW-23 one byte too many", answer(strings.Repeat(" ", 1<<20+1)), `URL answered more than 1048576 bytes`},
		{"no JSON", answer(`<html>`), `answer: malformed JSON: invalid character '<' looking for beginning of value`},
		{"nothing", answer(``), `answer: malformed JSON: EOF`},
		{"a list", answer(`[{"active":true}]`), `answer: not a JSON object`},
		{"JW-14 active twice", answer(`{"active":false,"active":true}`), `answer: member "active" stands twice, or with another case`},
		{"JW-14 active twice, with another case", answer(`{"active":true,"ACTIVE":false}`), `answer: member "ACTIVE" stands twice, or with another case`},
		{"JW-14 data after it", answer(`{"active":true}{}`), `answer: data after the JSON object`},
		{"JW-17 nested too deep", answer(`{"active":true,"x":` + strings.Repeat("[", 20)), `answer: nested deeper than 16 levels`},
		{"a body that ends early", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"active":true}`))
		}, `unexpected EOF`},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOpaque(t, c.handler, nil)
			cause := strings.ReplaceAll(c.cause, "URL", o.server.URL+introspect)
			err := o.ask(opaqueToken)
			wantNoAnswer(t, err, cause)
			o.wantAsked(t, 1)
			if s := o.Status(); s.Err == nil || s.Err.Error() != cause || !s.Fetched.IsZero() || !s.Attempted.Equal(o.Now()) {
				t.Errorf("status %+v", s)
			}
			if f := <-o.told; f.Err == nil || !f.Turned {
				t.Errorf("OnFetch was told %+v", f)
			}
			for ; err != nil; err = errors.Unwrap(err) {
				if strings.Contains(err.Error(), opaqueToken) || strings.Contains(err.Error(), printable) {
					t.Errorf("the error holds a secret: %s", err)
				}
			}
		})
	}
}

// A token of a kind that the issuer does not introspect is refused: it does not make
// the issuer look down.
func TestIssuerThatRefusesTheToken(t *testing.T) {
	o := newOpaque(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }, nil)
	wantDenied(t, o.ask(opaqueToken), denial.InvalidRequest, "active", "subject: the token is not active")
	if s := o.Status(); s.Err != nil {
		t.Errorf("status %+v", s)
	}
	if f := <-o.told; f.Err != nil {
		t.Errorf("OnFetch was told %+v", f)
	}
}

func TestIntrospectionObeysTheAddressPolicy(t *testing.T) {
	o := newOpaque(t, nil, func(c *issuer.Config) { c.AllowedAddresses = nil })
	wantNoAnswer(t, o.ask(opaqueToken), strings.NewReplacer("URL", o.server.URL, "HOST", strings.TrimPrefix(o.server.URL, "http://")).Replace(
		`Post "URL/introspect": dial tcp HOST: address 127.0.0.1 of 127.0.0.1 is not public: list it in allowed_addresses`))
	o.wantAsked(t, 0)
}

// What cannot be a token is not sent anywhere.
func TestIntrospectionOfNoToken(t *testing.T) {
	o := newOpaque(t, nil, nil)
	for _, c := range []struct{ raw, rule, text string }{
		{"", "form", `subject: the token is empty`},
		{strings.Repeat("a", token.MaxBytes+1), "size", `subject: the token is 16385 bytes long: the limit is 16384`},
		{"a\nb", "form", `subject: the token has a character other than printable ASCII`},
		{"a\u00a0b", "form", `subject: the token has a character other than printable ASCII`},
		{"a\xffb", "form", `subject: the token has a character other than printable ASCII`},
	} {
		wantDenied(t, o.ask(c.raw), denial.InvalidRequest, c.rule, c.text)
	}
	o.wantAsked(t, 0)
}

func TestAnswersAreUsedAgainForAMoment(t *testing.T) {
	o := newOpaque(t, nil, nil)
	o.mustAsk(t, opaqueToken)
	o.advance(issuer.AnswerAge - time.Nanosecond)
	o.mustAsk(t, opaqueToken)
	o.wantAsked(t, 1)
	o.mustAsk(t, opaqueToken+"=") // another token
	o.wantAsked(t, 2)
	o.advance(time.Nanosecond)
	o.handle(answer(`{"active":false}`))
	wantDenied(t, o.ask(opaqueToken), denial.InvalidRequest, "active", `subject: the token is not active`)
	o.wantAsked(t, 3)
}

// No answer outlives its token, nor is one used again that is no good news.
func TestAnswersThatAreNotUsedAgain(t *testing.T) {
	o := newOpaque(t, nil, nil)
	o.handle(answer(o.good(map[string]any{"exp": o.Now().Unix() + 5})))
	o.mustAsk(t, opaqueToken)
	o.advance(5*time.Second - time.Nanosecond)
	o.mustAsk(t, opaqueToken)
	o.wantAsked(t, 1)
	o.advance(time.Nanosecond)
	wantDenied(t, o.ask(opaqueToken), denial.InvalidRequest, "exp", `subject: "exp" claim expired at 2027-01-15T08:00:05Z`)
	o.wantAsked(t, 2)

	for name, handler := range map[string]http.HandlerFunc{
		"inactive": answer(`{"active":false}`), "failure": unavailable, "no exp": answer(o.good(map[string]any{"exp": nil})),
		"large": answer(o.good(map[string]any{"x": strings.Repeat("x", token.MaxBytes)})),
	} {
		o := newOpaque(t, handler, nil)
		_, _ = o.ask(opaqueToken), o.ask(opaqueToken)
		if got := o.asked.Load(); got != 2 {
			t.Errorf("%s: the issuer was asked %d times, want 2", name, got)
		}
	}
}

// The caller may do with the claims what it likes.
func TestAnswersAreCopies(t *testing.T) {
	o := newOpaque(t, nil, nil)
	for range 3 {
		claims, _, err := o.Introspect(t.Context(), opaqueToken, issuer.Check{Now: o.Now()})
		if err != nil || claims["sub"] != "alice" {
			t.Fatalf("got %v, %v", claims, err)
		}
		claims["sub"] = "mallory"
	}
	o.wantAsked(t, 1)
}

func TestAnswersHaveALimit(t *testing.T) {
	o := newOpaque(t, nil, nil)
	numbered := func(n int) string { return fmt.Sprintf("token-%d", n) }
	for n := range issuer.MaxAnswers + 1 {
		o.mustAsk(t, numbered(n))
	}
	o.mustAsk(t, numbered(issuer.MaxAnswers))
	o.mustAsk(t, numbered(1))
	o.wantAsked(t, issuer.MaxAnswers+1)
	o.mustAsk(t, numbered(0))
	o.wantAsked(t, issuer.MaxAnswers+2)
}

func TestIntrospectionOffline(t *testing.T) {
	const notHeld = `subject: what the issuer "idp" says of the token is not held, and nobody is asked offline: see issuers/idp/status`
	o := newOpaque(t, nil, nil)
	wantDenied(t, o.offline(opaqueToken), denial.TemporarilyUnavailable, "introspection", notHeld)
	o.wantAsked(t, 0)
	o.mustAsk(t, opaqueToken)
	if err := o.offline(opaqueToken); err != nil {
		t.Error(err)
	}
	o.advance(issuer.AnswerAge)
	wantDenied(t, o.offline(opaqueToken), denial.TemporarilyUnavailable, "introspection", notHeld)
	o.wantAsked(t, 1)
}

// holdAnswers makes answers come only when release is called.
func (o *opaque) holdAnswers() (arrived <-chan struct{}, release func()) {
	a, gate := make(chan struct{}, 100), make(chan struct{})
	o.handle(func(w http.ResponseWriter, _ *http.Request) {
		a <- struct{}{}
		<-gate
		_, _ = w.Write([]byte(o.good(nil)))
	})
	return a, sync.OnceFunc(func() { close(gate) })
}

// ended is a context that is over: whoever has to wait shows it at once.
func ended(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestOneTokenIsAskedAboutOnce(t *testing.T) {
	o := newOpaque(t, nil, nil)
	arrived, release := o.holdAnswers()
	defer release()
	first := make(chan error, 1)
	go func() { first <- o.ask(opaqueToken) }()
	<-arrived
	for range 20 {
		_, _, err := o.Introspect(ended(t), opaqueToken, issuer.Check{Now: o.Now()})
		wantNoAnswer(t, err, "context canceled")
	}
	release()
	if err := <-first; err != nil {
		t.Error(err)
	}
	if err := o.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.wantAsked(t, 1)
}

// The question goes on when the request that began it ends: others wait for it.
func TestQuestionOutlivesItsRequest(t *testing.T) {
	o := newOpaque(t, nil, nil)
	arrived, release := o.holdAnswers()
	defer release()
	_, _, err := o.Introspect(ended(t), opaqueToken, issuer.Check{Now: o.Now()})
	wantNoAnswer(t, err, "context canceled")
	<-arrived
	release()
	if f := <-o.told; f.Err != nil {
		t.Fatal(f.Err)
	}
	o.mustAsk(t, opaqueToken)
	o.wantAsked(t, 1)
}

func TestIntrospectionIsBounded(t *testing.T) {
	o := newOpaque(t, nil, nil)
	arrived, release := o.holdAnswers()
	defer release()
	results := make(chan error, issuer.MaxUnderWay+1)
	for n := range issuer.MaxUnderWay {
		if o.Full() {
			t.Fatalf("a request would wait for %d others", n)
		}
		go func() { results <- o.ask(fmt.Sprint(n)) }()
		<-arrived
	}
	if !o.Full() {
		t.Errorf("with %d requests under way another would not wait", issuer.MaxUnderWay)
	}
	go func() { results <- o.ask("one more") }()
	_, _, err := o.Introspect(ended(t), "another", issuer.Check{Now: o.Now()})
	wantNoAnswer(t, err, "context canceled")
	o.wantAsked(t, issuer.MaxUnderWay)
	release()
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func TestIntrospectionOfASlowIssuer(t *testing.T) {
	o := newOpaque(t, nil, nil)
	o.SetTimeout(time.Millisecond)
	_, release := o.holdAnswers()
	defer release()
	err := o.ask(opaqueToken)
	// Where in the request the time ends, and so the cause's text, is chance.
	if refusal := denial.From(err); refusal.Rule != "introspection" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, because %v", err, errors.Unwrap(err))
	}
}

// Waiting for one's turn is part of the time: here nobody gets one.
func TestIntrospectionThatGetsNoTurn(t *testing.T) {
	o := newOpaque(t, nil, nil)
	arrived, release := o.holdAnswers()
	defer release()
	for n := range issuer.MaxUnderWay {
		_, _, _ = o.Introspect(ended(t), token.Secret(fmt.Sprint(n)), issuer.Check{Now: o.Now()})
		<-arrived
	}
	o.SetTimeout(time.Millisecond)
	wantNoAnswer(t, o.ask("one more"), "16 requests are under way: context deadline exceeded")
	o.wantAsked(t, issuer.MaxUnderWay)
}

// A panic costs the one request.
func TestIntrospectionSurvivesAPanic(t *testing.T) {
	o := newOpaque(t, nil, nil)
	c := *o.Config
	made := must(issuer.New(&c, issuer.Options{Now: o.Now, OnFetch: func(string, issuer.Fetch) { panic(opaqueToken) }}))
	for range issuer.MaxUnderWay + 1 { // each gives its turn back
		_, _, err := made.Introspect(t.Context(), opaqueToken, issuer.Check{Now: o.Now()})
		wantNoAnswer(t, err, "panic while introspecting: string")
	}
	if s := made.Status(); s.Err == nil || s.Err.Error() != "panic while introspecting: string" {
		t.Errorf("status %+v", s)
	}
}

func TestIntrospectionOutageAndItsEnd(t *testing.T) {
	o := newOpaque(t, unavailable, nil)
	cause := o.server.URL + introspect + ` answered status 503`
	wantNoAnswer(t, o.ask(opaqueToken), cause)
	wantNoAnswer(t, o.ask(opaqueToken), cause) // the next token may be luckier: nobody waits
	o.handle(nil)
	o.mustAsk(t, opaqueToken)
	for n, turned := range []bool{true, false, true} {
		if f := <-o.told; f.Turned != turned || !f.Introspection {
			t.Errorf("question %d: OnFetch was told %+v", n+1, f)
		}
	}
}

// An answer belongs to the endpoint that gave it, and to the credentials.
func TestAdoptedAnswers(t *testing.T) {
	for _, c := range []struct {
		name  string
		edit  func(*issuer.Config)
		asked int32 // in the end
	}{
		{"nothing", func(*issuer.Config) {}, 1},
		{"what tokens must look like", func(c *issuer.Config) { c.MaxTokenAge, c.SubjectPrefix = 0, "p:" }, 1},
		{"name", func(c *issuer.Config) { c.Name = "other" }, 2},
		{"bound_issuer", func(c *issuer.Config) { c.BoundIssuer = "https://other.example" }, 2},
		{"introspection_url", func(c *issuer.Config) { c.IntrospectionURL += "/" }, 2},
		{"introspection_client_id", func(c *issuer.Config) { c.IntrospectionClientID += "x" }, 2},
		{"introspection_client_secret", func(c *issuer.Config) { c.IntrospectionClientSecret = issuer.NewCredential("x") }, 2},
		{"allowed_addresses", func(c *issuer.Config) { c.AllowedAddresses = []string{only} }, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOpaque(t, nil, nil)
			o.mustAsk(t, opaqueToken)
			changed := *o.Config
			c.edit(&changed)
			after := o.rebuild(t, &changed)
			after.Adopt(o.Issuer)
			if _, _, err := after.Introspect(t.Context(), opaqueToken, issuer.Check{Now: o.Now()}); err != nil {
				t.Fatal(err)
			}
			o.wantAsked(t, c.asked)
		})
	}
	// What is held is checked with the configuration of today.
	o := newOpaque(t, nil, nil)
	o.mustAsk(t, opaqueToken)
	changed := *o.Config
	changed.BoundAudiences = []string{"https://new.example"}
	after := o.rebuild(t, &changed)
	after.Adopt(o.Issuer)
	_, _, err := after.Introspect(t.Context(), opaqueToken, issuer.Check{Now: o.Now()})
	wantDenied(t, err, denial.InvalidRequest, "aud", `subject: "aud" claim expected one of ["https://new.example"] but got ["https://vault.example"]`)
	o.wantAsked(t, 1)
}

// Either way of verifying is the only one of its issuer.
func TestIntrospectionOrKeys(t *testing.T) {
	key := newKey("k1")
	o, withKeys := newOpaque(t, nil, nil), trusted(t, jwks(key), nil)
	if !o.Introspects() || withKeys.Introspects() {
		t.Error("Introspects is wrong")
	}
	_, _, err := o.VerifyToken(t.Context(), sign(key, goodToken(), nil), issuer.Check{Now: o.Now()})
	wantDenied(t, err, denial.InvalidRequest, "introspection_url", `subject: the issuer "idp" has no keys: it is asked about each token`)
	_, _, err = withKeys.Introspect(t.Context(), opaqueToken, issuer.Check{Now: o.Now()})
	wantDenied(t, err, denial.InvalidRequest, "introspection_url", `subject: the issuer "idp" is not asked about tokens: it has no introspection_url`)
	if err := o.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
	o.wantAsked(t, 0)
}

func TestIntrospectionConfiguration(t *testing.T) {
	const endpoint = "https://idp.example/introspect"
	for _, c := range []struct {
		name        string
		edit        func(*issuer.Config)
		field, text string
	}{
		{
			"another source", func(c *issuer.Config) { c.JWKSURL = "https://idp.example/keys" },
			"introspection_url", oneSource + `: got ["jwks_url", "introspection_url"]: empty all but one`,
		},
		{"http", func(c *issuer.Config) { c.IntrospectionURL = "http://idp.example" }, "introspection_url", `"http://idp.example" ` + notHTTPS},
		{"no client id", func(c *issuer.Config) { c.IntrospectionClientID = "" }, "introspection_client_id", `must be set with introspection_url`},
		{"no secret", func(c *issuer.Config) { c.IntrospectionClientSecret = issuer.NewCredential("") }, "introspection_client_secret", `must be set with introspection_url, and again when that changes`},
		{"client id without the URL", func(c *issuer.Config) { c.IntrospectionURL, c.JWKSURL = "", iss }, "introspection_client_id", `means nothing without introspection_url`},
		{
			"secret without the URL", func(c *issuer.Config) { c.IntrospectionURL, c.IntrospectionClientID, c.JWKSURL = "", "", iss },
			"introspection_client_secret", `means nothing without introspection_url`,
		},
		{
			"secret with a line break", func(c *issuer.Config) { c.IntrospectionClientSecret = issuer.NewCredential("hunter2\n") },
			"introspection_client_secret", `has a character other than printable ASCII, such as a line break at its end`,
		},
		{
			"client id with an umlaut", func(c *issuer.Config) { c.IntrospectionClientID = "ü" },
			"introspection_client_id", `has a character other than printable ASCII, such as a line break at its end`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := goodConfig()
			config.DiscoveryURL, config.IntrospectionURL = "", endpoint
			config.IntrospectionClientID, config.IntrospectionClientSecret = "vault", issuer.NewCredential("hunter2")
			if err := config.Validate(); err != nil {
				t.Fatal(err)
			}
			c.edit(config)
			wantDenied(t, config.Validate(), denial.InvalidRequest, c.field, c.field+": "+c.text)
		})
	}
}

// The secret is in the stored form, and in no other.
func TestClientSecretHasNoPrintableForm(t *testing.T) {
	o := newOpaque(t, nil, func(c *issuer.Config) { c.IntrospectionClientSecret = issuer.NewCredential("hunter2") })
	type holder struct {
		Exported issuer.Config
		pointer  *issuer.Config
		value    issuer.Config
	}
	for name, v := range map[string]any{
		"configuration": *o.Config, "credential": o.IntrospectionClientSecret, "pointer": o.Config, "field": holder{*o.Config, o.Config, *o.Config}, "list": []issuer.Config{*o.Config},
		"issuer": o.Issuer, "issuer as a value": *o.Issuer, "stored": issuer.Stored{Config: o.Config},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			wantNoSecret(t, name+" as "+verb, fmt.Sprintf(verb, v))
		}
		if name != "stored" {
			wantNoSecret(t, name+" as JSON", string(must(json.Marshal(v))))
		}
	}
	stored := must(json.Marshal(issuer.Stored{Config: o.Config}))
	var read issuer.Config
	if err := json.Unmarshal(stored, &read); err != nil {
		t.Fatal(err)
	}
	if read.IntrospectionClientSecret.Reveal() != "hunter2" || read.IntrospectionClientID != clientID || read.BoundIssuer != iss {
		t.Errorf("read %+v", read)
	}
}

func wantNoSecret(t testing.TB, what, printed string) {
	t.Helper()
	for _, secret := range []string{"hunter2", "68756e74657232", opaqueToken} {
		if strings.Contains(strings.ToLower(printed), secret) {
			t.Errorf("%s: %s", what, printed)
		}
	}
}
