package provider

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// check returns the diagnostics of a resource's configuration.
func (r *rpc) check(typeName string, config block) []string {
	r.Helper()
	resp, err := r.server.ValidateResourceConfig(r.Context(), &tfprotov6.ValidateResourceConfigRequest{
		TypeName: typeName, Config: r.encode(r.schemas.ResourceSchemas[typeName], config),
		ClientCapabilities: &tfprotov6.ValidateResourceConfigClientCapabilities{WriteOnlyAttributesAllowed: true},
	})
	r.must(err, nil)
	return told(resp.Diagnostics)
}

// planned is what a plan says of one resource.
type planned struct {
	state   block
	replace []string // attributes
	diags   []string
	raw     *tfprotov6.DynamicValue
	private []byte
}

// changes are the attributes that differ from a state, sorted.
func (p planned) changes(prior block) []string {
	var names []string
	for name := range p.state {
		if asJSON(p.state[name]) != asJSON(prior[name]) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// plan plans a resource from a state to a configuration, as Terraform does; a nil
// state is none, a nil configuration a destruction.
func (r *rpc) plan(typeName string, prior, config block) planned {
	r.Helper()
	schema := r.schemas.ResourceSchemas[typeName]
	resp, err := r.server.PlanResourceChange(r.Context(), &tfprotov6.PlanResourceChangeRequest{
		TypeName: typeName, PriorState: r.maybe(schema, prior),
		Config: r.maybe(schema, config), ProposedNewState: r.maybe(schema, proposed(schema, prior, config)),
	})
	r.must(err, nil)
	p := planned{diags: told(resp.Diagnostics), raw: resp.PlannedState, private: resp.PlannedPrivate}
	if resp.PlannedState != nil {
		p.state = r.decode(schema, resp.PlannedState)
	}
	for _, path := range resp.RequiresReplace {
		p.replace = append(p.replace, strings.TrimSuffix(strings.TrimPrefix(path.String(), `AttributeName("`), `")`))
	}
	slices.Sort(p.replace)
	return p
}

// apply plans and applies, and returns the new state; nil if there is none.
func (r *rpc) apply(typeName string, prior, config block) (state block, diags []string) {
	r.Helper()
	schema := r.schemas.ResourceSchemas[typeName]
	p := r.plan(typeName, prior, config)
	if len(p.diags) > 0 {
		return nil, p.diags
	}
	resp, err := r.server.ApplyResourceChange(r.Context(), &tfprotov6.ApplyResourceChangeRequest{
		TypeName: typeName, PriorState: r.maybe(schema, prior), PlannedState: p.raw, Config: r.maybe(schema, config), PlannedPrivate: p.private,
	})
	r.must(err, nil)
	return r.decode(schema, resp.NewState), told(resp.Diagnostics)
}

// refreshRole reads a role again; nil if it has gone.
func (r *rpc) refreshRole(state block) (block, []string) {
	r.Helper()
	schema := r.schemas.ResourceSchemas[roleType]
	resp, err := r.server.ReadResource(r.Context(), &tfprotov6.ReadResourceRequest{TypeName: roleType, CurrentState: r.maybe(schema, state)})
	r.must(err, nil)
	return r.decode(schema, resp.NewState), told(resp.Diagnostics)
}

// proposed is what Terraform proposes: the configuration, and for what is
// computed and left out of it the state.
func proposed(schema *tfprotov6.Schema, prior, config block) block {
	if config == nil {
		return nil
	}
	out := maps.Clone(config)
	for _, attribute := range schema.Block.Attributes {
		if attribute.WriteOnly {
			delete(out, attribute.Name)
		}
		if config[attribute.Name] != nil || !attribute.Computed {
			continue
		}
		out[attribute.Name] = prior[attribute.Name]
		if prior == nil {
			out[attribute.Name] = unknown{}
		}
	}
	return out
}

func (r *rpc) maybe(schema *tfprotov6.Schema, v block) *tfprotov6.DynamicValue {
	r.Helper()
	if v == nil {
		typ := schema.ValueType()
		return r.dynamic(typ, tftypes.NewValue(typ, nil))
	}
	return r.encode(schema, v)
}

func objectOf(typeName string) object {
	for _, o := range objects() {
		if o.typeName("tokenexchange") == typeName {
			return o
		}
	}
	return object{}
}
