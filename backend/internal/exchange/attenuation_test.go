package exchange_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
)

// Invariant: whatever role, subject and request are, what is minted is within
// all of them; and so is what is exchanged from it.
func TestNothingMintedExceedsItsCeilings(t *testing.T) {
	audiences := []string{orders, billing, "https://stock.example", "urn:outside"}
	scopes := []string{"orders:read", "orders:write", "admin"}
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		subset := func(label string, of []string) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(of), 0, len(of), rapid.ID[string]).Draw(rt, label)
		}
		role := w.snapshot.Roles["orders"]
		role.AllowedAudiences, role.AllowedScopes = subset("role audiences", audiences), subset("role scopes", scopes)
		role.DefaultScopes = subset("default scopes", scopes)
		role.DefaultAudience = rapid.SampledFrom(append(audiences, "")).Draw(rt, "default audience")
		role.MaxTTL = time.Duration(rapid.IntRange(1, 4000).Draw(rt, "max_ttl")) * time.Second
		role.Format = rapid.SampledFrom([]string{policy.FormatJWT, policy.FormatOpaque}).Draw(rt, "format")
		w.snapshot.Config.AllowedScopes = policy.Guardrail(subset("guardrail scopes", append(scopes, "*")))
		have := subset("subject scopes", scopes)
		life := rapid.IntRange(1, 7200).Draw(rt, "subject life")

		req := w.request()
		req.SubjectToken = w.subject(map[string]any{"scope": join(have), "exp": w.now.Add(time.Duration(life) * time.Second).Unix()})
		req.Audience, req.Scope = subset("asked audiences", audiences), subset("asked scopes", scopes)
		req.TTL = time.Duration(rapid.IntRange(0, 4000).Draw(rt, "asked ttl")) * time.Second
		req.MountMaxTTL = time.Duration(rapid.IntRange(1, 4000).Draw(rt, "mount ttl")) * time.Second

		a, err := w.exchange(req)
		if err != nil {
			return
		}
		within(rt, "audience", a.Audience, role.AllowedAudiences)
		within(rt, "scope", a.Scope, role.AllowedScopes)
		within(rt, "scope", a.Scope, have)
		for _, aud := range a.Audience {
			if !w.snapshot.Config.AllowedAudiences.Allows(aud) {
				rt.Errorf("audience %q is outside the guardrail", aud)
			}
		}
		for _, s := range a.Scope {
			if !w.snapshot.Config.AllowedScopes.Allows(s) {
				rt.Errorf("scope %q is outside the guardrail", s)
			}
		}
		ceiling := min(role.MaxTTL, w.snapshot.Config.MaxTTL, req.MountMaxTTL, time.Duration(life)*time.Second)
		if !role.Opaque() {
			ceiling = min(ceiling, w.snapshot.Keys["main"].VerificationPeriod)
		}
		if len(a.Audience) == 0 || a.ExpiresIn() > ceiling || a.ExpiresIn() < exchange.MinTTL {
			rt.Errorf("audience %v, lives %s, ceiling %s", a.Audience, a.ExpiresIn(), ceiling)
		}
		child, err := w.again(a)
		if err != nil {
			return
		}
		within(rt, "scope of the child", child.Scope, a.Scope)
		if child.Expires.After(a.Expires) {
			rt.Errorf("the child lives until %s, its parent until %s", child.Expires, a.Expires)
		}
	})
}

func within(rt *rapid.T, what string, got, allowed []string) {
	for _, g := range got {
		if !slices.Contains(allowed, g) {
			rt.Errorf("%s %q is not within %v", what, g, allowed)
		}
	}
}

func join(items []string) string {
	out := ""
	for _, i := range items {
		out += i + " "
	}
	return out
}
