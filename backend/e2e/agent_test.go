//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
)

// agentTTL is short enough to see several tokens, and long enough for a busy
// machine: the Agent fetches the next token two seconds or more before the end.
const agentTTL = 15 * time.Second

// guide is the page whose configurations run here.
const guide = "../../docs/how-to/vault-agent.md"

// guideBlock returns the block of the page that begins with a comment.
func guideBlock(t *testing.T, name string) string {
	t.Helper()
	page, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(page), "```hcl\n# "+name+"\n")
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		t.Fatalf("%s has no block %q", guide, name)
	}
	return block
}

// follower is a real Vault Agent or Proxy that follows the page, with paths and
// addresses of the test.
type follower struct {
	*mount
	process *process
	listen  string // of a Proxy
	dir     string // holds its files
	entity  string // that it logs in as
	places  *strings.Replacer
	last    *rendering
}

// rendering is a token that the Agent has written.
type rendering struct {
	token   string
	claims  data
	expires time.Time
}

// newFollower makes what the Agent needs to log in. More rules than the page's
// are for controls.
func newFollower(m *mount, moreRules string) *follower {
	m.Helper()
	port, err := freePort()
	if err != nil {
		m.Fatal(err)
	}
	auth, policy := uniqueName("jwt"), uniqueName("policy")
	f := &follower{mount: m, dir: m.TempDir(), listen: fmt.Sprintf("127.0.0.1:%d", port)}
	f.places = strings.NewReplacer("https://vault.example.com", m.vault.addr, "auth/jwt", "auth/"+auth, "token-exchange/", m.path+"/",
		"/var/run/secrets/tokens", f.dir, "/run/orders", f.dir, "127.0.0.1:8100", f.listen)
	must := func(path string, d data) data {
		m.Helper()
		secret, err := m.vault.Logical().Write(path, d)
		if err != nil {
			m.Fatal(err)
		}
		if secret == nil {
			return nil
		}
		return secret.Data
	}
	if err := m.vault.Sys().PutPolicy(policy, f.places.Replace(guideBlock(m.T, "policy.hcl"))+moreRules); err != nil {
		m.Fatal(err)
	}
	platform, name := issuertest.New(m, "https://platform.example"), uniqueName("agent")
	must("sys/auth/"+auth, data{"type": "jwt"})
	must("auth/"+auth+"/config", data{"jwt_validation_pubkeys": publicPEM(m.T, platform), "bound_issuer": platform.URL})
	must("auth/"+auth+"/role/orders-agent", data{
		"role_type": "jwt", "user_claim": "sub", "bound_audiences": engine, "token_policies": policy, "token_ttl": "1h",
	})
	mounts, err := m.vault.Sys().ListAuth()
	if err != nil {
		m.Fatal(err)
	}
	f.entity = must("identity/entity", data{"name": name})["id"].(string)
	must("identity/entity-alias", data{"name": name, "canonical_id": f.entity, "mount_accessor": mounts[auth+"/"].Accessor})
	f.put("login.jwt", platform.Sign(m, platform.Claims(time.Now(), data{"sub": name})))
	return f
}

// put replaces a file of the Agent's, as a platform does: never half written.
func (f *follower) put(name, content string) {
	f.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path+".new", []byte(content+"\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		f.Fatal(err)
	}
}

// start runs `vault agent` or `vault proxy` with blocks of the page.
func (f *follower) start(command, level string, blocks ...string) {
	f.Helper()
	var config strings.Builder
	for _, block := range blocks {
		config.WriteString(f.places.Replace(guideBlock(f.T, block)))
	}
	file := filepath.Join(f.dir, command+".hcl")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		f.Fatal(err)
	}
	var err error
	f.process, err = start(exec.CommandContext(context.Background(), vaultBin, command, "-config="+file, "-log-level="+level), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		f.process.stop()
		f.wantQuietLog()
	})
}

var complaint = regexp.MustCompile(`\[(WARN|ERR|ERROR)\]`)

// wantQuietLog looks for warnings, errors and secrets in all that was logged.
func (f *follower) wantQuietLog() {
	f.Helper()
	log := f.process.log.String()
	for _, beginning := range []string{jwtPrefix, "hvs."} {
		if strings.Contains(log, beginning) {
			f.Errorf("the log has a token: it contains %q", beginning)
			return // and no line of it shall be shown
		}
	}
	for line := range strings.Lines(log) {
		if complaint.MatchString(line) {
			f.Errorf("a complaint in the log: %s", line)
		}
	}
	if f.Failed() {
		f.Logf("log:\n%s", log)
	}
}

// next waits until the Agent has written another token. Whenever it looks, the
// token in the file is good.
func (f *follower) next() *rendering {
	f.Helper()
	before := f.last
	eventually(f.T, func() error {
		select {
		case <-f.process.done:
			f.Fatal("the Agent has ended")
		default:
		}
		content, err := os.ReadFile(filepath.Join(f.dir, "token"))
		if err != nil && before == nil {
			return err
		}
		if err != nil {
			f.Fatal(err)
		}
		if before == nil || string(content) != before.token {
			_, claims := unsigned(f.T, string(content))
			f.last = &rendering{token: string(content), claims: claims, expires: time.Unix(int64(claims["exp"].(float64)), 0)}
			if before != nil {
				f.Logf("a new token %.1f s before the end of the old one", time.Until(before.expires).Seconds())
			}
		}
		f.wantActive(f.last.token)
		if left := time.Until(f.last.expires); left <= 0 {
			f.Errorf("the token in the file expired %s ago", -left)
		}
		if f.last == before {
			return errors.New("the Agent has not written another token")
		}
		return nil
	})
	return f.last
}

func TestAgentKeepsATokenFresh(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		lease bool
	}{{"with a lease", true}, {"without a lease", false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFollower(newMount(t), "")
			ci := f.trust("ci")
			f.role("orders", "ci", data{
				"ttl": agentTTL.String(), "generate_lease": c.lease, "default_scopes": "orders:read orders:write",
			})
			subject := func(scope string) string { return ci.Sign(t, ci.Claims(time.Now(), data{"scope": scope})) }
			f.put("subject.jwt", subject("orders:read"))
			f.start("agent", "trace", "agent.hcl", "template of a subject token")
			f.next()
			for range 3 {
				wantSame(t, "scope", f.next().claims["scope"].(string), "orders:read")
			}

			// The Agent looks at the file every two seconds.
			replaced := time.Now()
			f.put("subject.jwt", subject("orders:read orders:write"))
			wantSame(t, "scope after the subject token was replaced", f.next().claims["scope"].(string), "orders:read orders:write")
			t.Logf("the new subject token was used after %.1f s", time.Since(replaced).Seconds())
			wantSame(t, "scope after that", f.next().claims["scope"].(string), "orders:read orders:write")

			for series, n := range f.metrics().samples {
				if strings.HasPrefix(series, "token_exchange_denied_total") {
					t.Errorf("the Agent was refused: %s %v", series, n)
				}
			}
		})
	}
}

func TestAgentIsTheSubjectItself(t *testing.T) {
	t.Parallel()
	f := newFollower(newMount(t), "")
	f.callerRole("orders", data{"ttl": agentTTL.String()})
	f.start("agent", "trace", "agent.hcl", "template of the caller")
	f.next()
	for range 3 {
		wantSame(t, "sub", f.next().claims["sub"].(string), "entity:"+f.entity)
	}
}

func TestProxySharesNoTokens(t *testing.T) {
	t.Parallel()
	f := newFollower(newMount(t), `path "auth/token/create" { capabilities = ["update"] }`)
	f.callerRole("orders", nil)
	f.start("proxy", "debug", "proxy.hcl")
	client, err := newClient("http://"+f.listen, "")
	if err != nil {
		t.Fatal(err)
	}
	// ask makes the same request twice.
	ask := func(path string) (answers [2]string) {
		t.Helper()
		for i := range answers {
			eventually(t, func() error { // until the Proxy listens, and has logged in
				secret, err := client.Logical().Write(path, data{"ttl": "5m"})
				if err != nil {
					return err
				}
				if secret.Auth != nil {
					answers[i] = secret.Auth.ClientToken
				} else {
					answers[i] = accessToken(t, secret)
				}
				return nil
			})
		}
		return answers
	}
	if same := ask("auth/token/create"); same[0] != same[1] {
		t.Error("the Proxy caches nothing, so this test shows nothing")
	}
	for _, lease := range []bool{true, false} {
		f.write("roles/orders", data{"generate_lease": lease})
		tokens := ask(f.path + "/exchange/orders")
		if tokens[0] == tokens[1] {
			t.Errorf("with a lease %v: two requests got the same token", lease)
		}
		for _, token := range tokens {
			f.wantActive(token)
		}
	}
}
