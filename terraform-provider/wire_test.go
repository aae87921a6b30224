package provider

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// introspecting is an issuer with a secret.
var introspecting = block{
	"name": "i", "bound_issuer": "https://idp.example", "bound_audiences": []string{"https://vault.example"},
	"introspection_url": "https://idp.example/introspect", "introspection_client_id": "engine",
	"introspection_client_secret_wo": `secret-of-<the>-"test"`, "introspection_client_secret_wo_version": 1,
}

// TestRefusalsRepeatNoSecret has something in between that answers with what it
// was sent.
func TestRefusalsRepeatNoSecret(t *testing.T) {
	for name, write := range map[string]func(w http.ResponseWriter, text string){
		"as Vault":  func(w http.ResponseWriter, text string) { faulty(http.StatusBadRequest, text)(w, nil) },
		"otherwise": func(w http.ResponseWriter, text string) { http.Error(w, text, http.StatusBadRequest) },
	} {
		t.Run(name, func(t *testing.T) {
			echoed := 0
			vaultIs(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				var fields block
				_ = json.Unmarshal(body, &fields)
				if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/issuers/") && echoed == 0 {
					echoed++
					faulty(http.StatusNotFound)(w, r)
					return
				}
				write(w, fmt.Sprint("blocked: ", r.Header, string(body), fields))
			})
			r := newRPC(t, block{"headers": []any{block{"name": "X-Gateway", "value": "secret-of-gateway"}}})
			t.Setenv("VAULT_HEADERS", `{"X-Other":"secret-of-environment"}`)
			_, diags := r.apply(issuerType, nil, introspecting)
			_, _, more := r.open(block{"role": "r", "subject_token": "secret-of-<subject>\n", "actor_token": "secret-of-actor", "actor_token_type": typeJWT})
			_, of := r.readData(roleType, block{"name": "r"})
			diags = append(append(diags, more...), of...)
			if len(diags) != 3 {
				t.Errorf("got %q", diags)
			}
			for _, d := range diags {
				if strings.Contains(d, "secret-of") || strings.Contains(d, "hvs.") || !strings.Contains(d, "400 Bad Request") && !strings.Contains(d, "blocked: ") {
					t.Errorf("got %s", d)
				}
			}
		})
	}
}

// Each field that is a secret has to be known where answers come in.
func TestSecretFields(t *testing.T) {
	want := []string{}
	for _, o := range objects() {
		for _, f := range o.fields {
			if f.use == writeOnly {
				want = append(want, f.engine())
			}
		}
	}
	for _, a := range newRPC(t, nil).schemas.EphemeralResourceSchemas[tokenType].Block.Attributes {
		if a.Sensitive && !a.Computed {
			want = append(want, a.Name)
		}
	}
	slices.Sort(want)
	if got := slices.Sorted(slices.Values(secretFields)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestPasswordOfTheAddress has a password that no message may have, whatever comes.
func TestPasswordOfTheAddress(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte("user:pass-of-url"))
	for name, vault := range map[string]http.HandlerFunc{
		"no list":   faulty(http.StatusInternalServerError),
		"no JSON":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"an echo":   func(w http.ResponseWriter, r *http.Request) { faulty(400, fmt.Sprint(r.Header))(w, r) },
		"no answer": nil,
	} {
		bareEnv(t)
		server := httptest.NewServer(vault)
		t.Cleanup(server.Close)
		if vault == nil {
			server.Close()
		}
		t.Setenv("VAULT_ADDR", strings.Replace(server.URL, "http://", "http://user:pass-of-url@", 1))
		t.Setenv("VAULT_TOKEN", "hvs.of-the-test")
		t.Setenv("VAULT_MAX_RETRIES", "0")
		for _, skip := range []string{"true", "false"} {
			t.Setenv("TERRAFORM_VAULT_SKIP_CHILD_TOKEN", skip)
			t.Setenv("VAULT_SET_NAMESPACE_FROM_TOKEN", "false")
			r := newRPC(t, nil)
			_, diags := r.refreshRole(existing(r, roleType, good["role"]))
			if len(diags) != 1 || strings.Contains(diags[0], "pass-of-url") || strings.Contains(diags[0], basic) {
				t.Errorf("%s: got %q", name, diags)
			}
		}
	}
}

// Terraform quotes the line that a diagnostic is about.
func TestDiagnosticsDoNotPointAtSecrets(t *testing.T) {
	vaultIs(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			faulty(http.StatusNotFound)(w, r)
			return
		}
		faulty(http.StatusBadRequest, "invalid_request: introspection_client_secret: is too short")(w, r)
	})
	_, diags := newRPC(t, nil).apply(issuerType, nil, introspecting)
	if len(diags) != 1 || !strings.HasSuffix(diags[0], ": is too short") {
		t.Errorf("got %q", diags)
	}
}

// What another than Vault says is not that there is nothing.
func TestAnswersOfOthers(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
	}{
		"a page": {404, "<html>not found</html>"}, "nothing": {404, ""}, "a gateway": {404, `{"message":"no route matched"}`},
		"a login page": {200, "<html>log in</html>"}, "an outage": {502, "<html>bad gateway</html>"}, "a redirect": {308, ""},
	} {
		vaultIs(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		})
		r := newRPC(t, nil)
		want := fmt.Sprintf("(from VAULT_ADDR): the answer, %d %s, is not of the form of Vault's: the address is not that of a Vault, or something in between answers",
			c.status, http.StatusText(c.status))
		state, diags := r.refreshRole(existing(r, roleType, good["role"]))
		if state == nil || len(diags) != 1 || !strings.HasSuffix(diags[0], want) {
			t.Errorf("%s: kept %t, %q", name, state != nil, diags)
		}
	}
}

func TestRedirects(t *testing.T) {
	for name, c := range map[string]struct {
		leads, leader string // to "other" or "", and whom Vault calls its leader
		followed      bool
	}{
		"to a stranger":        {"other", "", false},
		"to the leader":        {"other", "other", true},
		"not to the leader":    {"other", "https://leader.example", false},
		"to Vault itself":      {"", "", true},
		"where nobody answers": {"http://vault.invalid", "https://leader.example", false},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var got []string
			other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				mu.Lock()
				got = append(got, r.Header.Get("X-Vault-Token")+string(body))
				mu.Unlock()
				_ = json.NewEncoder(w).Encode(granted(""))
			}))
			defer other.Close()
			replace := func(s string) string { return strings.Replace(s, "other", other.URL, 1) }
			redirected := false
			vaultIs(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/v1/sys/leader":
					if r.Header.Get("X-Vault-Token") != "" || r.Header.Get("X-Own") != "v" {
						t.Errorf("the leader is asked for with %v", r.Header)
					}
					_ = json.NewEncoder(w).Encode(block{"leader_address": replace(c.leader)})
				case redirected:
					_ = json.NewEncoder(w).Encode(granted(""))
				default:
					redirected = true
					w.Header().Set("Location", replace(c.leads)+r.URL.Path)
					w.WriteHeader(http.StatusTemporaryRedirect)
				}
			})
			r := newRPC(t, block{"headers": []any{block{"name": "X-Own", "value": "v"}}})
			_, _, diags := r.open(block{"role": "r", "subject_token": "SUBJECT"})
			if (len(diags) == 0) != c.followed || !c.followed && !strings.Contains(diags[0], "which is not this Vault's leader: nothing was sent there.") {
				t.Errorf("got %q", diags)
			}
			if strings.Contains(fmt.Sprint(got), "SUBJECT") != (c.followed && c.leads == "other") {
				t.Errorf("the other got %q", got)
			}
		})
	}
}

// TestRepetitions sees how often a request is made that fails.
func TestRepetitions(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		use    func(r *rpc)
		want   int
	}{
		"an exchange":           {faulty(502), func(r *rpc) { r.open(block{"role": "r"}) }, 1},
		"an exchange, no Vault": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, func(r *rpc) { r.open(block{"role": "r"}) }, 1},
		"an exchange too early": {faulty(412), func(r *rpc) { r.open(block{"role": "r"}) }, 2},
		"a rotation":            {faulty(502), func(r *rpc) { r.invoke(block{"name": "k"}) }, 1},
		"a read":                {faulty(502), func(r *rpc) { r.readData(roleType, block{"name": "r"}) }, 2},
		"a read, no Vault":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, func(r *rpc) { r.readData(roleType, block{"name": "r"}) }, 2},
		"a page that is no 5xx": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, func(r *rpc) { r.readData(roleType, block{"name": "r"}) }, 1},
	} {
		n := 0
		vaultIs(t, func(w http.ResponseWriter, r *http.Request) { n++; c.answer(w, r) })
		t.Setenv("VAULT_MAX_RETRIES", "1")
		c.use(newRPC(t, nil))
		if n != c.want {
			t.Errorf("%s: %d times, want %d", name, n, c.want)
		}
	}
}

// TestVaultHangs sees that those who wait at the same time wait once.
func TestVaultHangs(t *testing.T) {
	bareEnv(t)
	forever := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-forever }))
	defer server.Close()
	defer close(forever)
	defer func(before time.Duration) { patience = before }(patience)
	patience = 200 * time.Millisecond
	c := configured(t, written{"address": server.URL, "token": "t"})
	start := time.Now()
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			_, err := c.client(t.Context(), "")
			want := "the token of token cannot be looked up at auth/token/lookup-self: " + server.URL +
				" (from address): there was no answer in time (VAULT_CLIENT_TIMEOUT is how long a request may take)"
			if err == nil || err.Error() != want {
				t.Errorf("got %v", err)
			}
		})
	}
	group.Wait()
	if took := time.Since(start); took > 5*patience {
		t.Errorf("it took %s", took)
	}
	// Who says how long it may take, is listened to.
	t.Setenv("VAULT_CLIENT_TIMEOUT", "1s")
	start = time.Now()
	failure(t, configured(t, written{"address": server.URL, "token": "t"}), "")
	if took := time.Since(start); took < 900*time.Millisecond {
		t.Errorf("it took %s", took)
	}
}

// The socket of a Vault Agent is an address as well.
func TestSocket(t *testing.T) {
	bareEnv(t)
	t.Setenv("VAULT_WRAP_TTL", "5m")
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Vault-Wrap-TTL") != "" {
			t.Error("the answer is to be wrapped")
		}
		_, _ = w.Write([]byte(`{"data":{"ttl":0},"auth":{"client_token":"t"},"keys":[]}`))
	}))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	config := block{"address": "unix://" + socket, "token": "t", "max_retries": 0}
	_, diags := newRPC(t, config).readData(jwksType, nil)
	same(t, "read", diags)
	server.Close()
	_, diags = newRPC(t, config).readData(jwksType, nil)
	if len(diags) != 1 || !strings.Contains(diags[0], "unix://"+socket+" (from address): ") {
		t.Errorf("got %q", diags)
	}
}

// A 503 is not always Vault's own.
func TestUnavailable(t *testing.T) {
	const help = "Vault is sealed, or cannot answer now."
	for text, want := range map[string]bool{
		"Vault is sealed": true, "Vault is in standby mode": true, "local node not active but active cluster node not found": true,
		"temporarily_unavailable: issuer: the keys of a sealed issuer cannot be fetched": false, "rate limited": false,
	} {
		vaultIs(t, faulty(http.StatusServiceUnavailable, text))
		_, _, diags := newRPC(t, nil).open(block{"role": "r"})
		if len(diags) != 1 || strings.Contains(diags[0], help) != want {
			t.Errorf("got %q", diags)
		}
	}
}
