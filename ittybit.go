// Package ittybit is a client for Ittybit, the media-processing API, and a receiver for
// its webhooks.
//
// # Calling the API
//
// A [Client] has a service for each resource. It speaks API version 2025-08-20.
//
//	client, err := ittybit.NewClient(os.Getenv("ITTYBIT_API_KEY"))
//	…
//	task, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{
//		Kind:       ittybit.TaskKindNSFW,
//		URL:        imageURL,
//		WebhookURL: "https://your-app.com/nsfw-webhook",
//	})
//
// What is wrong with a parameter is a [*ParamError], before anything is sent. What the
// API refuses is an [*APIError]; use [errors.Is] with [ErrNotFound] and its siblings.
// A field that can't be decoded is left zero, and fails no call: DecodeError of the object names
// it, and the client logs it.
//
// Calls are tried again where that is safe (see [RetryPolicy]). A POST that may have been carried
// out although it failed is not repeated: its error matches [ErrOutcomeUnknown].
//
// [FilesService.Upload] puts files onto the project's domain, in chunks that can be
// resumed where they are large. [SignURL] lets others do so without the key.
// [TasksService.Wait] and [TasksService.WaitAll] wait for tasks where webhooks can't be
// received; [Task.NSFW], [Task.Speech] and their siblings read what came out.
//
// # Receiving webhooks
//
// A [WebhookHandler] verifies the signature of a delivery, reads it into an [Event] and
// calls an [EventHandler], such as an [EventMux]:
//
//	events := ittybit.NewEventMux()
//	events.OnTaskCompleted(ittybit.TaskKindNSFW, func(ctx context.Context, e *ittybit.Event) error {
//		nsfw, err := e.Task.NSFW()
//		if err != nil {
//			return err
//		}
//		return saveNSFW(ctx, e.Task.ID, nsfw.IsNSFW, nsfw.Confidence)
//	})
//	once := ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(100_000, 72*time.Hour), events)
//	webhook, err := ittybit.NewWebhookHandler(os.Getenv("ITTYBIT_API_KEY"), once)
//	…
//	http.Handle("POST /ittybit-webhook", webhook)
//
// Ittybit delivers an event again until the response is 200 within five seconds, so an event can
// come more than once: that is what [Deduplicate] is for. An error from the handler makes the event
// come again; [RetryLater] and [Discard] say more. Never respond first and work later: what a crash
// loses then does not come again. An event that no handler takes gets a 200 and does not come
// again either; [EventMux.OnUnhandled] takes those.
//
// Ittybit has not published how it signs. [WebhookVerifier] says which scheme is assumed
// here, and [WebhookVerifier.Explain], which a logger at Debug level shows for each refused
// signature, says what to do where real deliveries are signed otherwise.
//
// For handlers of your own there is [WebhookVerifier.Middleware] with [ParseEvent]; for
// metrics, [WithObserver].
//
// # Testing
//
// Package ittybittest is a local Ittybit for tests and development.
package ittybit

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/go-querystring/query"

	"github.com/ittybit/ittybit-go/internal/pipeline"
)

const (
	// Version is this SDK's version. It is part of the User-Agent.
	Version = "0.2.0"

	// APIVersion is the version of the Ittybit API that this SDK speaks, sent as
	// Accept-Version with every request: without it, Ittybit responds in the "most
	// recent stable version", which changes under a client's feet.
	APIVersion = "2025-08-20"

	// DefaultBaseURL is where the Ittybit API lives.
	DefaultBaseURL = "https://api.ittybit.com"
)

// Client calls the Ittybit API. Make one with [NewClient] and share it: it is safe
// for concurrent use.
type Client struct {
	Tasks       *TasksService
	Automations *AutomationsService
	Media       *MediaService
	Files       *FilesService
	SignedURLs  *SignedURLsService

	*core
}

// core is what a Client and an Uploader call with.
type core struct {
	pipeline  *pipeline.Pipeline
	decodeLog decodeLog
	baseURL   string
	domain    string // for uploads; empty: none was given
	insecure  insecureHosts
}

// NewClient makes a client for the project that apiKey belongs to. The key is taken
// as it is, whatever its prefix. An empty one is [ErrMissingAPIKey]; one that
// is not a valid header value, or an option that makes no sense, is a [*ParamError].
//
// Without [WithHTTPClient], and unless [http.DefaultTransport] was replaced by another type,
// the client's transport waits for the headers of a response for a minute, and for ten minutes
// where Ittybit fetches or examines a file before it responds (creating and uploading files);
// everything else is up to the contexts.
func NewClient(apiKey string, opts ...ClientOption) (*Client, error) {
	if apiKey == "" {
		return nil, missingAPIKey()
	}
	if strings.ContainsFunc(apiKey, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, &ParamError{Param: "apiKey", Reason: "contains white space or characters that are not valid in a header; was it read from a file with a newline at its end?"}
	}
	core, err := newCore(apiKey, opts)
	if err != nil {
		return nil, err
	}
	c := &Client{core: core}
	c.Tasks = &TasksService{client: c}
	c.Automations = &AutomationsService{client: c}
	c.Media = &MediaService{client: c}
	c.Files = &FilesService{client: c}
	c.SignedURLs = &SignedURLsService{client: c}
	return c, nil
}

func newCore(apiKey string, opts []ClientOption) (*core, error) {
	cfg := clientConfig{baseURL: DefaultBaseURL, apiVersion: APIVersion, retry: RetryPolicy{}.withDefaults()}
	if err := applyOptions(opts, func(o ClientOption) error { return o.applyClient(&cfg) }); err != nil {
		return nil, err
	}
	base, err := parseBaseURL(cfg.baseURL, cfg.insecure)
	if err != nil {
		return nil, err
	}
	if cfg.domain != "" {
		if _, err := parseDomain("domain", cfg.domain, cfg.insecure); err != nil {
			return nil, err
		}
	}
	client, slow := cfg.httpClient, cfg.httpClient
	if client == nil {
		client, slow = defaultHTTPClient(time.Minute), defaultHTTPClient(10*time.Minute)
	} else {
		slow = expectingClient(slow)
	}
	p := pipeline.New(pipeline.Config{
		BaseURL:        base,
		Key:            func() string { return apiKey },
		UserAgent:      userAgent(cfg.userAgent),
		APIVersion:     cfg.apiVersion,
		HTTPClient:     client,
		SlowHTTPClient: slow,
		Logger:         cfg.logger,
		Policy:         pipeline.Policy(cfg.retry),
		StatusError:    func(p pipeline.Problem) error { return newAPIError(p) },
	})
	return &core{
		pipeline: p, decodeLog: decodeLog{logger: cfg.logger}, baseURL: base.String(), domain: cfg.domain, insecure: cfg.insecure,
	}, nil
}

type clientConfig struct {
	baseURL    string
	domain     string
	insecure   insecureHosts
	apiVersion string
	userAgent  string
	httpClient *http.Client
	logger     *slog.Logger
	retry      RetryPolicy
}

// CloseIdleConnections closes the connections that no call uses just now, as the method of
// [net/http.Client] does: without it they stay for 90 seconds. Calls that are on their way go
// on, and the client can be used afterwards. Of a client given with [WithHTTPClient] it closes
// those of its Transport, whoever shares that, and nothing where the Transport has no such method.
func (c *Client) CloseIdleConnections() { c.pipeline.CloseIdleConnections() }

// String names the client without its key.
func (c *Client) String() string { return fmt.Sprintf("ittybit.Client(%s)", c.baseURL) }

// GoString is String, so that %#v prints no key either.
func (c *Client) GoString() string { return c.String() }

func parseBaseURL(text string, insecure insecureHosts) (*url.URL, error) {
	base, err := insecure.parse("base URL", strings.TrimRight(text, "/"), DefaultBaseURL)
	if err == nil && (base.User != nil || base.RawQuery != "" || base.Fragment != "") {
		err = &ParamError{Param: "base URL", Reason: "must be a scheme, a host and perhaps a path, nothing else"}
	}
	return base, err
}

// insecureHosts are the developer's own hosts, which may be reached by plain http.
type insecureHosts []string

// parse reads a URL that must be absolute https, or http on this machine or one of the hosts: over
// plain HTTP a key could be read on its way.
func (h insecureHosts) parse(param, text, example string) (*url.URL, error) {
	refuse := func(reason string) (*url.URL, error) { return nil, &ParamError{Param: param, Reason: reason} }
	u, err := url.Parse(text)
	if err != nil {
		return refuse("cannot be parsed: want, for example, " + example)
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case host == "":
		return refuse("must be absolute, such as " + example)
	case u.Scheme == "https", u.Scheme == "http" && (isLoopback(host) || slices.Contains(h, host)):
		return u, nil
	default:
		return refuse("must be https:// (plain http:// is for this machine, and for the hosts of WithInsecureHosts)")
	}
}

func isLoopback(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// checkWebhookURL refuses URLs that Ittybit would refuse: "HTTP URLs will be rejected", says its
// webhooks documentation.
func (h insecureHosts) checkWebhookURL(param, text string) error {
	_, err := h.parse(param, text, "https://your-app.com/ittybit-webhook")
	return err
}

// defaultHTTPClient waits for the headers of a response until a timeout.
func defaultHTTPClient(timeout time.Duration) *http.Client {
	base, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return &http.Client{} // somebody has replaced it, and means it
	}
	transport := base.Clone()
	transport.ResponseHeaderTimeout = timeout
	return &http.Client{Transport: transport}
}

func userAgent(callers string) string {
	own := fmt.Sprintf("ittybit-go/%s (%s)", Version, runtime.Version())
	if callers == "" {
		return own
	}
	return callers + " " + own
}

type call struct {
	method  string
	path    string
	id      string // what path ends with, escaped
	query   url.Values
	body    any // something that marshals to a JSON object; nil: none
	creates bool
	slow    bool // the response may take minutes
}

// do makes a call whose response is one object.
func do[T any, P object[T]](ctx context.Context, c *Client, in call, opts []RequestOption) (*T, error) {
	response := new(objectResponse[T, P])
	if _, err := c.send(ctx, in, opts, response); err != nil {
		return nil, err
	}
	c.decodeLog.report(ctx, P(response.object).json())
	return response.object, nil
}

// doByID is do for /<collection>/<id>.
func doByID[T any, P object[T]](ctx context.Context, c *Client, method, collection, id string, body any, opts []RequestOption) (*T, error) {
	if id == "" {
		return nil, &ParamError{Param: "id", Reason: "is empty"}
	}
	return do[T, P](ctx, c, call{method: method, path: collection, id: escapeID(id), body: body}, opts)
}

// deleteByID deletes /<collection>/<id>. What the response says is of no interest, but for being
// JSON or empty.
func deleteByID(ctx context.Context, c *Client, collection, id string, opts []RequestOption) error {
	if id == "" {
		return &ParamError{Param: "id", Reason: "is empty"}
	}
	_, err := c.send(ctx, call{method: http.MethodDelete, path: collection, id: escapeID(id)}, opts, nil)
	return err
}

// Do calls an endpoint that has no typed method, such as those of other API versions: path is
// below the base URL, such as /jobs, and may have a query. Params, where not nil, are
// [url.Values] or a struct for go-querystring of a GET, HEAD or DELETE, and become the JSON of any
// other method. The response is decoded into what result points to, as by [json.Unmarshal], unless
// result is nil; it may be a [json.RawMessage].
//
// The call has what those of typed methods have: the key, retries, an idempotency key,
// [*APIError], redaction. A POST counts as one that creates something, and its error may match
// [ErrOutcomeUnknown]. The other API versions want [WithAPIVersion], mostly an empty one.
func (c *Client) Do(ctx context.Context, method, path string, params, result any, opts ...RequestOption) error {
	in := call{method: method, creates: method == http.MethodPost}
	u, err := url.Parse(path)
	if err != nil || !strings.HasPrefix(path, "/") || u.Host != "" || u.Fragment != "" || hasDotSegment(u.Path) {
		return &ParamError{Param: "path", Reason: "must begin with a slash and be below the base URL, such as /jobs"}
	}
	in.path, in.query = u.EscapedPath(), u.Query()
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		err = addQuery(in.query, params)
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		in.body = params
	default:
		err = &ParamError{Param: "method", Reason: "must be GET, HEAD, POST, PUT, PATCH or DELETE"}
	}
	if err != nil {
		return err
	}
	var decoder pipeline.Decoder
	if result != nil {
		decoder = pipeline.DecoderFunc(func(resp pipeline.Response) error {
			return unusable(resp, json.Unmarshal(resp.Body, result))
		})
	}
	if _, err := c.send(ctx, in, opts, decoder); err != nil {
		return err
	}
	if object, ok := result.(interface{ json() *decoded }); ok {
		c.decodeLog.report(ctx, object.json())
	}
	return nil
}

func hasDotSegment(path string) bool {
	segments := strings.Split(path, "/")
	return slices.Contains(segments, ".") || slices.Contains(segments, "..")
}

func addQuery(to url.Values, params any) error {
	values, ok := params.(url.Values)
	if !ok && params != nil {
		var err error
		if values, err = query.Values(params); err != nil {
			return &ParamError{Param: "params", Reason: "cannot be encoded as a query: " + err.Error()}
		}
	}
	for name, more := range values {
		to[name] = append(to[name], more...)
	}
	return nil
}

// escapeID makes an id one segment of a path. A dot segment, which servers and
// proxies take away, is escaped too.
func escapeID(id string) string {
	if id == "." || id == ".." {
		return strings.ReplaceAll(id, ".", "%2E")
	}
	return url.PathEscape(id)
}

// send makes a call and hands a 2xx response to decoder.
func (c *Client) send(ctx context.Context, in call, opts []RequestOption, decoder pipeline.Decoder) (pipeline.Response, error) {
	if ctx == nil {
		return pipeline.Response{}, &ParamError{Param: "ctx", Reason: "is nil"}
	}
	cfg, err := newRequestConfig(opts)
	if err != nil {
		return pipeline.Response{}, err
	}
	req := pipeline.Request{
		Method: in.method, Path: in.path, ID: in.id, Query: in.query,
		Header: cfg.header, APIVersion: cfg.apiVersion, Creates: in.creates, Slow: in.slow, Decoder: decoder,
	}
	if in.method == http.MethodPost {
		req.IdempotencyKey = cmp.Or(cfg.key, rand.Text())
	}
	if in.body != nil {
		if req.Body, err = marshalBody(in.body); err != nil {
			return pipeline.Response{}, err
		}
	}
	resp, err := c.pipeline.Do(ctx, req)
	if cfg.info != nil {
		*cfg.info = newResponseInfo(resp)
	}
	return resp, err
}
