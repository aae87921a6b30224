package issuer

import (
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// svidAlgorithms are those of JWT-SVIDs (SPIFFE JWT-SVID §2.1): no EdDSA.
var svidAlgorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512,
}

// checkTrustDomain holds bound_issuer to the one way of writing a trust domain:
// it is compared as text.
func (c *Config) checkTrustDomain() error {
	domain, err := spiffeid.TrustDomainFromString(c.BoundIssuer)
	if err != nil || domain.IDString() != c.BoundIssuer {
		return denial.Field("bound_issuer", "%q is not a trust domain such as spiffe://example.org, in lower case and without a path", c.BoundIssuer)
	}
	return nil
}

// forSVIDs tells whether a key of a bundle is for JWT-SVIDs: those for X.509 are
// in it too (SPIFFE Trust Domain and Bundle §4.2).
func forSVIDs(jwk *jose.JSONWebKey) bool { return jwk.Use == "jwt-svid" && jwk.KeyID != "" }

// checkSVIDType checks "typ" (SPIFFE JWT-SVID §2.3).
func checkSVIDType(typ string) error {
	if !slices.Contains([]string{"", "jwt", "jose"}, typ) {
		return refuse("typ", "header \"typ\" %.64q is not that of a JWT-SVID: expected JWT, JOSE or none", typ)
	}
	return nil
}

// checkSVIDSubject checks that "sub" names a workload of the issuer's trust
// domain. It stands for the check of "iss", which says nothing in a JWT-SVID.
func (c *Config) checkSVIDSubject(claims token.Claims) error {
	sub, err := claims.Required("sub")
	if err != nil {
		return err
	}
	id, err := spiffeid.FromString(sub)
	switch {
	case err != nil:
		return refuse("sub", "\"sub\" claim is not a SPIFFE ID: %s", err)
	case id.TrustDomain().IDString() != c.BoundIssuer:
		return refuse("sub", "\"sub\" claim: expected a SPIFFE ID of %q but got %.256q", c.BoundIssuer, sub)
	case id.Path() == "":
		return refuse("sub", "\"sub\" claim is the trust domain itself: expected a workload, which has a path")
	}
	return nil
}

// claimsDomain tells whether a subject that nobody has checked says that it is
// of the issuer's trust domain.
func (c *Config) claimsDomain(sub string) bool {
	return sub == c.BoundIssuer || strings.HasPrefix(sub, c.BoundIssuer+"/")
}
