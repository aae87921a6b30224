package exchange

import (
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// checkRate holds a subject to the rate_limit of the role, whatever token it comes
// with and by whichever entrance. An explanation costs nothing.
func (a *attempt) checkRate(s *subject) error {
	if a.role.RateLimit == 0 || a.given != nil {
		return nil
	}
	wait := a.Limits.Take("role "+a.role.ID+" "+s.origin.source, a.role.RateLimit, a.Now())
	return tooMany("rate_limit", "the subject has asked by the role for more than %d exchanges a minute", a.role.RateLimit, wait)
}

// CheckClientRate holds a client that has authenticated itself to its rate_limit.
func (x *Exchanger) CheckClientRate(c *client.Config) error {
	if c.RateLimit == 0 {
		return nil
	}
	return tooMany("client_rate_limit", "the client has made more than %d requests a minute", c.RateLimit, x.Limits.Take("client "+c.Ref(), c.RateLimit, x.Now()))
}

func tooMany(rule, text string, limit int, wait time.Duration) error {
	if wait == 0 {
		return nil
	}
	return denial.New(denial.SlowDown, denial.Rate, rule, text, limit).After(wait)
}
