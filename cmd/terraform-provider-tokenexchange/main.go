// The Terraform provider of the token-exchange secrets engine. Terraform and
// OpenTofu start it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	provider "github.com/tokenexchange/vault-plugin-secrets-token-exchange/terraform-provider"
)

// version is that of the release: go build -ldflags "-X main.version=0.1.0".
var version = "dev"

func main() {
	debug := flag.Bool("debug", false, "wait for a debugger: print how to attach Terraform to this process")
	showVersion := flag.Bool("version", false, "print the version")
	flag.Parse()
	if *showVersion {
		fmt.Println(version)
		return
	}
	err := provider.Prepare()
	if err == nil {
		err = providerserver.Serve(context.Background(), provider.New(version), providerserver.ServeOpts{
			Address: "registry.terraform.io/tokenexchange/tokenexchange",
			Debug:   *debug,
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
