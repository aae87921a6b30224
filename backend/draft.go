package backend

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/vault/sdk/framework"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
)

// What can be configured. Other programs that write it, such as the Terraform
// provider, take from here what the engine says of its fields: no second list of
// defaults and rules can go astray.
const (
	ObjectConfig = "config"
	ObjectIssuer = "issuer"
	ObjectKey    = "key"
	ObjectRole   = "role"
	ObjectClient = "client"
)

// drafts are the fields of each object, and how a write onto nothing reads them.
// The data is what a read of the object would answer, as far as the write alone
// decides it.
var drafts = map[string]struct {
	fields, response map[string]*framework.FieldSchema
	draft            func(d *framework.FieldData, name string) (data map[string]any, err error)
}{
	ObjectConfig: {configFields, configResponse, func(d *framework.FieldData, _ string) (map[string]any, error) {
		c := exchange.NewConfig()
		readConfig(d, c)
		return configData(c), c.Validate()
	}},
	ObjectIssuer: {issuerFields, issuerFields, func(d *framework.FieldData, name string) (map[string]any, error) {
		c := draftIssuer(d, nil, name)
		return issuerData(c), c.Validate()
	}},
	ObjectKey: {keyFields, keyResponse, func(d *framework.FieldData, name string) (map[string]any, error) {
		k := newKey(name)
		readKey(d, &k)
		return keyData(&k), exchange.ValidateKey(&k)
	}},
	ObjectRole: {roleFields, roleResponse, func(d *framework.FieldData, name string) (map[string]any, error) {
		r := policy.NewRole("", name)
		if err := readRole(d, r); err != nil {
			return roleData(r), err
		}
		return roleData(r), r.Validate()
	}},
	ObjectClient: {clientFields, clientResponse, func(d *framework.FieldData, name string) (map[string]any, error) {
		c := client.Draft(name)
		readClient(d, c)
		return clientData(c), c.Validate()
	}},
}

// Refusal is why the engine does not take a write: a field, and what is wrong
// with it.
type Refusal struct{ Field, Reason string }

// Draft returns what an object would be if it were written to a mount that has
// none of that name: every field with its default filled in, under the names of
// the API. The refusal is what the engine says of it, in its words, if the object
// alone decides; what depends on the mount and its other objects only Vault
// knows. It is nil if there is nothing to refuse.
func Draft(object, name string, data map[string]any) (map[string]any, *Refusal) {
	o := drafts[object]
	d := &framework.FieldData{Raw: data, Schema: o.fields}
	for _, field := range slices.Sorted(maps.Keys(data)) {
		if o.fields[field] == nil {
			return nil, &Refusal{field, fmt.Sprintf("is not a field of %s", object)}
		}
		if problem := unreadable(o.fields, data, field); problem != "" {
			return nil, &Refusal{field, problem}
		}
		if err := checkDuration(d, field); err != nil {
			return nil, &Refusal{field, denial.From(err).Reason}
		}
	}
	drafted, err := o.draft(d, name)
	if err != nil {
		e := denial.From(err)
		return drafted, &Refusal{e.Rule, e.Reason}
	}
	return drafted, nil
}

// Descriptions returns what the engine says of each field of an object, written
// or read, by name.
func Descriptions(object string) map[string]string {
	out := map[string]string{}
	for name, field := range plus(drafts[object].fields, drafts[object].response) {
		out[name] = field.Description
	}
	return out
}

// Choices returns the values that a field can have, if it has a list of them.
func Choices(object, field string) []string {
	switch object + "." + field {
	case ObjectIssuer + ".type":
		return issuer.Types
	case ObjectKey + ".algorithm":
		return keyring.Algorithms()
	case ObjectClient + ".auth_method":
		return client.Methods
	}
	return nil
}
