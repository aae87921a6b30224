package dpop

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// maxURL is the longest URL, in bytes.
const maxURL = 2048

var defaultPorts = map[string]string{"http": "80", "https": "443"}

// NormalizeURL brings an http or https URL to the form in which two that are the
// same by RFC 3986 §§6.2.2 and 6.2.3 have the same text, without its query and
// fragment (RFC 9449 §4.3). What is no such URL, or holds user information, is an
// error that does not repeat it.
func NormalizeURL(raw string) (string, error) {
	if len(raw) > maxURL {
		return "", errors.New("is too long for a URL")
	}
	raw, _, _ = strings.Cut(raw, "#")
	raw, _, _ = strings.Cut(raw, "?")
	scheme, rest, _ := strings.Cut(raw, "://")
	scheme = strings.ToLower(scheme)
	if defaultPorts[scheme] == "" {
		return "", errors.New("is not an http or https URL")
	}
	authority, path := rest, "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	authority, err := normalizeAuthority(authority, defaultPorts[scheme])
	if err != nil {
		return "", err
	}
	path, err = normalizePath(path)
	if err != nil {
		return "", err
	}
	return scheme + "://" + authority + path, nil
}

// normalizeAuthority writes host and port: the host in lower case, the port
// without leading zeros, and not at all if it is the default.
func normalizeAuthority(authority, defaultPort string) (string, error) {
	host, port := authority, ""
	// The colons of an IPv6 address stand in brackets.
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, port = authority[:i], authority[i+1:]
	}
	host, err := normalizeHost(host)
	if err != nil {
		return "", err
	}
	if port == "" {
		return host, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", errors.New("has a malformed port")
	}
	if port = strconv.FormatUint(n, 10); port == defaultPort {
		return host, nil
	}
	return host + ":" + port, nil
}

// normalizeHost takes names and addresses as they occur in DNS and TLS: no
// percent-encoding, of which two readers may make two hosts.
func normalizeHost(host string) (string, error) {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !strings.HasSuffix(inner, "]") || !addr.Is6() || addr.Zone() != "" {
			return "", errors.New("has a malformed address")
		}
		return "[" + addr.String() + "]", nil
	}
	// Before the case is changed: the Kelvin sign becomes a k.
	if host == "" || strings.ContainsFunc(host, func(c rune) bool { return c == '~' || !isUnreserved(c) }) {
		return "", errors.New("has a malformed host")
	}
	return strings.ToLower(host), nil
}

// normalizePath decodes what need not be encoded, writes other encodings in
// upper case, and then removes dot segments, encoded or not.
func normalizePath(path string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c != '%' {
			if !isUnreserved(rune(c)) && !strings.ContainsRune("/:@!$&'()*+,;=", rune(c)) {
				return "", errors.New("has a character in its path that must be encoded")
			}
			b.WriteByte(c)
			continue
		}
		if i+2 >= len(path) {
			return "", errors.New("has a malformed encoding")
		}
		n, err := strconv.ParseUint(path[i+1:i+3], 16, 8)
		if err != nil {
			return "", errors.New("has a malformed encoding")
		}
		if isUnreserved(rune(n)) {
			b.WriteByte(byte(n))
		} else {
			b.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	return removeDotSegments(b.String()), nil
}

// removeDotSegments is RFC 3986 §5.2.4 for a path that begins with a slash.
func removeDotSegments(path string) string {
	segments := strings.Split(path[1:], "/")
	out := make([]string, 0, len(segments)+1)
	for i, s := range segments {
		switch s {
		case ".":
		case "..":
			out = out[:max(0, len(out)-1)]
		default:
			out = append(out, s)
			continue
		}
		if i == len(segments)-1 {
			out = append(out, "") // what is left is a directory
		}
	}
	return "/" + strings.Join(out, "/")
}

// isUnreserved tells whether a character means the same encoded (RFC 3986 §2.3).
func isUnreserved(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-._~", c)
}
