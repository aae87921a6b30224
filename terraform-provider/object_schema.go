package provider

import (
	"regexp"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	datasource "github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// schema is the resource's.
func (o object) schema() schema.Schema {
	attributes := map[string]schema.Attribute{
		"mount": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(defaultMount), MarkdownDescription: mountDescription + " Another one makes another object.",
			Validators: mountValidators(),
		},
		"namespace": schema.StringAttribute{Optional: true, MarkdownDescription: namespaceDescription + " Another one makes another object."},
	}
	if o.plural != "" {
		attributes["name"] = schema.StringAttribute{
			Required: true, MarkdownDescription: "Name of the " + o.noun + ". Another one makes another " + o.noun + ".",
			Validators: nameValidators(),
		}
	}
	for _, f := range o.fields {
		attributes[f.name] = f.attribute()
	}
	return schema.Schema{MarkdownDescription: o.description, Attributes: attributes}
}

// attribute is the field in a resource.
func (f field) attribute() schema.Attribute {
	req, opt := f.use == required, f.use != required && !f.computed()
	// What the engine fills in is computed too, and so is what is false by itself.
	comp := f.computed() || f.use == optional || f.use == immutable || f.use == local
	wo := f.use == writeOnly
	switch f.kind {
	case number:
		a := schema.Int64Attribute{Required: req, Optional: opt, Computed: comp, MarkdownDescription: f.description}
		if f.partner != "" {
			a.Validators = []validator.Int64{int64validator.AlsoRequires(path.MatchRoot(f.partner))}
		}
		return a
	case boolean:
		return schema.BoolAttribute{Required: req, Optional: opt, Computed: comp, MarkdownDescription: f.description}
	case texts:
		return schema.SetAttribute{Required: req, Optional: opt, Computed: comp, ElementType: types.StringType, MarkdownDescription: f.description}
	case textMap:
		return schema.MapAttribute{Required: req, Optional: opt, Computed: comp, ElementType: types.StringType, MarkdownDescription: f.description}
	case scopeMap:
		return schema.MapAttribute{Required: req, Optional: opt, Computed: comp, ElementType: texts.attrType(), MarkdownDescription: f.description}
	case claims:
		return schema.DynamicAttribute{Required: req, Optional: opt, Computed: comp, MarkdownDescription: f.description}
	case keyVersion, secretDate:
		return schema.ListAttribute{Computed: true, ElementType: *f.kind.element(), MarkdownDescription: f.description}
	default:
		a := schema.StringAttribute{
			Required: req, Optional: opt, Computed: comp, WriteOnly: wo, Sensitive: wo, MarkdownDescription: f.description,
		}
		if f.partner != "" {
			a.Validators = []validator.String{stringvalidator.AlsoRequires(path.MatchRoot(f.partner))}
		}
		return a
	}
}

// dataSchema is the data source's: the same, read only.
func (o object) dataSchema() datasource.Schema {
	attributes := placeAttributes()
	if o.plural != "" {
		attributes["name"] = datasource.StringAttribute{Required: true, MarkdownDescription: "Name of the " + o.noun + "."}
	}
	for _, f := range o.fields {
		if f.configured() || f.computed() {
			attributes[f.name] = f.dataAttribute()
		}
	}
	return datasource.Schema{MarkdownDescription: "Reads " + article(o.noun) + " of the mount.", Attributes: attributes}
}

// placeAttributes say where a data source looks.
func placeAttributes() map[string]datasource.Attribute {
	return map[string]datasource.Attribute{"mount": dataMount(), "namespace": dataNamespace()}
}

func article(noun string) string {
	switch noun {
	case "config":
		return "the configuration"
	case "issuer":
		return "an issuer"
	default:
		return "a " + noun
	}
}

// demands are the sentences that say what must be given.
var demands = regexp.MustCompile(` ?(Required|Needs)[^.]*\.`)

func (f field) dataAttribute() datasource.Attribute {
	f.description = demands.ReplaceAllString(f.description, "")
	switch f.kind {
	case number:
		return datasource.Int64Attribute{Computed: true, MarkdownDescription: f.description}
	case boolean:
		return datasource.BoolAttribute{Computed: true, MarkdownDescription: f.description}
	case texts:
		return datasource.SetAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: f.description}
	case textMap:
		return datasource.MapAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: f.description}
	case scopeMap:
		return datasource.MapAttribute{Computed: true, ElementType: texts.attrType(), MarkdownDescription: f.description}
	case claims:
		return datasource.DynamicAttribute{Computed: true, MarkdownDescription: f.description}
	case keyVersion, secretDate:
		return datasource.ListAttribute{Computed: true, ElementType: *f.kind.element(), MarkdownDescription: f.description}
	default:
		return datasource.StringAttribute{Computed: true, MarkdownDescription: f.description}
	}
}

// identitySchema is what tells one object from all others.
func (o object) identitySchema() identityschema.Schema {
	attributes := map[string]identityschema.Attribute{
		"namespace": identityschema.StringAttribute{OptionalForImport: true, Description: "Namespace of the mount, relative to that of the provider."},
		"mount":     identityschema.StringAttribute{RequiredForImport: true, Description: "Path that the engine is mounted at."},
	}
	if o.plural != "" {
		attributes["name"] = identityschema.StringAttribute{RequiredForImport: true, Description: "Name of the " + o.noun + "."}
	}
	return identityschema.Schema{Attributes: attributes}
}
