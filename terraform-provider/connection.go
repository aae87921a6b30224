package provider

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
)

// connection is the provider's way to Vault. It is made without a request, and
// logs in when it is used first. A failure is not kept: the next use tries again.
type connection struct {
	now      func() time.Time
	settings *settings
	unknown  []string // arguments that are not known yet; then there are no settings
	invalid  error    // what is wrong with the settings

	mu      sync.Mutex
	base    *api.Client // without token and namespace; nil until the first use
	edition edition
	parent  *token // what the child token was made from
	session *token // what is used
	own     string // the provider's namespace, when session is set
	hung    error  // the last time that Vault did not answer
	hungAt  time.Time
}

// patience is how long it may take to log in, if nobody says how long a request
// may take: who waits for Terraform sees nothing until then.
var patience = 30 * time.Second

// client returns a client that is logged in, for a namespace below the
// provider's own; "" is the provider's own. It is for one piece of work: another
// call gives a client whose token lasts.
func (c *connection) client(ctx context.Context, namespace string) (*api.Client, error) {
	client, _, err := c.use(ctx, namespace)
	return client, err
}

// use returns the session of the client as well.
func (c *connection) use(ctx context.Context, namespace string) (*api.Client, *token, error) {
	arrived := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	// Who has waited while Vault did not answer does not wait once more.
	if c.hung != nil && arrived.Before(c.hungAt) {
		return nil, nil, c.hung
	}
	if err := c.open(); err != nil {
		return nil, nil, err
	}
	if os.Getenv(api.EnvVaultClientTimeout) == "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	client, err := c.connect(ctx, namespace)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		c.hung, c.hungAt = err, c.now()
	}
	return client, c.session, err
}

func (c *connection) connect(ctx context.Context, namespace string) (*api.Client, error) {
	// The namespace is refused before anything is sent to it, credentials included.
	wanted := joinNamespaces(c.settings.namespace, namespace)
	if err := c.edition.refuseNamespace(ctx, c.base, wanted); err != nil {
		return nil, err
	}
	if c.session.nearEnd(c.now()) {
		if err := c.logIn(ctx); err != nil {
			return nil, err
		}
	}
	return c.as(c.session, joinNamespaces(c.own, namespace)), nil
}

// namespace returns the full name of a namespace below the provider's own, for
// messages. If the token says which the provider's is, it is known once
// [connection.client] has returned a client.
func (c *connection) namespace(relative string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.own
	if c.session == nil && c.settings != nil {
		own = c.settings.namespace
	}
	return joinNamespaces(own, relative)
}

// reach returns the client for a call, and completes the namespace that the call
// tells of.
func (c *connection) reach(ctx context.Context, to *call) (*api.Client, error) {
	client, session, err := c.use(ctx, to.namespace)
	if err == nil {
		to.namespace, to.ends = c.namespace(to.namespace), session.ends
	}
	return client, err
}

// open makes the client that the others are copies of.
func (c *connection) open() error {
	if len(c.unknown) > 0 {
		be := "is"
		if len(c.unknown) > 1 {
			be = "are"
		}
		return &connectionError{fmt.Sprintf("the provider's %s %s not known yet, because it comes from something that "+
			"Terraform has not created. Create that first, or write the value down", strings.Join(c.unknown, ", "), be)}
	}
	if c.invalid != nil {
		return c.invalid
	}
	if c.base != nil {
		return nil
	}
	client, err := c.settings.newClient()
	if err != nil {
		return err
	}
	c.base = client
	return nil
}

// as returns a client with a token, in a namespace. It is a copy: those that
// work with another token or namespace are not disturbed.
func (c *connection) as(t *token, namespace string) *api.Client {
	client := c.base.WithNamespace(namespace)
	client.SetToken(t.value.reveal())
	return client
}

// logIn makes the session, from the parent token if that lasts.
func (c *connection) logIn(ctx context.Context) error {
	parent := c.parent
	// Only while this succeeds is the parent good for another time.
	c.parent = nil
	if parent.nearEnd(c.now()) {
		var err error
		if parent, err = c.obtain(ctx); err != nil {
			return err
		}
	}
	own := c.settings.namespace
	if own == "" && c.settings.namespaceFromToken {
		own = parent.namespace
	}
	session := parent
	if !c.settings.skipChildToken {
		var err error
		if session, err = c.child(ctx, parent); err != nil {
			return err
		}
	}
	c.parent, c.session, c.own = parent, session, own
	return nil
}
