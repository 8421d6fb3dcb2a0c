package ittybittest

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/api"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// exchange is a request to the API or the storage on its way, and the ResponseWriter that its
// fault strikes. The end of its world waits for it.
type exchange struct {
	http.ResponseWriter
	*world
	request *http.Request
	fault   RequestFault
	logger  *slog.Logger
	start   time.Time
	status  int   // that was sent; 0: none yet
	left    int64 // of the body of a response that is cut
}

// serveAPI answers the API, and under /_local/ the control of this server if that was asked for.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	if s.config.control && strings.HasPrefix(r.URL.Path, "/_local/") {
		s.control.ServeHTTP(w, r)
		return
	}
	if name := hostname(r); s.isForeign(name) {
		s.live.Load().api.Fail(w, refusal.New(http.StatusForbidden, "The host %q is not this server's: use an IP address or localhost, "+
			"or name it with WithPublicURLs or WithWebhookHosts.", name))
		return
	}
	x, end := s.begin(w, r) //nolint:contextcheck // the end of the server, not of the request
	defer end()
	act := x.api.ReadRequest(w, r)
	x.fault = s.faults.forRequest(r)
	x.serve(act) //nolint:contextcheck // it has the request
}

// serveStorage uploads and downloads.
func (s *Server) serveStorage(w http.ResponseWriter, r *http.Request) {
	if api.AllowBrowsers(w, r) {
		return
	}
	x, end := s.begin(w, r) //nolint:contextcheck // the end of the server, not of the request
	defer end()
	seen := r.Clone(r.Context())
	seen.Body = http.NoBody
	x.fault = s.faults.forRequest(seen)
	act, drop := x.api.ReadUpload(w, r, x.fault.Drop == DropInBody)
	defer drop()
	x.serve(act) //nolint:contextcheck // it has the request
}

// begin takes a request into the world as it is. No slow client keeps that from ending.
func (s *Server) begin(w http.ResponseWriter, r *http.Request) (x *exchange, end func()) {
	x = &exchange{ResponseWriter: w, world: s.live.Load(), request: r, logger: s.config.logger, start: time.Now()}
	if !x.life.Enter() {
		panic(http.ErrAbortHandler)
	}
	control := http.NewResponseController(w)
	stop := context.AfterFunc(x.life.Context(), func() {
		// Where it isn't supported, the server's Close does it.
		_ = control.SetReadDeadline(time.Unix(1, 0))
		_ = control.SetWriteDeadline(time.Unix(1, 0))
	})
	return x, func() {
		stop()
		x.life.Leave()
	}
}

// serve acts on a request, unless its fault forbids it. Act is nil if the client has gone.
func (x *exchange) serve(act func(http.ResponseWriter)) {
	f := x.fault
	if act == nil || !x.life.Pause(x.request.Context(), f.Latency) || f.Drop == DropBefore || f.Drop == DropInBody {
		x.drop()
	}
	if f.Status == 0 {
		act(x)
	} else {
		x.api.Fail(x, &refusal.Error{Status: f.Status, Message: cmp.Or(f.Message, http.StatusText(f.Status)), Header: f.Header})
	}
	if f.Drop == DropInAnswer {
		x.drop() // the response had no body
	}
	x.log(x.status)
}

// WriteHeader implements http.ResponseWriter: now the request was acted on.
func (x *exchange) WriteHeader(status int) {
	if !x.life.Pause(x.request.Context(), x.fault.AnswerLatency) || x.fault.Drop == DropAfter {
		x.drop()
	}
	length, _ := strconv.ParseInt(x.Header().Get("Content-Length"), 10, 64) // 0 if there is none
	x.status, x.left = status, length/2
	x.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (x *exchange) Write(p []byte) (int, error) {
	if x.fault.Drop != DropInAnswer {
		return x.ResponseWriter.Write(p)
	}
	n, err := x.ResponseWriter.Write(p[:min(int64(len(p)), x.left)])
	if x.left -= int64(n); x.left == 0 {
		_ = http.NewResponseController(x.ResponseWriter).Flush() // this is the end in any case
		x.drop()
	}
	return n, err
}

// drop closes the connection without a response, which net/http does for this panic.
func (x *exchange) drop() {
	x.log(0)
	panic(http.ErrAbortHandler)
}

// log leaves out the headers, which hold the key. Status 0 is a dropped connection.
func (x *exchange) log(status int) {
	x.logger.LogAttrs(x.request.Context(), slog.LevelInfo, "ittybittest: request",
		slog.String("method", x.request.Method), slog.String("path", x.request.URL.Path),
		slog.Int("status", status), slog.Duration("duration", time.Since(x.start)))
}
