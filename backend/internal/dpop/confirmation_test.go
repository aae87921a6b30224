package dpop_test

import (
	"encoding/pem"
	"maps"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denialtest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/dpop"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

var certificate = []byte("a certificate in DER")

// MT-1: the hash is that of the DER, in base64url without padding.
func TestCertificateThumbprint(t *testing.T) {
	// The hash of no bytes (FIPS 180), by hand: e3b0c442…b855.
	if got := dpop.CertificateThumbprint(nil); got != "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU" {
		t.Errorf("got %s", got)
	}
	inPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	if dpop.ByCertificate(certificate).MatchesCertificate(inPEM) {
		t.Error("MT-1: the PEM matches")
	}
}

// DP-2, MT-1: what is bound is claimed, read back, and matches that alone.
func TestConfirmation(t *testing.T) {
	p := dpop.Proof{Thumbprint: rfcThumbprint}
	sameHash := dpop.Proof{Thumbprint: dpop.CertificateThumbprint(certificate)}
	for _, c := range []struct {
		name                  string
		made                  dpop.Confirmation
		claim                 map[string]any
		byProof, byCert, both bool
	}{
		{"DP-2 a key", dpop.ByKey(p), map[string]any{"jkt": rfcThumbprint}, true, false, true},
		{"MT-1 a certificate", dpop.ByCertificate(certificate), map[string]any{"x5t#S256": sameHash.Thumbprint}, false, true, true},
		{"nothing", dpop.Confirmation{}, nil, false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !maps.Equal(c.made.Claim(), c.claim) || c.made.Bound() != c.both {
				t.Errorf("claim %v, bound %t", c.made.Claim(), c.made.Bound())
			}
			claims := token.Claims{"sub": "alice"}
			if c.claim != nil {
				claims["cnf"] = c.claim
			}
			read := must(dpop.ParseConfirmation(claims))
			if read != c.made {
				t.Errorf("read %+v", read)
			}
			if read.MatchesProof(p) != c.byProof || read.MatchesCertificate(certificate) != c.byCert {
				t.Errorf("matches the proof %t, the certificate %t", read.MatchesProof(p), read.MatchesCertificate(certificate))
			}
			// Neither a hash of the other kind, nor another key, nor what is not there.
			if read.MatchesProof(sameHash) || read.MatchesProof(dpop.Proof{}) || read.MatchesCertificate([]byte("another")) || read.MatchesCertificate(nil) {
				t.Error("matches something else")
			}
		})
	}
}

// A hash confirms in its own way alone, though it be that of a certificate at hand.
func TestConfirmationByTheOtherWay(t *testing.T) {
	p := dpop.Proof{Thumbprint: dpop.CertificateThumbprint(certificate)}
	if dpop.ByKey(p).MatchesCertificate(certificate) {
		t.Error("a certificate for a key")
	}
	if dpop.ByCertificate(certificate).MatchesProof(p) {
		t.Error("a key for a certificate")
	}
}

// A binding that is not understood is not no binding.
func TestConfirmationRefused(t *testing.T) {
	const (
		member = "has a member other than jkt and x5t#S256"
		one    = "must have one member: more than one way to confirm is not supported"
		hash   = "must hold a SHA-256 hash in base64url"
	)
	for _, c := range []struct {
		name string
		cnf  any
		text string
	}{
		{"null", nil, "must be an object"},
		{"text", rfcThumbprint, "must be an object"},
		{"a list", []any{}, "must be an object"},
		{"empty", map[string]any{}, one},
		{"a key in full", map[string]any{"jwk": map[string]any{}}, member},
		{"a key id", map[string]any{"kid": "k1"}, member},
		{"another case", map[string]any{"JKT": rfcThumbprint}, member},
		{"SHA-1", map[string]any{"x5t": "AAAA"}, member},
		{"a key and a certificate", map[string]any{"jkt": rfcThumbprint, "x5t#S256": rfcThumbprint}, one},
		{"a key and something", map[string]any{"jkt": rfcThumbprint, "x": 1}, one},
		{"a number", map[string]any{"jkt": 1}, hash},
		{"an empty hash", map[string]any{"jkt": ""}, hash},
		{"padded", map[string]any{"jkt": rfcThumbprint + "="}, hash},
		{"short", map[string]any{"x5t#S256": "AAAA"}, hash},
		{"a newline", map[string]any{"jkt": rfcThumbprint + "\n"}, hash},
		{"trailing bits", map[string]any{"jkt": rfcThumbprint[:42] + "J"}, hash},
		{"base64 of another alphabet", map[string]any{"jkt": rfcThumbprint[:42] + "+"}, hash},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := dpop.ParseConfirmation(token.Claims{"cnf": c.cnf})
			denialtest.Want(t, err, "cnf", "invalid_request: subject: the cnf claim "+c.text)
		})
	}
}
