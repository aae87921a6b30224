package provider

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/vault/api"
)

// login is an auth_login block: a way to get a token for something else.
type login struct {
	argument          string  // name of the block
	namespace         *string // from the root; nil is the provider's
	path              string
	body              map[string]secret
	passwordFile      string
	tokenFile         string
	certFile, keyFile string
}

type loginBlock struct {
	argument string
	block    types.List
	read     func(*login, map[string]attr.Value) error
}

func (m *model) logins() []loginBlock {
	return []loginBlock{
		{"auth_login", m.AuthLogin, (*login).generic},
		{"auth_login_jwt", m.AuthLoginJWT, (*login).jwt},
		{"auth_login_userpass", m.AuthLoginUserpass, (*login).userpass},
		{"auth_login_cert", m.AuthLoginCert, (*login).cert},
		{"auth_login_token_file", m.AuthLoginTokenFile, (*login).file},
	}
}

// login reads the block that there is, if there is one.
func (m *model) login() (*login, error) {
	for _, l := range m.logins() {
		blocks := elements(l.block)
		if len(blocks) == 0 {
			continue
		}
		way, block := &login{argument: l.argument}, blocks[0]
		if root, ok := block["use_root_namespace"].(types.Bool); ok && root.ValueBool() {
			way.namespace = new("")
		} else if namespace := values(block).text("namespace"); namespace != "" {
			way.namespace = new(cleanNamespace(namespace))
		}
		return way, l.read(way, block)
	}
	return nil, nil
}

func (l *login) generic(block map[string]attr.Value) error {
	l.path = strings.Trim(values(block).text("path"), "/")
	l.body = map[string]secret{}
	parameters, _ := block["parameters"].(types.Map)
	for name, value := range parameters.Elements() {
		if value, ok := value.(types.String); ok && !value.IsNull() {
			l.body[name] = newSecret(value.ValueString())
		}
	}
	return nil
}

func (l *login) jwt(block map[string]attr.Value) error {
	const env = "TERRAFORM_VAULT_AUTH_JWT"
	jwt := either(values(block).text("jwt"), env, "")
	if jwt == "" {
		return notSet("auth_login_jwt.jwt", env)
	}
	l.path = "auth/" + authMount(block, "jwt") + "/login"
	l.body = map[string]secret{"role": newSecret(values(block).text("role")), "jwt": newSecret(jwt)}
	return nil
}

func (l *login) userpass(block map[string]attr.Value) error {
	const envUsername, envPassword, envFile = "TERRAFORM_VAULT_USERNAME", "TERRAFORM_VAULT_PASSWORD", "TERRAFORM_VAULT_PASSWORD_FILE"
	username := either(values(block).text("username"), envUsername, "")
	if username == "" {
		return notSet("auth_login_userpass.username", envUsername)
	}
	// What is in the configuration goes before the environment, whichever of the
	// two it is.
	password, file := values(block).text("password"), values(block).text("password_file")
	if password == "" && file == "" {
		if password = os.Getenv(envPassword); password == "" {
			file = os.Getenv(envFile)
		}
	}
	if password == "" && file == "" {
		return notSet("auth_login_userpass.password", envPassword)
	}
	l.path = "auth/" + authMount(block, "userpass") + "/login/" + username
	l.body, l.passwordFile = map[string]secret{"password": newSecret(password)}, file
	return nil
}

func (l *login) cert(block map[string]attr.Value) error {
	l.path = "auth/" + authMount(block, "cert") + "/login"
	l.body = map[string]secret{}
	if name := values(block).text("name"); name != "" {
		l.body["name"] = newSecret(name)
	}
	l.certFile, l.keyFile = values(block).text("cert_file"), values(block).text("key_file")
	return nil
}

func (l *login) file(block map[string]attr.Value) error {
	const env = "TERRAFORM_VAULT_TOKEN_FILENAME"
	if l.tokenFile = either(values(block).text("filename"), env, ""); l.tokenFile == "" {
		return notSet("auth_login_token_file.filename", env)
	}
	return nil
}

func authMount(block map[string]attr.Value, standard string) string {
	if mount := strings.Trim(values(block).text("mount"), "/"); mount != "" {
		return mount
	}
	return standard
}

// do logs in, with a client that has no token. What the client sends by itself
// is in sent, so that no error repeats it.
func (l *login) do(ctx context.Context, client *api.Client, sent []secret) (*api.SecretAuth, error) {
	body := map[string]any{}
	for name, value := range l.body {
		body[name] = value.reveal()
		sent = append(sent, value)
	}
	if l.passwordFile != "" {
		password, err := os.ReadFile(l.passwordFile)
		if err != nil {
			return nil, &connectionError{fmt.Sprintf("%s.password_file cannot be read: %v", l.argument, err)}
		}
		line := strings.TrimRight(string(password), "\r\n")
		body["password"] = line
		sent = append(sent, newSecret(line))
	}
	answer, err := client.Logical().WriteWithContext(ctx, l.path, body)
	if err != nil {
		return nil, &connectionError{fmt.Sprintf("%s: cannot log in at %s: %s", l.argument, l.path, cause(err, sent))}
	}
	if answer == nil || answer.Auth == nil || answer.Auth.ClientToken == "" {
		return nil, &connectionError{fmt.Sprintf("%s: %s gave no token: it is not a login, or it wants a second factor, "+
			"which the provider cannot give", l.argument, l.path)}
	}
	return answer.Auth, nil
}

// readTokenFile reads a file that nobody but its owner may read: a token that
// others can read is theirs as well.
func (l *login) readTokenFile() (secret, error) {
	refuse := func(why string) (secret, error) {
		return secret{}, &connectionError{fmt.Sprintf("%s.filename: %s %s", l.argument, l.tokenFile, why)}
	}
	info, err := os.Stat(l.tokenFile)
	if err != nil {
		return secret{}, &connectionError{fmt.Sprintf("%s.filename cannot be read: %v", l.argument, err)}
	}
	if !info.Mode().IsRegular() {
		return refuse("is not a regular file")
	}
	// Windows has no such bits.
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return refuse(fmt.Sprintf("may be read or written by others (mode %#o): its mode must be 0600", mode))
	}
	content, err := os.ReadFile(l.tokenFile)
	if err != nil {
		return secret{}, &connectionError{fmt.Sprintf("%s.filename cannot be read: %v", l.argument, err)}
	}
	token := strings.TrimSpace(string(content))
	if token == "" || strings.ContainsAny(token, "\r\n") {
		return refuse("must have a token in its only line")
	}
	return newSecret(token), nil
}
