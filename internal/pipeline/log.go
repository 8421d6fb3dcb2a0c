package pipeline

import (
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/ittybit/ittybit-go/internal/redact"
)

// logged writes one Debug line for each attempt: never a body, a key or a signature. It is
// what http.Client sees of the chain, and has no CloseIdleConnections on purpose:
// go-retryablehttp calls that whenever a request fails, which would close the idle
// connections of everybody who shares the caller's transport.
type logged struct {
	next http.RoundTripper
	call *call
}

func (l *logged) RoundTrip(req *http.Request) (*http.Response, error) {
	logger := l.call.pipeline.cfg.Logger
	if logger == nil || !logger.Enabled(req.Context(), slog.LevelDebug) {
		return l.next.RoundTrip(req)
	}
	start := time.Now()
	resp, err := l.next.RoundTrip(req)
	attrs := []slog.Attr{
		slog.String("method", req.Method),
		slog.String("url", redact.URL(req.URL, l.call.secrets()...)),
		slog.Int("attempt", l.call.response.Attempts+1),
		slog.Duration("duration", time.Since(start)),
	}
	switch {
	case err != nil:
		attrs = append(attrs, slog.String("error", redact.Text(withoutURL(err).Error(), l.call.secrets()...)))
	case resp != nil:
		attrs = append(attrs, slog.Int("status", resp.StatusCode))
	}
	logger.LogAttrs(req.Context(), slog.LevelDebug, "ittybit: request", attrs...)
	return resp, err
}

// withoutURL takes away the *url.Error that http.Client puts around an error: its
// text holds the whole URL.
func withoutURL(err error) error {
	for {
		wrapped, ok := err.(*url.Error) //nolint:errorlint // only the outermost ones are taken off
		if !ok || wrapped.Err == nil {
			return err
		}
		err = wrapped.Err
	}
}
