package backend

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

func (b *backend) rolePaths() []*framework.Path {
	return b.objectPaths(object{
		noun: "role", synopsis: "Say who may exchange a token, for what, and how.", help: roleHelp,
		fields: roleFields, response: roleResponse,
		example: map[string]any{
			"issuers": []string{"idp"}, "bound_subject": "ci-runner",
			"allowed_audiences": []string{"https://orders.example.com"}, "allowed_scopes": []string{"orders:read"}, "ttl": "5m",
		},
		exists: func(s *exchange.Snapshot, name string) bool { return s.Roles[name] != nil },
		list:   b.roleList, write: b.roleWrite, read: b.roleRead, delete: b.roleDelete,
		listHelp:      "Lists the names of the roles, with the issuers and audiences of each.",
		writeSummary:  "Write a role; fields left out keep their value, lists and maps are replaced whole.",
		readSummary:   "Read a role.",
		deleteSummary: "Delete a role, and with it every token that it minted.",
	})
}

func (b *backend) roleWrite(ctx context.Context, req *logical.Request, d *framework.FieldData, _ *exchange.Snapshot) (*logical.Response, error) {
	name := named(d)
	var warnings []string
	err := b.update(ctx, req.Storage, func(s *exchange.Snapshot) ([]change, error) {
		next := policy.NewRole(rand.Text(), name)
		if old := s.Roles[name]; old != nil {
			*next = *old
		}
		if err := readRole(d, next); err != nil {
			return nil, err
		}
		if err := next.Validate(); err != nil {
			return nil, err
		}
		s.Roles[name] = next
		if err := s.CheckRole(next, b.now()); err != nil {
			return nil, err
		}
		var err error
		if warnings, err = s.LintRole(next); err != nil {
			return nil, err
		}
		c, err := put(rolePrefix+name, next)
		return []change{c}, err
	})
	if err != nil {
		return nil, err
	}
	return warn(nil, warnings), nil
}

func readRole(d *framework.FieldData, r *policy.Role) error {
	set(d, "subject_source", &r.SubjectSource)
	set(d, "issuers", &r.Issuers)
	set(d, "bound_subject", &r.BoundSubject)
	set(d, "bound_audiences", &r.BoundAudiences)
	set(d, "bound_claims", &r.BoundClaims)
	set(d, "bound_claims_type", &r.BoundClaimsType)
	set(d, "condition", &r.Condition)
	set(d, "delegation", &r.Delegation)
	set(d, "actor_source", &r.ActorSource)
	set(d, "actor_issuers", &r.ActorIssuers)
	set(d, "bound_actors", &r.BoundActors)
	set(d, "may_act", &r.MayAct)
	set(d, "max_delegation_depth", &r.MaxDelegationDepth)
	set(d, "subject", &r.Subject)
	set(d, "claims", &r.Claims)
	set(d, "allowed_audiences", &r.AllowedAudiences)
	set(d, "default_audience", &r.DefaultAudience)
	set(d, "subject_scopes", &r.SubjectScopes)
	set(d, "format", &r.Format)
	set(d, "key", &r.Key)
	set(d, "typ", &r.Type)
	set(d, "generate_lease", &r.GenerateLease)
	set(d, "binding", &r.Binding)
	set(d, "rate_limit", &r.RateLimit)
	set(d, "subject_binding", &r.SubjectBinding)
	setDuration(d, "ttl", &r.TTL)
	setDuration(d, "max_ttl", &r.MaxTTL)
	for name, target := range map[string]*[]string{"allowed_scopes": &r.AllowedScopes, "default_scopes": &r.DefaultScopes} {
		if v, ok := d.GetOk(name); ok {
			*target = splitWords(v.([]string)) //nolint:forcetypeassert // a TypeCommaStringSlice
		}
	}
	return readScopeMap(d, r)
}

// readScopeMap reads a map whose values are a scope, a space-separated string
// of scopes, or a list of them.
func readScopeMap(d *framework.FieldData, r *policy.Role) error {
	v, ok := d.GetOk("scope_map")
	if !ok {
		return nil
	}
	r.ScopeMap = map[string][]string{}
	for from, to := range v.(map[string]any) { //nolint:forcetypeassert // a TypeMap
		list, isList := to.([]any)
		if !isList {
			list = []any{to}
		}
		for _, item := range list {
			text, isText := item.(string)
			if !isText {
				return denial.Field("scope_map", "%q must map to a scope, or to a list of scopes", from)
			}
			r.ScopeMap[from] = append(r.ScopeMap[from], splitWords([]string{text})...)
		}
	}
	return nil
}

func (b *backend) roleRead(_ context.Context, _ *logical.Request, d *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
	r := s.Roles[named(d)]
	if r == nil {
		return nil, nil
	}
	return &logical.Response{Data: roleData(r)}, nil
}

func roleData(r *policy.Role) map[string]any {
	return map[string]any{
		"role_id": r.ID, "subject_source": r.SubjectSource, "issuers": list(r.Issuers), "bound_subject": r.BoundSubject,
		"bound_audiences": list(r.BoundAudiences), "bound_claims": r.BoundClaims, "bound_claims_type": r.BoundClaimsType,
		"condition": r.Condition, "delegation": r.Delegation, "actor_source": r.ActorSource, "actor_issuers": list(r.ActorIssuers),
		"bound_actors": list(r.BoundActors), "may_act": r.MayAct, "max_delegation_depth": r.MaxDelegationDepth,
		"subject": r.Subject, "claims": r.Claims,
		"allowed_audiences": list(r.AllowedAudiences), "default_audience": r.DefaultAudience,
		"allowed_scopes": list(r.AllowedScopes), "default_scopes": list(r.DefaultScopes), "subject_scopes": r.SubjectScopes, "scope_map": r.ScopeMap,
		"format": r.Format, "key": r.Key, "typ": r.Type, "ttl": seconds(r.TTL), "max_ttl": seconds(r.MaxTTL), "generate_lease": r.GenerateLease,
		"rate_limit": r.RateLimit, "binding": r.Binding, "subject_binding": r.SubjectBinding,
	}
}

func (b *backend) roleDelete(ctx context.Context, req *logical.Request, d *framework.FieldData, _ *exchange.Snapshot) (*logical.Response, error) {
	name := named(d)
	return nil, b.update(ctx, req.Storage, func(s *exchange.Snapshot) ([]change, error) {
		if users := s.ClientsOfRole(name); len(users) > 0 && !slices.Contains(s.Unreadable, rolePrefix+name) {
			return nil, denial.Field("name", "the role %q is that of the clients %s: give them another role first", name, token.List(users))
		}
		delete(s.Roles, name)
		return []change{remove(rolePrefix + name)}, nil
	})
}

func (b *backend) roleList(_ context.Context, _ *logical.Request, _ *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
	info := map[string]any{}
	for name, r := range s.Roles {
		info[name] = map[string]any{"subject_source": r.SubjectSource, "issuers": list(r.Issuers), "allowed_audiences": list(r.AllowedAudiences)}
	}
	return logical.ListResponseWithInfo(slices.Sorted(maps.Keys(s.Roles)), info), nil
}

func group(name string, field *framework.FieldSchema) *framework.FieldSchema {
	field.DisplayAttrs = &framework.DisplayAttributes{Group: name}
	return field
}

var roleFields = map[string]*framework.FieldSchema{
	"subject_source": group("Who", &framework.FieldSchema{
		Type:          framework.TypeString,
		Description:   `Who the subject is: "token", the subject_token of the request, or "caller", the Vault entity that makes it. Default: token.`,
		AllowedValues: []any{policy.SourceToken, policy.SourceCaller},
	}),
	"issuers": group("Who", &framework.FieldSchema{
		Type:        framework.TypeCommaStringSlice,
		Description: `Names of the issuers whose tokens are accepted; "self" for this engine's own access tokens. Required unless subject_source is "caller".`,
	}),
	"bound_subject": group("Who", &framework.FieldSchema{
		Type:        framework.TypeString,
		Description: `The exact "sub" claim, as the issuer wrote it; for a caller, the id of the entity.`,
	}),
	"bound_audiences": group("Who", &framework.FieldSchema{
		Type:        framework.TypeCommaStringSlice,
		Description: `"aud" claims of which the subject token must have one, beyond what its issuer demands. Required with the issuer "self".`,
	}),
	"bound_claims": group("Who", &framework.FieldSchema{
		Type: framework.TypeMap,
		Description: "Claims that the subject must have, each with a value or a list of values of which it must have one. A JSON object: on the command line, give the whole role as JSON on standard input. " +
			"A name that begins with / is a JSON pointer (RFC 6901). A caller has the claims sub, name, metadata and groups. Types must agree: the text \"true\" is not true.",
	}),
	"bound_claims_type": group("Who", &framework.FieldSchema{
		Type:          framework.TypeString,
		Description:   `How text in bound_claims is compared: "string", exactly, or "glob", where "*" stands for any text. Default: string.`,
		AllowedValues: []any{policy.MatchString, policy.MatchGlob},
	}),
	"condition": group("Who", &framework.FieldSchema{
		Type: framework.TypeString,
		Description: "A CEL expression that must be true. It sees subject and actor (verified claims, and issuer, the name it is configured under), " +
			"caller (id, name, metadata, groups, aliases), request (audience, resource, scope, ttl, client_id: what would be granted) and now. An expression that cannot be evaluated denies.",
	}),
	"delegation": group("Acting for", &framework.FieldSchema{
		Type: framework.TypeString,
		Description: `Whether another may act for the subject: "forbidden"; "optional", the token names the actor if the request has one; "required". ` +
			`Default: forbidden.`,
		AllowedValues: []any{policy.DelegationForbidden, policy.DelegationOptional, policy.DelegationRequired},
	}),
	"actor_source": group("Acting for", &framework.FieldSchema{
		Type:          framework.TypeString,
		Description:   `Who the actor is: "token", the owner of actor_token; or, for delegation "required", "caller", the Vault entity that makes the request, or "client", the OAuth client. Default: token.`,
		AllowedValues: []any{policy.SourceToken, policy.SourceCaller, policy.SourceClient},
	}),
	"actor_issuers": group("Acting for", &framework.FieldSchema{
		Type:        framework.TypeCommaStringSlice,
		Description: `Names of the issuers whose tokens are accepted as actor_token; "self" for this engine's own access tokens.`,
	}),
	"bound_actors": group("Acting for", &framework.FieldSchema{
		Type:        framework.TypeStringSlice,
		Description: `Who may act, exactly: the actor's "sub" with the subject_prefix of its issuer, or entity: and the id of the calling entity, or client: and the id of the OAuth client. Required, unless may_act is "require" or condition holds the actor.`,
	}),
	"may_act": group("Acting for", &framework.FieldSchema{
		Type: framework.TypeString,
		Description: `What the "may_act" claim of the subject token means (RFC 8693 §4.4): "honor", it decides too if it is there; ` +
			`"require", it must be there. Default: honor.`,
		AllowedValues: []any{policy.MayActHonor, policy.MayActRequire},
	}),
	"max_delegation_depth": group("Acting for", &framework.FieldSchema{
		Type:        framework.TypeInt,
		Description: `How many actors the "act" claim may name. Default: 0, max_delegation_depth of config.`,
	}),
	"subject": group("What", &framework.FieldSchema{
		Type:        framework.TypeString,
		Description: `A CEL expression that yields "sub". Default: the issuer's subject_prefix and the "sub" of the subject token.`,
	}),
	"claims": group("What", &framework.FieldSchema{
		Type:        framework.TypeKVPairs,
		Description: `Further claims, each a name and a CEL expression, such as claims="team=subject.team", given once for each. One that yields null is left out. Claims that the engine sets are reserved.`,
	}),
	"allowed_audiences": group("What", &framework.FieldSchema{
		Type:        framework.TypeCommaStringSlice,
		Description: "Audiences that may be asked for, exactly. Required.",
	}),
	"default_audience": group("What", &framework.FieldSchema{
		Type:        framework.TypeString,
		Description: "Audience of a request that names none.",
	}),
	"allowed_scopes": group("What", &framework.FieldSchema{
		Type:        framework.TypeCommaStringSlice,
		Description: "Scopes that may be granted, exactly; a list, or separated by spaces.",
	}),
	"default_scopes": group("What", &framework.FieldSchema{
		Type:        framework.TypeCommaStringSlice,
		Description: "Scopes of a request that names none, as far as the subject may have them.",
	}),
	"subject_scopes": group("What", &framework.FieldSchema{
		Type: framework.TypeString,
		Description: `What the scopes of the subject token mean: "intersect", none is granted that it does not have; "map", scope_map translates them; ` +
			`"ignore", allowed_scopes alone decides. For this engine's own tokens it is always "intersect". Default: intersect.`,
		AllowedValues: []any{policy.ScopesIntersect, policy.ScopesMap, policy.ScopesIgnore},
	}),
	"scope_map": group("What", &framework.FieldSchema{
		Type:        framework.TypeMap,
		Description: `For subject_scopes "map": a JSON object of a scope of the subject token and the scopes that it stands for.`,
	}),
	"format": group("How", &framework.FieldSchema{
		Type: framework.TypeString,
		Description: `What a token is: "jwt", signed and verified by anybody, or "opaque", a random text that begins with vtx_, whose claims this engine alone knows and tells by introspection. ` +
			`Each opaque token is one write to storage. Default: jwt.`,
		AllowedValues: []any{policy.FormatJWT, policy.FormatOpaque},
	}),
	"key": group("How", &framework.FieldSchema{
		Type:        framework.TypeString,
		Description: `Key that signs. Default: default_key of config. Empty when format is "opaque".`,
	}),
	"typ": group("How", &framework.FieldSchema{
		Type:          framework.TypeString,
		Description:   `The "typ" header: "at+jwt" (RFC 9068), or "JWT" for consumers that do not know it. Not for format "opaque". Default: at+jwt.`,
		AllowedValues: []any{"at+jwt", "JWT"},
	}),
	"ttl": group("How", &framework.FieldSchema{
		Type:        framework.TypeDurationSecond,
		Description: "Life of a token when the request does not say. Default: default_ttl of config.",
	}),
	"max_ttl": group("How", &framework.FieldSchema{
		Type:        framework.TypeDurationSecond,
		Description: "Longest life that a request may ask for. Default: max_ttl of config.",
	}),
	"generate_lease": group("How", &framework.FieldSchema{
		Type:        framework.TypeBool,
		Description: "Whether Vault keeps a lease of each token, so that it can be revoked as other secrets are. The lease entry holds the token. Tokens of OAuth clients have no lease. Default: true.",
	}),
	"rate_limit": group("How", &framework.FieldSchema{
		Type:        framework.TypeInt,
		Description: "How many exchanges one subject may ask for a minute by this role with a valid token, in whatever bursts. What is beyond is answered with status 429. Counted on the active node alone, since the plugin started. Default: 0, no limit.",
	}),
	"binding": group("How", &framework.FieldSchema{
		Type: framework.TypeString,
		Description: `What the token is bound to ("cnf"), so that nobody else can use it: "dpop", the key of the request's DPoP proof (RFC 9449); "mtls", the client certificate of the connection (RFC 8705); ` +
			`"any", either; "none". Bound tokens are for OAuth clients alone. Default: none.`,
		AllowedValues: []any{policy.BindNone, policy.BindDPoP, policy.BindMTLS, policy.BindAny},
	}),
	"subject_binding": group("How", &framework.FieldSchema{
		Type: framework.TypeString,
		Description: `What becomes of a subject token that is bound to a key, in a role with binding: "prove", the request must prove that key; "reject", it is refused; ` +
			`"rebind", for gateways: the client need not prove it, and the token is bound to the client's own key. Default: prove.`,
		AllowedValues: []any{policy.SubjectProve, policy.SubjectReject, policy.SubjectRebind},
	}),
}

var roleResponse = plus(roleFields, map[string]*framework.FieldSchema{
	"role_id": {Type: framework.TypeString, Description: `Identifies the role in the "lineage" of its tokens; never reused.`},
})

const roleHelp = `
A role says who may exchange a token (issuers, bound_subject, bound_audiences,
bound_claims, condition), who may act for them (delegation and what goes with it),
for what (allowed_audiences, allowed_scopes and their defaults),
and how the answer is made (format, key, typ, ttl, max_ttl, generate_lease).

Nothing is allowed by default: a role must name its audiences and, unless its
subject is the caller, its issuers, and bind at least one of subject, audience
and claims, or have a condition on them.

Writing a role that exists changes the fields that are given and keeps the others.
`
