package provider

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// opened is the client of a configuration, before it logs in.
func opened(t *testing.T, c *connection) *api.Client {
	t.Helper()
	if err := c.open(); err != nil {
		t.Fatal(err)
	}
	return c.base
}

func tlsOf(t *testing.T, c *connection) *tls.Config {
	t.Helper()
	return opened(t, c).CloneConfig().HttpClient.Transport.(*wire).next.(*http.Transport).TLSClientConfig
}

// TestPrecedence sees each argument in the configuration and in the environment,
// in the environment alone, and in neither.
func TestPrecedence(t *testing.T) {
	for name, c := range map[string]struct {
		config                       written
		env                          map[string]string
		configured, fromEnv, neither string
		of                           func(t *testing.T, c *connection) string
	}{
		"address": {
			written{"address": "https://config:1"},
			map[string]string{"VAULT_ADDR": "https://env:1"},
			"https://config:1", "https://env:1", "address is not set: set it in the provider's configuration, or VAULT_ADDR in the environment",
			func(_ *testing.T, c *connection) string {
				if err := c.open(); err != nil {
					return err.Error()
				}
				return c.base.Address()
			},
		},
		"address before the agent": {
			written{"address": "https://config:1"},
			map[string]string{"VAULT_AGENT_ADDR": "https://agent:1"},
			"https://config:1", "https://agent:1", "address is not set: set it in the provider's configuration, or VAULT_ADDR in the environment",
			func(_ *testing.T, c *connection) string {
				if err := c.open(); err != nil {
					return err.Error()
				}
				return c.base.Address()
			},
		},
		"token": {
			written{"token": "config-token"},
			map[string]string{"VAULT_TOKEN": "env-token"},
			"config-token of token", "env-token of VAULT_TOKEN", " of the token helper",
			func(_ *testing.T, c *connection) string {
				return c.settings.token.reveal() + " of " + c.settings.tokenSource
			},
		},
		"token_name": {
			written{"token_name": "config"},
			map[string]string{"VAULT_TOKEN_NAME": "env"},
			"config", "env", "terraform",
			func(_ *testing.T, c *connection) string { return c.settings.tokenName },
		},
		"skip_child_token": {
			written{"skip_child_token": false},
			map[string]string{"TERRAFORM_VAULT_SKIP_CHILD_TOKEN": "true"},
			"false", "true", "false",
			func(_ *testing.T, c *connection) string { return fmt.Sprint(c.settings.skipChildToken) },
		},
		"max_lease_ttl_seconds": {
			written{"max_lease_ttl_seconds": 60},
			map[string]string{"TERRAFORM_VAULT_MAX_TTL": "120"},
			"1m0s", "2m0s", "20m0s",
			func(_ *testing.T, c *connection) string { return c.settings.life.String() },
		},
		"namespace": {
			written{"namespace": "/config/"},
			map[string]string{"VAULT_NAMESPACE": "env/"},
			"config", "env", "",
			func(_ *testing.T, c *connection) string { return c.namespace("") },
		},
		"set_namespace_from_token": {
			written{"set_namespace_from_token": true},
			map[string]string{"VAULT_SET_NAMESPACE_FROM_TOKEN": "false"},
			"true", "false", "true",
			func(_ *testing.T, c *connection) string { return fmt.Sprint(c.settings.namespaceFromToken) },
		},
		"tls_server_name": {
			written{"tls_server_name": "config"},
			map[string]string{"VAULT_TLS_SERVER_NAME": "env"},
			"config", "env", "",
			func(t *testing.T, c *connection) string { return tlsOf(t, c).ServerName },
		},
		"skip_tls_verify": {
			written{"skip_tls_verify": false},
			map[string]string{"VAULT_SKIP_VERIFY": "true"},
			"false", "true", "false",
			func(t *testing.T, c *connection) string { return fmt.Sprint(tlsOf(t, c).InsecureSkipVerify) },
		},
		"max_retries": {
			written{"max_retries": 0},
			map[string]string{"VAULT_MAX_RETRIES": "7"},
			"0", "7", "2",
			func(t *testing.T, c *connection) string { return fmt.Sprint(opened(t, c).MaxRetries()) },
		},
		"headers": {
			written{"headers": []written{{"name": "x-own", "value": "config"}}},
			map[string]string{"VAULT_HEADERS": `{"X-Own":"env","X-Other":"env"}`},
			"[config] [env]", "[env] [env]", "[] []",
			func(t *testing.T, c *connection) string {
				h := opened(t, c).Headers()
				return fmt.Sprint(h.Values("X-Own"), " ", h.Values("X-Other"))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bareEnv(t)
			with := func(w written) *connection {
				if _, ok := c.config["address"]; !ok {
					w["address"] = "https://vault.example"
				}
				return configured(t, w)
			}
			if got := c.of(t, with(written{})); got != c.neither {
				t.Errorf("neither: got %q, want %q", got, c.neither)
			}
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			if got := c.of(t, with(written{})); got != c.fromEnv {
				t.Errorf("environment: got %q, want %q", got, c.fromEnv)
			}
			if got := c.of(t, with(c.config)); got != c.configured {
				t.Errorf("both: got %q, want %q", got, c.configured)
			}
		})
	}
}

// TestPrecedenceOfCertificates has two CAs: of a server, and of nobody.
func TestPrecedenceOfCertificates(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"data":{"ttl":0}}`))
	}))
	defer server.Close()
	right := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	wrong, _ := newCertificate(t, "nobody")
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, name, string(content), 0o600)
		return name
	}
	rightFile, wrongFile := file("right/ca.pem", right), file("wrong/ca.pem", wrong)
	for name, c := range map[string]struct {
		config written
		env    map[string]string
		ok     bool
	}{
		"neither":                         {written{}, nil, false},
		"VAULT_CACERT":                    {written{}, map[string]string{"VAULT_CACERT": rightFile}, true},
		"VAULT_CACERT_BYTES":              {written{}, map[string]string{"VAULT_CACERT_BYTES": string(right)}, true},
		"VAULT_CAPATH":                    {written{}, map[string]string{"VAULT_CAPATH": filepath.Dir(rightFile)}, true},
		"ca_cert_file":                    {written{"ca_cert_file": rightFile}, map[string]string{"VAULT_CACERT": wrongFile}, true},
		"ca_cert_file, wrong":             {written{"ca_cert_file": wrongFile}, map[string]string{"VAULT_CACERT": rightFile}, false},
		"ca_cert_dir before VAULT_CACERT": {written{"ca_cert_dir": filepath.Dir(rightFile)}, map[string]string{"VAULT_CACERT": wrongFile}, true},
		"ca_cert_dir, wrong":              {written{"ca_cert_dir": filepath.Dir(wrongFile)}, map[string]string{"VAULT_CAPATH": filepath.Dir(rightFile)}, false},
		"ca_cert_file before _BYTES":      {written{"ca_cert_file": wrongFile}, map[string]string{"VAULT_CACERT_BYTES": string(right)}, false},
		"skip_tls_verify":                 {written{"skip_tls_verify": true}, nil, true},
		"skip_tls_verify = false":         {written{"skip_tls_verify": false}, map[string]string{"VAULT_SKIP_VERIFY": "true"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			bareEnv(t)
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			c.config["address"], c.config["max_retries"] = server.URL, 0
			_, err := opened(t, configured(t, c.config)).Auth().Token().LookupSelfWithContext(t.Context())
			if (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestClientCertificate sees which certificate a server is shown.
func TestClientCertificate(t *testing.T) {
	shown := make(chan string, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := "none"
		if certificates := r.TLS.PeerCertificates; len(certificates) > 0 {
			name = certificates[0].Subject.CommonName
		}
		shown <- name
		_, _ = w.Write([]byte(`{"data":{"ttl":0}}`))
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()
	env, config, login := certificateFiles(t, "env"), certificateFiles(t, "config"), certificateFiles(t, "login")
	for name, c := range map[string]struct {
		config written
		env    bool
		want   string
	}{
		"neither":     {written{}, false, "none"},
		"environment": {written{}, true, "env"},
		"client_auth": {written{"client_auth": []written{config}}, true, "config"},
		"auth_login_cert": {
			written{"client_auth": []written{config}, "auth_login_cert": []written{login}}, true, "login",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bareEnv(t)
			if c.env {
				t.Setenv("VAULT_CLIENT_CERT", env["cert_file"].(string))
				t.Setenv("VAULT_CLIENT_KEY", env["key_file"].(string))
			}
			c.config["address"], c.config["skip_tls_verify"] = server.URL, true
			if _, err := opened(t, configured(t, c.config)).Auth().Token().LookupSelfWithContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := <-shown; got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestEnvironment has variables that cannot be read: the error names them, and
// does not repeat what they hold.
func TestEnvironment(t *testing.T) {
	for name, c := range map[string]struct{ value, want string }{
		"TERRAFORM_VAULT_SKIP_CHILD_TOKEN": {"perhaps", "TERRAFORM_VAULT_SKIP_CHILD_TOKEN must be true or false"},
		"VAULT_SET_NAMESPACE_FROM_TOKEN":   {"perhaps", "VAULT_SET_NAMESPACE_FROM_TOKEN must be true or false"},
		"TERRAFORM_VAULT_MAX_TTL":          {"0", "TERRAFORM_VAULT_MAX_TTL must be a number of seconds, at least 1"},
		"VAULT_SKIP_VERIFY":                {"perhaps", "a VAULT_* variable of the environment cannot be used: could not parse VAULT_SKIP_VERIFY"},
		"VAULT_HTTP_PROXY": {
			"http://user:proxy-password@proxy:port",
			`a VAULT_* variable of the environment cannot be used: invalid port ":port" after host`,
		},
		"VAULT_HEADERS": {"perhaps", "the client of Vault cannot be made: could not unmarshal environment-supplied headers"},
	} {
		t.Run(name, func(t *testing.T) {
			bareEnv(t)
			t.Setenv(name, c.value)
			if got := failure(t, configured(t, written{"address": "https://vault.example"}), ""); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestEnvironmentOfVaultsClient has variables that would change requests behind
// the provider's back.
func TestEnvironmentOfVaultsClient(t *testing.T) {
	bareEnv(t)
	vault := newStandIn(t)
	t.Setenv("VAULT_WRAP_TTL", "5m")
	sure(t, configured(t, vault.with(nil)), "")
	got := vault.last(t, "auth/token/create")
	if got.namespace != "" || got.header.Get("X-Vault-Wrap-TTL") != "" {
		t.Errorf("namespace %q, wrapped for %q", got.namespace, got.header.Get("X-Vault-Wrap-TTL"))
	}
}

// TestHeadersOfTheEnvironment has headers that are Vault's own, however they are spelt.
func TestHeadersOfTheEnvironment(t *testing.T) {
	for _, name := range []string{"x-vault-namespace", "x-vault-wrap-ttl", "x-vault-token", "X-vault-Policy-Override", "x-vault-request"} {
		bareEnv(t)
		vault := newStandIn(t)
		t.Setenv("VAULT_HEADERS", `{"X-Own":"v","`+name+`":"smuggled"}`)
		want := "VAULT_HEADERS has " + name + ": headers that begin with X-Vault- are Vault's own"
		if got := failure(t, configured(t, vault.with(nil)), ""); got != want || vault.paths() != nil {
			t.Errorf("got %s, asked for %v", got, vault.paths())
		}
	}
}

// TestAddressOfTheEnvironment has addresses that are none: a plan says so, and
// does not repeat them.
func TestAddressOfTheEnvironment(t *testing.T) {
	for _, name := range []string{"VAULT_ADDR", "VAULT_AGENT_ADDR"} {
		bareEnv(t)
		t.Setenv(name, "user:url-password@vault.example:8200")
		want := name + " must be a URL that begins with https://, http:// or unix://"
		if got := validated(t, written{}); !slices.Equal(got, []string{"Invalid Environment: " + want}) {
			t.Errorf("got %q", got)
		}
		if got := failure(t, configured(t, written{}), ""); got != want {
			t.Errorf("got %s", got)
		}
		for _, config := range []written{{"address": "https://vault.example"}, {"address": unknownValue{}}} {
			if got := validated(t, config); got != nil {
				t.Errorf("%v: got %q", config, got)
			}
		}
	}
}

func TestFiles(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for name, c := range map[string]struct {
		config written
		want   string
	}{
		"ca_cert_file": {
			written{"ca_cert_file": missing},
			"TLS cannot be set up with ca_cert_file, ca_cert_dir, client_auth: Error loading CA File: open " + missing + ": no such file or directory",
		},
		"client_auth": {
			written{"client_auth": []written{{"cert_file": missing, "key_file": missing}}},
			"TLS cannot be set up with ca_cert_file, ca_cert_dir, client_auth: open " + missing + ": no such file or directory",
		},
		"auth_login_cert": {
			written{"auth_login_cert": []written{{"cert_file": missing, "key_file": missing}}},
			"TLS cannot be set up with ca_cert_file, ca_cert_dir, auth_login_cert: open " + missing + ": no such file or directory",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bareEnv(t)
			c.config["address"] = "https://vault.example"
			if got := failure(t, configured(t, c.config), ""); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestValidation(t *testing.T) {
	login := written{"path": "auth/approle/login"}
	jwt := written{"role": "r", "jwt": "j"}
	for name, c := range map[string]struct {
		config written
		want   []string
	}{
		"nothing": {written{}, nil},
		"everything": {written{
			"address": "unix:///run/vault.sock", "token": "t", "token_name": "n", "skip_child_token": true, "max_lease_ttl_seconds": 1,
			"namespace": "n", "set_namespace_from_token": true, "ca_cert_file": "f", "ca_cert_dir": "d", "tls_server_name": "n",
			"skip_tls_verify": true, "max_retries": 0, "client_auth": []written{{"cert_file": "c", "key_file": "k"}},
			"headers": []written{{"name": "a", "value": "v"}, {"name": "a", "value": "w"}}, "auth_login_jwt": []written{jwt},
		}, nil},
		"everything unknown": {written{
			"address": unknownValue{}, "token": unknownValue{}, "headers": unknownValue{}, "client_auth": unknownValue{},
			"auth_login": unknownValue{}, "auth_login_jwt": []written{{"role": unknownValue{}, "namespace": unknownValue{}, "use_root_namespace": true}},
		}, nil},
		"address": {
			written{"address": "ftp://user:url-password@vault"},
			[]string{"Invalid Attribute Value: Attribute address must be a URL that begins with https://, http:// or unix://"},
		},
		"address without a scheme": {
			written{"address": "vault.example:8200"},
			[]string{"Invalid Attribute Value: Attribute address must be a URL that begins with https://, http:// or unix://"},
		},
		"address that is no URL": {
			written{"address": "https://user:url-password@vault:port"},
			[]string{"Invalid Attribute Value: Attribute address must be a URL that begins with https://, http:// or unix://"},
		},
		"max_lease_ttl_seconds": {
			written{"max_lease_ttl_seconds": 0},
			[]string{"Invalid Attribute Value: Attribute max_lease_ttl_seconds value must be at least 1, got: 0"},
		},
		"max_retries": {
			written{"max_retries": -1},
			[]string{"Invalid Attribute Value: Attribute max_retries value must be between 0 and 1000, got: -1"},
		},
		"two client_auth": {
			written{"client_auth": []written{{"cert_file": "c", "key_file": "k"}, {"cert_file": "c", "key_file": "k"}}},
			[]string{"Invalid Attribute Value: Attribute client_auth list must contain at most 1 elements, got: 2"},
		},
		"a header of Vault": {
			written{"headers": []written{{"name": "a", "value": "v"}, {"name": "x-Vault-Namespace", "value": "v"}}},
			[]string{"Invalid Attribute Value: Attribute headers[1].name must not begin with X-Vault-, which is for Vault's own headers"},
		},
		"two logins": {
			written{"auth_login": []written{login}, "auth_login_jwt": []written{jwt}},
			[]string{"Invalid Attribute Combination: At most one auth_login block can be specified, got: auth_login, auth_login_jwt"},
		},
		"the same login twice": {
			written{"auth_login_jwt": []written{jwt, jwt}},
			[]string{"Invalid Attribute Value: Attribute auth_login_jwt list must contain at most 1 elements, got: 2"},
		},
		"empty path": {
			written{"auth_login": []written{{"path": ""}}},
			[]string{"Invalid Attribute Value Length: Attribute auth_login[0].path string length must be at least 1, got: 0"},
		},
		"method aws": {
			written{"auth_login": []written{{"path": "p", "method": "aws"}}},
			[]string{`Invalid Attribute Value Match: Attribute auth_login[0].method value must be none of: ["aws"], got: "aws"`},
		},
		"two namespaces": {
			written{"auth_login_cert": []written{{"cert_file": "c", "key_file": "k", "namespace": "n", "use_root_namespace": true}}},
			[]string{`Invalid Attribute Combination: Attribute "auth_login_cert[0].namespace" cannot be specified when "auth_login_cert[0].use_root_namespace" is specified`},
		},
		"two passwords": {
			written{"auth_login_userpass": []written{{"username": "u", "password": "p", "password_file": "f"}}},
			[]string{`Invalid Attribute Combination: Attribute "auth_login_userpass[0].password" cannot be specified when "auth_login_userpass[0].password_file" is specified`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := validated(t, c.config); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// TestRequired leaves out what Terraform itself demands.
func TestRequired(t *testing.T) {
	for block, required := range map[string][]string{
		"client_auth": {"cert_file", "key_file"}, "headers": {"name", "value"}, "auth_login": {"path"},
		"auth_login_jwt": {"role"}, "auth_login_cert": {"cert_file", "key_file"},
	} {
		schema := rawConfig(t, nil).Schema
		for _, name := range required {
			attribute, err := schema.AttributeAtTerraformPath(t.Context(), attributePath(block, name))
			if err != nil || !attribute.IsRequired() {
				t.Errorf("%s.%s is not required: %v", block, name, err)
			}
		}
	}
}

// TestSensitive lists what Terraform must not show.
func TestSensitive(t *testing.T) {
	schema := rawConfig(t, nil).Schema
	for block, name := range map[string]string{
		"": "token", "headers": "value", "auth_login": "parameters", "auth_login_jwt": "jwt", "auth_login_userpass": "password",
	} {
		attribute, err := schema.AttributeAtTerraformPath(t.Context(), attributePath(block, name))
		if err != nil || !attribute.IsSensitive() {
			t.Errorf("%s.%s is not sensitive: %v", block, name, err)
		}
	}
}

func TestUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		config written
		want   string
	}{
		"one":         {written{"address": unknownValue{}}, "the provider's address is not known yet"},
		"two":         {written{"token": unknownValue{}, "address": unknownValue{}}, "the provider's address, token are not known yet"},
		"in a block":  {written{"auth_login_jwt": []written{{"role": "r", "jwt": unknownValue{}}}}, "the provider's auth_login_jwt.jwt is not known yet"},
		"a block":     {written{"headers": unknownValue{}}, "the provider's headers is not known yet"},
		"before env.": {written{"token": unknownValue{}}, "the provider's token is not known yet"},
	} {
		t.Run(name, func(t *testing.T) {
			bareEnv(t)
			vault := newStandIn(t)
			t.Setenv("VAULT_ADDR", vault.URL)
			t.Setenv("VAULT_TOKEN", "env-token")
			got := failure(t, configured(t, c.config), "")
			want := c.want + ", because it comes from something that Terraform has not created. Create that first, or write the value down"
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if paths := vault.paths(); paths != nil {
				t.Errorf("asked for %v", paths)
			}
		})
	}
}

func TestClock(t *testing.T) {
	p := New("1.2.3")().(*tokenExchangeProvider)
	if d := time.Since(p.now()); d < 0 || d > time.Minute {
		t.Errorf("the provider's clock is off by %s", d)
	}
}
