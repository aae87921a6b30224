package expression_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/expression"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

var now = time.Unix(1_800_000_000, 0)

// claims decodes claims as those of a token are: numbers stay text.
func claims(text string) token.Claims {
	var c token.Claims
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&c); err != nil {
		panic(err)
	}
	return c
}

// input is a workload that acts for a user.
func input() expression.Input {
	return expression.Input{
		Subject: expression.Party{Issuer: "idp", Claims: claims(`{
			"sub": "alice", "email": "alice@example.com", "groups": ["dev", "ops"], "level": 3, "ratio": 0.5, "admin": true,
			"auth_time": 1799999700, "big": 12345678901234567890, "nothing": null,
			"bigs": [99999999999999999999], "bigObject": {"a": 99999999999999999999}, "bigFraction": 1e300, "nearly": 1.0000000000000000001, "whole": 1.0, "tiny": 1e-400, "ip": "10.1.2.3",
			"kubernetes.io": {"namespace": "orders", "serviceaccount": {"name": "api", "uid": "u-1"}},
			"https://example.com/roles": ["reader"]}`)},
		Actor: expression.Party{Issuer: "cluster", Claims: claims(`{"sub": "system:serviceaccount:orders:api"}`)},
		Caller: expression.Caller{
			ID: "e-1", Name: "api", Metadata: map[string]string{"team": "orders"}, Groups: []string{"services"},
			Aliases: []expression.Alias{{Name: "orders-api", MountType: "kubernetes", MountAccessor: "auth_kubernetes_1"}},
		},
		Request: expression.Request{
			Audience: []string{"https://orders.example"}, Resource: []string{}, Scope: []string{"orders:read"},
			TTL: 5 * time.Minute, ClientID: "role:orders",
		},
		Now: now,
	}
}

func TestCondition(t *testing.T) {
	for source, want := range map[string]bool{
		`true`:                      true,
		`subject.sub == "alice"`:    true,
		`subject.sub == "bob"`:      false,
		`subject.issuer == "idp"`:   true,
		`actor.issuer == "cluster"`: true,
		`"dev" in subject.groups`:   true,
		`"root" in subject.groups`:  false,
		`sets.contains(["dev", "ops", "qa"], subject.groups)`: true,
		`sets.intersects(subject.groups, ["qa"])`:             false,
		`subject.groups.all(g, g != "root")`:                  true,
		`subject.level == 3 && subject.level >= 2`:            true,
		`subject.level == "3"`:                                false,
		// What CEL cannot hold equals no number, and not whatever it stands beside.
		`subject.bigs == ["admin"]`:                                      false,
		`subject.bigs in [["admin"], ["ops"]]`:                           false,
		`subject.bigObject == {"a": 1}`:                                  false,
		`subject.claim("bigs") == [1]`:                                   false,
		`subject.big == 1`:                                               false,
		`subject.big == 12345678901234567890.0`:                          false,
		`subject.big == "12345678901234567890"`:                          true,
		`subject.bigFraction == 1e300`:                                   false,
		`subject.nearly == 1`:                                            false,
		`subject.whole == 1`:                                             true,
		`subject.tiny == 0.0`:                                            false,
		`!subject.hasClaim("/bigObject/a")`:                              false,
		`subject.ratio == 0.5`:                                           true,
		`subject.admin`:                                                  true,
		`subject.nothing == null`:                                        true,
		`has(subject.missing)`:                                           false,
		`!has(subject.missing) || subject.missing == "x"`:                true,
		`subject.email.endsWith("@example.com")`:                         true,
		`subject.email.split("@")[1] == "example.com"`:                   true,
		`subject.email.glob("*@example.com")`:                            true,
		`subject.email.glob("@example.com")`:                             false,
		`subject.email.glob("alice@*") && subject.email.glob("*@*.com")`: true,
		`subject.email.regex("[a-z]+@example\\.com")`:                    true,
		`subject.email.regex("alice")`:                                   false,
		`subject.email.regex("x|alice@example.com|y")`:                   true,
		`subject.email.regex("alice|bob")`:                               false,
		`"alice\nbob".regex("alice")`:                                    false,
		`subject["kubernetes.io"].namespace == "orders"`:                 true,
		`subject.claim("/kubernetes.io/serviceaccount/uid") == "u-1"`:    true,
		`subject.claim("/https:~1~1example.com~1roles/0") == "reader"`:   true,
		`subject.claim("https://example.com/roles") == ["reader"]`:       true,
		`subject.hasClaim("/kubernetes.io/pod")`:                         false,
		`subject.hasClaim("/kubernetes.io/namespace")`:                   true,
		`cidr("10.0.0.0/8").containsIP(subject.ip)`:                      true,
		`cidr("192.168.0.0/16").containsIP(subject.ip)`:                  false,
		`now - timestamp(subject.auth_time) < duration("10m")`:           true,
		`now - timestamp(subject.auth_time) < duration("1m")`:            false,
		`now.getHours("UTC") >= 0`:                                       true,
		`caller.id == "e-1" && caller.metadata["team"] == "orders"`:      true,
		`caller.metadata.team == "orders"`:                               true,
		`"services" in caller.groups`:                                    true,
		`caller.aliases.exists(a, a.mount_type == "kubernetes")`:         true,
		`request.audience == ["https://orders.example"]`:                 true,
		`request.scope.all(s, s.startsWith("orders:"))`:                  true,
		`request.ttl <= duration("5m")`:                                  true,
		`request.client_id == "role:orders"`:                             true,
		`size(request.resource) == 0`:                                    true,
	} {
		t.Run(source, func(t *testing.T) {
			e, err := expression.NewCondition(source)
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.Condition(input())
			if err != nil || got != want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestConditionCannotBeEvaluated(t *testing.T) {
	for source, want := range map[string]string{
		`subject.missing == "x"`:               `no such key: missing`,
		`actor.client_id == "x"`:               `no such key: client_id`,
		`subject.claim("/a/b") == 1`:           `no such claim: /a/b`,
		`subject.level < "x"`:                  `no such overload`,
		`subject.email`:                        `yields string instead of a boolean`,
		`subject.big > 1`:                      `no such overload`,
		`subject.groups[7] == "x"`:             `a value is not what the expression needs`,
		`timestamp(subject.email) < now`:       `a value is not what the expression needs`,
		`cidr("10.0.0.0/8").containsIP("x")`:   `a value is not what the expression needs`,
		`subject[subject.sub] == 1`:            `a value is not what the expression needs`,
		`subject.level.glob("3")`:              `no such overload`,
		`subject.level.regex("3")`:             `no such overload`,
		`caller.metadata.missing == "x"`:       `no such key: missing`,
		`subject.sub == "alice" && subject.no`: `no such key: no`,
		`!caller.hasClaim("x")`:                `claims are looked up in subject or actor, by text`,
		`subject.groups.claim("/0") == "dev"`:  `claims are looked up in subject or actor, by text`,
	} {
		t.Run(source, func(t *testing.T) {
			e, err := expression.NewCondition(source)
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.Condition(input())
			if got || err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

const inScope = `; in scope are subject, actor, caller, request and now`

func TestRefusedWhenWritten(t *testing.T) {
	long := "true"
	for len(long) <= 4096 {
		long += " && true"
	}
	for source, want := range map[string]string{
		`subject.sub ==`:                                                 `line 1, column 15: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}` + inScope,
		"true &&\n  subjct.sub == \"x\"":                                 `line 2, column 3: undeclared reference to 'subjct' (did you mean 'subject'?)` + inScope,
		`request.audiense == []`:                                         `line 1, column 8: undefined field 'audiense'` + inScope,
		`request.ttl < 5`:                                                `line 1, column 13: found no matching overload for '_<_' applied to '(duration, int)'` + inScope,
		`"alice"`:                                                        `must yield a boolean, and yields string`,
		`subject.sub.matches("x")`:                                       `line 1, column 20: undeclared reference to 'matches'` + inScope,
		`subject.sub.regex("(")`:                                         "line 1, column 19: the pattern of regex: error parsing regexp: missing closing ): `(`" + inScope,
		`subject.sub.regex("(((a{100}){100}){100})")`:                    "line 1, column 19: the pattern of regex: error parsing regexp: invalid repeat count: `{100}`" + inScope,
		`subject.sub.regex(subject.pattern)`:                             `line 1, column 26: the pattern of regex must be a text literal, so that no claim can widen it` + inScope,
		`subject.sub.glob("a" + "*")`:                                    `line 1, column 22: the pattern of glob must be a text literal, so that no claim can widen it` + inScope,
		`subject.sub.glob("` + strings.Repeat("a", 513) + `")`:           `line 1, column 18: the pattern of glob: 513 characters are more than the limit of 512` + inScope,
		`[1].exists(actor, actor == 1)`:                                  `line 1, column 11: actor is taken: give the loop variable another name` + inScope,
		`[{"a": 1}].all(subject, subject.a == 1)`:                        `line 1, column 15: subject is taken: give the loop variable another name` + inScope,
		`subject.sub.replace("a", subject.sub) == "x"`:                   `line 1, column 33: what replace puts in must be a text literal of at most 64 characters` + inScope,
		`subject.groups.join(subject.sub) == "x"`:                        `line 1, column 28: what join puts in must be a text literal of at most 64 characters` + inScope,
		`subject.sub.regex("\\W{900}") || subject.sub.regex("\\W{900}")`: `line 1, column 31: the patterns of regex compile to 1804 instructions: the limit is 1000` + inScope,
		`request.ttl < duration("30min")`:                                `line 1, column 24: invalid duration argument` + inScope,
		`now > timestamp("yesterday")`:                                   `line 1, column 17: invalid timestamp argument` + inScope,
		long:                                                             `is 4100 characters long: the limit is 4096`,
	} {
		t.Run(source[:min(40, len(source))], func(t *testing.T) {
			_, err := expression.NewCondition(source)
			if err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}
