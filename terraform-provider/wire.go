package provider

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/vault/api"
)

// wire is what Vault's client sends its requests by. Anything may be between the
// provider and Vault; what does not come from Vault must not be taken for its word.
type wire struct {
	next    http.RoundTripper
	address string   // of Vault, for messages: without a password
	host    string   // that requests for it have
	sent    []secret // with every request
}

// wireError is a request that has no answer of Vault.
type wireError struct {
	text   string
	status int   // 0 if there is no answer at all
	cause  error // nil if there is an answer
}

func (e *wireError) Error() string { return e.text }

func (e *wireError) Unwrap() error { return e.cause }

// secretFields are the fields of requests that no message may repeat, beside
// those of a login, which are all secret.
var secretFields = []string{"subject_token", "actor_token", "introspection_client_secret"}

// RoundTrip implements [http.RoundTripper].
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	req, secrets, err := w.secrets(req)
	if err != nil {
		return nil, err
	}
	resp, err := w.next.RoundTrip(req)
	if err != nil {
		text := hide(err.Error(), secrets)
		if errors.Is(err, context.DeadlineExceeded) {
			text = "there was no answer in time (" + api.EnvVaultClientTimeout + " is how long a request may take)"
		}
		return nil, &wireError{text: w.at(req.URL) + ": " + text, cause: err}
	}
	switch {
	case follows(resp):
		err = w.checkRedirect(req, resp)
	case resp.StatusCode >= http.StatusBadRequest:
		err = w.checkRefusal(req, resp, secrets)
	default:
		err = w.checkAnswer(req, resp)
	}
	if err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// at names who is asked.
func (w *wire) at(u *url.URL) string {
	if u.Host == w.host {
		return w.address
	}
	return fmt.Sprintf("%s://%s, to which %s redirects", u.Scheme, u.Host, w.address)
}

// secrets are those of a request. The request that is returned is to be sent
// instead of it.
func (w *wire) secrets(req *http.Request) (*http.Request, []secret, error) {
	secrets := append([]secret{newSecret(req.Header.Get(api.AuthHeaderName))}, w.sent...)
	if req.Body == nil {
		return req, secrets, nil
	}
	body, err := io.ReadAll(req.Body)
	_ = req.Body.Close()
	if err != nil {
		return nil, nil, err
	}
	req = req.Clone(req.Context())
	req.Body = io.NopCloser(bytes.NewReader(body))
	var fields map[string]any
	if json.Unmarshal(body, &fields) == nil {
		for _, name := range secretFields {
			if value, ok := fields[name].(string); ok {
				secrets = append(secrets, newSecret(value))
			}
		}
	}
	return req, secrets, nil
}

// maxRefusal is far more than Vault says.
const maxRefusal = 1 << 20

// checkRefusal fails if a refusal is not Vault's, and takes secrets out of it. A
// "not found" that somebody else says would mean that there is no such object.
func (w *wire) checkRefusal(req *http.Request, resp *http.Response, secrets []secret) error {
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		return &wireError{text: w.at(req.URL) + ": " + hide(err.Error(), secrets), cause: err}
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	var document map[string]any
	if decoder.Decode(&document) != nil || !isVaults(document) {
		return w.foreign(req, resp)
	}
	if content, err = json.Marshal(hideIn(document, secrets)); err != nil {
		return err
	}
	_ = resp.Body.Close()
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(content)), int64(len(content))
	return nil
}

// isVaults tells whether Vault writes refusals like this; the last two are those
// of sys/health, and of a 404 with data.
func isVaults(document map[string]any) bool {
	for _, name := range []string{"errors", "initialized", "data"} {
		if _, ok := document[name]; ok {
			return true
		}
	}
	return false
}

func hideIn(document any, secrets []secret) any {
	switch v := document.(type) {
	case string:
		return hide(v, secrets)
	case []any:
		for i := range v {
			v[i] = hideIn(v[i], secrets)
		}
	case map[string]any:
		for name := range v {
			v[name] = hideIn(v[name], secrets)
		}
	}
	return document
}

// checkAnswer fails if an answer is not JSON. No answer is one as well.
func (w *wire) checkAnswer(req *http.Request, resp *http.Response) error {
	reader := bufio.NewReader(resp.Body)
	for {
		first, err := reader.Peek(1)
		if err != nil { // also when it is empty: whoever reads on sees that
			if resp.StatusCode >= http.StatusMultipleChoices {
				return w.foreign(req, resp)
			}
			break
		}
		if first[0] == '{' {
			break
		}
		if !strings.ContainsRune(" \t\r\n", rune(first[0])) {
			return w.foreign(req, resp)
		}
		_, _ = reader.Discard(1)
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{reader, resp.Body}
	return nil
}

// foreign is the error of an answer that is not Vault's. It does not repeat what
// came instead, which may be anything.
func (w *wire) foreign(req *http.Request, resp *http.Response) error {
	return &wireError{
		text: fmt.Sprintf("%s: the answer, %d %s, is not of the form of Vault's: the address is not that of a Vault, or something in between answers",
			w.at(req.URL), resp.StatusCode, http.StatusText(resp.StatusCode)),
		status: resp.StatusCode,
	}
}

// follows tells whether Vault's client sends the request again, with everything
// that is in it, to where the answer says.
func follows(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect:
		return true
	default:
		return false
	}
}

// checkRedirect fails if a redirect leads to another host: there the token would
// be shown. A standby node does redirect, to the leader, which it names as well.
func (w *wire) checkRedirect(req *http.Request, resp *http.Response) error {
	to, err := resp.Location()
	if err != nil {
		return w.foreign(req, resp)
	}
	if to.Hostname() == req.URL.Hostname() && (to.Host == req.URL.Host || to.Scheme == "https") || w.isLeader(req, to) {
		return nil
	}
	return &wireError{
		text: fmt.Sprintf("%s: the answer, %d %s, redirects to %s://%s, which is not this Vault's leader: nothing was sent there. "+
			"If it is the right Vault, let the address be its", w.at(req.URL), resp.StatusCode, http.StatusText(resp.StatusCode), to.Scheme, to.Host),
		status: resp.StatusCode,
	}
}

// isLeader asks Vault, without a token, whether this is the address of its leader.
func (w *wire) isLeader(req *http.Request, to *url.URL) bool {
	ask := req.Clone(req.Context())
	ask.Method, ask.Body, ask.ContentLength, ask.GetBody = http.MethodGet, nil, 0, nil
	ask.URL = &url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, User: req.URL.User, Path: "/v1/sys/leader"}
	for name := range ask.Header {
		if isVaultsHeader(name) && name != api.RequestHeaderName {
			delete(ask.Header, name)
		}
	}
	resp, err := w.next.RoundTrip(ask)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	var says struct {
		Leader string `json:"leader_address"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, maxRefusal)).Decode(&says) != nil {
		return false
	}
	leader, err := url.Parse(says.Leader)
	return err == nil && leader.Host != "" && leader.Host == to.Host && leader.Scheme == to.Scheme
}

// isVaultsHeader tells whether a header is one of those by which Vault is told
// the token, the namespace and what else is not up to a configuration.
func isVaultsHeader(name string) bool { return strings.HasPrefix(strings.ToLower(name), "x-vault-") }

// onceKey is in the context of a request that must not be repeated.
type onceKey struct{}

// once is for a request that would do a thing twice if it were repeated because
// the first answer is lost.
func once(ctx context.Context) context.Context { return context.WithValue(ctx, onceKey{}, true) }

// mayRepeat is when a request is repeated.
func mayRepeat(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, err // which says more than that of the context
	}
	if ctx.Value(onceKey{}) != nil {
		// Vault has not done it yet: it waits for what was written before.
		return resp != nil && resp.StatusCode == http.StatusPreconditionFailed, nil
	}
	if e, ok := errors.AsType[*wireError](err); ok && e.status != 0 {
		return e.status >= http.StatusInternalServerError && e.status != http.StatusNotImplemented || e.status == http.StatusTooManyRequests, nil
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false, nil
	}
	return api.DefaultRetryPolicy(ctx, resp, err)
}

// newWire is the wire of a client that has been made, and the secrets of a URL.
func newWire(client *api.Client, next http.RoundTripper, s *settings) (*wire, error) {
	u, err := url.Parse(s.addressInUse)
	if err != nil {
		return nil, err
	}
	w := &wire{next: next, host: u.Host, sent: s.sent()}
	if u.Scheme == "unix" {
		w.host = "localhost" // as Vault's client has it
	}
	if password, ok := u.User.Password(); ok {
		basic := base64.StdEncoding.EncodeToString([]byte(u.User.Username() + ":" + password))
		w.sent = append(w.sent, newSecret(password), newSecret(basic))
	}
	for name, values := range client.Headers() { // of the environment as well
		if isVaultsHeader(name) {
			continue
		}
		for _, value := range values {
			w.sent = append(w.sent, newSecret(value))
		}
	}
	u.User = nil
	w.address = fmt.Sprintf("%s (from %s)", u, s.addressSource)
	return w, nil
}
