package provider

import (
	"path/filepath"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// parsed is the one block of an example.
func parsed(t *testing.T, file string) *hclsyntax.Block {
	t.Helper()
	f, diags := hclparse.NewParser().ParseHCLFile(file)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	body, ok := f.Body.(*hclsyntax.Body)
	if !ok || len(body.Blocks) != 1 {
		t.Fatalf("%s: there is not one block", file)
	}
	return body.Blocks[0]
}

// textMembers are the members of an object, or the attributes of a body, all text.
func textMembers(t *testing.T, values map[string]cty.Value) block {
	t.Helper()
	out := block{}
	for name, v := range values {
		out[name] = v.AsString()
	}
	return out
}

// The example of an action is one for the provider too, whether or not there is a
// Terraform that knows actions.
func TestExampleOfTheActionIsValid(t *testing.T) {
	vaultIs(t, answering(block{"versions": []block{{"kid": "b", "state": "active"}, {"kid": "c", "state": "next"}}}))
	b := parsed(t, "examples/actions/"+rotateType+"/action.tf")
	if b.Type != "action" || b.Labels[0] != rotateType || len(b.Body.Blocks) != 1 || b.Body.Blocks[0].Type != "config" {
		t.Fatalf("it is %s %v", b.Type, b.Labels)
	}
	values := map[string]cty.Value{}
	for name, attribute := range b.Body.Blocks[0].Body.Attributes {
		v, diags := attribute.Expr.Value(nil)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		values[name] = v
	}
	_, diags := newRPC(t, nil).invoke(textMembers(t, values))
	same(t, "diagnostics", diags)
}

// What the examples import by identity is imported, by a Terraform of whatever age.
func TestExamplesOfIdentitiesAreValid(t *testing.T) {
	files, err := filepath.Glob("examples/resources/*/import-by-identity.tf")
	if err != nil || len(files) != len(objects()) {
		t.Fatalf("%d examples of %d: %v", len(files), len(objects()), err)
	}
	bareEnv(t)
	for _, file := range files {
		typeName := filepath.Base(filepath.Dir(file))
		attributes := parsed(t, file).Body.Attributes
		to, diags := hcl.AbsTraversalForExpr(attributes["to"].Expr)
		if diags.HasErrors() || to.RootName() != typeName {
			t.Errorf("%s: it imports a %s", file, to.RootName())
			continue
		}
		identity, diags := attributes["identity"].Expr.Value(nil)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		want := textMembers(t, identity.AsValueMap())
		state, refused := newRPC(t, nil).importObject(typeName, "", want)
		same(t, file, refused)
		for name, v := range want {
			if state[name] != v {
				t.Errorf("%s: %s is %v", file, name, state[name])
			}
		}
	}
}
