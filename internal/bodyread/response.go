package bodyread

import (
	"io"
	"math"
	"net/http"
	"strconv"
	"time"
)

// sendTimeout is how long a sender may take to accept its response.
const sendTimeout = 5 * time.Second

// Respond sets a status, its standard text where it is a refusal, and nothing else. The server
// sends it when the handler has returned.
func Respond(w http.ResponseWriter, status int, retryAfter time.Duration) {
	header, text := w.Header(), ""
	if status != http.StatusOK { // which is what counts, and all that a sender looks at
		text = http.StatusText(status) + "\n"
		header.Set("Content-Type", "text/plain; charset=utf-8")
		header.Set("X-Content-Type-Options", "nosniff")
	}
	if status == http.StatusServiceUnavailable {
		seconds := max(1, int64(math.Ceil(retryAfter.Seconds())))
		header.Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	header.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // a sender that has gone needs no response
}

// LimitSending gives the response a deadline, unless the server has one for it: a sender that does
// not accept its response must not hold the connection. It comes last, because the deadline runs
// from now on; net/http takes it back when the response is sent.
func LimitSending(w http.ResponseWriter, r *http.Request) {
	if serverOf(r).WriteTimeout <= 0 {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendTimeout)) // where that is supported
	}
}

// SendNow sends the response of a handler whose goroutine is being ended, where net/http sends
// nothing else. Writers that hold a response back for a time limit of their own let no deadline
// through to the connection, and some of them flush a body without the status that was set, which
// makes it 200: those are left to their framework.
func SendNow(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	if control.SetReadDeadline(time.Now().Add(lingerTimeout)) == nil {
		_ = control.Flush()
	}
}
