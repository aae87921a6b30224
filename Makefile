# Each target is one command; what takes more is a script in scripts/.

.DEFAULT_GOAL := help
.PHONY: help build demo dev test lint fmt test-unit test-e2e fuzz bench clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 14

build: ## build the engine: bin/vault-plugin-secrets-token-exchange
	go build -o bin/vault-plugin-secrets-token-exchange ./cmd/vault-plugin-secrets-token-exchange

demo: ## show an exchange, its verification and its revocation on a real Vault
	@scripts/demo.sh

dev: ## leave a dev Vault running with the engine configured (DEV_ADDR=host:port)
	@scripts/dev.sh

test: lint test-unit test-e2e ## all that CI runs

lint: ## linters, formatting, tidiness of go.mod, shell scripts
	scripts/lint.sh

fmt: ## format the Go code
	scripts/tool.sh golangci-lint fmt

test-unit: ## tests that need no Vault and no network
	go test -race -shuffle=on ./...

test-e2e: ## tests against a real Vault and a real identity provider
	scripts/test-e2e.sh

fuzz: ## fuzz each target for FUZZTIME (30s)
	scripts/fuzz.sh

bench: ## compare the engine's speed with its neighbours' on a real Vault
	@scripts/bench.sh

clean: ## remove what was built here; the Vault build stays in the user's cache
	rm -rf bin scripts/idp/node_modules
