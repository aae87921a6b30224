package policy

import (
	"slices"
	"strings"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// Guardrail is a mount-wide list of patterns. Without a pattern it allows
// nothing.
//
// A "*" at the end of a pattern stands for any text. Elsewhere it stands for any
// text without "/", "?", "#" and "@", so that https://*.example.com covers hosts
// of example.com and not https://evil.example/?.example.com.
type Guardrail []string

// maxStars bounds the time that a comparison can take.
const maxStars = 3

// Allows tells whether a pattern covers the value.
func (g Guardrail) Allows(value string) bool {
	return slices.ContainsFunc(g, func(pattern string) bool { return covers(pattern, value) })
}

func covers(pattern, value string) bool {
	before, after, found := strings.Cut(pattern, "*")
	if !found {
		return pattern == value
	}
	value, found = strings.CutPrefix(value, before)
	if !found || after == "" {
		return found
	}
	for i := range len(value) + 1 {
		if covers(after, value[i:]) {
			return true
		}
		if i < len(value) && strings.IndexByte("/?#@", value[i]) >= 0 {
			break
		}
	}
	return false
}

// CheckGuardrail checks the form of a guardrail's patterns.
func CheckGuardrail(field string, patterns []string) error {
	for _, p := range patterns {
		if strings.Count(p, "*") > maxStars {
			return denial.Field(field, "%q has more than %d wildcards", p, maxStars)
		}
	}
	return checkIdentifiers(field, patterns)
}
