package exchange

import (
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/dpop"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// confirm returns what the token will be bound to: the key of which the request
// has a proof (RFC 9449 §5), or the certificate of its connection (RFC 8705 §3). A
// role that binds tokens grants nothing without; a proof that would change nothing
// is refused, so that nobody takes the token for a bound one.
func (a *attempt) confirm() (dpop.Confirmation, error) {
	proof, certificate := a.req.Proof, a.req.certificate()
	byKey := a.role.Binding == policy.BindDPoP || a.role.Binding == policy.BindAny
	byCertificate := a.role.Binding == policy.BindMTLS || a.role.Binding == policy.BindAny
	switch {
	case a.role.Binding == policy.BindNone && proof == nil:
		return dpop.Confirmation{}, nil
	case a.given != nil: // nobody proves anything to an explanation
		a.trace.Pass(denial.Binding, "binding", "the token would be bound: binding is %q", a.role.Binding)
		return dpop.Confirmation{}, nil
	case proof != nil && !byKey:
		return dpop.Confirmation{}, denial.New(denial.InvalidDPoPProof, denial.Binding, "binding",
			"the role %q does not bind tokens to the key of a DPoP proof: leave the header DPoP out", a.role.Name)
	case proof != nil:
		return dpop.ByKey(*proof), nil
	case byCertificate && certificate != nil:
		return dpop.ByCertificate(certificate), nil
	}
	code := denial.InvalidRequest
	if a.role.Binding == policy.BindDPoP && a.req.Client != nil {
		code = denial.InvalidDPoPProof // RFC 9449 §5
	}
	return dpop.Confirmation{}, denial.New(code, denial.Binding, "binding", "%s", a.missingProof())
}

// missingProof says what a request lacks, and where it could be lost on the way.
func (a *attempt) missingProof() string {
	const header = "a DPoP proof (is DPoP among the passthrough_request_headers of the mount?)"
	const certificate = "a client certificate"
	switch {
	case a.req.Client == nil:
		return "tokens of the role are bound to a key, which cannot be proven here: use oauth/token"
	case a.role.Binding == policy.BindDPoP:
		return "the role binds tokens to a key: the request needs " + header
	case a.role.Binding == policy.BindMTLS:
		return "the role binds tokens to a certificate: the connection needs " + certificate
	}
	return "the role binds tokens: the request needs " + header + ", or the connection " + certificate
}

// certificate is that of the connection, in DER; nil if there is none.
func (r *Request) certificate() []byte {
	if r.Client == nil || r.Client.Certificate == nil {
		return nil
	}
	return r.Client.Certificate.Raw
}

// checkSubjectBinding refuses a subject token that is bound to a key (RFC 7800) of
// which the request has no proof, else it would become one that is not. By
// subject_binding "rebind" a gateway may present what was bound to its client's
// key, and gets a token that is bound to its own.
func (a *attempt) checkSubjectBinding(claims token.Claims) error {
	bound, err := dpop.ParseConfirmation(claims)
	if err != nil || !bound.Bound() {
		return err
	}
	switch {
	case a.role.Binding == policy.BindNone:
		return unconfirmed("the token is bound to a key, and the role %q would answer with one that is not: set binding", a.role.Name)
	case a.given != nil:
		a.trace.Pass(denial.Subject, "cnf", "the token is bound to a key, which a request would have to prove")
		return nil
	case a.role.SubjectBinding == policy.SubjectReject:
		return unconfirmed("the role %q takes no token that is bound to a key", a.role.Name)
	case a.role.SubjectBinding == policy.SubjectRebind:
		if a.req.Client == nil || a.req.Client.AuthMethod == client.None {
			return unconfirmed("only a client that has authenticated itself may have it bound to its own key")
		}
		return nil
	case a.req.Proof != nil && bound.MatchesProof(*a.req.Proof):
		return nil
	case a.req.certificate() != nil && bound.MatchesCertificate(a.req.certificate()):
		return nil
	}
	return unconfirmed("the token is bound to a key, and the request has no proof of that key")
}

func unconfirmed(format string, args ...any) error {
	return denial.New(denial.InvalidRequest, denial.Subject, "cnf", "\"cnf\" claim: "+format, args...)
}
