package dpop_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/dpop"
)

const (
	noNonce  = "use_dpop_nonce: nonce: is missing: use the one in the DPoP-Nonce header of this answer (if there is none: is DPoP-Nonce among the allowed_response_headers of the mount?)"
	oldNonce = "use_dpop_nonce: nonce: is not valid any more: use the one in the DPoP-Nonce header of this answer"
)

// DP-3: a nonce is good for two minutes at least, and less than four.
func TestNonceLife(t *testing.T) {
	n := must(dpop.NewNonces(rand.Reader))
	for _, issued := range []time.Duration{0, time.Second, 2*time.Minute - time.Nanosecond} {
		nonce := n.Issue(now.Add(issued)) // now begins a step
		for _, c := range []struct {
			after time.Duration
			text  string
		}{{issued, ""}, {2 * time.Minute, ""}, {4*time.Minute - 1, ""}, {4 * time.Minute, oldNonce}, {-1, oldNonce}, {time.Hour, oldNonce}} {
			err := n.Check(nonce, now.Add(c.after))
			if c.text != "" {
				wantRefused(t, err, "nonce", c.text)
			} else if err != nil {
				t.Errorf("issued at %s, used at %s: %v", issued, c.after, err)
			}
		}
	}
}

// DP-3: nothing but a nonce of ours is one, and that of another activation is not.
func TestNonceOfOthers(t *testing.T) {
	n, other := must(dpop.NewNonces(rand.Reader)), must(dpop.NewNonces(rand.Reader))
	good := n.Issue(now)
	for _, c := range []struct{ name, nonce, text string }{
		{"none", "", noNonce},
		{"of another activation", other.Issue(now), oldNonce},
		{"half of one", good[:len(good)/2], oldNonce},
		{"more than one", good + good, oldNonce},
		{"padded", good + "=", oldNonce},
		{"in another case", strings.ToUpper(good), oldNonce},
		{"a number", fmt.Sprint(now.Unix() / 120), oldNonce},
	} {
		t.Run(c.name, func(t *testing.T) { wantRefused(t, n.Check(c.nonce, now), "nonce", c.text) })
	}
	if err := n.Check(good, now); err != nil {
		t.Error(err)
	}
	if n.Issue(now) == n.Issue(now.Add(2*time.Minute)) {
		t.Error("two steps have one nonce")
	}
}

func TestNonceSecret(t *testing.T) {
	if _, err := dpop.NewNonces(iotest.ErrReader(errors.New("no entropy"))); err == nil {
		t.Error("nonces without a secret")
	}
	if _, err := dpop.NewNonces(strings.NewReader("31 bytes are one byte too few..")); err == nil {
		t.Error("nonces with half a secret")
	}
	const secret = "thirty-two bytes of a secret ..."
	n := must(dpop.NewNonces(strings.NewReader(secret)))
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if text := fmt.Sprintf(format, n); strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
			t.Errorf("%s prints the secret", format)
		}
	}
}
