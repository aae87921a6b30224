package backend

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
)

// metrics are those of one mount. Labels hold configured names and the rules of
// this engine, never what a caller made up: their number is bounded.
type metrics struct {
	registry     *prometheus.Registry
	granted      *prometheus.CounterVec
	denied       *prometheus.CounterVec
	duration     prometheus.Histogram
	explanations *prometheus.CounterVec
	delegated    *prometheus.CounterVec
	opaque       *prometheus.CounterVec
	tidied       prometheus.Counter
	fetches      *prometheus.CounterVec
	clients      *prometheus.CounterVec
	revocations  prometheus.Counter
	state        *prometheus.GaugeVec
	issuerKeys   *prometheus.GaugeVec
	issuerFetch  *prometheus.GaugeVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		granted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "token_exchange_granted_total", Help: "Tokens minted, by role.",
		}, []string{"role"}),
		denied: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "token_exchange_denied_total", Help: "Exchanges denied, by role, stage and the rule that decided.",
		}, []string{"role", "stage", "rule"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "token_exchange_duration_seconds", Help: "Time that an exchange took in the engine, granted or denied.",
			Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .05, .1, .5, 1, 5, 10},
		}),
		explanations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "token_exchange_explanations_total", Help: "Explanations given, by role and what the exchange would come to (granted, denied).",
		}, []string{"role", "result"}),
		delegated: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "token_exchange_delegated_total", Help: "Tokens minted that name an actor, by role.",
		}, []string{"role"}),
		opaque: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "token_exchange_opaque_total", Help: "Opaque tokens minted, each with one write to storage, by role.",
		}, []string{"role"}),
		tidied: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "token_exchange_opaque_tidied_total", Help: "Records of opaque tokens deleted after their expiry.",
		}),
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "token_exchange_issuer_fetches_total", Help: "Fetches of an issuer's keys, and questions about its opaque tokens, by result (ok, error).",
		}, []string{"issuer", "result"}),
		clients: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "token_exchange_client_failures_total", Help: "OAuth clients that did not prove who they are, by client and rule.",
		}, []string{"client", "rule"}),
		revocations: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "token_exchange_revocations_total", Help: "Tokens revoked, by lease or by request.",
		}),
		state: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "token_exchange_objects", Help: "Objects held, by kind: roles, clients, issuers, keys, published_keys, revocations; unreadable entries of storage.",
		}, []string{"kind"}),
		issuerKeys: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "token_exchange_issuer_keys", Help: "Keys held of an issuer, or of client:ID.",
		}, []string{"issuer"}),
		issuerFetch: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "token_exchange_issuer_last_fetch_timestamp_seconds", Help: "When an issuer's keys were fetched last; 0 if never or inline.",
		}, []string{"issuer"}),
	}
	m.registry.MustRegister(m.granted, m.denied, m.duration, m.explanations, m.delegated, m.opaque, m.tidied, m.fetches, m.clients, m.revocations, m.state, m.issuerKeys, m.issuerFetch)
	return m
}

// exchanged counts one exchange where it was decided.
func (m *metrics) exchanged(role string, a *exchange.Answer, err error, took time.Duration) {
	m.duration.Observe(took.Seconds())
	if refusal := denial.From(err); refusal != nil {
		m.denied.WithLabelValues(role, string(refusal.Stage), refusal.Rule).Inc()
		return
	}
	m.granted.WithLabelValues(role).Inc()
	if len(a.Acting) > 0 {
		m.delegated.WithLabelValues(role).Inc()
	}
	if a.Role.Opaque() {
		m.opaque.WithLabelValues(role).Inc()
	}
}

func (m *metrics) explained(role string, allowed bool) {
	result := "denied"
	if allowed {
		result = "granted"
	}
	m.explanations.WithLabelValues(role, result).Inc()
}

func (m *metrics) fetched(issuer string, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.fetches.WithLabelValues(issuer, result).Inc()
}

func (m *metrics) clientFailed(client, rule string) { m.clients.WithLabelValues(client, rule).Inc() }

func (m *metrics) revoked() { m.revocations.Inc() }

// observe sets the gauges from the state of the mount.
func (m *metrics) observe(s *exchange.Snapshot, revocations int, now time.Time) {
	for kind, n := range map[string]int{
		"roles": len(s.Roles), "clients": len(s.Clients), "issuers": len(s.Issuers), "keys": len(s.Keys),
		"published_keys": len(keyring.JWKS(s.Keys, now).Keys), "revocations": revocations, "unreadable": len(s.Unreadable),
	} {
		m.state.WithLabelValues(kind).Set(float64(n))
	}
	m.issuerKeys.Reset()
	m.issuerFetch.Reset()
	for name, i := range s.Issuers {
		m.observeKeys(name, i.Status())
	}
	for id, c := range s.Clients {
		if keys := c.Keys(); keys != nil {
			m.observeKeys(ofClient(id), keys.Status())
		}
	}
}

func (m *metrics) observeKeys(name string, status issuer.Status) {
	fetched := 0.0
	if !status.Fetched.IsZero() {
		fetched = float64(status.Fetched.Unix())
	}
	m.issuerKeys.WithLabelValues(name).Set(float64(len(status.KeyIDs)))
	m.issuerFetch.WithLabelValues(name).Set(fetched)
}

// ofClient is what stands for a client where there is the name of an issuer, which
// has no colon.
func ofClient(id string) string { return "client:" + id }

func (b *backend) metricsPaths() []*framework.Path {
	return []*framework.Path{{
		Pattern: "metrics",
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: &framework.PathOperation{
				Callback: b.with(b.metricsRead), Summary: "Read the metrics of the mount in Prometheus text format.",
				DisplayAttrs: display("read", "metrics"),
				Responses:    map[int][]framework.Response{200: {{Description: "Metrics.", MediaType: "text/plain"}}},
			},
		},
		HelpSynopsis:    "The metrics of this mount, in Prometheus text format.",
		HelpDescription: "vault read -format=raw shows it. Scrape it with a Vault token that may read this path. The counters are those of the active node since the plugin started.",
	}}
}

func (b *backend) metricsRead(_ context.Context, _ *logical.Request, _ *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
	b.metrics.observe(s, b.revocations.Len(), b.now())
	families, err := b.metrics.registry.Gather()
	if err != nil {
		return nil, err
	}
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	var body bytes.Buffer
	encoder := expfmt.NewEncoder(&body, format)
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return nil, err
		}
	}
	return &logical.Response{Data: map[string]any{
		logical.HTTPStatusCode: http.StatusOK, logical.HTTPContentType: string(format), logical.HTTPRawBody: body.Bytes(),
	}}, nil
}
