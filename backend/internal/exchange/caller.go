package exchange

import (
	"context"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/expression"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Caller is the Vault entity that makes a request, as it is now.
type Caller struct {
	ID       string // "" for a token without an entity, such as a root token
	Name     string
	Metadata map[string]string
	Groups   []string
	Aliases  []Alias
}

// Alias is one login of a Vault entity.
type Alias = expression.Alias

// Claims returns what bound_claims of a role may bind: sub (the entity's id),
// name, metadata, groups and aliases.
func (c *Caller) Claims() token.Claims {
	groups := make([]any, 0, len(c.Groups))
	for _, name := range c.Groups {
		groups = append(groups, name)
	}
	aliases := make([]any, 0, len(c.Aliases))
	for _, a := range c.Aliases {
		aliases = append(aliases, map[string]any{
			"name": a.Name, "mount_type": a.MountType, "mount_accessor": a.MountAccessor, "metadata": textMap(a.Metadata),
		})
	}
	return token.Claims{"sub": c.ID, "name": c.Name, "metadata": textMap(c.Metadata), "groups": groups, "aliases": aliases}
}

func textMap(m map[string]string) map[string]any {
	out := map[string]any{}
	for name, value := range m {
		out[name] = value
	}
	return out
}

func (c *Caller) variable() expression.Caller {
	return expression.Caller{ID: c.ID, Name: c.Name, Metadata: c.Metadata, Groups: c.Groups, Aliases: c.Aliases}
}

// caller takes the Vault entity that makes the request. Rule is the field of the
// role that wants it.
func (a *attempt) caller(ctx context.Context, stage denial.Stage, rule string) (*party, *Caller, error) {
	found, err := a.findCaller(ctx)
	if err != nil {
		return nil, nil, denial.Server(stage, err)
	}
	if found == nil || found.ID == "" {
		return nil, nil, denial.New(denial.InvalidRequest, stage, rule,
			"the role %q needs to know the caller, and the caller's Vault token has no entity: log in with an auth method (a root token has none)", a.role.Name)
	}
	a.trace.Pass(stage, rule, "the caller is the entity %q", found.ID)
	name := "entity:" + found.ID
	return &party{
		Actor: token.Actor{Issuer: a.Config.Issuer, Subject: name}, name: name, issuer: callerIssuer,
		claims: found.Claims(), origin: callerOrigin(a.Secret, found.ID),
	}, found, nil
}

// callerIssuer stands in "issuer" of a caller in expressions; no issuer can have
// the name.
const callerIssuer = "entity"

func (a *attempt) findCaller(ctx context.Context) (*Caller, error) {
	if a.given != nil && a.given.caller != nil {
		return a.given.caller, nil
	}
	if a.req.Caller == nil {
		return nil, nil
	}
	return a.req.Caller(ctx)
}

// callerFrom reads [Caller.Claims] back. What is of another type is left out.
func callerFrom(claims token.Claims) *Caller {
	c := &Caller{Metadata: textsOf(claims["metadata"])}
	c.ID, _ = claims["sub"].(string)
	c.Name, _ = claims["name"].(string)
	groups, _ := claims["groups"].([]any)
	for _, v := range groups {
		if text, ok := v.(string); ok {
			c.Groups = append(c.Groups, text)
		}
	}
	aliases, _ := claims["aliases"].([]any)
	for _, v := range aliases {
		if object, ok := v.(map[string]any); ok {
			said := textsOf(v)
			c.Aliases = append(c.Aliases, Alias{
				Name: said["name"], MountType: said["mount_type"], MountAccessor: said["mount_accessor"], Metadata: textsOf(object["metadata"]),
			})
		}
	}
	return c
}

// textsOf returns the members of an object that are text.
func textsOf(v any) map[string]string {
	out := map[string]string{}
	object, _ := v.(map[string]any)
	for name, member := range object {
		if text, ok := member.(string); ok {
			out[name] = text
		}
	}
	return out
}
