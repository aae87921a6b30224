package dpop

import (
	"crypto/sha256"
	"encoding/base64"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// The members of "cnf" that are understood.
const (
	keyMethod         = "jkt"      // RFC 9449 §6.1
	certificateMethod = "x5t#S256" // RFC 8705 §3.1
)

// Confirmation is what a token is bound to (RFC 7800 §3): one key or one
// certificate. The zero value is that of a token that is bound to nothing: it
// matches nothing.
type Confirmation struct{ method, thumbprint string }

// ByKey binds to the key of a proof.
func ByKey(p Proof) Confirmation { return Confirmation{keyMethod, p.Thumbprint} }

// ByCertificate binds to a certificate in DER.
func ByCertificate(der []byte) Confirmation {
	return Confirmation{certificateMethod, CertificateThumbprint(der)}
}

// ParseConfirmation reads the claim "cnf"; without one the token is not bound.
// The claim must hold one member, and one that is understood: a binding that
// nobody checks is none.
func ParseConfirmation(claims token.Claims) (Confirmation, error) {
	if !claims.Has("cnf") {
		return Confirmation{}, nil
	}
	cnf, ok := claims["cnf"].(map[string]any)
	if !ok {
		return Confirmation{}, malformedConfirmation("must be an object")
	}
	if len(cnf) != 1 {
		return Confirmation{}, malformedConfirmation("must have one member: more than one way to confirm is not supported")
	}
	for method, value := range cnf {
		thumbprint, ok := value.(string)
		switch {
		case method != keyMethod && method != certificateMethod:
			return Confirmation{}, malformedConfirmation("has a member other than jkt and x5t#S256")
		case !ok || !isHash(thumbprint):
			return Confirmation{}, malformedConfirmation("must hold a SHA-256 hash in base64url")
		}
		return Confirmation{method, thumbprint}, nil
	}
	return Confirmation{}, malformedConfirmation("is empty")
}

// Claim returns the value of "cnf"; nil if there is nothing to bind to.
func (c Confirmation) Claim() map[string]any {
	if !c.Bound() {
		return nil
	}
	return map[string]any{c.method: c.thumbprint}
}

// Bound tells whether there is a key or certificate to be shown.
func (c Confirmation) Bound() bool { return c.method != "" }

// ByKey tells whether it is a key, of which a DPoP proof is to be given.
func (c Confirmation) ByKey() bool { return c.method == keyMethod }

// MatchesProof tells whether a verified proof is by the key that a token is
// bound to.
func (c Confirmation) MatchesProof(p Proof) bool {
	return c.method == keyMethod && c.thumbprint == p.Thumbprint
}

// MatchesCertificate tells whether a certificate, in DER, is the one that a token
// is bound to. That its key was proven in TLS is for the caller to know.
func (c Confirmation) MatchesCertificate(der []byte) bool {
	return c.method == certificateMethod && c.thumbprint == CertificateThumbprint(der)
}

// CertificateThumbprint is the SHA-256 hash of a certificate in DER, in base64url
// without padding (RFC 8705 §3.1).
func CertificateThumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// isHash tells whether text is a SHA-256 hash in base64url, in the one spelling
// that it has.
func isHash(text string) bool {
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(data) == sha256.Size && len(text) == base64.RawURLEncoding.EncodedLen(sha256.Size)
}

func malformedConfirmation(reason string) *denial.Error {
	return denial.New(denial.InvalidRequest, denial.Subject, "cnf", "the cnf claim %s", reason)
}
