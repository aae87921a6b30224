package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/expression"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
)

// evaluated is what the expressions are evaluated on: an account of a cluster
// that acts for a user, asked for by an entity.
func evaluated() expression.Input {
	return expression.Input{
		Subject: expression.Party{Issuer: "github", Claims: claims(`{"sub": "alice", "email": "Alice@example.com", "groups": ["dev", "ops"],
			"level": 3, "ratio": 0.5, "admin": true, "nothing": null, "empty": "", "big": 12345678901234567890, "org": {"id": 7}}`)},
		Actor:   expression.Party{Issuer: "cluster", Claims: claims(`{"sub": "api"}`)},
		Caller:  expression.Caller{ID: "e-1", Name: "api", Groups: []string{"services"}},
		Request: expression.Request{Audience: []string{orders}, Scope: []string{"read"}, TTL: time.Minute, ClientID: "role:orders"},
		Now:     time.Unix(1_800_000_000, 0),
	}
}

func mapping(name, source string) func(*policy.Role) {
	return func(r *policy.Role) { r.Claims = map[string]string{name: source} }
}

func subjectIs(source string) func(*policy.Role) {
	return func(r *policy.Role) { r.Subject = source }
}

// compiled is the good role, edited, with its expressions compiled.
func compiled(t testing.TB, edit func(*policy.Role)) *policy.Role {
	t.Helper()
	r := goodRole()
	edit(r)
	if err := r.Compile(); err != nil {
		t.Fatal(err)
	}
	return r
}

// What CEL says of an expression, behind its place.
const (
	inScope   = `; in scope are subject, actor, caller, request and now`
	breaksOff = `Syntax error: mismatched input '<EOF>' expecting ` +
		`{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}` + inScope
)

func TestCompileRefuses(t *testing.T) {
	for _, c := range []struct {
		name        string
		edit        func(*policy.Role)
		field, text string
	}{
		{"a condition that breaks off", conditioned(`subject.sub ==`), "condition", `line 1, column 15: ` + breaksOff},
		{"a condition on what is not there", conditioned("true &&\n  token.sub == \"x\""), "condition", `line 2, column 3: undeclared reference to 'token'` + inScope},
		{"a condition of spaces", conditioned(" "), "condition", `line 1, column 2: ` + breaksOff},
		{"a condition that is a text", conditioned(`"true"`), "condition", `must yield a boolean, and yields string`},
		{"a condition that is too long", conditioned(`"` + strings.Repeat("x", 4095) + `"`), "condition", `is 4097 characters long: the limit is 4096`},
		{"a condition with a pattern that a claim makes", conditioned(`subject.sub.glob(subject.email)`), "condition", `line 1, column 25: the pattern of glob must be a text literal, so that no claim can widen it` + inScope},
		{"a subject on what is not there", subjectIs(`"x" + sub`), "subject", `line 1, column 7: undeclared reference to 'sub' (did you mean 'subject' or 'substring'?)` + inScope},
		{"a subject that is a number", subjectIs(`1`), "subject", `must yield a string, and yields int`},
		{"a claim on what is not there", mapping("team", `team`), "claims", `"team": line 1, column 1: undeclared reference to 'team'` + inScope},
		{"the second of two claims", func(r *policy.Role) { r.Claims = map[string]string{"a": "1", "b": "1 +"} }, "claims", `"b": line 1, column 4: ` + breaksOff},
		{"too many claims", func(r *policy.Role) { r.Claims = many(17, "1") }, "claims", `has more than 16 elements`},
		{"too many claims, before they are compiled", func(r *policy.Role) { r.Claims = many(17, "1 +") }, "claims", `has more than 16 elements`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := goodRole()
			c.edit(r)
			wantDenied(t, r.Compile(), denial.InvalidRequest, c.field, c.field+": "+c.text)
			wantDenied(t, r.Validate(), denial.InvalidRequest, c.field, c.field+": "+c.text)
		})
	}
}

// An expression that is empty is none: a claim needs one.
func TestClaimWithoutExpression(t *testing.T) {
	r := goodRole()
	mapping("team", "")(r)
	if e := denial.From(r.Validate()); e == nil || e.Code != denial.InvalidRequest || e.Rule != "claims" {
		t.Errorf("got %v", e)
	}
}

func TestUses(t *testing.T) {
	variables := []string{"subject", "actor", "caller", "request", "now"}
	for _, c := range []struct {
		name string
		edit func(*policy.Role)
		want string
	}{
		{"nothing", func(*policy.Role) {}, ""},
		{"a condition", conditioned(`subject.sub == "x" && "x" in caller.groups`), "subject caller"},
		{"a subject", subjectIs(`actor.sub`), "actor"},
		{"a claim", mapping("team", `request.client_id`), "request"},
		{"the last of many claims", func(r *policy.Role) { r.Claims = many(16, "1"); r.Claims["m15"] = "now" }, "now"},
		{"all", after(conditioned(`caller.id == "x"`), subjectIs(`actor.sub`), mapping("t", `now`)), "actor caller now"},
		{"a name in a text", conditioned(`subject.sub == "actor caller"`), "subject"},
		{"a name of a claim", conditioned(`subject.actor == subject["caller"]`), "subject"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := compiled(t, c.edit)
			for _, v := range variables {
				if want := strings.Contains(c.want, v); r.Uses(v) != want {
					t.Errorf("uses %s: %t", v, !want)
				}
			}
		})
	}
}

func TestNeedsCaller(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*policy.Role)
		want bool
	}{
		{"a token alone", func(*policy.Role) {}, false},
		{"the caller is the subject", asCaller, true},
		{"a token acts", delegates, false},
		{"the caller acts", delegatesToCaller, true},
		{"nobody may act", after(delegatesToCaller, func(r *policy.Role) { r.Delegation = policy.DelegationForbidden }), false},
		{"a condition on the caller", conditioned(`caller.id == "x"`), true},
		{"a condition on others", conditioned(`subject.caller == actor.sub`), false},
		{"a subject from the caller", subjectIs(`caller.name`), true},
		{"a claim from the caller", mapping("team", `caller.metadata`), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := compiled(t, c.edit).NeedsCaller(); got != c.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestValidateAcceptsExpressions(t *testing.T) {
	for name, edit := range map[string]func(*policy.Role){
		"all":                                   after(conditioned(`subject.level == 3`), subjectIs(`"github:" + subject.sub`), mapping("team", `subject.org.id`)),
		"a condition on the actor, who may act": after(delegates, conditioned(`actor.sub == "api"`)),
		"a claim of the actor, who may act":     after(delegates, mapping("team", `actor.team`)),
		"a condition on the caller":             conditioned(`"services" in caller.groups`),
		"a condition alone, on the subject":     func(r *policy.Role) { r.BoundSubject, r.Condition = "", `subject.level == 3` },
		"a condition on our own tokens": func(r *policy.Role) {
			r.Issuers, r.BoundAudiences, r.Condition = []string{"self"}, []string{"v"}, `subject.x == 1`
		},
		"a claim from our own tokens": func(r *policy.Role) {
			r.Issuers, r.BoundAudiences, r.Claims = []string{"self"}, []string{"v"}, map[string]string{"x": "1"}
		},
		"as many claims as there may be":          func(r *policy.Role) { r.Claims = many(16, "1") },
		"RFC 9068 §2.2.3.1 groups":                mapping("groups", `subject.groups`),
		"RFC 9068 §2.2.3.1 roles":                 mapping("roles", `subject.groups`),
		"RFC 9068 §2.2.3.1 entitlements":          mapping("entitlements", `subject.groups`),
		"a claim named by a URL":                  mapping("https://example.com/team", `1`),
		"a claim with a name as long as they get": mapping(strings.Repeat("x", 512), `1`),
		"claims with a reserved name within": func(r *policy.Role) {
			r.Claims = map[string]string{"issuer": "1", "sub2": "1", "x_aud": "1", "client": "1", "scopes": "1"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := goodRole()
			edit(r)
			if err := r.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

// AT-8, among others: added claims have names of their own.
func TestValidateRefusesExpressions(t *testing.T) {
	const (
		noActor   = `is "forbidden", and an expression of the role mentions actor, which would never be there`
		notAName  = ` is not a claim name: printable ASCII without spaces is`
		caseAlone = ` differ in case alone: consumers that ignore case would take one for the other`
	)
	type refused struct {
		name        string
		edit        func(*policy.Role)
		field, text string
	}
	cases := []refused{
		{"a condition on the actor, whom nobody allows", conditioned(`actor.sub == "api"`), "delegation", noActor},
		{"a condition that asks whether there is an actor", conditioned(`!has(actor.sub)`), "delegation", noActor},
		{"a subject from the actor, whom nobody allows", subjectIs(`actor.sub`), "delegation", noActor},
		{"a claim from the actor, whom nobody allows", mapping("team", `actor.team`), "delegation", noActor},
		{
			"a condition that binds nothing of the subject", func(r *policy.Role) { r.BoundSubject, r.Condition = "", `"services" in caller.groups` },
			"bound_claims", `the role would accept every token of its issuers: set at least one of bound_claims, bound_subject, bound_audiences, or a condition on the subject`,
		},
		{
			"another subject for our own tokens",
			func(r *policy.Role) {
				r.Issuers, r.BoundAudiences, r.Subject = []string{"self"}, []string{"v"}, `subject.sub`
			},
			"subject", `this engine's own tokens (issuer "self") keep their subject: leave it out`,
		},
		{
			"two claims in two cases", func(r *policy.Role) { r.Claims = map[string]string{"team": "1", "x": "1", "Team": "1"} },
			"claims", `"Team" and "team"` + caseAlone,
		},
	}
	for _, bad := range []string{"", " ", "a b", "a\tb", "a\nb", "\x00", "a\x7f", "é", "\u017fub", "\u212aey", "a\u00a0b", "\ufffd", "\xff", strings.Repeat("x", 513)} {
		cases = append(cases, refused{fmt.Sprintf("the name %.10q", bad), mapping(bad, `1`), "claims", fmt.Sprintf("%q", bad) + notAName})
	}
	for _, name := range reserved {
		for _, name := range []string{name, strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:]} {
			cases = append(cases, refused{
				"the name " + name, mapping(name, `1`),
				"claims", fmt.Sprintf("%q is reserved: the engine sets it, or it would mean something that no role may say", name),
			})
		}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := goodRole()
			c.edit(r)
			wantDenied(t, r.Validate(), denial.InvalidRequest, c.field, c.field+": "+c.text)
		})
	}
}

// reserved are the claims that no role may set, written out a second time so that
// none goes missing.
var reserved = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", // RFC 7519
	"act", "may_act", "scope", "client_id", // RFC 8693; TX-21, TX-24, TX-25
	"auth_time", "acr", "amr", // RFC 9068 §2.2.1
	"cnf",                        // RFC 7800; TX-26
	"scp", "cid", "azp", "appid", // read instead of "scope" and "client_id"
	"nonce", "at_hash", "c_hash", "s_hash", "sid", // of ID tokens
	"events", "typ", "status", "status_list", "token_introspection", // of other kinds of token
	"txn", "lineage",
}

func TestCheckCondition(t *testing.T) {
	for _, source := range []string{
		"", `true`, `subject.sub == "alice" && subject.issuer == "github" && actor.sub == "api" && actor.issuer == "cluster"`,
		`caller.id == "e-1" && request.client_id == "role:orders" && now == timestamp(1800000000)`,
		`subject.admin`,
	} {
		t.Run(source, func(t *testing.T) {
			if err := compiled(t, conditioned(source)).CheckCondition(evaluated()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCheckConditionRefuses(t *testing.T) {
	const (
		notMet       = `the condition of the role "orders" is not met`
		cannotBeTold = `the condition of the role "orders" cannot be evaluated: `
	)
	for _, c := range []struct{ name, source, text string }{
		{"false", `false`, notMet},
		{"another subject", `subject.sub == "bob"`, notMet},
		{"a boolean as text", `subject.admin == "true"`, notMet},
		{"a claim that is missing", `subject.missing == "x"`, cannotBeTold + `no such key: missing`},
		{"a claim that must not be there, which is missing", `subject.missing != "x"`, cannotBeTold + `no such key: missing`},
		{"a text that is no boolean", `subject.email`, cannotBeTold + `yields string instead of a boolean`},
		{"a null that is no boolean", `subject.nothing`, cannotBeTold + `yields null_type instead of a boolean`},
		{"a number that cannot be held", `subject.big > 0`, cannotBeTold + `no such overload`},
		{"a text that is no date", `timestamp(subject.email) < now`, cannotBeTold + `a value is not what the expression needs`},
		{"a long reason", `subject.` + strings.Repeat("x", 200) + ` == 1`, cannotBeTold + `no such key: ` + strings.Repeat("x", 87)},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := compiled(t, conditioned(c.source)).CheckCondition(evaluated())
			wantDenied(t, err, denial.InvalidRequest, "condition", "condition: "+c.text)
			if cause := errors.Unwrap(err); (cause != nil) != strings.HasPrefix(c.text, cannotBeTold) {
				t.Errorf("cause %v", cause)
			}
		})
	}
}

// Nobody acts: a condition on the actor refuses.
func TestConditionOnAnActorWhoIsNotThere(t *testing.T) {
	in := evaluated()
	in.Actor = expression.Party{}
	for source, missing := range map[string]string{`actor.sub != "root"`: "sub", `actor.issuer == "cluster"`: "issuer"} {
		wantDenied(t, compiled(t, conditioned(source)).CheckCondition(in), denial.InvalidRequest, "condition",
			`condition: the condition of the role "orders" cannot be evaluated: no such key: `+missing)
	}
}

// A role whose expressions are not compiled grants nothing, and says why in the log.
func TestNotCompiled(t *testing.T) {
	in := evaluated()
	for name, edit := range map[string]func(*policy.Role){
		"nothing compiled":       func(*policy.Role) {},
		"the compilation failed": func(r *policy.Role) { r.Claims["b"] = "1 +"; _ = r.Compile() },
	} {
		t.Run(name, func(t *testing.T) {
			r := goodRole()
			r.Condition, r.Subject, r.Claims = `true`, `"x"`, map[string]string{"a": "1"}
			edit(r)
			sub, errSubject := r.MapSubject("alice", in)
			mapped, errClaims := r.MapClaims(in)
			if sub != "" || mapped != nil {
				t.Errorf("got %q and %v beside the errors", sub, mapped)
			}
			for _, err := range []error{r.CheckCondition(in), errSubject, errClaims} {
				wantDenied(t, err, denial.ServerError, "internal", "internal: internal error")
				if cause := errors.Unwrap(err); cause == nil || cause.Error() != "the expressions of the role are not compiled" {
					t.Errorf("cause %v", cause)
				}
			}
		})
	}
}

// A claim that came after the compilation is not left out in silence.
func TestClaimThatIsNotCompiled(t *testing.T) {
	r := compiled(t, mapping("a", "1"))
	r.Claims["b"] = "2"
	got, err := r.MapClaims(evaluated())
	if got != nil {
		t.Errorf("got %v beside the error", got)
	}
	wantDenied(t, err, denial.ServerError, "internal", "internal: internal error")
}

// Expressions that are taken away count no more, neither as bindings nor as uses.
func TestCompileAgain(t *testing.T) {
	r := goodRole()
	after(delegates, anyActor, conditioned(`subject.level == 3 && actor.sub == "api"`), subjectIs(`caller.id`), mapping("team", `now`))(r)
	r.BoundSubject = ""
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	r.Condition, r.Subject, r.Claims = "", "", nil
	if e := denial.From(r.Validate()); e == nil || e.Rule != "bound_claims" {
		t.Errorf("a role that binds nothing any more: %v", e)
	}
	r.BoundSubject = "alice"
	if e := denial.From(r.Validate()); e == nil || e.Rule != "bound_actors" {
		t.Errorf("a role under which anybody may act again: %v", e)
	}
	for _, v := range []string{"subject", "actor", "caller", "now"} {
		if r.Uses(v) {
			t.Errorf("uses %s", v)
		}
	}
	if got, err := r.MapClaims(evaluated()); err != nil || len(got) > 0 {
		t.Errorf("claims %v, %v", got, err)
	}
}

func TestMapSubject(t *testing.T) {
	for _, c := range []struct{ name, source, want string }{
		{"as it is named", "", "github:alice"},
		{"mapped", `subject.issuer + ":" + subject.email.lowerAscii()`, "github:alice@example.com"},
		{"by a claim", `subject.sub`, "alice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := compiled(t, subjectIs(c.source)).MapSubject("github:alice", evaluated()); err != nil || got != c.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	for _, c := range []struct{ name, source, text string }{
		{"nothing", `""`, `the subject expression of the role "orders" yields nothing`},
		{"a claim that is empty", `subject.empty`, `the subject expression of the role "orders" yields nothing`},
		{"a claim that is missing", `subject.missing`, `the subject expression of the role "orders" cannot be evaluated: no such key: missing`},
		{"a claim that is no text", `subject.level`, `the subject expression of the role "orders" cannot be evaluated: yields int instead of a string`},
		{"a claim that is null", `subject.nothing`, `the subject expression of the role "orders" cannot be evaluated: yields null_type instead of a string`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := compiled(t, subjectIs(c.source)).MapSubject("github:alice", evaluated())
			if got != "" {
				t.Errorf("got %q beside the error", got)
			}
			wantDenied(t, err, denial.InvalidRequest, "subject", "subject: "+c.text)
		})
	}
}

func TestMapClaims(t *testing.T) {
	for _, c := range []struct {
		name   string
		claims map[string]string
		want   string
	}{
		{"none", nil, `{}`},
		{
			"of each type",
			map[string]string{"t": `subject.sub`, "n": `subject.level`, "f": `subject.ratio`, "b": `subject.admin`, "l": `subject.groups`, "o": `subject.org`},
			`{"b":true,"f":0.5,"l":["dev","ops"],"n":3,"o":{"id":7},"t":"alice"}`,
		},
		{"null is left out", map[string]string{"a": `null`, "b": `subject.nothing`, "c": `has(subject.missing) ? subject.missing : null`, "d": `1`}, `{"d":1}`},
		{"null within stays", map[string]string{"a": `[null]`}, `{"a":[null]}`},
		{"what is empty stays", map[string]string{"a": `""`, "b": `[]`, "c": `false`, "d": `0`}, `{"a":"","b":[],"c":false,"d":0}`},
		{
			"from all",
			map[string]string{"a": `actor.sub`, "b": `caller.groups`, "c": `request.scope`, "d": `now`},
			`{"a":"api","b":["services"],"c":["read"],"d":"2027-01-15T08:00:00Z"}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := compiled(t, func(r *policy.Role) { r.Claims = c.claims }).MapClaims(evaluated())
			if err != nil {
				t.Fatal(err)
			}
			if text, err := json.Marshal(got); err != nil || string(text) != c.want {
				t.Errorf("got %s, %v", text, err)
			}
		})
	}
	for _, c := range []struct {
		name   string
		claims map[string]string
		text   string
	}{
		{"a claim that is missing", map[string]string{"a": `1`, "b": `subject.missing`, "c": `1`}, `["b"] of the role "orders" cannot be evaluated: no such key: missing`},
		{"the first of two", map[string]string{"b": `subject.b`, "a": `subject.a`}, `["a"] of the role "orders" cannot be evaluated: no such key: a`},
		{"a number that cannot be held", map[string]string{"a": `subject.big + 1`}, `["a"] of the role "orders" cannot be evaluated: no such overload`},
		{"what JSON cannot hold", map[string]string{"a": `1.0 / 0.0`}, `["a"] of the role "orders" cannot be evaluated: yields a number that JSON cannot hold`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := compiled(t, func(r *policy.Role) { r.Claims = c.claims }).MapClaims(evaluated())
			if got != nil {
				t.Errorf("got %v beside the error", got)
			}
			wantDenied(t, err, denial.InvalidRequest, "claims", `claims: the expression of the claim `+c.text)
		})
	}
}

func TestSubjectBeginsWith(t *testing.T) {
	for _, c := range []struct {
		source, prefix string
		want           bool
	}{
		{`"github:" + subject.sub`, "github:", true},
		{`"github:orgs/" + subject.sub + "!"`, "github:", true},
		{`"github:alice"`, "github:", true},
		{`"gh-" + subject.sub`, "gh-", true},
		{`subject.issuer + ":" + subject.sub`, "github:", true},
		{`subject["issuer"] + ":" + subject.sub`, "github:", true},
		{`"gitlab:" + subject.sub`, "github:", false},
		{`"github" + subject.sub`, "github:", false},
		{`"GitHub:" + subject.sub`, "github:", false},
		{`subject.issuer + ":" + subject.sub`, "gh-", false}, // not the default prefix
		{`subject.sub`, "github:", false},
		{`subject.sub + "github:"`, "github:", false},
		{`actor.issuer + ":" + actor.sub`, "github:", false},
		{`subject.org.issuer + ":" + subject.sub`, "github:", false},
		{`("github:" + subject.sub).replace("github", "gitlab")`, "github:", false},
		{`subject.admin ? "github:" + subject.sub : subject.sub`, "github:", false},
		{``, "github:", false},
	} {
		t.Run(c.source+" "+c.prefix, func(t *testing.T) {
			if got := compiled(t, subjectIs(c.source)).SubjectBeginsWith(c.prefix, "github:"); got != c.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
