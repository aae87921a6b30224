package client

import (
	"errors"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// fail refuses with a reason that the caller may know.
func fail(rule, format string, args ...any) *denial.Error {
	return denial.New(denial.InvalidClient, denial.Client, rule, format, args...)
}

// unproven is the one answer to everybody who has not proven to be the client. It
// does not tell a client that does not exist from a wrong secret or a wrong
// method; the cause, for the log, does.
func unproven(cause string) *denial.Error {
	return unprovenBy(errors.New(cause))
}

func unprovenBy(cause error) *denial.Error {
	return fail("authentication", "failed: the client is unknown, its credentials are wrong, or it is registered with another auth_method (one of federated_jwt must send its client_id)").Because(cause)
}

// unavailable is a failure that is not the caller's fault.
func unavailable(rule, format string, args ...any) *denial.Error {
	return denial.New(denial.TemporarilyUnavailable, denial.Client, rule, format, args...)
}

// isOurs tells whether an error is not the caller's fault.
func isOurs(e *denial.Error) bool {
	return e.Code == denial.TemporarilyUnavailable || e.Code == denial.ServerError
}

// ofAssertion turns the refusal of a shared check of a token into one of a
// client's assertion (RFC 7523 §3.2).
func ofAssertion(err error) *denial.Error {
	e := denial.From(err)
	out := fail(e.Rule, "%s", e.Reason)
	if e.Code == denial.ServerError {
		return e.At(denial.Client)
	}
	if cause := e.Unwrap(); cause != nil {
		return out.Because(cause)
	}
	return out
}
