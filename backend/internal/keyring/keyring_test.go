package keyring_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// publicMembers are all members that a JWK of ours may have: JK-1.
var publicMembers = map[string][]string{
	"EC":  {"alg", "crv", "kid", "kty", "use", "x", "y"},
	"RSA": {"alg", "e", "kid", "kty", "n", "use"},
	"OKP": {"alg", "crv", "kid", "kty", "use", "x"},
}

func TestGenerateEveryAlgorithm(t *testing.T) {
	algorithms := keyring.Algorithms()
	if want := []string{"ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}; !slices.Equal(algorithms, want) {
		t.Fatalf("got %q, want %q", algorithms, want)
	}
	for _, name := range algorithms {
		t.Run(name, func(t *testing.T) {
			alg := jose.SignatureAlgorithm(name)
			k := newKeyOf(alg)
			if err := sign(k, start, time.Minute).verify(published(k, start)); err != nil {
				t.Error(err)
			}
			if err := token.CheckKey(alg, k.Active().Public); err != nil {
				t.Errorf("the engine would refuse its own key: %s", err)
			}
			checkMembers(t, k)
			checkNotPrinted(t, k)
		})
	}
}

// checkMembers checks the JWKS as text: JK-1, JK-2.
func checkMembers(t *testing.T, k *keyring.Key) {
	t.Helper()
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(must(json.Marshal(published(k, start))), &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 2 {
		t.Fatalf("got %d keys, want the active one and its successor", len(set.Keys))
	}
	for i, jwk := range set.Keys {
		names := []string{}
		for name := range jwk {
			names = append(names, name)
		}
		slices.Sort(names)
		if !slices.Equal(names, publicMembers[jwk["kty"]]) {
			t.Errorf("JWK has members %q", names)
		}
		if jwk["alg"] != string(k.Algorithm) || jwk["use"] != "sig" || jwk["kid"] != thumbprint(k.Versions[i].Public) {
			t.Errorf("JWK %v", jwk)
		}
	}
}

func thumbprint(public any) string {
	return base64.RawURLEncoding.EncodeToString(must((&jose.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)))
}

// checkNotPrinted checks that no print of a key or version shows the private half.
func checkNotPrinted(t *testing.T, k *keyring.Key) {
	t.Helper()
	v := *k.Active()
	d := privateNumber(v.Signer())
	forms := []string{d.String(), d.Text(16), strings.Trim(fmt.Sprintf("%d", d.Bytes()), "[]"), strings.TrimPrefix(strings.Trim(fmt.Sprintf("%#v", d.Bytes()), "}"), "[]byte{")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		for _, value := range []any{v, &v, k, *k, k.Versions, map[string]*keyring.Key{"main": k}} {
			text := fmt.Sprintf(verb, value)
			if slices.ContainsFunc(forms, func(form string) bool { return strings.Contains(strings.ToLower(text), form) }) {
				t.Errorf("%s of a %T prints the private key", verb, value)
			}
		}
	}
	if text := string(must(json.Marshal(k))); strings.Contains(text, base64.StdEncoding.EncodeToString(d.Bytes())) || strings.Contains(text, d.String()) {
		t.Error("JSON holds the private key")
	}
}

func TestGenerateRefuses(t *testing.T) {
	for _, alg := range []jose.SignatureAlgorithm{"", "none", "HS256", "es256"} {
		k, err := keyring.Generate(keyring.Key{Name: "main", Algorithm: alg}, start, start)
		if k != nil {
			t.Error("got a key beside the error")
		}
		wantRefused(t, err, "algorithm", fmt.Sprintf(
			`invalid_request: algorithm: %q is not supported: use one of ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512`, alg))
	}
}

// JK-2: the example of RFC 7638 §3.1.
func TestKeyIDIsTheThumbprint(t *testing.T) {
	var k jose.JSONWebKey
	err := k.UnmarshalJSON([]byte(`{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := thumbprint(k.Key); got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("got %s", got)
	}
}

// JK-2: a coordinate that begins with zeros keeps them.
func TestCoordinatesHaveFixedWidth(t *testing.T) {
	for _, c := range []struct {
		alg   jose.SignatureAlgorithm
		curve elliptic.Curve
		width int
	}{
		{jose.ES256, elliptic.P256(), 43},
		{jose.ES384, elliptic.P384(), 64},
		{jose.ES512, elliptic.P521(), 88},
	} {
		t.Run(string(c.alg), func(t *testing.T) {
			v := keyring.Version{Public: pointWithZero(c.curve)}
			var jwk struct{ X, Y string }
			if err := json.Unmarshal(must(v.PublicKey(c.alg).MarshalJSON()), &jwk); err != nil {
				t.Fatal(err)
			}
			if len(jwk.X) != c.width || len(jwk.Y) != c.width || !strings.HasPrefix(jwk.X, "A") {
				t.Errorf("x has %d letters and y %d, want %d: %s", len(jwk.X), len(jwk.Y), c.width, jwk.X)
			}
		})
	}
}

// pointWithZero finds a public key whose x begins with a zero byte.
func pointWithZero(curve elliptic.Curve) *ecdsa.PublicKey {
	size := (curve.Params().BitSize + 7) / 8
	for d := big.NewInt(1); ; d.Add(d, big.NewInt(1)) {
		private := must(ecdsa.ParseRawPrivateKey(curve, d.FillBytes(make([]byte, size))))
		if point := must(private.PublicKey.Bytes()); point[1] == 0 {
			return &private.PublicKey
		}
	}
}

// JK-3: every version in turn is next, active, retired and expired.
func TestStatesOverTime(t *testing.T) {
	k := newKey()
	first, second := k.Active().KeyID, k.Next().KeyID
	states := func(k *keyring.Key, now time.Time) string {
		out := []string{}
		for i := range k.Versions {
			out = append(out, string(k.Versions[i].State(now)))
		}
		return strings.Join(out, " ")
	}
	want := func(k *keyring.Key, now time.Time, wanted string, ids ...string) {
		t.Helper()
		if got := states(k, now); got != wanted {
			t.Errorf("at %s: states %s, want %s", now.Sub(start), got, wanted)
		}
		if got := keyIDs(published(k, now)); !slices.Equal(got, ids) {
			t.Errorf("at %s: published %q, want %q", now.Sub(start), got, ids)
		}
	}
	want(k, start, "active next", first, second)
	want(k, start.Add(1000*time.Hour), "active next", first, second)

	rotated := must(k.Rotate(start.Add(lead)))
	third := rotated.Next().KeyID
	gone := start.Add(lead + verification + keyring.InFlight)
	want(rotated, start.Add(lead), "retired active next", first, second, third)
	want(rotated, gone.Add(-time.Nanosecond), "retired active next", first, second, third)
	want(rotated, gone, "expired active next", second, third)
	want(rotated.Prune(gone.Add(-time.Nanosecond)), gone, "expired active next", second, third)
	want(rotated.Prune(gone), gone, "active next", second, third)
	want(k, gone, "active next", first, second) // keys are immutable

	if !rotated.Versions[0].PublishedUntil().Equal(gone) || !rotated.Active().PublishedUntil().IsZero() {
		t.Errorf("published until %s and %s", rotated.Versions[0].PublishedUntil(), rotated.Active().PublishedUntil())
	}
	if !rotated.Active().Activated.Equal(start.Add(lead)) || !rotated.Next().Ready.Equal(start.Add(2*lead)) {
		t.Errorf("active since %s, the successor ready at %s", rotated.Active().Activated, rotated.Next().Ready)
	}
}

func TestRotationBeforeTheSuccessorIsReady(t *testing.T) {
	k := newKey()
	const text = `invalid_request: publication_lead: the successor of key "main" may sign from 2027-01-15T09:00:00Z on: consumers that cache the JWKS may not know it before then`
	for _, after := range []time.Duration{0, lead - time.Nanosecond} {
		rotated, err := k.Rotate(start.Add(after))
		if rotated != nil {
			t.Error("got a key beside the error")
		}
		wantRefused(t, err, "publication_lead", text)
	}
	rotated := must(k.Rotate(start.Add(lead)))
	_, err := rotated.Rotate(start.Add(lead))
	wantRefused(t, err, "publication_lead", strings.Replace(text, "09:00", "10:00", 1))
}

func TestRotateDropsWhatHasExpired(t *testing.T) {
	k, now := newKey(), start
	for range 5 {
		now = now.Add(lead)
		k = must(k.Rotate(now))
	}
	// Retired two hours ago, an hour ago and now; three hours ago is expired.
	if len(k.Versions) != 5 {
		t.Errorf("got %d versions, want three retired ones, the active one and its successor", len(k.Versions))
	}
}

func TestRetiredVersionForgetsItsPrivateHalf(t *testing.T) {
	k := must(newKey().Rotate(start.Add(lead)))
	for i := range k.Versions {
		v := &k.Versions[i]
		if retired := v.State(start.Add(lead)) == keyring.Retired; (v.Signer() == nil) != retired {
			t.Errorf("%s version has a private half: %t", v.State(start.Add(lead)), v.Signer() != nil)
		}
	}
}

// A version that is stored as JSON comes back without its private half.
func TestRestore(t *testing.T) {
	v := newKey().Active()
	var stored keyring.Version
	if err := json.Unmarshal([]byte(`{"KeyID":"k1","signer":{}}`), &stored); err != nil {
		t.Fatal(err)
	}
	if stored.Signer() != nil {
		t.Error("the private half came from JSON")
	}
	restored, retired := keyring.Restore(stored, v.Signer()), keyring.Restore(stored, nil)
	if restored.Signer() == nil || restored.KeyID != "k1" {
		t.Errorf("restored: %s", restored.KeyID)
	}
	if retired.Signer() != nil {
		t.Error("a version without a private half has one")
	}
}

// Raising a period applies to every version, lowering it to new ones only.
func TestConfigure(t *testing.T) {
	at := start.Add(lead)
	k := must(newKey().Rotate(at))
	for _, c := range []struct {
		name               string
		lead, verification time.Duration
		ready              time.Time // of the successor
		periods            time.Duration
	}{
		{"unchanged", lead, verification, at.Add(lead), verification},
		{"raised", 3 * lead, 5 * verification, at.Add(3 * lead), 5 * verification},
		{"lowered", lead / 2, verification / 2, at.Add(lead), verification},
	} {
		t.Run(c.name, func(t *testing.T) {
			configured := k.Configure(0, c.lead, c.verification)
			if !configured.Next().Ready.Equal(c.ready) {
				t.Errorf("the successor is ready at %s, want %s", configured.Next().Ready, c.ready)
			}
			if !configured.Active().Ready.Equal(k.Active().Ready) {
				t.Error("the active version changed when it might first sign")
			}
			for i, v := range configured.Versions {
				if v.VerificationPeriod != c.periods {
					t.Errorf("version %d: verification period %s, want %s", i, v.VerificationPeriod, c.periods)
				}
			}
			rotated := must(configured.Rotate(c.ready))
			if next := rotated.Next(); next.VerificationPeriod != c.verification || !next.Ready.Equal(c.ready.Add(c.lead)) {
				t.Errorf("a new version has %s, ready at %s", next.VerificationPeriod, next.Ready)
			}
		})
	}
	if k.VerificationPeriod != verification || k.Versions[0].VerificationPeriod != verification {
		t.Error("Configure changed its receiver")
	}
}

func TestRelease(t *testing.T) {
	at := start.Add(lead)
	k := must(newKey().Rotate(at))
	if !k.NeededUntil.IsZero() {
		t.Errorf("needed until %s before any role let go", k.NeededUntil)
	}
	released := k.Release(at.Add(time.Minute))
	if want := at.Add(time.Minute + verification + keyring.InFlight); !released.NeededUntil.Equal(want) {
		t.Errorf("needed until %s, want %s", released.NeededUntil, want)
	}
	if !k.NeededUntil.IsZero() {
		t.Error("Release changed its receiver")
	}
	// A retired version may outlast what the active one signed.
	longer := must(newKey().Configure(0, lead, 10*verification).Configure(0, lead, verification).Rotate(at)).Release(at)
	if want := at.Add(10*verification + keyring.InFlight); !longer.NeededUntil.Equal(want) {
		t.Errorf("needed until %s, want %s", longer.NeededUntil, want)
	}
	// A later release never makes it earlier.
	again := longer.Prune(at.Add(11 * verification)).Release(at.Add(time.Hour))
	if again.NeededUntil.Before(longer.NeededUntil) {
		t.Errorf("needed until %s, and before until %s", again.NeededUntil, longer.NeededUntil)
	}
}

func TestJWKSOfSeveralKeys(t *testing.T) {
	a, b := newKey(), newKey()
	set := keyring.JWKS(map[string]*keyring.Key{"b": b, "a": a}, start)
	want := []string{a.Versions[0].KeyID, a.Versions[1].KeyID, b.Versions[0].KeyID, b.Versions[1].KeyID}
	if got := keyIDs(set); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if text := string(must(json.Marshal(keyring.JWKS(nil, start)))); text != `{"keys":[]}` {
		t.Errorf("no keys: %s", text)
	}
}
