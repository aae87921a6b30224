//go:build e2e

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// idp is a real OpenID provider with the client ci-runner.
type idp struct {
	process *process
	Issuer  string `json:"issuer"`
	Client  string `json:"client_id"`
	Secret  string `json:"client_secret"`
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

func startProvider() (*idp, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = read.Close() }()
	process, err := start(exec.CommandContext(context.Background(), "node", filepath.Join(idpDir, "server.mjs")), write)
	if err != nil {
		return nil, err
	}
	_ = write.Close() // the end of the process now ends the reading, too
	if err := read.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	p := &idp{process: process}
	line, err := bufio.NewReader(read).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, p)
	}
	if err != nil {
		return nil, fmt.Errorf("the OpenID provider did not start: %w; its log:\n%s", err, process.log.String())
	}
	return p, nil
}

// token returns a new access token (RFC 9068) for a resource.
func (p *idp) token(t *testing.T, resource, scope string) string {
	t.Helper()
	out := node(t, "token.mjs", p.Issuer, p.Client, p.Secret, resource, scope)
	return strings.TrimSpace(out)
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
