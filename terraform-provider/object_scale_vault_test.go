//go:build e2e

package provider

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

const manyRoles = 200

// many is a configuration of that many roles.
func (m *mount) many() string {
	return fmt.Sprintf(`
resource "tokenexchange_role" "x" {
  count             = %d
  mount             = %q
  name              = "role-${count.index}"
  issuers           = ["ci"]
  bound_claims      = { repository = "acme/app-${count.index}", ref = ["refs/heads/main", "refs/heads/next"] }
  allowed_audiences = ["https://orders.example", "https://stock.example"]
  allowed_scopes    = ["read", "write"]
  ttl               = "5m"
}`, manyRoles, m.path)
}

// counter stands between Terraform and Vault, and counts requests.
type requestCounter struct {
	mu       sync.Mutex
	requests map[string]int // by method and path
}

func (m *mount) count() *requestCounter {
	m.Helper()
	target, err := url.Parse(m.client.Address())
	if err != nil {
		m.Fatal(err)
	}
	c := &requestCounter{requests: map[string]int{}}
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.requests[r.Method+" "+r.URL.Path]++
		c.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	m.Cleanup(server.Close)
	m.Setenv("VAULT_ADDR", server.URL)
	return c
}

// take returns what was counted, and begins again.
func (c *requestCounter) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.requests
	c.requests = map[string]int{}
	return taken
}

// A plan without changes reads each resource once, and writes nothing to the
// mount.
func TestAPlanReadsEachResourceOnce(t *testing.T) {
	m := newMount(t)
	counter := m.count()
	tf := newCLI(t, m.many())
	t.Setenv("TF_LOG", "")
	tf.says("apply", fmt.Sprintf("%d added", manyRoles), "apply", "-no-color", "-auto-approve")
	counter.take()
	tf.says("plan", "No changes.", "plan", "-no-color")
	reads := 0
	for request, n := range counter.take() {
		switch {
		case !strings.Contains(request, m.path): // login
		case strings.HasPrefix(request, "GET ") && n == 1:
			reads++
		default:
			t.Errorf("%s: %d times", request, n)
		}
	}
	if reads != manyRoles {
		t.Errorf("%d reads of %d roles", reads, manyRoles)
	}
}

// BenchmarkPlanOfManyRoles compares a plan without changes with the same reads
// through the API, one after the other: the metric "ratio" is their quotient. The
// metric "floor" is that of a plan with a provider that has the same schemas and
// neither checks nor reads anything: what Terraform takes for itself.
func BenchmarkPlanOfManyRoles(b *testing.B) {
	m := newMount(b)
	tf := newCLI(b, m.many())
	b.Setenv("TF_LOG", "")
	tf.says("apply", fmt.Sprintf("%d added", manyRoles), "apply", "-no-color", "-auto-approve")
	var plan, idle, raw time.Duration
	for b.Loop() {
		start := time.Now()
		tf.says("plan", "No changes.", "plan", "-no-color")
		planned := time.Now()
		b.Setenv(idleProvider, "1")
		tf.says("idle", "No changes.", "plan", "-no-color")
		b.Setenv(idleProvider, "")
		idled := time.Now()
		for i := range manyRoles {
			if m.read(fmt.Sprintf("roles/role-%d", i)) == nil {
				b.Fatal("a role has gone")
			}
		}
		plan, idle, raw = plan+planned.Sub(start), idle+idled.Sub(planned), raw+time.Since(idled)
	}
	b.ReportMetric(plan.Seconds()/float64(b.N), "plan-s/op")
	b.ReportMetric(raw.Seconds()/float64(b.N), "raw-s/op")
	b.ReportMetric(plan.Seconds()/raw.Seconds(), "ratio")
	b.ReportMetric(idle.Seconds()/raw.Seconds(), "floor")
}

// idleProvider is the variable that has this binary serve an idle provider.
const idleProvider = "TOKENEXCHANGE_TEST_IDLE"

// idle is a provider for which everything is as Terraform thinks already.
type idle struct {
	tfprotov6.ProviderServer
	types map[string]tftypes.Type
}

func newIdle(p provider.Provider) func() tfprotov6.ProviderServer {
	server := providerserver.NewProtocol6(p)()
	schemas, err := server.GetProviderSchema(context.Background(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		panic(err)
	}
	i := idle{server, map[string]tftypes.Type{}}
	for name, schema := range schemas.ResourceSchemas {
		i.types[name] = schema.ValueType()
	}
	return func() tfprotov6.ProviderServer { return i }
}

func (idle) ValidateResourceConfig(context.Context, *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	return &tfprotov6.ValidateResourceConfigResponse{}, nil
}

// The state is stored as JSON, and goes through the protocol as MessagePack.
func (i idle) UpgradeResourceState(_ context.Context, r *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	v, err := r.RawState.Unmarshal(i.types[r.TypeName])
	if err != nil {
		return nil, err
	}
	d, err := tfprotov6.NewDynamicValue(i.types[r.TypeName], v)
	return &tfprotov6.UpgradeResourceStateResponse{UpgradedState: &d}, err
}

func (idle) ReadResource(_ context.Context, r *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	return &tfprotov6.ReadResourceResponse{NewState: r.CurrentState, NewIdentity: r.CurrentIdentity, Private: r.Private}, nil
}

func (idle) PlanResourceChange(_ context.Context, r *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	return &tfprotov6.PlanResourceChangeResponse{PlannedState: r.ProposedNewState, PlannedIdentity: r.PriorIdentity, PlannedPrivate: r.PriorPrivate}, nil
}
