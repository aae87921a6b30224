package provider

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/hashicorp/vault/api"
)

// model is the configuration of the provider as it is written.
type model struct {
	Address               types.String `tfsdk:"address"`
	Token                 types.String `tfsdk:"token"`
	TokenName             types.String `tfsdk:"token_name"`
	SkipChildToken        types.Bool   `tfsdk:"skip_child_token"`
	MaxLeaseTTLSeconds    types.Int64  `tfsdk:"max_lease_ttl_seconds"`
	Namespace             types.String `tfsdk:"namespace"`
	SetNamespaceFromToken types.Bool   `tfsdk:"set_namespace_from_token"`
	CACertFile            types.String `tfsdk:"ca_cert_file"`
	CACertDir             types.String `tfsdk:"ca_cert_dir"`
	TLSServerName         types.String `tfsdk:"tls_server_name"`
	SkipTLSVerify         types.Bool   `tfsdk:"skip_tls_verify"`
	MaxRetries            types.Int64  `tfsdk:"max_retries"`
	ClientAuth            types.List   `tfsdk:"client_auth"`
	Headers               types.List   `tfsdk:"headers"`
	AuthLogin             types.List   `tfsdk:"auth_login"`
	AuthLoginJWT          types.List   `tfsdk:"auth_login_jwt"`
	AuthLoginUserpass     types.List   `tfsdk:"auth_login_userpass"`
	AuthLoginCert         types.List   `tfsdk:"auth_login_cert"`
	AuthLoginTokenFile    types.List   `tfsdk:"auth_login_token_file"`
}

// settings is what the configuration and the environment say together. The
// variables that are not here are read by Vault's client, below what is.
type settings struct {
	address            string // "" leaves it to the environment
	addressInUse       string // whatever it comes from
	addressSource      string
	token              secret // of the configuration or VAULT_TOKEN
	tokenSource        string
	tokenName          string
	skipChildToken     bool
	life               time.Duration // of child tokens
	namespace          string
	namespaceFromToken bool
	caFile, caDir      string
	serverName         string
	skipVerify         *bool // nil leaves it to the environment
	certFile, keyFile  string
	headers            []header
	maxRetries         *int // nil leaves it to the environment
	login              *login
}

type header struct {
	name  string
	value secret
}

// sent are the secrets of each request, and some more.
func (s *settings) sent(more ...secret) []secret {
	for _, h := range s.headers {
		more = append(more, h.value)
	}
	return more
}

// settings applies what the configuration leaves out: the environment, then the
// default. An empty string is as good as none.
func (m *model) settings() (*settings, error) {
	token, source := m.token()
	address, addressSource := m.address()
	s := &settings{
		address:            m.Address.ValueString(),
		addressInUse:       address,
		addressSource:      addressSource,
		token:              token,
		tokenSource:        source,
		tokenName:          either(m.TokenName.ValueString(), "VAULT_TOKEN_NAME", "terraform"),
		namespace:          cleanNamespace(either(m.Namespace.ValueString(), api.EnvVaultNamespace, "")),
		caFile:             m.CACertFile.ValueString(),
		caDir:              m.CACertDir.ValueString(),
		serverName:         m.TLSServerName.ValueString(),
		skipVerify:         m.SkipTLSVerify.ValueBoolPointer(),
		skipChildToken:     m.SkipChildToken.ValueBool(),
		namespaceFromToken: m.SetNamespaceFromToken.ValueBool(),
	}
	if address == "" {
		return nil, notSet("address", api.EnvVaultAddress)
	}
	if !isAddress(address) {
		return nil, &connectionError{addressSource + mustBeAddress}
	}
	var err error
	if m.SkipChildToken.IsNull() {
		if s.skipChildToken, err = flagFromEnv("TERRAFORM_VAULT_SKIP_CHILD_TOKEN", false); err != nil {
			return nil, err
		}
	}
	if m.SetNamespaceFromToken.IsNull() {
		if s.namespaceFromToken, err = flagFromEnv("VAULT_SET_NAMESPACE_FROM_TOKEN", true); err != nil {
			return nil, err
		}
	}
	if s.life, err = m.life(); err != nil {
		return nil, err
	}
	if !m.MaxRetries.IsNull() {
		s.maxRetries = new(int(m.MaxRetries.ValueInt64()))
	}
	for _, block := range elements(m.ClientAuth) {
		s.certFile, s.keyFile = values(block).text("cert_file"), values(block).text("key_file")
	}
	for _, block := range elements(m.Headers) {
		s.headers = append(s.headers, header{name: values(block).text("name"), value: newSecret(values(block).text("value"))})
	}
	s.login, err = m.login()
	return s, err
}

// address is that of Vault, and what it comes from: the environment's is in the
// order of Vault's client.
func (m *model) address() (address, source string) {
	if address := m.Address.ValueString(); address != "" {
		return address, "address"
	}
	for _, name := range []string{api.EnvVaultAgentAddr, api.EnvVaultAddress} {
		if address := os.Getenv(name); address != "" {
			return address, name
		}
	}
	return "", ""
}

func (m *model) token() (token secret, source string) {
	if token := m.Token.ValueString(); token != "" {
		return newSecret(token), "token"
	}
	if token := os.Getenv(api.EnvVaultToken); token != "" {
		return newSecret(token), api.EnvVaultToken
	}
	return secret{}, "the token helper"
}

func (m *model) life() (time.Duration, error) {
	const env, standard = "TERRAFORM_VAULT_MAX_TTL", 1200
	seconds := int64(standard)
	if !m.MaxLeaseTTLSeconds.IsNull() {
		seconds = m.MaxLeaseTTLSeconds.ValueInt64()
	} else if v := os.Getenv(env); v != "" {
		var err error
		if seconds, err = strconv.ParseInt(v, 10, 32); err != nil || seconds < 1 {
			return 0, &connectionError{env + " must be a number of seconds, at least 1"}
		}
	}
	return time.Duration(seconds) * time.Second, nil
}

func either(value, env, otherwise string) string {
	if value != "" {
		return value
	}
	if value := os.Getenv(env); value != "" {
		return value
	}
	return otherwise
}

func flagFromEnv(name string, otherwise bool) (bool, error) {
	v := os.Getenv(name)
	if v == "" {
		return otherwise, nil
	}
	flag, err := strconv.ParseBool(v)
	if err != nil {
		return false, &connectionError{name + " must be true or false"}
	}
	return flag, nil
}

func notSet(argument, env string) error {
	return &connectionError{fmt.Sprintf("%s is not set: set it in the provider's configuration, or %s in the environment", argument, env)}
}

// elements are the blocks of a list.
func elements(list types.List) []map[string]attr.Value {
	var blocks []map[string]attr.Value
	for _, e := range list.Elements() {
		if object, ok := e.(types.Object); ok {
			blocks = append(blocks, object.Attributes())
		}
	}
	return blocks
}

// unknownArguments names what is not known of a configuration, because it comes
// from something that does not exist yet.
func unknownArguments(config tftypes.Value) []string {
	var names []string
	// The function returns no error, so neither does the walk.
	_ = tftypes.Walk(config, func(path *tftypes.AttributePath, v tftypes.Value) (bool, error) {
		if !v.IsKnown() {
			var steps []string
			for _, step := range path.Steps() {
				if name, ok := step.(tftypes.AttributeName); ok {
					steps = append(steps, string(name))
				}
			}
			names = append(names, strings.Join(steps, "."))
		}
		return true, nil
	})
	slices.Sort(names)
	return slices.Compact(names)
}
