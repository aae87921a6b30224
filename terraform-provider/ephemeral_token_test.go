package provider

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const tokenType = "tokenexchange_token"

// minted is a token whose "exp" is 2100-01-02T03:04:05Z.
var minted = unsigned(`{"exp":4102542245}`)

// granted is the engine's answer, with a lease if the id is not empty.
func granted(leaseID string) block {
	return block{"lease_id": leaseID, "data": block{
		"access_token": minted, "issued_token_type": typeAccessToken, "token_type": "Bearer", "expires_in": 300,
		"scope": "read write", "jti": "the-jti", "txn": "the-txn", "subject": "ci:alice", "audience": []string{"https://orders.example"},
		"act": block{"sub": "bob", "iss": "https://b.example"}, "ttl": 239, "rotation_period": 300,
	}}
}

// engine answers an exchange, and a revocation by a handler of its own. It keeps
// the bodies of the requests by their path.
func engine(t *testing.T, answer block, revoke http.HandlerFunc) map[string]block {
	bodies := map[string]block{}
	vaultIs(t, func(w http.ResponseWriter, r *http.Request) {
		body := block{}
		text, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(text, &body)
		bodies[r.Method+" "+r.URL.Path+" "+r.Header.Get("X-Vault-Namespace")] = body
		if r.URL.Path == "/v1/sys/leases/revoke" {
			revoke(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(answer)
	})
	return bodies
}

func noContent(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// An opaque token has no date of its own to read.
func TestOpaqueTokenOpens(t *testing.T) {
	answer := granted("tx/exchange/r/l")
	answer["data"].(block)["access_token"] = "vtx_0"
	engine(t, answer, noContent)
	before := time.Now()
	result, private, diags := newRPC(t, nil).open(block{"role": "r", "subject_token": "x"})
	same(t, "open", diags)
	expires, err := time.Parse(time.RFC3339, fmt.Sprint(result["expires_at"]))
	if life := expires.Sub(before); err != nil || life < 298*time.Second || expires.After(time.Now().Add(300*time.Second)) {
		t.Errorf("expires_at %v: %v", result["expires_at"], err)
	}
	if result["access_token"] != "vtx_0" || private == nil {
		t.Errorf("the token is another, or has no lease: %t, %d bytes", result["access_token"] == "vtx_0", len(private))
	}
	answer["data"].(block)["expires_in"] = 0
	if _, _, diags := newRPC(t, nil).open(block{"role": "r", "subject_token": "x"}); len(diags) != 1 || !strings.Contains(diags[0], "the answer is not that of an exchange") {
		t.Errorf("a token without a life is opened: %q", diags)
	}
}

func TestTokenOpens(t *testing.T) {
	bodies := engine(t, granted("tx/exchange/r/l"), noContent)
	r := newRPC(t, nil)
	config := block{
		"mount": "/tx/", "mount_id": "never sent", "namespace": "team", "role": "r.1",
		"subject_token": "SUBJECT", "subject_token_type": typeJWT, "actor_token": "ACTOR", "actor_token_type": typeIDToken,
		"audience": []string{"https://orders.example"}, "resource": []string{"https://r.example"}, "scope": []string{"read", "write"},
		"requested_token_type": typeJWT, "ttl": "5m",
	}
	result, private, diags := r.open(config)
	same(t, "open", diags)
	want := block{
		"access_token": minted, "issued_token_type": typeAccessToken, "token_type": "Bearer", "expires_in": json.Number("300"),
		"expires_at": "2100-01-02T03:04:05Z", "granted_scope": []any{"read", "write"}, "granted_audience": []any{"https://orders.example"},
		"jti": "the-jti", "txn": "the-txn", "subject": "ci:alice", "act": `{"iss":"https://b.example","sub":"bob"}`,
		"audience": []any{"https://orders.example"}, "resource": []any{"https://r.example"}, "scope": []any{"read", "write"},
	}
	for name, value := range config {
		if _, there := want[name]; !there {
			want[name] = value
		}
	}
	if !reflect.DeepEqual(result, want) {
		t.Errorf("got %v, want %v", result, want)
	}
	sent := block{}
	for name := range config {
		sent[name] = want[name]
	}
	for _, name := range []string{"mount", "mount_id", "namespace", "role"} {
		delete(sent, name)
	}
	if got := bodies["PUT /v1/tx/exchange/r.1 team"]; !reflect.DeepEqual(got, sent) {
		t.Errorf("sent %v, want %v", got, sent)
	}
	for _, secret := range []string{minted, "SUBJECT", "ACTOR"} {
		if strings.Contains(string(private), secret) {
			t.Error("there is a token in the private data")
		}
	}
	same(t, "close", r.close(private))
	if got, want := bodies["PUT /v1/sys/leases/revoke team"], (block{"lease_id": "tx/exchange/r/l", "sync": true}); !reflect.DeepEqual(got, want) {
		t.Errorf("revoked %v, want %v", got, want)
	}
}

// What is left out is the role's to decide, and is not sent.
func TestTokenSendsWhatIsGiven(t *testing.T) {
	answer := granted("")
	data := answer["data"].(block)
	delete(data, "act")
	data["scope"] = ""
	bodies := engine(t, answer, func(http.ResponseWriter, *http.Request) { t.Error("there is no lease to revoke") })
	r := newRPC(t, nil)
	result, private, diags := r.open(block{"role": "r", "audience": nil, "subject_token": ""})
	same(t, "open", diags)
	if got := bodies["PUT /v1/token-exchange/exchange/r "]; len(got) != 0 {
		t.Errorf("sent %v", got)
	}
	if result["act"] != nil || !reflect.DeepEqual(result["granted_scope"], []any{}) {
		t.Errorf("got %v %v", result["act"], result["granted_scope"])
	}
	same(t, "close", r.close(private))
}

func TestTokenIsRefused(t *testing.T) {
	const policy = "The token of the provider needs a policy with\n\n  path \"token-exchange/exchange/r\" { capabilities = [\"update\"] }"
	const failed = "error: Cannot exchange the token: token-exchange/exchange/r in Vault: "
	const notThere = failed + "the answer is not that of an exchange: is it the token-exchange engine that is mounted there?"
	without := func(name string, value any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			answer := granted("")
			answer["data"].(block)[name] = value
			_ = json.NewEncoder(w).Encode(answer)
		}
	}
	for name, c := range map[string]struct {
		vault http.HandlerFunc
		want  string
	}{
		"about the subject": {
			faulty(http.StatusBadRequest, `invalid_request: subject: the token has expired`), failed + "invalid_request: subject: the token has expired",
		},
		// Terraform would quote the line that holds the token.
		"about the token": {
			faulty(http.StatusBadRequest, `invalid_request: subject_token: is required`), failed + "invalid_request: subject_token: is required",
		},
		"about a field": {
			faulty(http.StatusBadRequest, `invalid_request: ttl: is above max_ttl`), failed + `invalid_request: ttl: is above max_ttl (at AttributeName("ttl"))`,
		},
		"about a target": {
			faulty(http.StatusBadRequest, `invalid_target: allowed_audiences: no`), failed + `invalid_target: allowed_audiences: no (at AttributeName("audience"))`,
		},
		"about a resource": {
			faulty(http.StatusBadRequest, `invalid_target: resource: no`), failed + `invalid_target: resource: no (at AttributeName("resource"))`,
		},
		"about a scope": {
			faulty(http.StatusBadRequest, `invalid_scope: allowed_scopes: no`), failed + `invalid_scope: allowed_scopes: no (at AttributeName("scope"))`,
		},
		"no permission":  {faulty(http.StatusForbidden, "permission denied"), failed + "permission denied\n\n" + policy},
		"internal error": {faulty(http.StatusInternalServerError, "internal error: see the log of the Vault server"), failed + "internal error: see the log of the Vault server"},
		"no engine": {
			faulty(http.StatusNotFound, "no handler for route"),
			failed + "no handler for route\n\nThere is nothing at this path: check that the engine is mounted there, and that the namespace is right.",
		},
		"sealed": {
			faulty(http.StatusServiceUnavailable, "Vault is sealed"),
			failed + "Vault is sealed\n\nVault is sealed, or cannot answer now. Nothing was changed; run this again when it is back.",
		},
		"another engine": {noContent, notThere},
		"no token":       {without("access_token", ""), notThere},
		"not a JWT":      {without("access_token", "SUBJECT"), notThere},
		"no date":        {without("access_token", unsigned(`{}`)), notThere},
		"not a date":     {without("access_token", unsigned(`{"exp":1e99}`)), notThere},
		"another type":   {without("expires_in", "SUBJECT"), notThere},
		"an echo": {
			func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				faulty(http.StatusBadGateway, "cannot forward "+string(body))(w, r)
			},
			failed + `cannot forward {"actor_token":"[redacted]","actor_token_type":"` + typeJWT + `","subject_token":"[redacted]"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			vaultIs(t, c.vault)
			_, private, diags := newRPC(t, nil).open(block{
				"role": "r", "subject_token": "SUBJECT", "actor_token": "ACTOR", "actor_token_type": typeJWT,
			})
			same(t, "open", diags, c.want)
			if strings.Contains(string(private), "lease") {
				t.Error("there is nothing to close")
			}
		})
	}
}

// A run that has done its work does not fail at the end.
func TestTokenThatCannotBeRevoked(t *testing.T) {
	const cannot = "warning: Cannot revoke the lease of the token: sys/leases/revoke in Vault: "
	const remains = "\n\nThe token with the jti \"the-jti\" was not revoked: it is valid until 2100-01-02T03:04:05Z."
	for name, c := range map[string]struct {
		vault http.HandlerFunc
		want  []string
	}{
		"no permission": {
			faulty(http.StatusForbidden, "permission denied"),
			[]string{cannot + "permission denied\n\nThe token of the provider needs a policy with\n\n  path \"sys/leases/revoke\" { capabilities = [\"update\"] }" +
				remains + " If its short life is enough, set generate_lease = false in the role \"r\" instead: its tokens are not leased then."},
		},
		"internal error": {faulty(http.StatusInternalServerError, "failed to revoke"), []string{cannot + "failed to revoke" + remains}},
		"gone already":   {faulty(http.StatusNotFound), nil},
		"another Vault": {
			faulty(http.StatusNotFound, "no handler for route"),
			[]string{cannot + "no handler for route\n\nThere is nothing at this path: check that the engine is mounted there, and that the namespace is right." + remains},
		},
	} {
		t.Run(name, func(t *testing.T) {
			engine(t, granted("tx/exchange/r/l"), c.vault)
			r := newRPC(t, nil)
			_, private, diags := r.open(block{"role": "r"})
			same(t, "open", diags)
			same(t, "close", r.close(private), c.want...)
		})
	}
}

func TestTokenWithoutVault(t *testing.T) {
	vaultIs(t, nil)
	server := httptest.NewServer(nil)
	server.Close()
	t.Setenv("VAULT_ADDR", server.URL)
	_, _, diags := newRPC(t, nil).open(block{"role": "r", "subject_token": "SUBJECT"})
	if len(diags) != 1 || !strings.HasPrefix(diags[0], "error: Cannot exchange the token: token-exchange/exchange/r in Vault: ") ||
		!strings.HasSuffix(diags[0], "No answer came from Vault. Check the address of the provider (VAULT_ADDR), TLS and the network.") {
		t.Errorf("got %q", diags)
	}
}

func TestTokenConfiguration(t *testing.T) {
	bareEnv(t)
	r := newRPC(t, block{})
	invalid := func(attribute, reason string) string {
		return "error: Invalid " + attribute + ": " + attribute + ": " + reason + ` (at AttributeName("` + attribute + `"))`
	}
	const taken = `is not supported: use one of ["urn:ietf:params:oauth:token-type:jwt", ` +
		`"urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:access_token"]`
	const issued = `is not supported: use "urn:ietf:params:oauth:token-type:access_token" or "urn:ietf:params:oauth:token-type:jwt"`
	long := strings.Repeat("SECRET", 20)
	empty := func(attribute string) string {
		return "error: Invalid " + attribute + ": " + attribute + ": is empty, which would ask for nothing: leave it out (or set it to null) " +
			`for the default of the role (at AttributeName("` + attribute + `"))`
	}
	for name, c := range map[string]struct {
		config block
		want   []string
	}{
		"no audience":             {block{"audience": []string{}}, []string{empty("audience")}},
		"no resource":             {block{"resource": []string{}}, []string{empty("resource")}},
		"no scope":                {block{"scope": []string{}}, []string{empty("scope")}},
		"sets to be known":        {block{"scope": unknown{}, "audience": []any{unknown{}}}, nil},
		"the least":               {block{}, nil},
		"a life in seconds":       {block{"ttl": "300"}, nil},
		"a life in days":          {block{"ttl": "1d"}, nil},
		"nothing is known":        {block{"subject_token": unknown{}, "subject_token_type": unknown{}, "actor_token": unknown{}, "actor_token_type": unknown{}, "requested_token_type": unknown{}, "ttl": unknown{}, "role": unknown{}, "mount": unknown{}}, nil},
		"a token to be known":     {block{"subject_token": unknown{}, "subject_token_type": typeJWT}, nil},
		"a type to be known":      {block{"actor_token": "a", "actor_token_type": unknown{}}, nil},
		"a type without a token":  {block{"subject_token_type": typeJWT}, []string{invalid("subject_token_type", "is given without subject_token")}},
		"a type without an actor": {block{"actor_token_type": typeJWT}, []string{invalid("actor_token_type", "is given without actor_token")}},
		"an actor without a type": {block{"actor_token": "a"}, []string{invalid("actor_token_type", "is required with actor_token")}},
		"a short name":            {block{"subject_token": "s", "subject_token_type": "jwt"}, []string{invalid("subject_token_type", `["jwt"] `+taken)}},
		"a token as a type":       {block{"actor_token": "a", "actor_token_type": long}, []string{invalid("actor_token_type", `["…"] `+taken)}},
		"a type not issued":       {block{"requested_token_type": typeIDToken}, []string{invalid("requested_token_type", `["`+typeIDToken+`"] `+issued)}},
		"not a life":              {block{"ttl": long}, []string{invalid("ttl", "is not a duration: use 5m, 1h30m or a number of seconds")}},
		"a life that has been":    {block{"ttl": "-5m"}, []string{invalid("ttl", "must not be negative")}},
		"a role elsewhere": {block{"role": "../../sys/raw"}, []string{"error: Invalid Attribute Value Match: Attribute role must consist of letters, digits, _, - and ., " +
			"and begin and end with a letter, a digit or _, got: ../../sys/raw (at AttributeName(\"role\"))"}},
		"no mount": {block{"mount": "/"}, []string{"error: Invalid Attribute Value Match: Attribute mount must be a path such as token-exchange, " +
			"without spaces, ? and #, got: / (at AttributeName(\"mount\"))"}},
	} {
		config := block{"role": "r"}
		maps.Copy(config, c.config)
		same(t, name, r.validate(config), c.want...)
	}
}

// What is a secret is marked so: Terraform hides no other value.
func TestTokenMarksSecrets(t *testing.T) {
	secret := map[string]bool{"subject_token": true, "actor_token": true, "access_token": true}
	for _, a := range newRPC(t, nil).schemas.EphemeralResourceSchemas[tokenType].Block.Attributes {
		if a.Sensitive != secret[a.Name] {
			t.Errorf("%s: sensitive is %t", a.Name, a.Sensitive)
		}
	}
}

// The lease is in the namespace that the token was exchanged in.
func TestTokenIsRevokedInItsNamespace(t *testing.T) {
	for namespace, want := range map[string]string{"": "team", "below": "team/below"} {
		bodies := engine(t, granted("tx/exchange/r/l"), noContent)
		t.Setenv("VAULT_NAMESPACE", "team")
		r := newRPC(t, nil)
		config := block{"role": "r"}
		if namespace != "" {
			config["namespace"] = namespace
		}
		_, private, diags := r.open(config)
		same(t, "open", diags)
		same(t, "close", r.close(private))
		if bodies["PUT /v1/token-exchange/exchange/r "+want] == nil || bodies["PUT /v1/sys/leases/revoke "+want] == nil {
			t.Errorf("%q: asked for %v", namespace, slices.Collect(maps.Keys(bodies)))
		}
	}
}

// A 404 that is not Vault's does not mean that the lease has gone.
func TestTokenIsNotTakenForRevoked(t *testing.T) {
	for _, body := range []string{"", "<html>", `{"message":"no route matched"}`} {
		engine(t, granted("l"), func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(body))
		})
		r := newRPC(t, nil)
		_, private, _ := r.open(block{"role": "r"})
		diags := r.close(private)
		if len(diags) != 1 || !strings.HasPrefix(diags[0], "warning: Cannot revoke the lease of the token: ") ||
			!strings.HasSuffix(diags[0], `The token with the jti "the-jti" was not revoked: it is valid until 2100-01-02T03:04:05Z.`) {
			t.Errorf("%s: got %q", body, diags)
		}
	}
}

// Terraform does not close what could not be opened.
func TestTokenThatCannotBeReadIsRevoked(t *testing.T) {
	const notThere = "error: Cannot exchange the token: token-exchange/exchange/r in Vault, namespace \"team\": the answer is not that of an exchange: " +
		"is it the token-exchange engine that is mounted there?"
	answer := granted("the-lease")
	for _, token := range []any{"", unsigned(`{"exp":99999999999999999999}`), unsigned(`{"exp":9007199254740993}`), unsigned(`{"exp":-1}`), unsigned(`{"exp":0}`)} {
		answer["data"].(block)["access_token"] = token
		bodies := engine(t, answer, noContent)
		_, _, diags := newRPC(t, nil).open(block{"role": "r", "namespace": "team"})
		same(t, "open", diags, notThere)
		if got, want := bodies["PUT /v1/sys/leases/revoke team"], (block{"lease_id": "the-lease", "sync": true}); !reflect.DeepEqual(got, want) {
			t.Errorf("revoked %v, want %v", got, want)
		}
	}
	engine(t, answer, faulty(http.StatusInternalServerError, "failed"))
	_, _, diags := newRPC(t, nil).open(block{"role": "r", "namespace": "team"})
	same(t, "not revoked", diags, notThere, "warning: Cannot revoke the lease of the token: sys/leases/revoke in Vault, namespace \"team\": failed\n\n"+
		`The lease "the-lease" was not revoked: what it is of is valid until it ends.`)
}

func TestTokenOfNoActor(t *testing.T) {
	answer := granted("")
	answer["data"].(block)["act"] = nil
	engine(t, answer, nil)
	result, _, diags := newRPC(t, nil).open(block{"role": "r"})
	same(t, "open", diags)
	if result["act"] != nil {
		t.Errorf("act is %v", result["act"])
	}
}

// Vault revokes what is leased when the token ends that it was leased with.
func TestTokenOutlivesTheSession(t *testing.T) {
	for _, c := range []struct {
		name    string
		session int
		lease   string
		warned  bool
	}{{"longer", 600, "l", false}, {"just as long", 300, "l", false}, {"shorter", 298, "l", true}, {"endless", 0, "l", false}, {"not leased", 60, "", false}} {
		vaultIs(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/v1/auth/token/lookup-self":
				_, _ = w.Write([]byte(endless))
			case "/v1/auth/token/create":
				_ = json.NewEncoder(w).Encode(block{"auth": block{"client_token": "hvs.c", "lease_duration": c.session}})
			default:
				_ = json.NewEncoder(w).Encode(granted(c.lease))
			}
		})
		t.Setenv("TERRAFORM_VAULT_SKIP_CHILD_TOKEN", "false")
		_, _, diags := newRPC(t, nil).open(block{"role": "r"})
		if !c.warned {
			same(t, c.name, diags)
			continue
		}
		const want = `warning: The token is revoked before it expires: The token with the jti "the-jti" may live for 5m0s, but it is leased, and ends with ` +
			"the Vault token of the provider: in 4m57s. If the run needs it for longer, raise max_lease_ttl_seconds of the provider " +
			"(or the life of the token itself, with skip_child_token) to more than that of the exchanged token and the run before it, " +
			`or set generate_lease = false in the role "r".`
		same(t, c.name, diags, want)
	}
}
