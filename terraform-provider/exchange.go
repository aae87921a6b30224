package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-secure-stdlib/parseutil"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/vault/api"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend"
)

// Token types (RFC 8693 §3) that the engine takes or issues.
var (
	typeAccessToken = tokenTypePrefix + "access_token"
	typeIDToken     = tokenTypePrefix + "id_token"
	typeJWT         = tokenTypePrefix + "jwt"
)

// check refuses what the engine would refuse whatever its roles say, in the
// engine's words. What is unknown is left to the engine.
func (m *tokenModel) check() diag.Diagnostics {
	var diags diag.Diagnostics
	refuse := func(attribute, format string, args ...any) {
		reason := fmt.Sprintf(format, args...)
		diags.AddAttributeError(path.Root(attribute), "Invalid "+attribute, attribute+": "+reason)
	}
	for _, t := range []struct {
		name         string
		token, isFor types.String
	}{{"subject_token", m.SubjectToken, m.SubjectTokenType}, {"actor_token", m.ActorToken, m.ActorTokenType}} {
		if absent(t.token) && t.isFor.ValueString() != "" {
			refuse(t.name+"_type", "is given without %s", t.name)
		}
		if taken := []string{"", typeJWT, typeIDToken, typeAccessToken}; !slices.Contains(taken, t.isFor.ValueString()) {
			refuse(t.name+"_type", "[%q] is not supported: use one of [%q, %q, %q]", short(t.isFor), typeJWT, typeIDToken, typeAccessToken)
		}
	}
	if m.ActorToken.ValueString() != "" && absent(m.ActorTokenType) {
		refuse("actor_token_type", "is required with actor_token")
	}
	if issued := []string{"", typeAccessToken, typeJWT}; !slices.Contains(issued, m.RequestedTokenType.ValueString()) {
		refuse("requested_token_type", "[%q] is not supported: use %q or %q", short(m.RequestedTokenType), typeAccessToken, typeJWT)
	}
	if ttl, err := parseutil.ParseDurationSecond(m.TTL.ValueString()); err != nil {
		refuse("ttl", "%s", backend.NotADuration)
	} else if ttl < 0 {
		refuse("ttl", "must not be negative")
	}
	return diags
}

// checkSets refuses sets that are empty. The engine takes them for left out, and
// grants the role's default: not what "nothing" asks for.
func (m *tokenModel) checkSets() diag.Diagnostics {
	var diags diag.Diagnostics
	for _, s := range []struct {
		name string
		set  types.Set
	}{{"audience", m.Audience}, {"resource", m.Resource}, {"scope", m.Scope}} {
		if !s.set.IsNull() && !s.set.IsUnknown() && len(s.set.Elements()) == 0 {
			diags.AddAttributeError(path.Root(s.name), "Invalid "+s.name,
				s.name+": is empty, which would ask for nothing: leave it out (or set it to null) for the default of the role")
		}
	}
	return diags
}

// absent tells whether a text is certain not to be there.
func absent(s types.String) bool { return !s.IsUnknown() && s.ValueString() == "" }

// short is a value for a message. A long one may be a token in the wrong place.
func short(s types.String) string {
	const limit = 64
	if text := s.ValueString(); len(text) <= limit {
		return text
	}
	return "…"
}

// call describes the exchange for diagnostics. The attributes that hold tokens
// are not among those that one may point at: Terraform quotes their line of the
// configuration.
func (m *tokenModel) call() call {
	return call{
		does: "exchange the token", path: mountOf(m.Mount) + "/exchange/" + m.Role.ValueString(),
		namespace: m.Namespace.ValueString(), capability: "update",
		sent:       []secret{newSecret(m.SubjectToken.ValueString()), newSecret(m.ActorToken.ValueString())},
		attributes: named("role", "subject_token_type", "actor_token_type", "audience", "resource", "scope", "requested_token_type", "ttl"),
	}
}

// body is the request. What was left out is not in it: the role has defaults.
func (m *tokenModel) body(ctx context.Context) (map[string]any, diag.Diagnostics) {
	var diags diag.Diagnostics
	body := map[string]any{}
	for name, value := range map[string]types.String{
		"subject_token": m.SubjectToken, "subject_token_type": m.SubjectTokenType,
		"actor_token": m.ActorToken, "actor_token_type": m.ActorTokenType,
		"requested_token_type": m.RequestedTokenType, "ttl": m.TTL,
	} {
		if value.ValueString() != "" {
			body[name] = value.ValueString()
		}
	}
	for name, value := range map[string]types.Set{"audience": m.Audience, "resource": m.Resource, "scope": m.Scope} {
		var items []string
		diags.Append(value.ElementsAs(ctx, &items, false)...)
		if len(items) > 0 {
			body[name] = items
		}
	}
	return body, diags
}

// refused is the diagnostic of an exchange that the engine refused, at the
// attribute by which the code of the refusal is explained.
func refused(c call, err error) diag.Diagnostic {
	d := c.failed(err)
	text := cause(err, c.sent)
	switch {
	case strings.Contains(text, "invalid_target: resource: "):
		return diag.WithPath(path.Root("resource"), d)
	case strings.Contains(text, "invalid_target: "):
		return diag.WithPath(path.Root("audience"), d)
	case strings.Contains(text, "invalid_scope: "):
		return diag.WithPath(path.Root("scope"), d)
	}
	return d
}

// answer is the response to an exchange (RFC 8693 §2.2.1).
type answer struct {
	AccessToken     string          `json:"access_token"`
	IssuedTokenType string          `json:"issued_token_type"`
	TokenType       string          `json:"token_type"`
	ExpiresIn       int64           `json:"expires_in"`
	Scope           string          `json:"scope"`
	Audience        []string        `json:"audience"`
	JTI             string          `json:"jti"`
	TXN             string          `json:"txn"`
	Subject         string          `json:"subject"`
	Act             json.RawMessage `json:"act"`

	exp time.Time
}

// opaquePrefix begins the tokens of roles with format = "opaque".
const opaquePrefix = "vtx_"

// readAnswer tells whether it is the answer of an exchange that was asked for then.
func readAnswer(secret *api.Secret, asked time.Time) (*answer, bool) {
	var a answer
	if !decode(secret, &a) {
		return nil, false
	}
	if strings.HasPrefix(a.AccessToken, opaquePrefix) { // only the engine can read its date
		a.exp = time.Unix(asked.Unix()+a.ExpiresIn, 0)
		return &a, a.ExpiresIn > 0 && a.ExpiresIn < lastDate-asked.Unix()
	}
	// The token's own date, not this machine's clock and the life.
	claims, err := readClaims(a.AccessToken)
	if err != nil {
		return nil, false
	}
	exp, _ := claims["exp"].(json.Number)
	seconds, err := exp.Int64()
	if err != nil || seconds <= 0 || seconds > lastDate {
		return nil, false
	}
	a.exp = time.Unix(seconds, 0)
	return &a, true
}

// lastDate is the end of the year 9999: RFC 3339 has no later date.
const lastDate = 253402300799

func (a *answer) expires() string { return a.exp.UTC().Format(time.RFC3339) }

// fill writes the answer into the model.
func (m *tokenModel) fill(ctx context.Context, a *answer) diag.Diagnostics {
	m.AccessToken = types.StringValue(a.AccessToken)
	m.IssuedTokenType = types.StringValue(a.IssuedTokenType)
	m.TokenType = types.StringValue(a.TokenType)
	m.ExpiresIn = types.Int64Value(a.ExpiresIn)
	m.ExpiresAt = types.StringValue(a.expires())
	m.JTI = types.StringValue(a.JTI)
	m.TXN = types.StringValue(a.TXN)
	m.Subject = types.StringValue(a.Subject)
	m.Act = types.StringNull()
	if len(a.Act) > 0 && string(a.Act) != "null" {
		m.Act = types.StringValue(string(a.Act))
	}
	var diags, more diag.Diagnostics
	m.GrantedScope, diags = types.SetValueFrom(ctx, types.StringType, strings.Fields(a.Scope))
	m.GrantedAudience, more = types.SetValueFrom(ctx, types.StringType, append([]string{}, a.Audience...))
	return append(diags, more...)
}
