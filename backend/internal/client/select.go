package client

import (
	"crypto/sha256"
	"time"
)

// Select returns the client that a request says it is from: by the Authorization
// header, the parameter client_id, or the unverified "sub" of its assertion. What
// the request says decides nothing but whose credentials it is held against: a
// caller is the client when [Client.Authenticate] says so.
func Select(clients map[string]*Client, credentials Credentials) (*Client, error) {
	p, refusal := credentials.read()
	if refusal != nil {
		return nil, refusal
	}
	found := clients[p.id]
	if found == nil {
		nobody.match(p.secret, time.Time{}) // as much work as for a client that exists
		return nil, unproven("there is no such client")
	}
	return found, nil
}

// nobody has one secret, which nothing matches.
var nobody = newSecrets([]hashed{{Hash: make([]byte, sha256.Size)}})
