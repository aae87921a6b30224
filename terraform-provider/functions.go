package provider

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// textFunction is a function of one text. Null and unknown arguments do not
// reach it; where the argument is sensitive or ephemeral, Terraform makes the
// result so as well.
type textFunction struct {
	name       string
	definition function.Definition
	// run returns the value; its errors must not repeat the argument.
	run func(ctx context.Context, argument string) (any, error)
}

// Metadata implements [function.Function].
func (f *textFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = f.name
}

// Definition implements [function.Function].
func (f *textFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = f.definition
}

// Run implements [function.Function].
func (f *textFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var argument string
	if resp.Error = req.Arguments.Get(ctx, &argument); resp.Error != nil {
		return
	}
	result, err := f.run(ctx, argument)
	if err != nil {
		resp.Error = function.NewArgumentFuncError(0, err.Error())
		return
	}
	resp.Error = resp.Result.Set(ctx, result)
}

func parameter(name, description string) []function.Parameter {
	return []function.Parameter{function.StringParameter{Name: name, MarkdownDescription: description}}
}

func newJWTClaims() function.Function {
	return &textFunction{
		name: "jwt_claims",
		definition: function.Definition{
			Summary: "The claims of a JWT, UNVERIFIED.",
			MarkdownDescription: "**Nothing is verified: neither the signature nor the dates, the issuer or the audience.** Anybody can write a token with " +
				"any claims. Use the result to look at a token, or to fill in a configuration; never to decide whether somebody may do something. " +
				"The engine verifies tokens when it exchanges them.\n\n" +
				"Returns the claims (RFC 7519 §4) of a signed JWT in compact form as an object, as `jsondecode` would. Integers are exact, up to 512 bits. " +
				"The names of the claims are those of the token: a name with other characters than letters, digits, `_` and `-` is written " +
				"`claims[\"kubernetes.io\"]`.\n\n" +
				"The result is sensitive or ephemeral if the token is. Errors do not repeat the token; declare a variable that holds one " +
				"`ephemeral`, since Terraform shows the values of others when an expression fails, or writes them into a plan file.",
			Parameters: parameter("token", "A signed JWT in compact form (RFC 7515 §7.1). White space around it is ignored."),
			Return:     function.DynamicReturn{},
		},
		run: func(ctx context.Context, token string) (any, error) {
			claims, err := readClaims(token)
			if err != nil {
				return nil, err
			}
			object, err := asObject(ctx, claims)
			return types.DynamicValue(object), err
		},
	}
}

// tokenTypePrefix begins the identifiers of RFC 8693 §3.
const tokenTypePrefix = "urn:ietf:params:oauth:token-type:" //nolint:gosec // a URI, not a credential

var tokenTypes = []string{"access_token", "refresh_token", "id_token", "saml1", "saml2", "jwt"}

func newTokenTypeURI() function.Function {
	return &textFunction{
		name: "token_type_uri",
		definition: function.Definition{
			Summary: "The URI of a token type (RFC 8693 §3).",
			MarkdownDescription: "Returns the identifier that RFC 8693 §3 gives to a type of token: `" + tokenTypePrefix + "` and its short name. " +
				"The engine takes `jwt`, `id_token` and `access_token`, and issues `access_token` and `jwt`.",
			Parameters: parameter("name", "One of `"+strings.Join(tokenTypes, "`, `")+"`."),
			Return:     function.StringReturn{},
		},
		run: func(_ context.Context, name string) (any, error) {
			if !slices.Contains(tokenTypes, name) {
				return nil, fmt.Errorf("there is no such token type in RFC 8693: use one of %s", strings.Join(tokenTypes, ", "))
			}
			return tokenTypePrefix + name, nil
		},
	}
}

func newJWKThumbprint() function.Function {
	return &textFunction{
		name: "jwk_thumbprint",
		definition: function.Definition{
			Summary: "The SHA-256 thumbprint of a public key (RFC 7638).",
			MarkdownDescription: "Returns the thumbprint (RFC 7638, RFC 8037 §2) of a public key in JWK form (RFC 7517): SHA-256 of its required members, " +
				"in base64url without padding. Keys of the types RSA, EC and OKP (Ed25519) are taken. A private or symmetric key is refused: it has no place " +
				"in an expression.",
			Parameters: parameter("jwk", "A public key as JSON text: one JWK, not a set."),
			Return:     function.StringReturn{},
		},
		run: func(_ context.Context, jwk string) (any, error) { return thumbprint(jwk) },
	}
}

// thumbprint never passes on an error of the parser, which may quote what it
// could not read.
func thumbprint(jwk string) (string, error) {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(jwk), &members) != nil || members == nil {
		return "", errors.New("the key is not a JSON object")
	}
	if members["keys"] != nil {
		return "", errors.New("the argument is a set of keys: take one of its \"keys\"")
	}
	if members["k"] != nil || string(members["kty"]) == `"oct"` {
		return "", errors.New("the key is symmetric: it is a secret, and must not be used where a public key belongs")
	}
	// Everything that RFC 7518 §6 and RFC 8037 §2 call private.
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth"} {
		if members[name] != nil {
			return "", fmt.Errorf("the key is private (it has the member %q): pass its public half alone", name)
		}
	}
	var key jose.JSONWebKey
	if key.UnmarshalJSON([]byte(jwk)) != nil || !key.IsPublic() {
		return "", errors.New("the key is not a public key of the type RSA, EC or OKP (Ed25519) in JWK form (RFC 7517)")
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", errors.New("the key has no thumbprint: its type is not RSA, EC or OKP (Ed25519)")
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}
