package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
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
	standard = "oauth/token"
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
	subjectToken := s.engine()
	form := s.client(subjectToken)
	if s.err != nil {
		return nil, s.err
	}
	body := fmt.Sprintf(`{"subject_token":%q,"audience":%q}`, subjectToken, orders)
	v1 := client.Address() + "/v1/"
	post := func(name, path, body, want string) contender {
		return contender{name, http.MethodPost, v1 + mount + "/" + path, token, always(body), want}
	}
	// Nothing is cheaper than this one, and answered with 200: a token that is
	// none is found out at its first character.
	nothing := post(empty, "introspect", `{"token":"?"}`, `"active":false`)
	again := nothing
	again.name = emptyToo
	return []contender{
		{identity, http.MethodGet, v1 + "identity/oidc/token/bench", token, always(""), `"token":"eyJ`},
		post(unleased, "exchange/unleased", body, `"access_token":"eyJ`),
		post(leased, "exchange/leased", body, `"lease_id":"`+mount),
		{standard, http.MethodPost, v1 + mount + "/oauth/token", "", form, `"access_token":"eyJ`},
		nothing, again,
	}, nil
}

func always(body string) func() (string, error) { return func() (string, error) { return body, nil } }

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

// engine mounts the engine, and returns a token to exchange there.
func (s *setup) engine() string {
	if s.err == nil {
		s.err = s.Sys().Mount(mount, &api.MountInput{Type: plugin})
	}
	idp, err := newSigner()
	if err != nil {
		s.err = err
		return ""
	}
	s.write(mount+"/keys/main", map[string]any{"algorithm": algorithm})
	s.write(mount+"/config", map[string]any{
		"issuer": s.Address() + "/v1/" + mount, "default_key": "main",
		"allowed_audiences": "https://*", "allowed_scopes": "*",
	})
	s.write(mount+"/issuers/idp", map[string]any{"bound_issuer": issuer, "jwks": idp.jwks, "bound_audiences": ourselves})
	role := map[string]any{
		"issuers": "idp", "bound_subject": subject, "allowed_audiences": orders,
		"allowed_scopes": "orders:read", "default_scopes": "orders:read", "ttl": "5m",
	}
	s.write(mount+"/roles/leased", role)
	role["generate_lease"] = false
	s.write(mount+"/roles/unleased", role)
	if s.err != nil {
		return ""
	}
	// It is exchanged again and again: the engine verifies it each time as if it had
	// never seen it.
	now := time.Now()
	signed, err := idp.sign(map[string]any{
		"iss": issuer, "sub": subject, "aud": ourselves, "scope": "orders:read orders:write",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": rand.Text(),
	})
	if err != nil {
		s.err = err
	}
	return signed
}

// client writes an OAuth client, and returns how it makes a request: each with an
// assertion of its own, since none is taken twice. Signing it is part of what is
// measured.
func (s *setup) client(subjectToken string) func() (string, error) {
	key, err := newSigner()
	if err != nil {
		s.err = err
		return nil
	}
	s.write(mount+"/clients/bench", map[string]any{"auth_method": "private_key_jwt", "jwks": key.jwks, "role": "unleased"})
	return func() (string, error) {
		assertion, err := key.sign(map[string]any{
			"iss": "bench", "sub": "bench", "aud": s.Address() + "/v1/" + mount, "exp": time.Now().Add(time.Minute).Unix(), "jti": rand.Text(),
		})
		return url.Values{
			"grant_type":            {"urn:ietf:params:oauth:grant-type:token-exchange"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion},
			"subject_token": {subjectToken}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}, "audience": {orders},
		}.Encode(), err
	}
}

// signer plays an identity provider, or a client.
type signer struct {
	jwks string // its public key
	jose.Signer
}

func newSigner() (*signer, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key := jose.JSONWebKey{Key: private, KeyID: "k1", Algorithm: algorithm, Use: "sig"}
	public, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	if err != nil {
		return nil, err
	}
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	return &signer{string(public), made}, err
}

func (s *signer) sign(claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	jws, err := s.Sign(payload)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}
