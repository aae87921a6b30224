package exchange_test

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// journey is a token on its way through roles of two mounts, beside what it must
// be: a model that knows no more than the rules.
type journey struct {
	rt     *rapid.T
	mounts [2]*world
	users  *issuertest.Issuer // of the first subject
	robots *issuertest.Issuer // of those who act

	token   token.Secret
	mount   int // that issued it; -1 for users
	sub     string
	scope   []string
	acting  token.Acting
	expires time.Time
	hops    int // exchanges in the mount that issued it, without a break
	opaque  bool

	throughOpaque int // exchanges of an opaque token
}

var (
	journeyAudiences = []string{orders, billing, "https://stock.example", "urn:outside"}
	journeyScopes    = []string{"orders:read", "orders:write", "admin"}
)

func subset(rt *rapid.T, label string, of []string) []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(of), 0, len(of), rapid.ID[string]).Draw(rt, label)
}

func seconds(rt *rapid.T, label string, most int) time.Duration {
	return time.Duration(rapid.IntRange(1, most).Draw(rt, label)) * time.Second
}

// newMounts makes two mounts that trust each other's keys, and the same users and
// robots.
func newMounts(t testing.TB, users, robots *issuertest.Issuer) [2]*world {
	mounts := [2]*world{newWorld(t), newWorld(t)}
	for i, w := range mounts {
		w.snapshot.Config.Issuer = fmt.Sprintf("https://vault.example/v1/mount-%d", i)
		w.snapshot.Config.DefaultKey = fmt.Sprintf("key-%d", i)
		w.snapshot.Config.DefaultTTL, w.snapshot.Config.MaxTTL = 2*time.Hour, 2*time.Hour // so that every other ceiling counts
		w.addKey(w.snapshot.Config.DefaultKey, func(k *keyring.Key) { k.VerificationPeriod = 20 * time.Minute })
		delete(w.snapshot.Keys, "main")
		w.addIssuer("users", users, func(*issuer.Config) {})
		w.addIssuer("robots", robots, func(*issuer.Config) {})
	}
	for i, w := range mounts {
		other := mounts[1-i]
		c := issuer.NewConfig("peer")
		c.BoundIssuer, c.BoundAudiences = other.snapshot.Config.Issuer, journeyAudiences
		c.JWKS = jwksOf(t, other)
		made, err := issuer.New(c, issuer.Options{})
		w.must(err)
		w.snapshot.Issuers["peer"] = made
	}
	return mounts
}

// draw makes a random role for the token that is on its way.
func (j *journey) draw(mount int) (*world, *policy.Role) {
	w := j.mounts[mount]
	from := "users"
	switch j.mount {
	case mount:
		from = policy.Self
	case 1 - mount:
		from = "peer"
	}
	name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(j.rt, "role")
	role := policy.NewRole("id-of-"+name, name)
	role.Issuers, role.BoundClaims = []string{from}, map[string]any{"user": true}
	role.Claims = map[string]string{"user": "subject.user"}
	role.AllowedAudiences = subset(j.rt, "role audiences", journeyAudiences)
	role.DefaultAudience = rapid.SampledFrom(append(journeyAudiences, "")).Draw(j.rt, "default audience")
	role.AllowedScopes, role.DefaultScopes = subset(j.rt, "role scopes", journeyScopes), subset(j.rt, "default scopes", journeyScopes)
	role.MaxTTL = seconds(j.rt, "max_ttl", 4000)
	role.Delegation = rapid.SampledFrom([]string{policy.DelegationForbidden, policy.DelegationOptional, policy.DelegationRequired}).Draw(j.rt, "delegation")
	role.ActorIssuers, role.MaxDelegationDepth = []string{"robots", "peer", policy.Self}, rapid.IntRange(0, 3).Draw(j.rt, "depth")
	role.BoundActors = []string{"robots:r2", "robots:c3"}
	if rapid.IntRange(0, 2).Draw(j.rt, "opaque") == 0 {
		role.Format = policy.FormatOpaque
	}
	if from == policy.Self { // as that role was written earlier, under another name
		role.SubjectScopes = rapid.SampledFrom([]string{policy.ScopesIntersect, policy.ScopesIgnore}).Draw(j.rt, "subject_scopes")
	}
	c := w.snapshot.Config
	w.must(role.Compile())
	w.snapshot.Roles[name] = role
	c.MaxHops, c.MaxDelegationDepth = rapid.IntRange(1, 4).Draw(j.rt, "max_hops"), rapid.IntRange(1, 4).Draw(j.rt, "mount depth")
	c.AllowedScopes = policy.Guardrail(subset(j.rt, "guardrail scopes", append(journeyScopes, "*")))
	c.AllowedAudiences = policy.Guardrail(subset(j.rt, "guardrail audiences", []string{"https://orders*", "https://*", "urn:*"}))
	if rapid.IntRange(0, 3).Draw(j.rt, "generous") > 0 { // so that chains get long
		role.AllowedAudiences, role.DefaultAudience, role.AllowedScopes = journeyAudiences[:3], orders, journeyScopes
		role.MaxTTL, role.Delegation = 2*time.Hour, policy.DelegationOptional
		c.AllowedAudiences, c.AllowedScopes = policy.Guardrail{"https://*"}, policy.Guardrail{"*"}
	}
	return w, role
}

// step tries one exchange, and holds what comes of it against the model.
func (j *journey) step() {
	w, role := j.draw(rapid.IntRange(0, 1).Draw(j.rt, "mount"))
	req := exchange.Request{
		Role: role.Name, SubjectToken: j.token, MountMaxTTL: seconds(j.rt, "mount ttl", 4000), Records: w.records,
	}
	if rapid.IntRange(0, 2).Draw(j.rt, "asks for something") == 0 {
		req.Audience, req.Scope = subset(j.rt, "asked audiences", journeyAudiences), subset(j.rt, "asked scopes", journeyScopes)
	}
	acting, ceiling := j.acting, min(role.MaxTTL, req.MountMaxTTL, w.snapshot.Config.MaxTTL, j.expires.Sub(w.now))
	if rapid.Bool().Draw(j.rt, "somebody acts") {
		robot, life := rapid.SampledFrom([]string{"r2", "c3"}).Draw(j.rt, "actor"), seconds(j.rt, "actor life", 4000)
		req.ActorTokenType = exchange.TypeJWT
		req.ActorToken = token.Secret(j.robots.Sign(w.t, j.robots.Claims(w.now, map[string]any{"sub": robot, "exp": w.now.Add(life).Unix(), "jti": nil})))
		acting = append(token.Acting{{Issuer: j.robots.URL, Subject: robot}}, acting...)
		ceiling = min(ceiling, life)
	}
	a, err := w.exchanger.Exchange(context.Background(), w.snapshot, req)
	if err != nil {
		// A token that would break a rule is also held back by the check of what was
		// signed: that it gets so far is a failure.
		if refusal := denial.From(err); refusal.Code == denial.ServerError {
			j.rt.Errorf("%v, because %v", err, refusal.Unwrap())
		}
		return
	}
	j.check(w, role, req, a, acting, ceiling)
	j.arrive(w, a)
}

func (j *journey) check(w *world, role *policy.Role, req exchange.Request, a *exchange.Answer, acting token.Acting, ceiling time.Duration) {
	c := w.snapshot.Config
	within(j.rt, "audience", a.Audience, role.AllowedAudiences)
	within(j.rt, "scope", a.Scope, role.AllowedScopes)
	within(j.rt, "scope", a.Scope, j.scope)
	within(j.rt, "granted audience", req.Audience, a.Audience)
	within(j.rt, "granted scope", req.Scope, a.Scope)
	if len(a.Audience) == 0 || slices.ContainsFunc(a.Audience, func(s string) bool { return !c.AllowedAudiences.Allows(s) }) {
		j.rt.Errorf("audience %v, guardrail %v", a.Audience, c.AllowedAudiences)
	}
	if slices.ContainsFunc(a.Scope, func(s string) bool { return !c.AllowedScopes.Allows(s) }) {
		j.rt.Errorf("scope %v, guardrail %v", a.Scope, c.AllowedScopes)
	}
	outlives := !role.Opaque() && a.Expires.After(w.snapshot.Keys[c.DefaultKey].Active().LastVerifiable(w.now))
	if a.ExpiresIn() > ceiling || a.ExpiresIn() < exchange.MinTTL || outlives {
		j.rt.Errorf("lives %s, ceiling %s", a.ExpiresIn(), ceiling)
	}
	depth := c.MaxDelegationDepth
	if role.MaxDelegationDepth > 0 {
		depth = min(depth, role.MaxDelegationDepth)
	}
	if len(a.Acting) > depth || len(a.Acting) != len(acting) || len(acting) > 0 && !reflect.DeepEqual(a.Acting, acting) {
		j.rt.Errorf("act %v, history %v, at most %d", a.Acting, acting, depth)
	}
	if role.Delegation == policy.DelegationForbidden && len(a.Acting) > 0 || role.Delegation == policy.DelegationRequired && req.ActorToken == "" {
		j.rt.Errorf("delegation %q, and act is %v", role.Delegation, a.Acting)
	}
	prefix, hops := map[bool]string{true: "", false: "peer:"}[w == j.mountOf()], 1
	if j.mount < 0 {
		prefix = "users:"
	}
	if w == j.mountOf() {
		hops = j.hops + 1
	}
	if a.Subject != prefix+j.sub || hops > c.MaxHops {
		j.rt.Errorf("subject %q, want %q; %d hops of %d", a.Subject, prefix+j.sub, hops, c.MaxHops)
	}
}

func (j *journey) mountOf() *world {
	if j.mount < 0 {
		return nil
	}
	return j.mounts[j.mount]
}

// arrive makes the token that was issued the one that is on its way.
func (j *journey) arrive(w *world, a *exchange.Answer) {
	at := slices.Index(j.mounts[:], w)
	if j.hops++; at != j.mount {
		j.hops = 1
	}
	if j.opaque && at == j.mount {
		j.throughOpaque++
	}
	j.opaque = w.snapshot.Roles[a.Role.Name].Opaque()
	j.token, j.mount, j.sub, j.scope, j.acting, j.expires = a.AccessToken, at, a.Subject, a.Scope, a.Acting, a.Expires
}

// Invariant: along a chain through roles of two mounts, whatever they are, scope,
// life, depth and hops stay within every role and mount that it passed and within
// the token before, and "act" is the true history.
func TestChainsNeverWiden(t *testing.T) {
	users, robots := issuertest.New(t, "https://users.example"), issuertest.New(t, "https://robots.example")
	mounts := newMounts(t, users, robots)
	longest, throughOpaque := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		now := mounts[0].now
		scope := subset(rt, "scopes of the user", journeyScopes)
		j := &journey{
			rt: rt, mounts: mounts, users: users, robots: robots, mount: -1, sub: "alice", scope: scope,
			expires: now.Add(seconds(rt, "life of the first token", 7200)),
		}
		j.token = token.Secret(users.Sign(t, users.Claims(now, map[string]any{
			"sub": j.sub, "user": true, "scope": strings.Join(scope, " "), "exp": j.expires.Unix(),
		})))
		for range 12 {
			j.step()
		}
		longest = max(longest, len(j.acting)*10+j.hops)
		throughOpaque = max(throughOpaque, j.throughOpaque)
	})
	if throughOpaque < 1 {
		t.Error("no chain went through an opaque token")
	}
	if longest < 12 {
		t.Errorf("no chain was worth the name: %d", longest)
	}
}

// Invariant 9: default subjects of two issuers are never the same, whatever the
// issuers are called and whatever they say.
func TestDefaultSubjectsNeverCollide(t *testing.T) {
	name := rapid.SampledFrom([]string{"a", "b", "ab", "c"})
	sub := rapid.StringMatching(`[ab:]{1,3}`)
	rapid.Check(t, func(rt *rapid.T) {
		all := map[string]*issuer.Issuer{}
		for i := range 3 {
			c := issuer.NewConfig(name.Draw(rt, "name"))
			c.BoundIssuer = fmt.Sprintf("https://idp-%d.example", i)
			if rapid.Bool().Draw(rt, "own prefix") {
				c.SubjectPrefix = rapid.SampledFrom([]string{"", "a", "a:", "ab", "b:", "ab:"}).Draw(rt, "prefix")
			}
			if slices.ContainsFunc(slices.Collect(maps.Values(all)), func(o *issuer.Issuer) bool { return c.CheckAgainst(o.Config) != nil }) {
				continue
			}
			all[c.Name] = &issuer.Issuer{Config: c}
		}
		seen := map[string]string{}
		for issuerName, i := range all {
			for range 3 {
				said := sub.Draw(rt, "sub")
				subject, err := i.Subject(token.Claims{"sub": said}, all)
				if err != nil {
					continue
				}
				who := issuerName + " " + said
				if other, taken := seen[subject]; taken && other != who {
					rt.Errorf("%q and %q are both %q", who, other, subject)
				}
				seen[subject] = who
			}
		}
	})
}
