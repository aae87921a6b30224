package backend

import (
	"maps"
	"math"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

// set writes a field of a request to its target, if the request has it: updates
// are partial.
func set[T any](d *framework.FieldData, name string, target *T) {
	if v, ok := d.GetOk(name); ok {
		*target = v.(T) //nolint:forcetypeassert // the schema of the field decides the type
	}
}

// setDuration is [set] for durations, which the framework gives in seconds. One
// that a time.Duration cannot hold becomes the longest, rather than any other.
func setDuration(d *framework.FieldData, name string, target *time.Duration) {
	const most = int(math.MaxInt64 / time.Second)
	seconds := int(*target / time.Second)
	set(d, name, &seconds)
	*target = time.Duration(max(-most, min(seconds, most))) * time.Second
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

// listing is the response of every list with details.
func listing(description string) map[int][]framework.Response {
	return ok(description, map[string]*framework.FieldSchema{
		"keys":     {Type: framework.TypeStringSlice, Description: "Names, sorted."},
		"key_info": {Type: framework.TypeMap, Description: "Details by name."},
	})
}

// nameField is a name in a path. It keeps its case: ACLs compare paths exactly,
// and a name that could be written in two ways would be a way around a deny.
func nameField(description string) *framework.FieldSchema {
	return &framework.FieldSchema{Type: framework.TypeString, Description: description, Required: true}
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
