// Prints the schemas of the Terraform provider in the form of `terraform providers
// schema -json`, which tfplugindocs reads. A Terraform is not needed, and an old
// one would leave out what it does not know: identities, actions.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	provider "github.com/tokenexchange/vault-plugin-secrets-token-exchange/terraform-provider"
)

type object = map[string]any

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	ctx := context.Background()
	server := providerserver.NewProtocol6(provider.New("dev")())()
	all, err := server.GetProviderSchema(ctx, &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		return err
	}
	identities, err := server.GetResourceIdentitySchemas(ctx, &tfprotov6.GetResourceIdentitySchemasRequest{})
	if err != nil {
		return err
	}
	for _, d := range append(all.Diagnostics, identities.Diagnostics...) {
		err = errors.Join(err, fmt.Errorf("%s: %s", d.Summary, d.Detail))
	}
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(object{
		"format_version": "1.0",
		"provider_schemas": object{"tokenexchange": object{
			"provider":                   schema(all.Provider),
			"resource_schemas":           each(all.ResourceSchemas, schema),
			"resource_identity_schemas":  each(identities.IdentitySchemas, identity),
			"data_source_schemas":        each(all.DataSourceSchemas, schema),
			"ephemeral_resource_schemas": each(all.EphemeralResourceSchemas, schema),
			"list_resource_schemas":      each(all.ListResourceSchemas, schema),
			"action_schemas":             each(all.ActionSchemas, action),
			"functions":                  each(all.Functions, function),
		}},
	})
}

func each[T any](items map[string]T, render func(T) object) object {
	out := object{}
	for name, item := range items {
		out[name] = render(item)
	}
	return out
}

func schema(s *tfprotov6.Schema) object { return object{"version": s.Version, "block": block(s.Block)} }

func action(s *tfprotov6.ActionSchema) object { return schema(s.Schema) }

func block(b *tfprotov6.SchemaBlock) object {
	nested := object{}
	for _, n := range b.BlockTypes {
		nested[n.TypeName] = object{
			"nesting_mode": blockNesting[n.Nesting], "min_items": n.MinItems, "max_items": n.MaxItems, "block": block(n.Block),
		}
	}
	return object{
		"attributes": attributes(b.Attributes), "block_types": nested,
		"description": b.Description, "description_kind": kind(b.DescriptionKind), "deprecated": b.Deprecated,
	}
}

func attributes(list []*tfprotov6.SchemaAttribute) object {
	out := object{}
	for _, a := range list {
		attribute := object{
			"description": a.Description, "description_kind": kind(a.DescriptionKind), "deprecated": a.Deprecated,
			"required": a.Required, "optional": a.Optional, "computed": a.Computed,
			"sensitive": a.Sensitive, "write_only": a.WriteOnly,
		}
		if a.NestedType != nil {
			attribute["nested_type"] = object{
				"nesting_mode": attributeNesting[a.NestedType.Nesting], "attributes": attributes(a.NestedType.Attributes),
			}
		} else {
			attribute["type"] = a.Type
		}
		out[a.Name] = attribute
	}
	return out
}

func identity(s *tfprotov6.ResourceIdentitySchema) object {
	out := object{}
	for _, a := range s.IdentityAttributes {
		out[a.Name] = object{
			"type": a.Type, "description": a.Description,
			"required_for_import": a.RequiredForImport, "optional_for_import": a.OptionalForImport,
		}
	}
	return object{"version": s.Version, "attributes": out}
}

func function(f *tfprotov6.Function) object {
	parameters := []object{}
	for _, p := range f.Parameters {
		parameters = append(parameters, parameter(p))
	}
	out := object{
		"summary": f.Summary, "description": f.Description, "deprecation_message": f.DeprecationMessage,
		"return_type": f.Return.Type, "parameters": parameters,
	}
	if f.VariadicParameter != nil {
		out["variadic_parameter"] = parameter(f.VariadicParameter)
	}
	return out
}

func parameter(p *tfprotov6.FunctionParameter) object {
	return object{"name": p.Name, "type": p.Type, "description": p.Description, "is_nullable": p.AllowNullValue}
}

func kind(k tfprotov6.StringKind) string {
	if k == tfprotov6.StringKindMarkdown {
		return "markdown"
	}
	return "plain"
}

var blockNesting = map[tfprotov6.SchemaNestedBlockNestingMode]string{
	tfprotov6.SchemaNestedBlockNestingModeSingle: "single", tfprotov6.SchemaNestedBlockNestingModeList: "list",
	tfprotov6.SchemaNestedBlockNestingModeSet: "set", tfprotov6.SchemaNestedBlockNestingModeMap: "map",
	tfprotov6.SchemaNestedBlockNestingModeGroup: "group",
}

var attributeNesting = map[tfprotov6.SchemaObjectNestingMode]string{
	tfprotov6.SchemaObjectNestingModeSingle: "single", tfprotov6.SchemaObjectNestingModeList: "list",
	tfprotov6.SchemaObjectNestingModeSet: "set", tfprotov6.SchemaObjectNestingModeMap: "map",
}
