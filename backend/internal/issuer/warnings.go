package issuer

import (
	"fmt"
	"strings"
)

// Warnings tells what is accepted but deserves a second look.
func (c *Config) Warnings() []string {
	var out []string
	for _, audience := range c.BoundAudiences {
		switch {
		case audience == c.BoundIssuer:
			out = append(out, fmt.Sprintf("bound_audiences has %q, which is the issuer itself: tokens for its own API are accepted here: ask for an audience of your own", audience))
		case strings.HasPrefix(audience, "https://github.com/"):
			out = append(out, fmt.Sprintf("bound_audiences has %q, the default audience of every workflow of that owner: ask for an audience of your own", audience))
		}
	}
	return out
}
