package expression_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/expression"
)

func TestText(t *testing.T) {
	e, err := expression.NewText(`subject.issuer + ":" + subject.email.lowerAscii()`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := e.Text(input()); err != nil || got != "idp:alice@example.com" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := expression.NewText(`1`); err == nil || err.Error() != "must yield a string, and yields int" {
		t.Errorf("got %v", err)
	}
	if e, err = expression.NewText(`subject.level`); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Text(input()); err == nil || err.Error() != "yields int instead of a string" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestValue(t *testing.T) {
	for source, want := range map[string]string{
		`subject.groups`:                                                 `["dev","ops"]`,
		`subject.groups.filter(g, g != "ops")`:                           `["dev"]`,
		`subject["kubernetes.io"].serviceaccount`:                        `{"name":"api","uid":"u-1"}`,
		`{"team": caller.metadata.team, "ok": true, "n": subject.level}`: `{"n":3,"ok":true,"team":"orders"}`,
		`has(subject.missing) ? subject.missing : null`:                  `null`,
		`subject.ratio`:    `0.5`,
		`now`:              `"2027-01-15T08:00:00Z"`,
		`9007199254740993`: `"9007199254740993"`,
		`subject.admin`:    `true`,
		`[subject.big]`:    `["12345678901234567890"]`,
	} {
		t.Run(source, func(t *testing.T) {
			e, err := expression.NewValue(source)
			if err != nil {
				t.Fatal(err)
			}
			v, err := e.Value(input())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := json.Marshal(v); err != nil || string(got) != want {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
	for source, want := range map[string]string{
		`subject.missing`:                   "no such key: missing",
		`cidr("10.0.0.0/8")`:                "which JSON cannot hold",
		`{1: "a"}`:                          "",
		`1.0 / 0.0`:                         "yields a number that JSON cannot hold",
		`[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]`: "limit exceeded",
		`{"a": {"b": subject.x}}`:           "no such key: x",
	} {
		t.Run(source, func(t *testing.T) {
			e, err := expression.NewValue(source)
			if err != nil {
				t.Fatal(err)
			}
			v, err := e.Value(input())
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, %v", v, err)
			}
		})
	}
}

func TestMentions(t *testing.T) {
	e, err := expression.NewCondition(`subject.sub == "a" && subject["repository_id"] == "1" && subject.claim("/kubernetes.io/namespace") == "x"
		&& has(subject.ref) && subject["a/b"].c == 1 && subject.hasClaim("e/f") && subject.groups.exists(g, g == actor.sub)`)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/a~1b/c", "/kubernetes.io/namespace", "a/b", "e/f", "groups", "ref", "repository_id", "sub"}
	if got := e.Claims("subject"); !slices.Equal(got, want) {
		t.Errorf("claims %q", got)
	}
	for name, want := range map[string]bool{"subject": true, "actor": true, "caller": false, "request": false, "now": false} {
		if e.Uses(name) != want {
			t.Errorf("uses %s: %v", name, !want)
		}
	}
	var none *expression.Expression
	if none.Uses("caller") || none.Claims("subject") != nil {
		t.Error("no expression mentions something")
	}
}

func TestBeginning(t *testing.T) {
	for source, want := range map[string]string{
		`"idp:" + subject.email`:                    "idp:",
		`subject.issuer + ":" + subject.sub`:        "here:",
		`subject.issuer + subject.sub`:              "here",
		`"a" + ("b" + subject.sub) + "c"`:           "ab",
		`subject.sub`:                               "",
		`"idp:alice"`:                               "idp:alice",
		`subject.admin ? "idp:a" : "b"`:             "",
		`"\u0000" + subject.sub`:                    "",
		`actor.issuer + ":" + subject.sub`:          "",
		`("idp:" + subject.sub).lowerAscii() + "x"`: "",
	} {
		e, err := expression.NewText(source)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Beginning("here"); got != want {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
	var none *expression.Expression
	if none.Beginning("here") != "" {
		t.Error("no expression begins with something")
	}
}
