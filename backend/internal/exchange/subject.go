package exchange

import (
	"context"
	"slices"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// subject is a verified subject that the role takes.
type subject struct {
	*party
	scope  policy.SubjectScope
	acting token.Acting // who acts for it already
}

// verifySubject finds out who the request is about, and whether the role takes
// them.
func (a *attempt) verifySubject(ctx context.Context) (*subject, error) {
	who, err := a.presentedSubject(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.checkSubjectBinding(who.claims); err != nil {
		return nil, err
	}
	if err := a.role.Match(who.claims, a.trace); err != nil {
		return nil, err
	}
	s := &subject{party: who}
	if who.issuer == callerIssuer {
		s.scope.Caller = true
		return s, nil
	}
	s.scope.Own = who.own
	if s.scope.Scopes, err = who.claims.Scopes(); err != nil {
		return nil, err
	}
	if s.acting, err = token.ParseActing(who.claims, who.Issuer); err != nil {
		return nil, err
	}
	return s, a.checkHistory(s)
}

// checkHistory refuses another issuer's word for who acted in this engine: it would
// become ours.
func (a *attempt) checkHistory(s *subject) error {
	ours := a.issuers(a.Now())
	ofOurs := func(actor token.Actor) bool { return slices.Contains(ours, actor.Issuer) }
	if !s.own && slices.ContainsFunc(s.acting, ofOurs) {
		return denial.New(denial.InvalidRequest, denial.Subject, "act", "\"act\" claim: another issuer is not believed who acts by the names of this engine")
	}
	return nil
}

func (a *attempt) presentedSubject(ctx context.Context) (*party, error) {
	t := presented{
		stage: denial.Subject, field: "subject_token", token: a.req.SubjectToken, tokenType: a.req.SubjectTokenType,
		claims: a.given.subjectClaims(), issuers: a.role.Issuers, list: "issuers",
	}
	if a.role.SubjectSource == policy.SourceCaller {
		if t.token != "" {
			return nil, denial.New(denial.InvalidRequest, denial.Parse, t.field, "the subject of the role %q is the caller: leave it out", a.role.Name)
		}
		who, _, err := a.caller(ctx, denial.Subject, "subject_source")
		return who, err
	}
	if t.token == "" && t.claims == nil {
		return nil, denial.New(denial.InvalidRequest, denial.Parse, t.field, "is required by the role %q", a.role.Name)
	}
	return a.verify(ctx, t)
}
