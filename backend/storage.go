package backend

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/revocation"
)

// Where things are stored, below the mount's storage prefix.
const (
	configPath       = "config"
	secretPath       = "pseudonym-secret"
	issuerPrefix     = "issuer/"
	keyPrefix        = "key/"
	rolePrefix       = "role/"
	clientPrefix     = "client/"
	assertionPrefix  = "assertion/"
	revocationPrefix = "revocation/"
	recordPrefix     = "opaque/"
)

// schemaVersion is written into every entry. An entry of a later version is not
// read: what it means is unknown, and may be a restriction. Those of an earlier
// version are: a field that they do not have has its default.
//
// 2: expressions and delegation in roles; kinds and introspection of issuers.
// 3: format and binding of tokens in roles; records of opaque tokens. An engine that
// does not know of them would sign JWTs that anybody can use.
// Clients and used assertions came under prefixes of their own: an engine that does
// not know them does not look there.
const (
	schemaVersion = 3
	oldestVersion = 1
)

type envelope[T any] struct {
	Version int `json:"version"`
	Value   T   `json:"value"`
}

// change is one storage operation; a nil entry deletes.
type change struct {
	path  string
	entry *logical.StorageEntry
	// urgent changes are made also while other entries cannot be read.
	urgent bool
}

func put[T any](path string, value T) (change, error) {
	entry, err := logical.StorageEntryJSON(path, envelope[T]{Version: schemaVersion, Value: value})
	return change{path: path, entry: entry}, err
}

func remove(path string) change { return change{path: path} }

func (c change) apply(ctx context.Context, storage logical.Storage) error {
	if c.entry == nil {
		return storage.Delete(ctx, c.path)
	}
	return storage.Put(ctx, c.entry)
}

// get returns a stored value, and whether there is one.
func get[T any](ctx context.Context, storage logical.Storage, path string) (value T, found bool, err error) {
	entry, err := storage.Get(ctx, path)
	if err != nil {
		return value, false, err
	}
	return decode[T](path, entry)
}

func decode[T any](path string, entry *logical.StorageEntry) (value T, found bool, err error) {
	if entry == nil {
		return value, false, nil
	}
	var e envelope[T]
	if err := entry.DecodeJSON(&e); err != nil {
		return value, false, fmt.Errorf("storage entry %q: %w", path, err)
	}
	if e.Version < oldestVersion || e.Version > schemaVersion {
		return value, false, fmt.Errorf("storage entry %q has version %d and this engine reads version %d: run the engine that wrote it", path, e.Version, schemaVersion)
	}
	return e.Value, true, nil
}

// getAll calls add with the name and value of every entry below a prefix. An
// entry that cannot be read goes to failed, which decides whether to go on.
func getAll[T any](ctx context.Context, storage logical.Storage, prefix string, add func(name string, value T) error, failed func(path string, err error) error) error {
	names, err := storage.List(ctx, prefix)
	if err != nil {
		return err
	}
	for _, name := range names {
		entry, err := storage.Get(ctx, prefix+name)
		if err != nil {
			return err
		}
		value, found, err := decode[T](prefix+name, entry)
		if err == nil && found {
			if err = add(name, value); err != nil {
				err = fmt.Errorf("storage entry %q: %w", prefix+name, err)
			}
		}
		if err != nil {
			if err := failed(prefix+name, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// mustRead is for entries without which nothing can go on.
func mustRead(_ string, err error) error { return err }

// storedConfig is the entry of config: it outlives the configuration, because
// tokens with a former issuer do.
type storedConfig struct {
	Config        *exchange.Config        `json:"config"`
	FormerIssuers []exchange.FormerIssuer `json:"former_issuers"`
}

// storedKey and storedVersion are the only form in which private keys are
// serialised.
type storedKey struct {
	Name               string                  `json:"name"`
	Algorithm          jose.SignatureAlgorithm `json:"algorithm"`
	RotationPeriod     time.Duration           `json:"rotation_period"`
	PublicationLead    time.Duration           `json:"publication_lead"`
	VerificationPeriod time.Duration           `json:"verification_period"`
	NeededUntil        time.Time               `json:"needed_until"`
	Versions           []storedVersion         `json:"versions"`
}

type storedVersion struct {
	KeyID              string        `json:"kid"`
	Published          time.Time     `json:"published"`
	Ready              time.Time     `json:"ready"`
	Activated          time.Time     `json:"activated"`
	Retired            time.Time     `json:"retired"`
	VerificationPeriod time.Duration `json:"verification_period"`
	Public             []byte        `json:"public"`  // PKIX, DER
	Private            []byte        `json:"private"` // PKCS #8, DER; absent once retired
}

func putKey(k *keyring.Key) (change, error) {
	stored := storedKey{
		Name: k.Name, Algorithm: k.Algorithm, RotationPeriod: k.RotationPeriod, PublicationLead: k.PublicationLead,
		VerificationPeriod: k.VerificationPeriod, NeededUntil: k.NeededUntil,
	}
	for i := range k.Versions {
		v, err := storeVersion(&k.Versions[i])
		if err != nil {
			return change{}, err
		}
		stored.Versions = append(stored.Versions, v)
	}
	return put(keyPrefix+k.Name, stored)
}

func storeVersion(v *keyring.Version) (storedVersion, error) {
	stored := storedVersion{
		KeyID: v.KeyID, Published: v.Published, Ready: v.Ready, Activated: v.Activated,
		Retired: v.Retired, VerificationPeriod: v.VerificationPeriod,
	}
	var err error
	if stored.Public, err = x509.MarshalPKIXPublicKey(v.Public); err != nil {
		return storedVersion{}, err
	}
	if v.Signer() != nil {
		stored.Private, err = x509.MarshalPKCS8PrivateKey(v.Signer())
	}
	return stored, err
}

func (s storedKey) restore() (*keyring.Key, error) {
	k := &keyring.Key{
		Name: s.Name, Algorithm: s.Algorithm, RotationPeriod: s.RotationPeriod, PublicationLead: s.PublicationLead,
		VerificationPeriod: s.VerificationPeriod, NeededUntil: s.NeededUntil,
	}
	if len(s.Versions) < 2 {
		return nil, errors.New("a key must have an active version and a successor")
	}
	for _, v := range s.Versions {
		restored, err := v.restore()
		if err != nil {
			return nil, err
		}
		k.Versions = append(k.Versions, restored)
	}
	return k, nil
}

func (s storedVersion) restore() (keyring.Version, error) {
	public, err := x509.ParsePKIXPublicKey(s.Public)
	if err != nil {
		return keyring.Version{}, errors.New("malformed public key")
	}
	v := keyring.Version{
		KeyID: s.KeyID, Public: public, Published: s.Published, Ready: s.Ready, Activated: s.Activated,
		Retired: s.Retired, VerificationPeriod: s.VerificationPeriod,
	}
	if len(s.Private) == 0 {
		return v, nil
	}
	private, err := x509.ParsePKCS8PrivateKey(s.Private)
	if err != nil {
		return keyring.Version{}, errors.New("malformed private key")
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return keyring.Version{}, errors.New("a private key that cannot sign")
	}
	return keyring.Restore(v, signer), nil
}

// loadSnapshot reads everything that decides. An issuer or role that cannot be
// read is left out: roles that name the issuer deny, tokens of the role are dead,
// and nothing is written until it can be read. Without keys or configuration
// there is no snapshot at all. The caller holds mu.
func (b *backend) loadSnapshot(ctx context.Context, storage logical.Storage) (*exchange.Snapshot, error) {
	s := &exchange.Snapshot{
		Issuers: map[string]*issuer.Issuer{}, Keys: map[string]*keyring.Key{}, Roles: map[string]*policy.Role{},
		Clients: map[string]*client.Client{},
	}
	config, _, err := get[storedConfig](ctx, storage, configPath)
	if err != nil {
		return nil, err
	}
	s.Config, s.FormerIssuers = config.Config, config.FormerIssuers
	if s.Secret, _, err = get[[]byte](ctx, storage, secretPath); err != nil {
		return nil, err
	}
	err = getAll(ctx, storage, keyPrefix, func(name string, k storedKey) (err error) {
		s.Keys[name], err = k.restore()
		return err
	}, mustRead)
	if err != nil {
		return nil, err
	}
	leaveOut := func(path string, err error) error {
		b.Logger().Error("a storage entry cannot be read and is left out", "path", path, "error", err)
		s.Unreadable = append(s.Unreadable, path)
		return nil
	}
	err = getAll(ctx, storage, issuerPrefix, func(name string, c *issuer.Config) error {
		made, err := b.newIssuer(c)
		if err == nil {
			s.Issuers[name] = made
		}
		return err
	}, leaveOut)
	if err != nil {
		return nil, err
	}
	s.IssuerMissing = len(s.Unreadable) > 0
	err = getAll(ctx, storage, rolePrefix, func(name string, r *policy.Role) error {
		if err := r.Compile(); err != nil {
			return err
		}
		s.Roles[name] = r
		return nil
	}, leaveOut)
	if err != nil {
		return nil, err
	}
	return s, getAll(ctx, storage, clientPrefix, func(name string, c *client.Config) error {
		made, err := b.newClient(c)
		if err == nil {
			made.Adopt(b.clients[name])
			s.Clients[name] = made
		}
		return err
	}, leaveOut)
}

func (b *backend) loadRevocations(ctx context.Context, storage logical.Storage) error {
	return getAll(ctx, storage, revocationPrefix, func(_ string, e revocation.Entry) error {
		b.revocations.Add(e)
		return nil
	}, mustRead)
}
