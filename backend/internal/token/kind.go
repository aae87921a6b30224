package token

import "slices"

// Kind is one kind of JWT that this engine signs. The table of kinds is what
// keeps one from being taken for another (RFC 8725 §3.12): each has a "typ" of
// its own, claims that must and must not be there, and says where it is
// accepted.
type Kind struct {
	Type      string   // the "typ" header
	Required  []string // claims
	Forbidden []string // claims
	// Subject tells whether it is accepted back as a subject token.
	Subject bool
	// Introspected tells whether introspect and revoke know it.
	Introspected bool
}

// accessTokenClaims are RFC 9068 §2.2, and our own txn and lineage.
var accessTokenClaims = []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "txn", "lineage"}

// IntrospectionType is the "typ" of a signed introspection answer (RFC 9701 §5).
const IntrospectionType = "token-introspection+jwt"

// Kinds are all kinds that we sign.
var Kinds = []Kind{
	{ // A signed introspection answer: about a token, and none itself.
		Type: IntrospectionType, Required: []string{"iss", "aud", "iat", "token_introspection"},
		Forbidden: []string{"sub", "exp", "jti", "client_id", "scope", "lineage", "status_list"},
	},
	{ // An RFC 9068 access token.
		Type: "at+jwt", Required: accessTokenClaims, Forbidden: []string{"nonce", "at_hash", "status_list", "token_introspection"},
		Subject: true, Introspected: true,
	},
	{ // The same for consumers that know no "at+jwt"; not accepted back.
		Type: "JWT", Required: accessTokenClaims, Forbidden: []string{"nonce", "at_hash", "status_list", "token_introspection"},
		Introspected: true,
	},
}

// KindOf returns the kind with a "typ" header; its zero value is accepted
// nowhere.
func KindOf(typ string) (Kind, bool) {
	i := slices.IndexFunc(Kinds, func(k Kind) bool { return mediaType(k.Type) == mediaType(typ) })
	if i < 0 {
		return Kind{}, false
	}
	return Kinds[i], true
}

// Check tells which claim makes claims not a token of this kind; "" if none.
func (k Kind) Check(claims Claims) string {
	for _, name := range k.Required {
		if !claims.Has(name) {
			return name + " is missing"
		}
	}
	for _, name := range k.Forbidden {
		if claims.Has(name) {
			return name + " is forbidden"
		}
	}
	return ""
}
