package mint_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/mint"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// IN-9: the record of an opaque token has the claims that a JWT would have.
func TestRecordHasTheClaimsOfAJWT_IN9(t *testing.T) {
	p := params()
	p.Acting = token.Acting{{Issuer: "https://us.example", Subject: "entity:1"}}
	p.Authentication, p.Claims = token.Claims{"auth_time": 1_700_000_000}, token.Claims{"team": "a"}
	raw, record, err := mint.Opaque(p, now)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := mint.Token(newKey(t), p, now)
	if err != nil {
		t.Fatal(err)
	}
	u, err := token.Parse(signed)
	if err != nil {
		t.Fatal(err)
	}
	if string(record.Claims) != string(u.Payload()) {
		t.Errorf("got  %s\nwant %s", record.Claims, u.Payload())
	}
	if strings.Contains(string(record.Claims)+record.Place, raw.Reveal()) {
		t.Error("the token is in its record")
	}
}

// What would not be read back is not issued.
func TestOpaqueChecksWhatItMakes(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*mint.Params)
		text string
	}{
		{"no subject", func(p *mint.Params) { p.Subject = "" }, `our own token failed its check: sub: expected ""`},
		{"no id", func(p *mint.Params) { p.ID = "" }, `our own token failed its check: jti: expected ""`},
		{"no client", func(p *mint.Params) { p.ClientID = "" }, `our own token failed its check: client_id: expected ""`},
		{"a kind that there is not", func(p *mint.Params) { p.Type = "x" }, `our own token failed its check: typ "x" is not a kind that we sign`},
		{"a claim that the kind forbids", func(p *mint.Params) { p.Claims = token.Claims{"nonce": "n"} }, `our own token failed its check: claim nonce is forbidden`},
		{"no issuer", func(p *mint.Params) { p.Issuer = "" }, `our own token failed its check: invalid_request: subject: "iss" claim expected "" but got ""`},
		{"expired", func(p *mint.Params) { p.Expires = now }, `our own token failed its check: invalid_request: subject: "exp" claim expired at 2027-01-15T08:00:00Z`},
		{"half a second", func(p *mint.Params) { p.Expires = p.Expires.Add(time.Second / 2) }, `our own token failed its check: exp and iat: expected 2027-01-15 08:01:00.5 +0000 UTC and 2027-01-15 08:00:00 +0000 UTC`},
		{"claims that repeat", func(p *mint.Params) { p.Claims = token.Claims{"SUB": "x"} }, `our own token failed its check: member "sub" stands twice, or with another case`},
		{"claims without end", func(p *mint.Params) { p.Claims = token.Claims{"x": strings.Repeat("y", 20_000)} }, `invalid_request: size: the claims would be 20222 bytes long: the limit is 10752; ask for fewer audiences or scopes, or map fewer claims`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := params()
			p.IssuedAt, p.Expires = p.IssuedAt.UTC(), p.Expires.UTC()
			c.edit(&p)
			raw, record, err := mint.Opaque(p, now)
			if err == nil || raw != "" || record.Place != "" {
				t.Fatalf("made %v", record)
			}
			refusal := denial.From(err)
			got := refusal.Error()
			if refusal.Code == denial.ServerError {
				got = refusal.Unwrap().Error()
			}
			if got != c.text {
				t.Errorf("got  %s\nwant %s", got, c.text)
			}
		})
	}
}
