package dpop_test

import (
	"bytes"
	"crypto"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/dpop"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Whatever comes as a proof is refused, or another library verifies it with the
// key whose thumbprint we got. A refusal holds no part of it.
func FuzzProof(f *testing.F) {
	f.Add(good().signed())
	f.Add(good().with(by("EdDSA", edKey(), edKey().Public())).signed())
	f.Add(good().with(by("PS256", rsa2048(), rsa2048().Public())).signed())
	for _, c := range append(append([]bad{}, badHeaders...), badClaims...) {
		f.Add(good().with(c.change).signed())
	}
	f.Add(rfcTokenProof)
	f.Add(rfcResourceProof)
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := dpop.Verify(raw, want, now)
		if err != nil {
			if text := err.Error(); len(text) > 200 || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
				t.Errorf("TX-18: %q", text)
			}
			return
		}
		jws, err := jose.ParseSignedCompact(raw, token.Algorithms)
		if err != nil {
			t.Fatal(err)
		}
		key := jws.Signatures[0].Header.JSONWebKey
		if _, err := jws.Verify(key); err != nil {
			t.Fatal(err)
		}
		if thumbprint := must(key.Thumbprint(crypto.SHA256)); b64(thumbprint) != got.Thumbprint {
			t.Errorf("got %+v", got)
		}
	})
}

// The checks of one request, with what a proof by ES256 takes to verify. With the
// same secret a new memory takes the same proofs again.
func BenchmarkCheck(b *testing.B) {
	const proofs = 4096
	begin := func() *dpop.Checker { return must(dpop.NewChecker(bytes.NewReader(make([]byte, 32)), 4*proofs)) }
	c := begin()
	raw := make([]string, proofs)
	for i := range raw {
		raw[i] = fresh(c, fmt.Sprint(i), now, now)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%proofs == 0 {
			c = begin()
		}
		if _, err := c.Check(raw[i%proofs], want, now); err != nil {
			b.Fatal(err)
		}
	}
}

// What memory costs when it is full of others' proofs.
func BenchmarkReplay(b *testing.B) {
	r := dpop.NewReplay(dpop.DefaultCapacity)
	for i := range dpop.DefaultCapacity / 2 {
		_ = r.Use(proof(-i), "other", now)
	}
	b.ReportAllocs()
	at := now
	for i := 1; b.Loop(); i++ {
		at = at.Add(1e6)
		p := dpop.Proof{Thumbprint: rfcThumbprint, ID: fmt.Sprint(i), IssuedAt: at}
		if err := r.Use(p, "shop", at); err != nil {
			b.Fatal(err)
		}
	}
}
