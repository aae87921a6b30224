//go:build e2e

// Package e2e_test runs the plugin binary in a real Vault, with real peers.
//
// It needs in the environment:
//
//	VAULT_BIN   a Vault binary
//	PLUGIN_DIR  a directory that holds the plugin binary and nothing else
//	IDP_DIR     scripts/idp with its npm modules; what needs it fails without
//
// scripts/test-e2e.sh sets them. One dev Vault serves all tests that can share
// it, each with a mount of its own.
package e2e_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const plugin = "vault-plugin-secrets-token-exchange"

// patience is how long a test waits for what must happen.
const patience = time.Minute

// The environment, as the script gives it.
var vaultBin, pluginDir, idpDir = os.Getenv("VAULT_BIN"), os.Getenv("PLUGIN_DIR"), os.Getenv("IDP_DIR")

func TestMain(m *testing.M) {
	flag.Parse()
	if vaultBin == "" || pluginDir == "" {
		fmt.Fprintln(os.Stderr, "VAULT_BIN and PLUGIN_DIR must be set: run scripts/test-e2e.sh")
		os.Exit(1)
	}
	// A Vault that the developer works with must not get mixed up with ours.
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "VAULT_") {
			_ = os.Unsetenv(name)
		}
	}
	killAllInTime()
	code := m.Run()
	killAll()
	if v := shared.vault; v != nil {
		log := v.process.log.String()
		if jwtText.MatchString(log) || opaqueText.MatchString(log) {
			fmt.Fprintln(os.Stderr, "--- FAIL: there is a token in the log of the shared Vault")
			code = 1
		}
		if code != 0 {
			fmt.Fprintf(os.Stderr, "log of the shared Vault:\n%s\n", log)
		}
	}
	os.Exit(code)
}

// jwtPrefix begins every JWT: {" in base64url.
const jwtPrefix = "eyJ"

// jwtText is a JWT, or the beginning of one. It is longer than what Vault makes up
// at random, such as the ids of leases, which may have its first letters.
var jwtText = regexp.MustCompile(jwtPrefix + `[\w-]{24,}`)

// opaqueText is an opaque token in other text.
var opaqueText = regexp.MustCompile(`vtx_[0-9A-Za-z]{40,}`)

// killAllInTime leaves nothing running when the tests are interrupted or run
// into their time limit, neither of which runs the cleanups.
func killAllInTime() {
	interrupt := make(chan os.Signal, 1)
	signal.Notify(interrupt, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupt
		killAll()
		os.Exit(1)
	}()
	getter, ok := flag.Lookup("test.timeout").Value.(flag.Getter)
	if !ok {
		return
	}
	if limit, _ := getter.Get().(time.Duration); limit > 10*time.Second {
		time.AfterFunc(limit-5*time.Second, killAll)
	}
}

// process is one that was started here, with its children: Vault's plugins.
type process struct {
	cmd  *exec.Cmd
	log  *buffer
	done chan struct{}
}

// running are all processes that were started here and have not been ended.
var running struct {
	sync.Mutex
	all map[*process]bool
}

// start runs a command in a process group of its own. Its standard output goes
// to out, or to the log if that is nil.
func start(cmd *exec.Cmd, out *os.File) (*process, error) {
	p := &process{cmd: cmd, log: &buffer{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if out != nil {
		cmd.Stdout = out
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	running.Lock()
	defer running.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if running.all == nil {
		running.all = map[*process]bool{}
	}
	running.all[p] = true
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// kill ends the process and its children without asking them.
func (p *process) kill() {
	running.Lock()
	delete(running.all, p)
	running.Unlock()
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// stop asks the process to end, and waits.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
	}
	p.kill()
}

func killAll() {
	running.Lock()
	var all []*process
	for p := range running.all {
		all = append(all, p)
	}
	running.Unlock()
	for _, p := range all {
		p.kill()
	}
}

// buffer is a log that is written and read at the same time.
type buffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

// eventually polls until check has no complaint.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	eventuallyWithin(t, patience, check)
}

// eventuallyWithin is [eventually] for what may take longer.
func eventuallyWithin(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	if err := pollFor(limit, check); err != nil {
		t.Fatalf("still after %s: %v", limit, err)
	}
}

func poll(check func() error) error { return pollFor(patience, check) }

func pollFor(limit time.Duration, check func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}
