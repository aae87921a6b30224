package dpop_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/dpop"
)

func TestNormalizeURL(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{"as it is", "https://as.example/token", "https://as.example/token"},
		{"query and fragment", "https://as.example/token?a=b?c#d#e", "https://as.example/token"},
		{"a fragment with a question mark", "https://as.example/token#a?b", "https://as.example/token"},
		{"a query without a path", "https://as.example?a=/b", "https://as.example/"},
		{"case of scheme and host", "HTTPS://AS.Example/Token", "https://as.example/Token"},
		{"default port of https", "https://as.example:443/token", "https://as.example/token"},
		{"default port of http", "http://as.example:80/token", "http://as.example/token"},
		{"default port of the other scheme", "http://as.example:443/token", "http://as.example:443/token"},
		{"empty port", "https://as.example:/token", "https://as.example/token"},
		{"port with zeros", "https://as.example:08200/token", "https://as.example:8200/token"},
		{"no path", "https://as.example", "https://as.example/"},
		{"encoded letter", "https://as.example/%74oken", "https://as.example/token"},
		{"encoded tilde", "https://as.example/%7Etoken", "https://as.example/~token"},
		{"encoded slash", "https://as.example/a%2fb", "https://as.example/a%2Fb"},
		{"encoded percent", "https://as.example/%2574", "https://as.example/%2574"},
		{"sub-delimiters stay as they are", "https://as.example/a+b%2Bc;d=(e)", "https://as.example/a+b%2Bc;d=(e)"},
		{"dot segments of RFC 3986", "https://as.example/a/b/c/./../../g", "https://as.example/a/g"},
		{"encoded dot segments", "https://as.example/a/%2E%2e/b/%2e/c", "https://as.example/b/c"},
		{"dots above the root", "https://as.example/../../a", "https://as.example/a"},
		{"a dot at the end", "https://as.example/a/.", "https://as.example/a/"},
		{"two dots at the end", "https://as.example/a/b/..", "https://as.example/a/"},
		{"three dots are a name", "https://as.example/a/...", "https://as.example/a/..."},
		{"empty segments count", "https://as.example//a//b", "https://as.example//a//b"},
		{"IPv6", "https://[2001:DB8:0::1]:443/token", "https://[2001:db8::1]/token"},
		{"IPv6 with a port", "https://[::1]:8200/token", "https://[::1]:8200/token"},
		{"IPv4", "http://127.0.0.1:8200/token", "http://127.0.0.1:8200/token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := must(dpop.NormalizeURL(c.raw)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestNormalizeURLRefuses(t *testing.T) {
	for _, c := range []struct{ name, raw, text string }{
		{"nothing", "", "is not an http or https URL"},
		{"a path", "/token", "is not an http or https URL"},
		{"another scheme", "ftp://as.example/token", "is not an http or https URL"},
		{"no authority", "https:/as.example/token", "is not an http or https URL"},
		{"no host", "https:///token", "has a malformed host"},
		{"a port alone", "https://:443/token", "has a malformed host"},
		{"a user", "https://a@as.example/token", "has a malformed host"},
		{"a user and a password", "https://a:b@as.example/token", "has a malformed port"},
		{"a user who looks like the host", "https://as.example:443@evil.example/token", "has a malformed port"},
		{"an encoded host", "https://%61s.example/token", "has a malformed host"},
		{"a host in Unicode", "https://ä.example/token", "has a malformed host"},
		{"the Kelvin sign, which is a k in lower case", "https://as.example.\u212aom/token", "has a malformed host"},
		{"a port that is no number", "https://as.example:https/token", "has a malformed port"},
		{"a port with a sign", "https://as.example:+443/token", "has a malformed port"},
		{"a port too large", "https://as.example:65536/token", "has a malformed port"},
		{"IPv6 unclosed", "https://[::1/token", "has a malformed address"},
		{"IPv6 with a tail", "https://[::1]x/token", "has a malformed address"},
		{"IPv6 with a zone", "https://[fe80::1%25eth0]/token", "has a malformed address"},
		{"IPv4 in brackets", "https://[127.0.0.1]/token", "has a malformed address"},
		{"half an encoding", "https://as.example/%4", "has a malformed encoding"},
		{"no encoding", "https://as.example/%zz", "has a malformed encoding"},
		{"an encoding with a sign", "https://as.example/%+1", "has a malformed encoding"},
		{"a backslash", `https://as.example/a\b`, "has a character in its path that must be encoded"},
		{"a space", "https://as.example/to ken", "has a character in its path that must be encoded"},
		{"Unicode", "https://as.example/tökén", "has a character in its path that must be encoded"},
		{"too long", "https://as.example/" + strings.Repeat("a", 2048), "is too long for a URL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := dpop.NormalizeURL(c.raw)
			if err == nil || err.Error() != c.text {
				t.Errorf("got %q and %v, want %s", got, err, c.text)
			}
		})
	}
}

// A URL has one normal form: it is that of every spelling, and of no other URL.
func TestNormalFormIsOne(t *testing.T) {
	segment := rapid.StringMatching(`([A-Za-z0-9_~!$&'()*+,;=:@-]|%[2-7][FB]){1,6}`)
	rapid.Check(t, func(t *rapid.T) {
		draw := func() spelling {
			return spelling{
				scheme: rapid.SampledFrom([]string{"http", "https"}).Draw(t, "scheme"),
				host:   rapid.SampledFrom([]string{"as.example", "b-2.example", "127.0.0.1", "[2001:db8::1]"}).Draw(t, "host"),
				port:   rapid.SampledFrom([]int{0, 8200, 8443}).Draw(t, "port"),
				path:   rapid.SliceOfN(segment, 0, 4).Draw(t, "path"),
			}
		}
		a, b := draw(), draw()
		seed := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		normal := must(dpop.NormalizeURL(a.spell(nil)))
		if again := must(dpop.NormalizeURL(normal)); again != normal {
			t.Errorf("the normal form of %s is %s", normal, again)
		}
		other := a.spell(seed)
		if got := must(dpop.NormalizeURL(other)); got != normal {
			t.Errorf("%s became %s, want %s", other, got, normal)
		}
		same := must(dpop.NormalizeURL(b.spell(nil))) == normal
		if equal := fmt.Sprint(decoded(a)) == fmt.Sprint(decoded(b)); equal != same {
			t.Errorf("%s and %s: the same %t, want %t", a.spell(nil), b.spell(nil), same, equal)
		}
	})
}

// What is not a URL is refused and what is one has a normal form that stays.
func TestNormalFormStays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.StringMatching(`https?://[a-zA-Z0-9.:@\[\]%-]{0,12}[a-z/.%0-9?#~ -]{0,20}`).Draw(t, "url")
		once, err := dpop.NormalizeURL(raw)
		if err != nil {
			return
		}
		if twice, err := dpop.NormalizeURL(once); err != nil || twice != once {
			t.Errorf("%s became %s and then %s, %v", raw, once, twice, err)
		}
	})
}

// spelling is a URL by its parts; the port is 0 for the default one.
type spelling struct {
	scheme, host string
	port         int
	path         []string
}

// decoded is what tells two of them apart.
func decoded(s spelling) []string {
	out := []string{s.scheme, s.host, fmt.Sprint(s.port), fmt.Sprint(len(s.path))}
	for _, p := range s.path {
		for _, c := range []string{"%5F", "%7E", "%2F", "%2B", "%3F", "%4F", "%6F", "%7F", "%3B", "%4B", "%5B", "%6B", "%7B"} {
			if n := fromHex(c[1:]); n == '_' || n == '~' || n == 'O' || n == 'o' || n == 'K' || n == 'k' {
				p = strings.ReplaceAll(p, c, string(rune(n)))
			}
		}
		out = append(out, p)
	}
	return out
}

func fromHex(s string) int {
	var n int
	_ = must(fmt.Sscanf(s, "%X", &n))
	return n
}

// spell writes it: plainly, or with a source in another way.
func (s spelling) spell(source *rand.Rand) string {
	chance := func() bool { return source != nil && source.IntN(3) == 0 }
	out := s.scheme + "://" + s.host
	if chance() {
		out = strings.ToUpper(out)
	}
	switch {
	case s.port != 0:
		out += fmt.Sprintf(":%d", s.port)
	case chance():
		out += ":" + map[string]string{"http": "80", "https": "443"}[s.scheme]
	case chance():
		out += ":"
	}
	for _, p := range s.path {
		if chance() {
			out += "/."
		}
		if chance() {
			out += "/x/%2E."
		}
		out += "/"
		for i := 0; i < len(p); i++ {
			c := p[i]
			switch {
			case c == '%' && chance():
				out += strings.ToLower(p[i : i+3])
				i += 2
			case c == '%':
				out += p[i : i+3]
				i += 2
			case chance() && strings.ContainsRune("abcXYZ019-_~", rune(c)):
				out += fmt.Sprintf("%%%02x", c)
			default:
				out += string(c)
			}
		}
	}
	if len(s.path) == 0 && (source == nil || chance()) {
		out += "/"
	}
	if chance() {
		out += "?a=../b"
	}
	if chance() {
		out += "#c/."
	}
	return out
}
