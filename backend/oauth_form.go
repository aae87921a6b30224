package backend

import (
	"strings"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// form is the body of a request to an OAuth endpoint (RFC 6749 §3.2) as Vault
// hands it on: a parameter that is repeated arrives as one text, with commas
// between the values. A parameter that the endpoint does not know is ignored.
type form map[string]any

// one returns a parameter that may be given once; "" if it is left out or empty,
// which is the same (RFC 6749 §3.2). What holds a comma was given twice, or is
// none of the values that there are: no token, type or id has one.
func (f form) one(name string) (string, error) {
	text, err := f.text(name)
	if err == nil && strings.Contains(text, ",") {
		return "", malformed(name, "must be given once, and has no comma")
	}
	return text, err
}

// text returns a parameter as it is, for whoever has an answer of its own to one that
// was given twice.
func (f form) text(name string) (string, error) {
	v, ok := f[name]
	if !ok || v == nil {
		return "", nil
	}
	text, isText := v.(string)
	if !isText {
		return "", malformed(name, "must be one text, in a body of the type application/x-www-form-urlencoded")
	}
	return text, nil
}

// absent tells whether a parameter was left out, or is empty.
func (f form) absent(name string) bool { return f[name] == nil || f[name] == "" }

// many returns a parameter that may be repeated (RFC 8693 §2.1: audience and
// resource). A configured audience has no comma, so that nothing that is allowed
// is split. A JSON body may have a list.
func (f form) many(name string) ([]string, error) {
	switch v := f[name].(type) {
	case nil:
		return nil, nil
	case string:
		return notEmpty(strings.Split(v, ",")), nil
	case []any:
		var out []string
		for _, item := range v {
			text, isText := item.(string)
			if !isText || strings.Contains(text, ",") {
				return nil, malformed(name, "must be a list of texts without commas")
			}
			out = append(out, text)
		}
		return notEmpty(out), nil
	default:
		return nil, malformed(name, "must be text")
	}
}

func notEmpty(items []string) []string {
	var out []string
	for _, item := range items {
		if item != "" {
			out = append(out, item)
		}
	}
	return out
}

func malformed(name, reason string) error {
	return denial.New(denial.InvalidRequest, denial.Parse, name, "%s", reason)
}

// reader reads several parameters and keeps the first error.
type reader struct {
	form
	err error
}

func (r *reader) one(name string) string {
	v, err := r.form.one(name)
	r.keep(err)
	return v
}

func (r *reader) text(name string) string {
	v, err := r.form.text(name)
	r.keep(err)
	return v
}

func (r *reader) many(name string) []string {
	v, err := r.form.many(name)
	r.keep(err)
	return v
}

func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}
