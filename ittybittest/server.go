package ittybittest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ittybit/ittybit-go"
)

// These are the addresses of a server without sockets. The .test domain is
// reserved, so a request that leaves the process by mistake reaches nobody.
const (
	memoryURL        = "https://api.ittybit.test"
	memoryStorageURL = "https://you.ittybit.test"
)

// Server is a local Ittybit. Make one with [NewServer]. It is safe for
// concurrent use. What it stores is gone when it is closed: uploads are in
// temporary files, the rest is in memory.
type Server struct {
	// URL is the base URL of the API, without a trailing slash.
	URL string
	// StorageURL is the base URL of the storage, where files are uploaded to and
	// downloaded from, without a trailing slash.
	StorageURL string
	// APIKey is the key that requests must carry as a bearer token, and that
	// webhooks are signed with.
	APIKey string

	config    config
	projectID string
	life      *lifecycle
	http      *httptest.Server  // nil without sockets
	storage   *httptest.Server  // nil without sockets
	api       http.RoundTripper // what clients of this server use
	sender    http.RoundTripper // what delivers webhooks
	stored    storage
	faults    faults
	log       deliveryLog
	replies   idempotency

	mu          sync.Mutex // guards what follows, and the objects in it
	tasks       collection[*task]
	automations collection[*automation]
	media       collection[*media]
	files       collection[object]
	documents   map[string]document // by the id of their file
	outcomes    map[string]outcome
	held        []*delivery // by Faults.ReorderWindow
}

// NewServer starts a server. It must be closed. Like httptest.NewServer it
// panics if no loopback port can be opened.
func NewServer(opts ...Option) *Server {
	c := newConfig(opts)
	s := &Server{
		APIKey:    c.apiKey,
		config:    c,
		projectID: newID("proj"),
		life:      newLifecycle(),
		outcomes:  map[string]outcome{},
		stored:    storage{limit: c.storageLimit},
		documents: map[string]document{},
	}
	handler, storage := http.HandlerFunc(s.serveAPI), http.HandlerFunc(s.serveStorage)
	if c.withoutSockets {
		s.URL, s.StorageURL = memoryURL, memoryStorageURL
		s.api = &memoryTransport{life: s.life, logger: c.logger, hosts: map[string]http.Handler{
			hostOf(memoryURL): handler, hostOf(memoryStorageURL): storage,
		}}
		s.sender = &memoryTransport{life: s.life, logger: c.logger, handler: c.receiver}
		return s
	}
	s.http, s.URL = listen(handler, c.logger)
	s.storage, s.StorageURL = listen(storage, c.logger)
	s.api = &http.Transport{MaxIdleConnsPerHost: 100, ExpectContinueTimeout: 10 * time.Second}
	s.sender = &http.Transport{
		DialContext:       dialLoopback,
		TLSClientConfig:   &tls.Config{RootCAs: c.rootCAs, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true, // a receiver that closes an idle connection must not cost an attempt
	}
	s.http.Start()
	s.storage.Start()
	return s
}

// listen makes a server that is yet to be started, and its URL.
func listen(handler http.Handler, logger *slog.Logger) (*httptest.Server, string) {
	srv := httptest.NewUnstartedServer(handler)
	srv.Config.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelError)
	srv.Config.ReadHeaderTimeout = 30 * time.Second
	return srv, "http://" + srv.Listener.Addr().String()
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// Client makes a client of this server. The options come after those that
// point it here, so they can replace them.
func (s *Server) Client(opts ...ittybit.ClientOption) (*ittybit.Client, error) {
	all := []ittybit.ClientOption{
		ittybit.WithBaseURL(s.URL),
		ittybit.WithHTTPClient(&http.Client{Transport: s.api}),
	}
	return ittybit.NewClient(s.APIKey, append(all, opts...)...)
}

// Transport returns a RoundTripper that reaches the API and the storage,
// with sockets or without. Without, it knows no other hosts than those of URL
// and StorageURL.
func (s *Server) Transport() http.RoundTripper {
	return s.api
}

// Close stops the server: tasks stop where they are, retries and deliveries in
// flight end, requests in flight are dropped or answered. It returns when all
// its goroutines ended, and may be called more than once. A webhook receiver
// must not call it, because Close waits for receivers without sockets.
func (s *Server) Close() {
	s.life.stop()
	if s.http != nil {
		s.http.Close()
		s.storage.Close()
	}
	s.life.wait()
	s.stored.clear()
	for _, transport := range []http.RoundTripper{s.api, s.sender} {
		if t, ok := transport.(*http.Transport); ok {
			t.CloseIdleConnections()
		}
	}
}

// lifecycle starts goroutines until it is stopped, and waits for them.
type lifecycle struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	stopped bool
	wg      sync.WaitGroup
}

func newLifecycle() *lifecycle {
	ctx, cancel := context.WithCancel(context.Background())
	return &lifecycle{ctx: ctx, cancel: cancel}
}

// start runs f in a goroutine, or reports false if the server is closed.
func (l *lifecycle) start(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return false
	}
	l.wg.Go(f)
	return true
}

func (l *lifecycle) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	l.cancel()
}

func (l *lifecycle) wait() { l.wg.Wait() }

// pause waits, and reports false if ctx or the server ended first.
func (l *lifecycle) pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil && l.ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-l.ctx.Done():
	}
	return false
}

// newID makes an id of 16 random characters, so that ids stay unique in a
// database that outlives the server.
func newID(prefix string) string {
	return prefix + "_" + strings.ToLower(rand.Text()[:16])
}
