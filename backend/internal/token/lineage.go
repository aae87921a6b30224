package token

// Lineage is where one of our tokens comes from: the reserved claim "lineage".
// It lets a token be revoked by its role, its subject or an ancestor with no
// record kept of it.
type Lineage struct {
	Role   string // reference (name and id) of the role that minted it
	Source string // pseudonym of the original issuer and subject
	// Ancestors are the pseudonym of the external token that the chain began
	// with, if it began with one, and the "jti" of each of our tokens since.
	Ancestors []string
	// Via are the references of the roles that minted the ancestors.
	Via []string
}

// Claim returns the lineage as the value of the "lineage" claim.
func (l Lineage) Claim() map[string]any {
	claim := map[string]any{"role": l.Role, "src": l.Source}
	if len(l.Ancestors) > 0 {
		claim["anc"] = l.Ancestors
	}
	if len(l.Via) > 0 {
		claim["via"] = l.Via
	}
	return claim
}

// ParseLineage reads the "lineage" claim of one of our own verified tokens.
func ParseLineage(claims Claims) (Lineage, error) {
	object, ok := claims["lineage"].(map[string]any)
	if !ok {
		return Lineage{}, claimError("lineage", "must be an object")
	}
	inner := Claims(object)
	var l Lineage
	var err error
	if l.Role, err = inner.Required("role"); err != nil {
		return Lineage{}, err
	}
	if l.Source, err = inner.Required("src"); err != nil {
		return Lineage{}, err
	}
	if l.Ancestors, err = inner.Strings("anc"); err != nil {
		return Lineage{}, err
	}
	l.Via, err = inner.Strings("via")
	return l, err
}
