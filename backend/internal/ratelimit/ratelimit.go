// Package ratelimit holds each of many parties to so many requests a minute. One
// that asks for too much is turned away, and nobody else notices.
package ratelimit

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/simplelru"
	"golang.org/x/time/rate"
)

// DefaultParties is how many parties are remembered. One that is forgotten, which
// is the one that was idle for longest, begins again with all that it may have.
const DefaultParties = 1 << 16

// Limits remembers what parties have asked for. The memory is that of one process:
// after a failover everybody begins again.
type Limits struct {
	mu      sync.Mutex
	parties *simplelru.LRU
}

// party is what is left to one, at the rate that it was last asked about.
type party struct {
	perMinute int
	bucket    *rate.Limiter
}

// New remembers so many parties.
func New(parties int) (*Limits, error) {
	lru, err := simplelru.NewLRU(parties, nil)
	if err != nil {
		return nil, err
	}
	return &Limits{parties: lru}, nil
}

// Take counts a request of a party, which may make so many a minute, all at once
// if it likes. It returns how long to wait if that was too many; such a request
// is not counted.
func (l *Limits) Take(name string, perMinute int, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, _ := l.get(name)
	if p == nil || p.perMinute != perMinute {
		p = &party{perMinute: perMinute, bucket: rate.NewLimiter(rate.Limit(float64(perMinute)/60), perMinute)}
		l.parties.Add(name, p)
	}
	taken := p.bucket.ReserveN(now, 1)
	wait := taken.DelayFrom(now)
	if wait > 0 {
		taken.CancelAt(now)
	}
	return wait
}

func (l *Limits) get(name string) (*party, bool) {
	v, ok := l.parties.Get(name)
	if !ok {
		return nil, false
	}
	p, ok := v.(*party)
	return p, ok
}
