package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"hash/crc32"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// OpaquePrefix begins every opaque token of this engine, so that a scanner for
// leaked secrets can tell what it has found. [denial] keeps such a token out of
// refusals by it.
const OpaquePrefix = "vtx_"

// NoKey stands for the id of the key that signed an opaque token: none did. No key
// has the id.
const NoKey = "-"

// An opaque token is the prefix, 256 random bits, the period in which it expires,
// and a checksum of these. The period is in it so that the records of those that
// have expired can be found without reading any; the checksum so that a scanner
// can tell a token from text that looks like one, offline.
const (
	randomChars = 43 // of base 62
	periodChars = 6  // of base 36, in lower case: names in storage may not keep it
	sumChars    = 6  // of base 62

	opaqueChars = len(OpaquePrefix) + randomChars + periodChars + sumChars

	periodLength = 5 * time.Minute
)

// NewOpaque makes an opaque token for a life that ends at expires, and tells where
// its record belongs.
func NewOpaque(expires time.Time) (raw Secret, place string) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails: it ends the process instead
	text := OpaquePrefix + digits(new(big.Int).SetBytes(random), 62, randomChars) +
		digits(big.NewInt(expires.Unix()/int64(periodLength/time.Second)), 36, periodChars)
	text += checksum(text)
	return Secret(text), placeOf(text)
}

// ParseOpaque tells where the record of an opaque token belongs: below the period
// in which it expires, under the hash of all of it. It is false for what does not
// have the form of one; whether there is a record, storage knows alone.
func ParseOpaque(raw Secret) (place string, ok bool) {
	text := string(raw)
	if len(text) != opaqueChars || !strings.HasPrefix(text, OpaquePrefix) {
		return "", false
	}
	body, sum := text[:opaqueChars-sumChars], text[opaqueChars-sumChars:]
	if sum != checksum(body) || !isPeriod(periodOf(text)) {
		return "", false
	}
	return placeOf(text), true
}

// PeriodEnd returns when every token whose record belongs below period has expired;
// false if that is not a period.
func PeriodEnd(period string) (time.Time, bool) {
	if !isPeriod(period) {
		return time.Time{}, false
	}
	n, err := strconv.ParseInt(period, 36, 64)
	return time.Unix((n+1)*int64(periodLength/time.Second), 0), err == nil
}

func placeOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return periodOf(text) + "/" + hex.EncodeToString(sum[:])
}

func periodOf(text string) string {
	end := opaqueChars - sumChars
	return text[end-periodChars : end]
}

func isPeriod(s string) bool {
	return len(s) == periodChars && !strings.ContainsFunc(s, func(c rune) bool { return (c < '0' || c > '9') && (c < 'a' || c > 'z') })
}

func checksum(text string) string {
	return digits(big.NewInt(int64(crc32.ChecksumIEEE([]byte(text)))), 62, sumChars)
}

func digits(n *big.Int, base, width int) string {
	text := n.Text(base)
	return strings.Repeat("0", max(0, width-len(text))) + text
}
