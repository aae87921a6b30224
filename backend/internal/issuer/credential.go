package issuer

import (
	"encoding/json"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Credential is a secret of the engine at an issuer. A function holds it: fmt
// passes by the methods of what it reaches through a pointer with a verb that
// pointers do not have, and prints what the fields hold.
type Credential struct{ reveal func() token.Secret }

// NewCredential returns a credential; the zero one if the secret is empty.
func NewCredential(secret token.Secret) Credential {
	if secret == "" {
		return Credential{}
	}
	return Credential{reveal: func() token.Secret { return secret }}
}

// Reveal returns the secret itself; "" if there is none.
func (c Credential) Reveal() string {
	if c.reveal == nil {
		return ""
	}
	return c.reveal().Reveal()
}

// MarshalJSON writes a placeholder.
func (c Credential) MarshalJSON() ([]byte, error) { return json.Marshal(token.Secret("")) }

// UnmarshalJSON reads the secret itself, as [Stored] writes it.
func (c *Credential) UnmarshalJSON(data []byte) error {
	var secret string
	err := json.Unmarshal(data, &secret)
	*c = NewCredential(token.Secret(secret))
	return err
}
