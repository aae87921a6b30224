package keyring_test

import (
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
)

// A key that joins a JWKS which consumers may have cached already is published
// before its first version may sign.
func TestFirstVersionIsReadyWhenToldTo(t *testing.T) {
	ready := start.Add(lead / 2)
	k := must(keyring.Generate(keyring.Key{Name: "late", Algorithm: "EdDSA", PublicationLead: lead, VerificationPeriod: verification}, start, ready))
	if first := k.Active(); !first.Ready.Equal(ready) || !first.Published.Equal(start) {
		t.Errorf("published at %s, ready at %s", first.Published, first.Ready)
	}
	if next := k.Next(); !next.Ready.Equal(start.Add(lead)) || !next.Activated.IsZero() {
		t.Errorf("the successor is ready at %s, active since %s", next.Ready, next.Activated)
	}
}
