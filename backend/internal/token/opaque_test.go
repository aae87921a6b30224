package token_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// scanned is the pattern that docs/reference.md gives to scanners for secrets.
var scanned = regexp.MustCompile(`\bvtx_[0-9A-Za-z]{55}\b`)

// IN-9: 256 random bits, none of them the same in two tokens, in a form that is
// recognised; and what is told of it is its hash.
func TestOpaqueTokens_IN9(t *testing.T) {
	expires := time.Unix(1_800_000_000, 0)
	seen, letters := map[string]bool{}, map[int]map[byte]bool{}
	for range 2000 {
		raw, place := token.NewOpaque(expires)
		text := raw.Reveal()
		if found := scanned.FindString("token=" + text + "\n"); found != text {
			t.Fatalf("a scanner finds %q of %q", found, text)
		}
		sum := sha256.Sum256([]byte(text))
		if place != "03klmo/"+hex.EncodeToString(sum[:]) {
			t.Fatalf("its place is %s", place)
		}
		if found, ok := token.ParseOpaque(raw); !ok || found != place {
			t.Fatalf("parsed as %q, %v", found, ok)
		}
		random := text[4:47]
		if seen[random] {
			t.Fatal("twice the same")
		}
		seen[random] = true
		for i := range len(random) {
			if letters[i] == nil {
				letters[i] = map[byte]bool{}
			}
			letters[i][random[i]] = true
		}
	}
	for i, found := range letters {
		if i > 0 && len(found) != 62 { // the first has what is left of 256 bits
			t.Errorf("at %d there are %d letters, want 62", i, len(found))
		}
	}
	if raw, _ := token.NewOpaque(expires); strings.Contains(fmt.Sprintf("%s %q %v %#v", raw, raw, raw, raw), "vtx_") {
		t.Error("it has a printable form")
	}
}

// The checksum is what docs/reference.md says: this one was computed elsewhere.
func TestChecksumOfAnOpaqueToken(t *testing.T) {
	body := "vtx_" + strings.Repeat("0", 42) + "1" + "03klmo"
	if place, ok := token.ParseOpaque(token.Secret(body + "27tzfY")); !ok || !strings.HasPrefix(place, "03klmo/") {
		t.Errorf("got %q, %v", place, ok)
	}
}

func TestParseOpaqueRefuses(t *testing.T) {
	raw, _ := token.NewOpaque(time.Unix(1_800_000_000, 0))
	text := raw.Reveal()
	for name, other := range map[string]string{
		"nothing": "", "the prefix alone": "vtx_", "cut off": text[:58], "with more": text + "0", "with white space": text[:58] + " ",
		"of another prefix": "xvt_" + text[4:], "a JWT": "eyJhbGciOiJFUzI1NiJ9.e30.c2ln", "very long": strings.Repeat("vtx_", 1<<20),
		"a path": "vtx_" + strings.Repeat("../", 18) + "x",
	} {
		if place, ok := token.ParseOpaque(token.Secret(other)); ok || place != "" {
			t.Errorf("%s: taken for %q", name, place)
		}
	}
	for i := range len(text) {
		for _, c := range []byte("0aZ/.") {
			if text[i] == c {
				continue
			}
			if _, ok := token.ParseOpaque(token.Secret(text[:i] + string(c) + text[i+1:])); ok {
				t.Errorf("with %q at %d", c, i)
			}
		}
	}
}

// A token has expired when its period has ended, and periods sort as time does.
func TestPeriodEnds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const lastDate = 253402300799
		a, b := rapid.Int64Range(0, lastDate).Draw(rt, "a"), rapid.Int64Range(0, lastDate).Draw(rt, "b")
		period := func(at int64) string {
			_, place := token.NewOpaque(time.Unix(at, 0))
			return strings.Split(place, "/")[0]
		}
		end, ok := token.PeriodEnd(period(a))
		if !ok || end.Unix() <= a || end.Unix() > a+300 {
			rt.Errorf("%d is in a period that ends at %d", a, end.Unix())
		}
		if a < b && period(a) > period(b) {
			rt.Errorf("%s is before %s", period(b), period(a))
		}
	})
	for _, other := range []string{"", "0", "0000000", "00000A", "../../", "-00001"} {
		if _, ok := token.PeriodEnd(other); ok {
			t.Errorf("%q is a period", other)
		}
	}
}

// What refuses a request never repeats a token of which it got hold.
func TestRefusalsHoldNoOpaqueToken(t *testing.T) {
	raw, _ := token.NewOpaque(time.Unix(1_800_000_000, 0))
	text := raw.Reveal()
	refusal := denial.New(denial.InvalidRequest, denial.Decide, text, "a %s b %q c %.20s", text, text, text)
	if got, want := refusal.Error(), `invalid_request: [redacted]: a [redacted] b "[redacted]" c [redacted]`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	trace := denial.Trace{}
	trace.Pass(denial.Decide, "audience", "it is %q", text)
	trace.Fail(refusal.Because(fmt.Errorf("about %s", text)))
	if got := fmt.Sprint(trace.Steps); strings.Contains(got, text[:12]) {
		t.Errorf("got %s", got)
	}
}
