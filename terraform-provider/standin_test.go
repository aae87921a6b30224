package provider

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// written is a provider configuration: strings, bools and numbers; a block is a
// list of written.
type written map[string]any

// unknownValue stands for what Terraform does not know yet.
type unknownValue struct{}

// bareEnv takes away what the developer's environment has for Vault: variables,
// and the token of the Vault CLI.
func bareEnv(t *testing.T) {
	t.Helper()
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "VAULT_") || strings.HasPrefix(name, "TERRAFORM_VAULT_") {
			t.Setenv(name, "")
		}
	}
	tokenHelper(t, "")
}

// tokenHelper sets up a token helper of the Vault CLI that gives this token.
func tokenHelper(t *testing.T, token string) {
	t.Helper()
	dir := t.TempDir()
	helper := filepath.Join(dir, "helper")
	writeFile(t, helper, "#!/bin/sh\nprintf %s '"+token+"'\n", 0o700)
	writeFile(t, filepath.Join(dir, "vault.hcl"), `token_helper = "`+helper+`"`, 0o600)
	t.Setenv("VAULT_CONFIG_PATH", filepath.Join(dir, "vault.hcl"))
}

func writeFile(t *testing.T, file, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	// The umask does not apply to this.
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}

// rawConfig is a configuration as Terraform sends it.
func rawConfig(t *testing.T, w written) tfsdk.Config {
	t.Helper()
	var schema provider.SchemaResponse
	New("test")().Schema(t.Context(), provider.SchemaRequest{}, &schema)
	return tfsdk.Config{Schema: schema.Schema, Raw: rawValue(t, schema.Schema.Type().TerraformType(t.Context()), w)}
}

func rawValue(t *testing.T, kind tftypes.Type, value any) tftypes.Value {
	t.Helper()
	if _, ok := value.(unknownValue); ok {
		return tftypes.NewValue(kind, tftypes.UnknownValue)
	}
	switch kind := kind.(type) {
	case tftypes.Object:
		w := value.(written)
		attributes := map[string]tftypes.Value{}
		for name, kind := range kind.AttributeTypes {
			attributes[name] = rawValue(t, kind, w[name])
		}
		for name := range w {
			if _, ok := attributes[name]; !ok {
				t.Fatalf("the schema has no %q", name)
			}
		}
		return tftypes.NewValue(kind, attributes)
	case tftypes.List: // a block, which is empty if it is not there
		blocks := []tftypes.Value{}
		list, _ := value.([]written)
		for _, block := range list {
			blocks = append(blocks, rawValue(t, kind.ElementType, block))
		}
		return tftypes.NewValue(kind, blocks)
	case tftypes.Map:
		if value == nil {
			return tftypes.NewValue(kind, nil)
		}
		values := map[string]tftypes.Value{}
		for name, v := range value.(map[string]string) {
			values[name] = tftypes.NewValue(tftypes.String, v)
		}
		return tftypes.NewValue(kind, values)
	default:
		return tftypes.NewValue(kind, value)
	}
}

// configured is the connection that a configuration gives.
func configured(t *testing.T, w written) *connection {
	t.Helper()
	p := &tokenExchangeProvider{version: "test", now: time.Now}
	var resp provider.ConfigureResponse
	p.Configure(t.Context(), provider.ConfigureRequest{Config: rawConfig(t, w)}, &resp)
	if resp.Diagnostics.HasError() {
		t.Fatal(resp.Diagnostics)
	}
	return resp.ResourceData.(*connection)
}

// validated are the diagnostics of a configuration, from the server that
// Terraform talks to: "attribute: summary: detail".
func validated(t *testing.T, w written) []string {
	t.Helper()
	config := rawConfig(t, w)
	value, err := tfprotov6.NewDynamicValue(config.Raw.Type(), config.Raw)
	if err != nil {
		t.Fatal(err)
	}
	server := providerserver.NewProtocol6(New("test")())()
	resp, err := server.ValidateProviderConfig(t.Context(), &tfprotov6.ValidateProviderConfigRequest{Config: &value})
	if err != nil {
		t.Fatal(err)
	}
	var diagnostics []string
	for _, d := range resp.Diagnostics {
		diagnostics = append(diagnostics, d.Summary+": "+d.Detail)
	}
	return diagnostics
}

// standIn answers for Vault where a test needs a fault, an edition or a time
// that a real one does not have.
type standIn struct {
	*httptest.Server
	mu       sync.Mutex
	answers  map[string]standInAnswer // by path, without /v1/
	requests []standInRequest
}

type standInAnswer struct {
	status int
	body   string
}

type standInRequest struct {
	path, token, namespace string
	header                 http.Header
	body                   map[string]any
}

const (
	enterprise = `{"enterprise":true,"version":"1.21.2+ent"}`
	community  = `{"enterprise":false,"version":"1.21.2"}`
	endless    = `{"data":{"ttl":0}}`
	childToken = `{"auth":{"client_token":"hvs.child-token","lease_duration":1200}}`
)

func newStandIn(t *testing.T) *standIn {
	t.Helper()
	s := &standIn{answers: map[string]standInAnswer{
		"sys/health":             {200, enterprise},
		"auth/token/lookup-self": {200, endless},
		"auth/token/create":      {200, childToken},
	}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := standInRequest{
		path: strings.TrimPrefix(r.URL.Path, "/v1/"), token: r.Header.Get("X-Vault-Token"),
		namespace: r.Header.Get("X-Vault-Namespace"), header: r.Header,
	}
	_ = json.NewDecoder(r.Body).Decode(&got.body)
	s.requests = append(s.requests, got)
	a, ok := s.answers[got.path]
	if !ok {
		a = standInAnswer{404, `{"errors":["no handler for route"]}`}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_, _ = w.Write([]byte(a.body))
}

func (s *standIn) answer(path string, status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[path] = standInAnswer{status, body}
}

// paths are those that were asked for, in order.
func (s *standIn) paths() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var paths []string
	for _, r := range s.requests {
		paths = append(paths, r.path)
	}
	return paths
}

// last is the newest request for a path.
func (s *standIn) last(t *testing.T, path string) standInRequest {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range slices.Backward(s.requests) {
		if r.path == path {
			return r
		}
	}
	t.Fatalf("nobody asked for %s", path)
	return standInRequest{}
}

// with is a configuration for a stand-in, with more arguments.
func (s *standIn) with(more written) written {
	w := written{"address": s.URL, "token": "hvs.parent-token", "max_retries": 0}
	maps.Copy(w, more)
	return w
}

// failure returns the error of the first use.
func failure(t *testing.T, c *connection, namespace string) string {
	t.Helper()
	_, err := c.client(context.WithoutCancel(t.Context()), namespace)
	if err == nil {
		t.Fatal("there is a client")
	}
	return err.Error()
}

// sure returns the client, which there must be.
func sure(t *testing.T, c *connection, namespace string) string {
	t.Helper()
	client, err := c.client(t.Context(), namespace)
	if err != nil {
		t.Fatal(err)
	}
	return client.Token()
}

// newCertificate makes a certificate that is its own CA, and its key, in PEM.
func newCertificate(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

// certificateFiles are the arguments for a new certificate.
func certificateFiles(t *testing.T, name string) written {
	t.Helper()
	certificate, key := newCertificate(t, name)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "cert.pem"), string(certificate), 0o600)
	writeFile(t, filepath.Join(dir, "key.pem"), string(key), 0o600)
	return written{"cert_file": filepath.Join(dir, "cert.pem"), "key_file": filepath.Join(dir, "key.pem")}
}

// attributePath is the path of an attribute, in the first of some blocks or in none.
func attributePath(block, name string) *tftypes.AttributePath {
	if block == "" {
		return tftypes.NewAttributePath().WithAttributeName(name)
	}
	return tftypes.NewAttributePath().WithAttributeName(block).WithElementKeyInt(0).WithAttributeName(name)
}
