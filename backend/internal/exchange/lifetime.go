package exchange

import (
	"errors"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
)

// lifetime computes "exp", here and nowhere else: the earliest of what was
// asked for or is the role's default, the role's and the mount's ceilings,
// Vault's ceiling for the mount, the "exp" of the subject token and of the actor
// token, and the moment up to which the signing key is certain to be published, if
// one signs. Leeway has no part in it. Asking for more than the role allows is refused; the other ceilings
// shorten the life, and expires_in tells.
//
// What bounds the life is named, unless it is what was asked for.
func (s *Snapshot) lifetime(role *policy.Role, req Request, issued time.Time, subject, actor *party) (expires time.Time, bound string, err error) {
	ceiling := s.MaxTTLOf(role)
	if req.TTL > ceiling {
		return expires, "", denial.New(denial.InvalidRequest, denial.Lifetime, "ttl",
			"%s is more than the max_ttl of the role %q, which is %s", req.TTL, role.Name, ceiling)
	}
	key := s.Keys[s.KeyOf(role)]
	if key == nil && !role.Opaque() || req.MountMaxTTL <= 0 {
		return expires, "", denial.Server(denial.Lifetime, errors.New("no signing key, or no mount TTL"))
	}
	ttl := req.TTL
	if ttl == 0 {
		ttl = role.TTL
	}
	if ttl == 0 {
		ttl = s.Config.DefaultTTL
	}
	expires = issued.Add(ttl)
	until := func(by string, t time.Time) {
		if t.Before(expires) {
			expires, bound = t, by
		}
	}
	until("max_ttl", issued.Add(ceiling))
	until("the longest lease of the mount", issued.Add(req.MountMaxTTL))
	if !role.Opaque() {
		until("the signing key", key.Active().LastVerifiable(issued))
	}
	if subject != nil && !subject.expires.IsZero() {
		until("exp of the subject token", subject.expires)
	}
	if actor != nil && !actor.expires.IsZero() {
		until("exp of the actor token", actor.expires)
	}
	expires = expires.Truncate(time.Second)
	if expires.Sub(issued) < MinTTL {
		return expires, "", denial.New(denial.InvalidRequest, denial.Lifetime, "exp", "the subject token, or the actor token, expires too soon for a token to be made from it")
	}
	return expires, bound, nil
}
