package backend

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/hashicorp/go-secure-stdlib/parseutil"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
)

// set writes a field of a request to its target, if the request has it: updates
// are partial.
func set[T any](d *framework.FieldData, name string, target *T) {
	if v, ok := d.GetOk(name); ok {
		*target = v.(T) //nolint:forcetypeassert // the schema of the field decides the type
	}
}

// strict refuses what is not a field: a misspelt restriction must not be lost.
func strict(h handler) handler { return known(h, false) }

// strictDeletion is strict for deletions, whose fields are those of the query.
func strictDeletion(h handler) handler { return known(h, true) }

func known(h handler, query bool) handler {
	return func(ctx context.Context, req *logical.Request, d *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
		for _, name := range slices.Sorted(maps.Keys(req.Data)) {
			if f := d.Schema[name]; f == nil || f.Query != query {
				return nil, denial.Field(name, "is not a field of %s: see vault path-help", req.Path)
			}
			if err := checkDuration(d, name); err != nil {
				return nil, err
			}
		}
		return h(ctx, req, d, s)
	}
}

// setDuration is [set] for durations, which the framework gives in seconds and
// has checked for overflow.
func setDuration(d *framework.FieldData, name string, target *time.Duration) {
	seconds := int(*target / time.Second)
	set(d, name, &seconds)
	*target = time.Duration(seconds) * time.Second
}

// checkDuration refuses fractions of a second, which the framework drops: of
// "900ms" it would leave 0, which is no limit.
func checkDuration(d *framework.FieldData, name string) error {
	if d.Schema[name].Type != framework.TypeDurationSecond {
		return nil
	}
	raw := d.Raw[name]
	whole := true
	switch v := raw.(type) {
	case float64:
		whole = v == math.Trunc(v)
	case nil:
	default:
		parsed, err := parseutil.ParseDurationSecond(v)
		whole = err != nil || parsed%time.Second == 0 // the framework says what cannot be read
	}
	if whole {
		return nil
	}
	return denial.Field(name, "%v has a fraction of a second: give whole seconds", raw)
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// list is a list in a response: empty, never null.
func list[T ~[]string](items T) []string { return append([]string{}, items...) }

// stamp is a date in a response; "" if there is none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

const operationPrefix = "token-exchange"

func display(verb, suffix string) *framework.DisplayAttributes {
	return &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationVerb: verb, OperationSuffix: suffix}
}

// ok declares a response with fields; noContent one without.
func ok(description string, fields map[string]*framework.FieldSchema) map[int][]framework.Response {
	return map[int][]framework.Response{200: {{Description: description, Fields: fields}}}
}

func noContent(description string) map[int][]framework.Response {
	return map[int][]framework.Response{204: {{Description: description}}}
}

// warn adds warnings to a response, which may be nil.
func warn(resp *logical.Response, warnings []string) *logical.Response {
	if len(warnings) == 0 {
		return resp
	}
	if resp == nil {
		resp = &logical.Response{}
	}
	for _, w := range warnings {
		resp.AddWarning(w)
	}
	return resp
}

// plus and without make the fields of a response from those of a request.
func plus(fields, more map[string]*framework.FieldSchema) map[string]*framework.FieldSchema {
	out := maps.Clone(fields)
	maps.Copy(out, more)
	return out
}

func without(fields map[string]*framework.FieldSchema, names ...string) map[string]*framework.FieldSchema {
	out := maps.Clone(fields)
	for _, name := range names {
		delete(out, name)
	}
	return out
}
