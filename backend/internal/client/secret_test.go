package client_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denialtest"
)

// withSecret is a client that has one secret, and that secret.
func withSecret(t testing.TB, method string) (*client.Client, string) {
	t.Helper()
	config, made, err := configured(method).GenerateSecret(now, 0)
	if err != nil {
		t.Fatal(err)
	}
	return compile(t, config), made.Reveal()
}

func TestGenerateSecret(t *testing.T) {
	before := configured(client.ClientSecretPost)
	after, made, err := before.GenerateSecret(now, 0)
	if err != nil {
		t.Fatal(err)
	}
	if text := made.Reveal(); !strings.HasPrefix(text, "txcs_") || len(text) != len("txcs_")+43 {
		t.Errorf("a secret of %d characters", len(text))
	}
	if len(before.Secrets.Dates(now)) != 0 || len(after.Secrets.Dates(now)) != 1 {
		t.Error("the configuration before has changed")
	}
	_, another, err := before.GenerateSecret(now, 0)
	if err != nil || another.Reveal() == made.Reveal() {
		t.Error("the same secret twice")
	}
	for _, overlap := range []time.Duration{-1, client.MaxOverlap + 1} {
		_, _, err := before.GenerateSecret(now, overlap)
		denialtest.Want(t, err, "overlap", "invalid_request: overlap: must be between 0 and 2160h0m0s")
	}
	_, _, err = configured(client.PrivateKeyJWT).GenerateSecret(now, 0)
	denialtest.Want(t, err, "auth_method", `invalid_request: auth_method: "private_key_jwt" has no secret: use client_secret_basic or client_secret_post`)
}

// What refuses a request never repeats a secret, sent where something else belongs.
func TestRefusalsHoldNoClientSecret(t *testing.T) {
	_, text := withSecret(t, client.ClientSecretPost)
	refusal := denial.New(denial.InvalidRequest, denial.Parse, "role", "the role %q does not exist: nor does %.20s", text, text)
	if got, want := refusal.Error(), `invalid_request: role: the role "[redacted]" does not exist: nor does [redacted]`; got != want {
		t.Errorf("got  %s\nwant %s", strings.ReplaceAll(got, text, "(a secret)"), want)
	}
}

// However secrets are replaced and time passes, the current one is good, the one
// before until its time, and no other.
func TestSecretsProperty(t *testing.T) {
	type known struct {
		secret string
		until  time.Time // zero: current
	}
	rapid.Check(t, func(t *rapid.T) {
		config, at := configured(client.ClientSecretBasic), now
		var current, former *known
		var dead []string
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			at = at.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes")) * time.Minute)
			if rapid.Bool().Draw(t, "generate") {
				overlap := time.Duration(rapid.IntRange(0, 120).Draw(t, "overlap")) * time.Minute
				changed, made, err := config.GenerateSecret(at, overlap)
				if err != nil {
					t.Fatal(err)
				}
				// What is stored is what is read back.
				config = &client.Config{}
				if err := json.Unmarshal(must(json.Marshal(client.Stored{Config: changed})), config); err != nil {
					t.Fatal(err)
				}
				if former != nil {
					dead = append(dead, former.secret)
				}
				former = current
				if former != nil {
					former.until = at.Add(overlap)
				}
				current = &known{secret: made.Reveal()}
			}
			check := func(secret string, want bool) {
				env := goodEnv()
				env.Now = at
				_, err := must(client.New(config, options())).Authenticate(t.Context(), basic(clientID, secret), env)
				if (err == nil) != want {
					t.Fatalf("got %v, want it good: %t", err, want)
				}
			}
			alive := 0
			if current != nil {
				check(current.secret, true)
				alive++
			}
			if former != nil {
				check(former.secret, at.Before(former.until))
				if at.Before(former.until) {
					alive++
				}
			}
			for _, secret := range dead {
				check(secret, false)
			}
			if dates := config.Secrets.Dates(at); len(dates) != alive || len(dates) > 2 {
				t.Fatalf("%d secrets are alive, want %d", len(dates), alive)
			}
		}
	})
}

// A method without a secret forgets those of the one before.
func TestStoredForgetsUnusedSecrets(t *testing.T) {
	made, _ := withSecret(t, client.ClientSecretBasic)
	config := *made.Config
	config.AuthMethod, config.JWKS = client.PrivateKeyJWT, jwks(clientKey())
	var read client.Config
	if err := json.Unmarshal(must(json.Marshal(client.Stored{Config: &config})), &read); err != nil {
		t.Fatal(err)
	}
	if len(read.Secrets.Dates(now)) != 0 {
		t.Error("the secret is still there")
	}
}

func TestStoredSecretsThatCannotBeRead(t *testing.T) {
	for data, text := range map[string]string{
		`{"secrets":"[redacted]"}`:        "the secrets of the client cannot be read",
		`{"secrets":[{"sha256":"AAAA"}]}`: "a secret of the client is stored as something other than a SHA-256 hash",
	} {
		var read client.Config
		if err := json.Unmarshal([]byte(data), &read); err == nil || err.Error() != text {
			t.Errorf("%s: %v", data, err)
		}
	}
	// What is written by mistake without its secrets is found out, not taken for a
	// client that has none.
	made, _ := withSecret(t, client.ClientSecretBasic)
	var read client.Config
	if err := json.Unmarshal(must(json.Marshal(made.Config)), &read); err == nil {
		t.Error("the placeholder was read")
	}
}
