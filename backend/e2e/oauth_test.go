//go:build e2e

package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The tests of the OAuth endpoints have names that begin with TestOAuth: they need
// more than the others, and scripts/test-clients.sh runs them alone.

const (
	oauthHowTo    = "docs/how-to/connect-an-oauth-client.md"
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccess    = "urn:ietf:params:oauth:token-type:access_token"
)

// testCertificate is one for 127.0.0.1, as PEM files, with the authority that issued it.
type testCertificate struct {
	ca, cert, key string
	pool          *x509.CertPool
}

// openDir is a directory that other users can look into: a server that is started
// by root serves as somebody else.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "oauth") //nolint:usetesting // others cannot enter that of the test
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newTestCertificate(t *testing.T, dir string) *testCertificate {
	t.Helper()
	made := &testCertificate{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), x509.NewCertPool()}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of the tests"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
	}
	authorityKey, serverKey := newECKey(t), newECKey(t)
	signed := func(path string, of *x509.Certificate, key *ecdsa.PrivateKey) {
		t.Helper()
		der, err := x509.CreateCertificate(rand.Reader, of, authority, key.Public(), authorityKey)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, 0o644, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	signed(made.ca, authority, authorityKey)
	signed(made.cert, server, serverKey)
	der, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, made.key, 0o600, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	content, err := os.ReadFile(made.ca)
	if err != nil || !made.pool.AppendCertsFromPEM(content) {
		t.Fatal("the authority cannot be read", err)
	}
	return made
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writeFile(t *testing.T, path string, mode os.FileMode, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, mode); err != nil {
		t.Fatal(err)
	}
}

// served is a Vault that is reached as in production: by TLS, with a certificate
// of a private authority.
type served struct {
	*vault
	*testCertificate
	dir  string
	url  string // of the TLS listener
	http *http.Client
}

func newServed(t *testing.T) *served {
	t.Helper()
	s := &served{dir: openDir(t)}
	s.testCertificate = newTestCertificate(t, s.dir)
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	s.url = "https://" + address
	s.vault = newOwn(t, pluginDir, data{"listener": data{"tcp": data{
		"address": address, "tls_cert_file": s.cert, "tls_key_file": s.key,
	}}})
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.pool}}
	t.Cleanup(transport.CloseIdleConnections)
	s.http = &http.Client{Transport: transport}
	return s
}

// nginx starts the proxy that the how-to describes, with its very configuration,
// and returns the URL.
func (s *served) nginx(t *testing.T) string {
	t.Helper()
	binary := program(t, "nginx", "nginx")
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	locations, err := filepath.Abs("../../scripts/clients/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(s.dir, "nginx.conf")
	var temporary strings.Builder // by default below /var
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temporary, "%s_temp_path %s/nginx-%s;\n", kind, s.dir, kind)
	}
	writeFile(t, config, 0o600, fmt.Appendf(nil, `
daemon off;
worker_processes 1;
error_log stderr;
pid %s/nginx.pid;
events {}
http {
	access_log off;
	%s
	upstream vault { server %s; }
	server {
		listen %s ssl;
		ssl_certificate %s;
		ssl_certificate_key %s;
		include %s;
	}
}
`, s.dir, temporary.String(), strings.TrimPrefix(s.addr, "http://"), address, s.cert, s.key, locations))
	s.peer(t, exec.Command(binary, "-c", config, "-e", "stderr"), "https://"+address)
	return "https://" + address
}

// program finds a server that a Debian package brings; it may be in a directory
// that is on root's PATH alone.
func program(t *testing.T, name, debian string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(candidate); err == nil {
			return found
		}
	}
	t.Fatalf("there is no %s: apt-get install %s", name, debian)
	return ""
}

// peer runs a server for the time of the test, and waits until it answers. Its log
// is shown if the test fails, unless there is a token in it, which fails the test.
func (s *served) peer(t *testing.T, cmd *exec.Cmd, url string) {
	t.Helper()
	p, err := start(cmd, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.stop()
		switch log := p.log.String(); {
		case jwtText.MatchString(log):
			t.Errorf("there is a token in the log of %s:\n%s", cmd.Path, regexp.MustCompile(jwtPrefix+`[\w.-]+`).ReplaceAllString(log, "(a token)"))
		case t.Failed():
			t.Logf("log of %s:\n%s", cmd.Path, log)
		}
	})
	eventually(t, func() error {
		select {
		case <-p.done:
			t.Fatalf("%s has ended:\n%s", cmd.Path, p.log.String())
		default:
		}
		resp, err := s.http.Get(url)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
}

// authorization is a mount with OAuth clients, as they see it by one URL. Each
// exchanges by the role services, and "api" is a resource server that introspects
// alone.
type authorization struct {
	*chain
	*served
	secrets map[string]string // by client
	key     clientKey         // of the client private_key_jwt
}

// authorize mounts the engine for consumers who reach Vault by a URL, and tunes it
// with the very command of the how-to.
func (s *served) authorize(t *testing.T, url, path string) *authorization {
	t.Helper()
	m := enable(t, s.vault, path)
	m.issuer = url + "/v1/" + path
	m.configure()
	m.shell(nil, strings.ReplaceAll(passthrough(t), "token-exchange/", path+"/"))
	a := &authorization{chain: newChain(m), served: s, secrets: map[string]string{}, key: newClientKey(t)}
	a.role("services", "ci", data{"allowed_audiences": orders + "," + billing, "ttl": "30m"})
	for _, method := range []string{"client_secret_basic", "client_secret_post"} {
		a.write("clients/"+method, data{"auth_method": method, "role": "services"})
	}
	a.write("clients/private_key_jwt", data{"auth_method": "private_key_jwt", "role": "services", "jwks": a.key.public})
	a.write("clients/none", data{"auth_method": "none", "insecure_public": true, "role": "services"})
	a.write("clients/api", data{"auth_method": "client_secret_basic", "audiences": orders})
	for _, id := range []string{"client_secret_basic", "client_secret_post", "api"} {
		a.secrets[id] = a.write("clients/"+id+"/secret", nil).Data["client_secret"].(string)
	}
	return a
}

// in is the same in a subtest.
func (a *authorization) in(t *testing.T) *authorization {
	other := *a
	other.chain = &chain{a.mount.in(t), a.ci}
	return &other
}

// passthrough is the command of the how-to that lets the headers through.
func passthrough(t *testing.T) string {
	t.Helper()
	for _, block := range blocks(t, oauthHowTo, "```sh") {
		if strings.Contains(block, "-passthrough-request-headers") {
			return block
		}
	}
	t.Fatal(errors.New("the how-to does not tune the mount"))
	return ""
}

// TestOAuthHowToHasTheTestedConfiguration holds the page to the file that the tests
// run nginx with.
func TestOAuthHowToHasTheTestedConfiguration(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../scripts/clients/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	found := blocks(t, oauthHowTo, "```nginx")
	if len(found) != 1 {
		t.Fatalf("the page has %d blocks for nginx", len(found))
	}
	wantSame(t, "the configuration of nginx", found[0], string(content))
}
