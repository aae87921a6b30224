package expression_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/expression"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

const cookbook = "../../../docs/how-to/write-a-condition.md"

// TestCookbook runs the recipes of the how-to page: each block of cel is
// evaluated on the inputs in the table below it.
func TestCookbook(t *testing.T) {
	page, err := os.ReadFile(cookbook)
	if err != nil {
		t.Fatal(err)
	}
	recipes, err := readRecipes(string(page))
	if err != nil {
		t.Fatal(err)
	}
	if len(recipes) < 25 {
		t.Errorf("only %d recipes were found", len(recipes))
	}
	for _, r := range recipes {
		t.Run(r.title, func(t *testing.T) {
			evaluate, err := r.compile()
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range r.examples {
				in, err := readInput(e.input)
				if err != nil {
					t.Fatalf("line %d: %v", e.line, err)
				}
				if got := evaluate(in); !sameOutcome(got, e.outcome) {
					t.Errorf("line %d: got %s, want %s", e.line, got, e.outcome)
				}
			}
		})
	}
}

// A recipe that shows nothing proves nothing, and neither does one that is met by
// all that is shown.
func TestCookbookWithoutExamples(t *testing.T) {
	const (
		heading = "### A recipe\n\n"
		block   = "```cel\nsubject.admin\n```\n\n"
		met     = "| met | `{\"subject\": {\"admin\": true}}` |\n"
		notMet  = "| not met | `{\"subject\": {\"admin\": false}}` |\n"
	)
	if r, err := readRecipes(heading + block + met + notMet); err != nil || len(r) != 1 || len(r[0].examples) != 2 {
		t.Fatalf("got %+v, %v", r, err)
	}
	for name, page := range map[string]string{
		"no table":             heading + block,
		"the table is another": heading + block + heading + met + notMet,
		"always met":           heading + block + met,
		"never met":            heading + block + notMet,
		"no title":             block + met + notMet,
		"no input":             heading + block + met + "| not met | nothing |\n",
		"no outcome":           heading + block + met + notMet + "| perhaps | `{}` |\n",
		"no value":             heading + "```cel claim\nsubject\n```\n" + "| error | `{}` |\n",
		"no such field":        heading + "```cel claims\nsubject\n```\n" + "| `1` | `{}` |\n",
		"no end":               heading + "```cel\nsubject.admin\n",
	} {
		if _, err := readRecipes(page); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, input := range []string{`{"subjct": {}}`, `{"caller": {"group": []}}`, `{"request": {"ttl": 5}}`, `{} {}`, `{`} {
		if _, err := readInput(input); err == nil {
			t.Errorf("%s: no error", input)
		}
	}
}

// recipe is one expression of the page.
type recipe struct {
	title, field, source string
	examples             []example
}

type example struct {
	line           int
	outcome, input string
}

// The outcomes of a condition, and of any expression that cannot be evaluated.
// Another expression yields JSON.
const (
	isMet, isNotMet = "met", "not met"
	isError         = "error"
)

func readRecipes(page string) ([]recipe, error) {
	var out []recipe
	var current *recipe
	title, fence, line := "", "", 0
	for text := range strings.Lines(page) {
		line++
		text = strings.TrimSpace(text)
		info, isFence := strings.CutPrefix(text, "```")
		switch {
		case isFence && fence == "":
			fence = cmp.Or(info, "none")
			if field, ok := strings.CutPrefix(fence, "cel"); ok {
				out = append(out, recipe{title: title, field: strings.TrimSpace(field)})
				current = &out[len(out)-1]
			}
		case isFence:
			fence = ""
		case strings.HasPrefix(fence, "cel"):
			current.source += text + "\n"
		case fence != "":
		case strings.HasPrefix(text, "#"):
			title, current = strings.TrimLeft(text, "# "), nil
		case current != nil && strings.HasPrefix(text, "|"):
			if err := current.read(text, line); err != nil {
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
		}
	}
	if fence != "" {
		return nil, errors.New("a block does not end")
	}
	for i := range out {
		if err := out[i].check(); err != nil {
			return nil, fmt.Errorf("the recipe %q %w", out[i].title, err)
		}
	}
	return out, nil
}

// read reads a row of the table.
func (r *recipe) read(row string, line int) error {
	outcome, input, ok := strings.Cut(strings.Trim(row, "| "), " | ")
	switch {
	case !ok && strings.Trim(row, "|-") == "", outcome == "Outcome", outcome == "Yields":
		return nil
	case !ok || len(input) < 2 || input[0] != '`' || input[len(input)-1] != '`':
		return errors.New("the row has no outcome and input")
	}
	value, isValue := strings.CutPrefix(outcome, "`")
	switch {
	case outcome == isError, r.field == "" && (outcome == isMet || outcome == isNotMet), r.field != "" && isValue:
		r.examples = append(r.examples, example{line, strings.TrimSuffix(value, "`"), strings.Trim(input, "`")})
		return nil
	}
	return fmt.Errorf("%q is not an outcome", outcome)
}

// check refuses a recipe that could be wrong without anybody noticing.
func (r *recipe) check() error {
	outcomes := map[string]bool{}
	for _, e := range r.examples {
		outcomes[e.outcome] = true
	}
	switch {
	case r.title == "":
		return errors.New("has no title")
	case r.field != "" && r.field != "subject" && r.field != "claim":
		return fmt.Errorf("is for %q, which is no field of a role", r.field)
	case r.field == "" && (!outcomes[isMet] || !outcomes[isNotMet]):
		return errors.New("has no inputs by which it is met, and not met")
	case r.field != "" && (len(outcomes) == 0 || len(outcomes) == 1 && outcomes[isError]):
		return errors.New("yields nothing")
	}
	return nil
}

// compile returns a function that tells the outcome.
func (r *recipe) compile() (func(expression.Input) string, error) {
	compile := map[string]func(string) (*expression.Expression, error){
		"": expression.NewCondition, "subject": expression.NewText, "claim": expression.NewValue,
	}[r.field]
	e, err := compile(r.source)
	return func(in expression.Input) string {
		var v any
		var err error
		switch r.field {
		case "":
			var met bool
			met, err = e.Condition(in)
			v = met
		case "subject":
			v, err = e.Text(in)
		default:
			v, err = e.Value(in)
		}
		switch {
		case err != nil:
			return isError
		case v == true && r.field == "":
			return isMet
		case r.field == "":
			return isNotMet
		}
		encoded, err := json.Marshal(v)
		if err != nil {
			return err.Error()
		}
		return string(encoded)
	}, err
}

func sameOutcome(got, want string) bool {
	var a, b any
	if json.Unmarshal([]byte(got), &a) == nil && json.Unmarshal([]byte(want), &b) == nil {
		return reflect.DeepEqual(a, b)
	}
	return got == want
}

// readInput reads an input of the page. What it does not say is as the page says.
func readInput(text string) (expression.Input, error) {
	in := struct {
		Subject, Actor token.Claims
		Caller         struct {
			ID, Name string
			Metadata map[string]string
			Groups   []string
			Aliases  []struct {
				Name          string
				MountType     string `json:"mount_type"`
				MountAccessor string `json:"mount_accessor"`
				Metadata      map[string]string
			}
		}
		Request struct {
			Audience, Resource, Scope []string
			TTL                       string
			ClientID                  string `json:"client_id"`
		}
		Now time.Time
	}{Now: now}
	in.Request.TTL, in.Request.ClientID = "5m", "role:orders"
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		return expression.Input{}, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return expression.Input{}, errors.New("there is more than one value")
	}
	ttl, err := time.ParseDuration(in.Request.TTL)
	out := expression.Input{
		Subject: party("idp", in.Subject), Actor: party("cluster", in.Actor), Now: in.Now,
		Caller:  expression.Caller{ID: in.Caller.ID, Name: in.Caller.Name, Metadata: in.Caller.Metadata, Groups: in.Caller.Groups},
		Request: expression.Request{Audience: in.Request.Audience, Resource: in.Request.Resource, Scope: in.Request.Scope, TTL: ttl, ClientID: in.Request.ClientID},
	}
	for _, a := range in.Caller.Aliases {
		out.Caller.Aliases = append(out.Caller.Aliases, expression.Alias(a))
	}
	return out, err
}

// party takes the name of the issuer out of the claims; nobody has no claims.
func party(issuer string, claims token.Claims) expression.Party {
	if claims == nil {
		return expression.Party{}
	}
	if name, ok := claims["issuer"].(string); ok {
		issuer = name
	}
	return expression.Party{Issuer: issuer, Claims: claims}
}
