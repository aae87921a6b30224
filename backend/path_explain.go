package backend

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

func (b *backend) explainPaths() []*framework.Path {
	return []*framework.Path{{
		Pattern: "explain/" + framework.GenericNameRegex("role"),
		Fields:  explainFields,
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: &framework.PathOperation{
				Callback: b.with(strict(b.explain)), Summary: "Tell what an exchange would come to, and why; no token is made.",
				DisplayAttrs: display("explain", ""), Responses: ok("Each step, in order.", explainResponse),
				Examples: []framework.RequestExample{{Data: map[string]any{
					"subject_claims": map[string]any{
						"iss": "https://idp.example.com", "sub": "ci-runner", "aud": "https://vault.example.com", "exp": 1893456000,
					},
					"audience": "https://orders.example.com",
				}}},
			},
		},
		HelpSynopsis:    "Tell what an exchange would come to, and why.",
		HelpDescription: explainHelp,
	}}
}

// explain answers 200 also when the exchange would be denied: that is what was
// asked.
func (b *backend) explain(ctx context.Context, req *logical.Request, d *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
	request, err := b.readRequest(req, d)
	if err != nil {
		return nil, err
	}
	q := exchange.Question{Request: request}
	set(d, "live", &q.Live)
	if q.Client, err = readAsking(d, s, q.Role); err != nil {
		return nil, err
	}
	if q.SubjectClaims, err = readClaims(d, "subject_claims"); err != nil {
		return nil, err
	}
	if q.ActorClaims, err = readClaims(d, "actor_claims"); err != nil {
		return nil, err
	}
	e := b.exchanger.Explain(ctx, s, q)
	if e.Refusal != nil && e.Refusal.Code == denial.ServerError {
		b.Logger().Error("request failed", "request_id", req.ID, "path", req.Path, "stage", e.Refusal.Stage, "cause", e.Refusal.Unwrap())
	}
	b.metrics.explained(knownRole(s, q.Role), e.Refusal == nil)
	return warn(&logical.Response{Data: explanation(e)}, e.Warnings), nil
}

// readAsking returns the OAuth client that is to be taken for the one that asks,
// without its credentials; nil if none is.
func readAsking(d *framework.FieldData, s *exchange.Snapshot, role string) (*client.Authenticated, error) {
	id := ""
	set(d, "client_id", &id)
	if id == "" {
		return nil, nil
	}
	c := s.Clients[id]
	switch {
	case c == nil:
		return nil, denial.New(denial.InvalidRequest, denial.Parse, "client_id", "the client %s does not exist", token.List([]string{id}))
	case c.Role != role:
		return nil, denial.New(denial.InvalidRequest, denial.Parse, "client_id", "the client %q exchanges by another role: %s", id, token.List([]string{c.Role}))
	}
	return &client.Authenticated{Client: c}, nil
}

// readClaims reads claims that stand for a token, within the limits of one; nil if
// there are none.
func readClaims(d *framework.FieldData, name string) (token.Claims, error) {
	v, ok := d.GetOk(name)
	if !ok {
		return nil, nil
	}
	encoded, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(encoded) > token.MaxBytes {
		return nil, denial.New(denial.InvalidRequest, denial.Parse, name, "%d bytes are more than the limit of %d", len(encoded), token.MaxBytes)
	}
	claims, err := token.ParseClaims(encoded)
	if err != nil {
		return nil, denial.New(denial.InvalidRequest, denial.Parse, name, "%s", err)
	}
	if !isHeld(map[string]any(claims)) {
		return nil, denial.New(denial.InvalidRequest, denial.Parse, name, "has a number beyond 2^53, which Vault does not hand over exactly: ask with a token")
	}
	return claims, nil
}

// isHeld tells whether all numbers have come through Vault, which reads them as
// fractions, as they were.
func isHeld(v any) bool {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		return err == nil && math.Abs(f) <= 1<<53
	case []any:
		return !slices.ContainsFunc(v, func(item any) bool { return !isHeld(item) })
	case map[string]any:
		return isHeld(slices.Collect(maps.Values(v)))
	}
	return true
}

func explanation(e *exchange.Explanation) map[string]any {
	steps := []any{}
	for _, s := range e.Steps {
		steps = append(steps, map[string]any{"stage": string(s.Stage), "rule": s.Rule, "passed": s.Passed, "detail": s.Detail})
	}
	data := map[string]any{"allowed": e.Refusal == nil, "unverified": e.Unverified, "steps": steps}
	if e.Refusal != nil {
		data["error"], data["stage"], data["rule"], data["reason"] = string(e.Refusal.Code), string(e.Refusal.Stage), e.Refusal.Rule, e.Refusal.Reason
		return data
	}
	data["claims"] = map[string]any(e.Claims)
	return data
}

var explainFields = plus(exchangeFields, map[string]*framework.FieldSchema{
	"role": {Type: framework.TypeString, Description: "Name of the role.", Required: true},
	"subject_claims": {
		Type:        framework.TypeMap,
		Description: "Claims that stand for subject_token, as a JSON object: they are taken as verified. Of a role whose subject is the caller: sub (the entity's id), name, metadata, groups, aliases.",
	},
	"actor_claims": {
		Type:        framework.TypeMap,
		Description: "Claims that stand for actor_token, as a JSON object: they are taken as verified. Of a role whose actor is the caller: as subject_claims of one whose subject is.",
	},
	"client_id": {
		Type:        framework.TypeString,
		Description: "OAuth client that is taken for the one that asks, without its credentials. Default: none, as at exchange/ROLE.",
	},
	"live": {
		Type:        framework.TypeBool,
		Description: "Whether issuers may be asked for keys, and about opaque tokens. Default: false, what is held must do.",
	},
})

var explainResponse = map[string]*framework.FieldSchema{
	"allowed":    {Type: framework.TypeBool, Description: "Whether a token would be issued."},
	"unverified": {Type: framework.TypeBool, Description: "Whether claims stood for a token: no signature was checked."},
	"steps":      {Type: framework.TypeSlice, Description: "Each rule in the order in which it was met: stage, rule, passed, detail."},
	"error":      {Type: framework.TypeString, Description: "The OAuth error code that the exchange would answer with."},
	"stage":      {Type: framework.TypeString, Description: "The stage that would refuse."},
	"rule":       {Type: framework.TypeString, Description: "The rule that would refuse."},
	"reason":     {Type: framework.TypeString, Description: "Why it would."},
	"claims":     {Type: framework.TypeMap, Description: "The claims of the token that would be issued, without jti; without lineage if claims stood for a token."},
}

const explainHelp = `
Runs an exchange up to the token and shows each rule that it meets. Nothing is
written, no token is made, and no issuer is asked unless live is true.

Whoever is on call seldom has the token in question: subject_claims and
actor_claims take what a denial, an audit entry or a decoded token shows. They are
taken as verified, and the answer says so. Warnings of the answer are those of the
role.
`
