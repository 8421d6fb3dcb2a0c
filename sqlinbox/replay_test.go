package sqlinbox_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

// failedBody is the body of another event about a task.
func failedBody(n int) string {
	return strings.Replace(taskBody(n), "completed", "failed", 1)
}

// filled is an inbox with payloads: four events handled, then one discarded, then 250 handled.
func (b *bench) filled(t *testing.T) *sqlinbox.Inbox {
	t.Helper()
	inbox := b.with(sqlinbox.WithPayloads())
	h := inbox.Wrap(ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
		if e.Task.ID == "task_4" {
			return ittybit.Discard(errNo)
		}
		return nil
	}))
	for n := range 5 {
		require.NoError(t, func() error {
			err := h.HandleEvent(t.Context(), task(t, n))
			if n == 4 && errors.Is(err, errNo) {
				return nil
			}
			return err
		}())
	}
	for n := range 250 {
		require.NoError(t, h.HandleEvent(t.Context(), parse(t, failedBody(1000+n))))
	}
	return inbox
}

func TestReplay_handlesWhatIsWantedInOrder(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		inbox := b.filled(t)
		var seen []string
		note := ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
			seen = append(seen, e.Task.ID)
			return effect(ctx, e)
		})
		replay := func(params sqlinbox.ReplayParams) sqlinbox.ReplayResult {
			seen = nil
			result, err := inbox.Replay(t.Context(), note, params)
			require.NoError(t, err)
			assert.Len(t, seen, result.Handled)
			return result
		}
		assert.Equal(t, 255, replay(sqlinbox.ReplayParams{Types: []ittybit.EventType{ittybit.EventTaskCompleted, ittybit.EventTaskFailed}}).Handled)
		assert.Equal(t, []string{"task_0", "task_1", "task_2", "task_3", "task_4", "task_1000"}, seen[:6])
		assert.Equal(t, "task_1249", seen[254])
		assert.Equal(t, 255, b.effects(t))
		assert.Zero(t, b.count(t, "SELECT count(*) FROM ittybit_inbox WHERE outcome = 'discarded' OR error IS NOT NULL"), "discarded ones become handled")
		assert.NotZero(t, b.count(t, "SELECT count(*) FROM ittybit_inbox WHERE handled_at > received_at"))

		assert.Equal(t, 5, replay(sqlinbox.ReplayParams{Types: []ittybit.EventType{ittybit.EventTaskCompleted}}).Handled)
		assert.Equal(t, 2, replay(sqlinbox.ReplayParams{Keys: []string{task(t, 3).Key(), task(t, 1).Key(), "none"}}).Handled)
		assert.Equal(t, []string{"task_1", "task_3"}, seen)
		assert.Zero(t, replay(sqlinbox.ReplayParams{Outcome: ittybit.OutcomeDiscarded}).Handled)
		assert.Equal(t, 255, replay(sqlinbox.ReplayParams{Outcome: ittybit.OutcomeHandled, Since: time.Now().Add(-time.Hour)}).Handled)
		assert.Zero(t, replay(sqlinbox.ReplayParams{Since: time.Now().Add(time.Hour)}).Handled)
		assert.Zero(t, replay(sqlinbox.ReplayParams{Until: time.Now().Add(-time.Hour)}).Handled)

		status, delivered := deliver(t, inbox.Wrap(note), taskBody(1))
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, ittybit.OutcomeDuplicate, delivered.Outcome, "a redelivery is one still")
		b.idle(t)
	})
}

func TestReplay_keepsWhatAHandlerWroteThatSaysItWasHandledBefore(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		inbox := b.with(sqlinbox.WithPayloads())
		h := effectAnd(func() error { return ittybit.ErrAlreadyHandled })
		assert.ErrorIs(t, inbox.Wrap(h).HandleEvent(t.Context(), task(t, 1)), ittybit.ErrAlreadyHandled)
		result, err := inbox.Replay(t.Context(), h, sqlinbox.ReplayParams{})
		require.NoError(t, err)
		assert.Equal(t, 1, result.Handled)
		assert.Equal(t, 2, b.effects(t), "as Wrap does")
	})
}

func TestReplay_beginsWithSinceAndEndsBeforeUntil(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		inbox := b.with(sqlinbox.WithPayloads())
		require.NoError(t, inbox.Wrap(ittybit.EventHandlerFunc(effect)).HandleEvent(t.Context(), task(t, 1)))
		at := b.age(t, 24*time.Hour)
		east := time.FixedZone("east", 5*60*60)
		for want, params := range []sqlinbox.ReplayParams{
			{Until: at.In(east)},
			{Since: at.In(east), Until: at.Add(time.Microsecond)},
		} {
			result, err := inbox.Replay(t.Context(), ittybit.EventHandlerFunc(effect), params)
			require.NoError(t, err)
			assert.Equal(t, want, result.Handled)
		}
	})
}

func TestReplay_goesOnWhereItStopped(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		inbox := b.filled(t)
		bad := map[string]error{"task_2": errNo, "task_1100": ittybit.RetryLater(time.Minute, errNo), "task_1101": ittybit.Discard(errNo)}
		h := ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
			return errors.Join(effect(ctx, e), bad[e.Task.ID])
		})
		result, err := inbox.Replay(t.Context(), h, sqlinbox.ReplayParams{})
		require.ErrorIs(t, err, errNo)
		assert.ErrorContains(t, err, "task:task_2:completed")
		assert.Equal(t, 2, result.Handled)
		assert.Equal(t, 2, b.effects(t), "nothing of the run that failed is kept")

		var failures []string
		params := sqlinbox.ReplayParams{After: result.Cursor, OnError: func(key string, err error) error {
			failures = append(failures, key)
			if key == "task:task_1100:failed" {
				return err
			}
			return nil
		}}
		result, err = inbox.Replay(t.Context(), h, params)
		require.ErrorIs(t, err, errNo)
		assert.Equal(t, []string{"task:task_2:completed", "task:task_1100:failed"}, failures)
		assert.Equal(t, 1, result.Failed)
		assert.Equal(t, 2+100, result.Handled)

		delete(bad, "task_1100")
		params.After = result.Cursor
		result, err = inbox.Replay(t.Context(), h, params)
		require.NoError(t, err)
		assert.Equal(t, 149, result.Handled)
		assert.Equal(t, 1, result.Discarded)
		assert.Equal(t, 253, b.effects(t), "all but what failed and what was discarded")
		assert.Equal(t, 1, b.count(t, "SELECT count(DISTINCT n) FROM (SELECT count(*) AS n FROM effects GROUP BY event_key) AS s"), "each once")

		params.After = result.Cursor
		result, err = inbox.Replay(t.Context(), h, params)
		require.NoError(t, err)
		assert.Equal(t, sqlinbox.ReplayResult{Cursor: params.After, Until: result.Until}, result, "nothing is left")
		assert.WithinDuration(t, time.Now(), result.Until, time.Minute)

		ctx, cancel := context.WithCancel(t.Context())
		result, err = inbox.Replay(ctx, ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error { cancel(); return ctx.Err() }),
			sqlinbox.ReplayParams{OnError: func(string, error) error { return nil }})
		assert.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, sqlinbox.ReplayResult{Until: result.Until}, result, "the event did not fail: the next call begins with it")
		b.idle(t)
	})
}

func TestReplay_twoAtOnceHandleWhatWasDiscardedOnce(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		b.filled(t)
		_, err := b.db.ExecContext(t.Context(), "UPDATE ittybit_inbox SET outcome = 'discarded', error = 'x'")
		require.NoError(t, err)
		var all sync.WaitGroup
		var mu sync.Mutex
		var sum sqlinbox.ReplayResult
		for range 2 {
			other := b.with(sqlinbox.WithPayloads())
			all.Go(func() {
				result, err := other.Replay(t.Context(), ittybit.EventHandlerFunc(effect), sqlinbox.ReplayParams{Outcome: ittybit.OutcomeDiscarded})
				assert.NoError(t, err)
				mu.Lock()
				defer mu.Unlock()
				sum.Handled += result.Handled
				sum.Skipped += result.Skipped
			})
		}
		all.Wait()
		assert.Equal(t, 255, sum.Handled)
		assert.Equal(t, 255, b.effects(t))
	})
}

func TestReplay_refuses(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		h := ittybit.EventHandlerFunc(effect)
		require.NoError(t, b.inbox.Wrap(h).HandleEvent(t.Context(), task(t, 1)))
		_, err := b.inbox.Replay(t.Context(), h, sqlinbox.ReplayParams{})
		require.ErrorIs(t, err, sqlinbox.ErrNoPayloads)

		inbox := b.with(sqlinbox.WithPayloads())
		result, err := inbox.Replay(t.Context(), h, sqlinbox.ReplayParams{})
		require.NoError(t, err)
		assert.Equal(t, sqlinbox.ReplayResult{Until: result.Until}, result, "what came without its payload is passed over")

		now := time.Now()
		for param, tt := range map[string]struct {
			next   ittybit.EventHandler
			params sqlinbox.ReplayParams
		}{
			"next":    {inbox.Wrap(h), sqlinbox.ReplayParams{}},
			"Until":   {h, sqlinbox.ReplayParams{Since: now, Until: now}},
			"Outcome": {h, sqlinbox.ReplayParams{Outcome: ittybit.OutcomeFailed}},
			"Types":   {h, sqlinbox.ReplayParams{Types: make([]ittybit.EventType, 1001)}},
			"Keys":    {h, sqlinbox.ReplayParams{Keys: make([]string, 1001)}},
			"After":   {h, sqlinbox.ReplayParams{After: "nonsense"}},
		} {
			_, err := inbox.Replay(t.Context(), tt.next, tt.params)
			var refused *ittybit.ParamError
			require.ErrorAs(t, err, &refused, param)
			assert.Equal(t, param, refused.Param)
		}
		_, err = inbox.Replay(t.Context(), h, sqlinbox.ReplayParams{After: base64.RawURLEncoding.EncodeToString([]byte("1 \x00"))})
		assert.ErrorContains(t, err, "is not the Cursor")
		_, err = inbox.Replay(t.Context(), nil, sqlinbox.ReplayParams{})
		assert.ErrorContains(t, err, "next is nil")
	})
}

func TestWithPayloads_keepsTheBytesThatWereSigned(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		inbox := b.with(sqlinbox.WithPayloads())
		body := "{ \"id\": \"task_1\",\"object\":\"task\", \"status\":\"completed\", \"odd\": \"\\u0000 \xff \" }"
		status, _ := deliver(t, inbox.Wrap(ittybit.EventHandlerFunc(effect)), body)
		require.Equal(t, http.StatusOK, status)
		var payload []byte
		require.NoError(t, b.db.QueryRowContext(t.Context(), "SELECT payload FROM ittybit_inbox").Scan(&payload))
		assert.Equal(t, body, string(payload))
		var again string
		_, err := inbox.Replay(t.Context(), ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
			again = string(e.RawJSON())
			return nil
		}), sqlinbox.ReplayParams{})
		require.NoError(t, err)
		assert.Equal(t, body, again)

		b.exec(t, "UPDATE ittybit_inbox SET payload = $1", []byte("spoilt"))
		_, err = inbox.Replay(t.Context(), ittybit.EventHandlerFunc(effect), sqlinbox.ReplayParams{})
		require.ErrorIs(t, err, ittybit.ErrMalformedEvent, "a payload that was changed by hand")
	})
}
