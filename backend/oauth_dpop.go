package backend

import (
	"crypto/rand"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/dpop"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
)

// nonceHeader is the response header of RFC 9449 §8. Vault drops it unless the
// mount's allowed_response_headers name it.
const nonceHeader = "DPoP-Nonce"

// newProofs begins an epoch of DPoP proofs: those that another node, or this one
// before it was sealed, has seen are of another.
func newProofs() (*dpop.Checker, error) { return dpop.NewChecker(rand.Reader, dpop.DefaultCapacity) }

// proof checks the DPoP proof of a request to the token endpoint; nil if there is
// none and none is required.
func (b *backend) proof(req *logical.Request, s *exchange.Snapshot, who *client.Authenticated) (*dpop.Proof, error) {
	var proofs []string
	for name, values := range req.Headers {
		if strings.EqualFold(name, "DPoP") {
			proofs = append(proofs, values...)
		}
	}
	switch {
	case len(proofs) == 0 && who.DPoPRequired:
		return nil, denial.New(denial.InvalidDPoPProof, denial.Binding, "dpop_required",
			"the client must send a DPoP proof, and none has arrived: is DPoP among the passthrough_request_headers of the mount?")
	case len(proofs) == 0:
		return nil, nil
	case len(proofs) > 1:
		return nil, denial.New(denial.InvalidDPoPProof, denial.Binding, "dpop", "the header DPoP must be sent once")
	}
	if role := s.Roles[who.Role]; role != nil && role.Opaque() && !b.WriteSafeReplicationState() {
		return nil, logical.ErrReadOnly // the node that stores the token gave the nonce
	}
	proof, err := b.proofs.Check(proofs[0], dpop.Request{
		Method: http.MethodPost, URLs: s.Config.TokenEndpoints(), Client: who.ID,
	}, b.now())
	if err != nil {
		return nil, err
	}
	return &proof, nil
}

// offerNonce puts a nonce into an answer to a client that uses proofs: the next one
// needs it.
func (b *backend) offerNonce(resp *logical.Response) {
	nonce, err := b.proofs.Nonce(b.now())
	if err != nil {
		return // the next request is told the same again
	}
	resp.Headers = map[string][]string{nonceHeader: {nonce}}
}
