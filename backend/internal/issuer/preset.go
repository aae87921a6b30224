package issuer

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// The types of an issuer. A type sets defaults and adds refusals; only SPIFFE
// verifies in another way.
const (
	Generic    = "generic"
	Kubernetes = "kubernetes"
	GitHub     = "github"
	GitLab     = "gitlab"
	SPIFFE     = "spiffe"
	Vault      = "vault"
)

// Types are all the types.
var Types = []string{Generic, Kubernetes, GitHub, GitLab, SPIFFE, Vault}

// preset is what a type of issuer knows by itself.
type preset struct {
	issuer     string // "iss" and discovery of the service that most use; "" if everyone has their own
	algorithms []jose.SignatureAlgorithm
	required   []string
}

var presets = map[string]preset{
	Generic: {algorithms: []jose.SignatureAlgorithm{jose.RS256, jose.ES256}},
	// A legacy token of a service account does not have the claim: it has neither
	// audience nor end.
	Kubernetes: {algorithms: []jose.SignatureAlgorithm{jose.RS256, jose.ES256}, required: []string{"kubernetes.io"}},
	GitHub:     {algorithms: []jose.SignatureAlgorithm{jose.RS256}, issuer: "https://token.actions.githubusercontent.com"},
	GitLab:     {algorithms: []jose.SignatureAlgorithm{jose.RS256}, issuer: "https://gitlab.com"},
	SPIFFE:     {algorithms: svidAlgorithms},
	Vault:      {algorithms: []jose.SignatureAlgorithm{jose.RS256, jose.ES256}},
}

// Fill sets what the type knows by itself: in fields that are empty and that
// the write, as wrote tells, leaves out.
func (c *Config) Fill(wrote func(field string) bool) {
	p := presets[c.Type]
	if c.BoundIssuer == "" && !wrote("bound_issuer") {
		c.BoundIssuer = p.issuer
	}
	// Another bound_issuer is another instance, which the preset's keys are not of.
	if p.issuer != "" && c.BoundIssuer == p.issuer && len(c.sources()) == 0 && !wrote("oidc_discovery_url") {
		c.DiscoveryURL = p.issuer
	}
	if len(c.AllowedAlgorithms) == 0 && !wrote("allowed_algorithms") {
		for _, a := range p.algorithms {
			c.AllowedAlgorithms = append(c.AllowedAlgorithms, string(a))
		}
	}
	if len(c.RequiredClaims) == 0 && !wrote("required_claims") {
		c.RequiredClaims = slices.Clone(p.required)
	}
}

// normal returns a copy in which what an earlier version stored is as it would
// be written now.
func (c *Config) normal() *Config {
	n := *c
	n.Type = cmp.Or(n.Type, Generic)
	return &n
}

func (c *Config) checkType() error {
	switch c.Type {
	case Kubernetes:
		return c.checkKubernetes()
	case SPIFFE:
		return c.checkTrustDomain()
	}
	if !slices.Contains(Types, c.Type) {
		return denial.Field("type", "%q is not a type of issuer: use one of %s", c.Type, strings.Join(Types, ", "))
	}
	return nil
}

// checkKubernetes refuses the audiences of the cluster's API server. A pod's
// token for it is in every pod: it must not be good elsewhere, nor does whoever
// may present it here have to be let into the cluster.
func (c *Config) checkKubernetes() error {
	for _, audience := range c.BoundAudiences {
		if audience == c.BoundIssuer || isAPIServer(audience) {
			return denial.Field("bound_audiences", "%q is the API server's own: let pods ask for a token with an audience of its own, in a projected volume", audience)
		}
	}
	return nil
}

func isAPIServer(audience string) bool {
	const host = "kubernetes.default.svc"
	u, err := url.Parse(audience)
	return err == nil && (u.Hostname() == host || strings.HasPrefix(u.Hostname(), host+"."))
}
