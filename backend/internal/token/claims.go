package token

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// Claims are the claims of one JWT as decoded: values are string, json.Number,
// bool, nil, []any or map[string]any. A claim of the wrong type is an error,
// never an absent claim.
type Claims map[string]any

// Has tells whether the claim is there, also as null.
func (c Claims) Has(name string) bool {
	_, ok := c[name]
	return ok
}

// Text returns a claim that must be a string if it is there; "" if it is not.
func (c Claims) Text(name string) (string, error) {
	v, ok := c[name]
	if !ok {
		return "", nil
	}
	s, ok := v.(string)
	if !ok {
		return "", claimError(name, "must be a string")
	}
	return s, nil
}

// Required returns a claim that must be a string with something in it.
func (c Claims) Required(name string) (string, error) {
	s, err := c.Text(name)
	if err != nil {
		return "", err
	}
	if s == "" {
		return "", claimError(name, "is missing or empty")
	}
	return s, nil
}

// Strings returns a claim that is a string or an array of strings (RFC 7519
// §4.1.3); nil if it is not there.
func (c Claims) Strings(name string) ([]string, error) {
	switch v := c[name].(type) {
	case string:
		return []string{v}, nil
	case []any:
		out := make([]string, 0, len(v))
		for _, item := range v {
			s, ok := item.(string)
			if !ok {
				return nil, claimError(name, "must hold strings only")
			}
			out = append(out, s)
		}
		return out, nil
	}
	if c.Has(name) {
		return nil, claimError(name, "must be a string or an array of strings")
	}
	return nil, nil
}

// Scopes returns the scopes of an access token: "scope" as a space-separated
// string (RFC 9068 §2.2.3), or the "scp" of issuers that send a list or string.
// Nil means that the token says nothing of scopes.
func (c Claims) Scopes() ([]string, error) {
	if c.Has("scope") && c.Has("scp") {
		return nil, claimError("scp", `stands beside "scope": one of them must be left out`)
	}
	name := "scope"
	if c.Has("scp") {
		name = "scp"
	}
	values, err := c.Strings(name)
	if err != nil || values == nil {
		return nil, err
	}
	out := []string{}
	for _, v := range values {
		out = append(out, strings.Fields(v)...)
	}
	return out, nil
}

// lastDate is 9999-12-31T23:59:59Z, the last second that RFC 3339 can write.
const lastDate = 253402300799

// Date returns a NumericDate (RFC 7519 §2, fractions permitted); the zero time
// if the claim is not there.
func (c Claims) Date(name string) (time.Time, error) {
	v, ok := c[name]
	if !ok {
		return time.Time{}, nil
	}
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, claimError(name, "must be a number of seconds since 1970")
	}
	f, err := strconv.ParseFloat(n.String(), 64)
	if err != nil || f < 0 || f > lastDate {
		return time.Time{}, claimError(name, "is not a date between 1970 and 9999, in seconds since 1970")
	}
	seconds, fraction := math.Modf(f)
	return time.Unix(int64(seconds), int64(fraction*1e9)), nil
}

func claimError(name, format string, args ...any) *denial.Error {
	return denial.New(denial.InvalidRequest, denial.Subject, name, "%q claim "+format, append([]any{name}, args...)...)
}

// LookUp finds a claim by its name or, if the name begins with a slash, by JSON
// pointer (RFC 6901).
func (c Claims) LookUp(name string) (any, bool) {
	var at any = map[string]any(c)
	for _, part := range SplitPointer(name) {
		switch node := at.(type) {
		case map[string]any:
			next, ok := node[part]
			if !ok {
				return nil, false
			}
			at = next
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(node) || strconv.Itoa(i) != part {
				return nil, false
			}
			at = node[i]
		default:
			return nil, false
		}
	}
	return at, true
}

var unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")

// SplitPointer returns the names on the way to a claim: of a JSON pointer its
// parts, of any other name the name itself.
func SplitPointer(name string) []string {
	if !strings.HasPrefix(name, "/") {
		return []string{name}
	}
	parts := strings.Split(name[1:], "/")
	for i := range parts {
		parts[i] = unescapePointer.Replace(parts[i])
	}
	return parts
}
