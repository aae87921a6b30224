package backend

import (
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// caller asks Vault for the entity that makes a request: its name, metadata and
// groups as they are now. Only roles that use it get here, and nothing is
// cached: leaving a group must take effect at once.
func (b *backend) caller(entityID string) (*exchange.Caller, error) {
	if entityID == "" {
		return nil, nil
	}
	entity, err := b.System().EntityInfo(entityID)
	if err != nil {
		return nil, err
	}
	if entity == nil || entity.ID != entityID || entity.Disabled {
		return nil, nil
	}
	groups, err := b.System().GroupsForEntity(entityID)
	if err != nil {
		return nil, err
	}
	metadata := map[string]any{}
	for name, value := range entity.Metadata {
		metadata[name] = value
	}
	names := []any{}
	for _, group := range groups {
		names = append(names, group.Name)
	}
	return &exchange.Caller{EntityID: entity.ID, Claims: token.Claims{
		"sub": entity.ID, "name": entity.Name, "metadata": metadata, "groups": names,
	}}, nil
}
