// Package mint makes tokens: build the claims, sign them, and check the result
// as a resource server would before anybody gets it. Of an opaque token, what is
// checked is the record that stands for it.
package mint

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Params are what goes into one token. Every field must be set but Scope, Acting,
// Confirmation, Authentication and Claims.
type Params struct {
	Type     string // the "typ" header: one of token.Kinds
	Issuer   string
	Subject  string
	ClientID string
	Audience []string
	Scope    []string
	IssuedAt time.Time // whole seconds
	Expires  time.Time // whole seconds
	ID       string    // "jti"
	Chain    string    // "txn"
	Lineage  token.Lineage
	Acting   token.Acting // "act"
	// Confirmation is what the token is bound to, "cnf" (RFC 7800); nil if nothing.
	Confirmation map[string]any
	// Authentication is auth_time, acr and amr of the subject token (RFC 9068
	// §2.2.1); Claims are further ones that the role adds.
	Authentication, Claims token.Claims
}

// Build returns the claims (RFC 9068 §2.2): "aud" is a string if there is one
// audience, "scope" is left out if none was granted.
func Build(p Params) token.Claims {
	claims := token.Claims{}
	// First, so that none of them can take the place of one below.
	maps.Copy(claims, p.Claims)
	delete(claims, "act")
	delete(claims, "scope")
	delete(claims, "cnf")
	maps.Copy(claims, p.Authentication)
	maps.Copy(claims, token.Claims{
		"iss": p.Issuer, "sub": p.Subject, "client_id": p.ClientID,
		"iat": p.IssuedAt.Unix(), "exp": p.Expires.Unix(),
		"jti": p.ID, "txn": p.Chain, "lineage": p.Lineage.Claim(), "aud": p.Audience,
	})
	if act := p.Acting.Claim(); act != nil {
		claims["act"] = act
	}
	if p.Confirmation != nil {
		claims["cnf"] = p.Confirmation
	}
	if len(p.Audience) == 1 {
		claims["aud"] = p.Audience[0]
	}
	if len(p.Scope) > 0 {
		claims["scope"] = strings.Join(p.Scope, " ")
	}
	return claims
}

// maxPayload leaves room for the longest header and signature within
// [token.MaxBytes], in which the payload takes four characters for three bytes.
const maxPayload = (token.MaxBytes - 2048) * 3 / 4

// Payload returns the claims as they are signed, unless they are too long.
func Payload(p Params) ([]byte, error) {
	payload, err := json.Marshal(Build(p))
	if err != nil {
		return nil, denial.Server(denial.Mint, err)
	}
	if len(payload) > maxPayload {
		return nil, denial.New(denial.InvalidRequest, denial.Mint, "size",
			"the claims would be %d bytes long: the limit is %d; ask for fewer audiences or scopes, or map fewer claims", len(payload), maxPayload)
	}
	return payload, nil
}

// Token builds, signs and checks one token. Now is the time of the check.
func Token(key *keyring.Key, p Params, now time.Time) (token.Secret, error) {
	payload, err := Payload(p)
	if err != nil {
		return "", err
	}
	signed, err := sign(key, p.Type, payload)
	if err != nil {
		return "", denial.Server(denial.Mint, err)
	}
	if err := check(signed, key, p, now); err != nil {
		return "", denial.Server(denial.Mint, fmt.Errorf("our own token failed its check: %w", err))
	}
	return signed, nil
}

func sign(key *keyring.Key, typ string, payload []byte) (token.Secret, error) {
	active := key.Active()
	if active.Signer() == nil {
		return "", fmt.Errorf("key %q cannot sign", active.KeyID)
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: key.Algorithm, Key: jose.JSONWebKey{Key: active.Signer(), KeyID: active.KeyID}},
		(&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	compact, err := jws.CompactSerialize()
	return token.Secret(compact), err
}

// check reads the signed token back, and holds its claims against what was asked for.
func check(signed token.Secret, key *keyring.Key, p Params, now time.Time) error {
	u, claims, err := readBack(signed, key, now)
	if err != nil {
		return err
	}
	dates, err := u.Validate(claims, token.Expect{
		Issuer: p.Issuer, Audiences: p.Audience, Types: []string{strings.ToLower(p.Type)}, Now: now,
	})
	if err != nil {
		return err
	}
	if dates.Expires.After(key.Active().LastVerifiable(now)) {
		return fmt.Errorf("exp: outlives the publication of its key")
	}
	return checkClaims(claims, dates, p)
}

// readBack verifies what was signed with the key as the JWKS publishes it, and that it
// is of a kind that we sign.
func readBack(signed token.Secret, key *keyring.Key, now time.Time) (*token.Unverified, token.Claims, error) {
	u, err := token.Parse(signed)
	if err != nil {
		return nil, nil, err
	}
	jwks := keyring.JWKS(map[string]*keyring.Key{key.Name: key}, now)
	published := jwks.Key(u.Header.KeyID)
	if len(published) != 1 {
		return nil, nil, fmt.Errorf("key %q is published %d times", u.Header.KeyID, len(published))
	}
	claims, err := u.Verify(published[0].Key)
	if err != nil {
		return nil, nil, err
	}
	return u, claims, checkKind(claims, u.Header.Type)
}

func checkKind(claims token.Claims, typ string) error {
	kind, ok := token.KindOf(typ)
	if !ok {
		return fmt.Errorf("typ %q is not a kind that we sign", typ)
	}
	if problem := kind.Check(claims); problem != "" {
		return fmt.Errorf("claim %s", problem)
	}
	return nil
}

func checkClaims(claims token.Claims, dates token.Dates, p Params) error {
	audience, err := claims.Strings("aud")
	if err != nil {
		return err
	}
	scopes, err := claims.Scopes()
	if err != nil {
		return err
	}
	acting, err := token.ParseActing(claims, "")
	if err != nil {
		return err
	}
	switch {
	case claims["sub"] != p.Subject || p.Subject == "":
		return fmt.Errorf("sub: expected %q", p.Subject)
	case claims["client_id"] != p.ClientID || p.ClientID == "":
		return fmt.Errorf("client_id: expected %q", p.ClientID)
	case claims["jti"] != p.ID || p.ID == "":
		return fmt.Errorf("jti: expected %q", p.ID)
	case len(audience) != len(p.Audience) || len(scopes) != len(p.Scope):
		return fmt.Errorf("expected %d audiences and %d scopes", len(p.Audience), len(p.Scope))
	case !reflect.DeepEqual(acting, p.Acting):
		return fmt.Errorf("act: expected %d actors, and got others", len(p.Acting))
	case claims.Has("cnf") != (p.Confirmation != nil) || p.Confirmation != nil && !reflect.DeepEqual(claims["cnf"], p.Confirmation):
		return fmt.Errorf("cnf: expected %v", p.Confirmation)
	case !dates.Expires.Equal(p.Expires) || !dates.IssuedAt.Equal(p.IssuedAt):
		return fmt.Errorf("exp and iat: expected %s and %s", p.Expires, p.IssuedAt)
	}
	return nil
}
