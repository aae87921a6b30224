package policy

import (
	"maps"
	"slices"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// DepthCeiling is the most levels of "act" that any mount may allow.
const DepthCeiling = 8

// checkDelegation refuses a role under which anybody could act for the subject,
// and fields that would silently mean nothing.
func (r *Role) checkDelegation() error {
	if r.MaxDelegationDepth < 0 || r.MaxDelegationDepth > DepthCeiling {
		return denial.Field("max_delegation_depth", "must be from 0 (the mount's) to %d", DepthCeiling)
	}
	if err := checkNames("bound_actors", r.BoundActors); err != nil {
		return err
	}
	if err := checkNames("actor_issuers", r.ActorIssuers); err != nil {
		return err
	}
	if r.Delegation == DelegationForbidden {
		return r.checkNoDelegation()
	}
	if err := r.checkActorSource(); err != nil {
		return err
	}
	// A condition on the caller holds the actor only where the caller acts.
	held := r.conditionBinds("actor") || r.ActorSource == SourceCaller && r.compiled.condition.Uses("caller")
	if len(r.BoundActors) == 0 && r.MayAct != MayActRequire && !held {
		return denial.Field("bound_actors", "anybody could act for the subject: name the actors, "+
			"or set may_act to %q, or a condition on the actor", MayActRequire)
	}
	return nil
}

func (r *Role) checkNoDelegation() error {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"actor_issuers", len(r.ActorIssuers) > 0},
		{"bound_actors", len(r.BoundActors) > 0},
		{"max_delegation_depth", r.MaxDelegationDepth > 0},
		{"may_act", r.MayAct != MayActHonor},
		{"actor_source", r.ActorSource != SourceToken},
	} {
		if f.set {
			return denial.Field(f.name, "means nothing while delegation is %q: set delegation to %q or %q", DelegationForbidden, DelegationOptional, DelegationRequired)
		}
	}
	return nil
}

func (r *Role) checkActorSource() error {
	if r.ActorSource == SourceToken {
		if len(r.ActorIssuers) == 0 {
			return denial.Field("actor_issuers", `must name at least one issuer (or set actor_source to %q and delegation to %q)`, SourceCaller, DelegationRequired)
		}
		return nil
	}
	switch {
	case len(r.ActorIssuers) > 0:
		return denial.Field("actor_issuers", "must be empty when actor_source is %q", r.ActorSource)
	case r.Delegation == DelegationOptional:
		return denial.Field("delegation", "must be %q when actor_source is %q: there is always a %s", DelegationRequired, r.ActorSource, r.ActorSource)
	case r.SubjectSource == SourceCaller && r.ActorSource == SourceCaller:
		return denial.Field("actor_source", "the caller cannot act for itself: subject_source is %q too", SourceCaller)
	case r.SubjectSource == SourceCaller || r.ActorSource == SourceClient && r.Uses("caller"):
		return denial.Field("actor_source", "an OAuth client acts where there is no Vault caller: the role asks for one")
	}
	return nil
}

// checkNames checks a list of subjects, which may be any text.
func checkNames(field string, names []string) error {
	if len(names) > maxItems {
		return denial.Field(field, "has more than %d elements", maxItems)
	}
	for i, name := range names {
		switch {
		case name == "":
			return denial.Field(field, "has an empty element")
		case len(name) > maxIdentifier:
			return denial.Field(field, "has an element of %d characters: the limit is %d", len(name), maxIdentifier)
		case slices.Contains(names[:i], name):
			return denial.Field(field, "has %q twice", name)
		}
	}
	return nil
}

// CheckActor decides whether this actor may act for the subject. Name is how
// the role names it: with the prefix of its issuer.
func (r *Role) CheckActor(name string) error {
	if len(r.BoundActors) > 0 && !slices.Contains(r.BoundActors, name) {
		return denial.New(denial.InvalidRequest, denial.Actor, "bound_actors",
			"%s is not among the bound_actors of the role %q", token.List([]string{name}), r.Name)
	}
	return nil
}

// CheckMayAct holds the actor against the "may_act" claim of the subject token
// (RFC 8693 §4.4): each of its members must be a claim of the actor. Without
// "iss" it speaks of an actor of the subject's own issuer.
func (r *Role) CheckMayAct(subject token.Claims, subjectIssuer string, actor token.Actor, claims token.Claims) error {
	if !subject.Has("may_act") {
		if r.MayAct == MayActRequire {
			return denial.New(denial.InvalidRequest, denial.Actor, "may_act", `the subject token has no "may_act" claim and the role %q requires it`, r.Name)
		}
		return nil
	}
	allowed, _ := subject["may_act"].(map[string]any)
	isNamed := func(name string) bool { return !slices.Contains(everyToken, name) }
	if !slices.ContainsFunc(slices.Collect(maps.Keys(allowed)), isNamed) {
		return denial.New(denial.InvalidRequest, denial.Actor, "may_act", `"may_act" claim of the subject token must be an object that names an actor`)
	}
	mismatch := denial.New(denial.InvalidRequest, denial.Actor, "may_act", `"may_act" claim of the subject token names another actor`)
	if _, ok := allowed["iss"]; !ok && actor.Issuer != subjectIssuer {
		return mismatch
	}
	for name, want := range allowed {
		got := claims[name]
		switch name {
		case "iss":
			got = actor.Issuer
		case "sub":
			got = actor.Subject
		}
		text, ok := want.(string)
		if !ok || text == "" || got != text {
			return mismatch
		}
	}
	return nil
}

// CheckDepth bounds how many actors the "act" claim may name.
func (r *Role) CheckDepth(depth, mountLimit int) error {
	limit, field := mountLimit, "max_delegation_depth of config"
	if r.MaxDelegationDepth > 0 && r.MaxDelegationDepth <= limit {
		limit, field = r.MaxDelegationDepth, "max_delegation_depth"
	}
	if depth > limit {
		return denial.New(denial.InvalidRequest, denial.Decide, "max_delegation_depth",
			"the token would name %d actors: %s is %d", depth, field, limit)
	}
	return nil
}
