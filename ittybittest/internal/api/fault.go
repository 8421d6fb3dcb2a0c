package api

import (
	"cmp"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// Fault is what goes wrong with a request.
type Fault struct {
	Latency, AnswerLatency time.Duration
	Status                 int // 0: it is acted on
	Header                 http.Header
	Message                string
	Drop                   Drop
}

// Drop says when a connection is dropped.
type Drop int

// These are the values of ittybittest.Drop.
const (
	DropNone Drop = iota
	DropBefore
	DropAfter
	DropInBody
	DropInAnswer
)

// exchange is a request on its way, and the ResponseWriter that its fault strikes.
type exchange struct {
	*API
	http.ResponseWriter
	request *http.Request
	fault   Fault
	start   time.Time
	status  int   // that was sent; 0: none yet
	left    int64 // of the body of a response that is cut
}

// serve acts on a request, unless its fault forbids it.
func (x *exchange) serve(act func()) {
	f := x.fault
	if !x.Life.Pause(x.request.Context(), f.Latency) || f.Drop == DropBefore || f.Drop == DropInBody {
		x.drop()
	}
	if f.Status != 0 {
		x.Fail(x, &refusal.Error{Status: f.Status, Message: cmp.Or(f.Message, http.StatusText(f.Status)), Header: f.Header})
	} else {
		act()
	}
	if f.Drop == DropInAnswer {
		x.drop() // the response had no body
	}
	x.log(x.status)
}

// WriteHeader implements http.ResponseWriter: now the request was acted on.
func (x *exchange) WriteHeader(status int) {
	if !x.Life.Pause(x.request.Context(), x.fault.AnswerLatency) || x.fault.Drop == DropAfter {
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
		_ = http.NewResponseController(x.ResponseWriter).Flush() // whatever becomes of it, this is the end
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
	x.Logger.LogAttrs(x.request.Context(), slog.LevelInfo, "ittybittest: request",
		slog.String("method", x.request.Method), slog.String("path", x.request.URL.Path),
		slog.Int("status", status), slog.Duration("duration", time.Since(x.start)))
}
