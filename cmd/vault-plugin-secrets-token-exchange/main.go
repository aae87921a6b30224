// The plugin binary of the token-exchange secrets engine. Vault starts it; it
// serves every mount of the engine from one process.
package main

import (
	"fmt"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/sdk/plugin"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "-version" {
		fmt.Println(backend.Version)
		return
	}
	if err := serve(os.Args[1:]); err != nil {
		hclog.New(&hclog.LoggerOptions{}).Error("plugin ends", "error", err)
		os.Exit(1)
	}
}

func serve(args []string) error {
	meta := api.PluginAPIClientMeta{}
	flags := meta.FlagSet()
	if err := flags.Parse(args); err != nil {
		return err
	}
	return plugin.ServeMultiplex(&plugin.ServeOpts{
		BackendFactoryFunc: backend.Factory,
		TLSProviderFunc:    api.VaultPluginTLSProvider(meta.GetTLSConfig()),
	})
}
