package backend

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/go-secure-stdlib/parseutil"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// maxParameterName is longer than any. What is longer may be a token in the wrong
// place, and Vault would repeat it in its answer.
const maxParameterName = 64

// NotADuration is what is said of a duration that cannot be read.
const NotADuration = "is not a duration: use 5m, 1h30m or a number of seconds"

// credentialFields are the fields that hold a token, and take nothing else for one.
var credentialFields = []string{"subject_token", "actor_token", "token", "introspection_client_secret"}

// checkInput refuses what the framework could not read. It would repeat the value, in
// the answer, in Vault's log and in the audit log; and that may be a token in the
// wrong place, or a private key among public ones.
func (b *backend) checkInput(req *logical.Request) error {
	var fields map[string]*framework.FieldSchema
	if path := b.Route(req.Path); path != nil {
		fields = path.Fields
	}
	for _, name := range slices.Sorted(maps.Keys(req.Data)) {
		if len(name) > maxParameterName {
			return denial.New(denial.InvalidRequest, denial.Parse, "parameters", "the name of a parameter is longer than %d characters", maxParameterName)
		}
		if denial.HoldsSecret(name) {
			return denial.New(denial.InvalidRequest, denial.Parse, "parameters", "the name of a parameter looks like a token or a client secret")
		}
		if problem := unreadable(fields, req.Data, name); problem != "" {
			return denial.New(denial.InvalidRequest, denial.Parse, name, "%s", problem)
		}
	}
	return nil
}

// unreadable tells what a field should have been; "" if it can be read, or is none.
func unreadable(fields map[string]*framework.FieldSchema, data map[string]any, name string) string {
	if _, isString := data[name].(string); !isString && slices.Contains(credentialFields, name) {
		return "must be one string"
	}
	field := fields[name]
	if field == nil {
		return ""
	}
	d := framework.FieldData{Raw: data, Schema: fields}
	if _, _, err := d.GetOkErr(name); err != nil {
		return wanted(name, field.Type, data[name])
	}
	return ""
}

func wanted(name string, t framework.FieldType, value any) string {
	switch t {
	case framework.TypeBool:
		return "must be true or false"
	case framework.TypeInt:
		return "must be a whole number"
	case framework.TypeDurationSecond:
		if _, err := parseutil.ParseDurationSecond(value); err == nil {
			return "must not be negative"
		}
		return NotADuration
	case framework.TypeMap:
		return `must be an object: give all fields as JSON on standard input ("vault write PATH -")`
	case framework.TypeKVPairs:
		return fmt.Sprintf("must be NAME=TEXT, as in %s=NAME=TEXT, or an object of texts", name)
	case framework.TypeSlice, framework.TypeStringSlice, framework.TypeCommaStringSlice:
		return "must be a list of texts"
	default:
		return fmt.Sprintf("must be one string: that of a file is %s=@FILE", name)
	}
}
