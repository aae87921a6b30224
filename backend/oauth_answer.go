package backend

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// oauthAnswer is a raw answer of an OAuth endpoint: JSON that nobody may store
// (RFC 6749 §5.1).
func oauthAnswer(status int, document any) *logical.Response {
	body, err := json.Marshal(document)
	if err != nil { // no document here can fail to be JSON
		status, body = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	return rawAnswer(status, "application/json", body)
}

// rawAnswer takes the body as bytes, which are never nil: Vault would decode a text
// that happens to be base64, and answers a nil with a status of 500.
func rawAnswer(status int, contentType string, body []byte) *logical.Response {
	return &logical.Response{Data: map[string]any{
		logical.HTTPStatusCode:         status,
		logical.HTTPContentType:        contentType,
		logical.HTTPRawBody:            body,
		logical.HTTPCacheControlHeader: "no-store",
		logical.HTTPPragmaHeader:       "no-cache",
	}}
}

// oauthError is the body of a refusal (RFC 6749 §5.2).
type oauthError struct {
	Error       denial.Code `json:"error"`
	Description string      `json:"error_description,omitempty"`
}

// refuseOAuth is the one map from a refusal to an OAuth answer.
func (b *backend) refuseOAuth(req *logical.Request, err error) *logical.Response {
	refusal := denial.From(err)
	document := oauthError{Error: refusal.Code, Description: describable(refusal.About() + ": " + refusal.Reason)}
	status := http.StatusBadRequest
	switch refusal.Code {
	case denial.ServerError:
		b.Logger().Error("request failed", "request_id", req.ID, "path", req.Path, "stage", refusal.Stage, "cause", refusal.Unwrap())
		status, document.Description = http.StatusInternalServerError, errInternal.Error()
	case denial.TemporarilyUnavailable:
		b.Logger().Warn("request cannot be answered now", "request_id", req.ID, "path", req.Path, "stage", refusal.Stage, "cause", refusal.Unwrap())
		status = http.StatusServiceUnavailable
	case denial.SlowDown:
		status = http.StatusTooManyRequests
	case denial.InvalidClient:
		status = http.StatusUnauthorized
	}
	resp := oauthAnswer(status, document)
	if status == http.StatusUnauthorized {
		// RFC 9110 §11.6.1 wants a challenge with each 401, and Basic is the scheme
		// that a client may use (RFC 6749 §5.2).
		resp.Data[logical.HTTPWWWAuthenticateHeader] = `Basic realm="token-exchange", charset="UTF-8"`
	}
	if refusal.RetryAfter > 0 {
		// Whole seconds (RFC 9110 §10.2.3). Vault drops the header unless the mount's
		// allowed_response_headers name it.
		wait := int64(math.Ceil(refusal.RetryAfter.Seconds()))
		resp.Headers = map[string][]string{"Retry-After": {strconv.FormatInt(wait, 10)}}
	}
	if refusal.Code == denial.UseDPoPNonce {
		b.offerNonce(resp)
	}
	return resp
}

// describable leaves out what error_description may not have (RFC 6749 §5.2): it
// is printable ASCII without quotes and backslashes.
func describable(text string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '"':
			return '\''
		case c == '\\':
			return '/'
		case c < ' ' || c > '~':
			return '?'
		}
		return c
	}, text)
}
