package dpop

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// forgetPerUse is how many proofs one use forgets, if there are so many to be
// forgotten: more than it adds, so that memory empties faster than it fills, and
// not all, so that nobody waits for that.
const forgetPerUse = 4

// Replay remembers used proofs until no check would accept them any more (RFC
// 9449 §11.1). It forgets none early: when there is no room, it refuses.
//
// Room is shared among clients: one may hold as many proofs as there are places
// free. So a single client, whatever it sends, gets half of the room; k that send
// all they can get 1/(k+1) each, and the same is left for the others. Shares are
// not by key: anybody can make keys without end. They are worth as much as the
// authentication of the client; those who share a public client share its room.
//
// It may be used concurrently.
type Replay struct {
	capacity int

	mu     sync.Mutex
	latest int64 // the latest time seen, in ms since 1970: time does not go back here
	used   map[useID]struct{}
	queue  []use // as they came, and hence as they are forgotten
	held   map[string]int
}

// useID is a hash of thumbprint and "jti". The URL has no part in it: all that
// are accepted are the same endpoint, and a "jti" is for one use there. The key
// has, since otherwise one client could use up the "jti" of another. Nor is it
// a hash of the proof, which has other forms that verify as well.
type useID [sha256.Size]byte

type use struct {
	id     useID
	client string
	until  int64 // remembered until then, in ms since 1970
}

// NewReplay has room for so many proofs.
func NewReplay(capacity int) *Replay {
	return &Replay{capacity: capacity, used: map[useID]struct{}{}, held: map[string]int{}}
}

// Use records the use of a verified proof by a client, or refuses it if it was
// used before or cannot be remembered.
func (r *Replay) Use(p Proof, client string, now time.Time) error {
	id := useID(sha256.Sum256([]byte(p.Thumbprint + p.ID))) // the thumbprint has one length
	usable := p.IssuedAt.Add(maxAge).UnixMilli()

	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = max(r.latest, now.UnixMilli())
	r.forget(client)
	_, again := r.used[id]
	until := r.latest + (maxAge + maxAhead).Milliseconds()
	switch {
	case again:
		return refuse("jti", "was used before: every request needs a proof of its own")
	case usable < r.latest:
		// It may be among the forgotten: the clock was set back, or the request
		// took its time.
		return refuse("iat", "is too old")
	case usable > until:
		return refuse("iat", "is too far ahead")
	case !r.hasRoom(client):
		return denial.New(denial.TemporarilyUnavailable, denial.Binding, "replay", "too many proofs in the last minute: try again later")
	}
	r.used[id] = struct{}{}
	r.held[client]++
	r.queue = append(r.queue, use{id, client, until})
	return nil
}

func (r *Replay) hasRoom(client string) bool { return r.held[client] < r.capacity-len(r.used) }

// forget drops proofs that no check accepts any more: some, or as many as it takes
// to make room for the client.
func (r *Replay) forget(client string) {
	for n := 0; n < forgetPerUse || !r.hasRoom(client); n++ {
		if len(r.queue) == 0 || r.queue[0].until >= r.latest {
			return
		}
		oldest := r.queue[0]
		r.queue = r.queue[1:] // append moves what is left when it needs room
		delete(r.used, oldest.id)
		if r.held[oldest.client]--; r.held[oldest.client] == 0 {
			delete(r.held, oldest.client)
		}
	}
}

// ahead tells whether time has been so far ahead of now that a proof made now
// would be refused.
func (r *Replay) ahead(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Add(maxAge).UnixMilli() < r.latest
}
