package provider

import (
	"os"
	"slices"
)

// logLevels are the variables by which somebody asks for logs of Terraform, or of
// what a provider is made of.
var logLevels = []string{
	"TF_LOG", "TF_LOG_PROVIDER", "TF_LOG_PROVIDER_TOKENEXCHANGE", "TF_LOG_SDK", "TF_LOG_SDK_FRAMEWORK", "TF_LOG_SDK_PROTO",
}

// QuietLogs keeps the plugin framework from logging what nobody has asked for. By
// itself it logs everything, and leaves it to Terraform to read it all and throw it
// away, which takes two fifths of the time of a plan. It belongs before serving.
func QuietLogs() error {
	if slices.ContainsFunc(logLevels, func(name string) bool { return os.Getenv(name) != "" }) {
		return nil
	}
	return os.Setenv("TF_LOG_SDK", "OFF")
}
