//go:build e2e

package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const requirement = `
terraform {
  required_providers {
    tokenexchange = {
      source = "tokenexchange/tokenexchange"
    }
  }
}
`

func TestExamplesAreFormatted(t *testing.T) {
	t.Parallel()
	if out, err := run(t.Context(), examples, nil, "fmt", "-check", "-diff", "-recursive"); err != nil {
		t.Fatal(out, err)
	}
}

// TestExamplesAreValid takes every file alone, as the documentation shows it,
// except that an import needs the resource which it is shown with.
func TestExamplesAreValid(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(examples + "/*/*/*.tf")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(examples + "/provider/*.tf")
	if err != nil || len(files) < 30 || len(more) != 2 {
		t.Fatalf("there are few examples: %v %v %v", files, more, err)
	}
	for _, file := range append(files, more...) {
		if strings.Contains(file, "/guides/") || strings.Contains(file, "/testing/") {
			continue // they are applied
		}
		if strings.Contains(file, "/actions/") && !knows(14, 0) || strings.Contains(file, "import-by-identity") && !knows(12, 12) {
			continue // this CLI does not know them: a unit test holds them against the provider
		}
		t.Run(strings.TrimPrefix(file, examples+"/"), func(t *testing.T) {
			t.Parallel()
			w := workspace{t: t, dir: t.TempDir()}
			text := source(t, file)
			if strings.Contains(file, "import-") {
				text += source(t, filepath.Join(filepath.Dir(file), "resource.tf"))
			}
			if !strings.Contains(text, "required_providers") {
				text += requirement
			}
			w.add("main.tf", text)
			w.run("validate")
			t.Logf("validated by %s", cliName())
		})
	}
}

func source(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// TestExamplesAreApplied applies the example of a role, and with what is there
// then those of data sources and functions, and each way to import it.
func TestExamplesAreApplied(t *testing.T) {
	t.Parallel()
	mount := mounted(t, "token-exchange") // that of the examples
	made := copied(t, "resources/tokenexchange_role")
	for _, extra := range []string{"resource_condition.tf", "import-by-string-id.tf", "import-by-identity.tf"} {
		if err := os.Remove(filepath.Join(made.dir, extra)); err != nil {
			t.Fatal(err)
		}
	}
	made.add("versions.tf", requirement)
	made.add("client.tf", `resource "tokenexchange_client" "gateway" {
  name        = "gateway"
  auth_method = "client_secret_basic"
  role        = tokenexchange_role.orders.name
}
`)
	guardrailsFirst(t, made.run("graph"))
	made.run("apply", "-auto-approve")
	made.unchanged()

	for _, pattern := range []string{"/data-sources/*/*.tf", "/functions/*/*.tf"} {
		files, err := filepath.Glob(examples + pattern)
		if err != nil || len(files) < 3 {
			t.Fatal(files, err)
		}
		for _, file := range files {
			t.Run(strings.TrimPrefix(file, examples+"/"), func(t *testing.T) {
				_, token := ciToken(t, "https://vault.example.com")
				w := workspace{t: t, dir: t.TempDir(), environment: []string{"TF_VAR_ci_token=" + token}}
				w.add("main.tf", source(t, file)+requirement)
				if out := w.run("apply", "-auto-approve"); strings.Contains(out, "Check block assertion") {
					t.Error(out)
				}
			})
		}
	}

	kinds := []string{"key", "config", "issuer", "role", "client"}
	forget := func() workspace {
		w := workspace{t: t, dir: t.TempDir()}
		w.add("main.tf", made.read("resource.tf")+made.read("client.tf")+requirement)
		return w
	}
	t.Run("command", func(t *testing.T) {
		w := forget()
		w.t = t
		for _, kind := range kinds {
			line := source(t, filepath.Join(examples, "resources", "tokenexchange_"+kind, "import.sh"))
			found := regexp.MustCompile(`^terraform import (\S+) (\S+)\n*$`).FindStringSubmatch(line)
			if found == nil {
				t.Fatalf("this is no import: %q", line)
			}
			w.run("import", found[1], found[2])
		}
		w.unchanged()
	})
	ways := []string{"import-by-string-id.tf"}
	if knows(12, 12) {
		ways = append(ways, "import-by-identity.tf")
	}
	for _, file := range ways {
		t.Run(file, func(t *testing.T) {
			w := forget()
			w.t = t
			for _, kind := range kinds {
				w.add("import-"+kind+".tf", source(t, filepath.Join(examples, "resources", "tokenexchange_"+kind, file)))
			}
			out := w.run("apply", "-auto-approve")
			if want := "5 imported, 0 added, 0 changed, 0 destroyed"; !strings.Contains(out, want) {
				t.Errorf("want %q:\n%s", want, out)
			}
			w.unchanged()
		})
	}
	for _, made := range []string{"clients/gateway", "roles/orders"} {
		if _, err := vault.Logical().DeleteWithContext(t.Context(), mount+"/"+made); err != nil {
			t.Fatal(err)
		}
	}
}
