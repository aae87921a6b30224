package token

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a token or other credential. It has no printable form: fmt, slog
// and encoding/json all see the placeholder, so that no log line, error or
// response can hold one by accident. [Secret.Reveal] is the only way out.
type Secret string

const redacted = "[redacted]"

// Reveal returns the credential itself.
func (s Secret) Reveal() string { return string(s) }

// Format writes a placeholder, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns a placeholder.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder, for encoding/json.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
