package bodyread_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/internal/bodyread"
)

// statusError is an error that a framework would respond with.
type statusError int

func (e statusError) Error() string   { return fmt.Sprint("status ", int(e)) }
func (e statusError) StatusCode() int { return int(e) }

func TestReadRequest_namesTheErrorsOfOthers(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error // of the body
		want error // nil: none of ours
	}{
		"net/http's limit":              {&http.MaxBytesError{Limit: 1}, bodyread.ErrTooLarge},
		"net/http's limit, wrapped":     {fmt.Errorf("gzip: %w", &http.MaxBytesError{Limit: 1}), bodyread.ErrTooLarge},
		"a framework's limit":           {statusError(413), bodyread.ErrTooLarge},
		"a framework's limit, wrapped":  {fmt.Errorf("echo: %w", statusError(413)), bodyread.ErrTooLarge},
		"another error of a framework":  {statusError(400), nil},
		"a deadline":                    {fmt.Errorf("read: %w", os.ErrDeadlineExceeded), bodyread.ErrTooSlow},
		"the context's end is no limit": {context.DeadlineExceeded, nil},
		"a sender that has gone":        {io.ErrUnexpectedEOF, nil},
	} {
		t.Run(name, func(t *testing.T) {
			reader := bodyread.NewReader(100, bodyread.NewBudget(1<<20))
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader("{}"), iotest.ErrReader(tt.err)))
			body, err := reader.ReadRequest(w, r, time.Now(), time.Minute)
			assert.Nil(t, body)
			require.ErrorIs(t, err, tt.err)
			for _, ours := range []error{bodyread.ErrTooLarge, bodyread.ErrTooSlow, bodyread.ErrOverBudget} {
				assert.Equal(t, errors.Is(tt.want, ours), errors.Is(err, ours), ours)
			}
			assert.True(t, strings.HasPrefix(err.Error(), "ittybit: "), err)
			assert.Equal(t, "close", w.Header().Get("Connection"), "the rest of the body is unread")
		})
	}
}

func TestRespond_saysAStatusAndNothingElse(t *testing.T) {
	for _, tt := range []struct {
		status     int
		after      time.Duration
		retryAfter string
	}{
		{200, 0, ""}, {200, time.Hour, ""}, {401, time.Hour, ""}, {500, 0, ""},
		{503, 0, "1"}, {503, time.Second, "1"}, {503, 1001 * time.Millisecond, "2"}, {503, -time.Hour, "1"}, {503, time.Hour, "3600"},
	} {
		w := httptest.NewRecorder()
		bodyread.Respond(w, tt.status, tt.after)
		text := ""
		if tt.status != http.StatusOK {
			text = http.StatusText(tt.status) + "\n"
		}
		assert.Equal(t, tt.status, w.Code)
		assert.Equal(t, text, w.Body.String())
		assert.Equal(t, tt.retryAfter, w.Header().Get("Retry-After"))
		assert.Equal(t, fmt.Sprint(len(text)), w.Header().Get("Content-Length"))
	}
}

// wire is a ResponseWriter that notes its deadlines, from now; 0 is none.
type wire struct {
	*httptest.ResponseRecorder
	reads, writes []time.Duration
}

func (w *wire) SetReadDeadline(at time.Time) error {
	w.reads = append(w.reads, fromNow(at))
	return nil
}

func (w *wire) SetWriteDeadline(at time.Time) error {
	w.writes = append(w.writes, fromNow(at))
	return nil
}

func fromNow(at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	return time.Until(at)
}

// requestTo makes a request that came by a server with these timeouts.
func requestTo(server *http.Server, body io.Reader) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", body)
	return r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, server))
}

func TestReadRequest_setsADeadlineAndTakesItBack(t *testing.T) {
	for _, tt := range []struct {
		server time.Duration // its ReadTimeout
		want   []time.Duration
	}{
		{0, []time.Duration{time.Minute, 0}}, {time.Hour, []time.Duration{time.Minute, 0}},
		{time.Minute, nil}, {time.Second, nil}, // the server's own comes first
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &wire{ResponseRecorder: httptest.NewRecorder()}
			reader := bodyread.NewReader(100, bodyread.NewBudget(1<<20))
			body, err := reader.ReadRequest(w, requestTo(&http.Server{ReadTimeout: tt.server}, strings.NewReader("{}")), time.Now(), time.Minute)
			require.NoError(t, err)
			assert.Equal(t, "{}", string(body.Bytes()))
			assert.Equal(t, tt.want, w.reads)
			assert.Empty(t, w.Header())
		})
	}
	body, err := bodyread.NewReader(100, bodyread.NewBudget(1<<20)).ReadRequest(httptest.NewRecorder(), &http.Request{}, time.Now(), time.Minute)
	require.NoError(t, err, "a request that no server has read")
	assert.Empty(t, body.Bytes())
}

func TestCloseAfterReply_waitsAMomentForTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for major, want := range map[int]string{1: "close", 2: ""} {
			w := &wire{ResponseRecorder: httptest.NewRecorder()}
			r := requestTo(new(http.Server), strings.NewReader("{}"))
			r.ProtoMajor = major
			bodyread.CloseAfterReply(w, r)
			assert.Equal(t, want, w.Header().Get("Connection"), "in HTTP/2 it would end the other streams")
			assert.Equal(t, []time.Duration{500 * time.Millisecond}, w.reads)
		}
		w := &wire{ResponseRecorder: httptest.NewRecorder()}
		bodyread.CloseAfterReply(w, requestTo(new(http.Server), http.NoBody))
		assert.Empty(t, w.reads, "there is nothing to wait for")
		assert.Empty(t, w.Header())
	})
}

func TestLimitSending_leavesAServersOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			server time.Duration
			want   []time.Duration
		}{{0, []time.Duration{5 * time.Second}}, {time.Hour, nil}, {time.Second, nil}} {
			w := &wire{ResponseRecorder: httptest.NewRecorder()}
			bodyread.LimitSending(w, requestTo(&http.Server{WriteTimeout: tt.server}, http.NoBody))
			assert.Equal(t, tt.want, w.writes)
		}
	})
}
