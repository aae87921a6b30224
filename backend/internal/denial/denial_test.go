package denial_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

func TestErrorText(t *testing.T) {
	cause := errors.New("disk on fire")
	for _, c := range []struct {
		name string
		err  *denial.Error
		text string
	}{
		{
			"a field of a configuration", denial.Field("ttl", "must be less than %d", 5),
			`invalid_request: ttl: must be less than 5`,
		},
		{
			"a rule of a decision", denial.New(denial.InvalidTarget, denial.Decide, "audience", "is missing"),
			`invalid_target: audience: is missing`,
		},
		{
			"a subject token: the reason names the claim", denial.New(denial.InvalidRequest, denial.Subject, "exp", "%q claim expired", "exp"),
			`invalid_request: subject: "exp" claim expired`,
		},
		{
			"a shared check, of an actor token", denial.New(denial.InvalidRequest, denial.Subject, "exp", "%q claim expired", "exp").At(denial.Actor),
			`invalid_request: actor: "exp" claim expired`,
		},
		{
			"the cause is not for the caller", denial.Field("ttl", "is bad").Because(cause),
			`invalid_request: ttl: is bad`,
		},
		{
			"a failure of ours tells the caller nothing", denial.Server(denial.Mint, cause),
			`server_error: internal: internal error`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.err.Error(); got != c.text {
				t.Errorf("got  %s\nwant %s", got, c.text)
			}
		})
	}
}

// A token of Vault in the wrong place is not repeated.
func TestRefusalsHoldNoVaultToken(t *testing.T) {
	for _, text := range []string{"hvs.CAESIJ2x9Yz0CAESIJ2x9Yz0", "hvb.AAAAAQKx9Yz0AAAAAQKx9Yz0", "hvr.CAESIJ2x9Yz0CAESIJ2x9Yz0"} {
		refusal := denial.Field("subject_token_type", "[%q] is not supported, nor a-%s", text, text)
		if got, want := refusal.Error(), `invalid_request: subject_token_type: ["[redacted]"] is not supported, nor a-[redacted]`; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	for _, text := range []string{"hvs", "https://hvs.internal-platform.example.com/x", "https://archvs.example"} {
		if got := denial.Field("x", "is %s", text).Error(); got != "invalid_request: x: is "+text {
			t.Errorf("got  %s", got)
		}
	}
}

func TestCauseIsReachedByUnwrapAlone(t *testing.T) {
	cause := errors.New("secret detail")
	bare := denial.New(denial.TemporarilyUnavailable, denial.Subject, "issuer_keys", "cannot be had now")
	err := bare.Because(cause)

	if !errors.Is(err, cause) {
		t.Error("the cause is not in the chain")
	}
	if errors.Unwrap(bare) != nil {
		t.Error("Because changed its receiver")
	}
	for _, format := range []string{"%s", "%v", "%q"} {
		if text := fmt.Sprintf(format, err); bytes.Contains([]byte(text), []byte("secret detail")) {
			t.Errorf("%s prints the cause: %s", format, text)
		}
	}
}

func TestAtReturnsACopy(t *testing.T) {
	cause := errors.New("why")
	subject := denial.New(denial.InvalidRequest, denial.Subject, "exp", "expired").Because(cause)
	actor := subject.At(denial.Actor)
	if subject.Stage != denial.Subject || actor.Stage != denial.Actor {
		t.Errorf("stages are %s and %s", subject.Stage, actor.Stage)
	}
	if actor.Rule != "exp" || !errors.Is(actor, cause) {
		t.Errorf("the rest was lost: %+v", actor)
	}
}

func TestFrom(t *testing.T) {
	refusal := denial.Field("name", "is taken")
	if got := denial.From(nil); got != nil {
		t.Errorf("no error became %v", got)
	}
	if got := denial.From(refusal); got != refusal {
		t.Errorf("got %v, want the refusal itself", got)
	}
	if got := denial.From(fmt.Errorf("write: %w", refusal)); got != refusal {
		t.Errorf("got %v, want the refusal in the chain", got)
	}
	unknown := errors.New("storage is gone")
	got := denial.From(unknown)
	if got.Code != denial.ServerError || got.Error() != "server_error: internal: internal error" || !errors.Is(got, unknown) {
		t.Errorf("an unknown error became %+v", got)
	}
}

func TestLogValue(t *testing.T) {
	err := denial.New(denial.InvalidScope, denial.Decide, "allowed_scopes", "not allowed")
	for _, c := range []struct {
		name string
		err  *denial.Error
		want string
	}{
		{
			"without a cause", err,
			`level=INFO msg=denied err.code=invalid_scope err.stage=decide err.rule=allowed_scopes err.reason="not allowed"` + "\n",
		},
		{
			"with a cause", err.Because(errors.New("why")),
			`level=INFO msg=denied err.code=invalid_scope err.stage=decide err.rule=allowed_scopes err.reason="not allowed" err.cause=why` + "\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			dropTime := func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}
			slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: dropTime})).Info("denied", "err", c.err)
			if out.String() != c.want {
				t.Errorf("got  %swant %s", out.String(), c.want)
			}
		})
	}
}

// A step that failed tells why, and the cause of that; a failure that is not the
// caller's fault tells nothing more.
func TestTrace(t *testing.T) {
	var trace denial.Trace
	trace.Pass(denial.FindRole, "role", "%q exists", "orders")
	trace.Fail(denial.New(denial.InvalidRequest, denial.Decide, "condition", "cannot be evaluated").Because(errors.New("no such key")))
	trace.Fail(denial.Server(denial.Mint, errors.New("disk")))
	want := []denial.Step{
		{Stage: denial.FindRole, Rule: "role", Passed: true, Detail: `"orders" exists`},
		{Stage: denial.Decide, Rule: "condition", Detail: "cannot be evaluated (no such key)"},
		{Stage: denial.Mint, Rule: "internal", Detail: "internal error"},
	}
	if !slices.Equal(trace.Steps, want) {
		t.Errorf("got %+v", trace.Steps)
	}
	var none *denial.Trace
	none.Pass(denial.Decide, "x", "y")
	none.Fail(denial.Field("x", "y"))
}
