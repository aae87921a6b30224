package provider

import (
	"maps"
	"slices"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend"
)

// Every field of the engine is an attribute of the resource, and says what it is.
func TestEveryFieldOfTheEngineIsAnAttribute(t *testing.T) {
	for _, o := range objects() {
		attributes, inEngine := o.schema().Attributes, map[string]bool{}
		for _, f := range o.fields {
			inEngine[f.engine()] = true
			if attributes[f.name].GetMarkdownDescription() == "" {
				t.Errorf("%s.%s has no description", o.noun, f.name)
			}
		}
		for name := range backend.Descriptions(o.noun) {
			if !inEngine[name] {
				t.Errorf("%s.%s cannot be set by Terraform", o.noun, name)
			}
		}
	}
}

// What a read of the data source shows is what the resource has.
func TestDataSourcesShowWhatResourcesHave(t *testing.T) {
	for _, o := range objects() {
		shown := o.dataSchema().Attributes
		for _, f := range o.fields {
			if want := f.configured() || f.computed(); (shown[f.name] != nil) != want {
				t.Errorf("%s.%s: shown %v, want %v", o.noun, f.name, !want, want)
			}
		}
	}
}

func TestParseID(t *testing.T) {
	role, config := roleObject(), configObject()
	tests := []struct {
		object      object
		id          string
		mount, name string
		ok          bool
	}{
		{role, "tx/roles/orders", "tx", "orders", true},
		{role, "teams/a/tx/roles/orders", "teams/a/tx", "orders", true},
		{role, "teams/roles/a/roles/orders", "teams/roles/a", "orders", true},
		{role, "tx/role/orders", "", "", false},
		{role, "tx/roles/", "tx", "", false},
		{role, "tx/roles/a/b", "tx", "a/b", false},
		{role, "/roles/orders", "", "", false},
		{role, "orders", "", "", false},
		{config, "tx/config", "tx", "", true},
		{config, "teams/a/tx/config", "teams/a/tx", "", true},
		{config, "config", "config", "", false},
		{config, "/config", "", "", false},
		{role, "/tx/roles/orders/", "tx", "orders", true},
		{role, "tx//roles/orders", "tx", "orders", true},
		{config, "/tx/config", "tx", "", true},
		{role, "tx/roles/..", "", "", false},
		{role, "tx/roles/a b", "", "", false},
		{role, "tx/roles/r?list=true", "", "", false},
		{role, "tx?x=1/roles/r", "", "", false},
		{role, "../sys/roles/r", "", "", false},
		{role, "tx/./roles/r", "", "", false},
		{config, "../sys/config", "", "", false},
	}
	for _, tt := range tests {
		mount, name, ok := tt.object.parseID(tt.id)
		if ok != tt.ok || ok && (mount != tt.mount || name != tt.name) {
			t.Errorf("%s %q: got %q, %q, %v", tt.object.noun, tt.id, mount, name, ok)
		}
	}
}

func TestSameToTheEngine(t *testing.T) {
	tests := []struct {
		kind kind
		a, b any
		want bool
	}{
		{duration, "5m", "300s", true},
		{duration, "5m", int64(300), true},
		{duration, "1d", "24h", true},
		{duration, "5m", "5m1s", false},
		{duration, "0s", "", true},
		{texts, []any{"a", "b"}, []any{"b", "a"}, true},
		{texts, []any{"a", "b"}, []any{"a"}, false},
		{texts, []any{}, []any{}, true},
		{texts, []any{"PEM\n"}, []any{"PEM"}, true},
		{scopeMap, map[string]any{"q": []any{"a", "b"}}, map[string]any{"q": []any{"b", "a"}}, true},
		{scopeMap, map[string]any{"q": []any{"a"}}, map[string]any{"r": []any{"a"}}, false},
		{claims, map[string]any{"a": int64(1)}, map[string]any{"a": 1.0}, true},
		{claims, map[string]any{"a": int64(1)}, map[string]any{"a": "1"}, false},
		{claims, map[string]any{"a": true}, map[string]any{"a": "true"}, false},
		{claims, map[string]any{"a": []any{"x"}}, map[string]any{"a": "x"}, false},
		{text, "a", "a ", false},
		{number, int64(4), 4.0, true},
		{boolean, true, false, false},
	}
	for _, tt := range tests {
		if got := tt.kind.same(tt.a, tt.b); got != tt.want {
			t.Errorf("%v and %v: same is %v", tt.a, tt.b, got)
		}
		if got := tt.kind.same(tt.b, tt.a); got != tt.want {
			t.Errorf("%v and %v: same is %v", tt.b, tt.a, got)
		}
	}
}

// What the engine answers comes back to it as it was.
func TestDecodedAnswersEncodeAlike(t *testing.T) {
	answers := map[kind]any{
		text: "a", duration: 5400, number: 7, boolean: true, texts: []string{"a", "b"},
		textMap: map[string]string{"team": "subject.team"}, scopeMap: map[string][]string{"q": {"a", "b"}},
		claims: map[string]any{"s": "text", "b": true, "n": 9007199254740991, "l": []any{"x", 1, false}},
	}
	for k, answer := range answers {
		data, err := normal(map[string]any{"field": answer})
		if err != nil {
			t.Fatal(err)
		}
		v, err := k.decode(data["field"])
		if err != nil {
			t.Errorf("kind %d: %v", k, err)
			continue
		}
		if !v.Type(t.Context()).Equal(k.attrType()) {
			t.Errorf("kind %d: got a %s", k, v.Type(t.Context()))
		}
		if !k.same(encode(v), data["field"]) {
			t.Errorf("kind %d: got %v of %v", k, encode(v), answer)
		}
	}
}

func TestAnswersOfAnotherEngineAreErrors(t *testing.T) {
	for k, answer := range map[kind]any{text: true, number: "4", boolean: 1, texts: []any{1}, textMap: map[string]any{"a": 1}, keyVersion: []any{1}} {
		data, err := normal(map[string]any{"field": answer})
		if err != nil {
			t.Fatal(err)
		}
		if v, err := k.decode(data["field"]); err == nil {
			t.Errorf("kind %d: %v was taken for %v", k, answer, v)
		}
	}
}

func TestShortDuration(t *testing.T) {
	got := []string{}
	for _, seconds := range []int{0, 1, 60, 90, 300, 3600, 3660, 5400, 86400, 90061} {
		data, _ := normal(map[string]any{"d": seconds})
		v, err := duration.decode(data["d"])
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, values{"d": v}.text("d"))
	}
	want := []string{"0s", "1s", "1m", "1m30s", "5m", "1h", "1h1m", "1h30m", "24h", "25h1m1s"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The zero of each kind is what the engine takes for a field that is left out.
func TestEmptyIsWhatTheEngineCallsEmpty(t *testing.T) {
	for _, o := range objects() {
		drafted, _ := backend.Draft(o.noun, "x", nil)
		data, err := normal(drafted)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range o.fields {
			v, err := f.kind.decode(data[f.name])
			if err != nil || v.IsNull() || v.IsUnknown() {
				t.Errorf("%s.%s: %v, error %v", o.noun, f.name, v, err)
			}
		}
		if missing := slices.Sorted(maps.Keys(data)); len(missing) == 0 {
			t.Errorf("%s has no defaults", o.noun)
		}
	}
}
