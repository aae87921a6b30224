package keyring_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
)

func TestDue(t *testing.T) {
	k := newKey().Configure(4*lead, lead, verification)
	for _, c := range []struct {
		name string
		key  *keyring.Key
		at   time.Duration
		due  bool
	}{
		{"before its time", k, 4*lead - 1, false},
		{"at its time", k, 4 * lead, true},
		{"late", k, 40 * lead, true},
		{"never, if no period is set", newKey(), 40 * lead, false},
		{"not before the successor may sign", k.Configure(lead, 2*lead, verification), lead, false},
	} {
		if got := c.key.Due(start.Add(c.at)); got != c.due {
			t.Errorf("%s: due is %v", c.name, got)
		}
	}
}

// The most versions that a schedule can put into the JWKS: rotate as often as
// the period says, and count.
func TestMostVersions(t *testing.T) {
	for _, rotation := range []time.Duration{lead, 2 * lead, 3*lead + time.Minute, verification, 10 * verification} {
		k := newKey().Configure(rotation, lead, verification)
		most, now := len(k.Versions), start
		bound := k.MostVersions()
		for range 40 {
			now = now.Add(rotation)
			k = must(k.Rotate(now))
			most = max(most, len(k.Versions))
		}
		if most > bound {
			t.Errorf("rotation every %s: %d versions, and %d were expected at most", rotation, most, bound)
		}
	}
}

func TestRevoke(t *testing.T) {
	at := start.Add(lead)
	k := must(newKey().Rotate(at)) // retired, active, next
	retired, active, next := k.Versions[0].KeyID, k.Active().KeyID, k.Next().KeyID
	now := at.Add(time.Minute)
	for _, c := range []struct {
		name, kid string
		gone      string
		signs     string
		versions  int
	}{
		{"the version that signs", active, active, next, 3},
		{"the successor", next, next, active, 3},
		{"a retired version", retired, retired, active, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := must(k.Revoke(c.kid, now))
			jwks := published(r, now)
			if len(jwks.Key(c.gone)) != 0 || len(jwks.Keys) != c.versions {
				t.Errorf("published: %v", jwks.Keys)
			}
			if r.Active().KeyID != c.signs || r.Active().State(now) != keyring.Active || now.Before(r.Active().Ready) {
				t.Errorf("%s signs, ready at %s", r.Active().KeyID, r.Active().Ready)
			}
			if r.Active().Signer() == nil || r.Next().Signer() == nil || r.Next().State(now) != keyring.Next || !r.Next().Activated.IsZero() {
				t.Error("there is no successor")
			}
			if c.gone == next && !r.Next().Ready.Equal(now.Add(lead)) {
				t.Errorf("the new successor is ready at %s", r.Next().Ready)
			}
		})
	}
	if len(k.Versions) != 3 {
		t.Error("Revoke changed its receiver")
	}
	first := newKey()
	if r := must(first.Revoke("", start.Add(time.Minute))); r.Active().KeyID != first.Next().KeyID {
		t.Error("the first version is not revoked by default")
	}
	if r := must(k.Revoke("", at.Add(time.Hour))); r.Active().KeyID != next {
		t.Error("the version that signs is not revoked by default")
	}
	_, err := k.Revoke("", at.Add(time.Hour-time.Second))
	wantRefused(t, err, "kid", fmt.Sprintf(`invalid_request: kid: the version %q signs since %s only: if you have revoked the one before it, that is done; else say by its kid which to revoke`, active, at.UTC().Format(time.RFC3339)))
	twice := must(newKey().Revoke("", now))
	_, err = twice.Revoke("", now)
	wantRefused(t, err, "kid", fmt.Sprintf(`invalid_request: kid: the version %q signs since %s only: if you have revoked the one before it, that is done; else say by its kid which to revoke`, twice.Active().KeyID, now.UTC().Format(time.RFC3339)))
	_, err = k.Revoke("none", now)
	wantRefused(t, err, "kid", `invalid_request: kid: "none" is not a version of key "main"`)
}

func TestRevokedVersionNeedsTheKeyNoMore(t *testing.T) {
	at := start.Add(lead)
	rotated := must(newKey().Rotate(at)).Release(at.Add(time.Minute))
	retired, active := rotated.Versions[0].KeyID, rotated.Versions[1].KeyID
	tests := []struct {
		name    string
		revoked []string
		want    time.Time
	}{
		{"none", nil, at.Add(time.Minute + verification + keyring.InFlight)},
		{"the retired one: the active one has signed too", []string{retired}, at.Add(time.Minute + verification + keyring.InFlight)},
		{"the active one: the retired one has signed too", []string{active}, at.Add(verification + keyring.InFlight)},
		{"both", []string{retired, active}, time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := rotated
			for _, kid := range tt.revoked {
				k = must(k.Revoke(kid, at.Add(2*time.Minute)))
			}
			if !k.NeededUntil.Equal(tt.want) {
				t.Errorf("needed until %s, want %s", k.NeededUntil, tt.want)
			}
		})
	}
	// A role lets go after the revocation: what the promoted version signed counts.
	k := must(rotated.Revoke(active, at.Add(2*time.Minute))).Release(at.Add(3 * time.Minute))
	if want := at.Add(3*time.Minute + verification + keyring.InFlight); !k.NeededUntil.Equal(want) {
		t.Errorf("needed until %s, want %s", k.NeededUntil, want)
	}
}
