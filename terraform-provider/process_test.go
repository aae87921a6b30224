package provider

import (
	"os"
	"testing"
)

func TestQuietLogs(t *testing.T) {
	for name, c := range map[string]struct{ variable, value, want string }{
		"nobody asked":                        {"TF_LOG_PATH", "trace.log", "OFF"},
		"asked of Terraform":                  {"TF_LOG", "TRACE", ""},
		"asked of providers":                  {"TF_LOG_PROVIDER", "DEBUG", ""},
		"asked of the framework":              {"TF_LOG_SDK", "WARN", "WARN"},
		"asked of the framework, and nothing": {"TF_LOG", "", "OFF"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, level := range logLevels {
				t.Setenv(level, "")
			}
			t.Setenv(c.variable, c.value)
			if err := quietLogs(); err != nil {
				t.Fatal(err)
			}
			if got := os.Getenv("TF_LOG_SDK"); got != c.want {
				t.Errorf("TF_LOG_SDK is %q, want %q", got, c.want)
			}
		})
	}
}
