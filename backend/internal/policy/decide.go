package policy

import (
	"net/url"
	"slices"
	"strings"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// CheckWithin refuses a role that asks for more than the mount's guardrails.
func (r *Role) CheckWithin(audiences, scopes Guardrail) error {
	for _, a := range r.AllowedAudiences {
		if !audiences.Allows(a) {
			return denial.Field("allowed_audiences", "%q is not within the mount's guardrail: add it to allowed_audiences of config", a)
		}
	}
	for _, s := range r.AllowedScopes {
		if !scopes.Allows(s) {
			return denial.Field("allowed_scopes", "%q is not within the mount's guardrail: add it to allowed_scopes of config", s)
		}
	}
	return nil
}

// maxTargets is how many audiences and resources one request may name.
const maxTargets = 10

// Audiences decides "aud": every requested target must be allowed by the role
// and the guardrail, or the whole request is refused (RFC 8693 §2.2.2).
func (r *Role) Audiences(audience, resource []string, guardrail Guardrail, trace *denial.Trace) ([]string, error) {
	for _, res := range resource {
		if err := checkResource(res); err != nil {
			return nil, err
		}
	}
	targets := slices.Concat(audience, resource)
	if len(targets) > maxTargets {
		return nil, denial.New(denial.InvalidTarget, denial.Decide, "audience", "%d targets are more than the limit of %d", len(targets), maxTargets)
	}
	if len(targets) == 0 {
		if r.DefaultAudience == "" {
			return nil, denial.New(denial.InvalidTarget, denial.Decide, "audience",
				"is missing and the role %q has no default_audience: ask for one of its allowed_audiences", r.Name)
		}
		targets = []string{r.DefaultAudience}
	}
	granted := []string{}
	for _, t := range targets {
		if !slices.Contains(r.AllowedAudiences, t) {
			return nil, denial.New(denial.InvalidTarget, denial.Decide, "allowed_audiences", "the role %q does not allow the audience %s", r.Name, token.List([]string{t}))
		}
		if !guardrail.Allows(t) {
			return nil, denial.New(denial.InvalidTarget, denial.Decide, "config allowed_audiences", "the mount's guardrail does not allow the audience %q", t)
		}
		if !slices.Contains(granted, t) {
			granted = append(granted, t)
			trace.Pass(denial.Decide, "allowed_audiences", "%q is allowed by the role and by the mount", t)
		}
	}
	return granted, nil
}

// checkResource: an absolute URI without a fragment (RFC 8707 §2).
func checkResource(resource string) error {
	u, err := url.Parse(resource)
	if err != nil || !u.IsAbs() || strings.Contains(resource, "#") {
		return denial.New(denial.InvalidTarget, denial.Parse, "resource", "%s is not an absolute URI without a fragment", token.List([]string{resource}))
	}
	return nil
}

// SubjectScope is what the subject brings to the decision on scopes.
type SubjectScope struct {
	// Scopes of the subject token. Nil and empty are the same: a token that
	// says nothing of scopes has none.
	Scopes []string
	// Own tells that it is one of our own tokens: the intersection then holds
	// whatever the role says, so that scope never widens along a chain.
	Own bool
	// Caller tells that the subject is a Vault entity, which has no scopes: the
	// role alone decides.
	Caller bool
}

// Scopes decides "scope". What is asked for explicitly is granted or the
// request is refused; the role's defaults are narrowed to what may be granted.
func (r *Role) Scopes(requested []string, subject SubjectScope, guardrail Guardrail, trace *denial.Trace) ([]string, error) {
	explicit := len(requested) > 0
	if !explicit {
		requested = r.DefaultScopes
	}
	granted := []string{}
	for _, s := range requested {
		if slices.Contains(granted, s) {
			continue
		}
		if err := r.checkScope(s, subject, guardrail); err != nil {
			if explicit {
				return nil, err
			}
			trace.Pass(denial.Decide, err.Rule, "the default scope %q is left out: %s", s, err.Reason)
			continue
		}
		granted = append(granted, s)
		trace.Pass(denial.Decide, "allowed_scopes", "%q is allowed by the role, the mount and the subject's scopes", s)
	}
	return granted, nil
}

func (r *Role) checkScope(scope string, subject SubjectScope, guardrail Guardrail) *denial.Error {
	refuse := func(rule, format string, args ...any) *denial.Error {
		return denial.New(denial.InvalidScope, denial.Decide, rule, format, args...)
	}
	switch {
	case !slices.Contains(r.AllowedScopes, scope):
		return refuse("allowed_scopes", "the role %q does not allow the scope %s", r.Name, token.List([]string{scope}))
	case !guardrail.Allows(scope):
		return refuse("config allowed_scopes", "the mount's guardrail does not allow the scope %q", scope)
	case subject.Caller:
		return nil
	case subject.Own || r.SubjectScopes == ScopesIntersect:
		if !slices.Contains(subject.Scopes, scope) {
			return refuse("subject_scopes", "the subject token does not have the scope %q, and subject_scopes is %q", scope, ScopesIntersect)
		}
	case r.SubjectScopes == ScopesMap:
		if !slices.ContainsFunc(subject.Scopes, func(s string) bool { return slices.Contains(r.ScopeMap[s], scope) }) {
			return refuse("scope_map", "no scope of the subject token maps to %q", scope)
		}
	case r.SubjectScopes != ScopesIgnore:
		return refuse("subject_scopes", "the role %q has no rule for the subject's scopes", r.Name)
	}
	return nil
}
