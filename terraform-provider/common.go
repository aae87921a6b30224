package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	actionschema "github.com/hashicorp/terraform-plugin-framework/action/schema"
	dataschema "github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	ephemeralschema "github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/vault/api"
)

// defaultMount is where the engine is mounted if a configuration does not say.
const defaultMount = "token-exchange"

const (
	mountDescription = "Path at which the engine is mounted, such as `token-exchange` or `teams/a/tx`. " +
		"A slash at the beginning or the end does not matter. Default: `token-exchange`."
	namespaceDescription = "Namespace of Vault Enterprise in which the engine is mounted, relative to the `namespace` of the provider. " +
		"Default: the namespace of the provider."
)

var (
	// What else is in a path would make it the path of something else.
	mountPattern = regexp.MustCompile(`^/*[^/\s?#]+(/[^/\s?#]+)*/*$`)
	// Neither do . and .. lead to a mount.
	dotsPattern = regexp.MustCompile(`(^|/)\.\.?(/|$)`)
	// The engine has no path for other names.
	namePattern = regexp.MustCompile(`^\w(([\w-.]+)?\w)?$`)
)

func isMount(text string) bool {
	return mountPattern.MatchString(text) && !dotsPattern.MatchString(text)
}

func mountValidators() []validator.String {
	return []validator.String{
		stringvalidator.RegexMatches(mountPattern, "must be a path such as token-exchange, without spaces, ? and #"),
		withoutDots{},
	}
}

// withoutDots refuses a path that leads elsewhere.
type withoutDots struct{}

// Description implements [validator.String].
func (withoutDots) Description(context.Context) string {
	return "must have no . or .. as a part of the path"
}

// MarkdownDescription implements [validator.String].
func (v withoutDots) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

// ValidateString implements [validator.String].
func (v withoutDots) ValidateString(ctx context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if dotsPattern.MatchString(req.ConfigValue.ValueString()) {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid Attribute Value", fmt.Sprintf("%q %s", req.ConfigValue.ValueString(), v.Description(ctx)))
	}
}

func nameValidators() []validator.String {
	return []validator.String{stringvalidator.RegexMatches(namePattern,
		"must consist of letters, digits, _, - and ., and begin and end with a letter, a digit or _")}
}

// mountOf is the path of the engine, without slashes around it. The schemas of
// ephemeral resources, actions and data sources have no defaults.
func mountOf(mount types.String) string {
	if mount.IsNull() {
		return defaultMount
	}
	return strings.Trim(mount.ValueString(), "/")
}

func ephemeralMount() ephemeralschema.StringAttribute {
	return ephemeralschema.StringAttribute{Optional: true, MarkdownDescription: mountDescription, Validators: mountValidators()}
}

func ephemeralNamespace() ephemeralschema.StringAttribute {
	return ephemeralschema.StringAttribute{Optional: true, MarkdownDescription: namespaceDescription}
}

func actionMount() actionschema.StringAttribute {
	return actionschema.StringAttribute{Optional: true, MarkdownDescription: mountDescription, Validators: mountValidators()}
}

func actionNamespace() actionschema.StringAttribute {
	return actionschema.StringAttribute{Optional: true, MarkdownDescription: namespaceDescription}
}

func dataMount() dataschema.StringAttribute {
	return dataschema.StringAttribute{Optional: true, MarkdownDescription: mountDescription, Validators: mountValidators()}
}

func dataNamespace() dataschema.StringAttribute {
	return dataschema.StringAttribute{Optional: true, MarkdownDescription: namespaceDescription}
}

// connected takes what Configure of the provider made. It is nil while Terraform
// only validates, when nothing is called that needs it.
func connected(data any) *connection {
	c, _ := data.(*connection)
	return c
}

// foreign is the diagnostic of an answer that is not the engine's. It does not
// repeat what came instead, which may be a secret of something else.
func (c call) foreign(document string) diag.Diagnostic {
	return diag.NewErrorDiagnostic("Cannot "+c.does, fmt.Sprintf("%s: the answer is not %s: is it the token-exchange engine that is mounted there?", c.where(), document))
}

func (c call) where() string {
	if c.namespace == "" {
		return c.path + " in Vault"
	}
	return fmt.Sprintf("%s in Vault, namespace %q", c.path, c.namespace)
}

// decode reads the data of an answer into a struct, if they are of its form.
func decode(secret *api.Secret, into any) bool {
	if secret == nil {
		return false
	}
	document, err := json.Marshal(secret.Data)
	return err == nil && json.Unmarshal(document, into) == nil
}
