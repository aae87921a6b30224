package provider

import (
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/hashicorp/go-secure-stdlib/parseutil"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend"
)

// What is configured must be what is written. The engine reads its fields as
// Vault does: it splits, merges and cuts what is not of their form. Terraform has
// one way to write each of them, and anything else is refused.

// unsayable finds a value that the engine's API has no way to say, or would read
// as another one.
func (c change) unsayable() *refusal {
	for _, f := range c.object.fields {
		if v := c.config[f.name]; f.configured() && v != nil && !v.IsNull() {
			if reason := f.kind.unsayable(v); reason != "" {
				return &refusal{Field: f.engine(), Reason: reason}
			}
		}
	}
	return nil
}

func (k kind) unsayable(v attr.Value) string {
	if d, ok := v.(types.Dynamic); ok {
		v = d.UnderlyingValue()
	}
	switch {
	case k == claims && known(v) && !isObject(v):
		return `must be an object such as { repository = "acme/app" }`
	case k == duration && known(v):
		if !isDuration(fmt.Sprint(encode(v))) {
			return backend.NotADuration
		}
	}
	return inexact(v)
}

func isDuration(text string) bool {
	_, err := parseutil.ParseDurationSecond(text)
	return err == nil
}

func isObject(v attr.Value) bool {
	switch v.(type) {
	case types.Map, types.Object:
		return true
	default:
		return false
	}
}

// inexact looks for null where there must be a value, and for numbers that JSON
// readers would change.
func inexact(v attr.Value) string {
	switch v := v.(type) {
	case types.Number:
		if f := v.ValueBigFloat(); !v.IsNull() && !v.IsUnknown() && !isExact(f) {
			return fmt.Sprintf("%s is a number that would lose digits: give a whole number below 2^53", f.Text('g', -1))
		}
	case types.Dynamic:
		return inexact(v.UnderlyingValue())
	case types.Set:
		return inexactItems(v.Elements())
	case types.List:
		return inexactItems(v.Elements())
	case types.Tuple:
		return inexactItems(v.Elements())
	case types.Map:
		return inexactMembers(v.Elements())
	case types.Object:
		return inexactMembers(v.Attributes())
	}
	return ""
}

func inexactItems(items []attr.Value) string {
	for _, item := range items {
		if isNull(item) {
			return "has a null element: leave it out, or give it a value"
		}
		if reason := inexact(item); reason != "" {
			return reason
		}
	}
	return ""
}

func inexactMembers(members map[string]attr.Value) string {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		member := members[name]
		if isNull(member) {
			return fmt.Sprintf("%q is null: leave it out, or give it a value", name)
		}
		if reason := inexact(member); reason != "" {
			return reason
		}
	}
	return ""
}

// isNull sees through a value of any type, whose type may be known while it is
// null.
func isNull(v attr.Value) bool {
	if d, ok := v.(types.Dynamic); ok {
		return d.IsNull() || d.IsUnderlyingValueNull()
	}
	return v.IsNull()
}

func isExact(f *big.Float) bool {
	if _, accuracy := f.Int64(); accuracy == big.Exact {
		return true
	}
	_, accuracy := f.Float64()
	return accuracy == big.Exact
}

// misread finds a field of which the engine would make something else.
func (c change) misread(drafted map[string]any) (*refusal, error) {
	for _, f := range c.object.fields {
		v := c.next[f.name]
		if !f.configured() || v == nil || v.IsNull() || !known(v) || f.kind.same(encode(v), drafted[f.name]) {
			continue
		}
		meant, err := f.kind.decode(drafted[f.name])
		if err != nil {
			return nil, err
		}
		text := asJSON(encode(meant))
		return &refusal{Field: f.engine(), Reason: fmt.Sprintf("%s means %s to the engine: write %s", asJSON(encode(v)), text, text)}, nil
	}
	return nil, nil
}
