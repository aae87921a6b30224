//go:build e2e

package provider

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recorder stands between Terraform and Vault, and knows each token that was
// minted.
type recorder struct {
	mu     sync.Mutex
	tokens []string
}

func (m *mount) record() *recorder {
	m.Helper()
	target, err := url.Parse(m.client.Address())
	if err != nil {
		m.Fatal(err)
	}
	var r recorder
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) },
		ModifyResponse: func(resp *http.Response) error {
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				return err
			}
			resp.Body = io.NopCloser(bytes.NewReader(body))
			var answer struct {
				Data struct {
					Token string `json:"access_token"`
				} `json:"data"`
			}
			if json.Unmarshal(body, &answer) == nil && answer.Data.Token != "" {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.tokens = append(r.tokens, answer.Data.Token)
			}
			return nil
		},
	}
	server := httptest.NewServer(proxy)
	m.Cleanup(server.Close)
	m.Setenv("VAULT_ADDR", server.URL)
	return &r
}

// cli is a directory in which the real Terraform runs the real providers,
// each in a process of its own, and logs all that it can.
type cli struct {
	testing.TB
	dir string
}

func newCLI(t testing.TB, config string) *cli {
	t.Helper()
	plugins, dir := t.TempDir(), t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tokenexchange", "sink"} {
		if err := os.Symlink(self, filepath.Join(plugins, "terraform-provider-"+name)); err != nil {
			t.Fatal(err)
		}
	}
	rc := filepath.Join(plugins, "cli.tfrc")
	overrides := fmt.Sprintf(`disable_checkpoint = true
provider_installation {
  dev_overrides {
    "tokenexchange/tokenexchange" = %q
    "tokenexchange/sink"          = %q
  }
  direct { exclude = ["tokenexchange/*"] }
}`, plugins, plugins)
	if err := os.WriteFile(rc, []byte(overrides), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TF_CLI_CONFIG_FILE", rc)
	t.Setenv("TF_LOG", "TRACE")
	t.Setenv("TF_LOG_PATH", filepath.Join(dir, "trace.log"))
	tf := &cli{TB: t, dir: dir}
	tf.write(config)
	return tf
}

// write replaces the configuration.
func (tf *cli) write(config string) {
	tf.Helper()
	config = `terraform {
  required_providers {
    tokenexchange = { source = "tokenexchange/tokenexchange" }
    sink          = { source = "tokenexchange/sink" }
  }
}
` + config
	if err := os.WriteFile(filepath.Join(tf.dir, "main.tf"), []byte(config), 0o600); err != nil {
		tf.Fatal(err)
	}
}

// run leaves what Terraform prints beside all else that it writes. It does not
// fail the test with it, since it may hold a token.
func (tf *cli) run(name string, arguments ...string) error {
	tf.Helper()
	cmd := exec.CommandContext(tf.Context(), os.Getenv("TF_ACC_TERRAFORM_PATH"), arguments...)
	cmd.Dir = tf.dir
	out, err := cmd.CombinedOutput()
	if werr := os.WriteFile(filepath.Join(tf.dir, name+".out"), out, 0o600); werr != nil {
		tf.Fatal(werr)
	}
	return err
}

// search looks for each secret in each file, and in what is packed in a plan. It
// tells the name of the secret and of the file, and never the secret.
func (tf *cli) search(secrets map[string][]byte) (searched, found []string) {
	tf.Helper()
	look := func(name string, content []byte) {
		searched = append(searched, name)
		for what, secret := range secrets {
			if bytes.Contains(content, secret) {
				found = append(found, what+" is in "+name)
			}
		}
	}
	err := filepath.WalkDir(tf.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(tf.dir, path)
		look(name, content)
		packed, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
		if errors.Is(err, zip.ErrFormat) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, f := range packed.File {
			member, err := f.Open()
			if err != nil {
				return err
			}
			inner, err := io.ReadAll(member)
			if err != nil {
				return err
			}
			look(name+"/"+f.Name, inner)
		}
		return nil
	})
	if err != nil {
		tf.Fatal(err)
	}
	return searched, found
}

// forms are those in which a token may be written: whole, its signature and its
// claims alone, in base64 and in percent encoding.
func forms(secrets map[string][]byte, name, token string) {
	secrets[name] = []byte(token)
	secrets[name+", in base64"] = []byte(base64.StdEncoding.EncodeToString([]byte(token)))
	if parts := strings.Split(token, "."); len(parts) == 3 {
		secrets[name+", its claims"], secrets[name+", its signature"] = []byte(parts[1]), []byte(parts[2])
	}
	if escaped := url.QueryEscape(token); escaped != token {
		secrets[name+", escaped"] = []byte(escaped)
	}
}

// Nothing that Terraform writes holds a token: neither its state, a plan, what
// it prints, nor its log and those of the providers at the level TRACE.
func TestAccNothingThatIsWrittenHoldsAToken(t *testing.T) {
	for kind, steps := range map[string][]step{
		"ephemeral": {
			{"plan", []string{"plan", "-no-color", "-out=run.tfplan"}},
			{"show", []string{"show", "-json", "run.tfplan"}},
			{"apply", []string{"apply", "-no-color", "run.tfplan"}},
		},
		// Without a plan file: Terraform writes the values of such variables there.
		"sensitive": {{"apply", []string{"apply", "-no-color", "-auto-approve"}}},
	} {
		t.Run(kind, func(t *testing.T) {
			m := newMount(t)
			subject, vaultToken := m.subjectToken(), m.limited(fmt.Sprintf(`path "%s/*" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }`, m.path))
			t.Setenv("TF_VAR_subject", subject)
			t.Setenv("VAULT_TOKEN", vaultToken)
			minted := m.record()
			config := strings.ReplaceAll(m.exchangeOf(`role = "deploy"`), "ephemeral = true", kind+" = true") + uses + usesClaims
			tf := newCLI(t, config)
			failed := ""
			for _, s := range steps {
				if failed == "" && tf.run(s.name, s.arguments...) != nil {
					failed = s.name
				}
			}
			opened := len(minted.tokens)
			for name, change := range map[string][2]string{
				"refused":   {`role = "deploy"`, "role = \"deploy\"\n  scope = [\"admin\"]"},
				"malformed": {`jwt_claims(var.subject)`, `jwt_claims("${var.subject}.x")`},
			} {
				tf.write(strings.Replace(config, change[0], change[1], 1))
				if tf.run(name, "plan", "-no-color") == nil {
					t.Errorf("%s: the plan succeeds", name)
				}
			}

			secrets := map[string][]byte{}
			forms(secrets, "the subject token", subject)
			forms(secrets, "the token of Vault", vaultToken)
			for i, token := range minted.tokens {
				forms(secrets, fmt.Sprintf("minted token %d", i), token)
			}
			searched, found := tf.search(secrets)
			same(t, "found", found)
			if failed != "" {
				t.Fatal("Terraform failed; its output holds no token if none was found: " + tf.read(failed+".out"))
			}
			want := []string{"terraform.tfstate", "trace.log", "apply.out", "refused.out", "malformed.out"}
			if kind == "ephemeral" {
				want = append(want, "run.tfplan", "run.tfplan/tfplan", "run.tfplan/tfstate", "show.out")
			}
			for _, name := range want {
				if !slices.Contains(searched, name) {
					t.Errorf("%s was not searched: %q", name, searched)
				}
			}
			tf.checkThatTokensWereUsed(m, minted.tokens[:opened])
		})
	}
}

// step is a run of Terraform.
type step struct {
	name      string
	arguments []string
}

// usesClaims is a consumer of what the functions return.
const usesClaims = `
provider "sink" {
  alias = "claims"
  token = provider::tokenexchange::jwt_claims(var.subject).jti
}
resource "sink_thing" "claims" {
  provider = sink.claims
  token_wo = provider::tokenexchange::jwt_claims(ephemeral.tokenexchange_token.t.access_token).jti
}
`

// checkThatTokensWereUsed makes sure that the search was of something. The tokens
// are those of runs that succeeded: Terraform closes nothing whose user failed.
func (tf *cli) checkThatTokensWereUsed(m *mount, minted []string) {
	tf.Helper()
	if len(minted) < 2 {
		tf.Fatalf("%d tokens were minted", len(minted))
	}
	used := false
	for _, token := range minted {
		used = used || strings.Contains(tf.read("terraform.tfstate"), sum(token))
		if m.active(token) {
			tf.Error("a token is active after the run")
		}
	}
	if !used {
		tf.Error("the consumer did not get the token")
	}
	for name, text := range map[string]string{
		"trace.log": "tokenexchange_token", "refused.out": "invalid_scope: allowed_scopes", "malformed.out": "the token is not a signed JWT",
	} {
		if !words(text).MatchString(tf.read(name)) {
			tf.Errorf("%s does not say %q", name, text)
		}
	}
}

// The search finds what is there: a variable that is not hidden, in each place.
func TestAccTheSearchFindsATokenThatIsWritten(t *testing.T) {
	m := newMount(t)
	token := m.subjectToken()
	t.Setenv("TF_VAR_subject", token)
	tf := newCLI(t, "variable \"subject\" {}\noutput \"subject\" { value = var.subject }")
	if tf.run("plan", "plan", "-no-color", "-out=run.tfplan") != nil || tf.run("apply", "apply", "-no-color", "run.tfplan") != nil {
		t.Fatal("Terraform failed")
	}
	_, found := tf.search(map[string][]byte{"it": []byte(token)})
	slices.Sort(found)
	same(t, "found", found, "it is in apply.out", "it is in plan.out", "it is in run.tfplan/tfplan", "it is in run.tfplan/tfstate", "it is in terraform.tfstate")
}

func (tf *cli) read(name string) string {
	tf.Helper()
	content, err := os.ReadFile(filepath.Join(tf.dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		tf.Fatal(err)
	}
	return string(content)
}
