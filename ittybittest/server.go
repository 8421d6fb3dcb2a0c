package ittybittest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/jsonx"
	"github.com/ittybit/ittybit-go/ittybittest/internal/api"
	"github.com/ittybit/ittybit-go/ittybittest/internal/blobs"
	"github.com/ittybit/ittybit-go/ittybittest/internal/engine"
	"github.com/ittybit/ittybit-go/ittybittest/internal/lifecycle"
	"github.com/ittybit/ittybit-go/ittybittest/internal/memnet"
)

// These are the hosts of a server without sockets. The .test domain is reserved, so a request
// that leaves the process by mistake reaches nobody.
const (
	memoryHost        = "api.ittybit.test"
	memoryStorageHost = "you.ittybit.test"
)

// ErrNotLoopback is the Err of a delivery to another machine, which is never dialled.
var ErrNotLoopback = errors.New("ittybittest: webhooks are delivered to loopback hosts (localhost, 127.0.0.1, ::1), " +
	"and to those of WithWebhookHosts")

// Server is a local Ittybit. Make one with [NewServer] or [NewTestServer]. It is safe for
// concurrent use. What it stores is gone when it is closed: uploads are in temporary files, the
// rest is in memory.
type Server struct {
	// URL is the base URL of the API, without a trailing slash.
	URL string
	// StorageURL is the base URL of the storage, where files are uploaded to and
	// downloaded from, without a trailing slash.
	StorageURL string
	// APIKey is the key that requests must carry as a bearer token, and that
	// webhooks are signed with.
	APIKey string

	config     config
	localURL   string // where this process finds the API
	servers    []*http.Server
	client     *http.Transport // of clients of this server
	webhooks   *http.Transport
	unbuffered *http.Transport // has sent all of a request when it says so to httptrace
	life       *lifecycle.Life
	faults     faults
	log        deliveryLog
	feed       feed
	control    http.Handler // of what is under /_local/

	mu   sync.Mutex // held while the world is replaced
	live atomic.Pointer[world]
}

// world is what a reset replaces.
type world struct {
	life   *lifecycle.Life
	engine *engine.Engine
	blobs  *blobs.Store
	sender *sender
	api    *api.API
}

// NewServer starts a server. It must be closed. Like httptest.NewServer it panics if no loopback
// port can be opened.
func NewServer(opts ...Option) *Server {
	c := newConfig(opts)
	s := &Server{APIKey: c.apiKey, config: c, life: lifecycle.New()}
	s.log.store, s.log.number = c.deliveries, lastNumber(c.deliveries)
	network, onAPI, onStorage := new(memnet.Network), c.apiListener, c.storageListener
	if c.withoutSockets {
		onAPI, onStorage = network.Listen(memoryHost), network.Listen(memoryStorageHost)
		s.URL, s.StorageURL = "https://"+memoryHost, "https://"+memoryStorageHost
		s.client, s.webhooks = network.Transport(), network.Transport()
	} else {
		onAPI, onStorage = orLoopback(onAPI), orLoopback(onStorage)
		s.URL, s.StorageURL = "http://"+onAPI.Addr().String(), "http://"+onStorage.Addr().String()
		s.client = &http.Transport{MaxIdleConnsPerHost: 100, ExpectContinueTimeout: 10 * time.Second}
		s.webhooks = &http.Transport{
			DialContext:     s.dialWebhook,
			TLSClientConfig: &tls.Config{RootCAs: c.rootCAs, MinVersion: tls.VersionTLS12},
		}
	}
	// A receiver that closes an idle connection must not cost an attempt.
	s.webhooks.DisableKeepAlives = true
	s.unbuffered = s.webhooks.Clone()
	s.unbuffered.WriteBufferSize = 1
	if s.localURL = s.URL; c.publicURL != "" {
		s.URL, s.StorageURL = c.publicURL, c.publicStorageURL
	}
	s.feed.on, s.feed.start, s.feed.changed = c.control, strings.ToLower(rand.Text()[:8]), make(chan struct{})
	s.control = s.controls()
	s.live.Store(s.newWorld())
	s.serve(onAPI, s.serveAPI)
	s.serve(onStorage, s.serveStorage)
	if c.receiver != nil {
		s.serve(network.Listen(""), s.receive)
	}
	return s
}

// NewTestServer is [NewServer] for a test: it logs to the test's output, and is closed when the
// test ends.
func NewTestServer(t testing.TB, opts ...Option) *Server {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	s := NewServer(append([]Option{WithLogger(logger)}, opts...)...)
	t.Cleanup(s.Close)
	return s
}

func orLoopback(l net.Listener) net.Listener {
	if l != nil {
		return l
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		l, err = net.Listen("tcp6", "[::1]:0") //nolint:noctx // as above
	}
	if err != nil {
		panic("ittybittest: no port of the loopback interface can be opened: " + err.Error())
	}
	return l
}

// newWorld makes what a reset replaces.
func (s *Server) newWorld() *world {
	w := &world{life: lifecycle.New(), blobs: blobs.New(s.config.storageLimit)}
	newID := s.config.newID()
	w.sender = &sender{srv: s, life: w.life, newID: newID, underWay: map[string]*webhook{}}
	w.engine = engine.New(engine.Config{
		Life: w.life, StorageURL: s.StorageURL, NewID: newID,
		TaskDuration: s.config.taskDuration, ProgressWebhooks: s.config.progressWebhooks, Endpoint: s.config.endpoint,
		Deliver:   func(url string, body []byte) { w.sender.send(url, body, "") },
		PlainHTTP: s.mayDeliverTo,
		Changed:   func(task engine.Task) { s.feed.add("task", task) },
	})
	w.api = api.New(api.Config{
		Engine: w.engine, Blobs: w.blobs, Key: s.APIKey,
		PublicURL: s.config.publicURL, StorageURL: s.StorageURL,
		AsyncFiles: s.config.asyncFiles, EmptyUploads: s.config.emptyUploadAnswers,
		Logger: s.config.logger,
	})
	return w
}

func (s *Server) serve(l net.Listener, handler http.HandlerFunc) {
	srv := &http.Server{
		Handler: handler, ReadHeaderTimeout: 30 * time.Second,
		BaseContext: func(net.Listener) context.Context { return s.life.Context() },
		ErrorLog:    slog.NewLogLogger(s.config.logger.Handler(), slog.LevelError),
	}
	s.servers = append(s.servers, srv)
	s.life.Go(func() { _ = srv.Serve(l) }) // it ends with the server
}

// receive is the receiver of a server without sockets, for which Close waits.
func (s *Server) receive(w http.ResponseWriter, r *http.Request) {
	if !s.life.Enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.life.Leave()
	s.config.receiver.ServeHTTP(w, r)
}

// mayDeliverTo reports whether a host is the developer's own: it may be reached by plain http.
func (s *Server) mayDeliverTo(host string) bool {
	return isLoopback(host) || s.config.isWebhookHost(host)
}

// isOwnHost reports whether a request that was sent to a host may be meant for this server.
func (s *Server) isOwnHost(host string) bool {
	public, _ := url.Parse(s.URL)
	return s.mayDeliverTo(host) || strings.EqualFold(host, public.Hostname())
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// hostname is the host that a request was sent to, without the port.
func hostname(r *http.Request) string { return (&url.URL{Host: r.Host}).Hostname() }

// isForeign reports whether a host is a name that anybody may have registered, and that leads to
// this machine all the same: that of a page in a browser here, which could otherwise use an API
// whose key it guesses (DNS rebinding). Addresses, names without a dot, and those below reserved
// domains are nobody's.
func (s *Server) isForeign(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	i := strings.LastIndexByte(host, '.')
	return i >= 0 && net.ParseIP(host) == nil && !slices.Contains([]string{".localhost", ".local", ".internal", ".test"}, host[i:]) && !s.isOwnHost(host)
}

// dialWebhook also checks what a name resolved to.
func (s *Server) dialWebhook(ctx context.Context, network, address string) (net.Conn, error) {
	named, _, _ := net.SplitHostPort(address)
	dialer := net.Dialer{Control: func(_, resolved string, _ syscall.RawConn) error {
		if host, _, err := net.SplitHostPort(resolved); (err != nil || !isLoopback(host)) && !s.config.isWebhookHost(named) {
			return ErrNotLoopback
		}
		return nil
	}}
	return dialer.DialContext(ctx, network, address)
}

// Client makes a client of this server. The options come after those that
// point it here, so they can replace them.
func (s *Server) Client(opts ...ittybit.ClientOption) (*ittybit.Client, error) {
	all := []ittybit.ClientOption{
		ittybit.WithBaseURL(s.localURL),
		ittybit.WithHTTPClient(&http.Client{Transport: s.client}),
	}
	if len(s.config.webhookHosts) > 0 {
		all = append(all, ittybit.WithInsecureHosts(s.config.webhookHosts...))
	}
	return ittybit.NewClient(s.APIKey, append(all, opts...)...)
}

// Transport returns a RoundTripper that reaches the API and the storage, with sockets or without.
// Without, it knows no other hosts than those of URL and StorageURL, and the receiver.
func (s *Server) Transport() http.RoundTripper { return s.client }

// SetResults chooses the results of tasks of this kind that complete from now
// on. They are marshalled as JSON at once; SetResults panics if that fails. Nil
// goes back to the default results, and json.RawMessage("null") is none.
//
// By default the kinds whose results are documented have made-up ones: nsfw {"is_nsfw": false,
// "confidence": 0.97}, description, subtitles, thumbnails, chapters and speech with the fields
// Ittybit documents for them, conditions what came of the comparison. Other kinds have none.
//
// The file that a task of kind nsfw, speech, description, outline, prompt or chapters ends
// with serves these results as JSON, if they are an object, and the default ones if not: so
// null is a task whose results are in its output file only. Results of kind conditions whose
// continue is not true end the branch.
func (s *Server) SetResults(kind ittybit.TaskKind, results any) {
	var raw []byte
	if results != nil {
		encoded, err := jsonx.Marshal(results)
		if err != nil {
			panic(fmt.Sprintf("ittybittest: SetResults(%q): %v", kind, err))
		}
		raw = encoded
	}
	s.live.Load().engine.SetOutcome(string(kind), func(o *engine.Outcome) { o.Results = raw })
}

// FailTasks lets tasks of this kind that end from now on fail with this
// message in their error field. An empty message lets them complete again.
func (s *Server) FailTasks(kind ittybit.TaskKind, message string) {
	s.live.Load().engine.SetOutcome(string(kind), func(o *engine.Outcome) { o.Failure = message })
}

// OpenStored opens the bytes of a complete upload at a path such as
// "holidays/beach.mp4", for a test to read without a request. They stay what
// they are when the path is replaced or deleted meanwhile, until the reader is
// closed. Where nothing is stored, the error matches [io/fs.ErrNotExist].
func (s *Server) OpenStored(path string) (io.ReadCloser, error) {
	f, err := s.live.Load().blobs.Open(strings.TrimPrefix(path, "/"))
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Reset puts the server back to its beginning, for the next test: nothing is stored, recorded,
// under way or chosen, and no fault is set. Addresses and key stay. It waits for tasks and
// deliveries to end, but not for receivers. Stores, logs and receivers must not call it.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Over() {
		return
	}
	old := s.live.Swap(s.newWorld())
	old.end()
	s.SetFaults(Faults{})
	if err := s.log.store.Clear(); err != nil {
		s.config.logger.Error("ittybittest: the records of deliveries could not be removed", "error", err)
	}
	s.feed.add("reset", struct{}{})
}

func (w *world) end() {
	w.life.Stop()
	w.life.Wait()
	w.blobs.Clear()
}

// Close stops the server: tasks stop where they are, retries and deliveries in
// flight end, requests in flight are dropped or answered. It returns when all
// its goroutines ended, and may be called more than once. Stores, logs and
// receivers must not call it, because Close waits for them.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live.Load().end() // before receivers without sockets hear of it, and answer
	s.life.Stop()
	for _, srv := range s.servers {
		_ = srv.Close() // its listener is closed, whatever it says
	}
	s.client.CloseIdleConnections()
	s.webhooks.CloseIdleConnections()
	s.life.Wait()
}
