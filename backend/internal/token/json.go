package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Limits on a token, checked before anything is verified (RFC 8725 §3.11).
const (
	MaxBytes   = 16 << 10 // of the compact serialization
	maxDepth   = 16       // of nested arrays and objects
	maxMembers = 256      // of one object
)

// decodeObject reads one JSON object as a map of string, json.Number, bool,
// nil, []any and map[string]any. It is stricter than encoding/json, which takes
// the last of two equal names and repairs invalid Unicode: what two parsers
// could read differently is refused.
func decodeObject(data []byte) (map[string]any, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := decodeValue(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("data after the JSON object")
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	return object, nil
}

// DecodeValue reads the value of one claim as it will be read from a token.
func DecodeValue(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return decodeValue(dec, 1)
}

func decodeValue(dec *json.Decoder, depth int) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, fmt.Errorf("malformed JSON: %w", err)
	}
	switch t := t.(type) {
	case json.Delim:
		if depth == maxDepth {
			return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
		}
		if t == '[' {
			return decodeArray(dec, depth+1)
		}
		return decodeMembers(dec, depth+1)
	case string:
		return t, CheckText(t)
	default:
		return t, nil
	}
}

func decodeArray(dec *json.Decoder, depth int) ([]any, error) {
	array := []any{}
	for dec.More() {
		v, err := decodeValue(dec, depth)
		if err != nil {
			return nil, err
		}
		array = append(array, v)
	}
	_, err := dec.Token() // the closing bracket
	return array, err
}

func decodeMembers(dec *json.Decoder, depth int) (map[string]any, error) {
	object := map[string]any{}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("malformed JSON: %w", err)
		}
		name, ok := t.(string)
		if !ok {
			return nil, errors.New("malformed JSON: member name is not a string")
		}
		if err := CheckText(name); err != nil {
			return nil, err
		}
		id := name
		if depth == 1 { // header parameters and claims
			id = fold(name)
		}
		if seen[id] {
			return nil, fmt.Errorf("member %q stands twice, or with another case", clip(name))
		}
		seen[id] = true
		if len(seen) > maxMembers {
			return nil, fmt.Errorf("more than %d members in one object", maxMembers)
		}
		if object[name], err = decodeValue(dec, depth); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token() // the closing brace
	return object, err
}

// CheckText refuses U+FFFD. encoding/json puts it where an escape is half of a
// surrogate pair, so that two different subjects would become one.
func CheckText(s string) error {
	if strings.ContainsRune(s, utf8.RuneError) {
		return errors.New("text holds U+FFFD or half of a surrogate pair")
	}
	return nil
}

// fold maps names that some JSON parser takes for the same ("sub", "SUB", and
// "ſub" with U+017F) to one string.
func fold(name string) string { return strings.ToLower(strings.ToUpper(name)) }

// clip keeps hostile text short enough for an error message or a log line.
func clip(s string) string {
	const limit = 64
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
