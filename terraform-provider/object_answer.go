package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/vault/api"
)

// request is one object in Vault.
type request struct {
	ctx       context.Context //nolint:containedctx // it lives as long as one call of Terraform
	vault     *api.Client
	object    object
	path      string
	namespace string
}

func (r managed) request(ctx context.Context, v values, diags *diag.Diagnostics) request {
	q := request{ctx: ctx, object: r.object}
	if diags.HasError() {
		return q
	}
	q.path = r.object.path(v)
	var err error
	if q.vault, err = r.connection.client(ctx, v.text("namespace")); err != nil {
		diags.AddError("Cannot connect to Vault", err.Error())
		return q
	}
	q.namespace = r.connection.namespace(v.text("namespace"))
	return q
}

// foreignError is that an answer is not the engine's. Its text says what is wrong
// with it, and nothing that is in it.
type foreignError struct{ what string }

func (e *foreignError) Error() string { return e.what }

// notFound tells whether Vault says that there is nothing. Others, such as a
// gateway, say "not found" too, but not in its form.
func notFound(err error) bool {
	var refusal *api.ResponseError
	return errors.As(err, &refusal) && refusal.StatusCode == http.StatusNotFound && !refusal.RawError && refusal.Errors != nil
}

// noObjects tells whether a refusal is only Vault's way to say that a list is
// empty: of a mount that is not there it says more.
func noObjects(err error) bool {
	var refusal *api.ResponseError
	return notFound(err) && errors.As(err, &refusal) && len(refusal.Errors) == 0
}

// get returns the data of an answer. What is not an answer of Vault is a
// [foreignError].
func (q request) get(query map[string][]string) (map[string]any, error) {
	ctx := q.ctx
	if limit := q.vault.ClientTimeout(); limit > 0 { // which raw requests do not heed
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	response, err := q.vault.Logical().ReadRawWithDataWithContext(ctx, q.path, query)
	if response != nil {
		defer func() { _ = response.Body.Close() }()
	}
	if err != nil {
		return nil, vaults(err)
	}
	secret, err := api.ParseSecret(response.Body)
	if err != nil || secret == nil || secret.Data == nil {
		return nil, &foreignError{"that of Vault"}
	}
	return normal(secret.Data)
}

// vaults makes a "not found" that is not Vault's one that is foreign.
func vaults(err error) error {
	var refusal *api.ResponseError
	if errors.As(err, &refusal) && refusal.StatusCode == http.StatusNotFound && !notFound(err) {
		return &foreignError{"that of Vault"}
	}
	return err
}

// read returns what the API answers; nil if there is no such object. An answer
// that does not have every field is not the engine's: it must not pass for an
// object of which nothing is set.
func (q request) read() (map[string]any, error) {
	data, err := q.get(nil)
	if notFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, f := range q.object.fields {
		if !f.configured() && !f.computed() {
			continue
		}
		v, there := data[f.name]
		if !there {
			return nil, &foreignError{fmt.Sprintf("that of a %s (it has no %s)", q.object.noun, f.name)}
		}
		if _, err := f.kind.decode(v); err != nil {
			return nil, &foreignError{fmt.Sprintf("that of a %s (its %s is of another type)", q.object.noun, f.name)}
		}
	}
	return data, nil
}

// list returns the names of the objects.
func (q request) list() ([]any, error) {
	data, err := q.get(map[string][]string{"list": {"true"}})
	if noObjects(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names, ok := data["keys"].([]any)
	if !ok {
		return nil, &foreignError{"a list of " + q.object.plural}
	}
	return names, nil
}

// remove deletes the object. What is gone already is deleted.
func (q request) remove(query map[string][]string) error {
	status := 0
	client := q.vault.WithResponseCallbacks(func(r *api.Response) { status = r.StatusCode })
	_, err := client.Logical().DeleteWithDataWithContext(q.ctx, q.path, query)
	switch {
	case notFound(err):
		return nil
	case status == http.StatusNotFound: // Vault's client takes some of these for a success
		return &foreignError{"that of Vault"}
	default:
		return err
	}
}

func (q request) call(verb, capability string) call {
	return call{
		does: verb + " the " + q.object.noun, path: q.path, namespace: q.namespace, capability: capability,
		attributes: q.object.attributes(),
	}
}

// sends is the call of a request that changes something.
func (q request) sends(verb, capability string) call {
	c := q.call(verb, capability)
	c.wrote = true
	return c
}

// unread warns of an object that is written and could not be read again; without
// an error, because it was not there.
func (q request) unread(err error) diag.Diagnostic {
	c := q.sends("read", "read")
	detail := c.where() + " is not there, though it was just written."
	if err != nil {
		detail = q.failed(c, err).Detail()
	}
	return diag.NewWarningDiagnostic("Cannot read the "+q.object.noun+" that was written",
		detail+"\n\nIt is written, and in the state as it was planned. The next plan reads it again.")
}

// failed is [call.failed] of an object, in the words of Terraform.
func (q request) failed(c call, err error) diag.Diagnostic {
	if foreign, ok := errors.AsType[*foreignError](err); ok {
		return c.foreign(foreign.what)
	}
	d := c.failed(err)
	detail := q.object.inTerraform(d.Detail())
	if at, ok := d.(diag.DiagnosticWithPath); ok {
		return diag.NewAttributeErrorDiagnostic(at.Path(), d.Summary(), detail)
	}
	return diag.NewErrorDiagnostic(d.Summary(), detail)
}

// inTerraform adds to a refusal, which speaks to somebody who writes to Vault by
// hand, what is to be done in Terraform.
func (o object) inTerraform(text string) string {
	text = o.renamed(text)
	for _, hint := range hints {
		if found := hint.of.FindStringSubmatch(text); found != nil {
			text += "\n\nIn Terraform: " + strings.ReplaceAll(strings.ReplaceAll(hint.say, "FOUND", found[len(found)-1]), "NOUN", o.noun)
		}
	}
	return text
}

var hints = []struct {
	of  *regexp.Regexp
	say string
}{
	{
		regexp.MustCompile(`write config first`),
		"name tokenexchange_config in depends_on of the NOUN, so that the configuration is written before it.",
	},
	{
		regexp.MustCompile(`create it with (issuer|key)s/`),
		"refer to the name of a tokenexchange_FOUND, as in tokenexchange_FOUND.example.name, so that it is made before the NOUN.",
	},
	{
		regexp.MustCompile(`may be alive until`),
		"set revoke_on_destroy = true, apply that, and destroy again: every token that the key signed is dead then. Or wait.",
	},
}

// renamed replaces the names of fields that are spelt otherwise here.
func (o object) renamed(text string) string {
	for _, f := range o.fields {
		if f.api != "" {
			text = regexp.MustCompile(`\b`+f.api+`\b`).ReplaceAllString(text, f.name)
		}
	}
	return text
}
