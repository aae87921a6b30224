package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// series is one contender at one concurrency.
type series struct {
	name    string
	workers int
}

// results have one sample for each round.
type results map[series][]sample

// comparisons are the ratios that are printed: the first divided by the second.
var comparisons = [][2]string{
	{unleased, identity},
	{leased, identity},
	{unleased, empty},
	{leased, empty},
	{standard, unleased},
	{standard, identity},
	{emptyToo, empty},
}

func perSecond(s sample) float64 { return s.perSecond }
func p50(s sample) float64       { return s.p50.Seconds() }
func p99(s sample) float64       { return s.p99.Seconds() }

func (r results) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	if _, err := io.WriteString(w, r.medians()+r.ratios()); err != nil {
		return err
	}
	return w.Flush()
}

func (r results) medians() string {
	var out strings.Builder
	out.WriteString("\nOn this machine, now: the medians of the rounds\n\n")
	out.WriteString("request\tat a time\trequests/s\tp50\tp99\n")
	for _, name := range []string{identity, unleased, leased, standard, empty} {
		for _, workers := range concurrencies {
			samples := r[series{name, workers}]
			fmt.Fprintf(&out, "%s\t%d\t%.0f\t%s\t%s\n", name, workers,
				spreadOf(samples, perSecond).median, duration(spreadOf(samples, p50)), duration(spreadOf(samples, p99)))
		}
	}
	return out.String()
}

func (r results) ratios() string {
	var out strings.Builder
	out.WriteString("\nRatios within a round: median, [middle half of the rounds], (all rounds)\n\n")
	out.WriteString("ratio\tat a time\trequests/s\tp50\n")
	for _, c := range comparisons {
		for _, workers := range concurrencies {
			one, other := r[series{c[0], workers}], r[series{c[1], workers}]
			fmt.Fprintf(&out, "%s / %s\t%d\t%s\t%s\n", c[0], c[1], workers,
				ratio(one, other, perSecond), ratio(one, other, p50))
		}
	}
	return out.String()
}

func duration(s spread) time.Duration {
	return time.Duration(s.median * float64(time.Second)).Round(10 * time.Microsecond)
}

// spread tells how far the rounds are from each other.
type spread struct{ least, lower, median, upper, most float64 }

func (s spread) String() string {
	return fmt.Sprintf("%.2f [%.2f–%.2f] (%.2f–%.2f)", s.median, s.lower, s.upper, s.least, s.most)
}

func spreadOf(samples []sample, of func(sample) float64) spread {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	return spreadOfValues(values)
}

// ratio compares two series round by round.
func ratio(one, other []sample, of func(sample) float64) spread {
	values := make([]float64, len(one))
	for i := range one {
		values[i] = of(one[i]) / of(other[i])
	}
	return spreadOfValues(values)
}

func spreadOfValues(values []float64) spread {
	slices.Sort(values)
	return spread{
		quantile(values, 0), quantile(values, 0.25), quantile(values, 0.5), quantile(values, 0.75), quantile(values, 1),
	}
}

// quantile interpolates between the two sorted values that are nearest.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i == len(sorted)-1 {
		return sorted[i]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
