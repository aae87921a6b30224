// Package token reads JWTs strictly and knows every kind of JWT that we sign.
//
// A token goes through three steps, cheap ones first: [Parse] checks its form
// and decodes it without believing it, the caller chooses the one key that its
// issuer and "kid" name, and [Unverified.Verify] checks the signature.
package token

import (
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// Header is what we use of a JOSE header. Members that name keys (jku, jwk, x5u,
// x5c) are not among it: keys come from the configured issuer alone.
type Header struct {
	Algorithm jose.SignatureAlgorithm
	KeyID     string
	Type      string // media type in lower case without "application/"; "" if absent
}

// Unverified is a well-formed JWT whose signature nobody has checked: its
// claims may choose the issuer and the key, and decide nothing else.
type Unverified struct {
	Header  Header
	Issuer  string
	Subject string // "" if "sub" is absent or no text

	claims  Claims
	payload []byte
	raw     string
}

// Format writes a placeholder, whatever the verb: the token in it has no
// printable form.
func (Unverified) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// Algorithms are all the signature algorithms that any token may use:
// asymmetric ones. "none" and HMAC are not among them, and cannot be allowed.
var Algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// Parse checks the form of a compact JWS and decodes it. Every error is a
// [denial.Error] and comes without a token.
func Parse(raw Secret) (*Unverified, error) {
	segments, err := split(string(raw))
	if err != nil {
		return nil, err
	}
	headerObject, err := decodeSegment("header", segments[0])
	if err != nil {
		return nil, err
	}
	header, err := parseHeader(headerObject.object)
	if err != nil {
		return nil, err
	}
	payload, err := decodeSegment("payload", segments[1])
	if err != nil {
		return nil, err
	}
	claims := Claims(payload.object)
	issuer, err := claims.Text("iss")
	if err != nil {
		return nil, err
	}
	subject, _ := claims["sub"].(string)
	return &Unverified{
		Header: header, Issuer: issuer, Subject: subject,
		claims: claims, payload: payload.bytes, raw: string(raw),
	}, nil
}

// ParseClaims reads claims that come without a token around them, such as the
// answer to an introspection, as strictly as those of a token.
func ParseClaims(data []byte) (Claims, error) {
	object, err := decodeObject(data)
	return object, err
}

// split checks size and alphabet (RFC 8725bis §3.14): three non-empty segments
// of base64url. Line breaks and spaces, which decoders skip, are refused here.
func split(raw string) ([]string, error) {
	if raw == "" {
		return nil, malformed("form", "the token is empty")
	}
	if len(raw) > MaxBytes {
		return nil, malformed("size", "the token is %d bytes long: the limit is %d", len(raw), MaxBytes)
	}
	for _, c := range []byte(raw) {
		if !isTokenByte(c) {
			return nil, malformed("form", "the token is not a JWT in compact serialization: only letters, digits, '-', '_' and '.' may occur")
		}
	}
	segments := strings.Split(raw, ".")
	if len(segments) == 5 {
		return nil, malformed("form", "the token is encrypted (JWE): only signed JWTs are accepted")
	}
	if len(segments) != 3 || slices.Contains(segments, "") {
		return nil, malformed("form", "the token is not a signed JWT: want three segments separated by '.'")
	}
	return segments, nil
}

func isTokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
}

type segment struct {
	bytes  []byte
	object map[string]any
}

func decodeSegment(name, text string) (segment, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return segment{}, malformed("form", "the token's %s is not base64url", name)
	}
	object, err := decodeObject(data)
	if err != nil {
		return segment{}, malformed("form", "the token's %s: %s", name, err)
	}
	return segment{data, object}, nil
}

func parseHeader(h map[string]any) (Header, error) {
	// RFC 7515 §4.1.11: an extension that we do not understand makes the token
	// invalid, and we understand none. That covers "b64" (RFC 7797 §7).
	for _, name := range []string{"crit", "b64", "zip"} {
		if _, ok := h[name]; ok {
			return Header{}, malformed(name, "header has %q, which is not supported", name)
		}
	}
	var header Header
	for name, target := range map[string]*string{
		"alg": (*string)(&header.Algorithm), "kid": &header.KeyID, "typ": &header.Type,
	} {
		v, ok := h[name]
		if !ok {
			continue
		}
		if *target, ok = v.(string); !ok {
			return Header{}, malformed(name, "header %q must be a string", name)
		}
	}
	if !slices.Contains(Algorithms, header.Algorithm) {
		return Header{}, malformed("alg", "header \"alg\" %q is not an accepted signature algorithm", clip(string(header.Algorithm)))
	}
	header.Type = mediaType(header.Type)
	return header, nil
}

// mediaType normalises "typ": compared without case, "application/" implied
// when there is no other slash (RFC 7515 §4.1.9).
func mediaType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

// Verify checks the signature with key, which may be used with the token's
// algorithm alone if that is its kind (RFC 8725 §3.1), and returns the claims.
func (u *Unverified) Verify(key any) (Claims, error) {
	if err := CheckKey(u.Header.Algorithm, key); err != nil {
		return nil, malformed("alg", "header \"alg\": %s", err)
	}
	jws, err := jose.ParseSignedCompact(u.raw, []jose.SignatureAlgorithm{u.Header.Algorithm})
	if err != nil {
		return nil, malformed("form", "the token is not a signed JWT").Because(err)
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return nil, malformed("signature", "the signature does not verify with key %q", clip(u.Header.KeyID)).Because(err)
	}
	if string(payload) != string(u.payload) {
		return nil, denial.Server(denial.Subject, fmt.Errorf("verified payload differs from the decoded one"))
	}
	return u.claims, nil
}

// Payload returns the decoded bytes of the claims, which unlike the token's
// own have one form only: base64 and ECDSA signatures do not.
func (u *Unverified) Payload() []byte { return u.payload }

func malformed(rule, format string, args ...any) *denial.Error {
	return denial.New(denial.InvalidRequest, denial.Subject, rule, format, args...)
}
