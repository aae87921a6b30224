package expression

import (
	"encoding/json"
	"time"

	"cel.dev/cel-go/common/types"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Input is what an expression is evaluated on.
type Input struct {
	// Subject and Actor are verified claims; the name under which the issuer is
	// configured stands in "issuer". Actor is empty if nobody acts.
	Subject, Actor Party
	Caller         Caller
	Request        Request
	Now            time.Time
}

// Party is one verified identity.
type Party struct {
	Issuer string // the configured name; "" if there is no such party
	Claims token.Claims
}

// Caller is the Vault entity that makes the request. All is empty if the
// expression does not mention it.
type Caller struct {
	ID       string            `cel:"id"`
	Name     string            `cel:"name"`
	Metadata map[string]string `cel:"metadata"`
	Groups   []string          `cel:"groups"`
	Aliases  []Alias           `cel:"aliases"`
}

// Alias is one login of a Vault entity.
type Alias struct {
	Name          string            `cel:"name"`
	MountType     string            `cel:"mount_type"`
	MountAccessor string            `cel:"mount_accessor"`
	Metadata      map[string]string `cel:"metadata"`
}

// Request is what will be granted if the expression agrees: defaults are filled
// in, so that leaving a parameter out is no way around a condition on it.
type Request struct {
	Audience []string      `cel:"audience"` // every target: audiences and resources
	Resource []string      `cel:"resource"` // those that were asked for as resources
	Scope    []string      `cel:"scope"`
	TTL      time.Duration `cel:"ttl"`
	ClientID string        `cel:"client_id"`
}

func (in Input) variables() map[string]any {
	return map[string]any{
		"subject": in.Subject.variable(), "actor": in.Actor.variable(),
		"caller": in.Caller, "request": in.Request, "now": in.Now,
	}
}

func (p Party) variable() map[string]any {
	out := make(map[string]any, len(p.Claims)+1)
	for name, v := range p.Claims {
		out[name] = native(v)
	}
	if p.Issuer != "" {
		out["issuer"] = p.Issuer
	}
	return out
}

// native replaces JSON numbers by what CEL computes with. An integer that it
// cannot hold exactly is an error for the expression that looks at it: as a
// fraction it would be equal to its neighbours.
func native(v any) any {
	switch v := v.(type) {
	case json.Number:
		return number(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = native(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name := range v {
			out[name] = native(v[name])
		}
		return out
	}
	return v
}

func number(n json.Number) any {
	if i, err := n.Int64(); err == nil {
		return i
	}
	f, err := n.Float64()
	if err != nil || f >= 1<<53 || f <= -1<<53 {
		return types.NewErr("the number %.32s cannot be held exactly", n.String())
	}
	return f
}
