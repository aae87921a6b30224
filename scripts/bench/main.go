// Command bench compares the engine with its neighbours on a real Vault: the
// tokens of Vault's own identity provider, and a request that goes all the way to
// the plugin and does next to nothing there. scripts/bench.sh starts the Vault.
//
// It prints ratios, which another machine can reproduce; what it measures in one
// second is this machine's. It fails if a request fails, never for being slow.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"
)

// concurrencies are how many requests are under way at the same time.
var concurrencies = []int{1, 8}

func main() {
	rounds := flag.Int("rounds", 14, "how often everything is measured; ratios are taken within a round")
	slice := flag.Duration("slice", 500*time.Millisecond, "how long one path is measured in one round")
	flag.Parse()
	if flag.NArg() != 0 || *rounds < 1 || *slice <= 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*rounds, *slice); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(rounds int, slice time.Duration) error {
	ctx := context.Background()
	contenders, err := configure()
	if err != nil {
		return fmt.Errorf("configuring Vault: %w", err)
	}
	took := time.Duration((rounds+1)*len(concurrencies)*len(contenders)) * slice
	fmt.Printf("measuring %d rounds, about %s\n", rounds, took.Round(time.Second))
	if _, err := measure(ctx, contenders, 1, slice); err != nil { // warms up
		return err
	}
	results, err := measure(ctx, contenders, rounds, slice)
	if err != nil {
		return err
	}
	return results.print(os.Stdout)
}

// measure gives every contender a slice in every round, so that whatever else the
// machine does hits all alike. Each round begins with another one, so that none
// always has the same predecessor's garbage to live with.
func measure(ctx context.Context, contenders []contender, rounds int, slice time.Duration) (results, error) {
	client := newClient()
	defer client.CloseIdleConnections()
	all := results{}
	for i := range rounds {
		for _, workers := range concurrencies {
			for j := range contenders {
				c := contenders[(i+j)%len(contenders)]
				s, err := load(ctx, client, c, workers, slice)
				if err != nil {
					return nil, fmt.Errorf("%s, %d at a time: %w", c.name, workers, err)
				}
				at := series{c.name, workers}
				all[at] = append(all[at], s)
			}
		}
	}
	return all, nil
}
