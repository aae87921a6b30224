package exchange_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// authority is an issuer of opaque tokens, at a loopback address. Every token is
// active, and says what a good one of the world's issuer says.
type authority struct {
	*world
	mu    sync.Mutex
	shown []string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{world: newWorld(t)}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.issuerAt(func(c *issuer.Config) {
		c.IntrospectionURL, c.IntrospectionClientID, c.IntrospectionClientSecret = server.URL, "us", issuer.NewCredential("secret")
	})
	return a
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shown = append(a.shown, r.FormValue("token"))
	claims := a.idp.Claims(a.now, map[string]any{"active": true, "exp": a.now.Add(2 * time.Minute).Unix()})
	_ = json.NewEncoder(w).Encode(claims)
}

func (a *authority) present(text, tokenType string) (*exchange.Answer, error) {
	req := a.request()
	req.SubjectToken, req.SubjectTokenType = token.Secret(text), tokenType
	return a.exchange(req)
}

// An opaque token is what its issuer says, and ends when it says so.
func TestOpaqueSubject(t *testing.T) {
	a := newAuthority(t)
	for _, tokenType := range []string{"", exchange.TypeAccessToken, exchange.TypeJWT} {
		answer, err := a.present("opaque", tokenType)
		a.must(err)
		if answer.Subject != "idp:ci-runner" || answer.ExpiresIn() != 2*time.Minute || !slices.Equal(answer.Scope, []string{"orders:read"}) {
			t.Errorf("got %s for %s with %v", answer.Subject, answer.ExpiresIn(), answer.Scope)
		}
	}
	_, err := a.present("opaque", exchange.TypeIDToken)
	wantDenied(t, err, denial.Parse, "subject_token_type",
		`invalid_request: subject_token_type: the issuer "idp" is asked about access tokens alone: use "urn:ietf:params:oauth:token-type:access_token"`)
	if !slices.Equal(a.shown, []string{"opaque"}) {
		t.Errorf("shown %v", a.shown)
	}
}

// Whatever looks like a JWT is shown to nobody but the issuer that it names.
func TestJWTsAreNotShownAround(t *testing.T) {
	a := newAuthority(t)
	stranger := a.idp.Sign(t, a.idp.Claims(a.now, map[string]any{"iss": "https://other.example"}))
	encrypted := strings.Join([]string{"eyJhbGciOiJSU0EtT0FFUCJ9", "YQ", "YQ", "YQ", "YQ"}, ".")
	for name, text := range map[string]string{
		"of another issuer": stranger, "broken": "x" + stranger[1:], "encrypted": encrypted, "cut off": stranger[:40], "three parts": "a.b.c",
		"a Vault token": "hvs.CAESIJ", "an old Vault token": "s.abc", "with its scheme": "Bearer opaque",
		"encrypted, its header with a space": "eyAiYWxnIjoiUlNBLU9BRVAifQ.YQ.YQ.YQ.YQ", "within other text": "x" + stranger + ".x",
	} {
		if _, err := a.present(text, ""); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if len(a.shown) > 0 {
		t.Errorf("shown %v", a.shown)
	}
	named := a.idp.Sign(t, a.idp.Claims(a.now, nil))
	if _, err := a.present(named, ""); err != nil || !slices.Equal(a.shown, []string{named}) {
		t.Errorf("the issuer that it names: %v, shown %d times", err, len(a.shown))
	}
}

// Of two issuers that could be asked, none is.
func TestOpaqueTokenOfNobodyInParticular(t *testing.T) {
	a := newAuthority(t)
	a.snapshot.Issuers["second"] = a.snapshot.Issuers["idp"]
	a.snapshot.Roles["orders"].Issuers = []string{"idp", "second"}
	_, err := a.present("opaque", "")
	wantDenied(t, err, denial.Subject, "issuers",
		`invalid_request: subject: the token is opaque, and both "idp" and "second" could be asked about it: a role may have one issuer with introspection_url`)
	a.snapshot.Roles["orders"].Issuers = []string{policy.Self}
	if _, err := a.present("opaque", ""); denial.From(err).Rule != "form" || len(a.shown) > 0 {
		t.Errorf("a role without such an issuer: %v, shown %v", err, a.shown)
	}
}
