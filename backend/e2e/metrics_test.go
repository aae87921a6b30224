//go:build e2e

package e2e_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metrics is what a scrape of a mount gave.
type metrics struct {
	text    string
	samples map[string]float64 // by series, as in: name{label="value"}
}

// metrics scrapes the mount as Prometheus does.
func (m *mount) metrics() metrics {
	m.Helper()
	resp, err := m.client.Logical().ReadRaw(m.path + "/metrics")
	if err != nil {
		m.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		m.Errorf("Content-Type: %q", got)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		m.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		m.Fatal(err)
	}
	scraped := metrics{string(text), map[string]float64{}}
	for _, family := range families {
		vector, err := expfmt.ExtractSamples(&expfmt.DecodeOptions{}, family)
		if err != nil {
			m.Fatal(err)
		}
		for _, sample := range vector {
			scraped.samples[sample.Metric.String()] = float64(sample.Value)
		}
	}
	return scraped
}

func TestMetricsMoveWithEachDecision(t *testing.T) {
	t.Parallel()
	c := newChain(newMount(t))
	before := c.metrics()

	first := accessToken(t, c.exchange("orders", c.subject()))
	second := accessToken(t, c.exchange("orders", c.subject()))
	c.exchange("again", first)
	denied := func(role string, d data) {
		t.Helper()
		if _, err := c.tryWrite("exchange/"+role, d); err == nil {
			t.Error("granted")
		}
	}
	denied("orders", data{"subject_token": c.subject(), "audience": "https://made-up.example"})
	denied("orders", data{"subject_token": c.subject(), "audience": orders, "scope": "made-up"})
	denied("orders", data{"subject_token": c.subject(), "audience": orders, "scope": "made-up"})
	denied("made-up-role", nil)
	c.write("revoke", data{"token": second})
	denied("again", data{"subject_token": second, "audience": orders})

	after := c.metrics()
	for series, want := range map[string]float64{ // by how much they move
		`token_exchange_granted_total{role="orders"}`:                                          2,
		`token_exchange_granted_total{role="again"}`:                                           1,
		`token_exchange_denied_total{role="orders", rule="allowed_audiences", stage="decide"}`: 1,
		`token_exchange_denied_total{role="orders", rule="allowed_scopes", stage="decide"}`:    2,
		`token_exchange_denied_total{role="", rule="role", stage="role"}`:                      1,
		`token_exchange_denied_total{role="again", rule="revoked", stage="revocation"}`:        1,
		`token_exchange_duration_seconds_count`:                                                8,
		`token_exchange_revocations_total`:                                                     1,
		`token_exchange_objects{kind="revocations"}`:                                           1,
		`token_exchange_objects{kind="roles"}`:                                                 0,
	} {
		if moved := after.samples[series] - before.samples[series]; moved != want {
			t.Errorf("%s: want it to move by %v, got %v", series, want, moved)
		}
	}
	for series, want := range map[string]float64{
		`token_exchange_objects{kind="roles"}`: 2, `token_exchange_objects{kind="published_keys"}`: 2,
		`token_exchange_issuer_keys{issuer="ci"}`: 1,
	} {
		if got := after.samples[series]; got != want {
			t.Errorf("%s: want %v, got %v", series, want, got)
		}
	}
	if strings.Contains(after.text, "made-up") {
		t.Error("a metric has a name that a caller made up")
	}
}
