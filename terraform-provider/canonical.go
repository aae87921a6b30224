package provider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-secure-stdlib/parseutil"
)

// normal makes data of any Go type what JSON would make of it, with numbers that
// lose no digit.
func normal(data map[string]any) (map[string]any, error) {
	text, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var out map[string]any
	if err := decoder.Decode(&out); err != nil {
		return nil, err
	}
	normalised, _ := numbers(out).(map[string]any)
	return normalised, nil
}

// asRequest makes data what the engine gets of it: JSON, whose numbers are
// floats there.
func asRequest(data map[string]any) (map[string]any, error) {
	text, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	var out map[string]any
	return out, json.Unmarshal(text, &out)
}

// numbers replaces each number by a *big.Float.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, _, err := big.ParseFloat(v.String(), 10, 512, big.ToNearestEven)
		if err != nil {
			return v.String()
		}
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = numbers(v[name])
		}
	}
	return v
}

// same tells whether two values of a field mean the same to the engine: "5m" is
// 300, and a set has no order.
func (k kind) same(a, b any) bool { return k.canonical(a) == k.canonical(b) }

func (k kind) canonical(v any) string {
	switch k {
	case duration:
		if d, err := parseutil.ParseDurationSecond(seconds(v)); err == nil {
			return d.String()
		}
	case texts:
		if items, ok := v.([]any); ok {
			v = sorted(items)
		}
	case scopeMap:
		if m, ok := v.(map[string]any); ok {
			out := map[string]any{}
			for name, items := range m {
				out[name] = texts.canonical(items)
			}
			v = out
		}
	}
	return asJSON(v)
}

// seconds makes a number one that parseutil reads.
func seconds(v any) any {
	if f, ok := v.(*big.Float); ok {
		n, _ := f.Int64()
		return n
	}
	return v
}

func sorted(items []any) []string {
	out := make([]string, 0, len(items))
	for _, item := range items {
		// The engine drops the line break that ends a file.
		out = append(out, strings.TrimSpace(fmt.Sprint(item)))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// asJSON is a value as text. Numbers of either side are written alike.
func asJSON(v any) string {
	out, err := json.Marshal(digits(v))
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(out)
}

func digits(v any) any {
	switch v := v.(type) {
	case *big.Float:
		return json.Number(v.Text('g', 40))
	case int64:
		return digits(new(big.Float).SetInt64(v))
	case float64:
		return digits(big.NewFloat(v))
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			out = append(out, digits(item))
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, item := range v {
			out[name] = digits(item)
		}
		return out
	default:
		return v
	}
}

// shortDuration writes 5m for what Go writes as 5m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}
