package provider

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/hashicorp/vault/api"
)

// connectionError is why there is no connection to Vault. Its text names the
// argument, and has no secret. It has no cause to unwrap, because those who
// unwrap it would drop the text.
type connectionError struct{ text string }

func (e *connectionError) Error() string { return e.text }

// newClient makes a client without a token and without a namespace. Vault's
// client reads the environment; what is configured replaces that.
func (s *settings) newClient() (*api.Client, error) {
	config := api.DefaultConfig()
	if config.Error != nil {
		return nil, &connectionError{"a VAULT_* variable of the environment cannot be used: " + cause(config.Error, nil)}
	}
	if s.address != "" {
		// Vault's client would go to the agent of VAULT_AGENT_ADDR first.
		config.Address, config.AgentAddress = s.address, ""
	}
	if s.maxRetries != nil {
		config.MaxRetries = *s.maxRetries
	}
	config.ReadYourWrites = true
	config.CheckRetry = mayRepeat
	if err := checkEnvHeaders(); err != nil {
		return nil, err
	}
	if err := s.configureTLS(config); err != nil {
		return nil, err
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, &connectionError{"the client of Vault cannot be made: " + cause(err, nil)}
	}
	client.SetCloneHeaders(true)
	client.SetCloneToken(true)
	// The environment's are not for this client: the token is found by the
	// settings, the namespace is checked before it is used, and with
	// VAULT_WRAP_TTL no answer would be one.
	client.ClearToken()
	client.ClearNamespace()
	client.SetWrappingLookupFunc(func(string, string) string { return "" })
	headers := client.Headers()
	for _, h := range s.headers {
		headers.Del(h.name)
	}
	for _, h := range s.headers {
		headers.Add(h.name, h.value.reveal())
	}
	client.SetHeaders(headers)
	// It comes last: Vault's client has to see the transport itself.
	wire, err := newWire(client, config.HttpClient.Transport, s)
	if err != nil {
		return nil, &connectionError{"the client of Vault cannot be made: " + cause(err, nil)}
	}
	config.HttpClient.Transport = wire
	return client, nil
}

// checkEnvHeaders fails if a header of the environment is one of Vault's own,
// however it is spelt: Vault's client looks for one spelling only.
func checkEnvHeaders() error {
	var headers map[string]any
	// What cannot be read, Vault's client complains of.
	_ = json.Unmarshal([]byte(os.Getenv(api.EnvVaultHeaders)), &headers)
	for name := range headers {
		if isVaultsHeader(strings.TrimSpace(name)) {
			return &connectionError{fmt.Sprintf("%s has %s: headers that begin with X-Vault- are Vault's own", api.EnvVaultHeaders, name)}
		}
	}
	return nil
}

func (s *settings) configureTLS(config *api.Config) error {
	wanted := &api.TLSConfig{CACert: s.caFile, CAPath: s.caDir, TLSServerName: s.serverName, ClientCert: s.certFile, ClientKey: s.keyFile}
	arguments := []string{"ca_cert_file", "ca_cert_dir", "client_auth"}
	if s.login != nil && s.login.certFile != "" {
		wanted.ClientCert, wanted.ClientKey = s.login.certFile, s.login.keyFile
		arguments[2] = s.login.argument
	}
	if err := config.ConfigureTLS(wanted); err != nil {
		return &connectionError{fmt.Sprintf("TLS cannot be set up with %s: %s", strings.Join(arguments, ", "), cause(err, nil))}
	}
	// ConfigureTLS can only turn verification off. Somebody who writes
	// skip_tls_verify = false means it, whatever VAULT_SKIP_VERIFY says.
	if transport, ok := config.HttpClient.Transport.(*http.Transport); ok && s.skipVerify != nil {
		transport.TLSClientConfig.InsecureSkipVerify = *s.skipVerify
	}
	return nil
}

// cause is what went wrong, without the request: a URL may have a password. An
// answer may repeat what it was sent; that is hidden.
func cause(err error, sent []secret) string {
	text := err.Error()
	if response, ok := errors.AsType[*api.ResponseError](err); ok {
		text = fmt.Sprintf("%d %s", response.StatusCode, http.StatusText(response.StatusCode))
		if len(response.Errors) > 0 {
			text = strings.Join(response.Errors, "; ")
		}
	} else if wire, ok := errors.AsType[*wireError](err); ok {
		text = wire.text
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			text += " (ca_cert_file, ca_cert_dir and tls_server_name say which certificate is expected)"
		}
	} else if request, ok := errors.AsType[*url.Error](err); ok {
		text = request.Err.Error()
	}
	return strings.TrimSpace(hide(text, sent))
}

// isStatus tells whether Vault answered with this.
func isStatus(err error, code int) bool {
	response, ok := errors.AsType[*api.ResponseError](err)
	return ok && response.StatusCode == code
}
