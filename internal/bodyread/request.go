package bodyread

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"
)

// ReadRequest reads the body of r, which may take timeout from start on. Where the ResponseWriter
// allows it, the connection has a read deadline meanwhile, so that a slow sender cannot hold it
// even where the server sets no timeout; afterwards it has none, as the server leaves it while a
// handler runs. Elsewhere the time is only checked between two reads.
//
// After an error, the connection is closed when the response is sent.
func (r *Reader) ReadRequest(w http.ResponseWriter, req *http.Request, start time.Time, timeout time.Duration) (*Body, error) {
	deadline := start.Add(timeout)
	control := http.NewResponseController(w)
	server := serverOf(req).ReadTimeout // of the two deadlines the first one must stay
	limited := (server <= 0 || server > timeout) && control.SetReadDeadline(deadline) == nil
	source := req.Body
	if source == nil { // a request that no server has read
		source = http.NoBody
	}
	body, err := r.Read(source, req.ContentLength, deadline)
	if err == nil {
		if limited {
			_ = control.SetReadDeadline(time.Time{}) // it could be set a moment ago
		}
		return body, nil
	}
	err = classify(err)
	if errors.Is(err, ErrTooSlow) {
		closeAfterReply(w, req, 0)
	} else {
		CloseAfterReply(w, req)
	}
	return nil, err
}

// classify names the errors of servers, and of middlewares that have limits of their own.
func classify(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: %w", ErrTooSlow, err)
	}
	limit := (*http.MaxBytesError)(nil)
	status := interface{ StatusCode() int }(nil) // of an error that a framework would respond with
	if errors.As(err, &limit) || errors.As(err, &status) && status.StatusCode() == http.StatusRequestEntityTooLarge {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	if errors.Is(err, ErrTooLarge) || errors.Is(err, ErrOverBudget) || errors.Is(err, ErrTooSlow) {
		return err
	}
	return fmt.Errorf("ittybit: the body cannot be read: %w", err)
}

// lingerTimeout is how long the rest of a refused body is read, so that its sender gets to see the
// response: closing a connection with unread data resets it.
const lingerTimeout = 500 * time.Millisecond

// CloseAfterReply makes the server close the connection after the response to a request whose body
// was not read, and read no more than a moment of the rest. By itself it waits for ever, where it
// has no timeouts.
func CloseAfterReply(w http.ResponseWriter, r *http.Request) { closeAfterReply(w, r, lingerTimeout) }

func closeAfterReply(w http.ResponseWriter, r *http.Request, linger time.Duration) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	if r.ProtoMajor == 1 { // in HTTP/2 it would end the other streams too
		w.Header().Set("Connection", "close")
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(linger)) // where that is supported
}

// serverOf gives the server that r came by, or one without any timeouts.
func serverOf(r *http.Request) *http.Server {
	if server, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok {
		return server
	}
	return new(http.Server)
}
