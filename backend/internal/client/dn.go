package client

import (
	"cmp"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// attributeTypes are the short names of attribute types (RFC 4514 §3, RFC 4519,
// and those that openssl writes).
var attributeTypes = map[string]string{
	"CN": "2.5.4.3", "SN": "2.5.4.4", "SERIALNUMBER": "2.5.4.5", "C": "2.5.4.6", "L": "2.5.4.7",
	"ST": "2.5.4.8", "STREET": "2.5.4.9", "O": "2.5.4.10", "OU": "2.5.4.11", "TITLE": "2.5.4.12",
	"POSTALCODE": "2.5.4.17", "GN": "2.5.4.42", "ORGANIZATIONIDENTIFIER": "2.5.4.97",
	"UID": "0.9.2342.19200300.100.1.1", "DC": "0.9.2342.19200300.100.1.25",
	"EMAILADDRESS": "1.2.840.113549.1.9.1", "E": "1.2.840.113549.1.9.1",
}

// attribute is one type, as its OID, and its value.
type attribute struct{ oid, value string }

// relative is one relative distinguished name: a set of attributes, sorted.
type relative []attribute

// sameDN tells whether a name as RFC 4514 writes it is the encoded one of a
// certificate. Values are compared exactly: no folding that the authority and we
// could do differently.
func sameDN(text string, encoded []byte) bool {
	wanted, err := parseDN(text)
	if err != nil {
		return false
	}
	got, err := decodeDN(encoded)
	return err == nil && slices.EqualFunc(wanted, got, slices.Equal)
}

// decodeDN reads the name of a certificate, the most specific part first, as RFC
// 4514 §2.1 writes it.
func decodeDN(encoded []byte) ([]relative, error) {
	var sequence pkix.RDNSequence
	if rest, err := asn1.Unmarshal(encoded, &sequence); err != nil || len(rest) > 0 {
		return nil, errors.New("malformed name")
	}
	var out []relative
	for _, set := range slices.Backward(sequence) {
		var r relative
		for _, a := range set {
			value, ok := a.Value.(string)
			if !ok {
				return nil, errors.New("a value that is no text")
			}
			r = append(r, attribute{a.Type.String(), value})
		}
		out = append(out, r.sorted())
	}
	return out, nil
}

func (r relative) sorted() relative {
	slices.SortFunc(r, func(a, b attribute) int { return cmp.Or(cmp.Compare(a.oid, b.oid), cmp.Compare(a.value, b.value)) })
	return r
}

// parseDN reads a name as RFC 4514 §3 writes it. Spaces around the separators,
// which openssl writes, mean nothing.
func parseDN(text string) ([]relative, error) {
	var out []relative
	for _, part := range splitDN(text, ',') {
		var r relative
		for _, one := range splitDN(part, '+') {
			a, err := parseAttribute(one)
			if err != nil {
				return nil, err
			}
			r = append(r, a)
		}
		out = append(out, r.sorted())
	}
	return out, nil
}

// splitDN cuts a text at each separator that is not escaped.
func splitDN(text string, separator byte) []string {
	var out []string
	start := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++ // the next one is escaped, or the first of two hex digits
		case separator:
			out = append(out, text[start:i])
			start = i + 1
		}
	}
	return append(out, text[start:])
}

func parseAttribute(text string) (attribute, error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		return attribute{}, errors.New("is not a distinguished name")
	}
	name = strings.TrimSpace(name)
	oid, known := attributeTypes[strings.ToUpper(name)]
	switch {
	case known:
	case name != "" && strings.Trim(name, "0123456789.") == "":
		oid = name
	default:
		return attribute{}, fmt.Errorf("has an attribute type %.64q that is not known here: write its OID", name)
	}
	value, err := unescape(trimSpaces(value))
	if err == nil && value == "" {
		err = fmt.Errorf("has no value for %s", name)
	}
	return attribute{oid, value}, err
}

// trimSpaces removes spaces around a value, but for one that is escaped.
func trimSpaces(value string) string {
	value = strings.TrimLeft(value, " ")
	trimmed := strings.TrimRight(value, " ")
	slashes := len(trimmed) - len(strings.TrimRight(trimmed, `\`))
	if slashes%2 == 1 && len(trimmed) < len(value) {
		trimmed += " "
	}
	return trimmed
}

// unescape returns the text of a value (RFC 4514 §2.4).
func unescape(value string) (string, error) {
	if encoded, ok := strings.CutPrefix(value, "#"); ok {
		return decodeValue(encoded)
	}
	var out strings.Builder
	for i := 0; i < len(value); i++ {
		c := value[i]
		if strings.IndexByte("\"<>;\x00", c) >= 0 {
			return "", fmt.Errorf("has the character %q, which must be escaped", c)
		}
		if c != '\\' {
			out.WriteByte(c)
			continue
		}
		i++
		if i < len(value) && strings.IndexByte(` "#+,;<=>\`, value[i]) >= 0 {
			out.WriteByte(value[i])
			continue
		}
		pair, err := hex.DecodeString(value[min(i, len(value)):min(i+2, len(value))])
		if err != nil || len(pair) != 1 {
			return "", errors.New(`has a "\" that escapes nothing`)
		}
		out.WriteByte(pair[0])
		i++
	}
	return out.String(), nil
}

// decodeValue reads the text of a value that is written as its encoding.
func decodeValue(encoded string) (string, error) {
	var value any
	data, err := hex.DecodeString(encoded)
	if err == nil {
		_, err = asn1.Unmarshal(data, &value)
	}
	text, ok := value.(string)
	if err != nil || !ok {
		return "", errors.New("has a value after # that is not the encoding of a text")
	}
	return text, nil
}
