// Package keyring holds the signing keys: it generates, publishes, activates
// and retires their versions.
//
// A key always has one version that signs and one successor that is published
// but does not sign yet, so that whoever fetched the JWKS before a rotation
// knows the new key already. A retired version stays published for as long as
// a token that it signed may live. Keys are immutable: each change returns a
// new one.
package keyring

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// Key is a named signing key with all its versions.
type Key struct {
	Name      string
	Algorithm jose.SignatureAlgorithm
	// RotationPeriod is how long a version signs before it is rotated by itself;
	// zero if it is rotated on request only.
	RotationPeriod time.Duration
	// PublicationLead is how long a successor is published before it may sign.
	// It must exceed the time that consumers cache the JWKS.
	PublicationLead time.Duration
	// VerificationPeriod is how long a version that signs no more stays
	// published; no token signed with it lives longer.
	VerificationPeriod time.Duration
	// NeededUntil is when the last token may expire that was signed for a role
	// which has since let go of the key; zero if none ever did.
	NeededUntil time.Time
	// Versions from the oldest to the successor, which is the last.
	Versions []Version
}

// Version is one key pair. Its private half is reached by Signer alone, and
// forgotten when the version is retired.
type Version struct {
	KeyID     string // RFC 7638 thumbprint
	Public    crypto.PublicKey
	Published time.Time // since when it has been in the JWKS
	Ready     time.Time // when it may first sign
	Activated time.Time // when it began to sign; zero for the successor
	Retired   time.Time // when it signed last; zero until then
	// VerificationPeriod of this version: raising the key's applies to all
	// versions, lowering it to new ones only.
	VerificationPeriod time.Duration

	// A function, since fmt prints what a field holds, and an Ed25519 key is held
	// as it is and not behind a pointer.
	signer func() crypto.Signer
}

// State is where a version is in its life.
type State string

// The states of a version, in order.
const (
	Next    State = "next"    // published, does not sign yet
	Active  State = "active"  // signs
	Retired State = "retired" // published, signs no more
	Expired State = "expired" // in the JWKS no more
)

// State returns the version's state at a time.
func (v *Version) State(now time.Time) State {
	switch {
	case v.Activated.IsZero():
		return Next
	case v.Retired.IsZero():
		return Active
	case now.Before(v.PublishedUntil()):
		return Retired
	default:
		return Expired
	}
}

// InFlight is how long an exchange may go on with what it read at its start: it
// may sign with a version that was retired meanwhile. What a token needs is kept
// for so much longer.
const InFlight = 2 * time.Minute

// PublishedUntil is when a retired version leaves the JWKS; zero before it is
// retired.
func (v *Version) PublishedUntil() time.Time {
	if v.Retired.IsZero() {
		return time.Time{}
	}
	return v.Retired.Add(v.VerificationPeriod + InFlight)
}

// LastVerifiable is the latest moment at which a token signed now is certain
// to be verifiable, even if the key were rotated right after.
func (v *Version) LastVerifiable(now time.Time) time.Time { return now.Add(v.VerificationPeriod) }

// Signer returns the private half; nil once the version is retired.
func (v *Version) Signer() crypto.Signer {
	if v.signer == nil {
		return nil
	}
	return v.signer()
}

// Restore returns a stored version with its private half.
func Restore(v Version, signer crypto.Signer) Version {
	v.signer = func() crypto.Signer { return signer }
	return v
}

var generators = map[jose.SignatureAlgorithm]func() (crypto.Signer, error){
	jose.ES256: generateEC(elliptic.P256()),
	jose.ES384: generateEC(elliptic.P384()),
	jose.ES512: generateEC(elliptic.P521()),
	jose.RS256: generateRSA(2048),
	jose.RS384: generateRSA(3072),
	jose.RS512: generateRSA(4096),
	jose.PS256: generateRSA(2048),
	jose.PS384: generateRSA(3072),
	jose.PS512: generateRSA(4096),
	jose.EdDSA: func() (crypto.Signer, error) {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	},
}

func generateEC(curve elliptic.Curve) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return ecdsa.GenerateKey(curve, rand.Reader) }
}

func generateRSA(bits int) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, bits) }
}

// Algorithms returns the algorithms that a key may have, sorted.
func Algorithms() []string {
	names := make([]string, 0, len(generators))
	for alg := range maps.Keys(generators) {
		names = append(names, string(alg))
	}
	slices.Sort(names)
	return names
}

// CheckAlgorithm refuses what no key can be made for.
func CheckAlgorithm(alg jose.SignatureAlgorithm) error {
	if _, ok := generators[alg]; !ok {
		return denial.Field("algorithm", "%q is not supported: use one of %s", alg, strings.Join(Algorithms(), ", "))
	}
	return nil
}

// Defaults of a new key.
const (
	DefaultAlgorithm          = jose.ES256
	DefaultPublicationLead    = 24 * time.Hour
	DefaultVerificationPeriod = 24 * time.Hour
)

// Generate makes a key with its first version, which may sign from ready on, and
// a successor.
func Generate(k Key, now, ready time.Time) (*Key, error) {
	if err := CheckAlgorithm(k.Algorithm); err != nil {
		return nil, err
	}
	first, err := k.newVersion(now)
	if err != nil {
		return nil, err
	}
	first.Ready, first.Activated = ready, now
	next, err := k.newVersion(now)
	if err != nil {
		return nil, err
	}
	k.Versions = []Version{first, next}
	return &k, nil
}

func (k *Key) newVersion(now time.Time) (Version, error) {
	signer, err := generators[k.Algorithm]()
	if err != nil {
		return Version{}, denial.Server(denial.Configuration, fmt.Errorf("generate %s key: %w", k.Algorithm, err))
	}
	public := jose.JSONWebKey{Key: signer.Public()}
	thumbprint, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return Version{}, denial.Server(denial.Configuration, fmt.Errorf("thumbprint of %s key: %w", k.Algorithm, err))
	}
	return Restore(Version{
		KeyID:              base64.RawURLEncoding.EncodeToString(thumbprint),
		Public:             signer.Public(),
		Published:          now,
		Ready:              now.Add(k.PublicationLead),
		VerificationPeriod: k.VerificationPeriod,
	}, signer), nil
}

// Active returns the version that signs.
func (k *Key) Active() *Version { return &k.Versions[len(k.Versions)-2] }

// Next returns the successor.
func (k *Key) Next() *Version { return &k.Versions[len(k.Versions)-1] }

// Rotate retires the active version, lets the successor sign and publishes a
// new successor. It is refused while the successor has been published for less
// than the publication lead: consumers may not know it yet.
func (k *Key) Rotate(now time.Time) (*Key, error) {
	if next := k.Next(); now.Before(next.Ready) {
		return nil, denial.Field("publication_lead", "the successor of key %q may sign from %s on: "+
			"consumers that cache the JWKS may not know it before then", k.Name, next.Ready.UTC().Format(time.RFC3339))
	}
	successor, err := k.newVersion(now)
	if err != nil {
		return nil, err
	}
	rotated := k.clone()
	retired := rotated.Active()
	retired.Retired, retired.signer = now, nil
	rotated.Next().Activated = now
	rotated.Versions = append(rotated.Versions, successor)
	return rotated.Prune(now), nil
}

// Due tells whether the key is to be rotated by itself.
func (k *Key) Due(now time.Time) bool {
	return k.RotationPeriod > 0 && !now.Before(k.Active().Activated.Add(k.RotationPeriod)) && !now.Before(k.Next().Ready)
}

// MostVersions is how many versions the key can have in the JWKS at a time, if
// it is rotated by itself alone.
func (k *Key) MostVersions() int {
	if k.RotationPeriod <= 0 {
		return max(len(k.Versions), 2)
	}
	retired := (k.VerificationPeriod + InFlight + k.RotationPeriod - 1) / k.RotationPeriod
	return max(len(k.Versions), 2+int(retired))
}

// inDoubt is for how long after another version has taken over "the version that signs"
// may be meant for that before it: who revokes a leaked key twice, because the answer
// to the first request was lost, does not mean its successor.
const inDoubt = time.Hour

// Revoke drops a version at once, as if it had never been: everything that it
// signed is dead. If it signs, the successor takes over, published long enough or
// not; there is always a new successor. An empty id stands for the version that
// signs, if that is in no doubt: it is the key's first, or has signed for a while.
func (k *Key) Revoke(id string, now time.Time) (*Key, error) {
	if id == "" {
		active := k.Active()
		if since := active.Activated; !since.Equal(active.Published) && now.Before(since.Add(inDoubt)) {
			return nil, denial.Field("kid", "the version %q signs since %s only: if you have revoked the one before it, that is done; else say by its kid which to revoke", active.KeyID, since.UTC().Format(time.RFC3339))
		}
		id = active.KeyID
	}
	i := slices.IndexFunc(k.Versions, func(v Version) bool { return v.KeyID == id })
	if i < 0 {
		return nil, denial.Field("kid", "%q is not a version of key %q", id, k.Name)
	}
	c := k.clone()
	state := c.Versions[i].State(now)
	c.Versions = slices.Delete(c.Versions, i, i+1)
	if state == Active || state == Next {
		successor, err := k.newVersion(now)
		if err != nil {
			return nil, err
		}
		c.Versions = append(c.Versions, successor)
	}
	if state == Active {
		promoted := c.Active()
		promoted.Activated, promoted.Ready = now, now
		c.NeededUntil = c.neededByRetired()
	}
	return c, nil
}

// neededByRetired returns until when roles that have let go may need the key
// after its active version has gone: no longer than a retired version that is
// left is published, since the promoted one has signed nothing yet.
func (k *Key) neededByRetired() time.Time {
	var latest time.Time
	for i := range k.Versions {
		if until := k.Versions[i].PublishedUntil(); until.After(latest) {
			latest = until
		}
	}
	if latest.Before(k.NeededUntil) {
		return latest
	}
	return k.NeededUntil
}

// Configure returns the key with other periods. Raising one applies to every
// version, lowering it only to versions made from now on: what was promised to
// holders of tokens and of a cached JWKS is kept.
func (k *Key) Configure(rotation, lead, verification time.Duration) *Key {
	c := k.clone()
	c.RotationPeriod, c.PublicationLead, c.VerificationPeriod = rotation, lead, verification
	for i := range c.Versions {
		v := &c.Versions[i]
		v.VerificationPeriod = max(v.VerificationPeriod, verification)
		if ready := v.Published.Add(lead); v.Activated.IsZero() && ready.After(v.Ready) {
			v.Ready = ready
		}
	}
	return c
}

// Release returns the key as needed until every token signed up to now has
// expired: a role lets go of it.
func (k *Key) Release(now time.Time) *Key {
	c := k.clone()
	for i := range k.Versions {
		until := k.Versions[i].PublishedUntil()
		if k.Versions[i].State(now) == Active {
			until = k.Versions[i].LastVerifiable(now).Add(InFlight)
		}
		if until.After(c.NeededUntil) {
			c.NeededUntil = until
		}
	}
	return c
}

// Prune drops the versions that are published no more.
func (k *Key) Prune(now time.Time) *Key {
	c := k.clone()
	c.Versions = slices.DeleteFunc(c.Versions, func(v Version) bool { return v.State(now) == Expired })
	return c
}

func (k *Key) clone() *Key {
	c := *k
	c.Versions = slices.Clone(k.Versions)
	return &c
}

// JWKS returns the public keys that are published at a time (RFC 7517 §5): of
// every key every version that has not expired, oldest first.
func JWKS(keys map[string]*Key, now time.Time) jose.JSONWebKeySet {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		for i := range keys[name].Versions {
			v := &keys[name].Versions[i]
			if v.State(now) != Expired {
				set.Keys = append(set.Keys, v.PublicKey(keys[name].Algorithm))
			}
		}
	}
	return set
}

// PublicKey returns the version as it stands in the JWKS.
func (v *Version) PublicKey(alg jose.SignatureAlgorithm) jose.JSONWebKey {
	return jose.JSONWebKey{Key: v.Public, KeyID: v.KeyID, Algorithm: string(alg), Use: "sig"}
}
