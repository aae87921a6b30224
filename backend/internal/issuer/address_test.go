package issuer_test

import (
	"fmt"
	"testing"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
)

const (
	notHTTPS    = `must be https (http is accepted for a literal loopback address such as 127.0.0.1 only)`
	notAbsolute = `is not an absolute https URL`
)

func TestCheckURL(t *testing.T) {
	for _, url := range []string{
		"https://idp.example", "https://idp.example/", "https://idp.example:8443/realms/x", "https://10.0.0.1/",
		"http://127.0.0.1:8080/x", "http://127.1.2.3", "http://[::1]:8080",
	} {
		if err := issuer.CheckURL("jwks_url", url); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct{ url, text string }{
		{"", notAbsolute},
		{"idp.example", notAbsolute},
		{"/keys", notAbsolute},
		{"//idp.example/keys", notHTTPS},
		{"https:", notAbsolute},
		{"https:idp.example", notAbsolute},
		{"https:///keys", notAbsolute},
		{"https://:443/keys", notAbsolute},
		{"https://idp.example:x/", notAbsolute},
		{"https://idp.example/%zz", notAbsolute},
		{"https://idp example/", notAbsolute},
		{"http://idp.example", notHTTPS},
		{"http://localhost:8080", notHTTPS},
		{"http://10.0.0.1", notHTTPS},
		{"http://169.254.169.254/latest", notHTTPS},
		{"http://0.0.0.0:8080", notHTTPS},
		{"http://2130706433/", notHTTPS},
		{"http://127.0.0.1.evil.example/", notHTTPS},
		{"file://idp.example/etc/passwd", notHTTPS},
		{"ftp://idp.example/keys", notHTTPS},
		{"https://user@idp.example/", `must have no user and no fragment`},
		{"https://127.0.0.1@evil.example/", `must have no user and no fragment`},
		{"https://idp.example/#x", `must have no user and no fragment`},
		{"https://idp.example/#", `must have no user and no fragment`},
		{"https://idp.example/?x=1", `must have no query`},
		{"https://idp.example/?", `must have no query`},
	} {
		t.Run(c.url, func(t *testing.T) {
			wantDenied(t, issuer.CheckURL("jwks_url", c.url), denial.InvalidRequest, "jwks_url", fmt.Sprintf("jwks_url: %q %s", c.url, c.text))
		})
	}
}

// JW-8: which addresses the engine may connect to. The operator wrote a URL
// with the host idp.example.
func TestAddressPolicy(t *testing.T) {
	const written = "idp.example"
	var listed []string
	allow := func(host, ip string) {
		t.Helper()
		if err := issuer.CheckAddress(listed, written, host, ip); err != nil {
			t.Error(err)
		}
	}
	refuse := func(host, ip, text string) {
		t.Helper()
		if err := issuer.CheckAddress(listed, written, host, ip); err == nil || err.Error() != text {
			t.Errorf("%s of %s: got  %v\nwant %s", ip, host, err, text)
		}
	}
	denyAs := func(host, ip, printed string) {
		t.Helper()
		refuse(host, ip, fmt.Sprintf("address %s of %s is not public: list it in allowed_addresses", printed, host))
	}
	deny := func(host, ip string) { t.Helper(); denyAs(host, ip, ip) }
	private := func(ip string) {
		t.Helper()
		allow(written, ip)
		refuse("other.example", ip, fmt.Sprintf("address %s of other.example is private, and other.example is not the configured host: list it in allowed_addresses", ip))
	}

	allow(written, "93.184.215.14")
	allow("other.example", "93.184.215.14")
	allow("other.example", "2606:2800:21f:cb07:6820:80da:af6b:8b2c")

	private("10.0.0.1")
	private("172.16.0.1")
	private("192.168.1.1")
	private("100.64.0.1") // carrier-grade NAT
	private("100.127.255.254")
	private("fd00::1")

	deny(written, "127.0.0.1")
	deny(written, "127.255.255.254")
	deny(written, "::1")
	deny(written, "0.0.0.0")
	deny(written, "0.1.2.3")
	deny(written, "::")
	deny(written, "169.254.169.254") // metadata of a cloud
	deny(written, "169.254.0.1")
	deny(written, "fe80::1")
	deny(written, "224.0.0.1")
	deny(written, "ff02::1")
	deny(written, "255.255.255.255")
	deny(written, "240.0.0.1")
	deny(written, "192.0.0.192") // metadata of another cloud
	deny(written, "192.0.2.1")
	deny(written, "198.18.0.1")
	deny(written, "198.51.100.1")
	deny(written, "203.0.113.1")
	deny(written, "2001:db8::1")

	// The same addresses, hidden in IPv6.
	denyAs(written, "::ffff:127.0.0.1", "127.0.0.1")
	denyAs(written, "::ffff:169.254.169.254", "169.254.169.254")
	denyAs(written, "fe80::1%eth0", "fe80::1")
	deny(written, "64:ff9b::7f00:1")    // NAT64
	deny(written, "64:ff9b::a9fe:a9fe") // NAT64
	deny(written, "2002:7f00:1::")      // 6to4
	deny(written, "2001:0:7f00:1::")    // Teredo
	refuse("other.example", "::ffff:10.0.0.1", "address 10.0.0.1 of other.example is private, and other.example is not the configured host: list it in allowed_addresses")

	// The name alone makes no host the configured one.
	refuse("sub.idp.example", "10.0.0.1", "address 10.0.0.1 of sub.idp.example is private, and sub.idp.example is not the configured host: list it in allowed_addresses")

	listed = []string{"127.0.0.1/32", "169.254.10.9/24", "10.1.0.0/16"}
	allow("other.example", "127.0.0.1")
	allow("other.example", "::ffff:127.0.0.1")
	deny("other.example", "127.0.0.2")
	allow("other.example", "169.254.10.77") // host bits of the CIDR mean nothing
	deny("other.example", "169.254.169.254")
	allow("other.example", "10.1.2.3")
	refuse("other.example", "10.2.0.1", "address 10.2.0.1 of other.example is private, and other.example is not the configured host: list it in allowed_addresses")
}
