package provider

import (
	"os"
	"runtime/debug"
	"slices"
)

// logLevels are the variables by which somebody asks for logs of Terraform, or of
// what a provider is made of.
var logLevels = []string{
	"TF_LOG", "TF_LOG_PROVIDER", "TF_LOG_PROVIDER_TOKENEXCHANGE", "TF_LOG_SDK", "TF_LOG_SDK_FRAMEWORK", "TF_LOG_SDK_PROTO",
}

// gcPercent lets garbage grow to four times what is in use, a few megabytes, before
// it is collected: the plugin framework makes a lot of it, and the process lives for
// one run of Terraform. docs/performance.md has what it saves.
const gcPercent = 400

// Prepare sets the process up to serve the provider; it belongs before serving. It
// fails if the environment cannot be written.
func Prepare() error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	return quietLogs()
}

// quietLogs keeps the plugin framework from logging what nobody has asked for. By
// itself it logs everything, and leaves it to Terraform to read it all and throw it
// away, which takes two fifths of the time of a plan.
func quietLogs() error {
	if slices.ContainsFunc(logLevels, func(name string) bool { return os.Getenv(name) != "" }) {
		return nil
	}
	return os.Setenv("TF_LOG_SDK", "OFF")
}
