package issuer

import (
	"crypto/sha256"
	"maps"
	"time"

	lru "github.com/hashicorp/golang-lru"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Bounds of what is held of an issuer's answers. What it takes back is good here
// for answerAge more.
const (
	answerAge  = 10 * time.Second
	maxAnswers = 1024
)

// digest stands for a token, so that none is held.
type digest [sha256.Size]byte

// answers are what an issuer has said of active tokens a moment ago.
type answers struct {
	now  func() time.Time
	held *lru.Cache
}

type answer struct {
	claims token.Claims
	until  time.Time
}

func newAnswers(now func() time.Time) (*answers, error) {
	held, err := lru.New(maxAnswers)
	return &answers{now: now, held: held}, err
}

// get returns the claims of a token that was active a moment ago; else nil.
func (a *answers) get(key digest) token.Claims {
	value, _ := a.held.Get(key)
	known, ok := value.(answer)
	if !ok || !a.now().Before(known.until) {
		return nil
	}
	return maps.Clone(known.claims)
}

// put holds the claims of an active token, at most until it expires.
func (a *answers) put(key digest, claims token.Claims) {
	until, err := claims.Date("exp")
	if err != nil {
		return
	}
	if latest := a.now().Add(answerAge); until.After(latest) {
		until = latest
	}
	a.held.Add(key, answer{claims: claims, until: until})
}
