package expression_test

import (
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/expression"
)

// Whatever is written as an expression is refused or can be evaluated, with a
// result or an error: there is no panic, and no end that does not come.
func FuzzExpression(f *testing.F) {
	for _, source := range []string{
		tenClauses, `true`, `subject.groups.exists(g, g == "dev")`, `subject.claim("/a/b") == 1`, `{"a": [subject.level, 1.5, now]}`,
		`subject.issuer + ":" + subject.sub`, `cidr("10.0.0.0/8").containsIP(ip("10.0.0.1"))`, `"%d %s".format([1, "a"])`,
		`[[1, 2], [3]].map(a, a.map(b, b * 2))`, `sets.contains([1], [1, 1.0])`, `timestamp("2026-01-01T00:00:00Z").getFullYear()`,
		`"aXbX".split("X", -1).join("")`, `9223372036854775807 + 1`, `1 / 0`, `[1][9]`, `"a".substring(5)`, `b"\xff"`, `request.ttl * 2`,
	} {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		if e, err := expression.NewCondition(source); err == nil {
			if got, err := e.Condition(input()); got && err != nil {
				t.Errorf("met, with the error %v", err)
			}
		}
		if e, err := expression.NewText(source); err == nil {
			_, _ = e.Text(input())
			_ = e.Beginning("idp")
		}
		if e, err := expression.NewValue(source); err == nil {
			_, _ = e.Value(input())
			_ = e.Claims("subject")
		}
	})
}
