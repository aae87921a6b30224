package token

import "strings"

// Lineage is where one of our tokens comes from: the reserved claim "lineage".
// It lets a token be revoked by its role, its subject or an ancestor with no
// record kept of it.
type Lineage struct {
	Role   string // reference (name and id) of the role that minted it
	Client string // reference of the OAuth client that asked for it; "" if none did
	Source string // pseudonym of the original issuer and subject
	// Ancestors are the pseudonym of the external token that the chain began
	// with, if it began with one, and the "jti" of each of our tokens since.
	Ancestors []string
	// Actors are the same for the tokens by which others came to act for the
	// subject.
	Actors []string
	// Via are, for each ancestor and each actor's token of ours, the references of the role that minted it
	// and of the client that asked for it, and the id of the key that signed it.
	Via []Step
}

// Step is how one ancestor came to be.
type Step struct{ Role, KeyID, Client string }

// Claim returns the lineage as the value of the "lineage" claim.
func (l Lineage) Claim() map[string]any {
	claim := map[string]any{"role": l.Role, "src": l.Source}
	if l.Client != "" {
		claim["client"] = l.Client
	}
	if len(l.Ancestors) > 0 {
		claim["anc"] = l.Ancestors
	}
	if len(l.Actors) > 0 {
		claim["actors"] = l.Actors
	}
	if len(l.Via) > 0 {
		steps := []string{}
		for _, s := range l.Via {
			steps = append(steps, strings.TrimSpace(s.Role+" "+s.KeyID+" "+s.Client))
		}
		claim["via"] = steps
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
	if inner.Has("client") {
		if l.Client, err = inner.Required("client"); err != nil {
			return Lineage{}, err
		}
	}
	if l.Ancestors, err = inner.Strings("anc"); err != nil {
		return Lineage{}, err
	}
	if l.Actors, err = inner.Strings("actors"); err != nil {
		return Lineage{}, err
	}
	steps, err := inner.Strings("via")
	for _, s := range steps {
		parts := strings.Split(s, " ")
		if len(parts) < 2 || len(parts) > 3 {
			return Lineage{}, claimError("lineage", "has a malformed step")
		}
		parts = append(parts, "") // without a client
		l.Via = append(l.Via, Step{Role: parts[0], KeyID: parts[1], Client: parts[2]})
	}
	return l, err
}
