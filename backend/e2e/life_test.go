//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/vault/api"
)

// newOwn starts a dev Vault for one test, which may do to the plugin's process
// and to the server what would disturb others. The plugin is in the catalogue
// under the version that it says it has, from the directory plugins. Settings are
// added to the server's configuration.
func newOwn(t *testing.T, plugins string, settings data) *vault {
	t.Helper()
	var v *vault
	var err error
	for range 3 { // another process may take the port before Vault has it
		if v, err = startOwn(t, plugins, settings); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		v.process.kill()
		if t.Failed() {
			t.Logf("log of the Vault of this test:\n%s", v.process.log.String())
		}
	})
	register(t, v, "v0.1.0", filepath.Join(plugins, plugin))
	return v
}

func startOwn(t *testing.T, plugins string, settings data) (*vault, error) {
	t.Helper()
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(t.TempDir(), "vault.json")
	all := data{"plugin_directory": plugins}
	maps.Copy(all, settings)
	content, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(config, content, 0o600); err != nil {
		return nil, err
	}
	// What a dev Vault says on its standard output has the root token; its log
	// goes to standard error.
	nowhere, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = nowhere.Close() }()
	listen, root := fmt.Sprintf("127.0.0.1:%d", port), rand.Text()
	v := &vault{addr: "http://" + listen}
	if v.Client, err = newClient(v.addr, root); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.Background(), vaultBin, "server", "-dev", "-dev-no-store-token",
		"-log-level=trace", "-dev-listen-address="+listen, "-config="+config)
	cmd.Env = append(os.Environ(), "VAULT_DEV_ROOT_TOKEN_ID="+root)
	if v.process, err = start(cmd, nowhere); err != nil {
		return nil, err
	}
	err = v.ready(func() error {
		_, err := v.Auth().Token().LookupSelf()
		return err
	})
	return v, err
}

// register puts a binary of the plugin directory into the catalogue.
func register(t *testing.T, v *vault, version, binary string) {
	t.Helper()
	if err := v.Sys().RegisterPlugin(&api.RegisterPluginInput{
		Name: plugin, Type: api.PluginTypeSecrets, Command: filepath.Base(binary), SHA256: sha256File(t, binary), Version: version,
	}); err != nil {
		t.Fatal(err)
	}
}

// TestUpgradeKeepsWhatTheOldVersionMade moves a mount to the next version as the
// README says, and back.
func TestUpgradeKeepsWhatTheOldVersionMade(t *testing.T) {
	t.Parallel()
	binaries := t.TempDir()
	old, next := filepath.Join(binaries, plugin), filepath.Join(binaries, plugin+"-v0.1.1")
	buildVersion(t, old, "v0.1.0")
	buildVersion(t, next, "v0.1.1")
	v := newOwn(t, binaries, nil)
	m := enable(t, v, "token-exchange")
	m.configure()
	c := newChain(m)
	tokens := c.tokens()
	before := c.everything()
	wantRunning(t, m, "v0.1.0")

	register(t, v, "v0.1.1", next)
	c.tune(api.TuneMountConfigInput{PluginVersion: new("v0.1.1")})
	wantRunning(t, m, "v0.1.0") // until the plugin is reloaded
	tokens.check(c)
	reload(t, v, &api.ReloadPluginInput{Plugin: plugin})
	wantRunning(t, m, "v0.1.1")
	wantSame(t, "state after the upgrade", c.everything(), before)
	tokens.check(c)
	c.revokeLease(tokens.lease)
	c.wantInactive(tokens.alive[0])
	c.wantInactive(tokens.alive[1])
	made := c.exchange("orders", c.subject())

	c.tune(api.TuneMountConfigInput{PluginVersion: new("v0.1.0")})
	reload(t, v, &api.ReloadPluginInput{Plugin: plugin})
	wantRunning(t, m, "v0.1.0")
	wantSame(t, "state after the way back", c.everything(), before)
	c.wantInactive(tokens.alive[0])
	c.wantActive(accessToken(t, made))
	c.revokeLease(made.LeaseID)
	c.wantInactive(accessToken(t, made))
}

// buildVersion builds the plugin as a version says it is.
func buildVersion(t *testing.T, binary, version string) {
	t.Helper()
	const variable = "github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend.Version"
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X "+variable+"="+version, "-o", binary, "../../cmd/"+plugin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), binary, "-version").Output()
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "version of the binary", strings.TrimSpace(string(out)), version)
}

func wantRunning(t *testing.T, m *mount, version string) {
	t.Helper()
	mounts, err := m.client.Sys().ListMounts()
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "running version", mounts[m.path+"/"].RunningVersion, version)
}

func reload(t *testing.T, v *vault, what *api.ReloadPluginInput) {
	t.Helper()
	if _, err := v.Sys().ReloadPlugin(what); err != nil {
		t.Fatal(err)
	}
}

func (m *mount) tune(config api.TuneMountConfigInput) {
	m.Helper()
	if err := m.client.Sys().TuneMountAllowNil(m.path, config); err != nil {
		m.Fatal(err)
	}
}

func (m *mount) revokeLease(id string) {
	m.Helper()
	if err := m.client.Sys().RevokeWithOptions(&api.RevokeOptions{LeaseID: id, Sync: true}); err != nil {
		m.Fatal(err)
	}
}

// TestReloadUnderLoad exchanges and revokes at two mounts, which share a process,
// while the plugin is reloaded. A request may fail then, as the server's fault;
// what was acknowledged holds.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	v := newOwn(t, pluginDir, nil)
	var loads []*load
	for _, path := range []string{"one", "other"} {
		m := enable(t, v, path)
		m.configure()
		loads = append(loads, &load{chain: newChain(m)})
	}
	stop, done := make(chan struct{}), make(chan struct{})
	for _, l := range loads {
		subject := l.subject()
		for range 2 {
			go func() {
				l.run(subject, stop)
				done <- struct{}{}
			}()
		}
	}
	served := func() { // both mounts grant and revoke again
		t.Helper()
		for _, l := range loads {
			before := l.count()
			eventually(t, func() error {
				if l.count() < before+5 {
					return fmt.Errorf("the mount %s does not work", l.path)
				}
				return nil
			})
		}
	}
	served()
	before := pluginProcess(t, v)
	for _, what := range []*api.ReloadPluginInput{{Plugin: plugin}, {Mounts: []string{"one/"}}, {Mounts: []string{"other/"}}, {Plugin: plugin}} {
		reload(t, v, what)
		served()
		now := pluginProcess(t, v)
		if now == before {
			t.Errorf("the reload of %q%q did not end the process", what.Plugin, what.Mounts)
		}
		before = now
	}
	close(stop)
	for range 2 * len(loads) {
		<-done
	}
	for _, l := range loads {
		t.Logf("%s: %d tokens revoked, %d requests failed", l.path, len(l.revoked), len(l.failed))
		for _, err := range l.failed {
			refusal, ok := errors.AsType[*api.ResponseError](err)
			// Vault answers 400 if it cannot reach the plugin to revoke a lease.
			if !ok || refusal.StatusCode < 500 && !strings.Contains(err.Error(), "* failed to revoke entry: ") {
				t.Errorf("%s: a failure that is not the server's: %v", l.path, err)
			}
		}
		for _, token := range l.revoked {
			l.wantInactive(token)
		}
		l.wantActive(accessToken(t, l.exchange("orders", l.subject())))
	}
}

// load is what a mount did under load.
type load struct {
	*chain
	mu      sync.Mutex
	revoked []string // tokens whose revocation was acknowledged
	failed  []error
}

func (l *load) run(subject string, stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		token, err := l.exchangeAndRevoke(subject, n%2 == 0)
		l.mu.Lock()
		if err == nil {
			l.revoked = append(l.revoked, token)
		} else {
			l.failed = append(l.failed, err)
		}
		l.mu.Unlock()
	}
}

// exchangeAndRevoke takes a token back by its lease, or by itself.
func (l *load) exchangeAndRevoke(subject string, byLease bool) (string, error) {
	answer, err := l.tryWrite("exchange/orders", data{"subject_token": subject, "audience": orders})
	if err != nil {
		return "", err
	}
	token, _ := answer.Data["access_token"].(string)
	if byLease {
		return token, l.client.Sys().RevokeWithOptions(&api.RevokeOptions{LeaseID: answer.LeaseID, Sync: true})
	}
	_, err = l.tryWrite("revoke", data{"token": token})
	return token, err
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.revoked)
}

// pluginProcesses are the ids of the processes of the plugin that a Vault runs.
func pluginProcesses(t *testing.T, v *vault) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for _, path := range stats {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// pid (command) state parent …; a command may have spaces and parentheses.
		after := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
		executable, err := os.Readlink(filepath.Join(filepath.Dir(path), "exe"))
		if err != nil || len(after) < 2 || after[0] == "Z" || after[1] != strconv.Itoa(v.process.cmd.Process.Pid) || filepath.Base(executable) != plugin {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, pid)
	}
	return found
}

// pluginProcess waits until there is one.
func pluginProcess(t *testing.T, v *vault) int {
	t.Helper()
	var found []int
	eventually(t, func() error {
		if found = pluginProcesses(t, v); len(found) != 1 {
			return fmt.Errorf("want one process of the plugin, got %v", found)
		}
		return nil
	})
	return found[0]
}

func TestPluginProcessThatIsKilledComesBack(t *testing.T) {
	t.Parallel()
	v := newOwn(t, pluginDir, nil)
	m := enable(t, v, "token-exchange")
	m.configure()
	c := newChain(m)
	tokens := c.tokens()
	before := c.everything()

	// A request that finds the process dead starts another one. Each kind of
	// request may be the first.
	for _, first := range []struct {
		name    string
		request func() error
	}{
		{"an exchange", func() error {
			_, err := c.tryWrite("exchange/orders", data{"subject_token": c.subject(), "audience": orders})
			return err
		}},
		{"the JWKS", func() error {
			resp, err := c.as("").client.Logical().ReadRaw(c.path + "/.well-known/keys")
			if resp != nil {
				_ = resp.Body.Close()
			}
			return err
		}},
		{"a revocation", func() error {
			_, err := c.tryWrite("revoke", data{"token": tokens.dead[0]})
			return err
		}},
	} {
		killed := pluginProcess(t, v)
		if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			if slices.Contains(pluginProcesses(t, v), killed) {
				return errors.New("the process is alive")
			}
			return nil
		})
		failures := 0
		eventually(t, func() error {
			err := first.request()
			if err != nil {
				failures++
			}
			return err
		})
		if failures > 1 {
			t.Errorf("%s: %d requests failed, want the first one at most", first.name, failures)
		}
		if pluginProcess(t, v) == killed {
			t.Error("the killed process runs")
		}
		wantSame(t, "state after "+first.name, c.everything(), before)
		tokens.check(c)
	}

	// A lease is revoked by a process that did not grant it, and starts it.
	if err := syscall.Kill(pluginProcess(t, v), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		return c.client.Sys().RevokeWithOptions(&api.RevokeOptions{LeaseID: tokens.lease, Sync: true})
	})
	c.wantInactive(tokens.alive[0])
	c.wantInactive(tokens.alive[1])
}

func TestSealedVaultForgetsNothing(t *testing.T) {
	t.Parallel()
	s := newStored(t)
	m := enable(t, s.vault, "token-exchange")
	m.configure()
	c := newChain(m)
	tokens := c.tokens()
	before := c.everything()

	if err := s.Sys().Seal(); err != nil {
		t.Fatal(err)
	}
	_, err := c.tryWrite("exchange/orders", data{"subject_token": c.subject(), "audience": orders})
	refused(t, err, 503, "Vault is sealed")
	// Private keys are in the memory of no process.
	eventually(t, func() error {
		if found := pluginProcesses(t, s.vault); len(found) > 0 {
			return fmt.Errorf("the plugin runs: %v", found)
		}
		return nil
	})

	s.unsealed()
	wantSame(t, "state after the seal", c.everything(), before)
	tokens.check(c)
	c.revokeLease(tokens.lease)
	c.wantInactive(tokens.alive[0])
	c.wantActive(accessToken(t, c.exchange("orders", c.subject())))
}

// TestMountThatMovedGoesOn: what becomes of its leases is in
// TestMountThatMovesRevokesItsLeases.
func TestMountThatMovedGoesOn(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t))
	unleased := accessToken(t, c.exchangeUnleased())
	before := c.state()
	old := c.issuer
	path := uniqueName("moved")
	if err := c.client.Sys().Remount(c.path, path); err != nil {
		t.Fatal(err)
	}
	c.path = path
	eventually(t, func() error {
		_, err := c.client.Logical().Read(path + "/config")
		return err
	})
	wantSame(t, "state", c.state(), before)
	answer := c.exchange("orders", c.subject())
	_, claims := unsigned(t, accessToken(t, answer))
	wantSame(t, "iss until config says otherwise", claims["iss"].(string), old)
	c.revokeLease(answer.LeaseID)
	c.wantInactive(accessToken(t, answer))

	// With the new URL consumers find the keys again.
	c.issuer = c.vault.addr + "/v1/" + path
	c.write("config", data{"issuer": c.issuer, "force": true})
	token := accessToken(t, c.exchange("orders", c.subject()))
	if _, err := goVerifier(t, c.mount, orders).Verify(t.Context(), token); err != nil {
		t.Error(err)
	}
	c.wantActive(unleased)
	c.write("revoke", data{"token": unleased})
	c.wantInactive(unleased)
}

// parent is a Vault token that may make others, of any kind.
func (c *chain) parent() *chain {
	c.Helper()
	token := callerToken(c.T, c.mount, `
		path "`+c.path+`/exchange/*" { capabilities = ["update"] }
		path "auth/token/create" { capabilities = ["update", "sudo"] }
		path "auth/token/create-orphan" { capabilities = ["update", "sudo"] }`)
	return &chain{c.as(token), c.ci}
}

// child makes a Vault token, and exchanges with it.
func (c *chain) child(request api.TokenCreateRequest) (token string, answer *api.Secret) {
	c.Helper()
	create := c.client.Auth().Token().Create
	if request.NoParent {
		create = c.client.Auth().Token().CreateOrphan
	}
	secret, err := create(&request)
	if err != nil {
		c.Fatal(err)
	}
	token = secret.Auth.ClientToken
	return token, c.as(token).exchange("orders", c.subject())
}

// becomesInactive waits for what Vault does after it has answered.
func (c *chain) becomesInactive(token string) {
	c.Helper()
	eventually(c.T, func() error {
		if c.introspect(token)["active"] != false {
			return errors.New("the token is active")
		}
		return nil
	})
	c.wantInactive(token)
}

// life is that of an answer's token, in seconds, by its claims.
func life(t *testing.T, answer *api.Secret) int64 {
	t.Helper()
	_, claims := unsigned(t, accessToken(t, answer))
	return int64(claims["exp"].(float64) - claims["iat"].(float64))
}

func TestKindOfVaultTokenDecidesTheLease(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		kind   api.TokenCreateRequest
		lease  int64 // at most, in seconds; and at least half a minute less
		orphan bool  // outlives the token that made it
	}{
		{"service token", api.TokenCreateRequest{}, 1800, false},
		{"service token that expires before the lease would", api.TokenCreateRequest{TTL: "2m"}, 1800, false},
		{"periodic token", api.TokenCreateRequest{Period: "1h"}, 1800, false},
		{"orphan", api.TokenCreateRequest{NoParent: true}, 1800, true},
		{"periodic orphan", api.TokenCreateRequest{NoParent: true, Period: "1h"}, 1800, true},
		{"batch token", api.TokenCreateRequest{Type: "batch", TTL: "2m"}, 120, false},
		{"batch token that outlives the lease", api.TokenCreateRequest{Type: "batch", TTL: "1h"}, 1800, false},
		{"orphan batch token", api.TokenCreateRequest{Type: "batch", TTL: "2m", NoParent: true}, 120, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newChain(newMount(t)) // whose roles say 30 minutes
			parent := c.parent()
			token, answer := parent.child(test.kind)
			minted := accessToken(t, answer)
			within(t, "lease_duration", int64(answer.LeaseDuration), test.lease-30, test.lease)
			if got := number(t, answer.Data["expires_in"]); got != 1800 || life(t, answer) != 1800 {
				t.Errorf("want a token of 1800 seconds: expires_in %d, exp-iat %d", got, life(t, answer))
			}
			c.wantActive(minted)

			// A batch token cannot be revoked; its parent can.
			if err := c.client.Auth().Token().RevokeTree(parent.client.Token()); err != nil {
				t.Fatal(err)
			}
			if !test.orphan {
				c.becomesInactive(minted)
				return
			}
			if _, err := c.as(token).tryWrite("exchange/orders", data{"subject_token": c.subject(), "audience": orders}); err != nil {
				t.Errorf("the orphan does not outlive its maker: %v", err)
			}
			c.wantActive(minted)
			if test.kind.Type == "batch" {
				c.revokeLease(answer.LeaseID)
			} else if err := c.client.Auth().Token().RevokeTree(token); err != nil {
				t.Fatal(err)
			}
			c.becomesInactive(minted)
		})
	}
}

// TestTokenDiesWithTheVaultTokenThatAskedForIt: before the moment that it says.
func TestTokenDiesWithTheVaultTokenThatAskedForIt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		kind api.TokenCreateRequest
	}{
		{"service token", api.TokenCreateRequest{TTL: "15s"}},
		{"periodic token that is not renewed", api.TokenCreateRequest{Period: "15s"}},
		{"batch token", api.TokenCreateRequest{Type: "batch", TTL: "15s"}},
		{"orphan batch token", api.TokenCreateRequest{Type: "batch", TTL: "15s", NoParent: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newChain(newMount(t))
			_, answer := c.parent().child(test.kind)
			minted := accessToken(t, answer)
			child := accessToken(t, c.exchange("again", minted))
			if life(t, answer) != 1800 {
				t.Errorf("want a token of 1800 seconds, got %d", life(t, answer))
			}
			c.wantActive(minted)
			c.becomesInactive(minted)
			c.wantInactive(child)
		})
	}
}

// TestMaxTTLOfTheMountIsLoweredInUse: the engine may take half a minute to see
// it, in which the lease alone is shortened.
func TestMaxTTLOfTheMountIsLoweredInUse(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t))
	if got := life(t, c.exchange("orders", c.subject())); got != 1800 {
		t.Errorf("want a token of 1800 seconds, got %d", got)
	}
	c.tune(api.TuneMountConfigInput{MaxLeaseTTL: new("2m")})
	eventually(t, func() error {
		answer := c.exchange("orders", c.subject())
		within(t, "lease_duration", int64(answer.LeaseDuration), 1, 120)
		if got := life(t, answer); got > 120 {
			return fmt.Errorf("the token lives %d seconds", got)
		}
		return nil
	})
	// A role that asks for more is not an error: it is held to the mount.
	c.write("roles/orders", data{"ttl": "40m"})
	if got := life(t, c.exchange("orders", c.subject())); got != 120 {
		t.Errorf("want a token of 120 seconds, got %d", got)
	}
}

func TestExchangeIsWrapped(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t))
	for _, lease := range []bool{true, false} {
		c.write("roles/orders", data{"generate_lease": lease})
		wrapping := c.vault.as(t, c.client.Token())
		wrapping.SetWrappingLookupFunc(func(string, string) string { return "3m" })
		wrapped, err := wrapping.Logical().Write(c.path+"/exchange/orders", data{"subject_token": c.subject(), "audience": orders})
		if err != nil {
			t.Fatal(err)
		}
		if wrapped.WrapInfo == nil || wrapped.WrapInfo.TTL != 180 || wrapped.Data["access_token"] != nil || wrapped.LeaseID != "" {
			t.Fatalf("with a lease %v: want a wrapping token of 180 seconds and nothing else, got %+v", lease, wrapped)
		}
		wantSame(t, "creation path", wrapped.WrapInfo.CreationPath, c.path+"/exchange/orders")

		answer, err := c.vault.as(t, wrapped.WrapInfo.Token).Logical().Unwrap("")
		if err != nil {
			t.Fatal(err)
		}
		token := accessToken(t, answer)
		if _, err := goVerifier(t, c.mount, orders).Verify(t.Context(), token); err != nil {
			t.Error(err)
		}
		c.wantActive(token)
		if got := answer.LeaseID != ""; got != lease {
			t.Errorf("want a lease: %v, got %q", lease, answer.LeaseID)
		}
		if _, err := c.vault.as(t, wrapped.WrapInfo.Token).Logical().Unwrap(""); err == nil {
			t.Error("it was unwrapped twice")
		}
		if lease {
			c.revokeLease(answer.LeaseID)
			c.wantInactive(token)
		}
	}

	// What is refused is not wrapped.
	wrapping := c.vault.as(t, c.client.Token())
	wrapping.SetWrappingLookupFunc(func(string, string) string { return "3m" })
	_, err := wrapping.Logical().Write(c.path+"/exchange/orders", data{"subject_token": c.subject(), "audience": billing})
	refused(t, err, 400, `invalid_target: allowed_audiences: the role "orders" does not allow the audience ["https://billing.example"]`)
}

func TestRateLimitHoldsExchangesBack(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t))
	quota := "sys/quotas/rate-limit/" + c.path
	if _, err := c.client.Logical().Write(quota, data{"path": c.path + "/exchange/orders", "rate": 3, "interval": "10s"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = c.client.Logical().Delete(quota) })
	granted, limited := 0, 0
	try := func() error {
		_, err := c.tryWrite("exchange/orders", data{"subject_token": c.subject(), "audience": orders})
		refusal, ok := errors.AsType[*api.ResponseError](err)
		switch {
		case err == nil:
			granted++
		case ok && refusal.StatusCode == http.StatusTooManyRequests:
			limited++
		default:
			t.Fatal(err)
		}
		return err
	}
	eventually(t, func() error {
		if _ = try(); limited == 0 {
			return errors.New("no request was held back")
		}
		return nil
	})
	if granted == 0 {
		t.Error("no request was let through before")
	}
	// The rest of the mount is not limited, and the limit ends.
	c.wantActive(accessToken(t, c.exchangeUnleased()))
	eventually(t, try)
	// What was held back never reached the engine.
	samples := c.metrics().samples
	if got := samples[`token_exchange_granted_total{role="orders"}`]; got != float64(granted) {
		t.Errorf("the engine granted %v, the clients got %d", got, granted)
	}
	if got := samples["token_exchange_duration_seconds_count"]; got != float64(granted+1) {
		t.Errorf("the engine saw %v exchanges, want %d", got, granted+1)
	}
}
