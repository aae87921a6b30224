package token

import "slices"

// Actor is one party of an "act" claim.
type Actor struct{ Issuer, Subject string }

// Acting is an "act" claim (RFC 8693 §4.1): who acts for the subject now, first,
// and those who did before.
type Acting []Actor

// Claim returns the value of the "act" claim: the current actor outermost, and
// nothing of it but who it is. Nil if nobody acts.
func (a Acting) Claim() map[string]any {
	var claim map[string]any
	for _, actor := range slices.Backward(a) {
		outer := map[string]any{"iss": actor.Issuer, "sub": actor.Subject}
		if claim != nil {
			outer["act"] = claim
		}
		claim = outer
	}
	return claim
}

// ParseActing reads the "act" claim of a verified token; nil if there is none.
// An actor without "iss" is one of the token's issuer.
func ParseActing(claims Claims, issuer string) (Acting, error) {
	var out Acting
	for claims.Has("act") {
		object, ok := claims["act"].(map[string]any)
		if !ok {
			return nil, claimError("act", "must be an object")
		}
		claims = Claims(object)
		sub, ok := claims["sub"].(string)
		if !ok || sub == "" {
			return nil, claimError("act", `has an actor without "sub"`)
		}
		iss, err := claims.Text("iss")
		if err != nil {
			return nil, claimError("act", `has an actor whose "iss" is not a string`)
		}
		if !claims.Has("iss") {
			iss = issuer
		}
		if iss == "" {
			return nil, claimError("act", `has an actor whose "iss" is empty`)
		}
		out = append(out, Actor{Issuer: iss, Subject: sub})
	}
	return out, nil
}
