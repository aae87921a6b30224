// Package denialtest checks refusals in tests.
package denialtest

import (
	"errors"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// Want checks that an error is a refusal by this rule, with exactly this text.
func Want(t testing.TB, err error, rule, text string) {
	t.Helper()
	var refusal *denial.Error
	if !errors.As(err, &refusal) {
		t.Fatalf("got error %v, want a denial", err)
	}
	if refusal.Rule != rule {
		t.Errorf("refused by %q, want %q", refusal.Rule, rule)
	}
	if err.Error() != text {
		t.Errorf("got  %s\nwant %s", err, text)
	}
}
