package issuer

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Bounds of one fetch, which is at most two requests (discovery and JWKS) and
// their redirects.
const (
	fetchTimeout = 10 * time.Second
	maxBody      = 1 << 20 // bytes, of one response
	maxRedirects = 3
)

// fetcher gets an issuer's keys over the network.
type fetcher struct {
	client       *http.Client
	discoveryURL string // with its well-known suffix; "" if keysURL is configured
	keysURL      string
	issuer       string // what the discovery document must say
	suits        purpose
}

func newFetcher(c *Config) (*fetcher, error) {
	f := &fetcher{keysURL: cmp.Or(c.JWKSURL, c.SPIFFEBundleURL), issuer: c.BoundIssuer, suits: c.purpose()}
	if c.DiscoveryURL != "" {
		f.discoveryURL = strings.TrimSuffix(c.DiscoveryURL, "/") + "/.well-known/openid-configuration"
	}
	var err error
	f.client, err = newClient(c, checkRedirect)
	return f, err
}

// newClient makes the client for all requests to an issuer.
func newClient(c *Config, checkRedirect func(*http.Request, []*http.Request) error) (*http.Client, error) {
	u, err := url.Parse(c.remoteURL())
	if err != nil {
		return nil, err
	}
	listed, err := parsePrefixes(c.AllowedAddresses)
	if err != nil {
		return nil, err
	}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAPEM != "" {
		if tlsConfig.RootCAs, err = certPool(c.CAPEM); err != nil {
			return nil, err
		}
	}
	return &http.Client{
		Timeout:       fetchTimeout,
		CheckRedirect: checkRedirect,
		Transport: &http.Transport{
			// No proxy: it would make the connection, and the address policy
			// would look at the proxy's address.
			Proxy:                  nil,
			DialContext:            addressPolicy{listed: listed, written: []string{u.Hostname()}}.dial,
			TLSClientConfig:        tlsConfig,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           2,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}, nil
}

func checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if r.URL.Scheme != "https" && !IsLoopbackHTTP(r.URL) {
		return errors.New("redirected to a URL that is not https")
	}
	return nil
}

func (p addressPolicy) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Control: func(_, resolved string, _ syscall.RawConn) error {
		addrPort, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return err
		}
		return p.check(host, addrPort.Addr())
	}}
	return dialer.DialContext(ctx, network, address)
}

// fetch gets the issuer's keys.
func (f *fetcher) fetch(ctx context.Context) (keySet, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	// Keys rotate seldom: an idle connection would only outlive an issuer that
	// is configured no more.
	defer f.client.CloseIdleConnections()
	keysURL := f.keysURL
	if f.discoveryURL != "" {
		var err error
		if keysURL, err = f.discover(ctx); err != nil {
			return keySet{}, err
		}
	}
	body, err := f.get(ctx, keysURL)
	if err != nil {
		return keySet{}, fmt.Errorf("JWKS: %w", err)
	}
	set, err := parseJWKS(body, f.suits)
	if err != nil {
		return keySet{}, fmt.Errorf("JWKS: %w", err)
	}
	return set, nil
}

func (f *fetcher) discover(ctx context.Context) (string, error) {
	body, err := f.get(ctx, f.discoveryURL)
	if err != nil {
		return "", fmt.Errorf("discovery: %w", err)
	}
	var document struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return "", errors.New("discovery: not a JSON object")
	}
	if document.Issuer != f.issuer {
		return "", fmt.Errorf("discovery: the document says issuer %.100q, and bound_issuer is %q", document.Issuer, f.issuer)
	}
	if err := checkURL(document.JWKSURI); err != nil {
		return "", fmt.Errorf("discovery: jwks_uri %.100q %w", document.JWKSURI, err)
	}
	return document.JWKSURI, nil
}

func (f *fetcher) get(ctx context.Context, target string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json, application/jwk-set+json")
	return answerTo(f.client, request)
}

// answerTo makes a request and returns the body of its answer.
func answerTo(client *http.Client, request *http.Request) ([]byte, error) {
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, &statusError{url: request.URL.String(), status: response.StatusCode, code: errorCode(response.Body)}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("%s answered more than %d bytes", request.URL, maxBody)
	}
	return body, nil
}

// statusError is an answer with another status than 200.
type statusError struct {
	url    string
	status int
	code   string // "error" of an OAuth answer (RFC 6749 §5.2); "" of another
}

// errorCode reads the error code of an OAuth answer.
func errorCode(body io.Reader) string {
	var answer struct {
		Error string `json:"error"`
	}
	if json.NewDecoder(io.LimitReader(body, 4096)).Decode(&answer) != nil {
		return ""
	}
	return answer.Error
}

func (e *statusError) Error() string { return fmt.Sprintf("%s answered status %d", e.url, e.status) }
