//go:build e2e

package e2e_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hashicorp/vault/api"
)

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// vault is a running Vault, and a client with its root token.
type vault struct {
	process *process
	addr    string
	*api.Client
}

func newClient(addr, token string) (*api.Client, error) {
	config := api.DefaultConfig()
	config.Address, config.MaxRetries = addr, 0
	client, err := api.NewClient(config)
	if err != nil {
		return nil, err
	}
	client.SetToken(token)
	return client, nil
}

var shared struct {
	once  sync.Once
	vault *vault
	err   error
}

// devVault returns the Vault that the tests share.
func devVault(t *testing.T) *vault {
	t.Helper()
	shared.once.Do(func() {
		// Another process may take the port before Vault has it.
		for range 3 {
			if shared.vault, shared.err = startDevVault(); shared.err == nil {
				return
			}
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.vault
}

func startDevVault() (*vault, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	listen, root := fmt.Sprintf("127.0.0.1:%d", port), rand.Text()
	v := &vault{addr: "http://" + listen}
	if v.Client, err = newClient(v.addr, root); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.Background(), vaultBin, "server", "-dev", "-dev-no-store-token",
		"-log-level=debug", "-dev-listen-address="+listen, "-dev-plugin-dir="+pluginDir)
	cmd.Env = append(os.Environ(), "VAULT_DEV_ROOT_TOKEN_ID="+root)
	if v.process, err = start(cmd, nil); err != nil {
		return nil, err
	}
	// No other Vault knows the token.
	err = v.ready(func() error {
		_, err := v.Auth().Token().LookupSelf()
		return err
	})
	return v, err
}

// ready waits until a check succeeds; no longer than the process lives.
func (v *vault) ready(check func() error) error {
	dead := false
	err := poll(func() error {
		select {
		case <-v.process.done:
			dead = true
			return nil
		default:
			return check()
		}
	})
	if err == nil && dead {
		err = errors.New("vault has ended")
	}
	if err != nil {
		v.process.kill()
		return fmt.Errorf("vault is not ready: %w; its log:\n%s", err, v.process.log.String())
	}
	return nil
}

// as returns a client with another token.
func (v *vault) as(t *testing.T, token string) *api.Client {
	t.Helper()
	client, err := newClient(v.addr, token)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// stored is a Vault that keeps what it holds in a directory: it can be started
// again.
type stored struct {
	t      *testing.T
	dir    string
	ports  [2]int // API and cluster: the issuer's URL has the first, so they stay
	unseal string
	*vault
}

// newStored initialises a Vault with raft storage and the plugin in its
// catalogue, under the version that the plugin says it has.
func newStored(t *testing.T) *stored {
	t.Helper()
	s := &stored{t: t, dir: t.TempDir()}
	for i := range s.ports {
		var err error
		if s.ports[i], err = freePort(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if s.vault == nil {
			return
		}
		s.process.kill()
		if t.Failed() {
			t.Logf("log of the Vault with raft storage:\n%s", s.process.log.String())
		}
	})
	if err := s.start(""); err != nil {
		t.Fatal(err)
	}
	s.initialise()
	binary := filepath.Join(pluginDir, plugin)
	if err := s.Sys().RegisterPlugin(&api.RegisterPluginInput{
		Name: plugin, Type: api.PluginTypeSecrets, Command: plugin, SHA256: sha256File(t, binary), Version: "v0.1.0",
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

// start runs the server. It listens and may be sealed when this returns.
func (s *stored) start(token string) error {
	config := filepath.Join(s.dir, "vault.json")
	data := filepath.Join(s.dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	listen, cluster := fmt.Sprintf("127.0.0.1:%d", s.ports[0]), fmt.Sprintf("127.0.0.1:%d", s.ports[1])
	raft := map[string]any{"path": data, "performance_multiplier": 1} // elects a leader in seconds
	content, err := json.Marshal(map[string]any{
		"storage":  map[string]any{"raft": raft},
		"listener": map[string]any{"tcp": map[string]any{"address": listen, "cluster_address": cluster, "tls_disable": true}},
		"api_addr": "http://" + listen, "cluster_addr": "https://" + cluster,
		"plugin_directory": pluginDir, "disable_mlock": true,
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(config, content, 0o600); err != nil {
		return err
	}
	v := &vault{addr: "http://" + listen}
	if v.Client, err = newClient(v.addr, token); err != nil {
		return err
	}
	if v.process, err = start(exec.CommandContext(context.Background(), vaultBin, "server", "-config="+config), nil); err != nil {
		return err
	}
	s.vault = v
	return v.ready(func() error {
		_, err := v.Sys().InitStatus()
		return err
	})
}

func (s *stored) initialise() {
	s.t.Helper()
	keys, err := s.Sys().Init(&api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	s.unseal = keys.KeysB64[0]
	s.SetToken(keys.RootToken)
	s.unsealed()
}

// unsealed unseals, and waits until the node is active.
func (s *stored) unsealed() {
	s.t.Helper()
	if _, err := s.Sys().Unseal(s.unseal); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, func() error {
		health, err := s.Sys().Health()
		if err == nil && (health.Sealed || health.Standby) {
			err = errors.New("sealed or standby")
		}
		return err
	})
}

func (s *stored) crash() { s.process.kill() }

func (s *stored) stop() { s.process.stop() }

// restart starts a server that has ended, and unseals it.
func (s *stored) restart() {
	s.t.Helper()
	if err := s.start(s.Token()); err != nil {
		s.t.Fatal(err)
	}
	s.unsealed()
}
