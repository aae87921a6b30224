package backend

import (
	"context"
	"maps"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

func (b *backend) exchangePaths() []*framework.Path {
	role := &framework.FieldSchema{Type: framework.TypeString, Description: "Name of the role.", Required: true}
	fields := plus(exchangeFields, map[string]*framework.FieldSchema{"role": role})
	return []*framework.Path{
		{
			Pattern:         "exchange/" + framework.GenericNameRegex("role"),
			Fields:          fields,
			Operations:      b.exchangeOperation("with-role"),
			HelpSynopsis:    "Exchange a token, with the role in the path.",
			HelpDescription: exchangeHelp,
		},
		{
			Pattern:         "exchange$",
			Fields:          fields,
			Operations:      b.exchangeOperation(""),
			HelpSynopsis:    "Exchange a token, with the role as a parameter.",
			HelpDescription: exchangeHelp,
		},
	}
}

func (b *backend) exchangeOperation(suffix string) map[logical.Operation]framework.OperationHandler {
	return map[logical.Operation]framework.OperationHandler{
		logical.UpdateOperation: &framework.PathOperation{
			Callback: b.with(strict(b.exchange)), Summary: "Exchange a token for a narrower one (RFC 8693).",
			DisplayAttrs: display("exchange", suffix), Responses: ok("The token.", exchangeResponse),
			Examples: []framework.RequestExample{{Data: map[string]any{
				"subject_token": "<token>", "audience": "https://orders.example.com", "scope": "orders:read",
			}}},
		},
	}
}

func (b *backend) exchange(ctx context.Context, req *logical.Request, d *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
	request, err := b.readRequest(req, d)
	if err != nil {
		return nil, err
	}
	answer, err := b.grant(ctx, req, s, request)
	if err != nil {
		return nil, err
	}
	return b.answer(answer), nil
}

// grant runs the pipeline for a request from whatever entrance, and records what
// came of it.
func (b *backend) grant(ctx context.Context, req *logical.Request, s *exchange.Snapshot, request exchange.Request) (*exchange.Answer, error) {
	began := b.now()
	answer, err := b.exchanger.Exchange(ctx, s, request)
	b.metrics.exchanged(knownRole(s, request.Role), answer, err, b.now().Sub(began))
	if err != nil {
		refusal := denial.From(err)
		b.Logger().Info("exchange denied", "request_id", req.ID, "role", knownRole(s, request.Role), "client_id", clientID(request), "stage", refusal.Stage,
			"rule", refusal.Rule, "reason", refusal.Reason, "cause", refusal.Unwrap())
		return nil, refusal
	}
	b.Logger().Debug("token exchanged", "request_id", req.ID, "role", answer.Role.Name, "client_id", clientID(request), "jti", answer.ID,
		"txn", answer.Chain, "subject", answer.Subject, "actor", currentActor(answer), "audience", answer.Audience)
	return answer, nil
}

func (b *backend) readRequest(req *logical.Request, d *framework.FieldData) (exchange.Request, error) {
	var r exchange.Request
	grant := grantTokenExchange
	set(d, "grant_type", &grant)
	if err := checkGrantType(grant); err != nil {
		return r, err
	}
	set(d, "role", &r.Role)
	r.SubjectToken = secretFor(d, "subject_token")
	set(d, "subject_token_type", &r.SubjectTokenType)
	r.ActorToken = secretFor(d, "actor_token")
	set(d, "actor_token_type", &r.ActorTokenType)
	set(d, "audience", &r.Audience)
	set(d, "resource", &r.Resource)
	set(d, "scope", &r.Scope)
	set(d, "requested_token_type", &r.RequestedTokenType)
	setDuration(d, "ttl", &r.TTL)
	r.Scope = splitWords(r.Scope)
	r.MountMaxTTL = b.mountTTL.get(b.System())
	r.Records = records{req.Storage}
	r.Caller = func(context.Context) (*exchange.Caller, error) { return b.caller(req.EntityID) }
	return r, nil
}

// clientID names the OAuth client that asks; "" if none does.
func clientID(r exchange.Request) string {
	if r.Client == nil {
		return ""
	}
	return r.Client.ID
}

// currentActor names who acts in the answer; "" if nobody does.
func currentActor(a *exchange.Answer) string {
	if len(a.Acting) == 0 {
		return ""
	}
	return a.Acting[0].Issuer + " " + a.Acting[0].Subject
}

// knownRole keeps what a caller made up out of logs and metrics.
func knownRole(s *exchange.Snapshot, name string) string {
	if s.Roles[name] == nil {
		return ""
	}
	return name
}

// answer makes the response: with a lease, or with the hint by which Vault Agent
// refreshes a secret that has none.
func (b *backend) answer(a *exchange.Answer) *logical.Response {
	life := a.ExpiresIn()
	data := map[string]any{
		"access_token": a.AccessToken.Reveal(), "issued_token_type": a.IssuedTokenType, "token_type": a.TokenType,
		"expires_in": seconds(life), "scope": strings.Join(a.Scope, " "),
		"jti": a.ID, "txn": a.Chain, "subject": a.Subject, "audience": a.Audience,
	}
	if act := a.Acting.Claim(); act != nil {
		data["act"] = act
	}
	if a.Role.GenerateLease {
		return b.lease(a, data)
	}
	maps.Copy(data, refreshHint(life))
	return &logical.Response{Data: data}
}

// refreshHint tells Vault Agent when to fetch an unleased answer again: its
// template engine looks at these two names alone. 80 % of the token's life, and
// up to a tenth less so that many agents do not come at once.
func refreshHint(life time.Duration) map[string]any {
	hint := life * 8 / 10
	if jitter := int64(hint / 10); jitter > 0 {
		hint -= time.Duration(rand.Int64N(jitter)) //nolint:gosec // spreads load, guards nothing
	}
	return map[string]any{"rotation_period": seconds(life), "ttl": max(1, seconds(hint))}
}

func credential(description string) *framework.FieldSchema {
	return &framework.FieldSchema{
		Type: framework.TypeString, Description: description,
		DisplayAttrs: &framework.DisplayAttributes{Sensitive: true},
	}
}

var exchangeFields = map[string]*framework.FieldSchema{
	"grant_type":    {Type: framework.TypeString, Description: grantTokenExchange + ", the one there is. May be left out."},
	"subject_token": credential("The token of the party on whose behalf the request is made (RFC 8693 §2.1). Left out if the role's subject_source is \"caller\"."),
	"subject_token_type": {
		Type:        framework.TypeString,
		Description: "Type of subject_token, a URI of RFC 8693 §3. Default: access_token for this engine's own tokens, else jwt. access_token means a token of this engine.",
	},
	"actor_token": credential("The token of the acting party (RFC 8693 §2.1), for a role with delegation. Left out if the role's actor_source is \"caller\"."),
	"actor_token_type": {
		Type:        framework.TypeString,
		Description: "Type of actor_token, a URI of RFC 8693 §3. Required with actor_token.",
	},
	"audience": {
		Type:        framework.TypeCommaStringSlice,
		Description: "Logical names of the services where the token will be used. Default: default_audience of the role.",
	},
	"resource": {
		Type:        framework.TypeCommaStringSlice,
		Description: "URIs of the services where the token will be used (RFC 8707), beside or instead of audience.",
	},
	"scope": {
		Type:        framework.TypeCommaStringSlice,
		Description: "Scopes asked for; a list, or separated by spaces. Default: default_scopes of the role.",
	},
	"requested_token_type": {
		Type:        framework.TypeString,
		Description: "Type of token asked for, a URI of RFC 8693 §3: access_token, or jwt of a role with typ JWT. Default: access_token.",
	},
	"ttl": {
		Type:        framework.TypeDurationSecond,
		Description: "Life asked for, at most max_ttl of the role; it may come to less. Default, and for 0: ttl of the role.",
	},
}

var exchangeResponse = map[string]*framework.FieldSchema{
	"access_token":      credential("The token that was minted, whatever its type."),
	"issued_token_type": {Type: framework.TypeString, Description: "Type of the token (RFC 8693 §3)."},
	"token_type":        {Type: framework.TypeString, Description: "Bearer for an access token, else N_A."},
	"expires_in":        {Type: framework.TypeInt, Description: "Life of the token in seconds."},
	"scope":             {Type: framework.TypeString, Description: "Scopes granted, separated by spaces."},
	"jti":               {Type: framework.TypeString, Description: "Id of the token."},
	"txn":               {Type: framework.TypeString, Description: "Id of the chain of exchanges that the token belongs to."},
	"subject":           {Type: framework.TypeString, Description: `The token's "sub".`},
	"audience":          {Type: framework.TypeStringSlice, Description: `The token's "aud".`},
	"act":               {Type: framework.TypeMap, Description: `The token's "act": who acts for the subject (RFC 8693 §4.1). Not there if nobody does.`},
	"rotation_period":   {Type: framework.TypeInt, Description: "Without a lease: life of the token in seconds, for Vault Agent."},
	"ttl":               {Type: framework.TypeInt, Description: "Without a lease: seconds after which Vault Agent fetches a new token."},
}

const exchangeHelp = `
Takes a token, or the caller's own Vault identity if the role says so, and
answers with a token for one or more of the role's audiences. The audiences and
scopes that were asked for are granted whole or refused; what was left out is the
role's default. The token lives no longer than the subject token: expires_in tells.

A role with delegation lets another act for the subject: the owner of
actor_token, or the caller. The token then names them in "act".

A role with generate_lease (the default) answers with a lease: revoking it, or
the caller's Vault token, revokes the token.
`

// secretFor reads a token. White space around it is not part of it: a file or a
// pipe on the command line often ends in a line break.
func secretFor(d *framework.FieldData, name string) token.Secret {
	var s string
	set(d, name, &s)
	return token.Secret(strings.TrimSpace(s))
}
