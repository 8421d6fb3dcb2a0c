package ittybit_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// webhookFaultyError panics when it is asked for its text.
type webhookFaultyError struct{ text string }

func (e *webhookFaultyError) Error() string { return e.text }

// webhookEndlessError unwraps to itself.
type webhookEndlessError struct{}

func (webhookEndlessError) Error() string   { return "endless" }
func (e webhookEndlessError) Unwrap() error { return e }

func TestWebhookHandler_judgesAnErrorByWhatStandsOutermost(t *testing.T) {
	failure, hopeless := errors.New("the database is away"), errors.New("hopeless")
	for name, tt := range map[string]struct {
		err     error
		status  int
		outcome ittybit.Outcome
	}{
		"discarded":                      {ittybit.Discard(hopeless), 200, ittybit.OutcomeDiscarded},
		"discarded, wrapped":             {fmt.Errorf("nsfw: %w", ittybit.Discard(hopeless)), 200, ittybit.OutcomeDiscarded},
		"discarded, all of them":         {errors.Join(ittybit.Discard(hopeless), ittybit.Discard(failure)), 200, ittybit.OutcomeDiscarded},
		"discarded for a retry later":    {ittybit.Discard(ittybit.RetryLater(time.Second, failure)), 200, ittybit.OutcomeDiscarded},
		"handled before":                 {ittybit.ErrAlreadyHandled, 200, ittybit.OutcomeDuplicate},
		"handled before, wrapped":        {fmt.Errorf("store: %w", ittybit.ErrAlreadyHandled), 200, ittybit.OutcomeDuplicate},
		"discarded beside a failure":     {errors.Join(ittybit.Discard(hopeless), failure), 500, ittybit.OutcomeFailed},
		"a failure beside a discarded":   {fmt.Errorf("%w, %w", failure, ittybit.Discard(hopeless)), 500, ittybit.OutcomeFailed},
		"handled before and failed":      {errors.Join(ittybit.ErrAlreadyHandled, failure), 500, ittybit.OutcomeFailed},
		"later, though discarded inside": {ittybit.RetryLater(7*time.Second, ittybit.Discard(hopeless)), 503, ittybit.OutcomeRetryLater},
		"later beside a discarded":       {errors.Join(ittybit.Discard(hopeless), ittybit.RetryLater(7*time.Second, failure)), 503, ittybit.OutcomeRetryLater},
		"a nil discard":                  {(*ittybit.DiscardError)(nil), 500, ittybit.OutcomeFailed},
		"a nil retry later":              {(*ittybit.RetryLaterError)(nil), 500, ittybit.OutcomeFailed},
		"later, the longest":             {errors.Join(ittybit.RetryLater(3*time.Second, failure), ittybit.RetryLater(7*time.Second, failure)), 503, ittybit.OutcomeRetryLater},
		"later, not the discarded time":  {errors.Join(ittybit.Discard(ittybit.RetryLater(time.Hour, failure)), ittybit.RetryLater(7*time.Second, failure)), 503, ittybit.OutcomeRetryLater},
		"an error without an end":        {webhookEndlessError{}, 500, ittybit.OutcomeFailed},
		"an error that panics":           {(*webhookFaultyError)(nil), 500, ittybit.OutcomeFailed},
	} {
		t.Run(name, func(t *testing.T) {
			outcome, after := ittybit.OutcomeOf(tt.err)
			assert.Equal(t, tt.outcome, outcome)
			if tt.status == 503 {
				assert.Equal(t, 7*time.Second, after)
			} else {
				assert.Zero(t, after)
			}

			// Alone, and behind a deduplicator, which must take the same side.
			failing := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return tt.err })
			calls := 0
			counting := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
				calls++
				return tt.err
			})
			once := ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(10, time.Hour), counting)
			for _, next := range []ittybit.EventHandler{failing, once} {
				var log testLog
				recorder := newWebhookRecorder()
				h := webhookHandler(t, next, ittybit.WithLogger(log.logger()), ittybit.WithObserver(recorder.observe))
				w := httptest.NewRecorder()
				h.ServeHTTP(w, signedRequest(webhookPageBody))
				assert.Equal(t, tt.status, w.Code)
				assert.Equal(t, tt.outcome, recorder.next(t).Outcome)
				assert.Contains(t, log.String(), "outcome="+string(tt.outcome))
				if tt.status == 503 {
					assert.Equal(t, "7", w.Header().Get("Retry-After"))
				}
			}
			webhookHandler(t, once).ServeHTTP(httptest.NewRecorder(), signedRequest(webhookPageBody))
			if tt.status == 200 {
				assert.Equal(t, 1, calls, "it is settled")
			} else {
				assert.Equal(t, 2, calls, "it is free to be handled again")
			}
		})
	}
}

// webhookFaultyLog is a slog.Handler that panics.
type webhookFaultyLog struct{ slog.Handler }

func (webhookFaultyLog) Handle(context.Context, slog.Record) error { panic("the log is full") }

func TestWebhookHandler_answersAndObservesThoughTheLogPanics(t *testing.T) {
	recorder := newWebhookRecorder()
	h := webhookHandler(t, recorder, ittybit.WithObserver(recorder.observe),
		ittybit.WithLogger(slog.New(webhookFaultyLog{slog.DiscardHandler})))
	faulty := webhookHandler(t, recorder, ittybit.WithObserver(recorder.observe),
		ittybit.WithLogger(slog.New(webhookFaultyLog{slog.NewTextHandler(new(testLog), nil)})))
	for _, h := range []http.Handler{h, faulty} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, signedRequest(webhookPageBody))
		assert.Equal(t, http.StatusOK, w.Code)
		assert.Equal(t, ittybit.OutcomeHandled, recorder.next(t).Outcome)
	}
}

func TestWebhookLog_saysHowARefusedSignatureFits(t *testing.T) {
	var log testLog
	h := webhookHandler(t, ittybit.EventHandlerFunc(webhookNothing), ittybit.WithLogger(log.logger()))
	r := signedRequest(webhookPageBody)
	r.Header.Set(ittybit.SignatureHeader, ittybit.SignWebhook("stranger", time.Now(), []byte(webhookPageBody)))
	h.ServeHTTP(httptest.NewRecorder(), r)
	assert.Contains(t, log.String(), "No scheme matches: the key is wrong")
	assert.NotContains(t, log.String(), webhookSecret)

	var quiet testLog
	h = webhookHandler(t, ittybit.EventHandlerFunc(webhookNothing),
		ittybit.WithLogger(slog.New(slog.NewTextHandler(&quiet, nil))))
	h.ServeHTTP(httptest.NewRecorder(), r.Clone(t.Context()))
	assert.NotContains(t, quiet.String(), "explanation", "it costs more than the verification, and is for Debug")
}

func TestWebhookLog_warnsOfAnUnknownEventThatNobodyTook(t *testing.T) {
	for body, level := range map[string]string{`{"of":"tomorrow"}`: "WARN", webhookTask("task_1", "completed"): "INFO"} {
		var log testLog
		h := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithLogger(log.logger()))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, signedRequest(body))
		assert.Equal(t, http.StatusOK, w.Code)
		assert.Contains(t, log.String(), "level="+level)
	}
}

// webhookWriteDeadlines is a ResponseWriter that notes its write deadlines.
type webhookWriteDeadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (w *webhookWriteDeadlines) SetWriteDeadline(at time.Time) error {
	w.set = append(w.set, at)
	return nil
}

func TestWebhookHandler_doesNotWaitForASenderThatTakesNoAnswer(t *testing.T) {
	h := webhookHandler(t, ittybit.EventHandlerFunc(webhookNothing))
	w := &webhookWriteDeadlines{ResponseRecorder: httptest.NewRecorder()}
	h.ServeHTTP(w, signedRequest(webhookPageBody))
	require.Len(t, w.set, 1, "net/http puts it back when the answer is sent")
	assert.WithinDuration(t, time.Now(), w.set[0], time.Minute)

	// A server's own timeout stays in force.
	r := signedRequest(webhookPageBody)
	r = r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, &http.Server{WriteTimeout: time.Hour}))
	w = &webhookWriteDeadlines{ResponseRecorder: httptest.NewRecorder()}
	h.ServeHTTP(w, r)
	assert.Empty(t, w.set)
}

func TestWebhookHandler_worksOnAConnectionAfterItsAnswersWereTaken(t *testing.T) {
	srv := webhookServer(t, webhookHandler(t, ittybit.EventHandlerFunc(webhookNothing)))
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(webhookPatience)))
	answers := bufio.NewReader(conn)
	for range 3 {
		r := signedRequest(webhookPageBody)
		r.Host = "localhost"
		require.NoError(t, r.Write(conn))
		resp, err := http.ReadResponse(answers, r)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, resp.StatusCode)
	}
}
