package issuer_test

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
)

// serverCertificate is that of every httptest TLS server.
var serverCertificate = sync.OnceValue(func() []byte {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	return server.Certificate().Raw
})

func testCA() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: serverCertificate()}))
}

// testCertificate is the same as it stands in "x5c".
func testCertificate() string { return base64.StdEncoding.EncodeToString(serverCertificate()) }

func TestFetch(t *testing.T) {
	for name, edit := range map[string]func(*idp, *issuer.Config){
		"discovery":                      func(*idp, *issuer.Config) {},
		"discovery with a slash":         func(p *idp, c *issuer.Config) { c.DiscoveryURL = p.URL + "/" },
		"jwks_url":                       func(p *idp, c *issuer.Config) { c.DiscoveryURL, c.JWKSURL = "", p.URL+keysPath },
		"three redirects":                func(p *idp, _ *issuer.Config) { redirectTimes(p, 3) },
		"one loopback address is listed": func(_ *idp, c *issuer.Config) { c.AllowedAddresses = []string{"127.0.0.1/32"} },
	} {
		t.Run(name, func(t *testing.T) {
			key := newKey("k1")
			p := newIDP(t, key)
			r := newRemote(t, p, func(c *issuer.Config) { edit(p, c) })
			r.mustVerify(t, key)
			r.mustVerify(t, key)
			p.wantFetches(t, 1)
			s := r.Status()
			if s.Err != nil || len(s.KeyIDs) != 1 || !s.Fetched.Equal(r.Now()) || !s.Next.Equal(r.Now().Add(issuer.RefreshAfter)) {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// redirectTimes makes the keys come after n redirects.
func redirectTimes(p *idp, n int) {
	p.handle(keysPath, func(w http.ResponseWriter, r *http.Request) {
		if hops := len(r.URL.RawQuery); hops < n {
			http.Redirect(w, r, keysPath+"?"+strings.Repeat("x", hops+1), http.StatusFound)
			return
		}
		_, _ = w.Write([]byte(jwks(p.keys...)))
	})
}

func redirectTo(url string) http.HandlerFunc {
	return http.RedirectHandler(url, http.StatusFound).ServeHTTP
}

func answer(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
}

func document(issuer, jwksURI string) http.HandlerFunc {
	return answer(fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, issuer, jwksURI))
}

const only = "127.0.0.1/32"

func TestFetchRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		edit  func(*idp, *issuer.Config)
		cause string // IDP stands for the server's URL
	}{
		{
			"the document is another issuer's", func(p *idp, _ *issuer.Config) {
				p.handle(discoveryPath, document("https://other.example", p.URL+keysPath))
			},
			`discovery: the document says issuer "https://other.example", and bound_issuer is "https://idp.example"`,
		},
		{
			"the document's issuer has a slash more", func(p *idp, _ *issuer.Config) { p.handle(discoveryPath, document(iss+"/", p.URL+keysPath)) },
			`discovery: the document says issuer "https://idp.example/", and bound_issuer is "https://idp.example"`,
		},
		{
			"the document is no JSON", func(p *idp, _ *issuer.Config) { p.handle(discoveryPath, answer("<html>")) },
			`discovery: not a JSON object`,
		},
		{
			"jwks_uri plain http", func(p *idp, _ *issuer.Config) { p.handle(discoveryPath, document(iss, "http://idp.example/keys")) },
			`discovery: jwks_uri "http://idp.example/keys" ` + notHTTPS,
		},
		{
			"jwks_uri missing", func(p *idp, _ *issuer.Config) { p.handle(discoveryPath, answer(`{"issuer":"https://idp.example"}`)) },
			`discovery: jwks_uri "" is not an absolute https URL`,
		},
		{
			"jwks_uri a file", func(p *idp, _ *issuer.Config) { p.handle(discoveryPath, document(iss, "file:///etc/passwd")) },
			`discovery: jwks_uri "file:///etc/passwd" is not an absolute https URL`,
		},
		{
			"JW-8 jwks_uri at a loopback address not listed", func(p *idp, c *issuer.Config) {
				c.AllowedAddresses = []string{only}
				p.handle(discoveryPath, document(iss, "https://127.0.0.2/keys"))
			},
			`JWKS: Get "https://127.0.0.2/keys": dial tcp 127.0.0.2:443: address 127.0.0.2 of 127.0.0.2 is not public: list it in allowed_addresses`,
		},
		{
			"JW-8 loopback by default", func(_ *idp, c *issuer.Config) { c.AllowedAddresses = nil },
			`discovery: Get "IDP/.well-known/openid-configuration": dial tcp HOST: address 127.0.0.1 of 127.0.0.1 is not public: list it in allowed_addresses`,
		},
		{
			"JW-8 redirected to a loopback address not listed", func(p *idp, c *issuer.Config) {
				c.AllowedAddresses = []string{only}
				p.handle(keysPath, redirectTo("http://127.0.0.2:8200/keys"))
			},
			`JWKS: Get "http://127.0.0.2:8200/keys": dial tcp 127.0.0.2:8200: address 127.0.0.2 of 127.0.0.2 is not public: list it in allowed_addresses`,
		},
		{
			"JW-8 redirected to a cloud's metadata", func(p *idp, _ *issuer.Config) { p.handle(keysPath, redirectTo("https://169.254.169.254/keys")) },
			`JWKS: Get "https://169.254.169.254/keys": dial tcp 169.254.169.254:443: address 169.254.169.254 of 169.254.169.254 is not public: list it in allowed_addresses`,
		},
		{
			"JW-8 redirected to a private address of another host", func(p *idp, _ *issuer.Config) { p.handle(keysPath, redirectTo("https://10.0.0.1/keys")) },
			`JWKS: Get "https://10.0.0.1/keys": dial tcp 10.0.0.1:443: address 10.0.0.1 of 10.0.0.1 is private, and 10.0.0.1 is not the configured host: list it in allowed_addresses`,
		},
		{
			"JW-8 redirected to plain http", func(p *idp, _ *issuer.Config) { p.handle(keysPath, redirectTo("http://idp.example/keys")) },
			`JWKS: Get "http://idp.example/keys": redirected to a URL that is not https`,
		},
		{
			"JW-8 four redirects", func(p *idp, _ *issuer.Config) { redirectTimes(p, 4) },
			`JWKS: Get "/keys?xxxx": more than 3 redirects`,
		},
		{
			"JW-23 one byte too many", func(p *idp, _ *issuer.Config) { p.handle(keysPath, answer(strings.Repeat(" ", 1<<20+1))) },
			`JWKS: IDP/keys answered more than 1048576 bytes`,
		},
		{
			"a body that ends early", func(p *idp, _ *issuer.Config) {
				p.handle(keysPath, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Length", "1000")
					_, _ = w.Write([]byte(jwks(p.keys...)))
				})
			},
			`JWKS: unexpected EOF`,
		},
		{"status 503", func(p *idp, _ *issuer.Config) { p.handle(keysPath, unavailable) }, `JWKS: IDP/keys answered status 503`},
		{
			"status 201 with good keys", func(p *idp, _ *issuer.Config) {
				p.handle(keysPath, func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(http.StatusCreated)
					_, _ = w.Write([]byte(jwks(p.keys...)))
				})
			},
			`JWKS: IDP/keys answered status 201`,
		},
		{"keys that are no JSON", func(p *idp, _ *issuer.Config) { p.handle(keysPath, answer("<html>")) }, `JWKS: not a JSON Web Key Set`},
		{"no key", func(p *idp, _ *issuer.Config) { p.publish() }, `JWKS: has no "keys": want a JSON Web Key Set, {"keys": [KEY, …]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := newKey("k1")
			p := newIDP(t, key)
			r := newRemote(t, p, func(config *issuer.Config) { c.edit(p, config) })
			cause := strings.NewReplacer("IDP", p.URL, "HOST", strings.TrimPrefix(p.URL, "http://")).Replace(c.cause)
			wantOutage(t, r.verify(key), cause)
			if s := r.Status(); s.Err == nil || s.Err.Error() != cause || len(s.KeyIDs) != 0 || !s.Next.Equal(r.Now().Add(issuer.MinInterval)) {
				t.Errorf("status %+v", s)
			}
		})
	}
}

func TestCAPEM(t *testing.T) {
	key := newKey("k1")
	p := newIDP(t, key)
	p.Server = httptest.NewUnstartedServer(p)
	p.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that fails
	p.StartTLS()
	t.Cleanup(p.Close)

	r := newRemote(t, p, func(c *issuer.Config) { c.CAPEM = testCA() })
	r.mustVerify(t, key)

	r = newRemote(t, p, nil)
	wantOutage(t, r.verify(key), fmt.Sprintf(
		`discovery: Get "%s/.well-known/openid-configuration": tls: failed to verify certificate: x509: certificate signed by unknown authority`, p.URL))
}

// JW-7: whoever makes up key ids causes one fetch an interval.
func TestUnknownKeyIDs(t *testing.T) {
	key := newKey("k1")
	p := newIDP(t, key)
	r := newRemote(t, p, nil)
	flood := func(n int) {
		t.Helper()
		for i := range n {
			attacker := newKey(fmt.Sprintf("random-%d", i))
			wantDenied(t, r.verify(attacker), denial.InvalidRequest, "kid", noFittingKey)
		}
	}
	flood(1000)
	p.wantFetches(t, 1)
	r.mustVerify(t, key)
	r.advance(issuer.MinInterval - time.Nanosecond)
	flood(100)
	p.wantFetches(t, 1)
	r.advance(time.Nanosecond)
	flood(100)
	p.wantFetches(t, 2)
	r.mustVerify(t, key)
}

// A flood while the issuer is down is no way around the interval either.
func TestUnknownKeyIDsWhileDown(t *testing.T) {
	p := newIDP(t)
	p.handle(keysPath, unavailable)
	r := newRemote(t, p, nil)
	cause := fmt.Sprintf("JWKS: %s/keys answered status 503", p.URL)
	for range 100 {
		wantOutage(t, r.verify(newKey("k1")), cause)
	}
	p.wantFetches(t, 1)
}

func TestRotationIsPickedUp(t *testing.T) {
	before, after := newKey("k1"), newKey("k2")
	p := newIDP(t, before)
	r := newRemote(t, p, nil)
	r.mustVerify(t, before)
	p.publish(after)
	wantDenied(t, r.verify(after), denial.InvalidRequest, "kid", noFittingKey)
	r.advance(issuer.MinInterval)
	r.mustVerify(t, after)
	wantDenied(t, r.verify(before), denial.InvalidRequest, "kid", noFittingKey)
	p.wantFetches(t, 2)
}

// Aging keys are used again only after asking for newer ones: a key that the
// issuer has withdrawn is not good while the issuer can be reached.
func TestAgingKeysAreRefreshedBeforeUse(t *testing.T) {
	key := newKey("k1")
	p := newIDP(t, key)
	r := newRemote(t, p, nil)
	r.mustVerify(t, key)
	r.advance(issuer.RefreshAfter - time.Nanosecond)
	r.mustVerify(t, key)
	p.wantFetches(t, 1)
	r.advance(time.Nanosecond)
	r.mustVerify(t, key)
	p.wantFetches(t, 2)
	p.publish(newKey("k2"))
	r.advance(issuer.RefreshAfter)
	wantDenied(t, r.verify(key), denial.InvalidRequest, "kid", noFittingKey)
}

// JW-23: the last good keys serve while the issuer is down, up to a bound.
func TestOutage(t *testing.T) {
	key := newKey("k1")
	p := newIDP(t, key)
	r := newRemote(t, p, nil)
	r.mustVerify(t, key)
	if f := <-r.fetched; f != (issuer.Fetch{}) {
		t.Fatalf("the first fetch ended with %+v", f)
	}
	fetched := r.Now()
	cause := fmt.Sprintf("JWKS: %s/keys answered status 503", p.URL)
	p.handle(keysPath, unavailable)
	for i, age := range []time.Duration{issuer.RefreshAfter, time.Hour, issuer.MaxStale - time.Nanosecond} {
		r.advance(fetched.Add(age).Sub(r.Now()))
		r.mustVerify(t, key)
		if f := <-r.fetched; f.Err == nil || f.Err.Error() != cause || f.Turned != (i == 0) {
			t.Fatalf("at age %s: the refresh ended with %+v", age, f)
		}
	}
	if s := r.Status(); len(s.KeyIDs) != 1 || !s.Fetched.Equal(fetched) || s.Err == nil {
		t.Errorf("status %+v", s)
	}
	r.advance(time.Nanosecond) // too early to ask again
	wantOutage(t, r.verify(key), cause)
	p.wantFetches(t, 4)
	r.advance(issuer.MinInterval)
	wantOutage(t, r.verify(key), cause)
	p.wantFetches(t, 5)
	if f := <-r.fetched; f.Turned {
		t.Errorf("in an outage the fetch ended with %+v", f)
	}

	p.handle(keysPath, nil)
	r.advance(issuer.MinInterval)
	r.mustVerify(t, key)
	if f := <-r.fetched; f != (issuer.Fetch{Turned: true}) {
		t.Errorf("the end of the outage was told as %+v", f)
	}
}

func TestDownAtFirst(t *testing.T) {
	key := newKey("k1")
	p := newIDP(t, key)
	p.handle(discoveryPath, unavailable)
	r := newRemote(t, p, nil)
	cause := fmt.Sprintf("discovery: %s/.well-known/openid-configuration answered status 503", p.URL)
	wantOutage(t, r.verify(key), cause)
	p.handle(discoveryPath, nil)
	wantOutage(t, r.verify(key), cause) // too early to ask again
	p.wantFetches(t, 0)
	r.advance(issuer.MinInterval)
	r.mustVerify(t, key)
}

func TestRefresh(t *testing.T) {
	key := newKey("k1")
	p := newIDP(t, key)
	r := newRemote(t, p, nil)
	for range 2 { // whenever the operator asks
		if err := r.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p.wantFetches(t, 2)
	if err := trusted(t, jwks(key), nil).Refresh(t.Context()); err != nil {
		t.Errorf("inline keys: %s", err)
	}
}

// hold makes the keys come only when release is called; arrived tells of each
// request for them.
func hold(p *idp) (arrived <-chan struct{}, release func()) {
	a, gate := make(chan struct{}, 100), make(chan struct{})
	p.handle(keysPath, func(w http.ResponseWriter, _ *http.Request) {
		a <- struct{}{}
		<-gate
		_, _ = w.Write([]byte(jwks(p.keys...)))
	})
	return a, sync.OnceFunc(func() { close(gate) })
}

func TestConcurrentRequestsShareOneFetch(t *testing.T) {
	key := newKey("k1")
	p := newIDP(t, key)
	r := newRemote(t, p, nil)
	arrived, release := hold(p)
	defer release()
	results := make(chan error, 20)
	start := make(chan struct{})
	for range cap(results) {
		go func() { <-start; results <- r.verify(key) }()
	}
	close(start)
	<-arrived
	release()
	for range cap(results) {
		if err := <-results; err != nil {
			t.Errorf("%v, because %v", err, errors.Unwrap(err))
		}
	}
	p.wantFetches(t, 1)
}

// A request that comes while the keys are on their way waits for them. Its
// context has ended already, so that it shows at once that it waits.
func TestRequestWaitsForTheFirstFetch(t *testing.T) {
	key := newKey("k1")
	p := newIDP(t, key)
	r := newRemote(t, p, nil)
	arrived, release := hold(p)
	defer release()
	first := make(chan error, 1)
	go func() { first <- r.verify(key) }()
	<-arrived
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	wantOutage(t, r.verifyContext(ended, key), "context canceled")
	release()
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// Aging keys serve when the issuer does not answer in time: the request does not
// wait for the end of the fetch.
func TestAgingKeysServeWhileTheIssuerIsSlow(t *testing.T) {
	key := newKey("k1")
	p := newIDP(t, key)
	r := newRemote(t, p, nil)
	r.mustVerify(t, key)
	if err := (<-r.fetched).Err; err != nil {
		t.Fatal(err)
	}
	r.advance(issuer.RefreshAfter)
	arrived, release := hold(p)
	defer release()
	r.mustVerify(t, key)
	<-arrived
	select {
	case f := <-r.fetched:
		t.Errorf("the request waited until the fetch ended: %+v", f)
	default:
	}
	release()
	if err := (<-r.fetched).Err; err != nil {
		t.Error(err)
	}
}

// The same for a key that is new since the last fetch: the token is not wrong.
func TestRequestsWaitForARotatedKey(t *testing.T) {
	before, after := newKey("k1"), newKey("k2")
	p := newIDP(t, before)
	r := newRemote(t, p, nil)
	r.mustVerify(t, before)
	r.advance(issuer.MinInterval)
	p.publish(after)
	arrived, release := hold(p)
	defer release()
	results := make(chan error, 20)
	go func() { results <- r.verify(after) }()
	<-arrived
	var started sync.WaitGroup
	for range cap(results) - 1 {
		started.Add(1)
		go func() { started.Done(); results <- r.verify(after) }()
	}
	started.Wait()
	release()
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	p.wantFetches(t, 2)
}

// A request that has seen a fetch under way, and comes when it has ended, takes
// what it brought.
func TestFetchThatHasJustEndedIsEnough(t *testing.T) {
	key := newKey("k1")
	p := newIDP(t, key)
	r := newRemote(t, p, nil)
	r.mustVerify(t, key)
	if err := r.RefreshIfDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.wantFetches(t, 1)
	r.advance(issuer.MinInterval)
	if err := r.RefreshIfDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.wantFetches(t, 2)
}

// The fetch goes on when the request that began it ends: others wait for it.
func TestFetchOutlivesItsRequest(t *testing.T) {
	key := newKey("k1")
	p := newIDP(t, key)
	r := newRemote(t, p, nil)
	arrived, release := hold(p)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- r.verifyContext(ctx, key) }()
	<-arrived
	cancel()
	wantOutage(t, <-result, "context canceled")
	release()
	if err := (<-r.fetched).Err; err != nil {
		t.Fatal(err)
	}
	r.mustVerify(t, key)
	p.wantFetches(t, 1)
}

// Offline nothing is fetched: the keys that are held decide.
func TestOffline(t *testing.T) {
	const notHeld = `subject: the keys of the issuer "idp" are not held, and nothing is fetched offline: see issuers/idp/status`
	before, after := newKey("k1"), newKey("k2")
	p := newIDP(t, before)
	r := newRemote(t, p, nil)
	offline := func(key jose.JSONWebKey) error {
		_, _, err := r.VerifyToken(t.Context(), sign(key, claimsAt(r.Now(), nil), nil), issuer.Check{Now: r.Now(), Offline: true})
		return err
	}
	wantDenied(t, offline(before), denial.TemporarilyUnavailable, "issuer_keys", notHeld)
	p.wantFetches(t, 0)
	r.mustVerify(t, before)
	p.publish(after)
	r.advance(issuer.MaxStale - time.Nanosecond)
	if err := offline(before); err != nil {
		t.Error(err)
	}
	wantDenied(t, offline(after), denial.InvalidRequest, "kid", noFittingKey)
	r.advance(time.Nanosecond)
	wantDenied(t, offline(before), denial.TemporarilyUnavailable, "issuer_keys", notHeld)
	p.wantFetches(t, 1)
	_, _, err := trusted(t, jwks(before), nil).VerifyToken(t.Context(), sign(before, goodToken(), nil), issuer.Check{Now: newClock().Now(), Offline: true})
	if err != nil {
		t.Errorf("inline keys: %s", err)
	}
}
