// Package denial is the one error type of the engine: every refusal, from a
// malformed field to a denied exchange, is a [denial.Error] made where it was
// decided. It is mapped once to a Vault response and once to an OAuth response;
// nobody matches text.
package denial

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"
)

// Code is an OAuth error code (RFC 6749 §5.2, RFC 8693 §2.2.2, RFC 8707 §2, RFC
// 9449 §§5 and 8).
type Code string

// The codes in use. ServerError and TemporarilyUnavailable are the only ones
// that are not the caller's fault. UseDPoPNonce asks for the same request once
// more, with the nonce that the answer carries.
const (
	InvalidRequest         Code = "invalid_request"
	InvalidClient          Code = "invalid_client"
	UnauthorizedClient     Code = "unauthorized_client"
	UnsupportedGrantType   Code = "unsupported_grant_type"
	InvalidTarget          Code = "invalid_target"
	InvalidScope           Code = "invalid_scope"
	InvalidDPoPProof       Code = "invalid_dpop_proof"
	UseDPoPNonce           Code = "use_dpop_nonce"
	SlowDown               Code = "slow_down" // RFC 8628 §3.5
	ServerError            Code = "server_error"
	TemporarilyUnavailable Code = "temporarily_unavailable"
)

// Stage is the step of the pipeline, or of a configuration write, that decided.
type Stage string

// The stages, in the order in which an exchange passes them.
const (
	Configuration Stage = "configuration"
	Parse         Stage = "parse"
	Client        Stage = "client"
	FindRole      Stage = "role"
	Subject       Stage = "subject"
	Actor         Stage = "actor"
	Revocation    Stage = "revocation"
	Binding       Stage = "binding"
	Rate          Stage = "rate"
	Decide        Stage = "decide"
	Lifetime      Stage = "lifetime"
	Mint          Stage = "mint"
)

// Error is one refusal. Reason is safe for the caller: it never holds a token,
// a key or a response body. The cause, for the log only, is reached by
// [errors.Unwrap].
type Error struct {
	Code   Code
	Stage  Stage
	Rule   string // the field, claim or rule that decided
	Reason string
	// RetryAfter is when the same request may be made again; zero if that would
	// change nothing, or nobody knows.
	RetryAfter time.Duration
	cause      error
}

// New makes a refusal by rule at stage.
func New(code Code, stage Stage, rule, format string, args ...any) *Error {
	return &Error{Code: code, Stage: stage, Rule: redact(rule), Reason: redact(fmt.Sprintf(format, args...))}
}

// secret is what looks like an opaque token or a client secret of this engine, or a
// token of Vault, whole or cut off: unlike a JWT they are short enough to fit where a
// refusal repeats what it got.
var secret = regexp.MustCompile(`((vtx|txcs)_[0-9A-Za-z_-]{8,})|(hv[sbr]\.[0-9A-Za-z_-]{20,})`)

func redact(text string) string {
	if !HoldsSecret(text) {
		return text
	}
	return secret.ReplaceAllString(text, "[redacted]")
}

// HoldsSecret tells whether a text has what looks like a token or a client secret.
func HoldsSecret(text string) bool {
	mayHold := strings.Contains(text, "vtx_") || strings.Contains(text, "txcs_") || strings.Contains(text, "hv")
	return mayHold && secret.MatchString(text)
}

// Field refuses a value written to a configuration field.
func Field(name, format string, args ...any) *Error {
	return New(InvalidRequest, Configuration, name, format, args...)
}

// Server is a failure that is not the caller's fault. The caller learns the
// stage and nothing more; the cause is for the log.
func Server(stage Stage, cause error) *Error {
	return New(ServerError, stage, "internal", "internal error").Because(cause)
}

// After returns a copy of e that says when to try again.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// Because returns a copy of e with its cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// At returns a copy of e that was decided at stage: shared checks, such as
// those of a token, do not know whose token they look at.
func (e *Error) At(stage Stage) *Error {
	c := *e
	c.Stage = stage
	return &c
}

// Error is the text for the caller: the code, what it is about, the reason.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s: %s", e.Code, e.About(), e.Reason) }

// About is what the reason is about: the rule, or the party whose claim the reason
// names.
func (e *Error) About() string {
	if e.Stage == Subject || e.Stage == Actor {
		return string(e.Stage)
	}
	return e.Rule
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// LogValue makes the refusal one group of log fields, with its cause.
func (e *Error) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("code", string(e.Code)), slog.String("stage", string(e.Stage)),
		slog.String("rule", e.Rule), slog.String("reason", e.Reason),
	}
	if e.cause != nil {
		attrs = append(attrs, slog.String("cause", e.cause.Error()))
	}
	return slog.GroupValue(attrs...)
}

// From returns the refusal in err's chain. An error that nobody turned into a
// refusal is a defect or an outage: it becomes a [ServerError], never a grant.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Server("", err)
}
