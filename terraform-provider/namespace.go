package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hashicorp/vault/api"
)

// cleanNamespace is a namespace without slashes around it; "" is the root, which
// is also written "root" and "/".
func cleanNamespace(namespace string) string {
	namespace = strings.Trim(namespace, "/")
	if namespace == "root" {
		return ""
	}
	return namespace
}

// joinNamespaces is the namespace below another.
func joinNamespaces(above, below string) string {
	return strings.Trim(above+"/"+cleanNamespace(below), "/")
}

// edition is whether Vault has namespaces, once it has said so.
type edition struct {
	known     bool
	community bool
}

// refuseNamespace fails if a namespace is wanted of a Vault that has none: it
// would not refuse, but write to the root namespace.
func (e *edition) refuseNamespace(ctx context.Context, client *api.Client, namespace string) error {
	if namespace == "" {
		return nil
	}
	if !e.known {
		if why := e.ask(ctx, client); why != "" {
			return &connectionError{fmt.Sprintf("namespace %q cannot be used: Vault does not say whether it has namespaces (%s), and one that "+
				"has none would write to the root namespace. Let sys/health be reached at the provider's address without a token, or remove namespace", namespace, why)}
		}
	}
	if e.community {
		return &connectionError{fmt.Sprintf("namespace %q cannot be used: this Vault is the Community Edition, which has no "+
			"namespaces, ignores that one is asked for, and would write to the root namespace. "+
			"Remove namespace, and VAULT_NAMESPACE from the environment", namespace)}
	}
	return nil
}

// ask asks Vault, and returns why the question is still open, if it is. The client
// has no token and no namespace: health is asked of the root, by anybody.
func (e *edition) ask(ctx context.Context, client *api.Client) string {
	// Standby and sealed nodes answer as well.
	answer, err := client.Logical().ReadRawWithDataWithContext(ctx, "sys/health", map[string][]string{
		"standbyok": {"true"}, "perfstandbyok": {"true"}, "sealedcode": {"299"}, "uninitcode": {"299"},
		"drsecondarycode": {"299"},
	})
	if answer != nil {
		defer func() { _ = answer.Body.Close() }()
	}
	if err != nil {
		return "sys/health: " + cause(err, nil)
	}
	var health struct {
		Version    string `json:"version"`
		Enterprise *bool  `json:"enterprise"`
	}
	if json.NewDecoder(answer.Body).Decode(&health) != nil || health.Version == "" {
		return "the answer of sys/health has no version"
	}
	// OpenBao has namespaces, and does not say whether it is the Enterprise.
	e.known = true
	e.community = isCommunity(health.Version, health.Enterprise)
	return ""
}

// isCommunity tells whether a Vault of this version has no namespaces. Those
// before 1.16 do not say whether they are the Enterprise, except in their version;
// OpenBao, which begins at 2.0, does not say it either.
func isCommunity(version string, enterprise *bool) bool {
	if enterprise == nil {
		return strings.HasPrefix(version, "1.") && !strings.Contains(version, "+ent")
	}
	return !*enterprise && !strings.Contains(strings.ToLower(version), "bao")
}
