package provider

import (
	"maps"
	"strings"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend"
)

// object is a kind of thing that the engine keeps, as Terraform sees it: a
// resource and a data source.
type object struct {
	noun        string // of the engine: the type is tokenexchange_NOUN
	plural      string // last segment but one of the path; "" if a mount has one only
	description string
	fields      []field

	// complete changes what is asked of the engine's own check, before it is asked.
	complete func(data map[string]any, c change)
	// check finds what the engine would refuse that depends on what there was.
	check func(c change) *backend.Refusal
	// deletion is the query of a deletion.
	deletion func(prior values) map[string][]string
}

// field is one field of an object.
type field struct {
	name string // in Terraform and, unless api is set, in the engine
	kind kind
	use  use
	// api is the engine's name of a field that is spelt otherwise here.
	api string
	// description replaces the engine's own.
	description string
	// partner is the field without which this one means nothing.
	partner string
}

// use is who writes a field, and who reads it.
type use int

const (
	optional  use = iota // has the engine's default if it is left out
	required             // the engine has no default
	immutable            // optional; another value makes another object
	computed             // the engine alone writes it
	stable               // computed, and the same for the object's life
	sent                 // given with a write, never read back
	writeOnly            // sent, and kept neither in state nor in a plan
	local                // for the provider alone; left out it is false
	counter              // for the provider alone: a change sends the write-only field again
)

// engine is the field's name in the API.
func (f field) engine() string {
	if f.api != "" {
		return f.api
	}
	return f.name
}

// configured tells whether the field is written and read back.
func (f field) configured() bool { return f.use == optional || f.use == required || f.use == immutable }

func (f field) computed() bool { return f.use == computed || f.use == stable }

// describe adds the engine's descriptions to the fields that have none.
func (o object) describe() object {
	engine := backend.Descriptions(o.noun)
	for i := range o.fields {
		f := &o.fields[i]
		if f.description == "" {
			f.description = engine[f.engine()]
		}
		f.description = o.renamed(f.description)
		if choices := backend.Choices(o.noun, f.name); choices != nil && !strings.Contains(f.description, choices[0]) {
			f.description += " One of " + strings.Join(choices, ", ") + "."
		}
	}
	return o
}

// typeName is the type of the resource and of the data source.
func (o object) typeName(provider string) string { return provider + "_" + o.noun }

// path is where Vault keeps one of these.
func (o object) path(v values) string {
	mount := strings.Trim(v.text("mount"), "/")
	if o.plural == "" {
		return mount + "/" + o.noun
	}
	return mount + "/" + o.plural + "/" + v.text("name")
}

// attributes are the names of the fields that a refusal may name.
func (o object) attributes() map[string]string {
	names := map[string]string{"name": "name"}
	for _, f := range o.fields {
		if !f.computed() {
			names[f.engine()] = f.name
		}
	}
	return names
}

// change is a write as it is planned: what there was, and what there will be.
type change struct {
	object object
	prior  values // nil for a new object
	next   values
	config values // with the write-only fields, which next does not have
	secure bool   // false while validating: what there was is not known
}

// data is what is known of the configured fields, as a request has it.
func (c change) data() map[string]any {
	data := map[string]any{}
	for _, f := range c.object.fields {
		v := c.next[f.name]
		if f.use == writeOnly {
			v = c.config[f.name]
		}
		if (f.configured() || f.use == writeOnly) && v != nil && !v.IsNull() && known(v) {
			data[f.engine()] = encode(v)
		}
	}
	return data
}

// draft returns the object with every default filled in, and what the engine
// would say of it.
func (c change) draft() (map[string]any, *backend.Refusal, error) {
	if refused := c.unsayable(); refused != nil {
		return nil, refused, nil
	}
	data := c.data()
	for _, f := range c.object.fields {
		if f.use == writeOnly && !known(c.config[f.name]) {
			data[f.engine()] = kept // there will be one
		}
	}
	if c.object.complete != nil {
		c.object.complete(data, c)
	}
	data, err := asRequest(data)
	if err != nil {
		return nil, nil, err
	}
	drafted, refusal := backend.Draft(c.object.noun, c.next.text("name"), data)
	if refusal == nil && c.object.check != nil {
		refusal = c.object.check(c)
	}
	if drafted, err = normal(drafted); err != nil || refusal != nil {
		return drafted, refusal, err
	}
	refusal, err = c.misread(drafted)
	return drafted, refusal, err
}

// body is what is written to Vault: every field, so that one that is taken out
// of the configuration gets its default back.
func (c change) body(drafted map[string]any) map[string]any {
	data := maps.Clone(drafted)
	maps.Copy(data, c.data())
	for _, f := range c.object.fields {
		switch {
		case f.computed():
			delete(data, f.name)
		case f.use == sent && !c.next[f.name].IsNull():
			data[f.name] = encode(c.next[f.name])
		}
	}
	return data
}
