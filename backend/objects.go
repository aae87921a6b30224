package backend

import (
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
)

// object is a kind of thing that is configured under a name: issuers, keys and
// roles have the same paths.
type object struct {
	noun     string // singular; the path is its plural
	synopsis string
	help     string
	fields   map[string]*framework.FieldSchema // of a write
	response map[string]*framework.FieldSchema // of a read
	example  map[string]any

	deletion map[string]*framework.FieldSchema // of the query of a deletion

	exists                    func(s *exchange.Snapshot, name string) bool
	list, write, read, delete handler

	listHelp, writeSummary, readSummary, deleteSummary string
}

// objectPaths returns the path of the list, and that of each object.
func (b *backend) objectPaths(o object) []*framework.Path {
	plural := o.noun + "s"
	return []*framework.Path{
		{
			Pattern: plural + "/?$",
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.ListOperation: &framework.PathOperation{
					Callback: b.with(o.list), Summary: "List the " + plural + ".", DisplayAttrs: display("list", plural),
					Responses: ok("The "+plural+".", map[string]*framework.FieldSchema{
						"keys":     {Type: framework.TypeStringSlice, Description: "Names, sorted."},
						"key_info": {Type: framework.TypeMap, Description: "Details by name."},
					}),
				},
			},
			HelpSynopsis:    "List the " + plural + ".",
			HelpDescription: o.listHelp,
		},
		{
			Pattern:        plural + "/" + framework.GenericNameRegex("name"),
			DisplayAttrs:   &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: o.noun},
			Fields:         plus(plus(o.fields, o.deletion), o.nameField()),
			ExistenceCheck: b.exists(o.exists),
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.CreateOperation: b.objectWrite(o),
				logical.UpdateOperation: b.objectWrite(o),
				logical.ReadOperation: &framework.PathOperation{
					Callback: b.with(o.read), Summary: o.readSummary, Responses: ok("The "+o.noun+".", o.response),
				},
				logical.DeleteOperation: &framework.PathOperation{
					Callback: b.with(strictDeletion(o.delete)), Summary: o.deleteSummary, Responses: noContent("Deleted."),
				},
			},
			HelpSynopsis:    o.synopsis,
			HelpDescription: o.help,
		},
	}
}

func (b *backend) objectWrite(o object) *framework.PathOperation {
	return &framework.PathOperation{
		Callback: b.with(strict(o.write)), Summary: o.writeSummary, Responses: noContent("Written."),
		Examples: []framework.RequestExample{{Data: o.example}},
	}
}

// nameField is the name in the path. It keeps its case: ACLs compare paths
// exactly, and a name that could be written in two ways would be a way around a
// deny.
func (o object) nameField() map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{"name": {
		Type: framework.TypeString, Description: "Name of the " + o.noun + ".", Required: true,
	}}
}

// action is a further path of one object, such as keys/NAME/rotate.
type action struct {
	path     string // last segment
	op       logical.Operation
	do       handler
	display  *framework.DisplayAttributes
	fields   map[string]*framework.FieldSchema // beside the name
	response map[string]*framework.FieldSchema

	synopsis, help string
}

func (b *backend) actionPath(o object, a action) *framework.Path {
	return &framework.Path{
		Pattern: o.noun + "s/" + framework.GenericNameRegex("name") + "/" + a.path,
		Fields:  plus(o.nameField(), a.fields),
		Operations: map[logical.Operation]framework.OperationHandler{
			a.op: &framework.PathOperation{
				Callback: b.with(strict(a.do)), Summary: a.synopsis, DisplayAttrs: a.display,
				Responses: ok(strings.TrimSuffix(a.synopsis, ".")+".", a.response),
			},
		},
		HelpSynopsis:    a.synopsis,
		HelpDescription: a.help,
	}
}

// named returns the name in the path of a request.
func named(d *framework.FieldData) string {
	name, _ := d.Get("name").(string)
	return name
}
