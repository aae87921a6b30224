package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/hashicorp/vault/api"
)

const (
	plugin    = "vault-plugin-secrets-token-exchange"
	mount     = "token-exchange"
	algorithm = "ES256" // of every key here
	issuer    = "https://idp.example"
	subject   = "ci-runner"
	ourselves = "https://vault.example"
	orders    = "https://orders.example"
)

// The contenders.
const (
	identity = "identity/oidc/token"
	unleased = "exchange, unleased"
	leased   = "exchange, leased"
	empty    = "empty POST"
	emptyToo = "empty POST, again" // how far the same request is from itself
)

// setup writes to Vault until something fails.
type setup struct {
	*api.Client
	err error
}

func (s *setup) write(path string, data map[string]any) *api.Secret {
	if s.err != nil {
		return nil
	}
	answer, err := s.Logical().Write(path, data)
	if err != nil {
		s.err = fmt.Errorf("%s: %w", path, err)
	}
	return answer
}

// configure makes the Vault that the environment names ready, and returns what
// to measure in it: all with the same Vault token, of a user with an entity.
func configure() ([]contender, error) {
	client, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		return nil, err
	}
	s := &setup{Client: client}
	token := s.user()
	s.identityProvider()
	body := s.engine()
	if s.err != nil {
		return nil, s.err
	}
	v1 := client.Address() + "/v1/"
	post := func(name, path, body, want string) contender {
		return contender{name, http.MethodPost, v1 + mount + "/" + path, token, body, want}
	}
	// Nothing is cheaper than this one, and answered with 200: a token that is
	// none is found out at its first character.
	nothing := post(empty, "introspect", `{"token":"?"}`, `"active":false`)
	again := nothing
	again.name = emptyToo
	return []contender{
		{identity, http.MethodGet, v1 + "identity/oidc/token/bench", token, "", `"token":"eyJ`},
		post(unleased, "exchange/unleased", body, `"access_token":"eyJ`),
		post(leased, "exchange/leased", body, `"lease_id":"`+mount),
		nothing, again,
	}, nil
}

// user makes somebody with an entity, and returns their Vault token.
func (s *setup) user() string {
	if s.err = s.Sys().EnableAuthWithOptions("userpass", &api.EnableAuthOptions{Type: "userpass"}); s.err != nil {
		return ""
	}
	s.err = s.Sys().PutPolicy("bench", `
		path "identity/oidc/token/bench" { capabilities = ["read"] }
		path "`+mount+`/exchange/*" { capabilities = ["update"] }
		path "`+mount+`/introspect" { capabilities = ["update"] }`)
	password := rand.Text()
	s.write("auth/userpass/users/bench", map[string]any{"password": password, "token_policies": "bench"})
	login := s.write("auth/userpass/login/bench", map[string]any{"password": password})
	if s.err != nil {
		return ""
	}
	return login.Auth.ClientToken
}

func (s *setup) identityProvider() {
	s.write("identity/oidc/key/bench", map[string]any{"algorithm": algorithm, "allowed_client_ids": "*"})
	s.write("identity/oidc/role/bench", map[string]any{"key": "bench", "client_id": orders, "ttl": "5m"})
}

// engine mounts the engine, and returns the body of a request for an exchange.
func (s *setup) engine() string {
	if s.err == nil {
		s.err = s.Sys().Mount(mount, &api.MountInput{Type: plugin})
	}
	jwks, subjectToken, err := subjectToken()
	if err != nil {
		s.err = err
	}
	s.write(mount+"/keys/main", map[string]any{"algorithm": algorithm})
	s.write(mount+"/config", map[string]any{
		"issuer": s.Address() + "/v1/" + mount, "default_key": "main",
		"allowed_audiences": "https://*", "allowed_scopes": "*",
	})
	s.write(mount+"/issuers/idp", map[string]any{"bound_issuer": issuer, "jwks": jwks, "bound_audiences": ourselves})
	role := map[string]any{
		"issuers": "idp", "bound_subject": subject, "allowed_audiences": orders,
		"allowed_scopes": "orders:read", "default_scopes": "orders:read", "ttl": "5m",
	}
	s.write(mount+"/roles/leased", role)
	role["generate_lease"] = false
	s.write(mount+"/roles/unleased", role)
	return fmt.Sprintf(`{"subject_token":%q,"audience":%q}`, subjectToken, orders)
}

// subjectToken plays the identity provider: it returns a token, and the public
// key to verify it with. The token is exchanged again and again: the engine
// verifies it each time as if it had never seen it.
func subjectToken() (jwks, signed string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	key := jose.JSONWebKey{Key: private, KeyID: "k1", Algorithm: algorithm, Use: "sig"}
	public, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	if err != nil {
		return "", "", err
	}
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": issuer, "sub": subject, "aud": ourselves, "scope": "orders:read orders:write",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": rand.Text(),
	})
	if err != nil {
		return "", "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", "", err
	}
	jws, err := signer.Sign(claims)
	if err != nil {
		return "", "", err
	}
	signed, err = jws.CompactSerialize()
	return string(public), signed, err
}
