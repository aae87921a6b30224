package issuer

import (
	"context"
	"net/netip"
	"time"
)

// The bounds that tests count against.
const (
	RefreshAfter = refreshAfter
	MinInterval  = minInterval
	MaxStale     = maxStale
)

// CheckAddress asks the address policy of an issuer whose URL names the host
// written, without a connection.
func CheckAddress(listed []string, written, host, ip string) error {
	prefixes, err := parsePrefixes(listed)
	if err != nil {
		return err
	}
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return err
	}
	return addressPolicy{listed: prefixes, written: []string{written}}.check(host, address)
}

// RefreshIfDue is what a request does that has seen a fetch under way.
func (i *Issuer) RefreshIfDue(ctx context.Context) error { return i.remote.refreshFor(ctx, false) }

// MaxUnderWay, MaxAnswers and AnswerAge bound what an issuer is asked about tokens.
const (
	MaxUnderWay = maxUnderWay
	MaxAnswers  = maxAnswers
	AnswerAge   = answerAge
)

// SetTimeout bounds the requests about tokens that begin from now on.
func (i *Issuer) SetTimeout(d time.Duration) { i.introspection.timeout = d }

// Full tells whether a further request about a token would have to wait.
func (i *Issuer) Full() bool {
	free := i.introspection.slots.TryAcquire(1)
	if free {
		i.introspection.slots.Release(1)
	}
	return !free
}

// Drain waits for the requests about tokens that are under way.
func (i *Issuer) Drain(ctx context.Context) error {
	err := i.introspection.slots.Acquire(ctx, maxUnderWay)
	if err == nil {
		i.introspection.slots.Release(maxUnderWay)
	}
	return err
}
