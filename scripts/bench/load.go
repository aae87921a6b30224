package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// contender is one request whose cost is compared with that of others.
type contender struct {
	name   string
	method string
	url    string
	token  string // Vault's; none for an OAuth client
	body   func() (string, error)
	want   string // what a good answer has in it
}

// sample is what one contender did in one slice.
type sample struct {
	perSecond float64
	p50, p99  time.Duration
}

// newClient keeps a connection for each worker: connecting is not measured.
func newClient() *http.Client {
	most := slices.Max(concurrencies)
	return &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{MaxIdleConns: most, MaxIdleConnsPerHost: most},
	}
}

// load sends a contender's request over and over, from each worker as soon as it
// has the answer to the last one.
func load(ctx context.Context, client *http.Client, c contender, workers int, slice time.Duration) (sample, error) {
	latencies := make([][]time.Duration, workers)
	group, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	for i := range workers {
		group.Go(func() error {
			for sent := time.Now(); sent.Sub(began) < slice; {
				if err := c.send(ctx, client); err != nil {
					return err
				}
				now := time.Now()
				latencies[i] = append(latencies[i], now.Sub(sent))
				sent = now
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return sample{}, err
	}
	took := time.Since(began)
	all := slices.Concat(latencies...)
	slices.Sort(all)
	return sample{
		perSecond: float64(len(all)) / took.Seconds(),
		p50:       all[len(all)/2], p99: all[len(all)*99/100],
	}, nil
}

// send makes one request, and reads the answer to its end. A failure never tells
// the body: it may hold a token.
func (c contender) send(ctx context.Context, client *http.Client) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, c.method, c.url, strings.NewReader(body))
	if err != nil {
		return err
	}
	if c.token == "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		req.Header.Set("X-Vault-Token", c.token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("status %s", resp.Status)
	case !bytes.Contains(answer, []byte(c.want)):
		return fmt.Errorf("the answer has no %s", c.want)
	}
	return nil
}
