//go:build e2e

// Package e2e_test runs what the documentation of the provider shows: through a
// real Terraform or OpenTofu, with the provider as it is built for users, and
// against a real Vault. scripts/test-terraform.sh sets it up.
package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

const examples = "../examples"

// What scripts/test-terraform.sh gives, and what is made of it.
var (
	terraform string // path of the CLI
	product   string // Terraform or OpenTofu
	release   [2]int // of the CLI, such as 1.11
	cliConfig string // path of its configuration, which has the provider
	vault     *api.Client
)

func TestMain(m *testing.M) {
	code, err := testMain(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func testMain(m *testing.M) (int, error) {
	terraform = os.Getenv("TF_ACC_TERRAFORM_PATH")
	if terraform == "" || os.Getenv("VAULT_ADDR") == "" {
		return 0, errors.New("TF_ACC_TERRAFORM_PATH or VAULT_ADDR is not set: run scripts/test-terraform.sh")
	}
	var err error
	if vault, err = api.NewClient(api.DefaultConfig()); err != nil {
		return 0, err
	}
	work, err := os.MkdirTemp("", "terraform-e2e")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := installProvider(work); err != nil {
		return 0, err
	}
	if err := identifyCLI(); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// installProvider builds the provider, and lets the CLI find it without a registry.
func installProvider(work string) error {
	build := exec.CommandContext(context.Background(), "go", "build", "-o", filepath.Join(work, "terraform-provider-tokenexchange"),
		"../../cmd/terraform-provider-tokenexchange")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	cliConfig = filepath.Join(work, "terraformrc")
	return os.WriteFile(cliConfig, fmt.Appendf(nil, `
provider_installation {
  dev_overrides { "tokenexchange/tokenexchange" = %q }
}
`, work), 0o600)
}

func identifyCLI() error {
	out, err := run(context.Background(), ".", nil, "version")
	if err != nil {
		return err
	}
	found := regexp.MustCompile(`(Terraform|OpenTofu) v(\d+)\.(\d+)\.`).FindStringSubmatch(out)
	if found == nil {
		return fmt.Errorf("this is not a Terraform: %s", out)
	}
	product = found[1]
	release[0], _ = strconv.Atoi(found[2])
	release[1], _ = strconv.Atoi(found[3])
	return nil
}

// knows tells whether the CLI is Terraform, or OpenTofu, of at least 1.minor. A
// minor of 0 stands for a product that has no such version.
func knows(terraformMinor, tofuMinor int) bool {
	minor := terraformMinor
	if product == "OpenTofu" {
		minor = tofuMinor
	}
	return minor > 0 && (release[0] > 1 || release[1] >= minor)
}

func cliName() string { return fmt.Sprintf("%s %d.%d", product, release[0], release[1]) }

// run runs the CLI.
func run(ctx context.Context, dir string, environment []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, terraform, args...)
	cmd.Dir = dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TF_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "TF_CLI_CONFIG_FILE="+cliConfig, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_INPUT=0", "TF_CLI_ARGS=-no-color")
	cmd.Env = append(cmd.Env, environment...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w:\n%s", terraform, strings.Join(args, " "), err, out.String())
	}
	return out.String(), nil
}

// workspace is a directory with a configuration.
type workspace struct {
	t           *testing.T
	dir         string
	environment []string
}

// copied makes a workspace of a directory of examples.
func copied(t *testing.T, from string) workspace {
	t.Helper()
	w := workspace{t: t, dir: t.TempDir()}
	if err := os.CopyFS(w.dir, os.DirFS(filepath.Join(examples, from))); err != nil {
		t.Fatal(err)
	}
	return w
}

// run runs the CLI, which must succeed.
func (w workspace) run(args ...string) string {
	w.t.Helper()
	out, err := run(w.t.Context(), w.dir, w.environment, args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// unchanged makes a plan, which must have no change.
func (w workspace) unchanged() {
	w.t.Helper()
	w.run("plan", "-detailed-exitcode") // 2 if there is one
}

func (w workspace) add(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w workspace) read(name string) string {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	return string(text)
}

// mounted mounts the engine at a path of its own, or at the given one.
func mounted(t *testing.T, path string) string {
	t.Helper()
	if path == "" {
		path = "docs-" + strings.ToLower(rand.Text()[:8])
	}
	err := vault.Sys().MountWithContext(t.Context(), path, &api.MountInput{Type: "vault-plugin-secrets-token-exchange"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := vault.Sys().UnmountWithContext(context.WithoutCancel(t.Context()), path); err != nil {
			t.Error(err)
		}
	})
	return path
}

// empty checks that nothing is left in a mount.
func empty(t *testing.T, mount string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // cleanups call it
	for _, kind := range []string{"keys", "issuers", "roles"} {
		left, err := vault.Logical().ListWithContext(ctx, mount+"/"+kind)
		if err != nil || left != nil {
			t.Errorf("%s: %v %v", kind, left, err)
		}
	}
	if config, err := vault.Logical().ReadWithContext(ctx, mount+"/config"); err != nil || config != nil {
		t.Errorf("config: %v %v", config, err)
	}
}

func write(t *testing.T, path string, data map[string]any) {
	t.Helper()
	if _, err := vault.Logical().WriteWithContext(t.Context(), path, data); err != nil {
		t.Fatal(err)
	}
}
