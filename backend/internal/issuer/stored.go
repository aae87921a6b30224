package issuer

import "encoding/json"

// Stored is a configuration as storage holds it: the only form in which the
// client secret is serialised. It is read back as a [Config].
type Stored struct{ *Config }

// MarshalJSON writes the configuration with its secret.
func (s Stored) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		*Config
		Secret string `json:"introspection_client_secret"`
	}{s.Config, s.IntrospectionClientSecret.Reveal()})
}
