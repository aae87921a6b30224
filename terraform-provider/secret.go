package provider

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// secret is a token, a password or another credential. It has no printable
// form: fmt, slog and encoding/json see a placeholder. The value is behind a
// pointer, because fmt does not call the methods of unexported fields and would
// print what they hold.
type secret struct{ value *string }

const redacted = "[redacted]"

func newSecret(value string) secret { return secret{value: &value} }

// reveal returns the credential itself; "" if there is none.
func (s secret) reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Format writes a placeholder, whatever the verb.
func (secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns a placeholder.
func (secret) String() string { return redacted }

// GoString returns a placeholder.
func (secret) GoString() string { return redacted }

// LogValue returns a placeholder.
func (secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder, for encoding/json.
func (secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// shortestHidden is the length below which a value is left in a text: to hide
// "a" would leave nothing to read.
const shortestHidden = 4

// hide replaces secrets in a text that somebody else wrote, such as an answer
// that repeats what it was sent.
func hide(text string, secrets []secret) string {
	for _, s := range secrets {
		value := strings.TrimSpace(s.reveal())
		if len(value) < shortestHidden {
			continue
		}
		text = strings.ReplaceAll(text, value, redacted)
		// As it is in JSON, which an answer may quote.
		if quoted, err := json.Marshal(value); err == nil {
			text = strings.ReplaceAll(text, strings.Trim(string(quoted), `"`), redacted)
		}
	}
	return text
}
