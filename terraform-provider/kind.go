package provider

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// noContext stands where the framework asks for one that nothing looks at.
var noContext = context.Background()

// kind is how a field of the engine is spelt in Terraform.
type kind int

const (
	text     kind = iota
	duration      // text such as "5m"; the API answers in seconds
	number
	boolean
	texts      // a set: the order means nothing
	textMap    // name → text
	scopeMap   // name → set of texts
	claims     // name → text, number, boolean, or a list of them
	keyVersion // the versions of a key, oldest first
	secretDate // the dates of a client's secrets, the current one first
)

// versionType is one version of a key.
var versionType = types.ObjectType{AttrTypes: map[string]attr.Type{
	"kid": types.StringType, "state": types.StringType, "published": types.StringType, "may_sign_from": types.StringType,
	"activated": types.StringType, "retired": types.StringType, "published_until": types.StringType,
}}

// secretType is what is told of one secret of a client.
var secretType = types.ObjectType{AttrTypes: map[string]attr.Type{"created": types.StringType, "until": types.StringType}}

// element is the type of one of a list of objects; nil if the kind is no such list.
func (k kind) element() *types.ObjectType {
	switch k {
	case keyVersion:
		return &versionType
	case secretDate:
		return &secretType
	default:
		return nil
	}
}

func (k kind) attrType() attr.Type {
	switch k {
	case number:
		return types.Int64Type
	case boolean:
		return types.BoolType
	case texts:
		return types.SetType{ElemType: types.StringType}
	case textMap:
		return types.MapType{ElemType: types.StringType}
	case scopeMap:
		return types.MapType{ElemType: types.SetType{ElemType: types.StringType}}
	case claims:
		return types.DynamicType
	case keyVersion, secretDate:
		return types.ListType{ElemType: *k.element()}
	default:
		return types.StringType
	}
}

// encode makes a known value what the API takes: null is nil.
func encode(v attr.Value) any {
	if v == nil || v.IsNull() {
		return nil
	}
	switch v := v.(type) {
	case types.String:
		return v.ValueString()
	case types.Bool:
		return v.ValueBool()
	case types.Int64:
		return v.ValueInt64()
	case types.Number:
		return exact(v.ValueBigFloat())
	case types.Dynamic:
		return encode(v.UnderlyingValue())
	case types.Set:
		return encodeList(v.Elements())
	case types.List:
		return encodeList(v.Elements())
	case types.Tuple:
		return encodeList(v.Elements())
	case types.Map:
		return encodeMap(v.Elements())
	case types.Object:
		return encodeMap(v.Attributes())
	default:
		return nil
	}
}

func encodeList(items []attr.Value) []any {
	out := make([]any, 0, len(items))
	for _, item := range items {
		out = append(out, encode(item))
	}
	return out
}

func encodeMap(items map[string]attr.Value) map[string]any {
	out := make(map[string]any, len(items))
	for name, item := range items {
		out[name] = encode(item)
	}
	return out
}

// exact is a number of Terraform as one of JSON: whole if it is.
func exact(f *big.Float) any {
	if i, accuracy := f.Int64(); accuracy == big.Exact {
		return i
	}
	n, _ := f.Float64()
	return n
}

// decode makes an answer of the API a value of the kind. The answer is as
// [normal] has it.
func (k kind) decode(v any) (attr.Value, error) {
	var out attr.Value
	switch v := v.(type) {
	case nil:
		return k.empty(), nil
	case string:
		out = types.StringValue(v)
	case bool:
		out = types.BoolValue(v)
	case *big.Float:
		out = decodeNumber(k, v)
	case []any:
		if element := k.element(); element != nil {
			return decodeObjects(v, *element)
		}
		return decodeSet(v)
	case map[string]any:
		return k.decodeMap(v)
	}
	if out == nil || !out.Type(noContext).Equal(k.attrType()) {
		return nil, fmt.Errorf("%v is not what the provider expects: is the engine of another version?", v)
	}
	return out, nil
}

// decodeNumber reads a duration too: "5m" says more than 300.
func decodeNumber(k kind, f *big.Float) attr.Value {
	n, _ := f.Int64()
	if k == duration {
		return types.StringValue(shortDuration(time.Duration(n) * time.Second))
	}
	return types.Int64Value(n)
}

func decodeSet(items []any) (attr.Value, error) {
	out := make([]attr.Value, 0, len(items))
	for _, item := range items {
		s, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("a list has %v, which is not text", item)
		}
		// Terraform takes an element that is there twice for an error.
		if v := types.StringValue(s); !slices.Contains(out, attr.Value(v)) {
			out = append(out, v)
		}
	}
	return types.SetValueMust(types.StringType, out), nil
}

// decodeObjects reads a list of objects whose members are text.
func decodeObjects(items []any, element types.ObjectType) (attr.Value, error) {
	out := make([]attr.Value, 0, len(items))
	for _, item := range items {
		fields, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("an element is %v", item)
		}
		values := map[string]attr.Value{}
		for name := range element.AttrTypes {
			s, _ := fields[name].(string)
			values[name] = types.StringValue(s)
		}
		out = append(out, types.ObjectValueMust(element.AttrTypes, values))
	}
	return types.ListValueMust(element, out), nil
}

func (k kind) decodeMap(items map[string]any) (attr.Value, error) {
	if k == claims {
		return types.DynamicValue(decodeAny(items)), nil
	}
	out := make(map[string]attr.Value, len(items))
	elem := text
	if k == scopeMap {
		elem = texts
	}
	for name, item := range items {
		v, err := elem.decode(item)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = v
	}
	return types.MapValueMust(elem.attrType(), out), nil
}

// decodeAny makes any JSON the value that Terraform's own syntax for it has.
func decodeAny(v any) attr.Value {
	switch v := v.(type) {
	case string:
		return types.StringValue(v)
	case bool:
		return types.BoolValue(v)
	case *big.Float:
		return types.NumberValue(v)
	case []any:
		elements, elementTypes := make([]attr.Value, 0, len(v)), make([]attr.Type, 0, len(v))
		for _, item := range v {
			e := decodeAny(item)
			elements, elementTypes = append(elements, e), append(elementTypes, e.Type(noContext))
		}
		return types.TupleValueMust(elementTypes, elements)
	case map[string]any:
		attributes, attributeTypes := map[string]attr.Value{}, map[string]attr.Type{}
		for name, item := range v {
			attributes[name] = decodeAny(item)
			attributeTypes[name] = attributes[name].Type(noContext)
		}
		return types.ObjectValueMust(attributeTypes, attributes)
	default:
		return types.DynamicNull()
	}
}

// empty is the value of a field that an answer does not have.
func (k kind) empty() attr.Value {
	switch k {
	case number:
		return types.Int64Value(0)
	case boolean:
		return types.BoolValue(false)
	case texts:
		return types.SetValueMust(types.StringType, nil)
	case textMap:
		return types.MapValueMust(types.StringType, nil)
	case scopeMap:
		return types.MapValueMust(texts.attrType(), nil)
	case claims:
		return types.DynamicValue(types.ObjectValueMust(nil, nil))
	case keyVersion, secretDate:
		return types.ListValueMust(*k.element(), nil)
	case duration:
		return types.StringValue("0s")
	default:
		return types.StringValue("")
	}
}

// null is the value of a field that the configuration leaves out.
func (k kind) null() attr.Value { return k.special(nil) }

// unknown is the value of a field that is known after apply.
func (k kind) unknown() attr.Value { return k.special(tftypes.UnknownValue) }

func (k kind) special(what any) attr.Value {
	v, err := k.attrType().ValueFromTerraform(noContext, tftypes.NewValue(k.attrType().TerraformType(noContext), what))
	if err != nil {
		panic(err) // null and unknown fit every type
	}
	return v
}
