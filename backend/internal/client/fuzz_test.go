package client_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// wantWellFormed checks what is true of every refusal.
func wantWellFormed(t *testing.T, err error) {
	t.Helper()
	refusal, ok := errors.AsType[*denial.Error](err)
	if !ok || refusal.Stage != denial.Client || (refusal.Code != denial.InvalidClient && refusal.Code != denial.InvalidRequest) {
		t.Errorf("got %v", err)
	}
	if len(err.Error()) > 4000 {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
}

// FuzzAssertion signs any header and payload with the client's key. What is
// accepted says, read by another decoder, what RFC 7523 §3 asks for.
func FuzzAssertion(f *testing.F) {
	seed := func(header, claims map[string]any) {
		f.Add(must(json.Marshal(goodHeader(header))), must(json.Marshal(good(claims))))
	}
	seed(nil, nil)
	seed(map[string]any{"alg": "none"}, nil)
	seed(map[string]any{"typ": "at+jwt"}, nil)
	seed(map[string]any{"kid": nil, "jwk": map[string]any{"kty": "EC"}}, nil)
	seed(nil, map[string]any{"aud": []string{ourIssuer, endpoint}})
	seed(nil, map[string]any{"aud": []string{ourIssuer}})
	seed(nil, map[string]any{"exp": now.Unix() + 301})
	seed(nil, map[string]any{"exp": 1e300})
	seed(nil, map[string]any{"exp": nil})
	seed(nil, map[string]any{"iss": nil})
	seed(nil, map[string]any{"sub": "reports"})
	seed(nil, map[string]any{"jti": nil})
	seed(nil, map[string]any{"nbf": now.Unix() + 1})
	f.Add([]byte(`{"alg":"ES256","kid":"k1"}`), []byte(`{"iss":"billing","sub":"billing","SUB":"x"}`))
	config := configured(client.PrivateKeyJWT)
	made := compile(f, config)
	f.Fuzz(func(t *testing.T, header, payload []byte) {
		memory := &replay{}
		env := goodEnv()
		env.Replay = memory
		_, err := authenticate(t, made, withAssertion(sign(clientKey(), header, payload)), env)
		if err != nil {
			wantWellFormed(t, err)
			if memory.calls != 0 {
				t.Error("what is refused is remembered")
			}
			return
		}
		var claims struct {
			Iss, Sub, JTI string
			Aud           any
			Exp           float64
			Nbf           float64
		}
		if err := json.Unmarshal(payload, &claims); err != nil {
			t.Fatal(err)
		}
		audience, _ := claims.Aud.(string)
		if list, ok := claims.Aud.([]any); ok && len(list) == 1 {
			audience, _ = list[0].(string)
		}
		at := float64(now.Unix())
		if claims.Iss != clientID || claims.Sub != clientID || claims.JTI == "" || audience != ourIssuer ||
			claims.Exp <= at || claims.Exp > at+300 || claims.Nbf > at || memory.calls != 1 {
			t.Errorf("accepted %s", payload)
		}
	})
}

// FuzzBasic holds the header against another reading of RFC 6749 §2.3.1.
func FuzzBasic(f *testing.F) {
	config, secret1, err := configured(client.ClientSecretBasic).GenerateSecret(now, 0)
	if err != nil {
		f.Fatal(err)
	}
	text := secret1.Reveal()
	made := compile(f, config)
	// The fuzzer does not know the secret: SECRET stands for it.
	for _, s := range []string{
		"billing:SECRET", "%62illing:SECRET", "billing:SECRETx", "billing:", ":SECRET", "billing", "", "billing:SECRET:", "billing%3ASECRET",
		"+billing:SECRET", "billing:%zz", "\x00billing:SECRET", "billing:SECRET\n",
	} {
		f.Add([]byte(s), "")
		f.Add([]byte(s), "=")
	}
	f.Fuzz(func(t *testing.T, header []byte, tail string) {
		header = bytes.ReplaceAll(header, []byte("SECRET"), []byte(text))
		value := base64.StdEncoding.EncodeToString(header) + tail
		_, err := authenticate(t, made, client.Credentials{HasBasic: true, Basic: secret(value)}, goodEnv())
		form, errForm := url.ParseQuery("id=" + strings.Replace(string(header), ":", "&secret=", 1))
		isGood := tail == "" && errForm == nil && strings.Contains(string(header), ":") && !strings.ContainsAny(string(header), "&;=") &&
			form.Get("id") == clientID && form.Get("secret") == text
		if isGood != (err == nil) {
			t.Errorf("%q: got %v, want it good: %t", header, err, isGood)
		}
		if err != nil {
			wantWellFormed(t, err)
			if strings.Contains(err.Error(), text) {
				t.Error("the error holds the secret")
			}
		}
	})
}
