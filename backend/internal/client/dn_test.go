package client

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var (
	commonName = asn1.ObjectIdentifier{2, 5, 4, 3}
	unit       = asn1.ObjectIdentifier{2, 5, 4, 11}
	component  = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}
)

func encode(t interface{ Fatal(...any) }, sequence pkix.RDNSequence) []byte {
	der, err := asn1.Marshal(sequence)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func rdn(attributes ...pkix.AttributeTypeAndValue) pkix.RelativeDistinguishedNameSET {
	return attributes
}

func ava(oid asn1.ObjectIdentifier, value any) pkix.AttributeTypeAndValue {
	return pkix.AttributeTypeAndValue{Type: oid, Value: value}
}

func TestSameDN(t *testing.T) {
	org := rdn(ava(component, "example"))
	two := encode(t, pkix.RDNSequence{org, rdn(ava(commonName, "a, b"))})
	multi := encode(t, pkix.RDNSequence{org, rdn(ava(unit, "x"), ava(commonName, "y"))})
	odd := encode(t, pkix.RDNSequence{rdn(ava(commonName, " a\\=+\"<>;# "))})
	for _, c := range []struct {
		text    string
		encoded []byte
		want    bool
	}{
		{`CN=a\, b,DC=example`, two, true},
		{`CN=a\2C b,DC=example`, two, true},
		{`cn = a\, b , dc = example`, two, true},
		{`2.5.4.3=a\, b,0.9.2342.19200300.100.1.25=example`, two, true},
		{`CN=#0C04612C2062,DC=example`, two, true},
		{`OU=x+CN=y,DC=example`, multi, true},
		{`CN=y+OU=x,DC=example`, multi, true},
		{`CN=\ a\\\=\+\"\<\>\;#\ `, odd, true},
		{`DC=example,CN=a\, b`, two, false},
		{`CN=a\, b`, two, false},
		{`CN=a\, b,DC=example,O=x`, two, false},
		{`CN=A\, b,DC=example`, two, false},
		{`CN=a\,  b,DC=example`, two, false},
		{`OU=a\, b,DC=example`, two, false},
		{`OU=x,CN=y,DC=example`, multi, false},
		{`CN=y,DC=example`, multi, false},
		{`CN=a`, encode(t, pkix.RDNSequence{rdn(ava(commonName, 7))}), false},
		{`CN=a`, []byte("no DER"), false},
		{`CN=a`, append(encode(t, pkix.RDNSequence{rdn(ava(commonName, "a"))}), 0), false},
	} {
		if sameDN(c.text, c.encoded) != c.want {
			t.Errorf("%s: want %t", c.text, c.want)
		}
	}
}

func TestParseDNRefuses(t *testing.T) {
	for text, want := range map[string]string{
		``:            `is not a distinguished name`,
		`CN=a,`:       `is not a distinguished name`,
		`CN=a,,O=b`:   `is not a distinguished name`,
		`a`:           `is not a distinguished name`,
		`XX=a`:        `has an attribute type "XX" that is not known here: write its OID`,
		`=a`:          `has an attribute type "" that is not known here: write its OID`,
		`CN=`:         `has no value for CN`,
		`CN=a"b"`:     `has the character '"', which must be escaped`,
		`CN=a;O=b`:    `has the character ';', which must be escaped`,
		"CN=a\x00":    `has the character '\x00', which must be escaped`,
		`CN=a\`:       `has a "\" that escapes nothing`,
		`CN=a\x`:      `has a "\" that escapes nothing`,
		`CN=a\4`:      `has a "\" that escapes nothing`,
		`CN=#zz`:      `has a value after # that is not the encoding of a text`,
		`CN=#020107`:  `has a value after # that is not the encoding of a text`,
		`CN=#0C05616`: `has a value after # that is not the encoding of a text`,
	} {
		if got, err := parseDN(text); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
}

// What crypto/x509/pkix writes of a name is read as that name, and as no other.
func TestSameDNProperty(t *testing.T) {
	oids := []asn1.ObjectIdentifier{commonName, unit, {2, 5, 4, 10}, {2, 5, 4, 6}}
	value := rapid.StringMatching(`[ -~]{1,6}`)
	name := rapid.Custom(func(t *rapid.T) pkix.RDNSequence {
		var out pkix.RDNSequence
		for range rapid.IntRange(1, 3).Draw(t, "parts") {
			var set pkix.RelativeDistinguishedNameSET
			for range rapid.IntRange(1, 2).Draw(t, "attributes") {
				v := value.Draw(t, "value")
				set = append(set, ava(rapid.SampledFrom(oids).Draw(t, "type"), v))
			}
			out = append(out, set)
		}
		return out
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := name.Draw(t, "a"), name.Draw(t, "b")
		if strings.Trim(a.String(), " ") == "" {
			return
		}
		if !sameDN(a.String(), encode(t, a)) {
			t.Fatalf("%s is not read as itself", a)
		}
		da, errA := decodeDN(encode(t, a))
		db, errB := decodeDN(encode(t, b))
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		same := len(da) == len(db)
		for i := range da {
			same = same && len(da[i]) == len(db[i])
			for j := range da[i] {
				same = same && da[i][j] == db[i][j]
			}
		}
		if sameDN(a.String(), encode(t, b)) != same {
			t.Fatalf("%s and %s: want %t", a, b, same)
		}
	})
}
