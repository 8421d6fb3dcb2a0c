// Package console is a page in the browser that shows what a local Ittybit does: deliveries, tasks,
// media and automations. It is a client of the HTTP control that docs/local-server.md describes.
package console

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
)

// Config says what a console shows, and to whom.
type Config struct {
	// Control is the base URL of the local Ittybit whose deliveries are shown. API is that of the
	// tasks, media, files and automations, often the same.
	Control, API string
	// Shown is the address of the API that the page shows.
	Shown string
	// Transport reaches Control; nil is http.DefaultTransport.
	Transport http.RoundTripper
	// Key is the API key. It never leaves this process.
	Key string
	// ControlPassword is the password of Control, where it wants one.
	ControlPassword string
	// Forward is set by listen: the only address that anything is delivered to. Then nothing can be
	// composed, driven or set.
	Forward string
	// Storage is the origin of the stored files, which the page may show pictures of.
	Storage string
	// Events are the names of the fixtures that Fixture makes.
	Events  []string
	Fixture func(event, kind, message string, progress int) ([]byte, error)
	// Token lets a browser on this machine in. An empty one is a random one.
	Token string
	// Password lets a browser in as well. Without it other machines can't get in.
	Password string
	// Hosts are names of this machine, besides those of the loopback interface, that a browser may
	// use.
	Hosts []string
}

// Console serves the page. Make one with [New].
type Console struct {
	config  Config
	address string // of the listener
	mux     *http.ServeMux
	control *http.Client
}

//go:embed static
var files embed.FS

// New makes the console of a listener's address.
func New(config Config, address net.Addr) (*Console, error) {
	host, _, err := net.SplitHostPort(address.String())
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); (ip == nil || !ip.IsLoopback()) && config.Password == "" {
		return nil, errors.New("a console that other machines can reach needs a password")
	}
	if config.Token == "" {
		config.Token = rand.Text()
	}
	if config.Transport == nil {
		config.Transport = http.DefaultTransport
	}
	c := &Console{config: config, address: address.String(), mux: http.NewServeMux(), control: &http.Client{Transport: config.Transport}}
	static, err := fs.Sub(files, "static")
	if err != nil {
		return nil, err
	}
	c.mux.HandleFunc("GET /{$}", c.page)
	c.mux.HandleFunc("POST /login", c.login)
	c.mux.Handle("GET /static/", http.StripPrefix("/static/", serveStatic(static)))
	c.mux.Handle("GET /api/console", c.protected(c.info))
	c.mux.Handle("GET /api/console/fixture", c.protected(c.fixture))
	c.mux.Handle("GET /api/console/deliveries/{id}/signature", c.protected(c.signature))
	for _, pattern := range c.allowed() {
		method, rest, _ := strings.Cut(pattern, " ")
		c.mux.Handle(method+" /api"+rest, c.protected(c.proxy().ServeHTTP))
	}
	return c, nil
}

// allowed is what a page may ask of the control and the API.
func (c *Console) allowed() []string {
	all := []string{
		"GET /_local/{$}", "GET /_local/deliveries", "GET /_local/deliveries/{id}", "GET /_local/deliveries/{id}/body",
		"POST /_local/deliveries/{id}/resend", "POST /_local/deliveries/{id}/cancel", "GET /_local/stream",
		"GET /tasks", "GET /tasks/{id}", "GET /media", "GET /media/{id}", "GET /files", "GET /files/{id}",
		"GET /automations", "GET /automations/{id}",
	}
	if c.config.Forward != "" {
		return all
	}
	return append(all, "POST /_local/events", "POST /_local/tasks/{id}/{action}", "GET /_local/faults", "PUT /_local/faults",
		"DELETE /_local/faults", "POST /_local/reset")
}

// URL is the address to open, with the token.
func (c *Console) URL() string {
	host, port, _ := net.SplitHostPort(c.address)
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + "/?" + url.Values{"token": {c.config.Token}}.Encode()
}

// policy lets a page load what is here, and pictures of the storage, and nothing else.
func (c *Console) policy() string {
	return "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' " + c.config.Storage +
		"; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", c.policy())
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer a form's own Origin is null
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if !c.isOwnHost(r) {
		fail(w, http.StatusForbidden, "The host "+r.Host+" is not this console's: use the address that was printed.")
		return
	}
	if isForeign(r) {
		fail(w, http.StatusForbidden, "Pages of other sites can't use the console.")
		return
	}
	c.mux.ServeHTTP(w, r)
}

func fail(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]string{"message": message})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the client has gone
}

// page answers with the page, exchanges the token of the printed address for a cookie, or asks for
// it.
func (c *Console) page(w http.ResponseWriter, r *http.Request) {
	if token := r.URL.Query().Get("token"); token != "" {
		c.enter(w, r, token)
		return
	}
	name := "static/index.html"
	if !c.isSignedIn(r) {
		name = "static/login.html"
	}
	content, err := files.ReadFile(name)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if name != "static/index.html" {
		w.WriteHeader(http.StatusUnauthorized)
	}
	_, _ = w.Write(content) // the client has gone
}

// serveStatic serves scripts and styles, which a browser asks for again each time.
func serveStatic(static fs.FS) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, err := fs.ReadFile(static, r.URL.Path)
		if err != nil || path.Ext(r.URL.Path) == ".html" {
			http.NotFound(w, r)
			return
		}
		sum := sha256.Sum256(content)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
		http.ServeContent(w, r, r.URL.Path, time.Time{}, bytes.NewReader(content))
	})
}

// info is what the page must know at its start.
func (c *Console) info(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"version": ittybit.Version, "api": c.config.Shown, "kinds": taskKinds(), "storage": c.config.Storage, "forward": c.config.Forward,
		"events": c.config.Events, "signature_header": ittybit.SignatureHeader,
	})
}

func taskKinds() []ittybit.TaskKind {
	return []ittybit.TaskKind{
		ittybit.TaskKindNSFW, ittybit.TaskKindVideo, ittybit.TaskKindImage, ittybit.TaskKindAudio, ittybit.TaskKindSpeech,
		ittybit.TaskKindSubtitles, ittybit.TaskKindChapters, ittybit.TaskKindThumbnails, ittybit.TaskKindDescription,
		ittybit.TaskKindOutline, ittybit.TaskKindPrompt, ittybit.TaskKindIngest, ittybit.TaskKindWorkflow,
		ittybit.TaskKindConditions, ittybit.TaskKindHTTP,
	}
}

// fixture makes the payload of an event, to be changed and sent.
func (c *Console) fixture(w http.ResponseWriter, r *http.Request) {
	if c.config.Fixture == nil {
		fail(w, http.StatusNotFound, "Nothing can be composed here.")
		return
	}
	query, progress := r.URL.Query(), 50
	if text := query.Get("progress"); text != "" {
		if _, err := fmt.Sscanf(text, "%d", &progress); err != nil || progress < 0 || progress > 100 {
			fail(w, http.StatusBadRequest, "progress must be a number from 0 to 100.")
			return
		}
	}
	body, err := c.config.Fixture(query.Get("event"), query.Get("kind"), query.Get("message"), progress)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // the client has gone
}
