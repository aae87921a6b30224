package provider

import (
	"context"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend"
)

type refusal = backend.Refusal

// ValidateConfig implements [resource.ResourceWithValidateConfig]: the engine's
// own check, as soon as nothing is left to be found out.
func (r *objectResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	config := read(ctx, req.Config.Get, &resp.Diagnostics)
	c := change{object: r.object, next: config, config: config}
	if resp.Diagnostics.HasError() {
		return
	}
	if refused := c.unsayable(); refused != nil || !c.known() {
		report(r, refused, nil, &resp.Diagnostics)
		return
	}
	_, refused, err := c.draft()
	report(r, refused, err, &resp.Diagnostics)
}

func report(r *objectResource, refused *refusal, err error, diags *diag.Diagnostics) {
	if err != nil {
		diags.AddError("Cannot read the "+r.object.noun, err.Error())
	}
	if refused != nil {
		r.refuse(*refused, diags)
	}
}

// known tells whether everything is known that the engine would be asked for.
func (c change) known() bool {
	for _, f := range c.object.fields {
		if f.configured() && !known(c.config[f.name]) {
			return false
		}
	}
	return known(c.config["name"])
}

// ModifyPlan implements [resource.ResourceWithModifyPlan]: what is left out of
// the configuration gets the engine's default, so that taking a field out is a
// change that Terraform shows.
func (r *objectResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		return // it is destroyed
	}
	c := change{object: r.object, secure: true}
	c.next, c.config = read(ctx, req.Plan.Get, &resp.Diagnostics), read(ctx, req.Config.Get, &resp.Diagnostics)
	if !req.State.Raw.IsNull() {
		c.prior = read(ctx, req.State.Get, &resp.Diagnostics)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	r.plan(c, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	for _, name := range c.replaced() {
		resp.RequiresReplace = append(resp.RequiresReplace, path.Root(name))
	}
	setState(ctx, c.next, resp.Plan.Set, &resp.Diagnostics)
}

// plan sets what the object will be.
func (r *objectResource) plan(c change, diags *diag.Diagnostics) {
	for _, name := range places {
		// As it was spelt before; Terraform takes that for what is configured if neither is null.
		if before := c.prior[name]; before != nil && !before.IsNull() && !c.next[name].IsNull() && c.samePlace(name) {
			c.next[name] = before
		}
	}
	for _, f := range r.object.fields {
		if f.configured() && c.config[f.name].IsNull() {
			c.next[f.name] = f.kind.null() // not what it happens to be now
		}
	}
	var drafted map[string]any
	if c.known() {
		var refused *refusal
		var err error
		drafted, refused, err = c.draft()
		report(r, refused, err, diags)
		if diags.HasError() {
			return
		}
	}
	for _, f := range r.object.fields {
		c.next[f.name] = c.planned(f, drafted, diags)
	}
	c.settle()
}

// planned is what a field will be. Before everything is known, the engine's
// default is not: it may depend on the rest.
func (c change) planned(f field, drafted map[string]any, diags *diag.Diagnostics) attr.Value {
	v := c.next[f.name]
	switch {
	case f.use == local && c.config[f.name].IsNull():
		return f.kind.empty()
	case !f.configured():
		return v
	case c.config[f.name].IsNull() && drafted == nil && f.use == immutable:
		// Unknown, it would make another object. Its default depends on nothing.
		defaults, _ := backend.Draft(c.object.noun, "", nil)
		defaults, err := normal(defaults)
		if err != nil {
			diags.AddAttributeError(path.Root(f.name), "Cannot plan the "+c.object.noun, err.Error())
			return f.kind.unknown()
		}
		return c.planned(f, defaults, diags)
	case c.config[f.name].IsNull() && drafted == nil:
		return f.kind.unknown()
	case c.config[f.name].IsNull():
		var err error
		if v, err = f.kind.decode(drafted[f.name]); err != nil {
			diags.AddAttributeError(path.Root(f.name), "Cannot plan the "+c.object.noun, err.Error())
			return f.kind.unknown()
		}
	}
	if before := c.prior[f.name]; before != nil && !before.IsNull() && known(v) && f.kind.same(encode(before), encode(v)) {
		return before
	}
	return v
}

// settle plans what the engine alone writes: nothing of it changes where nothing
// else does.
func (c change) settle() {
	changed := c.prior == nil || len(c.replaced()) > 0
	for _, name := range places {
		v, ok := c.next[name]
		changed = changed || ok && !v.Equal(c.prior[name]) // in another spelling
	}
	for _, f := range c.object.fields {
		if !f.computed() && !changed {
			changed = !c.next[f.name].Equal(c.prior[f.name])
		}
	}
	for _, f := range c.object.fields {
		switch {
		case !f.computed():
		case c.prior == nil || len(c.replaced()) > 0 || changed && f.use == computed:
			c.next[f.name] = f.kind.unknown()
		default:
			c.next[f.name] = c.prior[f.name]
		}
	}
}

// places are the attributes that say where an object is.
var places = []string{"mount", "namespace", "name"}

// moved tells whether the object will be in another place.
func (c change) moved() bool {
	return c.prior != nil && slices.ContainsFunc(places, func(name string) bool { return !c.samePlace(name) })
}

// samePlace tells whether a part of the place is the same, however it is spelt.
func (c change) samePlace(name string) bool {
	before, after := c.prior[name], c.next[name]
	if before == nil || after == nil {
		return before == after
	}
	if !known(after) {
		return false
	}
	return placed(name, c.prior.text(name)) == placed(name, c.next.text(name))
}

// placed is a part of a place in the one spelling that Vault has for it.
func placed(name, text string) string {
	switch name {
	case "mount":
		return strings.Trim(text, "/")
	case "namespace":
		return cleanNamespace(text)
	default:
		return text
	}
}

// replaced are the attributes that make another object of it.
func (c change) replaced() []string {
	if c.prior == nil {
		return nil
	}
	var names []string
	for _, name := range places {
		if !c.samePlace(name) {
			names = append(names, name)
		}
	}
	for _, f := range c.object.fields {
		if f.use == immutable && !c.next[f.name].Equal(c.prior[f.name]) {
			names = append(names, f.name)
		}
	}
	return names
}
