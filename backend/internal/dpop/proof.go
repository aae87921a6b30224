package dpop

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Limits on a proof. One with the longest RSA key that is accepted has some 5000
// bytes.
const (
	maxProof = 8 << 10 // bytes of the compact serialization
	maxID    = 256     // bytes of "jti"
	maxNonce = 256     // bytes of "nonce"
)

// A proof is accepted until maxAge after its "iat", and from maxAhead before it,
// for clocks that differ (RFC 9449 §11.1). What bounds proofs made in advance is
// the nonce.
const (
	maxAge   = time.Minute
	maxAhead = 5 * time.Second
)

var (
	errKeyType  = errors.New("not a key of an accepted type")
	errSpelling = errors.New("not the canonical spelling of the key")
)

// Proof is a DPoP proof whose signature and claims were checked.
type Proof struct {
	Thumbprint      string    // of its key, RFC 7638 with SHA-256, in base64url: "jkt"
	ID              string    // "jti"
	IssuedAt        time.Time // "iat"
	Nonce           string    // "nonce"; "" if there is none
	AccessTokenHash string    // "ath"; "" if there is none, as at a token endpoint
}

// Request is the request that a proof must be made for.
type Request struct {
	Method string // exactly "htm"
	// URLs are those by which clients know the endpoint, as configured: never
	// what the request says of itself. None accepts nothing.
	URLs []string
	// Client is the authenticated client. [Replay] gives each a share of its room.
	Client string
}

// formReasons say what is wrong with the form of a proof, by the rule of package
// token that it breaks. The texts of that package repeat parts of the proof.
var formReasons = map[string]string{
	"form":      "is not one well-formed signed JWT in compact serialization",
	"alg":       "the header names no accepted algorithm: want an asymmetric one",
	"crit":      "the header has crit, which is not supported",
	"b64":       "the header has b64, which is not supported",
	"zip":       "the header has zip, which is not supported",
	"signature": "does not verify with the key in the header",
}

// Verify makes the checks of RFC 9449 §4.3 that need no memory: all but that the
// nonce is one of ours, and that the proof was not used before.
func Verify(raw string, want Request, now time.Time) (Proof, error) {
	unverified, header, err := parse(raw)
	if err != nil {
		return Proof{}, err
	}
	key, thumbprint, err := embeddedKey(header, unverified.Header.Algorithm)
	if err != nil {
		return Proof{}, err
	}
	claims, err := unverified.Verify(key)
	if err != nil {
		return Proof{}, malformed(err)
	}
	if err := want.check(claims); err != nil {
		return Proof{}, err
	}
	proof := Proof{Thumbprint: thumbprint}
	if proof.ID, err = required(claims, "jti", maxID); err != nil {
		return Proof{}, err
	}
	if proof.Nonce, err = optional(claims, "nonce", maxNonce); err != nil {
		return Proof{}, err
	}
	if proof.AccessTokenHash, err = optional(claims, "ath", maxID); err != nil {
		return Proof{}, err
	}
	if claims.Has("ath") && !isHash(proof.AccessTokenHash) {
		return Proof{}, refuse("ath", "is not a SHA-256 hash in base64url")
	}
	proof.IssuedAt, err = checkDates(claims, now)
	if err != nil {
		return Proof{}, err
	}
	return proof, nil
}

// parse checks the form of a proof, and reads its header once more: what package
// token knows of a header leaves out the keys in it, and compares types loosely.
func parse(raw string) (*token.Unverified, token.Claims, error) {
	switch {
	case raw == "":
		return nil, nil, refuse("form", "is missing")
	case len(raw) > maxProof:
		return nil, nil, refuse("size", "is %d bytes long: the limit is %d", len(raw), maxProof)
	case strings.Contains(raw, ","):
		return nil, nil, refuse("form", "there is more than one: send one DPoP header")
	}
	unverified, err := token.Parse(token.Secret(raw))
	if err != nil {
		return nil, nil, malformed(err)
	}
	encoded, _, _ := strings.Cut(raw, ".")
	data, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, nil, refuse("form", "%s", formReasons["form"]).Because(err)
	}
	header, err := token.ParseClaims(data)
	if err != nil {
		return nil, nil, refuse("form", "%s", formReasons["form"]).Because(err)
	}
	if header["typ"] != "dpop+jwt" {
		return nil, nil, refuse("typ", "the header must say dpop+jwt")
	}
	return unverified, header, nil
}

// malformed turns a refusal of package token into one of a proof.
func malformed(err error) *denial.Error {
	refusal := denial.From(err)
	if refusal.Code == denial.ServerError {
		return refusal.At(denial.Binding)
	}
	reason, ok := formReasons[refusal.Rule]
	if !ok {
		reason = "is malformed"
	}
	return refuse(refusal.Rule, "%s", reason).Because(err)
}

// check holds method and URL of a proof against the request.
func (r Request) check(claims token.Claims) error {
	method, err := required(claims, "htm", maxID)
	if err != nil {
		return err
	}
	if method != r.Method {
		return refuse("htm", "is not the method of this request")
	}
	raw, err := required(claims, "htu", maxURL)
	if err != nil {
		return err
	}
	url, err := NormalizeURL(raw)
	if err != nil {
		return refuse("htu", "%s", err)
	}
	if !slices.ContainsFunc(r.URLs, func(configured string) bool {
		accepted, err := NormalizeURL(configured)
		return err == nil && accepted == url
	}) {
		return refuse("htu", "is not the URL of this endpoint: expected %s", strings.Join(r.URLs, " or "))
	}
	return nil
}

// checkDates returns "iat". "exp" and "nbf" need not be there, but mean what they
// mean in any JWT (RFC 7519 §4.1).
func checkDates(claims token.Claims, now time.Time) (time.Time, error) {
	dates := map[string]time.Time{}
	for _, name := range []string{"iat", "exp", "nbf"} {
		date, err := claims.Date(name)
		if err != nil {
			return time.Time{}, refuse(name, "is not a number of seconds since 1970").Because(err)
		}
		dates[name] = date
	}
	issued := dates["iat"]
	switch {
	case !claims.Has("iat"):
		return time.Time{}, refuse("iat", "is missing")
	case now.Sub(issued) > maxAge:
		return time.Time{}, refuse("iat", "is more than %d seconds ago: check the clock", maxAge/time.Second)
	case issued.Sub(now) > maxAhead:
		return time.Time{}, refuse("iat", "is more than %d seconds ahead: check the clock", maxAhead/time.Second)
	case claims.Has("exp") && !now.Before(dates["exp"]):
		return time.Time{}, refuse("exp", "is in the past")
	case dates["nbf"].Sub(now) > maxAhead:
		return time.Time{}, refuse("nbf", "is more than %d seconds ahead: check the clock", maxAhead/time.Second)
	}
	return issued, nil
}

// required returns a claim that must be text with something in it.
func required(claims token.Claims, name string, limit int) (string, error) {
	text, err := optional(claims, name, limit)
	if err == nil && text == "" {
		return "", refuse(name, "is missing or empty")
	}
	return text, err
}

// optional returns a claim that must be text if it is there.
func optional(claims token.Claims, name string, limit int) (string, error) {
	text, err := claims.Text(name)
	if err != nil {
		return "", refuse(name, "must be a string").Because(err)
	}
	if len(text) > limit {
		return "", refuse(name, "is %d bytes long: the limit is %d", len(text), limit)
	}
	return text, nil
}
