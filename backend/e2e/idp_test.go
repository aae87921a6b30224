//go:build e2e

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// idp is a real OpenID provider with the client ci-runner, and others by name.
type idp struct {
	process *process
	Issuer  string            `json:"issuer"`
	Client  string            `json:"client_id"`
	Secret  string            `json:"client_secret"`
	Clients map[string]string `json:"clients"` // their secrets
}

var provider struct {
	once sync.Once
	idp  *idp
	err  error
}

// oidcProvider returns the provider that the tests share.
func oidcProvider(t *testing.T) *idp {
	t.Helper()
	if idpDir == "" {
		t.Fatal("IDP_DIR is not set: install Node.js 20 or later with npm, and run scripts/test-e2e.sh")
	}
	provider.once.Do(func() { provider.idp, provider.err = startProvider() })
	if provider.err != nil {
		t.Fatal(provider.err)
	}
	return provider.idp
}

// startProvider starts a provider, with further variables in its environment.
func startProvider(environment ...string) (*idp, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.Background(), "node", filepath.Join(idpDir, "server.mjs"))
	cmd.Env = append(os.Environ(), environment...)
	process, err := start(cmd, write)
	_ = write.Close() // the end of the process now ends the reading, too
	if err != nil {
		_ = read.Close()
		return nil, err
	}
	if err := read.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	p := &idp{process: process}
	reader := bufio.NewReader(read)
	line, err := reader.ReadBytes('\n')
	if err == nil {
		err = errors.Join(json.Unmarshal(line, p), read.SetReadDeadline(time.Time{}))
	}
	if err != nil {
		_ = read.Close()
		return nil, fmt.Errorf("the OpenID provider did not start: %w; its log:\n%s", err, process.log.String())
	}
	go func() { // what else it says: without a reader it would die of it
		_, _ = io.Copy(process.log, reader)
		_ = read.Close()
	}()
	return p, nil
}

// token returns a new access token (RFC 9068) for a resource.
func (p *idp) token(t *testing.T, resource, scope string) string {
	t.Helper()
	out := node(t, "token.mjs", p.Issuer, p.Client, p.Secret, resource, scope)
	return strings.TrimSpace(out)
}

// post makes a request to an endpoint of the provider as one of its clients.
func (p *idp) post(t *testing.T, path, client string, form url.Values) data {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.Issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(client, p.Clients[client])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v %s", path, response.Status, err, body)
	}
	if len(body) == 0 {
		return nil
	}
	var answer data
	mustParse(t, string(body), &answer)
	return answer
}

// userToken returns a new access token of a user of a client, for a resource: a
// JWT for the client portal, opaque for legacy.
func (p *idp) userToken(t *testing.T, client, user, resource string) string {
	t.Helper()
	return p.post(t, "/token", client, url.Values{
		"grant_type": {"password"}, "username": {user}, "resource": {resource}, "scope": {"orders:read orders:write"},
	})["access_token"].(string)
}

// node runs one of the provider's scripts, which must succeed.
func node(t *testing.T, script string, args ...string) string {
	t.Helper()
	out, err := tryNode(t, script, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

func tryNode(t *testing.T, script string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", slices.Insert(args, 0, filepath.Join(idpDir, script))...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	return string(out) + stderr.String(), err
}
