package exchange_test

import "testing"

// BenchmarkExchange is the pipeline alone: an ES256 token in, an ES256 token out.
func BenchmarkExchange(b *testing.B) {
	w := newWorld(b)
	req := w.request()
	b.ReportAllocs()
	for b.Loop() {
		w.mustExchange(req)
	}
}
