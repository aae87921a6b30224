# Each target is one command; what takes more is a script in scripts/.

.DEFAULT_GOAL := help
.PHONY: help build build-provider demo demo-terraform dev docs test lint fmt test-unit test-e2e test-clients test-terraform test-release release \
	fuzz bench clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 17

build: ## build the engine: bin/vault-plugin-secrets-token-exchange
	go build -o bin/vault-plugin-secrets-token-exchange ./cmd/vault-plugin-secrets-token-exchange

# Not bin/: a dev Vault takes every file there for a plugin.
build-provider: ## build the Terraform provider: bin-terraform/terraform-provider-tokenexchange
	go build -o bin-terraform/terraform-provider-tokenexchange ./cmd/terraform-provider-tokenexchange

demo: ## show an exchange, its verification and its revocation on a real Vault
	@scripts/demo.sh

demo-terraform: ## the same with Terraform: configure, exchange, destroy, nothing left
	@scripts/demo-terraform.sh

dev: ## leave a dev Vault running with the engine configured (DEV_ADDR=host:port)
	@scripts/dev.sh

test: lint test-unit test-e2e test-clients test-terraform test-release ## all that CI runs

lint: ## linters, formatting, tidiness of go.mod, shell scripts, generated documentation
	scripts/lint.sh

fmt: ## format the Go code
	scripts/tool.sh golangci-lint fmt

docs: ## generate documentation: terraform-provider/docs, docs/conformance.md
	scripts/docs.sh

test-unit: ## tests that need no Vault and no network
	go test -race -shuffle=on ./...

test-e2e: ## tests against a real Vault and a real identity provider
	scripts/test-e2e.sh

test-clients: ## published OAuth clients and resource servers, over TLS and behind nginx
	scripts/test-clients.sh

test-terraform: ## tests of the provider through Terraform and OpenTofu
	scripts/test-terraform.sh

test-release: ## build a release twice, and install it
	scripts/test-release.sh

release: ## build what a release consists of: dist/ (VERSION, PLATFORMS, RELEASE_GPG_KEY)
	@scripts/release.sh

fuzz: ## fuzz each target for FUZZTIME (30s)
	scripts/fuzz.sh

bench: ## compare the engine's speed with its neighbours' on a real Vault
	@scripts/bench.sh

clean: ## remove what was built here; Vault and OpenTofu stay in the user's cache
	rm -rf bin bin-terraform dist scripts/idp/node_modules scripts/clients/node_modules
