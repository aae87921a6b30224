package expression_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/expression"
)

// list is a list literal with n elements.
func list(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("1,", n), ",") + "]" }

// What costs too much whatever the claims are is refused when it is written.
func TestTooCostlyToWrite(t *testing.T) {
	source := fmt.Sprintf("size(%[1]s.map(a, %[1]s.map(b, %[1]s.map(c, a + b + c)))) > 0", list(100))
	_, err := expression.NewCondition(source)
	if err == nil || !strings.HasPrefix(err.Error(), "costs at least ") || !strings.HasSuffix(err.Error(), " units to evaluate: the limit is 10000") {
		t.Errorf("got %v", err)
	}
}

// What only the claims make costly is cut off by its cost, or by its memory.
func TestCutOff(t *testing.T) {
	in := input()
	in.Subject.Claims["many"] = slices.Repeat([]any{"x"}, 1000)
	in.Subject.Claims["long"] = strings.Repeat("a", 15_000)
	for source, want := range map[string]string{
		`subject.many.all(a, subject.many.all(b, subject.many.all(c, a == b && b == c)))`:     "limit exceeded",
		`subject.many.map(a, subject.many.map(b, subject.many)).size() > 0`:                   "limit exceeded",
		`subject.long.replace("a", "aaaaaaaa").replace("a", "aaaaaaaa") == "x"`:               "limit exceeded",
		`subject.long.regex("(a|a|a|a|a|a|a|a|a|a|a|a|a)*b") || subject.long.regex("(a*)*b")`: "",
		`subject.many.all(a, subject.long.regex("(a*)*b") || true)`:                           "limit exceeded",
		`subject.many.all(a, subject.long.glob("*a*a*a*b") || true)`:                          "limit exceeded",
	} {
		t.Run(source, func(t *testing.T) {
			e, err := expression.NewCondition(source)
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.Condition(in)
			if want == "" && err == nil {
				return
			}
			if got || err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, %v; want %q", got, err, want)
			}
		})
	}
}

// A list that is longer than any that a function for sets can be let loose on.
func TestLongLists(t *testing.T) {
	in := input()
	in.Subject.Claims["many"] = slices.Repeat([]any{"x"}, 1001)
	e, err := expression.NewCondition(`true`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := e.Condition(in); got || err == nil || err.Error() != "a claim has a list of more than 1000 elements" {
		t.Errorf("got %v, %v", got, err)
	}
}

// tenClauses is a condition as long as they get.
const tenClauses = `subject.sub == "alice" && subject.issuer == "idp" && "dev" in subject.groups && subject.level >= 2 &&
	subject.email.glob("*@example.com") && subject.email.regex("[a-z]+@example\\.com") &&
	subject["kubernetes.io"].namespace == "orders" && now - timestamp(subject.auth_time) < duration("10m") &&
	request.audience.all(a, a.startsWith("https://")) && cidr("10.0.0.0/8").containsIP(subject.ip)`

// BenchmarkCondition tells the 95th percentile of a condition with ten clauses.
func BenchmarkCondition(b *testing.B) {
	e, err := expression.NewCondition(tenClauses)
	if err != nil {
		b.Fatal(err)
	}
	in := input()
	took := make([]time.Duration, 0, b.N)
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		if ok, err := e.Condition(in); !ok || err != nil {
			b.Fatal(ok, err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*95/100].Nanoseconds())/1000, "p95-µs")
}

// BenchmarkCutOff tells how long an expression runs until its cost ends it.
func BenchmarkCutOff(b *testing.B) {
	in := input()
	in.Subject.Claims["many"] = slices.Repeat([]any{"x"}, 1000)
	e, err := expression.NewCondition(`subject.many.all(a, subject.many.all(b, a == b))`)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := e.Condition(in); err == nil {
			b.Fatal("was not cut off")
		}
	}
}
