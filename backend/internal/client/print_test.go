package client_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
)

// printed is every form that fmt, slog and encoding/json give a value.
func printed(t testing.TB, v any) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t"} {
		out[verb] = fmt.Sprintf(verb, v)
	}
	if data, err := json.Marshal(v); err == nil {
		out["json"] = string(data)
	}
	var text, object bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v)
	slog.New(slog.NewJSONHandler(&object, nil)).Info("m", "v", v)
	out["slog text"], out["slog JSON"] = text.String(), object.String()
	return out
}

// forms are those in which a secret could stand somewhere.
func forms(secrets ...string) []string {
	var out []string
	for _, s := range secrets {
		sum := sha256.Sum256([]byte(s))
		out = append(out, s, fmt.Sprintf("%x", s), base64.StdEncoding.EncodeToString([]byte(s)),
			fmt.Sprintf("%x", sum), base64.StdEncoding.EncodeToString(sum[:]), strings.Trim(fmt.Sprint(sum), "[]"))
	}
	return out
}

func wantNoSecret(t testing.TB, what string, v any, secrets []string) {
	t.Helper()
	for form, got := range printed(t, v) {
		plain := strings.ToLower(got)
		for _, s := range secrets {
			if strings.Contains(plain, strings.ToLower(s)) || strings.Contains(strings.ReplaceAll(plain, " ", ""), strings.ToLower(s)) {
				t.Errorf("%s as %s: %.200s", what, form, got)
			}
		}
	}
}

// Secrets, their hashes and assertions are in the stored form, and in no other.
func TestNothingSecretHasAPrintableForm(t *testing.T) {
	made, text := withSecret(t, client.ClientSecretPost)
	_, generated, err := made.GenerateSecret(now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	assertion := goodAssertion().Assertion.Reveal()
	credentials := basic(clientID, text)
	credentials.ClientSecret, credentials.Assertion = secret(text), secret(assertion)
	authenticated, err := authenticate(t, made, client.Credentials{ClientID: clientID, ClientSecret: secret(text)}, goodEnv())
	if err != nil {
		t.Fatal(err)
	}
	byKey, err := authenticate(t, compile(t, configured(client.PrivateKeyJWT)), withAssertion(assertion), goodEnv())
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		Value   client.Config
		pointer *client.Config
		creds   client.Credentials
		ptr     *client.Credentials
	}
	_, signature := cutLast(assertion)
	secrets := append(forms(text, generated.Reveal()), basic(clientID, text).Basic.Reveal(), signature)
	for name, v := range map[string]any{
		"configuration": *made.Config, "pointer": made.Config, "client": made, "client as a value": *made,
		"secrets": made.Secrets, "pointer to secrets": &made.Secrets, "list": []client.Config{*made.Config},
		"field": holder{*made.Config, made.Config, credentials, &credentials}, "credentials": credentials, "pointer to credentials": &credentials,
		"authenticated": authenticated, "authenticated by assertion": byKey, "as a value": *byKey, "generated": generated, "dates": made.Secrets.Dates(now),
	} {
		wantNoSecret(t, name, v, secrets)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, client.Stored{Config: made.Config}); strings.Contains(got, forms(text)[3]) {
			t.Errorf("stored as %s: %s", verb, got)
		}
	}
	data := string(must(json.Marshal(client.Stored{Config: made.Config})))
	if !strings.Contains(data, forms(text)[4]) || strings.Contains(data, text) {
		t.Error("what is stored is not the hash alone")
	}
}

// No refusal, nor its cause, holds what was presented.
func TestErrorsHoldNoSecret(t *testing.T) {
	w := newWorld(t)
	text := w.good[client.ClientSecretPost].ClientSecret.Reveal()
	assertion := signed(otherKey(), goodHeader(nil), good(nil))
	_, signature := cutLast(assertion)
	secrets := append(forms(text, "hunter2"), signature)
	for name, credentials := range map[string]client.Credentials{
		"wrong id":        basic("nobody", text),
		"swapped":         basic(text, "nobody"),
		"secret as id":    {ClientID: text},
		"not Basic":       {Basic: secret(text)},
		"comma":           {ClientID: "x", ClientSecret: secret(text + "," + text)},
		"comma in the id": {ClientID: text + ",x"},
		"wrong":           {ClientID: client.ClientSecretPost, ClientSecret: secret("hunter2")},
		"two":             {ClientID: "x", ClientSecret: secret(text), Assertion: secret(assertion)},
		"as assertion":    {AssertionType: client.AssertionType, Assertion: secret(text)},
		"as type":         {AssertionType: text, Assertion: secret(assertion)},
		"another's key":   {ClientID: client.PrivateKeyJWT, AssertionType: client.AssertionType, Assertion: secret(assertion)},
		"federated":       {ClientID: client.FederatedJWT, AssertionType: client.AssertionType, Assertion: secret(assertion)},
	} {
		_, err := w.authenticate(t, credentials)
		if err == nil {
			t.Errorf("%s is accepted", name)
		}
		wantNoSecret(t, name, err, secrets)
		for ; err != nil; err = errors.Unwrap(err) {
			wantNoSecret(t, name+", a cause", err, secrets)
			wantNoSecret(t, name+", the text of a cause", err.Error(), secrets)
		}
	}
}
