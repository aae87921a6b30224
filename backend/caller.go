package backend

import "github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"

// caller asks Vault for the entity that makes a request: its name, metadata,
// groups and logins as they are now. Only roles that use it get here, and nothing
// is cached: leaving a group must take effect at once.
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
	c := &exchange.Caller{ID: entity.ID, Name: entity.Name, Metadata: entity.Metadata}
	for _, group := range groups {
		c.Groups = append(c.Groups, group.Name)
	}
	for _, a := range entity.Aliases {
		c.Aliases = append(c.Aliases, exchange.Alias{Name: a.Name, MountType: a.MountType, MountAccessor: a.MountAccessor, Metadata: a.Metadata})
	}
	return c, nil
}
