package denial

import (
	"fmt"
	"strings"
)

// Step is one rule that an exchange has met.
type Step struct {
	Stage  Stage
	Rule   string
	Passed bool
	Detail string // what was seen, or why it was refused and the cause of that
}

// Trace records the steps of an explanation, in order. A nil Trace records
// nothing: that is the one of an exchange.
type Trace struct{ Steps []Step }

// Pass records a rule that did not refuse.
func (t *Trace) Pass(stage Stage, rule, format string, args ...any) {
	if t != nil {
		t.Steps = append(t.Steps, Step{Stage: stage, Rule: rule, Passed: true, Detail: redact(fmt.Sprintf(format, args...))})
	}
}

// Fail records the refusal that ended the attempt, with its cause: whoever may ask
// for an explanation may know what the log says of a refusal.
func (t *Trace) Fail(e *Error) {
	if t == nil {
		return
	}
	detail := e.Reason
	if e.cause != nil && e.Code != ServerError && !strings.Contains(e.Reason, e.cause.Error()) {
		detail += fmt.Sprintf(" (%.200s)", e.cause)
	}
	t.Steps = append(t.Steps, Step{Stage: e.Stage, Rule: e.Rule, Detail: redact(detail)})
}
