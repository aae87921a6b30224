package expression

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"time"

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

// maxElements is how many elements a list of a claim may have for an expression:
// the functions for sets compare each of one list with each of another.
const maxElements = 1000

func (in Input) variables() (map[string]any, error) {
	subject, err := in.Subject.variable()
	if err != nil {
		return nil, err
	}
	actor, err := in.Actor.variable()
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"subject": subject, "actor": actor, "caller": in.Caller, "request": in.Request, "now": in.Now,
	}, nil
}

func (p Party) variable() (map[string]any, error) {
	out := make(map[string]any, len(p.Claims)+1)
	for name, v := range p.Claims {
		made, err := native(v)
		if err != nil {
			return nil, err
		}
		out[name] = made
	}
	if p.Issuer != "" {
		out["issuer"] = p.Issuer
	}
	return out, nil
}

// native replaces JSON numbers by what CEL computes with.
func native(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		return number(v), nil
	case []any:
		if len(v) > maxElements {
			return nil, &failure{told: fmt.Sprintf("a claim has a list of more than %d elements", maxElements)}
		}
		out := make([]any, len(v))
		for i := range v {
			if out[i], err = native(v[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for name := range v {
			if out[name], err = native(v[name]); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

// number is what an expression sees of a JSON number. One that CEL cannot hold
// exactly is seen as its text, which equals no number: as a fraction it would be
// equal to its neighbours.
func number(n json.Number) any {
	if i, err := n.Int64(); err == nil {
		return i
	}
	f, err := n.Float64()
	if err != nil || f == math.Trunc(f) && !isWhole.MatchString(n.String()) || math.Abs(f) > 1<<53 {
		return n.String()
	}
	return f
}

// isWhole is a whole number written with a fraction.
var isWhole = regexp.MustCompile(`^-?[0-9]{1,15}\.0+$`)
