package provider

import (
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"
)

// TestLogins sees what each block sends, and where: with the configuration, and
// with what the environment may stand in for.
func TestLogins(t *testing.T) {
	dir := t.TempDir()
	passwordFile := filepath.Join(dir, "password")
	writeFile(t, passwordFile, "file-password\n", 0o600)
	certificate := certificateFiles(t, "login")
	with := func(w, more written) []written {
		maps.Copy(w, more)
		return []written{w}
	}
	for name, c := range map[string]struct {
		block  string
		config []written
		env    map[string]string
		path   string
		body   map[string]any
	}{
		"generic": {
			"auth_login",
			[]written{{"path": "/auth/approle/login/", "method": "approle", "parameters": map[string]string{"role_id": "r", "secret_id": "s"}}},
			nil, "auth/approle/login",
			map[string]any{"role_id": "r", "secret_id": "s"},
		},
		"generic without parameters": {"auth_login", []written{{"path": "auth/x/login"}}, nil, "auth/x/login", map[string]any{}},
		"jwt": {
			"auth_login_jwt",
			[]written{{"role": "r", "jwt": "config"}},
			map[string]string{"TERRAFORM_VAULT_AUTH_JWT": "env"},
			"auth/jwt/login",
			map[string]any{"role": "r", "jwt": "config"},
		},
		"jwt of the environment": {
			"auth_login_jwt",
			[]written{{"role": "r", "mount": "/a/b/"}},
			map[string]string{"TERRAFORM_VAULT_AUTH_JWT": "env"},
			"auth/a/b/login",
			map[string]any{"role": "r", "jwt": "env"},
		},
		"userpass": {
			"auth_login_userpass",
			[]written{{"username": "u", "password": "config"}},
			map[string]string{"TERRAFORM_VAULT_USERNAME": "env", "TERRAFORM_VAULT_PASSWORD": "env", "TERRAFORM_VAULT_PASSWORD_FILE": "env"},
			"auth/userpass/login/u",
			map[string]any{"password": "config"},
		},
		"userpass of the environment": {
			"auth_login_userpass",
			[]written{{"mount": "people"}},
			map[string]string{"TERRAFORM_VAULT_USERNAME": "e", "TERRAFORM_VAULT_PASSWORD": "env"},
			"auth/people/login/e",
			map[string]any{"password": "env"},
		},
		"password_file": {
			"auth_login_userpass",
			[]written{{"username": "u", "password_file": passwordFile}},
			map[string]string{"TERRAFORM_VAULT_PASSWORD": "env"},
			"auth/userpass/login/u",
			map[string]any{"password": "file-password"},
		},
		"password_file of the environment": {
			"auth_login_userpass",
			[]written{{"username": "u"}},
			map[string]string{"TERRAFORM_VAULT_PASSWORD_FILE": passwordFile},
			"auth/userpass/login/u",
			map[string]any{"password": "file-password"},
		},
		"cert":             {"auth_login_cert", []written{certificate}, nil, "auth/cert/login", map[string]any{}},
		"cert with a name": {"auth_login_cert", with(certificateFiles(t, "l"), written{"name": "n", "mount": "m"}), nil, "auth/m/login", map[string]any{"name": "n"}},
	} {
		t.Run(name, func(t *testing.T) {
			bareEnv(t)
			// A login is not made with a token, which may be another's.
			t.Setenv("VAULT_TOKEN", "hvs.env-token")
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			vault := newStandIn(t)
			vault.answer(c.path, 200, `{"auth":{"client_token":"hvs.login-token"}}`)
			sure(t, configured(t, vault.with(written{c.block: c.config})), "")
			if got, want := vault.paths(), []string{c.path, "auth/token/create"}; !slices.Equal(got, want) {
				t.Fatalf("got %v, want %v", got, want)
			}
			got := vault.last(t, c.path)
			if !reflect.DeepEqual(got.body, c.body) || got.token != "" {
				t.Errorf("sent %v with token %q, want %v", got.body, got.token, c.body)
			}
			if got := vault.last(t, "auth/token/create").token; got != "hvs.login-token" {
				t.Errorf("the child is made with %s", got)
			}
		})
	}
}

func TestLoginRefusals(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		name = filepath.Join(dir, name)
		writeFile(t, name, content, 0o600)
		return name
	}
	open := file("open", "hvs.token-of-file")
	writeFile(t, open, "hvs.token-of-file", 0o640)
	two, empty, missing := file("two", "hvs.token-of-file\nx"), file("empty", "\n"), filepath.Join(dir, "missing")
	jwt := []written{{"role": "r", "jwt": "jwt-value"}}
	tokenFile := func(name string) []written { return []written{{"filename": name}} }
	for name, c := range map[string]struct {
		block  string
		config []written
		status int
		body   string
		want   string
	}{
		"no jwt": {
			"auth_login_jwt",
			[]written{{"role": "r"}},
			0, "",
			"auth_login_jwt.jwt is not set: set it in the provider's configuration, or TERRAFORM_VAULT_AUTH_JWT in the environment",
		},
		"no username": {
			"auth_login_userpass",
			[]written{{"password": "p"}},
			0, "",
			"auth_login_userpass.username is not set: set it in the provider's configuration, or TERRAFORM_VAULT_USERNAME in the environment",
		},
		"no password": {
			"auth_login_userpass",
			[]written{{"username": "u"}},
			0, "",
			"auth_login_userpass.password is not set: set it in the provider's configuration, or TERRAFORM_VAULT_PASSWORD in the environment",
		},
		"no password file": {
			"auth_login_userpass",
			[]written{{"username": "u", "password_file": missing}},
			0, "",
			"auth_login_userpass.password_file cannot be read: open " + missing + ": no such file or directory",
		},
		"no filename": {
			"auth_login_token_file",
			[]written{{}},
			0, "",
			"auth_login_token_file.filename is not set: set it in the provider's configuration, or TERRAFORM_VAULT_TOKEN_FILENAME in the environment",
		},
		"no file": {
			"auth_login_token_file", tokenFile(missing), 0, "",
			"auth_login_token_file.filename cannot be read: stat " + missing + ": no such file or directory",
		},
		"a directory": {"auth_login_token_file", tokenFile(dir), 0, "", "auth_login_token_file.filename: " + dir + " is not a regular file"},
		"a file of others": {
			"auth_login_token_file", tokenFile(open), 0, "",
			"auth_login_token_file.filename: " + open + " may be read or written by others (mode 0640): its mode must be 0600",
		},
		"an empty file": {"auth_login_token_file", tokenFile(empty), 0, "", "auth_login_token_file.filename: " + empty + " must have a token in its only line"},
		"two lines":     {"auth_login_token_file", tokenFile(two), 0, "", "auth_login_token_file.filename: " + two + " must have a token in its only line"},
		"refused": {
			"auth_login_jwt", jwt, 400, `{"errors":["error validating token: jwt-value"]}`,
			"auth_login_jwt: cannot log in at auth/jwt/login: error validating token: [redacted]",
		},
		"no login": {
			"auth_login_jwt", jwt, 200, `{"data":{}}`,
			"auth_login_jwt: auth/jwt/login gave no token: it is not a login, or it wants a second factor, which the provider cannot give",
		},
		"a second factor": {
			"auth_login_jwt", jwt, 200, `{"auth":{"client_token":"","mfa_requirement":{}}}`,
			"auth_login_jwt: auth/jwt/login gave no token: it is not a login, or it wants a second factor, which the provider cannot give",
		},
		"no answer": {
			"auth_login_jwt", jwt, 204, "",
			"auth_login_jwt: auth/jwt/login gave no token: it is not a login, or it wants a second factor, which the provider cannot give",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bareEnv(t)
			vault := newStandIn(t)
			vault.answer("auth/jwt/login", c.status, c.body)
			if got := failure(t, configured(t, vault.with(written{c.block: c.config})), ""); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			for _, path := range vault.paths() {
				if path != "auth/jwt/login" {
					t.Errorf("asked for %s", path)
				}
			}
		})
	}
}

// TestTokenFileIsReadAgain changes the file, as Vault Agent does.
func TestTokenFileIsReadAgain(t *testing.T) {
	bareEnv(t)
	vault := newStandIn(t)
	vault.answer("auth/token/lookup-self", 200, `{"data":{"ttl":600}}`)
	file := filepath.Join(t.TempDir(), "token")
	writeFile(t, file, "hvs.first-token\n", 0o600)
	t.Setenv("TERRAFORM_VAULT_TOKEN_FILENAME", file)
	c := configured(t, vault.with(written{"auth_login_token_file": []written{{}}}))
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	c.now = func() time.Time { return now }
	sure(t, c, "")
	if got := vault.last(t, "auth/token/create").token; got != "hvs.first-token" {
		t.Errorf("made with %s", got)
	}
	writeFile(t, file, "hvs.second-token\n", 0o600)
	now = now.Add(9 * time.Minute)
	sure(t, c, "")
	if got := vault.last(t, "auth/token/create").token; got != "hvs.second-token" {
		t.Errorf("made with %s", got)
	}
}

// TestLoginIsRepeated lets the child token end first, then the token of the login.
func TestLoginIsRepeated(t *testing.T) {
	bareEnv(t)
	vault := newStandIn(t)
	vault.answer("auth/jwt/login", 200, `{"auth":{"client_token":"hvs.login-token","lease_duration":2400}}`)
	c := configured(t, vault.with(written{"auth_login_jwt": []written{{"role": "r", "jwt": "j"}}}))
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	c.now = func() time.Time { return now }
	for range 3 {
		sure(t, c, "")
		now = now.Add(19 * time.Minute)
	}
	want := []string{"auth/jwt/login", "auth/token/create", "auth/token/create", "auth/jwt/login", "auth/token/create"}
	if got := vault.paths(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
