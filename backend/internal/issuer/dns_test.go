package issuer_test

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
)

// nameServer is a real DNS server on a loopback address. It gives one address
// for every name.
type nameServer struct {
	net.PacketConn
	address atomic.Pointer[netip.Addr]
}

// newNameServer makes the process ask the server for every name, until the test
// ends.
func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{PacketConn: conn}
	go s.serve()
	system := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = system
		_ = conn.Close()
	})
	return s
}

func (s *nameServer) resolveTo(text string) {
	address := netip.MustParseAddr(text)
	s.address.Store(&address)
}

func (s *nameServer) serve() {
	packet := make([]byte, 1500)
	for {
		n, from, err := s.ReadFrom(packet)
		if err != nil {
			return
		}
		if reply, err := s.reply(packet[:n]); err == nil {
			_, _ = s.WriteTo(reply, from)
		}
	}
}

func (s *nameServer) reply(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true}, Questions: m.Questions}
	if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
		reply.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, // TTL 0: whoever asks again, asks the server
			Body:   &dnsmessage.AResource{A: s.address.Load().As4()},
		}}
	}
	return reply.Pack()
}

// A name that begins to point elsewhere (DNS rebinding) leads to no address that
// the issuer does not allow; the keys that are held go on.
func TestNameThatChanges(t *testing.T) {
	key := newKey("k1")
	p := newIDP(t, key)
	p.Server = httptest.NewUnstartedServer(p)
	p.StartTLS()
	t.Cleanup(p.Close)
	p.URL = strings.Replace(p.URL, "127.0.0.1", "example.com", 1) // a name in the certificate

	names := newNameServer(t)
	names.resolveTo("127.0.0.1")
	r := newRemote(t, p, func(c *issuer.Config) { c.CAPEM, c.AllowedAddresses = testCA(), []string{"127.0.0.1/32"} })
	r.mustVerify(t, key)
	p.wantFetches(t, 1)

	for _, elsewhere := range []string{"127.0.0.2", "169.254.169.254", "0.0.0.0"} {
		names.resolveTo(elsewhere)
		r.advance(issuer.RefreshAfter)
		r.mustVerify(t, key)
		p.wantFetches(t, 1)
		want := fmt.Sprintf(": address %s of example.com is not public: list it in allowed_addresses", elsewhere)
		if err := r.Status().Err; err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("resolved to %s: %v", elsewhere, err)
		}
	}

	names.resolveTo("127.0.0.1")
	r.advance(issuer.RefreshAfter)
	r.mustVerify(t, key)
	p.wantFetches(t, 2)
}
