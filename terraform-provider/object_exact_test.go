package provider

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// What the engine would split, merge or cut is refused: what is configured is
// what is written.
func TestWhatIsConfiguredIsWhatIsWritten(t *testing.T) {
	bareEnv(t)
	r := newRPC(t, nil)
	const object = `must be an object such as { repository = "acme/app" }`
	const null = "has a null element: leave it out, or give it a value"
	const fraction = " has a fraction of a second: give whole seconds"
	for _, tt := range []struct {
		object, attribute string
		value             any
		with              block
		text              string // after the name of the attribute
	}{
		{"issuer", "max_token_age", "900ms", nil, "900ms" + fraction},
		{"key", "rotation_period", "500ms", nil, "500ms" + fraction},
		{"config", "default_ttl", "1.5s", nil, "1.5s" + fraction},
		{"role", "ttl", "-1ms", nil, "-1ms" + fraction},
		{"role", "ttl", "five minutes", nil, `is not a duration: use 5m, 1h30m or a number of seconds`},
		{"role", "ttl", "9223372036854775807", nil, `is not a duration: use 5m, 1h30m or a number of seconds`},
		{"role", "allowed_scopes", []any{"read write"}, nil, `["read write"] means ["read","write"] to the engine: write ["read","write"]`},
		{"role", "scope_map", block{"x": []any{"read write"}}, block{"subject_scopes": "map"}, `{"x":["read write"]} means {"x":["read","write"]} to the engine: write {"x":["read","write"]}`},
		{"role", "allowed_scopes", []any{"read", nil}, nil, null},
		{"role", "bound_audiences", []any{nil}, nil, null},
		{"role", "claims", block{"a": nil}, nil, `"a" is null: leave it out, or give it a value`},
		{"role", "bound_claims", "", nil, object},
		{"role", "bound_claims", "repository=acme/app", nil, object},
		{"role", "bound_claims", true, nil, object},
		{"role", "bound_claims", []any{}, nil, object},
		{"role", "bound_claims", []any{block{"a": "x"}, block{"b": "y"}}, nil, object},
		{"role", "bound_claims", block{"a": []any{"x", nil}}, nil, null},
		{"role", "bound_claims", block{"a": nil}, nil, `"a" is null: leave it out, or give it a value`},
		{"role", "bound_claims", block{"a": json.Number("1.00000000000000000000001")}, nil, "1.00000000000000000000001 is a number that would lose digits: give a whole number below 2^53"},
		{"role", "bound_claims", block{"a": json.Number("1e400")}, nil, "1e+400 is a number that would lose digits: give a whole number below 2^53"},
	} {
		config := with(with(good[tt.object], tt.with), block{tt.attribute: tt.value})
		typeName := "tokenexchange_" + tt.object
		want := "error: Invalid " + tt.object + ": " + tt.attribute + ": " + tt.text + ` (at AttributeName("` + tt.attribute + `"))`
		same(t, "validation", r.check(typeName, config), want)
		same(t, "plan", r.plan(typeName, nil, config).diags, want)
	}
	// What is known already is refused although something else is not.
	same(t, "beside an unknown", r.check(roleType, with(good["role"], block{"bound_claims": "a=b", "ttl": unknown{}})),
		`error: Invalid role: bound_claims: `+object+` (at AttributeName("bound_claims"))`)
	// What only looks otherwise is taken.
	for attribute, v := range map[string]any{
		"ttl": "2000ms", "bound_claims": block{"a": json.Number("9007199254740991"), "b": []any{true, "x"}}, "allowed_scopes": []any{"b", "a"},
	} {
		same(t, attribute, r.check(roleType, with(good["role"], block{attribute: v})))
	}
}

// typed is a null or an unknown value of a type, for an attribute of any type.
type typed struct {
	tftypes.Type
	value any // nil, or [tftypes.UnknownValue]
}

// rolePlan plans a role whose bound_claims are of a type, from a state.
func (r *rpc) rolePlan(prior, config block, claims typed) planned {
	r.Helper()
	schema := r.schemas.ResourceSchemas[roleType]
	raw := func(v block) *tfprotov6.DynamicValue {
		var members map[string]tftypes.Value
		value := r.value(schema.ValueType(), v)
		r.must(value.As(&members), nil)
		if v["bound_claims"] == nil {
			members["bound_claims"] = tftypes.NewValue(claims.Type, claims.value)
		}
		return r.dynamic(schema.ValueType(), tftypes.NewValue(schema.ValueType(), members))
	}
	config = with(config, block{"bound_claims": nil})
	proposal := proposed(schema, prior, config)
	if claims.value != nil {
		proposal["bound_claims"] = nil // Terraform proposes what is configured
	}
	resp, err := r.server.PlanResourceChange(r.Context(), &tfprotov6.PlanResourceChangeRequest{
		TypeName: roleType, PriorState: r.maybe(schema, prior), Config: raw(config), ProposedNewState: raw(proposal),
	})
	r.must(err, nil)
	return planned{diags: told(resp.Diagnostics), state: r.decode(schema, resp.PlannedState), raw: resp.PlannedState}
}

// A variable that is null has a type all the same.
func TestNullOfATypeIsNull(t *testing.T) {
	bareEnv(t)
	r := newRPC(t, nil)
	object := typed{tftypes.Map{ElementType: tftypes.String}, nil}
	prior := existing(r, roleType, with(good["role"], block{"bound_claims": block{"a": "x"}}))
	p := r.rolePlan(prior, good["role"], object)
	same(t, "plan", p.diags)
	if asJSON(p.state["bound_claims"]) != "{}" || asJSON(p.state["ttl"]) != asJSON(prior["ttl"]) {
		t.Errorf("planned %v", p.state)
	}
	p = r.rolePlan(prior, with(good["role"], block{"bound_subject": nil}), object)
	if len(p.diags) != 1 || !strings.Contains(p.diags[0], "would accept every token") {
		t.Errorf("a role that binds nothing: %q", p.diags)
	}
	// Of a value that is not known yet the type may be: it is planned as it is.
	object.value = tftypes.UnknownValue
	p = r.rolePlan(prior, good["role"], object)
	same(t, "unknown", p.diags)
	if p.state["bound_claims"] != (unknown{}) {
		t.Errorf("planned %v", p.state["bound_claims"])
	}
}
