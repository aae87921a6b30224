//go:build e2e

package provider

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/hashicorp/vault/api"
)

// server is a real Vault, and a client with its root token.
type server struct {
	*api.Client
	address, root string
}

// devVault is the Vault of the environment. The environment itself is taken
// away, so that a test says all that the provider knows.
func devVault(t *testing.T) *server {
	t.Helper()
	s := &server{address: os.Getenv(api.EnvVaultAddress), root: os.Getenv(api.EnvVaultToken)}
	if s.address == "" || s.root == "" {
		t.Fatal("VAULT_ADDR and VAULT_TOKEN must name a dev Vault and its root token")
	}
	bareEnv(t)
	s.connect(t, nil)
	return s
}

func (s *server) connect(t *testing.T, tls *api.TLSConfig) {
	t.Helper()
	config := api.DefaultConfig()
	config.Address, config.MaxRetries = s.address, 0
	if tls != nil {
		if err := config.ConfigureTLS(tls); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if s.Client, err = api.NewClient(config); err != nil {
		t.Fatal(err)
	}
	s.SetToken(s.root)
}

// tlsVault starts a Vault with TLS, whose certificate is for 127.0.0.1 and
// vault.example; the CA's file is in dir.
func tlsVault(t *testing.T) (s *server, dir string) {
	t.Helper()
	dir = t.TempDir()
	s = startVault(t, "https", &api.TLSConfig{CACert: filepath.Join(dir, "vault-ca.pem")},
		"-dev-tls", "-dev-tls-cert-dir="+dir, "-dev-tls-san=vault.example")
	return s, dir
}

// startVault starts a Vault of the test's own, and takes the environment's away.
func startVault(t *testing.T, scheme string, tls *api.TLSConfig, flags ...string) *server {
	t.Helper()
	binary := os.Getenv("VAULT_BIN")
	if binary == "" {
		t.Fatal("VAULT_BIN must name a Vault binary")
	}
	bareEnv(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s := &server{address: scheme + "://" + listen, root: rand.Text()}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"server", "-dev", "-dev-no-store-token", "-dev-listen-address=" + listen}, flags...)...)
	cmd.Env = append(os.Environ(), "VAULT_DEV_ROOT_TOKEN_ID="+s.root)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	})
	for range 600 {
		time.Sleep(100 * time.Millisecond)
		if tls != nil {
			if _, err := os.Stat(tls.CACert); err != nil {
				continue
			}
		}
		s.connect(t, tls)
		if _, err := s.Auth().Token().LookupSelf(); err == nil {
			return s
		}
	}
	content, _ := os.ReadFile(log.Name())
	t.Fatalf("vault is not ready; its log:\n%s", content)
	return nil
}

// ownMount is [newMount] on a Vault of the test's own, which it may break.
func ownMount(t *testing.T) *mount {
	t.Helper()
	s := startVault(t, "http", nil, "-dev-plugin-dir="+os.Getenv("PLUGIN_DIR"))
	t.Setenv("VAULT_ADDR", s.address)
	t.Setenv("VAULT_TOKEN", s.root)
	return newMount(t)
}

// with is a configuration for a Vault, with more arguments.
func (s *server) with(more written) written {
	w := written{"address": s.address, "max_retries": 0}
	maps.Copy(w, more)
	return w
}

func (s *server) write(t *testing.T, path string, data map[string]any) *api.Secret {
	t.Helper()
	secret, err := s.Logical().WriteWithContext(t.Context(), path, data)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// policy makes a policy that lets its tokens make child tokens.
func (s *server) policy(t *testing.T) string {
	t.Helper()
	name := "p-" + strings.ToLower(rand.Text())
	s.write(t, "sys/policies/acl/"+name, map[string]any{
		"policy": `path "auth/token/create" { capabilities = ["update"] }`,
	})
	return name
}

// token makes a token with these policies.
func (s *server) token(t *testing.T, policies ...string) string {
	t.Helper()
	secret, err := s.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{Policies: policies, TTL: "1h"})
	if err != nil {
		t.Fatal(err)
	}
	return secret.Auth.ClientToken
}

// auth mounts an auth method at a path of its own.
func (s *server) auth(t *testing.T, kind string) string {
	t.Helper()
	mount := kind + "-" + strings.ToLower(rand.Text())
	s.write(t, "sys/auth/"+mount, map[string]any{"type": kind})
	return mount
}

// self looks up the token that the provider works with.
func self(t *testing.T, c *connection) map[string]any {
	t.Helper()
	client, err := c.client(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := client.Auth().Token().LookupSelfWithContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return secret.Data
}

// seconds reads a number of a token's data.
func secondsOf(t *testing.T, data map[string]any, name string) int64 {
	t.Helper()
	n, err := data[name].(json.Number).Int64()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func policies(data map[string]any) []string {
	var names []string
	for _, name := range data["policies"].([]any) {
		names = append(names, name.(string))
	}
	return names
}

func TestVaultChildToken(t *testing.T) {
	vault := devVault(t)
	policy := vault.policy(t)
	for name, c := range map[string]struct {
		config   written
		life     int64
		display  string
		policies []string
	}{
		"root":  {written{"token": vault.root}, 1200, "token-terraform", []string{"root"}},
		"named": {written{"token": vault.token(t, policy), "token_name": "ci", "max_lease_ttl_seconds": 90}, 90, "token-ci", []string{"default", policy}},
	} {
		t.Run(name, func(t *testing.T) {
			data := self(t, configured(t, vault.with(c.config)))
			if ttl := secondsOf(t, data, "ttl"); ttl > c.life || ttl < c.life-10 {
				t.Errorf("it lives for %d", ttl)
			}
			if got := secondsOf(t, data, "explicit_max_ttl"); got != c.life {
				t.Errorf("it lives for %d at most", got)
			}
			if data["display_name"] != c.display || data["renewable"] != false || data["orphan"] != false {
				t.Errorf("it is %v, renewable %v, orphan %v", data["display_name"], data["renewable"], data["orphan"])
			}
			if got := policies(data); !slices.Equal(got, c.policies) {
				t.Errorf("its policies are %v", got)
			}
		})
	}
}

func TestVaultSkipChildToken(t *testing.T) {
	vault := devVault(t)
	token := vault.token(t, "default")
	if got := sure(t, configured(t, vault.with(written{"token": token, "skip_child_token": true})), ""); got != token {
		t.Error("the token is another")
	}
	got := failure(t, configured(t, vault.with(written{"token": token})), "")
	if !strings.Contains(got, `path "auth/token/create"`) || !strings.Contains(got, "skip_child_token") {
		t.Errorf("got %s", got)
	}
}

// TestVaultReplacement waits until Vault itself has ended the first child token.
func TestVaultReplacement(t *testing.T) {
	vault := devVault(t)
	c := configured(t, vault.with(written{"token": vault.root, "max_lease_ttl_seconds": 2}))
	first := sure(t, c, "")
	eventually(t, func() error {
		if _, err := vault.Auth().Token().LookupWithContext(t.Context(), first); err == nil {
			return errors.New("the first token has not ended")
		}
		return nil
	})
	self(t, c)
}

func TestVaultWrongToken(t *testing.T) {
	vault := devVault(t)
	got := failure(t, configured(t, vault.with(written{"token": "hvs.wrong-token"})), "")
	if !strings.HasPrefix(got, "the token of token is refused at auth/token/lookup-self: ") || strings.Contains(got, "hvs.wrong-token") {
		t.Errorf("got %s", got)
	}
}

// TestVaultNamespace is about a Community Edition, which the dev Vault is.
func TestVaultNamespace(t *testing.T) {
	vault := devVault(t)
	policy := vault.policy(t)
	token := vault.token(t, policy)
	for name, w := range map[string]written{"the provider's": {"namespace": "team"}, "an object's": {}} {
		w["token"] = token
		namespace := map[bool]string{true: "", false: "team"}[w["namespace"] != nil]
		want := `namespace "team" cannot be used: this Vault is the Community Edition, `
		if got := failure(t, configured(t, vault.with(w)), namespace); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s", name, got)
		}
	}
	self(t, configured(t, vault.with(written{"token": token, "namespace": "root"})))
}

// vaultLogin is a way to log in to a real Vault, and the same with something wrong.
type vaultLogin struct {
	block        string
	right, wrong written
	env          map[string]string
	secret       string // of the wrong one
	want         string // of the error
}

func (l vaultLogin) run(t *testing.T, vault *server, policy string) {
	t.Helper()
	for name, value := range l.env {
		t.Setenv(name, value)
	}
	base := written{}
	if strings.HasPrefix(vault.address, "https") {
		base["skip_tls_verify"] = true
	}
	base[l.block] = []written{l.right}
	data := self(t, configured(t, vault.with(base)))
	if got := policies(data); !slices.Equal(got, []string{"default", policy}) {
		t.Errorf("the policies are %v", got)
	}
	if got := secondsOf(t, data, "explicit_max_ttl"); got != 1200 {
		t.Errorf("it lives for %d at most: it is not a child token", got)
	}
	base["skip_child_token"] = true
	if got := secondsOf(t, self(t, configured(t, vault.with(base))), "explicit_max_ttl"); got != 0 {
		t.Errorf("without a child token, it lives for %d at most", got)
	}
	base[l.block] = []written{l.wrong}
	got := failure(t, configured(t, vault.with(base)), "")
	if !strings.HasPrefix(got, l.want) || l.secret != "" && strings.Contains(got, l.secret) {
		t.Errorf("got %s\nwant %s", got, l.want)
	}
}

func TestVaultUserpass(t *testing.T) {
	vault := devVault(t)
	mount, policy := vault.auth(t, "userpass"), vault.policy(t)
	vault.write(t, "auth/"+mount+"/users/alice", map[string]any{"password": "right-password", "token_policies": policy})
	vaultLogin{
		block: "auth_login_userpass",
		right: written{"mount": mount, "username": "alice", "password": "right-password"},
		wrong: written{"mount": mount, "username": "alice", "password": "wrong-password"}, secret: "wrong-password",
		want: "auth_login_userpass: cannot log in at auth/" + mount + "/login/alice: invalid username or password",
	}.run(t, vault, policy)
	t.Run("environment", func(t *testing.T) {
		t.Setenv("TERRAFORM_VAULT_USERNAME", "alice")
		t.Setenv("TERRAFORM_VAULT_PASSWORD", "right-password")
		self(t, configured(t, vault.with(written{"auth_login_userpass": []written{{"mount": mount}}})))
	})
}

func TestVaultAppRole(t *testing.T) {
	vault := devVault(t)
	mount, policy := vault.auth(t, "approle"), vault.policy(t)
	role := "auth/" + mount + "/role/r"
	vault.write(t, role, map[string]any{"token_policies": policy})
	id, err := vault.Logical().ReadWithContext(t.Context(), role+"/role-id")
	if err != nil {
		t.Fatal(err)
	}
	parameters := map[string]string{
		"role_id":   id.Data["role_id"].(string),
		"secret_id": vault.write(t, role+"/secret-id", nil).Data["secret_id"].(string),
	}
	path := "auth/" + mount + "/login"
	vaultLogin{
		block: "auth_login",
		right: written{"path": path, "parameters": parameters},
		wrong: written{"path": path, "parameters": map[string]string{"role_id": parameters["role_id"], "secret_id": "wrong-secret"}}, secret: "wrong-secret",
		want: "auth_login: cannot log in at " + path + ": invalid role or secret ID",
	}.run(t, vault, policy)
}

func TestVaultJWT(t *testing.T) {
	vault := devVault(t)
	mount, policy := vault.auth(t, "jwt"), vault.policy(t)
	signed := func() (token, public string) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token, err = jwt.Signed(signer).Claims(jwt.Claims{
			Subject: "ci", Audience: jwt.Audience{"vault"}, IssuedAt: jwt.NewNumericDate(time.Now()), Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour)),
		}).Serialize(); err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		return token, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	right, public := signed()
	wrong, _ := signed()
	vault.write(t, "auth/"+mount+"/config", map[string]any{"jwt_validation_pubkeys": public})
	vault.write(t, "auth/"+mount+"/role/r", map[string]any{
		"role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault", "token_policies": policy,
	})
	vaultLogin{
		block: "auth_login_jwt",
		right: written{"mount": mount, "role": "r"}, env: map[string]string{"TERRAFORM_VAULT_AUTH_JWT": right},
		wrong: written{"mount": mount, "role": "r", "jwt": wrong}, secret: wrong,
		want: "auth_login_jwt: cannot log in at auth/" + mount + "/login: error validating token: ",
	}.run(t, vault, policy)
}

func TestVaultTokenFile(t *testing.T) {
	vault := devVault(t)
	policy := vault.policy(t)
	dir := t.TempDir()
	right, wrong := filepath.Join(dir, "right"), filepath.Join(dir, "wrong")
	writeFile(t, right, vault.token(t, policy)+"\n", 0o600)
	writeFile(t, wrong, "hvs.wrong-token\n", 0o600)
	vaultLogin{
		block: "auth_login_token_file",
		right: written{}, env: map[string]string{"TERRAFORM_VAULT_TOKEN_FILENAME": right},
		wrong: written{"filename": wrong}, secret: "hvs.wrong-token",
		// Without a child token nothing is asked before the namespace of the token is.
		want: "the token of auth_login_token_file.filename is refused at auth/token/lookup-self: ",
	}.run(t, vault, policy)
}

func TestVaultTLS(t *testing.T) {
	vault, dir := tlsVault(t)
	ca := filepath.Join(dir, "vault-ca.pem")
	caDir := t.TempDir()
	content, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(caDir, "ca.pem"), string(content), 0o600)
	other := certificateFiles(t, "nobody")["cert_file"]
	for name, c := range map[string]struct {
		config written
		env    map[string]string
		want   string // in the error; "" is none
	}{
		"no CA":              {written{}, nil, "certificate signed by unknown authority (ca_cert_file, "},
		"ca_cert_file":       {written{"ca_cert_file": ca}, nil, ""},
		"VAULT_CACERT":       {written{}, map[string]string{"VAULT_CACERT": ca}, ""},
		"VAULT_CACERT_BYTES": {written{}, map[string]string{"VAULT_CACERT_BYTES": string(content)}, ""},
		"ca_cert_dir":        {written{"ca_cert_dir": caDir}, nil, ""},
		"another CA":         {written{"ca_cert_file": other}, map[string]string{"VAULT_CACERT": ca}, "certificate signed by unknown authority (ca_cert_file, "},
		"skip_tls_verify":    {written{"skip_tls_verify": true}, nil, ""},
		"verify all the same": {
			written{"skip_tls_verify": false}, map[string]string{"VAULT_SKIP_VERIFY": "true"}, "certificate signed by unknown authority (ca_cert_file, ",
		},
		"tls_server_name": {written{"ca_cert_file": ca, "tls_server_name": "vault.example"}, nil, ""},
		"another name": {
			written{"ca_cert_file": ca, "tls_server_name": "other.example"},
			map[string]string{"VAULT_TLS_SERVER_NAME": "vault.example"},
			"not other.example (ca_cert_file, ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			c.config["token"] = vault.root
			conn := configured(t, vault.with(c.config))
			if c.want == "" {
				self(t, conn)
				return
			}
			got := failure(t, conn, "")
			if !strings.Contains(got, c.want) || strings.Contains(got, vault.root) {
				t.Errorf("got %s", got)
			}
		})
	}
	t.Run("auth_login_cert", func(t *testing.T) {
		policy, mount := vault.policy(t), vault.auth(t, "cert")
		login, stranger := certificateFiles(t, "login"), certificateFiles(t, "stranger")
		certificate, err := os.ReadFile(login["cert_file"].(string))
		if err != nil {
			t.Fatal(err)
		}
		vault.write(t, "auth/"+mount+"/certs/ci", map[string]any{"certificate": string(certificate), "token_policies": policy})
		for _, w := range []written{login, stranger} {
			w["mount"], w["name"] = mount, "ci"
		}
		vaultLogin{
			block: "auth_login_cert", right: login, wrong: stranger,
			want: fmt.Sprintf("auth_login_cert: cannot log in at auth/%s/login: ", mount),
		}.run(t, vault, policy)
	})
}
