// Command verify checks an access token as a resource server does (RFC 9068):
// it knows nothing but the issuer's URL and its own audience, and fetches the
// keys from where the issuer's metadata says. It prints the claims.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: verify ISSUER AUDIENCE TOKEN")
		os.Exit(2)
	}
	claims, err := verify(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, "token refused:", err)
		os.Exit(1)
	}
	fmt.Println(claims)
}

func verify(issuer, audience, token string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return "", fmt.Errorf("discovery: %w", err)
	}
	// go-oidc verifies ID tokens, which differ from access tokens by their type
	// only: signature, issuer, audience and expiry are its part, the type is ours.
	verified, err := provider.Verifier(&oidc.Config{ClientID: audience}).Verify(ctx, token)
	if err != nil {
		return "", err
	}
	if err := checkType(token); err != nil {
		return "", err
	}
	var claims json.RawMessage
	if err := verified.Claims(&claims); err != nil {
		return "", err
	}
	pretty, err := json.MarshalIndent(claims, "", "  ")
	return string(pretty), err
}

// checkType wants the header of an access token, so that no other kind of JWT
// that the issuer signs is taken for one.
func checkType(token string) error {
	algorithms := []jose.SignatureAlgorithm{
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	}
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return err
	}
	got, _ := signed.Signatures[0].Protected.ExtraHeaders[jose.HeaderType].(string)
	if !strings.EqualFold(strings.TrimPrefix(got, "application/"), "at+jwt") {
		return fmt.Errorf(`"typ" header: expected "at+jwt" but got %q`, got)
	}
	return nil
}
