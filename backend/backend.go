// Package backend is the token-exchange secrets engine as Vault sees it: paths,
// storage and leases. What an exchange may do is decided in the packages below
// internal, which know no Vault.
package backend

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/dpop"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/ratelimit"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/revocation"
)

// Version is the version of the plugin as Vault's catalog knows it. It is a
// variable, so that a test can build the next one: go build -ldflags "-X …".
var Version = "v0.1.0"

const help = `
The token-exchange secrets engine is an OAuth 2.0 token exchange authorization
server (RFC 8693). It takes a token from one trust domain, lets a role decide,
and answers with a narrower, short-lived token for another audience, signed with
a key that never leaves Vault.

To set it up, write in this order: keys/:name, config, issuers/:name,
roles/:name. Then write exchange/:role.
`

// Options are what a test replaces. The zero value is production.
type Options struct {
	Now func() time.Time
}

type backend struct {
	*framework.Backend
	now func() time.Time

	snapshot    atomic.Pointer[exchange.Snapshot] // nil until loaded
	revocations revocation.Set

	// mu guards writes to storage and the loading of what it holds.
	mu                sync.Mutex
	revocationsLoaded bool
	issuers           map[string]*issuer.Issuer // of the last snapshot: their keys are worth keeping
	clients           map[string]*client.Client // the same

	assertions assertions
	proofs     *dpop.Checker

	exchanger exchange.Exchanger
	mountTTL  mountTTL
	metrics   *metrics
}

// Factory returns the engine for one mount.
func Factory(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	return New(ctx, conf, Options{})
}

// New is [Factory] with options.
func New(ctx context.Context, conf *logical.BackendConfig, o Options) (logical.Backend, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	proofs, err := newProofs()
	if err != nil {
		return nil, err
	}
	limits, err := ratelimit.New(ratelimit.DefaultParties)
	if err != nil {
		return nil, err
	}
	b := &backend{now: o.Now, metrics: newMetrics(), proofs: proofs}
	b.exchanger = exchange.Exchanger{Now: o.Now, Revocations: &b.revocations, Limits: limits}
	b.mountTTL.now = o.Now
	b.Backend = &framework.Backend{
		Help:           help,
		BackendType:    logical.TypeLogical,
		RunningVersion: Version,
		PathsSpecial: &logical.Paths{
			Unauthenticated: []string{
				".well-known/keys", ".well-known/openid-configuration", ".well-known/oauth-authorization-server",
				oauthPrefix + "token", oauthPrefix + "introspect", oauthPrefix + "revoke",
			},
			SealWrapStorage: []string{keyPrefix, secretPath, issuerPrefix, clientPrefix},
		},
		Paths: slices.Concat(
			b.configPaths(), b.issuerPaths(), b.keyPaths(), b.rolePaths(), b.clientPaths(), b.oauthPaths(),
			b.exchangePaths(), b.explainPaths(), b.tokenPaths(), b.wellKnownPaths(), b.metricsPaths(),
		),
		Secrets:        []*framework.Secret{b.leasedToken()},
		InitializeFunc: b.initialize,
		PeriodicFunc:   b.periodic,
		Invalidate:     b.invalidate,
	}
	return b, b.Setup(ctx, conf)
}

// HandleRequest refuses what is malformed before the framework sees it,
// and turns a panic into an error: the process serves every mount of the engine.
func (b *backend) HandleRequest(ctx context.Context, req *logical.Request) (resp *logical.Response, err error) {
	defer b.recoverTo(req, &err)
	if isOAuth(req) {
		return b.handleOAuth(ctx, req)
	}
	if err := b.checkInput(req); err != nil {
		return b.refuse(req, err)
	}
	return b.Backend.HandleRequest(ctx, req)
}

// HandleExistenceCheck is what Vault calls before a write. It turns a panic into an
// error, as HandleRequest does, and leaves what is malformed to it: the framework
// checks fields here too, and would repeat them.
func (b *backend) HandleExistenceCheck(ctx context.Context, req *logical.Request) (found, exists bool, err error) {
	defer b.recoverTo(req, &err)
	if isOAuth(req) || b.checkInput(req) != nil {
		return true, true, nil
	}
	return b.Backend.HandleExistenceCheck(ctx, req)
}

func (b *backend) recoverTo(req *logical.Request, err *error) {
	if p := recover(); p != nil {
		// The value of a panic may hold request data; its stack does not.
		b.Logger().Error("panic in a request", "request_id", req.ID, "path", req.Path, "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		*err = errInternal
	}
}

// initialize loads what is stored when the mount becomes active. A failure does
// not fail the mount: every request tries again.
func (b *backend) initialize(ctx context.Context, req *logical.InitializationRequest) error {
	if _, err := b.state(ctx, req.Storage); err != nil {
		b.Logger().Error("cannot load the mount's state; requests will be refused until it can", "error", err)
	}
	return nil
}

// invalidate drops what is cached when another node wrote to storage (Vault
// Enterprise): the next request loads it. It waits for a load that is under way,
// which may have read what was there before.
func (b *backend) invalidate(_ context.Context, path string) {
	if strings.HasPrefix(path, recordPrefix) {
		return // never cached, and one is written with every opaque token
	}
	if strings.HasPrefix(path, assertionPrefix) {
		b.assertions.forget()
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if strings.HasPrefix(path, revocationPrefix) {
		b.revocationsLoaded = false
	}
	b.snapshot.Store(nil)
}
