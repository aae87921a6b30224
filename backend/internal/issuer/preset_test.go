package issuer_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

const (
	githubURL = "https://token.actions.githubusercontent.com"
	gitlabURL = "https://gitlab.com"
)

// written is the configuration of a type after its first write, which names the
// fields given and bound_audiences.
func written(kind string, edit func(*issuer.Config), fields ...string) *issuer.Config {
	c := issuer.Draft("idp")
	c.Type, c.BoundAudiences = kind, []string{audience}
	if edit != nil {
		edit(c)
	}
	c.Fill(func(field string) bool { return slices.Contains(fields, field) })
	return c
}

func TestPresets(t *testing.T) {
	const own = "https://own.example"
	bind := func(c *issuer.Config) { c.BoundIssuer, c.JWKSURL = own, own+"/keys" }
	for _, c := range []struct {
		name, kind string
		edit       func(*issuer.Config)
		fields     []string
		want       issuer.Config
	}{
		{
			"generic", issuer.Generic, bind,
			[]string{"bound_issuer", "jwks_url"},
			issuer.Config{BoundIssuer: own, JWKSURL: own + "/keys", AllowedAlgorithms: []string{"RS256", "ES256"}},
		},
		{
			"IS-1 GitHub", issuer.GitHub, nil, nil,
			issuer.Config{BoundIssuer: githubURL, DiscoveryURL: githubURL, AllowedAlgorithms: []string{"RS256"}},
		},
		{
			"IS-1 GitHub with other algorithms", issuer.GitHub, func(c *issuer.Config) { c.AllowedAlgorithms = []string{"PS256"} },
			[]string{"allowed_algorithms"},
			issuer.Config{BoundIssuer: githubURL, DiscoveryURL: githubURL, AllowedAlgorithms: []string{"PS256"}},
		},
		{
			"IS-1 GitHub with other keys", issuer.GitHub, func(c *issuer.Config) { c.JWKSURL = own + "/keys" },
			[]string{"jwks_url"},
			issuer.Config{BoundIssuer: githubURL, JWKSURL: own + "/keys", AllowedAlgorithms: []string{"RS256"}},
		},
		{
			"IS-1 GitHub Enterprise Server", issuer.GitHub, bind,
			[]string{"bound_issuer", "jwks_url"},
			issuer.Config{BoundIssuer: own, JWKSURL: own + "/keys", AllowedAlgorithms: []string{"RS256"}},
		},
		{
			"IS-1 GitLab", issuer.GitLab, nil, nil,
			issuer.Config{BoundIssuer: gitlabURL, DiscoveryURL: gitlabURL, AllowedAlgorithms: []string{"RS256"}},
		},
		{
			"IS-1 Kubernetes", issuer.Kubernetes, bind,
			[]string{"bound_issuer", "jwks_url"},
			issuer.Config{BoundIssuer: own, JWKSURL: own + "/keys", AllowedAlgorithms: []string{"RS256", "ES256"}, RequiredClaims: []string{"kubernetes.io"}},
		},
		{
			"IS-1 Kubernetes with other required claims", issuer.Kubernetes,
			func(c *issuer.Config) { bind(c); c.RequiredClaims = []string{"jti"} },
			[]string{"required_claims"},
			issuer.Config{BoundIssuer: own, JWKSURL: own + "/keys", AllowedAlgorithms: []string{"RS256", "ES256"}, RequiredClaims: []string{"jti"}},
		},
		{
			"IS-1 Kubernetes without required claims", issuer.Kubernetes, bind,
			[]string{"required_claims"},
			issuer.Config{BoundIssuer: own, JWKSURL: own + "/keys", AllowedAlgorithms: []string{"RS256", "ES256"}},
		},
		{
			"IS-1 Vault", issuer.Vault, bind, nil,
			issuer.Config{BoundIssuer: own, JWKSURL: own + "/keys", AllowedAlgorithms: []string{"RS256", "ES256"}},
		},
		{
			"SP-1 SPIFFE", issuer.SPIFFE, func(c *issuer.Config) { c.BoundIssuer, c.SPIFFEBundleURL = domain, own+"/bundle" }, nil,
			issuer.Config{
				BoundIssuer: domain, SPIFFEBundleURL: own + "/bundle",
				AllowedAlgorithms: []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"},
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := written(c.kind, c.edit, c.fields...)
			c.want.Name, c.want.Type, c.want.SubjectPrefix, c.want.BoundAudiences = "idp", c.kind, "idp:", []string{audience}
			if g, w := fmt.Sprintf("%+v", *got), fmt.Sprintf("%+v", c.want); g != w {
				t.Errorf("got  %s\nwant %s", g, w)
			}
			if err := got.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPresetsRefuse(t *testing.T) {
	const apiServer = `%q is the API server's own: let pods ask for a token with an audience of its own, in a projected volume`
	bind := func(audience string) func(*issuer.Config) {
		return func(c *issuer.Config) {
			c.BoundIssuer, c.DiscoveryURL, c.BoundAudiences = iss, iss, []string{"ours", audience}
		}
	}
	type refused struct {
		name, kind  string
		edit        func(*issuer.Config)
		fields      []string
		field, text string
	}
	cases := []refused{
		{"no type", "", bind(audience), nil, "type", `"" is not a type of issuer: use one of generic, kubernetes, github, gitlab, spiffe, vault`},
		{"an unknown type", "GitHub", bind(audience), nil, "type", `"GitHub" is not a type of issuer: use one of generic, kubernetes, github, gitlab, spiffe, vault`},
		{
			"IS-1 another bound_issuer does not get GitHub's keys", issuer.GitHub, func(c *issuer.Config) { c.BoundIssuer = "https://ghes.example/_services/token" }, nil,
			"oidc_discovery_url", oneSource + `: none is`,
		},
		{
			"IS-1 another bound_issuer does not get GitLab's keys", issuer.GitLab, func(c *issuer.Config) { c.BoundIssuer = "https://gitlab.example" }, nil,
			"oidc_discovery_url", oneSource + `: none is`,
		},
		{"keys that the write empties", issuer.GitHub, nil, []string{"oidc_discovery_url"}, "oidc_discovery_url", oneSource + `: none is`},
		{"a bound_issuer that the write empties", issuer.GitHub, nil, []string{"bound_issuer"}, "bound_issuer", `must be set to the exact "iss" claim of the issuer's tokens`},
		{"algorithms that the write empties", issuer.GitHub, nil, []string{"allowed_algorithms"}, "allowed_algorithms", `must name at least one algorithm`},
		{"Kubernetes has no issuer of its own", issuer.Kubernetes, nil, nil, "bound_issuer", `must be set to the exact "iss" claim of the issuer's tokens`},
		{"Vault has no issuer of its own", issuer.Vault, nil, nil, "bound_issuer", `must be set to the exact "iss" claim of the issuer's tokens`},
	}
	for _, audience := range []string{
		"https://kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local", "https://kubernetes.default.svc/",
		"https://kubernetes.default.svc:443", "https://kubernetes.default.svc.corp.example", iss,
	} {
		cases = append(cases, refused{"WI-2 " + audience, issuer.Kubernetes, bind(audience), nil, "bound_audiences", fmt.Sprintf(apiServer, audience)})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			config := written(c.kind, c.edit, c.fields...)
			wantDenied(t, config.Validate(), denial.InvalidRequest, c.field, c.field+": "+c.text)
		})
	}
	for _, audience := range []string{"https://kubernetes.example", "https://kubernetes.default.svcx", "kubernetes", audience} {
		if err := written(issuer.Kubernetes, bind(audience)).Validate(); err != nil {
			t.Error(err)
		}
	}
}

// What was stored before there were types is generic.
func TestNoTypeIsGeneric(t *testing.T) {
	c := goodConfig()
	c.Type = ""
	made, err := issuer.New(c, issuer.Options{})
	if err != nil || made.Type != issuer.Generic || c.Type != "" {
		t.Errorf("got %q, %v, and the configuration says %q", made.Type, err, c.Type)
	}
}

// Tokens of each type, as the service makes them.
func TestPresetTokens(t *testing.T) {
	rs256, es256 := rsaKey("r", "RS256"), newKey("e")
	pod := map[string]any{"namespace": "shop", "serviceaccount": map[string]any{"name": "cart", "uid": "11"}}
	for _, c := range []struct {
		name, kind, iss string
		claims          map[string]any
		alg, rule, text string // rule "" accepts
	}{
		{"IS-3 GitHub, old subject", issuer.GitHub, githubURL, map[string]any{"sub": "repo:o/r:ref:refs/heads/main", "repository_id": "1"}, "RS256", "", ""},
		{"IS-3 GitHub, new subject", issuer.GitHub, githubURL, map[string]any{"sub": "repo:o@1/r@2:ref:refs/heads/main", "repository_id": "1"}, "RS256", "", ""},
		{"IS-1 GitHub, another algorithm", issuer.GitHub, githubURL, nil, "ES256", "alg", `subject: header "alg" "ES256" is not among the allowed_algorithms of the issuer "idp"`},
		{
			"IS-1 GitHub, another enterprise", issuer.GitHub, githubURL + "/other", nil, "RS256", "iss",
			`subject: "iss" claim expected "https://token.actions.githubusercontent.com" but got "https://token.actions.githubusercontent.com/other"`,
		},
		{
			"IS-1 GitHub, the owner's audience", issuer.GitHub, githubURL,
			map[string]any{"aud": "https://github.com/o"},
			"RS256", "aud",
			`subject: "aud" claim expected one of ["https://vault.example"] but got ["https://github.com/o"]`,
		},
		{"IS-1 GitLab", issuer.GitLab, gitlabURL, map[string]any{"project_id": "1", "ref_protected": "true"}, "RS256", "", ""},
		{"IS-1 GitLab, another instance", issuer.GitLab, "https://gitlab.example", nil, "RS256", "iss", `subject: "iss" claim expected "https://gitlab.com" but got "https://gitlab.example"`},
		{"IS-1 Kubernetes, RS256", issuer.Kubernetes, iss, map[string]any{"sub": "system:serviceaccount:shop:cart", "kubernetes.io": pod}, "RS256", "", ""},
		{"IS-1 Kubernetes, ES256 and several audiences", issuer.Kubernetes, iss, map[string]any{"aud": []string{"x", audience}, "kubernetes.io": pod}, "ES256", "", ""},
		{
			"IS-1 Kubernetes, a legacy token", issuer.Kubernetes, iss,
			map[string]any{"kubernetes.io/serviceaccount/namespace": "shop"},
			"RS256", "kubernetes.io",
			`subject: "kubernetes.io" claim is missing and the issuer's required_claims name it`,
		},
		{
			"WI-2 Kubernetes, a token for the API server", issuer.Kubernetes, iss,
			map[string]any{"aud": "https://kubernetes.default.svc", "kubernetes.io": pod},
			"RS256", "aud",
			`subject: "aud" claim expected one of ["https://vault.example"] but got ["https://kubernetes.default.svc"]`,
		},
		{"IS-1 Vault", issuer.Vault, iss, map[string]any{"sub": "entity-1", "namespace": "root"}, "RS256", "", ""},
		{"IS-1 Vault, another namespace", issuer.Vault, iss + "/other", nil, "RS256", "iss", `subject: "iss" claim expected "https://idp.example" but got "https://idp.example/other"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := written(c.kind, func(config *issuer.Config) {
				if config.Type != issuer.GitHub && config.Type != issuer.GitLab {
					config.BoundIssuer = iss
				}
				config.JWKS = jwks(rs256, es256)
			})
			made := must(issuer.New(config, issuer.Options{}))
			key := rs256
			if c.alg == "ES256" {
				key = es256
			}
			claims := goodToken()
			claims["iss"] = c.iss
			maps.Copy(claims, c.claims)
			err := verifyInline(made, sign(key, claims, nil))
			if c.rule == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantDenied(t, err, denial.InvalidRequest, c.rule, c.text)
		})
	}
}

func TestWarnings(t *testing.T) {
	c := goodConfig()
	if got := c.Warnings(); len(got) != 0 {
		t.Errorf("of the good configuration: %q", got)
	}
	c.BoundAudiences = []string{audience, "https://github.com/acme", iss, "https://github.company.example/acme"}
	want := []string{
		`bound_audiences has "https://github.com/acme", the default audience of every workflow of that owner: ask for an audience of your own`,
		`bound_audiences has "https://idp.example", which is the issuer itself: tokens for its own API are accepted here: ask for an audience of your own`,
	}
	if got := c.Warnings(); !slices.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// CheckClaims is the same check for claims from wherever.
func TestCheckClaims(t *testing.T) {
	now := newClock().Now()
	i := trusted(t, jwks(newKey("k1")), nil)
	claims := must(token.ParseClaims([]byte(fmt.Sprintf(`{"iss":%q,"aud":%q,"exp":%d}`, iss, audience, now.Unix()+60))))
	dates, err := i.CheckClaims(claims, issuer.Check{Now: now})
	if err != nil || dates.Expires.Unix() != now.Unix()+60 {
		t.Errorf("got %v, %v", dates, err)
	}
	delete(claims, "iss")
	_, err = i.CheckClaims(claims, issuer.Check{Now: now})
	wantDenied(t, err, denial.InvalidRequest, "iss", `subject: "iss" claim expected "https://idp.example" but got ""`)
}
