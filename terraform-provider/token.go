package provider

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/api/cliconfig"
)

// token is a Vault token.
type token struct {
	value     secret
	source    string    // argument that it comes from
	namespace string    // that it was made in
	ends      time.Time // zero if that is not known, or it does not
	replace   time.Time // when it is near its end; zero as well
}

// lives sets the end of a token that is made now; a life of 0 has none.
func (t *token) lives(now time.Time, life time.Duration) {
	if life > 0 {
		t.ends = now.Add(life)
	}
	t.replace = replaceAt(now, life)
}

// longestMargin is how long before its end a token is replaced at most: what is
// begun with it must be over by then. Short tokens have a quarter of their life.
const longestMargin = 2 * time.Minute

// replaceAt is when a token that is made now is replaced; zero if it does not end.
func replaceAt(now time.Time, life time.Duration) time.Time {
	if life <= 0 {
		return time.Time{}
	}
	return now.Add(life - min(life/4, longestMargin))
}

// nearEnd tells whether another token is needed: there is none, or it ends soon.
func (t *token) nearEnd(now time.Time) bool {
	return t == nil || !t.replace.IsZero() && !now.Before(t.replace)
}

// obtain gets the token to begin with: by logging in, or as it is configured.
func (c *connection) obtain(ctx context.Context) (*token, error) {
	login := c.settings.login
	if login == nil {
		return c.configuredToken(ctx)
	}
	namespace := c.settings.namespace
	if login.namespace != nil {
		namespace = *login.namespace
	}
	if err := c.edition.refuseNamespace(ctx, c.base, namespace); err != nil {
		return nil, err
	}
	if login.tokenFile != "" {
		value, err := login.readTokenFile()
		if err != nil {
			return nil, err
		}
		return c.lookUp(ctx, &token{value: value, source: login.argument + ".filename"})
	}
	now := c.now()
	auth, err := login.do(ctx, c.base.WithNamespace(namespace), c.settings.sent())
	if err != nil {
		return nil, err
	}
	t := &token{value: newSecret(auth.ClientToken), source: login.argument, namespace: namespace}
	t.lives(now, time.Duration(auth.LeaseDuration)*time.Second)
	return t, nil
}

func (c *connection) configuredToken(ctx context.Context) (*token, error) {
	value := c.settings.token
	if value.reveal() == "" {
		helper, err := cliconfig.DefaultTokenHelper()
		if err != nil {
			return nil, &connectionError{"the token helper of the Vault CLI cannot be used: " + err.Error()}
		}
		stored, err := helper.Get()
		if err != nil {
			return nil, &connectionError{"the token helper of the Vault CLI gave no token: " + err.Error()}
		}
		if stored == "" {
			return nil, &connectionError{"token is not set: set it or an auth_login block in the provider's configuration, " +
				"or VAULT_TOKEN in the environment, or log in with the Vault CLI"}
		}
		value = newSecret(stored)
	}
	return c.lookUp(ctx, &token{value: value, source: c.settings.tokenSource})
}

// lookUp adds what Vault knows of a token, if that is needed: a child token is
// made in the namespace of its parent.
func (c *connection) lookUp(ctx context.Context, t *token) (*token, error) {
	s := c.settings
	if s.skipChildToken && (s.namespace != "" || !s.namespaceFromToken) {
		return t, nil
	}
	now := c.now()
	answer, err := c.as(t, "").Auth().Token().LookupSelfWithContext(ctx)
	if isStatus(err, http.StatusForbidden) {
		return nil, &connectionError{fmt.Sprintf("the token of %s is refused at auth/token/lookup-self: %s. It is wrong, or has "+
			"ended, or lacks a policy with read on that path", t.source, cause(err, s.sent(t.value)))}
	}
	if err != nil {
		return nil, &connectionError{fmt.Sprintf("the token of %s cannot be looked up at auth/token/lookup-self: %s",
			t.source, cause(err, s.sent(t.value)))}
	}
	if answer == nil {
		return nil, &connectionError{"auth/token/lookup-self has no answer: address is not that of a Vault"}
	}
	if namespace, ok := answer.Data["namespace_path"].(string); ok {
		t.namespace = cleanNamespace(namespace)
	}
	life, err := answer.TokenTTL()
	if err != nil {
		return nil, &connectionError{"auth/token/lookup-self has no ttl: address is not that of a Vault"}
	}
	t.lives(now, life)
	return t, nil
}

// child makes a token with the policies of its parent and a short life. What is
// leased with it ends with it, and so does what it leaves behind in a state.
func (c *connection) child(ctx context.Context, parent *token) (*token, error) {
	now := c.now()
	life := c.settings.life.String()
	answer, err := c.as(parent, parent.namespace).Auth().Token().CreateWithContext(ctx, &api.TokenCreateRequest{
		DisplayName: c.settings.tokenName, TTL: life, ExplicitMaxTTL: life, Renewable: new(false),
	})
	switch {
	case isStatus(err, http.StatusForbidden):
		return nil, &connectionError{fmt.Sprintf("the token of %s may not make the child token that the provider works with: %s. "+
			"It needs a policy with\n\n  path \"auth/token/create\" { capabilities = [\"update\"] }\n\n"+
			"or set skip_child_token = true to work with the token itself", parent.source, cause(err, c.settings.sent(parent.value)))}
	case err != nil:
		return nil, &connectionError{fmt.Sprintf("the child token of that of %s cannot be made at auth/token/create: %s "+
			"(skip_child_token = true works with the token itself)", parent.source, cause(err, c.settings.sent(parent.value)))}
	case answer == nil || answer.Auth == nil || answer.Auth.ClientToken == "":
		return nil, &connectionError{"auth/token/create gave no token: address is not that of a Vault"}
	}
	t := &token{value: newSecret(answer.Auth.ClientToken), source: parent.source, namespace: parent.namespace}
	t.lives(now, time.Duration(answer.Auth.LeaseDuration)*time.Second)
	// It does not outlive its parent.
	if !parent.replace.IsZero() && (t.replace.IsZero() || parent.replace.Before(t.replace)) {
		t.replace = parent.replace
	}
	if !parent.ends.IsZero() && (t.ends.IsZero() || parent.ends.Before(t.ends)) {
		t.ends = parent.ends
	}
	return t, nil
}
