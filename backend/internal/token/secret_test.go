package token_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

var verbs = []string{"%v", "%s", "%+v", "%#v", "%q", "%x", "%X", "% x", "%d", "%t", "%T %[1]v"}

// printed is every form that fmt, slog and encoding/json give a value.
func printed(t testing.TB, v any) map[string]string {
	t.Helper()
	out := map[string]string{"Sprint": fmt.Sprint(v), "Sprintln": fmt.Sprintln(v)}
	for _, verb := range verbs {
		out[verb] = fmt.Sprintf(verb, v)
	}
	encoded, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out["json"] = string(encoded)
	for name, handler := range map[string]func(io.Writer) slog.Handler{
		"slog text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
		"slog JSON": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("message", "value", v)
		out[name] = b.String()
	}
	return out
}

func TestSecretHasNoPrintableForm(t *testing.T) {
	const text = "hunter2"
	secret := token.Secret(text)
	type request struct{ Token token.Secret }
	for name, v := range map[string]any{
		"alone": secret, "pointer": &secret, "field": request{secret}, "pointer to field": &request{secret},
		"list": []token.Secret{secret}, "map value": map[string]token.Secret{"k": secret},
	} {
		for form, got := range printed(t, v) {
			if strings.Contains(got, text) || strings.Contains(strings.ToLower(strings.ReplaceAll(got, " ", "")), fmt.Sprintf("%x", text)) {
				t.Errorf("%s, %s: %s", name, form, got)
			}
		}
	}
	for form, want := range map[string]string{"%v": "[redacted]", "%#v": "[redacted]", "json": `"[redacted]"`} {
		if got := printed(t, secret)[form]; got != want {
			t.Errorf("%s: got %s, want %s", form, got, want)
		}
	}
	if secret.Reveal() != text {
		t.Error("Reveal does not reveal")
	}
}

// A parsed token is logged by mistake as easily as its text.
func TestParsedTokenHasNoPrintableForm(t *testing.T) {
	raw := sign(goodHeader, goodPayload, p256())
	u := must(token.Parse(raw))
	signature := raw.Reveal()[strings.LastIndex(raw.Reveal(), ".")+1:]
	for name, v := range map[string]any{"pointer": u, "value": *u} {
		for form, got := range printed(t, v) {
			if strings.Contains(got, signature) {
				t.Errorf("%s, %s prints the token", name, form)
			}
		}
	}
}

// No error of Parse or Verify, nor its cause, holds the token.
func TestErrorsDoNotHoldTheToken(t *testing.T) {
	raw := string(sign(goodHeader, goodPayload, must(newP256())))
	u := must(token.Parse(token.Secret(raw)))
	_, err := u.Verify(p256().Public())
	errs := []error{err}
	for _, c := range hostileTokens {
		_, err := token.Parse(token.Secret(c.raw))
		errs = append(errs, err)
	}
	for _, err := range errs {
		for ; err != nil; err = errors.Unwrap(err) {
			if strings.Contains(err.Error(), b64(goodPayload)) || strings.Contains(err.Error(), "alice") {
				t.Errorf("the error holds the token: %s", err)
			}
		}
	}
}
