// Command jwt prints the header and the claims of a JWT. It verifies nothing.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: jwt TOKEN")
		os.Exit(2)
	}
	header, claims, err := decode(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "not a JWT:", err)
		os.Exit(1)
	}
	fmt.Printf("%s\n%s\n", header, claims)
}

func decode(token string) (header, claims string, err error) {
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) != 3 {
		return "", "", fmt.Errorf("expected 3 parts but got %d", len(parts))
	}
	if header, err = prettyJSON(parts[0], ""); err != nil {
		return "", "", fmt.Errorf("header: %w", err)
	}
	if claims, err = prettyJSON(parts[1], "  "); err != nil {
		return "", "", fmt.Errorf("claims: %w", err)
	}
	return header, claims, nil
}

// prettyJSON keeps the order of the members, and on one line if indent is empty.
func prettyJSON(part, indent string) (string, error) {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if indent == "" {
		err = json.Compact(&out, text)
	} else {
		err = json.Indent(&out, text, "", indent)
	}
	return out.String(), err
}
