package dpop_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/dpop"
)

func newChecker() *dpop.Checker { return must(dpop.NewChecker(rand.Reader, 1000)) }

// fresh is a good proof with a nonce of c and an id of its own.
func fresh(c *dpop.Checker, id string, at, issued time.Time) string {
	d := good()
	d.claims["jti"], d.claims["iat"], d.claims["nonce"] = id, issued.Unix(), must(c.Nonce(at))
	return d.signed()
}

func TestCheck(t *testing.T) {
	c := newChecker()
	raw := fresh(c, "one", now, now)
	got, err := c.Check(raw, want, now)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != "one" || !got.IssuedAt.Equal(now) || got.Thumbprint == "" {
		t.Errorf("got %+v", got)
	}
	_, err = c.Check(raw, want, now.Add(time.Second))
	wantRefused(t, err, "jti", usedBefore) // DP-4
	other := want
	other.Client = "other"
	_, err = c.Check(raw, other, now)
	wantRefused(t, err, "jti", usedBefore)
}

// DP-3: a proof without a good nonce is answered with one, and counts as not used.
func TestCheckNonce(t *testing.T) {
	c := newChecker()
	d := good()
	_, err := c.Check(d.signed(), want, now)
	wantRefused(t, err, "nonce", noNonce)
	if code := denial.From(err).Code; code != denial.UseDPoPNonce {
		t.Errorf("code %s", code)
	}
	d.claims["nonce"] = "of somebody else"
	_, err = c.Check(d.signed(), want, now)
	wantRefused(t, err, "nonce", oldNonce)
	d.claims["nonce"] = must(c.Nonce(now))
	if _, err = c.Check(d.signed(), want, now); err != nil {
		t.Errorf("the same jti, with the nonce: %v", err)
	}
}

// A bad proof with the nonce is not answered with another one, and uses nothing up.
func TestCheckVerifiesFirst(t *testing.T) {
	c := newChecker()
	bad := good()
	bad.claims["htm"] = "GET"
	_, err := c.Check(bad.signed(), want, now)
	wantRefused(t, err, "htm", "invalid_dpop_proof: htm: is not the method of this request")
	bad.claims["nonce"] = must(c.Nonce(now))
	_, err = c.Check(bad.signed(), want, now)
	wantRefused(t, err, "htm", "invalid_dpop_proof: htm: is not the method of this request")
	if _, err := c.Check(fresh(c, "one", now, now), want, now); err != nil {
		t.Errorf("the jti was used up: %v", err)
	}
}

// VT-6: a proof that another node, or the process before this one, has seen is
// refused, though nobody remembers it.
func TestCheckAfterFailover(t *testing.T) {
	former, active := newChecker(), newChecker()
	raw := fresh(former, "one", now, now)
	if _, err := former.Check(raw, want, now); err != nil {
		t.Fatal(err)
	}
	_, err := active.Check(raw, want, now)
	wantRefused(t, err, "nonce", oldNonce)
}

// The order of the bytes of a proof is not what is remembered: ECDSA signatures
// have two forms that verify (JW-21).
func TestCheckOtherFormOfTheSignature(t *testing.T) {
	c := newChecker()
	nonce := must(c.Nonce(now))
	for i, text := range []string{"", usedBefore} {
		d := good()
		d.claims["nonce"] = nonce
		_, err := c.Check(d.signed(), want, now) // signatures are random
		if (err == nil) != (text == "") || err != nil && err.Error() != text {
			t.Errorf("form %d: %v, want %s", i, err, text)
		}
	}
}

func TestCheckerWithoutEntropy(t *testing.T) {
	_, err := dpop.NewChecker(iotest.ErrReader(errors.New("no entropy")), 10)
	wantRefused(t, err, "internal", "server_error: internal: internal error")

	// A clock that was set back far takes a new secret. Without one, nothing is accepted.
	c := must(dpop.NewChecker(strings.NewReader(strings.Repeat("s", 32)), 10))
	if _, err := c.Check(fresh(c, "one", now, now), want, now); err != nil {
		t.Fatal(err)
	}
	back := now.Add(-time.Hour)
	_, err = c.Check(good().signed(), want, back)
	wantRefused(t, err, "internal", "server_error: internal: internal error")
	_, err = c.Nonce(back)
	wantRefused(t, err, "internal", "server_error: internal: internal error")
}

// However the clock is set, no proof is accepted twice, and a proof of now with a
// nonce of now is accepted.
func TestNoProofTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newChecker()
		clock := now
		var proofs []string
		accepted := map[string]bool{}
		send := func(t *rapid.T, raw string) error {
			_, err := c.Check(raw, want, clock)
			if err == nil && accepted[raw] {
				t.Fatalf("accepted twice")
			}
			accepted[raw] = accepted[raw] || err == nil
			return err
		}
		t.Repeat(map[string]func(*rapid.T){
			"time": func(t *rapid.T) {
				clock = clock.Add(time.Duration(rapid.IntRange(-150, 150).Draw(t, "seconds")) * time.Second)
			},
			"make": func(t *rapid.T) {
				issued := clock.Add(time.Duration(rapid.IntRange(-70, 130).Draw(t, "iat")) * time.Second)
				proofs = append(proofs, fresh(c, fmt.Sprint(len(proofs)), clock, issued))
			},
			"make and send": func(t *rapid.T) {
				raw := fresh(c, fmt.Sprint(len(proofs)), clock, clock)
				proofs = append(proofs, raw)
				if err := send(t, raw); err != nil {
					t.Fatalf("a good proof: %v", err)
				}
			},
			"send": func(t *rapid.T) {
				if len(proofs) > 0 {
					_ = send(t, rapid.SampledFrom(proofs).Draw(t, "proof"))
				}
			},
		})
	})
}
