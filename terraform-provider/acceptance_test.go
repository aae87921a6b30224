//go:build e2e

package provider

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
	"github.com/hashicorp/terraform-plugin-testing/echoprovider"
	"github.com/hashicorp/vault/api"
)

// The tests with the tag e2e need in the environment:
//
//	VAULT_ADDR, VAULT_TOKEN   a dev Vault with the engine in its catalog, and its root token
//	TF_ACC=1                  so that terraform-plugin-testing does not skip
//	TF_ACC_TERRAFORM_PATH     a terraform binary
//
// Each test has a mount of its own.

// TestMain lets the binary of the tests be a provider as well: Terraform starts
// it by a link with the name of one.
func TestMain(m *testing.M) {
	name, isProvider := strings.CutPrefix(filepath.Base(os.Args[0]), "terraform-provider-")
	if !isProvider {
		_ = os.Unsetenv("TF_CLI_CONFIG_FILE") // a developer's may replace the providers under test
		os.Exit(m.Run())
	}
	p := New("test")
	if name == "sink" {
		p = newSink(nil)
	}
	_ = Prepare() // as the binary does
	address := "registry.terraform.io/tokenexchange/" + name
	var err error
	if os.Getenv(idleProvider) != "" {
		err = tf6server.Serve(address, newIdle(p()))
	} else {
		err = providerserver.Serve(context.Background(), p, providerserver.ServeOpts{Address: address})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// providers are those of a configuration that Terraform runs in this process.
// What a sink is given goes to the hook.
func providers(hook func(token string)) map[string]func() (tfprotov6.ProviderServer, error) {
	return map[string]func() (tfprotov6.ProviderServer, error){
		"tokenexchange": providerserver.NewProtocol6WithError(New("test")()),
		"echo":          echoprovider.NewProviderServer(),
		"sink":          providerserver.NewProtocol6WithError(newSink(hook)()),
	}
}

// mount is an engine of a test's own. It has the key "main", the issuer "ci",
// and the role "deploy", whose tokens are leased, for the subject "alice".
type mount struct {
	testing.TB
	client *api.Client
	path   string
	key    *ecdsa.PrivateKey // of the issuer
}

const (
	issuerURL = "https://ci.example"
	audience  = "https://orders.example"
)

// newMount mounts the engine, and unmounts it when the test ends. The tests
// that follow in the same test talk to Vault as the root token.
func newMount(t testing.TB) *mount {
	t.Helper()
	if os.Getenv("VAULT_ADDR") == "" || os.Getenv("VAULT_TOKEN") == "" || os.Getenv("TF_ACC") == "" {
		t.Fatal("VAULT_ADDR, VAULT_TOKEN and TF_ACC must be set: see acceptance_test.go")
	}
	t.Setenv("TERRAFORM_VAULT_SKIP_CHILD_TOKEN", "true")
	client, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m := &mount{TB: t, client: client, path: "tx-" + randomText(), key: key}
	if err := client.Sys().MountWithContext(t.Context(), m.path, &api.MountInput{Type: "vault-plugin-secrets-token-exchange"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Sys().Unmount(m.path) })
	m.write("config", block{
		"issuer": client.Address() + "/v1/" + m.path, "allowed_audiences": "https://*", "allowed_scopes": "*", "jwks_max_age": "1s",
	})
	m.write("keys/main", block{"publication_lead": "2s"})
	m.write("config", block{"default_key": "main"})
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "ci-1", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	m.write("issuers/ci", block{"bound_issuer": issuerURL, "jwks": string(set), "bound_audiences": "https://vault.example"})
	m.role("deploy", nil)
	return m
}

// role writes a role that is like "deploy" but for some fields.
func (m *mount) role(name string, fields block) {
	m.Helper()
	role := block{
		"issuers": "ci", "bound_audiences": "https://vault.example", "bound_subject": "alice", "subject_scopes": "ignore",
		"allowed_audiences": audience, "default_audience": audience, "allowed_scopes": "read,write", "default_scopes": "read", "ttl": "5m",
	}
	maps.Copy(role, fields)
	m.write("roles/"+name, role)
}

func (m *mount) write(path string, data block) *api.Secret {
	m.Helper()
	secret, err := m.client.Logical().WriteWithContext(m.Context(), m.path+"/"+path, data)
	if err != nil {
		m.Fatalf("%s: %v", path, err)
	}
	return secret
}

// subjectToken is a new token of the issuer "ci" for "alice".
func (m *mount) subjectToken() string {
	m.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: m.key, KeyID: "ci-1"}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		m.Fatal(err)
	}
	now := time.Now()
	token, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: issuerURL, Subject: "alice", Audience: jwt.Audience{"https://vault.example"}, ID: randomText(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(10 * time.Minute)),
	}).Serialize()
	if err != nil {
		m.Fatal(err)
	}
	return token
}

// active asks the engine about a token that it minted.
func (m *mount) active(token string) bool {
	m.Helper()
	secret, err := m.client.Logical().WriteWithContext(context.Background(), m.path+"/introspect", block{"token": token})
	if err != nil {
		m.Error(err)
		return false
	}
	return secret.Data["active"] == true
}

// limited is a Vault token that has one policy, beside Vault's default one.
func (m *mount) limited(policy string) string {
	m.Helper()
	name := m.path + "-" + randomText()
	if err := m.client.Sys().PutPolicyWithContext(m.Context(), name, policy); err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { _ = m.client.Sys().DeletePolicy(name) })
	secret, err := m.client.Auth().Token().CreateWithContext(m.Context(), &api.TokenCreateRequest{Policies: []string{name}, TTL: "10m"})
	if err != nil {
		m.Fatal(err)
	}
	return secret.Auth.ClientToken
}

// eventually polls until check has no complaint.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for err := check(); err != nil; err = check() {
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func randomText() string {
	b := make([]byte, 6)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
