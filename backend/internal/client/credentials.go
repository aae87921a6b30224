package client

import (
	"crypto/x509"
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// AssertionType is the one "client_assertion_type" (RFC 7523 §2.2).
const AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// maxBasic is the longest Basic credential, in characters.
const maxBasic = 4096

// Credentials are what a request says of the client that makes it. An empty
// parameter is one that was not sent (RFC 6749 §3.2).
type Credentials struct {
	ClientID string
	// HasBasic tells that the header "Authorization: Basic" was sent, whatever
	// was in it.
	HasBasic bool
	Basic    issuer.Credential // the header's value after "Basic "

	ClientSecret  issuer.Credential
	AssertionType string
	Assertion     issuer.Credential

	// Certificates is the chain that Vault's listener says the peer has presented, its
	// own certificate first: never what a header of the request says here.
	Certificates []*x509.Certificate
}

func (c Credentials) hasBasic() bool { return c.HasBasic || c.Basic.Reveal() != "" }

func (c Credentials) hasAssertion() bool { return c.Assertion.Reveal() != "" || c.AssertionType != "" }

// mechanism is what of a request proves who makes it.
type mechanism string

const (
	byHeader    mechanism = "an Authorization header"
	byParameter mechanism = "the parameter client_secret"
	byAssertion mechanism = "the parameter client_assertion"
	byNothing   mechanism = "its client_id alone" // or the certificate of the connection
)

// mechanism returns the only one that the request uses. RFC 6749 §5.2 says
// invalid_request of several, RFC 7521 §4.2.1 invalid_client if one of them is an
// assertion.
func (c Credentials) mechanism() (mechanism, *denial.Error) {
	var used []mechanism
	if c.hasBasic() {
		used = append(used, byHeader)
	}
	if c.ClientSecret.Reveal() != "" {
		used = append(used, byParameter)
	}
	if c.hasAssertion() {
		used = append(used, byAssertion)
	}
	switch {
	case len(used) == 0:
		return byNothing, nil
	case len(used) == 1:
		return used[0], nil
	case c.hasAssertion():
		return "", fail("client_assertion", "%s and %s are two ways to authenticate: use one", used[0], used[1])
	}
	return "", badRequest("client_secret", "%s and %s are two ways to authenticate: use one", used[0], used[1])
}

func badRequest(rule, format string, args ...any) *denial.Error {
	return denial.New(denial.InvalidRequest, denial.Client, rule, format, args...)
}

// presented are credentials as read: believed by nobody yet.
type presented struct {
	mechanism mechanism
	id        string
	secret    token.Secret
	assertion *token.Unverified
}

// read takes the credentials apart. Nothing that it refuses depends on which
// clients there are.
func (c Credentials) read() (presented, *denial.Error) {
	// Vault joins repeated form fields with a comma, which neither an id nor one
	// of our secrets has.
	if strings.Contains(c.ClientID, ",") {
		return presented{}, badRequest("client_id", "has a comma, or was sent more than once")
	}
	if strings.Contains(c.ClientSecret.Reveal(), ",") {
		return presented{}, badRequest("client_secret", "has a comma, or was sent more than once")
	}
	how, refusal := c.mechanism()
	if refusal != nil {
		return presented{}, refusal
	}
	p := presented{mechanism: how, id: c.ClientID}
	switch how {
	case byHeader:
		refusal = c.readBasic(&p)
	case byParameter:
		p.secret = token.Secret(c.ClientSecret.Reveal())
		if p.id == "" {
			refusal = badRequest("client_id", "is missing: client_secret needs it")
		}
	case byAssertion:
		refusal = c.readAssertion(&p)
	default:
		if p.id == "" {
			// Whoever sends Basic to a mount that is not tuned comes like this.
			refusal = fail("client_id", "is missing, as is every other way to authenticate; if Authorization: Basic was sent, is Authorization among the passthrough_request_headers of the mount?")
		}
	}
	return p, refusal
}

// readBasic reads the header (RFC 7617 §2), in which id and secret are
// form-encoded first (RFC 6749 §2.3.1).
func (c Credentials) readBasic(p *presented) *denial.Error {
	id, secret, ok := decodeBasic(c.Basic.Reveal())
	switch {
	case !ok:
		return fail("authorization", "is not the base64 of a form-encoded client_id, \":\", and a form-encoded secret")
	case p.id != "" && p.id != id:
		return fail("client_id", "is not the client of the Authorization header")
	}
	p.id, p.secret = id, token.Secret(secret)
	return nil
}

func decodeBasic(value string) (id, secret string, ok bool) {
	if len(value) > maxBasic || strings.ContainsAny(value, "\r\n") { // the decoder skips line breaks
		return "", "", false
	}
	text, err := base64.StdEncoding.Strict().DecodeString(value)
	if err != nil {
		return "", "", false
	}
	id, secret, ok = strings.Cut(string(text), ":")
	if !ok {
		return "", "", false
	}
	id, err = url.QueryUnescape(id)
	if err != nil || id == "" {
		return "", "", false
	}
	secret, err = url.QueryUnescape(secret)
	return id, secret, err == nil
}

// readAssertion reads exactly one JWT (RFC 7523 §2.2). Its unverified "sub" says
// which client's keys it is to be held against, if no parameter does.
func (c Credentials) readAssertion(p *presented) *denial.Error {
	switch {
	case c.AssertionType != AssertionType:
		return fail("client_assertion_type", "must be %s, once", AssertionType)
	case c.Assertion.Reveal() == "":
		return fail("client_assertion", "is missing")
	}
	u, err := token.Parse(token.Secret(c.Assertion.Reveal()))
	if err != nil {
		return ofAssertion(err)
	}
	p.assertion = u
	if p.id == "" {
		p.id = u.Subject
	}
	if p.id == "" {
		return fail("sub", "\"sub\" claim is missing, and so is client_id")
	}
	return nil
}
