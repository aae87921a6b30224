package exchange

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// CheckClient checks a client against the roles and issuers.
func (s *Snapshot) CheckClient(c *client.Config) error {
	if c.Role != "" {
		if err := s.checkRoleOfClient(c); err != nil {
			return err
		}
	}
	if c.FederatedIssuer == "" {
		return nil
	}
	switch trusted := s.Issuers[c.FederatedIssuer]; {
	case trusted == nil:
		return denial.Field("federated_issuer", "issuer %q does not exist: create it with issuers/%s", c.FederatedIssuer, c.FederatedIssuer)
	case trusted.Introspects():
		return denial.Field("federated_issuer", "issuer %q has opaque tokens: an assertion is a JWT", c.FederatedIssuer)
	}
	_, err := s.lintFederated(c)
	return err
}

// lintFederated refuses a client that binds too little for the issuer of its
// assertions, and returns what is accepted but deserves a second look.
func (s *Snapshot) lintFederated(c *client.Config) ([]string, error) {
	trusted := s.Issuers[c.FederatedIssuer]
	if trusted == nil {
		return nil, nil
	}
	return policy.LintClient(c.FederatedSubject, c.FederatedClaims, factsOf(trusted))
}

// checkRoleOfClient refuses a role that the client could not use, and one that asks
// who the Vault caller is: at an endpoint without authentication Vault tells the
// entity of whatever token is sent along, and enforces no policy.
func (s *Snapshot) checkRoleOfClient(c *client.Config) error {
	role, public := s.Roles[c.Role], c.AuthMethod == client.None
	switch {
	case role == nil:
		return denial.Field("role", "the role %q does not exist: create it with roles/%s", c.Role, c.Role)
	case role.NeedsCaller():
		return denial.Field("role", "the role %q asks for the Vault caller, and an OAuth client has none", role.Name)
	case public && role.ActorSource == policy.SourceClient:
		return denial.Field("role", "the actor of the role %q is the OAuth client, which the auth_method %q proves to nobody: use another role or auth_method", role.Name, client.None)
	case public && role.SubjectBinding == policy.SubjectRebind:
		return denial.Field("role", "the role %q binds tokens again for a client that has authenticated itself (subject_binding %q), which the auth_method %q never does: use another role or auth_method",
			role.Name, policy.SubjectRebind, client.None)
	case c.DPoPRequired && role.Binding != policy.BindDPoP && role.Binding != policy.BindAny:
		return denial.Field("dpop_required", "the role %q takes no DPoP proofs: set its binding to %q or %q", role.Name, policy.BindDPoP, policy.BindAny)
	}
	return nil
}

// checkRoleOfClients refuses a role that its clients could not use any more.
func (s *Snapshot) checkRoleOfClients(r *policy.Role) error {
	users := s.ClientsOfRole(r.Name)
	if len(users) > 0 && r.NeedsCaller() {
		return denial.Field("subject_source", "the role asks for the Vault caller, whom its OAuth clients %s do not have: give them another role first", token.List(users))
	}
	proving := s.clientsWith(func(c *client.Client) bool { return c.Role == r.Name && c.DPoPRequired })
	if len(proving) > 0 && r.Binding != policy.BindDPoP && r.Binding != policy.BindAny {
		return denial.Field("binding", "must be %q or %q: the clients %s have dpop_required", policy.BindDPoP, policy.BindAny, token.List(proving))
	}
	public := s.clientsWith(func(c *client.Client) bool { return c.Role == r.Name && c.AuthMethod == client.None })
	switch {
	case len(public) == 0:
	case r.ActorSource == policy.SourceClient:
		return denial.Field("actor_source", "the actor would be the OAuth client, and the clients %s prove nothing (auth_method %q): give them another role first", token.List(public), client.None)
	case r.SubjectBinding == policy.SubjectRebind:
		return denial.Field("subject_binding", "must not be %q: the clients %s prove nothing (auth_method %q): give them another role first", policy.SubjectRebind, token.List(public), client.None)
	}
	return nil
}

// ClientsOfRole names the clients of a role, sorted.
func (s *Snapshot) ClientsOfRole(name string) []string {
	return s.clientsWith(func(c *client.Client) bool { return c.Role == name })
}

// ClientsOfIssuer names the clients whose assertions an issuer makes, sorted.
func (s *Snapshot) ClientsOfIssuer(name string) []string {
	return s.clientsWith(func(c *client.Client) bool { return c.FederatedIssuer == name })
}

func (s *Snapshot) clientsWith(fits func(*client.Client) bool) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s.Clients)) {
		if fits(s.Clients[name]) {
			out = append(out, name)
		}
	}
	return out
}

// ClientWarnings say what is accepted and deserves a second look.
func (s *Snapshot) ClientWarnings(c *client.Config) []string {
	var out []string
	if r := s.Roles[c.Role]; r != nil && r.GenerateLease {
		out = append(out, fmt.Sprintf("the role %q generates leases, and tokens of an OAuth client have none: they are revoked by oauth/revoke", r.Name))
	}
	federated, err := s.lintFederated(c)
	if err != nil { // CheckClient has refused it
		federated = []string{denial.From(err).Error()}
	}
	return append(out, federated...)
}

// clientActor is the OAuth client that makes the request, as the one who acts. One
// that proves nothing is nobody.
func (a *attempt) clientActor() (*party, error) {
	who := a.req.Client
	if who == nil || who.AuthMethod == client.None {
		return nil, denial.New(denial.InvalidRequest, denial.Actor, "actor_source",
			"the actor of the role %q is the OAuth client, which has to authenticate itself at oauth/token", a.role.Name)
	}
	name := "client:" + who.ID
	a.trace.Pass(denial.Actor, "actor_source", "the client is %q", who.ID)
	return &party{
		Actor: token.Actor{Issuer: a.Config.Issuer, Subject: name}, name: name, issuer: "client", claims: token.Claims{"sub": who.ID},
	}, nil
}

// clientByRef returns the client that a token names; nil if it was deleted, also if
// its id was given again.
func (s *Snapshot) clientByRef(ref string) *client.Client {
	id, _, _ := strings.Cut(ref, ":")
	if c := s.Clients[id]; c != nil && c.Ref() == ref {
		return c
	}
	return nil
}
