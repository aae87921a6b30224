package provider

import (
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// values are the attributes of a resource or a data source by name.
type values map[string]attr.Value

// text is a text attribute; "" if it is null or unknown.
func (v values) text(name string) string {
	s, _ := v[name].(types.String)
	return s.ValueString()
}

func (v values) bool(name string) bool {
	b, _ := v[name].(types.Bool)
	return b.ValueBool()
}

// known tells whether nothing in a value is still to be found out. What is not
// there is known not to be.
func known(v attr.Value) bool {
	if v == nil {
		return true
	}
	raw, err := v.ToTerraformValue(noContext)
	return err == nil && raw.IsFullyKnown()
}
