package mint_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/mint"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

var now = time.Unix(1_800_000_000, 0)

func newKey(t *testing.T) *keyring.Key {
	t.Helper()
	k, err := keyring.Generate(keyring.Key{Name: "main", Algorithm: "ES256", PublicationLead: time.Hour, VerificationPeriod: time.Hour}, now, now)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func params() mint.Params {
	return mint.Params{
		Type: "at+jwt", Issuer: "https://us.example", Subject: "idp:alice", ClientID: "role:orders",
		Audience: []string{"https://a.example"}, Scope: []string{"r"}, IssuedAt: now, Expires: now.Add(time.Minute),
		ID: "id-1", Chain: "chain-1", Lineage: token.Lineage{Role: "role-1", Source: "src-1"},
	}
}

func TestBuild(t *testing.T) {
	p := params()
	p.Audience, p.Scope = []string{"https://a.example", "https://b.example"}, nil
	claims := mint.Build(p)
	if claims.Has("scope") {
		t.Errorf("scope is there although none was granted")
	}
	if aud, _ := claims["aud"].([]string); !slices.Equal(aud, p.Audience) {
		t.Errorf("aud %v", claims["aud"])
	}
	if claims["exp"] != now.Add(time.Minute).Unix() || claims["iat"] != now.Unix() {
		t.Errorf("exp %v, iat %v", claims["exp"], claims["iat"])
	}
}

// Every algorithm signs, and its token passes the check.
func TestTokenForEveryAlgorithm(t *testing.T) {
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		k, err := keyring.Generate(keyring.Key{Name: "k", Algorithm: token.Algorithms[indexOf(alg)], PublicationLead: time.Hour, VerificationPeriod: time.Hour}, now, now)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mint.Token(k, params(), now); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func indexOf(alg string) int {
	for i, a := range token.Algorithms {
		if string(a) == alg {
			return i
		}
	}
	return -1
}

// A token that is not what was asked for is never handed out: its check fails,
// which is our own fault and not the caller's.
func TestSelfCheck(t *testing.T) {
	other := newKey(t)
	for _, c := range []struct {
		name string
		edit func(*mint.Params, *keyring.Key)
		want string
	}{
		{"no issuer", func(p *mint.Params, _ *keyring.Key) { p.Issuer = "" }, `our own token failed its check: invalid_request: subject: "iss" claim expected "" but got ""`},
		{"no audience", func(p *mint.Params, _ *keyring.Key) { p.Audience = nil }, `our own token failed its check: invalid_request: subject: "aud" claim must be a string or an array of strings`},
		{"no subject", func(p *mint.Params, _ *keyring.Key) { p.Subject = "" }, `our own token failed its check: sub: expected ""`},
		{"no client", func(p *mint.Params, _ *keyring.Key) { p.ClientID = "" }, `our own token failed its check: client_id: expected ""`},
		{"no id", func(p *mint.Params, _ *keyring.Key) { p.ID = "" }, `our own token failed its check: jti: expected ""`},
		{"expired", func(p *mint.Params, _ *keyring.Key) { p.Expires = now }, `our own token failed its check: invalid_request: subject: "exp" claim expired at 2027-01-15T08:00:00Z`},
		{"outliving its key", func(p *mint.Params, _ *keyring.Key) { p.Expires = now.Add(time.Hour + time.Second) }, `our own token failed its check: exp: outlives the publication of its key`},
		{"a kind that we do not sign", func(p *mint.Params, _ *keyring.Key) { p.Type = "txntoken+jwt" }, `our own token failed its check: typ "txntoken+jwt" is not a kind that we sign`},
		{"a scope with a space in it", func(p *mint.Params, _ *keyring.Key) { p.Scope = []string{"a b"} }, `our own token failed its check: expected 1 audiences and 1 scopes`},
		{"a private key that is not the published one's", func(_ *mint.Params, k *keyring.Key) {
			k.Versions[0] = keyring.Restore(k.Versions[0], other.Active().Signer())
		}, `our own token failed its check: invalid_request: subject: the signature does not verify with key "KID"`},
		{"a retired key", func(_ *mint.Params, k *keyring.Key) {
			k.Versions[0] = keyring.Restore(k.Versions[0], nil)
		}, `key "KID" cannot sign`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, k := params(), newKey(t)
			k.Versions[0].KeyID = "KID"
			c.edit(&p, k)
			signed, err := mint.Token(k, p, now)
			refusal := denial.From(err)
			if signed != "" || refusal == nil || refusal.Code != denial.ServerError || refusal.Unwrap().Error() != c.want {
				t.Errorf("got %v because %v, want %s", err, refusal.Unwrap(), c.want)
			}
		})
	}
}
