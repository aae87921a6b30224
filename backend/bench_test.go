package backend_test

import (
	"context"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend"
)

// BenchmarkExchange is an exchange as the plugin's process sees it: without
// Vault, without the way to it, and without the log that the tests keep.
func BenchmarkExchange(b *testing.B) {
	m := newMount(b)
	quiet, err := backend.New(context.Background(), &logical.BackendConfig{
		System: m.system, StorageView: m.storage, Logger: hclog.NewNullLogger(),
	}, backend.Options{Now: func() time.Time { return m.now }})
	if err != nil {
		b.Fatal(err)
	}
	m.backend = quiet
	body := map[string]any{"subject_token": m.idp.Sign(b, m.idp.Claims(m.now, nil))}
	b.ReportAllocs()
	for b.Loop() {
		m.write("exchange/unleased", body)
	}
}
