package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-log/tfsdklogtest"
)

func TestLazy(t *testing.T) {
	bareEnv(t)
	vault := newStandIn(t)
	c := configured(t, vault.with(nil))
	if paths := vault.paths(); paths != nil {
		t.Fatalf("Configure asked for %v", paths)
	}
	if got := sure(t, c, ""); got != "hvs.child-token" {
		t.Errorf("the token is %s", got)
	}
	sure(t, c, "")
	if got, want := vault.paths(), []string{"auth/token/lookup-self", "auth/token/create"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFailureIsNotKept(t *testing.T) {
	for _, path := range []string{"auth/token/lookup-self", "auth/token/create"} {
		t.Run(path, func(t *testing.T) {
			bareEnv(t)
			vault := newStandIn(t)
			c := configured(t, vault.with(nil))
			before := vault.answers[path]
			vault.answer(path, 503, `{"errors":["Vault is sealed"]}`)
			if got := failure(t, c, ""); !strings.Contains(got, "Vault is sealed") {
				t.Errorf("got %s", got)
			}
			vault.answer(path, before.status, before.body)
			sure(t, c, "")
		})
	}
	t.Run("files", func(t *testing.T) {
		bareEnv(t)
		file := filepath.Join(t.TempDir(), "ca.pem")
		c := configured(t, newStandIn(t).with(written{"ca_cert_file": file}))
		failure(t, c, "")
		certificate, _ := newCertificate(t, "ca")
		writeFile(t, file, string(certificate), 0o600)
		sure(t, c, "")
	})
}

func TestChildTokenRequest(t *testing.T) {
	bareEnv(t)
	vault := newStandIn(t)
	sure(t, configured(t, vault.with(written{"token_name": "ci", "max_lease_ttl_seconds": 90})), "")
	got := vault.last(t, "auth/token/create")
	if got.token != "hvs.parent-token" {
		t.Error("made with another token")
	}
	for name, want := range map[string]any{"display_name": "ci", "ttl": "1m30s", "explicit_max_ttl": "1m30s", "renewable": false} {
		if got.body[name] != want {
			t.Errorf("%s is %v, want %v", name, got.body[name], want)
		}
	}
}

// TestReplacement moves the clock to just before and just after a token has to
// be replaced.
func TestTokenReplacement(t *testing.T) {
	const child60 = `{"auth":{"client_token":"hvs.child-token","lease_duration":60}}`
	const lookUp, create = "auth/token/lookup-self", "auth/token/create"
	for name, c := range map[string]struct {
		parent, child string
		skip          bool
		good          time.Duration // it is used as late as this,
		want          []string      // and a second later this is done
	}{
		"two minutes before the end":    {parent: endless, child: childToken, good: 18*time.Minute - time.Second, want: []string{create}},
		"a quarter of a short life":     {parent: endless, child: child60, good: 44 * time.Second, want: []string{create}},
		"a child that does not end":     {parent: endless, child: `{"auth":{"client_token":"hvs.child-token"}}`, good: 1000 * time.Hour},
		"not longer than the parent":    {parent: `{"data":{"ttl":600}}`, child: childToken, good: 8*time.Minute - time.Second, want: []string{lookUp, create}},
		"an endless child of a mortal":  {parent: `{"data":{"ttl":600}}`, child: `{"auth":{"client_token":"hvs.c"}}`, good: 8*time.Minute - time.Second, want: []string{lookUp, create}},
		"before that of a long parent":  {parent: `{"data":{"ttl":7200}}`, child: childToken, good: 18*time.Minute - time.Second, want: []string{create}},
		"the token itself":              {parent: `{"data":{"ttl":600}}`, skip: true, good: 8*time.Minute - time.Second, want: []string{lookUp}},
		"the token itself, without end": {parent: endless, skip: true, good: 1000 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			bareEnv(t)
			vault := newStandIn(t)
			vault.answer(lookUp, 200, c.parent)
			vault.answer(create, 200, c.child)
			conn := configured(t, vault.with(written{"skip_child_token": c.skip}))
			start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
			now := start
			conn.now = func() time.Time { return now }
			sure(t, conn, "")
			before := len(vault.paths())
			now = start.Add(c.good)
			sure(t, conn, "")
			if got := vault.paths()[before:]; len(got) > 0 {
				t.Fatalf("too early: %v", got)
			}
			now = now.Add(time.Second)
			sure(t, conn, "")
			if got := vault.paths()[before:]; !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestReplacementFails sees that what could not replace a token is begun anew.
func TestTokenReplacementFails(t *testing.T) {
	bareEnv(t)
	vault := newStandIn(t)
	vault.answer("auth/approle/login", 200, `{"auth":{"client_token":"hvs.login-token","lease_duration":7200}}`)
	c := configured(t, vault.with(written{"auth_login": []written{{"path": "auth/approle/login"}}}))
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	c.now = func() time.Time { return now }
	sure(t, c, "")
	now = now.Add(19 * time.Minute)
	vault.answer("auth/token/create", 403, `{"errors":["permission denied"]}`)
	failure(t, c, "")
	vault.answer("auth/token/create", 200, childToken)
	sure(t, c, "")
	want := []string{"auth/approle/login", "auth/token/create", "auth/token/create", "auth/approle/login", "auth/token/create"}
	if got := vault.paths(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestOldClientsKeepTheirToken replaces a token while somebody works with it.
func TestOldClientsKeepTheirToken(t *testing.T) {
	bareEnv(t)
	vault := newStandIn(t)
	c := configured(t, vault.with(nil))
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	c.now = func() time.Time { return now }
	old, err := c.client(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	vault.answer("auth/token/create", 200, `{"auth":{"client_token":"hvs.second-child","lease_duration":1200}}`)
	if got := sure(t, c, ""); got != "hvs.second-child" || old.Token() != "hvs.child-token" {
		t.Errorf("the new one is %s, the old one %s", got, old.Token())
	}
}

func TestRefusals(t *testing.T) {
	const denied = `{"errors":["permission denied"]}`
	for name, c := range map[string]struct {
		config written
		path   string
		status int
		body   string
		want   string
	}{
		"no child token": {
			nil, "auth/token/create", 403, denied,
			"the token of token may not make the child token that the provider works with: permission denied. It needs a policy with\n\n" +
				"  path \"auth/token/create\" { capabilities = [\"update\"] }\n\nor set skip_child_token = true to work with the token itself",
		},
		"a parent that has none": {
			nil, "auth/token/create", 400, `{"errors":["batch tokens cannot create more tokens"]}`,
			"the child token of that of token cannot be made at auth/token/create: batch tokens cannot create more tokens " +
				"(skip_child_token = true works with the token itself)",
		},
		"a child token that is none": {nil, "auth/token/create", 200, `{}`, "auth/token/create gave no token: address is not that of a Vault"},
		"a wrong token": {
			nil, "auth/token/lookup-self", 403, denied,
			"the token of token is refused at auth/token/lookup-self: permission denied. It is wrong, or has ended, or lacks a policy with read on that path",
		},
		"sealed": {
			nil, "auth/token/lookup-self", 503, `{"errors":["Vault is sealed"]}`,
			"the token of token cannot be looked up at auth/token/lookup-self: Vault is sealed",
		},
		"an empty refusal": {
			nil, "auth/token/lookup-self", 502, `{"errors":[]}`,
			"the token of token cannot be looked up at auth/token/lookup-self: 502 Bad Gateway",
		},
		"no Vault":       {nil, "auth/token/lookup-self", 200, `{"data":{}}`, ""},
		"no ttl":         {nil, "auth/token/lookup-self", 200, `{"data":{"ttl":"long"}}`, "auth/token/lookup-self has no ttl: address is not that of a Vault"},
		"no answer":      {nil, "auth/token/lookup-self", 204, ``, "auth/token/lookup-self has no answer: address is not that of a Vault"},
		"no token":       {written{"token": ""}, "", 0, "", "token is not set: set it or an auth_login block in the provider's configuration, or VAULT_TOKEN in the environment, or log in with the Vault CLI"},
		"not one answer": {written{"address": "http://127.0.0.1:1"}, "", 0, "", "the token of token cannot be looked up at auth/token/lookup-self: http://127.0.0.1:1 (from address): dial tcp 127.0.0.1:1: connect: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			bareEnv(t)
			vault := newStandIn(t)
			vault.answer(c.path, c.status, c.body)
			conn := configured(t, vault.with(c.config))
			if c.want == "" {
				sure(t, conn, "")
				return
			}
			if got := failure(t, conn, ""); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestTokenHelper(t *testing.T) {
	bareEnv(t)
	vault := newStandIn(t)
	tokenHelper(t, "hvs.helper-token")
	sure(t, configured(t, vault.with(written{"token": nil})), "")
	if got := vault.last(t, "auth/token/create").token; got != "hvs.helper-token" {
		t.Error("made with another token")
	}
	t.Setenv("VAULT_CONFIG_PATH", t.TempDir())
	if got := failure(t, configured(t, vault.with(written{"token": nil})), ""); !strings.HasPrefix(got, "the token helper of the Vault CLI cannot be used: ") {
		t.Errorf("got %s", got)
	}
}

// TestTokenOfTheCLI runs itself again, because the library remembers HOME.
func TestTokenOfTheCLI(t *testing.T) {
	if address := os.Getenv("STAND_IN"); address != "" {
		sure(t, configured(t, written{"address": address}), "")
		return
	}
	bareEnv(t)
	vault := newStandIn(t)
	home := t.TempDir()
	writeFile(t, filepath.Join(home, ".vault-token"), "hvs.file-token\n", 0o600)
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTokenOfTheCLI$")
	again.Env = append(os.Environ(), "STAND_IN="+vault.URL, "HOME="+home, "VAULT_CONFIG_PATH=")
	if output, err := again.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if got := vault.last(t, "auth/token/create").token; got != "hvs.file-token" {
		t.Error("made with another token")
	}
}

// TestNamespaces sees which namespace the requests of each step have, and what
// the client works in.
func TestNamespaces(t *testing.T) {
	const tokenOfTeam = `{"data":{"ttl":0,"namespace_path":"team/"}}`
	login := func(more written) []written {
		more["path"] = "auth/approle/login"
		return []written{more}
	}
	for name, c := range map[string]struct {
		config    written
		lookUp    string
		namespace string // of an object
		want      string // of the client
		requests  []string
	}{
		"none":                       {written{}, endless, "", "", []string{"auth/token/lookup-self@", "auth/token/create@"}},
		"an object's":                {written{}, endless, "a/b", "a/b", []string{"sys/health@", "auth/token/lookup-self@", "auth/token/create@"}},
		"the provider's":             {written{"namespace": "/p/"}, endless, "", "p", []string{"sys/health@", "auth/token/lookup-self@", "auth/token/create@"}},
		"an object's below it":       {written{"namespace": "p"}, endless, "/o/", "p/o", []string{"sys/health@", "auth/token/lookup-self@", "auth/token/create@"}},
		"root spelt out":             {written{"namespace": "root"}, endless, "root", "", []string{"auth/token/lookup-self@", "auth/token/create@"}},
		"root with slashes":          {written{"namespace": "/"}, endless, "/root/", "", []string{"auth/token/lookup-self@", "auth/token/create@"}},
		"the token's":                {written{}, tokenOfTeam, "", "team", []string{"auth/token/lookup-self@", "auth/token/create@team"}},
		"an object's below that":     {written{}, tokenOfTeam, "o", "team/o", []string{"sys/health@", "auth/token/lookup-self@", "auth/token/create@team"}},
		"a token from above":         {written{"namespace": "team/below"}, tokenOfTeam, "", "team/below", []string{"sys/health@", "auth/token/lookup-self@", "auth/token/create@team"}},
		"not the token's":            {written{"set_namespace_from_token": false}, tokenOfTeam, "", "", []string{"auth/token/lookup-self@", "auth/token/create@team"}},
		"no child, from the token":   {written{"skip_child_token": true}, tokenOfTeam, "", "team", []string{"auth/token/lookup-self@"}},
		"no child, and set":          {written{"skip_child_token": true, "namespace": "p"}, tokenOfTeam, "", "p", []string{"sys/health@"}},
		"no child, and not wanted":   {written{"skip_child_token": true, "set_namespace_from_token": false}, tokenOfTeam, "", "", nil},
		"login in the provider's":    {written{"namespace": "p", "auth_login": login(written{})}, "", "", "p", []string{"sys/health@", "auth/approle/login@p", "auth/token/create@p"}},
		"login elsewhere":            {written{"namespace": "p", "auth_login": login(written{"namespace": "q/"})}, "", "", "p", []string{"sys/health@", "auth/approle/login@q", "auth/token/create@q"}},
		"login in the root":          {written{"namespace": "p", "auth_login": login(written{"use_root_namespace": true})}, "", "", "p", []string{"sys/health@", "auth/approle/login@", "auth/token/create@"}},
		"login says the provider's":  {written{"auth_login": login(written{"namespace": "q"})}, "", "o", "q/o", []string{"sys/health@", "auth/approle/login@q", "auth/token/create@q"}},
		"login, and not the token's": {written{"set_namespace_from_token": false, "auth_login": login(written{"namespace": "q"})}, "", "o", "o", []string{"sys/health@", "auth/approle/login@q", "auth/token/create@q"}},
	} {
		t.Run(name, func(t *testing.T) {
			bareEnv(t)
			vault := newStandIn(t)
			vault.answer("auth/token/lookup-self", 200, c.lookUp)
			vault.answer("auth/approle/login", 200, `{"auth":{"client_token":"hvs.login-token"}}`)
			conn := configured(t, vault.with(c.config))
			client, err := conn.client(t.Context(), c.namespace)
			if err != nil {
				t.Fatal(err)
			}
			if got := client.Namespace(); got != c.want {
				t.Errorf("the client is in %q, want %q", got, c.want)
			}
			if got := conn.namespace(c.namespace); got != c.want {
				t.Errorf("messages say %q, want %q", got, c.want)
			}
			var requests []string
			for _, r := range vault.requests {
				requests = append(requests, r.path+"@"+r.namespace)
			}
			if !slices.Equal(requests, c.requests) {
				t.Errorf("got %v, want %v", requests, c.requests)
			}
		})
	}
}

func TestNamespaceBeforeTheFirstUse(t *testing.T) {
	bareEnv(t)
	if got := configured(t, written{"address": "https://vault.example", "namespace": "p"}).namespace("o"); got != "p/o" {
		t.Errorf("got %q", got)
	}
	if got := configured(t, written{"address": unknownValue{}}).namespace("o"); got != "o" {
		t.Errorf("unknown: got %q", got)
	}
}

// TestEditions asks for a namespace of servers that have none, or may have.
func TestEditions(t *testing.T) {
	refusal := func(namespace string) string {
		return fmt.Sprintf("namespace %q cannot be used: this Vault is the Community Edition, which has no namespaces, ignores that one is "+
			"asked for, and would write to the root namespace. Remove namespace, and VAULT_NAMESPACE from the environment", namespace)
	}
	// It is a part of the whole text.
	silence := func(why string) string { return "?" + why }
	team := written{"namespace": "team"}
	for name, c := range map[string]struct {
		config    written
		env       string
		namespace string
		status    int
		health    string
		want      string
	}{
		"Community":                        {team, "", "", 200, community, refusal("team")},
		"Community, by the environment":    {nil, "team", "", 200, community, refusal("team")},
		"Community, of an object":          {nil, "", "o", 200, community, refusal("o")},
		"Community, of an object below":    {team, "", "o", 200, community, refusal("team/o")},
		"Community, of a login":            {written{"auth_login": []written{{"path": "p", "namespace": "q"}}}, "", "", 200, community, refusal("q")},
		"Community, of a token file":       {written{"auth_login_token_file": []written{{"filename": "p", "namespace": "q"}}}, "", "", 200, community, refusal("q")},
		"Community, sealed":                {team, "", "", 299, community, refusal("team")},
		"Community, root":                  {written{"namespace": "root"}, "", "/", 200, community, ""},
		"Enterprise":                       {team, "", "o", 200, enterprise, ""},
		"OpenBao":                          {team, "", "o", 200, `{"version":"2.4.1"}`, ""},
		"OpenBao that says what it is not": {team, "", "o", 200, `{"enterprise":false,"version":"v2.4.1-OpenBao"}`, ""},
		"Community before 1.16":            {team, "", "", 200, `{"version":"1.15.6"}`, refusal("team")},
		"Enterprise before 1.16":           {team, "", "o", 200, `{"version":"1.15.6+ent"}`, ""},
		"no answer":                        {team, "", "o", 500, `{"errors":[]}`, silence("500 Internal Server Error")},
		"not allowed":                      {team, "", "o", 403, `{"errors":["permission denied"]}`, silence("permission denied")},
		"no JSON":                          {team, "", "o", 200, `OK`, silence("200 OK")},
		"no version":                       {team, "", "o", 200, `{}`, silence("no version")},
	} {
		t.Run(name, func(t *testing.T) {
			bareEnv(t)
			t.Setenv("VAULT_NAMESPACE", c.env)
			vault := newStandIn(t)
			vault.answer("sys/health", c.status, c.health)
			conn := configured(t, vault.with(c.config))
			if c.want == "" {
				sure(t, conn, c.namespace)
				return
			}
			got := failure(t, conn, c.namespace)
			if why, silent := strings.CutPrefix(c.want, "?"); silent {
				const begin, end = `namespace "team/o" cannot be used: Vault does not say whether it has namespaces (`, "and one that has none would write " +
					"to the root namespace. Let sys/health be reached at the provider's address without a token, or remove namespace"
				if !strings.HasPrefix(got, begin) || !strings.Contains(got, why) || !strings.HasSuffix(got, end) {
					t.Errorf("got %s", got)
				}
			} else if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			// Nothing may reach the wrong namespace: no credential, no token.
			if got := vault.paths(); !slices.Equal(got, []string{"sys/health"}) {
				t.Errorf("asked for %v", got)
			}
			if got := vault.last(t, "sys/health"); got.token != "" || got.namespace != "" {
				t.Errorf("health was asked with %q in %q", got.token, got.namespace)
			}
		})
	}
}

// TestEditionIsAskedOnce sees that an answer is kept, and that no answer is not.
func TestEditionIsAskedOnce(t *testing.T) {
	bareEnv(t)
	vault := newStandIn(t)
	vault.answer("sys/health", 500, `{}`)
	c := configured(t, vault.with(nil))
	failure(t, c, "a")
	vault.answer("sys/health", 200, enterprise)
	sure(t, c, "a")
	sure(t, c, "b")
	want := []string{"sys/health", "sys/health", "auth/token/lookup-self", "auth/token/create"}
	if got := vault.paths(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestClone sees that copies of a client keep what makes it the provider's.
func TestClone(t *testing.T) {
	bareEnv(t)
	t.Setenv("VAULT_TOKEN", "env-token")
	vault := newStandIn(t)
	client, err := configured(t, vault.with(written{"headers": []written{{"name": "X-Own", "value": "v"}}})).client(t.Context(), "team")
	if err != nil {
		t.Fatal(err)
	}
	clone, err := client.Clone()
	if err != nil {
		t.Fatal(err)
	}
	got := []any{clone.Token(), clone.Namespace(), clone.Headers().Get("X-Own"), clone.ReadYourWrites()}
	if want := []any{"hvs.child-token", "team", "v", true}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestConcurrentUse(t *testing.T) {
	bareEnv(t)
	vault := newStandIn(t)
	c := configured(t, vault.with(nil))
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			if _, err := c.client(context.Background(), fmt.Sprintf("team%d", i)); err != nil {
				t.Error(err)
			}
			_ = c.namespace("")
		})
	}
	group.Wait()
	if got := len(vault.paths()); got != 3 {
		t.Errorf("%d requests: %v", got, vault.paths())
	}
}

// TestSecretsDoNotPrint prints a connection in each way that there is, and has
// each request refused with an answer that repeats what it was sent.
func TestSecretsDoNotPrint(t *testing.T) {
	passwordFile := filepath.Join(t.TempDir(), "password")
	writeFile(t, passwordFile, "secret-of-file\n", 0o600)
	const lookUp, create = "auth/token/lookup-self", "auth/token/create"
	for name, c := range map[string]struct {
		login written
		paths []string
		sent  []string // to each of the paths
	}{
		"token": {nil, []string{lookUp, create}, []string{"secret-token", "secret-token"}},
		"jwt": {
			written{"auth_login_jwt": []written{{"role": "r", "jwt": "secret-jwt"}}},
			[]string{"auth/jwt/login", create},
			[]string{"secret-jwt", "secret-login"},
		},
		"userpass": {
			written{"auth_login_userpass": []written{{"username": "u", "password": "secret-password"}}},
			[]string{"auth/userpass/login/u", create},
			[]string{"secret-password", "secret-login"},
		},
		"password_file": {
			written{"auth_login_userpass": []written{{"username": "u", "password_file": passwordFile}}},
			[]string{"auth/userpass/login/u", create},
			[]string{"secret-of-file", "secret-login"},
		},
		"generic": {
			written{"auth_login": []written{{"path": "auth/x/login", "parameters": map[string]string{"id": "secret-parameter"}}}},
			[]string{"auth/x/login", create},
			[]string{"secret-parameter", "secret-login"},
		},
	} {
		for refuse := range len(c.paths) + 1 { // the last refuses nothing
			t.Run(fmt.Sprint(name, refuse), func(t *testing.T) {
				bareEnv(t)
				t.Setenv("TF_LOG", "TRACE")
				vault := newStandIn(t)
				vault.answer(create, 200, `{"auth":{"client_token":"secret-child"}}`)
				vault.answer(c.paths[0], 200, `{"data":{"ttl":0},"auth":{"client_token":"secret-login"}}`)
				if refuse < len(c.paths) {
					vault.answer(c.paths[refuse], 403, fmt.Sprintf(`{"errors":["you sent %s and secret-header"]}`, c.sent[refuse]))
				}
				w := vault.with(c.login)
				w["token"], w["headers"] = "secret-token", []written{{"name": "X-Own", "value": "secret-header"}}
				var printed bytes.Buffer
				ctx := tfsdklogtest.RootLogger(t.Context(), &printed)
				p := &tokenExchangeProvider{now: time.Now}
				var resp provider.ConfigureResponse
				p.Configure(ctx, provider.ConfigureRequest{Config: rawConfig(t, w)}, &resp)
				conn := resp.ResourceData.(*connection)
				_, err := conn.client(ctx, "")
				if (err == nil) != (refuse == len(c.paths)) {
					t.Fatal(err)
				}
				for _, v := range []any{
					err, conn, conn.settings, *conn.settings, conn.settings.login, conn.settings.headers, conn.parent, conn.session,
				} {
					fmt.Fprintf(&printed, "%v %+v %#v\n", v, v, v)
				}
				for _, v := range []*token{conn.parent, conn.session} {
					if v != nil {
						fmt.Fprintf(&printed, "%v %+v %#v\n", *v, *v, *v)
					}
				}
				if l := conn.settings.login; l != nil {
					fmt.Fprintf(&printed, "%v %+v %#v\n", *l, *l, *l)
				}
				if strings.Contains(printed.String(), "secret-") {
					t.Errorf("a secret is in %s", printed.String())
				}
			})
		}
	}
}

func TestSecretForms(t *testing.T) {
	s := newSecret("hidden-value")
	type holder struct{ inner secret }
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "secret", s, "holder", holder{s})
	encoded, err := json.Marshal(map[string]any{"s": s, "h": holder{s}})
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s), fmt.Sprintf("%v %+v %#v", holder{s}, holder{s}, holder{s}),
		s.String(), s.GoString(), log.String(), string(encoded), fmt.Errorf("%w, %v", errors.New("x"), s).Error(),
	} {
		if strings.Contains(got, "hidden") || strings.Contains(got, "68696464656e") {
			t.Errorf("it is in %s", got)
		}
	}
	if s.reveal() != "hidden-value" || (secret{}).reveal() != "" {
		t.Error("it cannot be read")
	}
}

func TestHide(t *testing.T) {
	if got := hide("a abcd abc", []secret{newSecret("a"), newSecret("abcd"), {}}); got != "a [redacted] abc" {
		t.Errorf("got %q", got)
	}
}

// TestFailureDiagnostic sees that what the connection says reaches the user, and
// that no other advice is added.
func TestFailureDiagnostic(t *testing.T) {
	bareEnv(t)
	c := configured(t, written{})
	_, err := c.client(t.Context(), "")
	got := call{does: "read the role", path: "tx/roles/r"}.failed(err).Detail()
	want := "tx/roles/r in Vault: address is not set: set it in the provider's configuration, or VAULT_ADDR in the environment"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
