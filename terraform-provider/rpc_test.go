package provider

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// unknown stands for a value that is not known yet.
type unknown struct{}

// object is a block or an object, by name. What is not in it is null.
type block = map[string]any

// rpc drives the provider as Terraform does, by its protocol, without Terraform.
type rpc struct {
	*testing.T
	server  tfprotov6.ProviderServer
	schemas *tfprotov6.GetProviderSchemaResponse
}

// newRPC starts a provider and configures it. The environment names the Vault
// that it talks to: see [vaultIs].
func newRPC(t *testing.T, config block) *rpc {
	t.Helper()
	server, err := providerserver.NewProtocol6WithError(New("test")())()
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	r := &rpc{T: t, server: server, schemas: schemas}
	r.must(err, schemas.Diagnostics)
	configured, err := server.ConfigureProvider(t.Context(), &tfprotov6.ConfigureProviderRequest{Config: r.encode(schemas.Provider, config)})
	r.must(err, configured.Diagnostics)
	return r
}

// vaultIs lets a handler be the Vault of the providers of this test: one that has
// namespaces.
func vaultIs(t *testing.T, handler http.HandlerFunc) {
	t.Helper()
	bareEnv(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/sys/health" {
			_, _ = w.Write([]byte(enterprise))
			return
		}
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_TOKEN", "hvs.of-the-test")
	t.Setenv("VAULT_MAX_RETRIES", "0")
	t.Setenv("TERRAFORM_VAULT_SKIP_CHILD_TOKEN", "true")
	t.Setenv("VAULT_SET_NAMESPACE_FROM_TOKEN", "false")
}

// faulty answers every request with an error as Vault writes it.
func faulty(status int, messages ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(block{"errors": append([]string{}, messages...)})
	}
}

// validate returns the diagnostics of the configuration of a token.
func (r *rpc) validate(config block) []string {
	r.Helper()
	resp, err := r.server.ValidateEphemeralResourceConfig(r.Context(), &tfprotov6.ValidateEphemeralResourceConfigRequest{
		TypeName: tokenType, Config: r.encode(r.schemas.EphemeralResourceSchemas[tokenType], config),
	})
	r.must(err, nil)
	return told(resp.Diagnostics)
}

// open opens a token: its values, what close takes, diagnostics.
func (r *rpc) open(config block) (result block, private []byte, diags []string) {
	r.Helper()
	schema := r.schemas.EphemeralResourceSchemas[tokenType]
	resp, err := r.server.OpenEphemeralResource(r.Context(), &tfprotov6.OpenEphemeralResourceRequest{TypeName: tokenType, Config: r.encode(schema, config)})
	r.must(err, nil)
	return r.decode(schema, resp.Result), resp.Private, told(resp.Diagnostics)
}

func (r *rpc) close(private []byte) []string {
	r.Helper()
	resp, err := r.server.CloseEphemeralResource(r.Context(), &tfprotov6.CloseEphemeralResourceRequest{TypeName: tokenType, Private: private})
	r.must(err, nil)
	return told(resp.Diagnostics)
}

// call calls a function; the error is "ARGUMENT: text", "" if there is none.
func (r *rpc) call(name string, arguments ...any) (result any, failure string) {
	r.Helper()
	function := r.schemas.Functions[name]
	req := &tfprotov6.CallFunctionRequest{Name: name}
	for i, argument := range arguments {
		typ := function.Parameters[i].Type
		req.Arguments = append(req.Arguments, r.dynamic(typ, r.value(typ, argument)))
	}
	resp, err := r.server.CallFunction(r.Context(), req)
	r.must(err, nil)
	if e := resp.Error; e != nil {
		if e.FunctionArgument != nil {
			return nil, fmt.Sprintf("%d: %s", *e.FunctionArgument, e.Text)
		}
		return nil, e.Text
	}
	v, err := resp.Result.Unmarshal(function.Return.Type)
	r.must(err, nil)
	return r.plain(v), ""
}

// invoke rotates a key: its progress messages and diagnostics.
func (r *rpc) invoke(config block) (progress, diags []string) {
	r.Helper()
	server, ok := r.server.(tfprotov6.ProviderServerWithActions) //nolint:staticcheck // the only way until its methods are in ProviderServer
	if !ok {
		r.Fatal("the server knows no actions")
	}
	body := r.encode(r.schemas.ActionSchemas[rotateType].Schema, config)
	valid, err := server.ValidateActionConfig(r.Context(), &tfprotov6.ValidateActionConfigRequest{ActionType: rotateType, Config: body})
	r.must(err, nil)
	if len(valid.Diagnostics) > 0 {
		return nil, told(valid.Diagnostics)
	}
	stream, err := server.InvokeAction(r.Context(), &tfprotov6.InvokeActionRequest{ActionType: rotateType, Config: body})
	r.must(err, nil)
	for event := range stream.Events {
		switch e := event.Type.(type) {
		case tfprotov6.ProgressInvokeActionEventType:
			progress = append(progress, e.Message)
		case tfprotov6.CompletedInvokeActionEventType:
			diags = told(e.Diagnostics)
		}
	}
	return progress, diags
}

// readData reads a data source.
func (r *rpc) readData(typeName string, config block) (state block, diags []string) {
	r.Helper()
	schema := r.schemas.DataSourceSchemas[typeName]
	resp, err := r.server.ReadDataSource(r.Context(), &tfprotov6.ReadDataSourceRequest{TypeName: typeName, Config: r.encode(schema, config)})
	r.must(err, nil)
	return r.decode(schema, resp.State), told(resp.Diagnostics)
}

// told are diagnostics as text: "error: summary: detail (at attribute)".
func told(diags []*tfprotov6.Diagnostic) []string {
	out := []string{}
	for _, d := range diags {
		text := fmt.Sprintf("%s: %s: %s", strings.ToLower(d.Severity.String()), d.Summary, d.Detail)
		if d.Attribute != nil {
			text += fmt.Sprintf(" (at %s)", d.Attribute)
		}
		out = append(out, text)
	}
	return out
}

func (r *rpc) must(err error, diags []*tfprotov6.Diagnostic) {
	r.Helper()
	if err != nil || len(diags) > 0 {
		r.Fatalf("error %v, diagnostics %q", err, told(diags))
	}
}

// same compares diagnostics or messages.
func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// encode writes a configuration; blocks that are left out are empty lists.
func (r *rpc) encode(schema *tfprotov6.Schema, config block) *tfprotov6.DynamicValue {
	r.Helper()
	config = maps.Clone(config)
	if config == nil {
		config = block{}
	}
	for _, block := range schema.Block.BlockTypes {
		repeats := block.Nesting == tfprotov6.SchemaNestedBlockNestingModeList || block.Nesting == tfprotov6.SchemaNestedBlockNestingModeSet
		if _, given := config[block.TypeName]; repeats && !given {
			config[block.TypeName] = []any{}
		}
	}
	typ := schema.ValueType()
	return r.dynamic(typ, r.value(typ, config))
}

func (r *rpc) dynamic(typ tftypes.Type, v tftypes.Value) *tfprotov6.DynamicValue {
	r.Helper()
	d, err := tfprotov6.NewDynamicValue(typ, v)
	r.must(err, nil)
	return &d
}

func (r *rpc) decode(schema *tfprotov6.Schema, d *tfprotov6.DynamicValue) block {
	r.Helper()
	if d == nil {
		return nil
	}
	v, err := d.Unmarshal(schema.ValueType())
	r.must(err, nil)
	members, _ := r.plain(v).(block)
	return members
}

// value makes a value of a type from Go's strings, bools, ints, slices and maps.
func (r *rpc) value(typ tftypes.Type, v any) tftypes.Value {
	r.Helper()
	switch v := v.(type) {
	case json.Number: // of a state that was read before
		f, _, err := big.ParseFloat(v.String(), 10, 512, big.ToNearestEven)
		r.must(err, nil)
		return tftypes.NewValue(tftypes.Number, f)
	case nil:
		return tftypes.NewValue(typ, nil)
	case unknown:
		return tftypes.NewValue(typ, tftypes.UnknownValue)
	}
	items := func(element tftypes.Type) []tftypes.Value {
		out := []tftypes.Value{}
		switch list := v.(type) {
		case []string:
			for _, item := range list {
				out = append(out, r.value(element, item))
			}
		case []any:
			for _, item := range list {
				out = append(out, r.value(element, item))
			}
		default:
			r.Fatalf("%T is not a list", v)
		}
		return out
	}
	if typ.Is(tftypes.DynamicPseudoType) {
		return r.value(typeOf(v), v)
	}
	switch typ := typ.(type) {
	case tftypes.List:
		return tftypes.NewValue(typ, items(typ.ElementType))
	case tftypes.Set:
		return tftypes.NewValue(typ, items(typ.ElementType))
	case tftypes.Map:
		members := map[string]tftypes.Value{}
		for name, member := range v.(block) {
			members[name] = r.value(typ.ElementType, member)
		}
		return tftypes.NewValue(typ, members)
	case tftypes.Tuple:
		out := []tftypes.Value{}
		for i, item := range v.([]any) {
			out = append(out, r.value(typ.ElementTypes[i], item))
		}
		return tftypes.NewValue(typ, out)
	case tftypes.Object:
		given := v.(block)
		members := map[string]tftypes.Value{}
		for name, memberType := range typ.AttributeTypes {
			members[name] = r.value(memberType, given[name])
		}
		for name := range given {
			if _, known := typ.AttributeTypes[name]; !known {
				r.Fatalf("the schema has no %q", name)
			}
		}
		return tftypes.NewValue(typ, members)
	default:
		return tftypes.NewValue(typ, v)
	}
}

// typeOf is the type that Terraform's own syntax has for a value.
func typeOf(v any) tftypes.Type {
	switch v := v.(type) {
	case string:
		return tftypes.String
	case bool:
		return tftypes.Bool
	case []any:
		types := []tftypes.Type{}
		for _, item := range v {
			types = append(types, typeOf(item))
		}
		return tftypes.Tuple{ElementTypes: types}
	case block:
		types := map[string]tftypes.Type{}
		for name, member := range v {
			types[name] = typeOf(member)
		}
		return tftypes.Object{AttributeTypes: types}
	default:
		return tftypes.Number
	}
}

// plain is the reverse of value; numbers are their decimal text.
func (r *rpc) plain(v tftypes.Value) any {
	r.Helper()
	if v.IsNull() {
		return nil
	}
	if !v.IsKnown() {
		return unknown{}
	}
	switch typ := v.Type(); {
	case typ.Is(tftypes.String):
		return as[string](r, v)
	case typ.Is(tftypes.Bool):
		return as[bool](r, v)
	case typ.Is(tftypes.Number):
		f := as[*big.Float](r, v)
		return json.Number(f.Text('f', -1))
	case typ.Is(tftypes.Object{}), typ.Is(tftypes.Map{}):
		out := block{}
		for name, member := range as[map[string]tftypes.Value](r, v) {
			out[name] = r.plain(member)
		}
		return out
	default:
		out := []any{}
		for _, item := range as[[]tftypes.Value](r, v) {
			out = append(out, r.plain(item))
		}
		return out
	}
}

func as[T any](r *rpc, v tftypes.Value) (out T) {
	r.Helper()
	if err := v.As(&out); err != nil {
		r.Fatal(err)
	}
	return out
}
