package exchange

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// origin is where a chain of exchanges stands: what the next token's "txn" and
// "lineage" are made from.
type origin struct {
	chain     string   // "txn"
	source    string   // pseudonym of the original subject
	ancestors []string // root pseudonym and "jti"s, oldest first
	actors    []string // the same of the tokens of those who act
	via       []token.Step
}

// externalOrigin begins a chain at another issuer's token. Without a "jti" the
// payload identifies it; never the token's own bytes, of which there may be
// several that verify.
func externalOrigin(secret []byte, issuerName, sub, jti string, payload []byte) origin {
	root := pseudonym(secret, "root", issuerName, "jti", jti)
	if jti == "" {
		root = pseudonym(secret, "root", issuerName, "payload", string(payload))
	}
	return origin{
		chain:     rand.Text(),
		source:    pseudonym(secret, "subject", issuerName, sub),
		ancestors: []string{"ext:" + root},
	}
}

// callerOrigin begins a chain at a Vault entity.
func callerOrigin(secret []byte, entityID string) origin {
	return origin{chain: rand.Text(), source: pseudonym(secret, "entity", entityID)}
}

// ownOrigin goes on with the chain of one of our tokens.
func ownOrigin(o *Own) origin {
	return origin{
		chain: o.Chain, source: o.Lineage.Source,
		ancestors: slices.Concat(o.Lineage.Ancestors, []string{o.ID}), actors: o.Lineage.Actors,
		via: slices.Concat(o.Lineage.Via, []token.Step{{Role: o.Lineage.Role, KeyID: o.KeyID, Client: o.Lineage.Client}}),
	}
}

// lineage is that of the token to be minted: it goes on from the subject token,
// and dies with the token by which the actor acts as well.
func (a *attempt) lineage(o origin, actor *party) token.Lineage {
	l := token.Lineage{Role: a.role.Ref(), Client: a.clientRef(), Source: o.source, Ancestors: o.ancestors, Actors: o.actors, Via: o.via}
	if actor != nil {
		l.Actors = slices.Concat(o.actors, actor.origin.ancestors, actor.origin.actors)
		l.Via = slices.Concat(o.via, actor.origin.via)
	}
	return l
}

// maxActors is how many tokens of actors, and what those came from, one token may
// depend on.
const maxActors = 64

func (o origin) checkHops(limit int) error {
	if len(o.ancestors) > limit {
		return denial.New(denial.InvalidRequest, denial.Decide, "max_hops",
			"the chain of exchanges would have %d tokens before this one: max_hops of config is %d", len(o.ancestors), limit)
	}
	return nil
}

// pseudonym is an HMAC of its parts: the same for the same parts in the same
// mount, and telling nobody else what they are. Each part goes in with its
// length, so that no two lists of parts are the same text.
func pseudonym(secret []byte, parts ...string) string {
	mac := hmac.New(sha256.New, secret)
	for _, p := range parts {
		_ = binary.Write(mac, binary.BigEndian, uint64(len(p)))
		mac.Write([]byte(p))
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}
