//go:build e2e

package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const tutorial = "## Five-minute tutorial"

// howTos are the pages whose commands go on where the tutorial ends.
var howTos = []string{
	"docs/how-to/bind-a-role.md",
	"docs/how-to/write-a-condition.md",
	"docs/how-to/let-a-service-act-for-a-user.md",
	"docs/how-to/explain-a-denial.md",
	"docs/how-to/issue-opaque-tokens.md",
}

// TestTutorialOfTheREADMERuns runs its commands as a reader types them, and then
// those of the how-to pages, one after the other in one shell, in the playground
// of `make dev`. What the pages show as results must come out, in that order.
func TestTutorialOfTheREADMERuns(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands, err := tutorialCommands(string(readme))
	if err != nil {
		t.Fatal(err)
	}

	var results []result
	for _, page := range howTos {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		blocks := shellBlocks(string(text))
		if blocks == "" {
			t.Fatalf("%s has no block of sh", page)
		}
		commands += blocks
		results = append(results, shownResults(page, string(text))...)
	}

	bin := t.TempDir() // has `vault`, whatever the binary is called
	absolute, err := filepath.Abs(vaultBin)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(absolute, filepath.Join(bin, "vault")); err != nil {
		t.Fatal(err)
	}
	environment := append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+t.TempDir(), "GOCACHE="+goEnv(t, "GOCACHE"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"))
	exports := startPlayground(t, root, environment)

	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-x")
	cmd.Dir, cmd.Env = root, environment
	cmd.Stdin = strings.NewReader(exports + "\n" + commands)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	for _, state := range []string{"true", "false"} { // before the revocation, and after it
		if !regexp.MustCompile(`(?m)^active\s+` + state + `$`).Match(out) {
			t.Errorf("no introspection answered %s:\n%s", state, out)
		}
	}
	rest := string(out)
	for _, r := range results {
		at := r.pattern.FindStringIndex(rest)
		if at == nil {
			t.Fatalf("%s:%d: what is shown there did not come out next:\n%s", r.page, r.line, rest)
		}
		rest = rest[at[1]:]
	}
}

// result is a block of text that a page shows as what its commands print.
type result struct {
	page    string
	line    int
	pattern *regexp.Regexp
}

// shownResults returns the blocks that are marked as text. Their lines come out one
// after the other. "…" stands for any text within a line, and alone for any lines;
// the width of white space does not count.
func shownResults(page, text string) []result {
	var out []result
	fence, pattern, line := "", "", 0
	for content := range strings.Lines(text) {
		line++
		content = strings.TrimSpace(content)
		switch {
		case strings.HasPrefix(content, "```") && fence == "":
			fence, pattern = content, "(?m)"
		case strings.HasPrefix(content, "```"):
			if fence == "```text" {
				// `vault -field` ends its answer in no line break, so that the next
				// command, as the shell shows it, follows on the line
				pattern = strings.TrimSuffix(pattern, `\n`) + `(?:\n|\+ |\z)`
				out = append(out, result{page, line, regexp.MustCompile(pattern)})
			}
			fence = ""
		case content == "…":
			pattern += `(?:.*\n)*?`
		default:
			quoted := strings.ReplaceAll(regexp.QuoteMeta(strings.Join(strings.Fields(content), " ")), "…", ".*")
			pattern += `^[ \t]*` + strings.ReplaceAll(quoted, " ", `[ \t]+`) + `[ \t]*\n`
		}
	}
	return out
}

// tutorialCommands returns the shell blocks of the tutorial.
func tutorialCommands(readme string) (string, error) {
	_, section, found := strings.Cut("\n"+readme, "\n"+tutorial)
	if !found {
		return "", fmt.Errorf("README.md has no section %q", tutorial)
	}
	if end := strings.Index(section, "\n## "); end >= 0 {
		section = section[:end]
	}
	commands := shellBlocks(section)
	if commands == "" {
		return "", fmt.Errorf("the section %q has no block of sh", tutorial)
	}
	return commands, nil
}

// shellBlocks returns the blocks that are marked as sh.
func shellBlocks(text string) string {
	var commands strings.Builder
	block := ""
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "```") && block == "":
			block = strings.TrimSpace(line)
		case strings.HasPrefix(line, "```"):
			block = ""
		case block == "```sh" && strings.HasPrefix(line, "! "):
			// bash does not end at a command that should have failed and did not
			refused := strings.TrimSpace(strings.TrimPrefix(line, "! "))
			commands.WriteString("if " + refused + "; then echo 'not refused' >&2; exit 1; fi\n")
		case block == "```sh":
			commands.WriteString(line)
		}
	}
	return commands.String()
}

var (
	exportLine = regexp.MustCompile(`(?m)^\s*(export [A-Z_]+=.*)$`)
	killLine   = regexp.MustCompile(`(?m)^\s*kill (\d+)$`)
)

// startPlayground runs `make dev`, and returns what it tells the reader to
// export.
func startPlayground(t *testing.T, root string, environment []string) string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	cmd := exec.CommandContext(t.Context(), "make", "--silent", "dev")
	cmd.Dir, cmd.Env = root, append(environment, "DEV_ADDR="+address)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if match := killLine.FindStringSubmatch(stdout.String()); match != nil {
		pid, convErr := strconv.Atoi(match[1])
		if convErr != nil {
			t.Fatal(convErr)
		}
		t.Cleanup(func() {
			_ = syscall.Kill(pid, syscall.SIGTERM)
			eventually(t, func() error {
				connection, err := net.Dial("tcp", address)
				if err != nil {
					return nil //nolint:nilerr // nobody listens, as it should be
				}
				_ = connection.Close()
				return errors.New("the playground is running")
			})
		})
	}
	if err != nil {
		t.Fatalf("make dev: %v\n%s%s", err, stdout.String(), stderr.String())
	}
	var exports []string
	for _, match := range exportLine.FindAllStringSubmatch(stdout.String(), -1) {
		exports = append(exports, match[1])
	}
	if len(exports) < 2 {
		t.Fatalf("make dev tells nothing to export:\n%s", stdout.String())
	}
	return strings.Join(exports, "\n")
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
