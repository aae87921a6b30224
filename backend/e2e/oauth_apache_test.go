//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// modules is where Debian has Apache's.
const modules = "/usr/lib/apache2/modules"

// apache lets Apache with mod_auth_openidc guard a page for the orders service:
// once by the keys, once by introspection.
func (a *authorization) apache() {
	a.Helper()
	keys := a.guarded("OIDCOAuthVerifyJwksUri " + a.issuer + "/.well-known/keys")
	asking := a.guarded(fmt.Sprintf(`
OIDCOAuthServerMetadataURL %s/.well-known/oauth-authorization-server
OIDCOAuthClientID api
OIDCOAuthClientSecret %s
OIDCOAuthIntrospectionEndpointAuth client_secret_basic
OIDCOAuthTokenIntrospectionInterval -1`, a.issuer, a.secrets["api"]))
	good, other, revoked := a.exchangedBy(orders), a.exchangedBy(billing), a.exchangedBy(orders)
	for _, c := range []struct {
		name, url, token string
		status           int
	}{
		{"keys: a good token", keys, good, 200},
		{"keys: no token", keys, "", 401},
		{"keys: a changed token", keys, tampered(a.T, good), 401},
		{"keys: a token for another service", keys, other, 401},
		{"keys: a token of the issuer that we trust", keys, a.subject(), 401},
		{"introspection: a good token", asking, good, 200},
		{"introspection: a changed token", asking, tampered(a.T, good), 401},
		{"introspection: a token for another service", asking, other, 401},
		{"introspection: a token that will be revoked", asking, revoked, 200},
	} {
		if got := a.visit(c.url, c.token); got != c.status {
			a.Errorf("%s: got %d, want %d", c.name, got, c.status)
		}
	}
	form := a.form("client_secret_post", orders)
	form.Set("token", revoked)
	if got := a.post("revoke", form); got.status != http.StatusOK {
		a.Fatalf("revoke: %d %s", got.status, got.body)
	}
	if got := a.visit(asking, revoked); got != http.StatusUnauthorized {
		a.Errorf("introspection: a revoked token: got %d", got)
	}
}

func (a *authorization) visit(url, token string) int {
	a.Helper()
	request, err := http.NewRequestWithContext(a.Context(), http.MethodGet, url+"/page", nil)
	if err != nil {
		a.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := a.http.Do(request)
	if err != nil {
		a.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// guarded starts an Apache whose page is for tokens of our issuer for the orders
// service, verified as the directives say, and returns the URL.
func (a *authorization) guarded(directives string) string {
	a.Helper()
	binary := program(a.T, "apache2", "apache2-bin libapache2-mod-auth-openidc")
	if _, err := os.Stat(filepath.Join(modules, "mod_auth_openidc.so")); err != nil {
		a.Fatal("there is no mod_auth_openidc: apt-get install libapache2-mod-auth-openidc")
	}
	port, err := freePort()
	if err != nil {
		a.Fatal(err)
	}
	dir := openDir(a.T)
	if err := os.Mkdir(filepath.Join(dir, "www"), 0o755); err != nil {
		a.Fatal(err)
	}
	writeFile(a.T, filepath.Join(dir, "www", "page"), 0o644, []byte("for those who may see it\n"))
	var load strings.Builder
	for _, name := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "auth_openidc"} {
		fmt.Fprintf(&load, "LoadModule %s_module %s/mod_%s.so\n", name, modules, name)
	}
	config := filepath.Join(dir, "apache.conf")
	writeFile(a.T, config, 0o600, fmt.Appendf(nil, `
%s
ServerRoot %[2]s
ServerName 127.0.0.1
Listen 127.0.0.1:%[3]d
User www-data
Group www-data
PidFile %[2]s/pid
ErrorLog /dev/stderr
DocumentRoot %[2]s/www
DefaultRuntimeDir %[2]s
StartServers 1
%[4]s
OIDCCABundlePath %[5]s
OIDCOAuthRemoteUserClaim sub
# Without it the token is the key of a cache, and in the log.
OIDCCacheEncrypt On
OIDCCryptoPassphrase of-no-meaning-here
<Directory %[2]s/www>
	AuthType oauth20
	<RequireAll>
		Require claim iss:%[6]s
		Require claim aud:%[7]s
	</RequireAll>
</Directory>
`, load.String(), dir, port, directives, a.ca, a.issuer, orders))
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	a.peer(a.T, exec.Command(binary, "-f", config, "-DFOREGROUND"), url)
	return url
}
