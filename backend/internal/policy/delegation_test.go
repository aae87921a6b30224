package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// delegates makes the good role one under which an account of a cluster may act.
func delegates(r *policy.Role) {
	r.Delegation, r.ActorIssuers, r.BoundActors = policy.DelegationOptional, []string{"cluster"}, []string{"cluster:api"}
}

// delegatesToCaller makes it one under which one Vault entity acts.
func delegatesToCaller(r *policy.Role) {
	r.Delegation, r.ActorSource, r.BoundActors = policy.DelegationRequired, policy.SourceCaller, []string{"entity:e-1"}
}

// delegatesToClient makes it one under which one OAuth client acts.
func delegatesToClient(r *policy.Role) {
	r.Delegation, r.ActorSource, r.BoundActors = policy.DelegationRequired, policy.SourceClient, []string{"client:gateway"}
}

func after(edits ...func(*policy.Role)) func(*policy.Role) {
	return func(r *policy.Role) {
		for _, edit := range edits {
			edit(r)
		}
	}
}

// anyActor takes away what says who may act.
func anyActor(r *policy.Role) { r.BoundActors = nil }

func conditioned(source string) func(*policy.Role) {
	return func(r *policy.Role) { r.Condition = source }
}

// distinct returns n names.
func distinct(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("a%d", i)
	}
	return out
}

func TestValidateAcceptsDelegation(t *testing.T) {
	for name, edit := range map[string]func(*policy.Role){
		"optional":             delegates,
		"required":             after(delegates, func(r *policy.Role) { r.Delegation = policy.DelegationRequired }),
		"the caller acts":      delegatesToCaller,
		"an OAuth client acts": delegatesToClient,
		"for the caller":       after(asCaller, delegates),
		"TX-22 no depth":       after(delegates, func(r *policy.Role) { r.MaxDelegationDepth = 0 }),
		"TX-22 the most depth": after(delegates, func(r *policy.Role) { r.MaxDelegationDepth = policy.DepthCeiling }),
		"TX-24 whom may_act names, and bound_actors":          after(delegates, func(r *policy.Role) { r.MayAct = policy.MayActRequire }),
		"TX-24 whom may_act names":                            after(delegates, anyActor, func(r *policy.Role) { r.MayAct = policy.MayActRequire }),
		"TX-24 the caller, if may_act names it":               after(delegatesToCaller, anyActor, func(r *policy.Role) { r.MayAct = policy.MayActRequire }),
		"whom a condition on the actor fits":                  after(delegates, anyActor, conditioned(`actor.sub == "api"`)),
		"the caller, if a condition fits it":                  after(delegatesToCaller, anyActor, conditioned(`caller.name == "api"`)),
		"actors of any text":                                  after(delegates, func(r *policy.Role) { r.BoundActors = []string{"é, \"x\"", "É, \"x\"", "*"} }),
		"an actor as long as they get":                        after(delegates, func(r *policy.Role) { r.BoundActors = []string{strings.Repeat("x", 512)} }),
		"as many actors as there may be":                      after(delegates, func(r *policy.Role) { r.BoundActors = distinct(256) }),
		"actors of as many issuers as there may be":           after(delegates, func(r *policy.Role) { r.ActorIssuers = distinct(256) }),
		"actors of the issuers of the subject, and its own":   after(delegates, func(r *policy.Role) { r.ActorIssuers = []string{"github", policy.Self} }),
		"forbidden, with what delegation would begin with":    func(r *policy.Role) { r.ActorSource, r.MayAct = policy.SourceToken, policy.MayActHonor },
		"forbidden, with lists that are empty and not absent": func(r *policy.Role) { r.ActorIssuers, r.BoundActors = []string{}, []string{} },
	} {
		t.Run(name, func(t *testing.T) {
			r := goodRole()
			edit(r)
			if err := r.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

const (
	anybody      = `anybody could act for the subject: name the actors, or set may_act to "require", or a condition on the actor`
	noCaller     = `an OAuth client acts where there is no Vault caller: the role asks for one`
	meansNothing = `means nothing while delegation is "forbidden": set delegation to "optional" or "required"`
	badDepth     = `must be from 0 (the mount's) to 8`
	noIssuer     = `must name at least one issuer (or set actor_source to "caller" and delegation to "required")`
)

func TestValidateRefusesDelegation(t *testing.T) {
	for _, c := range []struct {
		name        string
		edit        func(*policy.Role)
		field, text string
	}{
		{"delegation empty", func(r *policy.Role) { r.Delegation = "" }, "delegation", `"" is not one of ["forbidden", "optional", "required"]`},
		{"actor_source empty", after(delegates, func(r *policy.Role) { r.ActorSource = "" }), "actor_source", `"" is not one of ["token", "caller", "client"]`},
		{"may_act empty", after(delegates, func(r *policy.Role) { r.MayAct = "" }), "may_act", `"" is not one of ["honor", "require"]`},
		{"TX-24 may_act ignored", after(delegates, func(r *policy.Role) { r.MayAct = "ignore" }), "may_act", `"ignore" is not one of ["honor", "require"]`},

		{"TX-22 a depth below none", after(delegates, func(r *policy.Role) { r.MaxDelegationDepth = -1 }), "max_delegation_depth", badDepth},
		{"TX-22 a depth above the ceiling", after(delegates, func(r *policy.Role) { r.MaxDelegationDepth = 9 }), "max_delegation_depth", badDepth},
		{"a depth below none while forbidden", func(r *policy.Role) { r.MaxDelegationDepth = -1 }, "max_delegation_depth", badDepth},

		{"an empty actor", after(delegates, func(r *policy.Role) { r.BoundActors = []string{"a", ""} }), "bound_actors", `has an empty element`},
		{"an actor that is too long", after(delegates, func(r *policy.Role) { r.BoundActors = []string{strings.Repeat("x", 513)} }), "bound_actors", `has an element of 513 characters: the limit is 512`},
		{"an actor twice", after(delegates, func(r *policy.Role) { r.BoundActors = []string{"a", "b", "a"} }), "bound_actors", `has "a" twice`},
		{"too many actors", after(delegates, func(r *policy.Role) { r.BoundActors = distinct(257) }), "bound_actors", `has more than 256 elements`},
		{"an issuer of actors twice", after(delegates, func(r *policy.Role) { r.ActorIssuers = []string{"cluster", "cluster"} }), "actor_issuers", `has "cluster" twice`},
		{"an issuer of actors without a name", after(delegates, func(r *policy.Role) { r.ActorIssuers = []string{""} }), "actor_issuers", `has an empty element`},
		{
			"a condition that mentions actor as a loop variable", after(delegates, anyActor, func(r *policy.Role) { r.Condition = `[1].exists(actor, actor == 1)` }),
			"condition", `line 1, column 11: actor is taken: give the loop variable another name; in scope are subject, actor, caller, request and now`,
		},
		{"too many issuers of actors", after(delegates, func(r *policy.Role) { r.ActorIssuers = distinct(257) }), "actor_issuers", `has more than 256 elements`},

		{"forbidden with actor_issuers", func(r *policy.Role) { r.ActorIssuers = []string{"cluster"} }, "actor_issuers", meansNothing},
		{"forbidden with bound_actors", func(r *policy.Role) { r.BoundActors = []string{"cluster:api"} }, "bound_actors", meansNothing},
		{"forbidden with a depth", func(r *policy.Role) { r.MaxDelegationDepth = 1 }, "max_delegation_depth", meansNothing},
		{"forbidden with may_act", func(r *policy.Role) { r.MayAct = policy.MayActRequire }, "may_act", meansNothing},
		{"forbidden with actor_source", func(r *policy.Role) { r.ActorSource = policy.SourceCaller }, "actor_source", meansNothing},

		{"optional, of no issuer", after(delegates, func(r *policy.Role) { r.ActorIssuers = nil }), "actor_issuers", noIssuer},
		{
			"required, of no issuer",
			after(delegates, func(r *policy.Role) { r.Delegation, r.ActorIssuers = policy.DelegationRequired, nil }), "actor_issuers", noIssuer,
		},
		{
			"the caller acts, with issuers", after(delegatesToCaller, func(r *policy.Role) { r.ActorIssuers = []string{"cluster"} }),
			"actor_issuers", `must be empty when actor_source is "caller"`,
		},
		{
			"TX-20 the caller acts, or may be left out", after(delegatesToCaller, func(r *policy.Role) { r.Delegation = policy.DelegationOptional }),
			"delegation", `must be "required" when actor_source is "caller": there is always a caller`,
		},
		{
			"the caller acts for itself", after(asCaller, delegatesToCaller),
			"actor_source", `the caller cannot act for itself: subject_source is "caller" too`,
		},
		{"a client acts for the caller", after(asCaller, delegatesToClient), "actor_source", noCaller},
		{"a client acts, with a condition on the caller", after(delegatesToClient, conditioned(`caller.name == "api"`)), "actor_source", noCaller},
		{
			"a client acts, with a claim of the caller",
			after(delegatesToClient, func(r *policy.Role) { r.Claims = map[string]string{"team": "caller.name"} }), "actor_source", noCaller,
		},

		{"TX-27 anybody", after(delegates, anyActor), "bound_actors", anybody},
		{"TX-27 anybody, who must", after(delegates, anyActor, func(r *policy.Role) { r.Delegation = policy.DelegationRequired }), "bound_actors", anybody},
		{"TX-27 anybody whose token a good caller has", after(delegates, anyActor, conditioned(`"services" in caller.groups`)), "bound_actors", anybody},
		{"TX-27 anybody of the issuer", after(delegates, anyActor, conditioned(`actor.issuer == "cluster" && has(actor.aud)`)), "bound_actors", anybody},
		{"TX-27 any caller", after(delegatesToCaller, anyActor), "bound_actors", anybody},
		{"TX-27 anybody, with a condition on others", after(delegates, anyActor, conditioned(`subject.sub == "alice" && request.ttl < duration("5m")`)), "bound_actors", anybody},
		{
			"TX-27 anybody, with a claim of the actor",
			after(delegates, anyActor, func(r *policy.Role) { r.Claims = map[string]string{"team": "actor.team"} }), "bound_actors", anybody,
		},
		{
			"TX-27 anybody, with a subject of the actor",
			after(delegates, anyActor, func(r *policy.Role) { r.Subject = "subject.issuer + actor.sub + caller.id" }), "bound_actors", anybody,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := goodRole()
			c.edit(r)
			wantDenied(t, r.Validate(), denial.InvalidRequest, c.field, c.field+": "+c.text)
		})
	}
}

func TestCheckActor(t *testing.T) {
	r := goodRole()
	delegates(r)
	r.BoundActors = append(r.BoundActors, "*")
	for _, name := range []string{"cluster:api", "*"} {
		if err := r.CheckActor(name); err != nil {
			t.Errorf("%q: %s", name, err)
		}
	}
	for _, name := range []string{"", "api", "other:api", "cluster:API", "cluster:api2", "cluster:ap", " cluster:api"} {
		wantDenied(t, r.CheckActor(name), denial.InvalidRequest, "bound_actors",
			fmt.Sprintf(`actor: [%q] is not among the bound_actors of the role "orders"`, name))
	}
	r.BoundActors = nil
	if err := r.CheckActor("anybody"); err != nil {
		t.Errorf("no bound_actors: %s", err)
	}
}

const (
	idp     = "https://idp.example"
	cluster = "https://cluster.example"
)

// mayAct holds an account of the cluster against a "may_act" claim; "" for none.
func mayAct(rule, named, subjectIssuer string) error {
	r := goodRole()
	r.MayAct = rule
	subject := token.Claims{"sub": "alice"}
	if named != "" {
		subject = claims(`{"sub": "alice", "may_act": ` + named + `}`)
	}
	return r.CheckMayAct(subject, subjectIssuer, token.Actor{Issuer: cluster, Subject: "api"}, claims(actorClaims))
}

// The actor's claims. Who it is stands beside them, and "iss" and "sub" here decide
// nothing.
const actorClaims = `{"iss": "https://other.example", "sub": "root", "azp": "ci", "level": 3, "admin": true, "nothing": null, "empty": "", "groups": ["dev"]}`

func TestMayAct(t *testing.T) {
	for name, c := range map[string]struct{ mayAct, subjectIssuer string }{
		"TX-24 iss and sub":                        {`{"iss": "https://cluster.example", "sub": "api"}`, idp},
		"TX-24 of the same issuer":                 {`{"sub": "api"}`, cluster},
		"TX-24 of the same issuer, which is named": {`{"iss": "https://cluster.example", "sub": "api"}`, cluster},
		"TX-24 a further member":                   {`{"iss": "https://cluster.example", "sub": "api", "azp": "ci"}`, idp},
		"TX-24 another member alone":               {`{"azp": "ci"}`, cluster},
	} {
		for _, rule := range []string{policy.MayActHonor, policy.MayActRequire} {
			t.Run(name+", "+rule, func(t *testing.T) {
				if err := mayAct(rule, c.mayAct, c.subjectIssuer); err != nil {
					t.Error(err)
				}
			})
		}
	}
	t.Run("none, honor", func(t *testing.T) {
		if err := mayAct(policy.MayActHonor, "", idp); err != nil {
			t.Error(err)
		}
	})
}

func TestMayActRefused(t *testing.T) {
	const (
		notObject = `actor: "may_act" claim of the subject token must be an object that names an actor`
		another   = `actor: "may_act" claim of the subject token names another actor`
	)
	for name, c := range map[string]struct{ mayAct, subjectIssuer, text string }{
		"null":                {`null`, cluster, notObject},
		"a text":              {`"api"`, cluster, notObject},
		"a list":              {`[{"sub": "api"}]`, cluster, notObject},
		"true":                {`true`, cluster, notObject},
		"an empty object":     {`{}`, cluster, notObject},
		"nobody of an issuer": {`{"iss": "https://cluster.example", "aud": "x"}`, cluster, notObject},

		"TX-24 no iss, of another issuer":       {`{"sub": "api"}`, idp, another},
		"TX-24 no iss, of an issuer without":    {`{"sub": "api"}`, "", another},
		"TX-24 another iss":                     {`{"iss": "https://idp.example", "sub": "api"}`, idp, another},
		"TX-24 another iss, of the same issuer": {`{"iss": "https://idp.example", "sub": "api"}`, cluster, another},
		"TX-24 an iss with a slash more":        {`{"iss": "https://cluster.example/", "sub": "api"}`, idp, another},
		"TX-24 an empty iss":                    {`{"iss": "", "sub": "api"}`, cluster, another},
		"TX-24 iss null":                        {`{"iss": null, "sub": "api"}`, cluster, another},
		"TX-24 iss a list":                      {`{"iss": ["https://cluster.example"], "sub": "api"}`, idp, another},
		"TX-24 another sub":                     {`{"iss": "https://cluster.example", "sub": "web"}`, idp, another},
		"TX-24 a sub in another case":           {`{"iss": "https://cluster.example", "sub": "API"}`, idp, another},
		"TX-24 a sub by its prefix":             {`{"iss": "https://cluster.example", "sub": "cluster:api"}`, idp, another},
		"TX-24 an empty sub":                    {`{"iss": "https://cluster.example", "sub": ""}`, idp, another},
		"TX-24 a pattern":                       {`{"iss": "https://cluster.example", "sub": "*"}`, idp, another},
		"TX-24 a list of subs":                  {`{"iss": "https://cluster.example", "sub": ["api"]}`, idp, another},
		"TX-24 iss and sub as the claims say":   {`{"iss": "https://other.example", "sub": "root"}`, idp, another},

		"TX-24 one member of three differs":      {`{"iss": "https://cluster.example", "sub": "api", "azp": "cd"}`, idp, another},
		"TX-24 a member that the actor has not":  {`{"iss": "https://cluster.example", "sub": "api", "team": "x"}`, idp, another},
		"TX-24 a member that is a name of ours":  {`{"iss": "https://cluster.example", "sub": "api", "issuer": "cluster"}`, idp, another},
		"TX-24 a number, though it is the same":  {`{"iss": "https://cluster.example", "sub": "api", "level": 3}`, idp, another},
		"TX-24 a number as text":                 {`{"iss": "https://cluster.example", "sub": "api", "level": "3"}`, idp, another},
		"TX-24 a boolean, though it is the same": {`{"iss": "https://cluster.example", "sub": "api", "admin": true}`, idp, another},
		"TX-24 a null, though it is the same":    {`{"iss": "https://cluster.example", "sub": "api", "nothing": null}`, idp, another},
		"TX-24 a null that the actor has not":    {`{"iss": "https://cluster.example", "sub": "api", "team": null}`, idp, another},
		"TX-24 an empty text, though the same":   {`{"iss": "https://cluster.example", "sub": "api", "empty": ""}`, idp, another},
		"TX-24 a list, though it is the same":    {`{"iss": "https://cluster.example", "sub": "api", "groups": ["dev"]}`, idp, another},
		"TX-24 an element of a list":             {`{"iss": "https://cluster.example", "sub": "api", "groups": "dev"}`, idp, another},
	} {
		for _, rule := range []string{policy.MayActHonor, policy.MayActRequire} {
			t.Run(name+", "+rule, func(t *testing.T) {
				wantDenied(t, mayAct(rule, c.mayAct, c.subjectIssuer), denial.InvalidRequest, "may_act", c.text)
			})
		}
	}
	t.Run("none, require", func(t *testing.T) {
		wantDenied(t, mayAct(policy.MayActRequire, "", cluster), denial.InvalidRequest, "may_act",
			`actor: the subject token has no "may_act" claim and the role "orders" requires it`)
	})
}

// TX-22: the lower of two limits counts, and the refusal names it.
func TestCheckDepth(t *testing.T) {
	for _, c := range []struct {
		name               string
		role, mount, depth int
		text               string
	}{
		{"nobody acts, and nobody may", 0, 0, 0, ""},
		{"the mount's", 0, 2, 2, ""},
		{"past the mount's", 0, 2, 3, `the token would name 3 actors: max_delegation_depth of config is 2`},
		{"past none", 0, 0, 1, `the token would name 1 actors: max_delegation_depth of config is 0`},
		{"the role's, below the mount's", 1, 2, 1, ""},
		{"past the role's, below the mount's", 1, 2, 2, `the token would name 2 actors: max_delegation_depth is 1`},
		{"the role's, as the mount's", 2, 2, 2, ""},
		{"past the role's, as the mount's", 2, 2, 3, `the token would name 3 actors: max_delegation_depth is 2`},
		{"a role above the mount", 3, 2, 2, ""},
		{"past the mount's, within the role's", 3, 2, 3, `the token would name 3 actors: max_delegation_depth of config is 2`},
		{"a role, and a mount with none", 3, 0, 1, `the token would name 1 actors: max_delegation_depth of config is 0`},
		{"eleven", 8, 8, 11, `the token would name 11 actors: max_delegation_depth is 8`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := goodRole()
			r.MaxDelegationDepth = c.role
			err := r.CheckDepth(c.depth, c.mount)
			if c.text != "" {
				wantDenied(t, err, denial.InvalidRequest, "max_delegation_depth", "max_delegation_depth: "+c.text)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
