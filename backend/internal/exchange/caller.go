package exchange

import (
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
// name, metadata and groups.
func (c *Caller) Claims() token.Claims {
	metadata := map[string]any{}
	for name, value := range c.Metadata {
		metadata[name] = value
	}
	groups := make([]any, 0, len(c.Groups))
	for _, name := range c.Groups {
		groups = append(groups, name)
	}
	return token.Claims{"sub": c.ID, "name": c.Name, "metadata": metadata, "groups": groups}
}

func (c *Caller) variable() expression.Caller {
	return expression.Caller{ID: c.ID, Name: c.Name, Metadata: c.Metadata, Groups: c.Groups, Aliases: c.Aliases}
}

// callerFrom reads [Caller.Claims] back. What is of another type is left out.
func callerFrom(claims token.Claims) *Caller {
	c := &Caller{Metadata: map[string]string{}}
	c.ID, _ = claims["sub"].(string)
	c.Name, _ = claims["name"].(string)
	metadata, _ := claims["metadata"].(map[string]any)
	for name, v := range metadata {
		if text, ok := v.(string); ok {
			c.Metadata[name] = text
		}
	}
	groups, _ := claims["groups"].([]any)
	for _, v := range groups {
		if text, ok := v.(string); ok {
			c.Groups = append(c.Groups, text)
		}
	}
	return c
}
