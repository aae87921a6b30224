// Prints docs/conformance.md: each requirement of the standards, and the tests that
// carry its number, or why there are none. A test carries the numbers that are in its
// name, its comment or its body, and those in the tables and functions that it uses.
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

//go:embed requirements.txt
var requirements string

func main() {
	text, err := generate(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(text)
}

const heading = `# Conformance

What the standards ask of an authorization server for token exchange, in short, and which tests hold the engine to it. Made by
` + "`make docs`" + ` from the tests and ` + "`scripts/conformance/requirements.txt`" + `; ` + "`make test-unit`" + ` and ` + "`make lint`" + ` fail while it is stale. "Not
served yet" means what it says: the engine does not do it, and does not advertise it.

Not in the table: Token Status Lists, identity chaining, transaction tokens, ID-JAG and WIMSE, none of which is served.
`

// generate returns the document for the repository at root.
func generate(root string) (string, error) {
	tests, err := carriers(filepath.Join(root, "backend"))
	if err != nil {
		return "", err
	}
	var out strings.Builder
	out.WriteString(heading)
	listed := map[string]bool{}
	for line := range strings.Lines(requirements) {
		line = strings.TrimSpace(line)
		title, isTitle := strings.CutPrefix(line, "## ")
		switch {
		case isTitle:
			fmt.Fprintf(&out, "\n## %s\n\n| | What is asked | Held by | Remark |\n|---|---|---|---|\n", title)
		case line == "" || strings.HasPrefix(line, "#"):
		default:
			parts := strings.SplitN(line, "|", 3)
			if len(parts) != 3 {
				return "", fmt.Errorf("not a requirement: %s", line)
			}
			number, text, remark := strings.TrimSpace(parts[0]), strings.TrimSpace(parts[1]), strings.TrimSpace(parts[2])
			if listed[number] {
				err = errors.Join(err, fmt.Errorf("%s is listed twice", number))
			}
			listed[number] = true
			if len(tests[number]) == 0 && remark == "" {
				err = errors.Join(err, fmt.Errorf("%s: no test carries it, and no remark says why", number))
			}
			fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", number, text, names(tests[number]), remark)
		}
	}
	for _, number := range slices.Sorted(maps.Keys(tests)) {
		if !listed[number] {
			err = errors.Join(err, fmt.Errorf("%s: a test carries a requirement that is not listed", number))
		}
	}
	return out.String(), err
}

func names(tests map[string]bool) string {
	out := slices.Sorted(maps.Keys(tests))
	for i, name := range out {
		out[i] = "`" + name + "`"
	}
	return strings.Join(out, ", ")
}

const prefixes = `VT|TX|AT|JW|BC|IN|RV|CA|MD|JK|DP|MT|RA`

var (
	inText = regexp.MustCompile(`\b(?:` + prefixes + `)-\d+\b`)
	inName = regexp.MustCompile(`_(` + prefixes + `)(\d+)`)
)

// declaration is one of a package of tests.
type declaration struct {
	numbers []string
	uses    []string
}

// carriers returns the tests of each requirement.
func carriers(root string) (map[string]map[string]bool, error) {
	packages := map[string]map[string]declaration{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path) //nolint:gosec // a file of this repository
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, source, parser.ParseComments)
		if err != nil {
			return err
		}
		key := filepath.Dir(path) + " " + file.Name.Name
		if packages[key] == nil {
			packages[key] = map[string]declaration{}
		}
		for _, d := range file.Decls {
			read(packages[key], d, func(from, to token.Pos) string {
				return string(source[set.Position(from).Offset:set.Position(to).Offset])
			})
		}
		return nil
	})
	out := map[string]map[string]bool{}
	for _, declared := range packages {
		for name := range declared {
			if !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Fuzz") {
				continue
			}
			for number := range reached(declared, name, map[string]bool{}) {
				if out[number] == nil {
					out[number] = map[string]bool{}
				}
				out[number][name] = true
			}
		}
	}
	return out, err
}

// read notes what a declaration says and uses. Methods are left out: half of all tests
// use those of their worlds, which check a little at each step.
func read(declared map[string]declaration, d ast.Decl, text func(from, to token.Pos) string) {
	from := d.Pos()
	var defines []string
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv != nil {
			return
		}
		if d.Doc != nil {
			from = d.Doc.Pos()
		}
		defines = []string{d.Name.Name}
	case *ast.GenDecl:
		if d.Doc != nil {
			from = d.Doc.Pos()
		}
		for _, spec := range d.Specs {
			if v, ok := spec.(*ast.ValueSpec); ok {
				for _, name := range v.Names {
					defines = append(defines, name.Name)
				}
			}
		}
	}
	found := declaration{numbers: inText.FindAllString(text(from, d.End()), -1)}
	ast.Inspect(d, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			found.uses = append(found.uses, id.Name)
		}
		return true
	})
	for _, name := range defines {
		for _, match := range inName.FindAllStringSubmatch(name, -1) {
			found.numbers = append(found.numbers, match[1]+"-"+match[2])
		}
		declared[name] = found
	}
}

// reached returns the numbers of a declaration and of all that it uses.
func reached(declared map[string]declaration, name string, seen map[string]bool) map[string]bool {
	out := map[string]bool{}
	if seen[name] {
		return out
	}
	seen[name] = true
	for _, number := range declared[name].numbers {
		out[number] = true
	}
	for _, used := range declared[name].uses {
		maps.Copy(out, reached(declared, used, seen))
	}
	return out
}
