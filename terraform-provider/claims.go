package provider

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// readClaims reads the claims of a JWT without verifying anything. Its errors
// hold nothing of the token.
func readClaims(token string) (map[string]any, error) {
	// A file or a pipe often ends in a line break; the engine ignores it as well.
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) == 5 {
		return nil, errors.New("the token is encrypted (five parts separated by dots): only its recipient can read it")
	}
	if len(parts) != 3 {
		return nil, errors.New("the token is not a signed JWT: that has three parts separated by dots")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, errors.New("the second part of the token, its claims, is not base64url without padding")
	}
	if !bounded(payload) {
		return nil, fmt.Errorf("the claims are nested more than %d deep, or have a number of more than %d characters", maxNesting, maxNumber)
	}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	var claims map[string]any
	if err := decoder.Decode(&claims); err != nil || claims == nil || decoder.Decode(new(any)) != io.EOF {
		return nil, errors.New("the second part of the token, its claims, is not one JSON object")
	}
	return claims, nil
}

// What no issuer writes, and what costs Terraform minutes: types of deep values
// are repeated at each level, and numbers are converted in time that grows with
// the square of their length.
const (
	maxNesting = 64
	maxNumber  = 512
)

// bounded tells whether JSON text keeps to these limits. What is not JSON is left
// to the parser.
func bounded(text []byte) bool {
	depth, number, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted, number = !quoted, 0
		case quoted:
		case c == '{' || c == '[':
			depth, number = depth+1, 0
		case c == '}' || c == ']':
			depth, number = depth-1, 0
		case bytes.IndexByte([]byte("+-.0123456789Ee"), c) >= 0:
			number++
		default:
			number = 0
		}
		if depth > maxNesting || number > maxNumber {
			return false
		}
	}
	return true
}

// asValue makes a Terraform value of what JSON decodes to: as jsondecode does,
// objects and tuples.
func asValue(ctx context.Context, v any) (attr.Value, error) {
	switch v := v.(type) {
	case string:
		return types.StringValue(v), nil
	case bool:
		return types.BoolValue(v), nil
	case json.Number:
		return asNumber(v)
	case []any:
		return asTuple(ctx, v)
	case map[string]any:
		return asObject(ctx, v)
	default:
		return types.DynamicNull(), nil
	}
}

// precision in bits is Terraform's own for numbers.
const precision = 512

var errNumber = fmt.Errorf("a claim is a number that Terraform cannot hold: its size is limited to %d bits", precision)

// asNumber keeps an integer exact, or refuses it. Other numbers are as exact as
// Terraform's. The bound also keeps out those that are short in the token and
// take megabytes on the way to Terraform, such as 1e100000000.
func asNumber(n json.Number) (attr.Value, error) {
	_, exponent, _ := strings.Cut(strings.ToLower(n.String()), "e")
	if len(strings.TrimLeft(exponent, "+-0")) > 4 { // more than maxNumber digits can make up for
		return nil, errNumber
	}
	f, _, err := big.ParseFloat(n.String(), 10, precision, big.ToNearestEven)
	if err != nil || f.IsInf() || f.MantExp(nil) > precision || f.MantExp(nil) < -precision {
		return nil, errNumber
	}
	return types.NumberValue(f), nil
}

func asTuple(ctx context.Context, items []any) (attr.Value, error) {
	elements, elementTypes := []attr.Value{}, []attr.Type{}
	for _, item := range items {
		element, err := asValue(ctx, item)
		if err != nil {
			return nil, err
		}
		elements, elementTypes = append(elements, element), append(elementTypes, element.Type(ctx))
	}
	return types.TupleValueMust(elementTypes, elements), nil
}

func asObject(ctx context.Context, members map[string]any) (attr.Value, error) {
	attributes, attributeTypes := map[string]attr.Value{}, map[string]attr.Type{}
	for name, member := range members {
		attribute, err := asValue(ctx, member)
		if err != nil {
			return nil, err
		}
		attributes[name], attributeTypes[name] = attribute, attribute.Type(ctx)
	}
	return types.ObjectValueMust(attributeTypes, attributes), nil
}
