package riverevents_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/riverqueue/river"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

func TestLog_oneLineForEachAttempt(t *testing.T) {
	t.Parallel()
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
		t.Run(level.String(), func(t *testing.T) {
			t.Parallel()
			q := newQueue(t)
			observe, attempts := observed()
			var log bytes.Buffer // written before the observer is called
			snoozes := 0
			w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
				job, _ := riverevents.JobFromContext(ctx)
				switch {
				case e.Task.ID == "task_1" && snoozes < 2:
					snoozes++
					return ittybit.RetryLater(0, errBroken)
				case e.Task.ID == "task_2":
					return errBroken
				case e.Task.ID == "task_3":
					return ittybit.Discard(errBroken)
				case e.Task.ID == "task_4" && job.Attempt == 1:
					panic("at the disco")
				}
				return write(ctx, e)
			}), observe, riverevents.WithLogger(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: level}))))

			for _, step := range []struct {
				id, more string
				kinds    []river.EventKind
				lines    []string // level, outcome, error
			}{
				{
					"task_1", "", []river.EventKind{river.EventKindJobSnoozed, river.EventKindJobSnoozed, river.EventKindJobCompleted},
					[]string{"WARN retry_later ittybit: retry in 0s: broken", "WARN retry_later ittybit: retry in 0s: broken", "INFO handled"},
				},
				{"task_2", "", []river.EventKind{river.EventKindJobFailed, river.EventKindJobFailed}, []string{"WARN failed broken", "ERROR failed broken"}},
				{"task_3", "", []river.EventKind{river.EventKindJobCancelled}, []string{"ERROR discarded ittybit: discarded: broken"}},
				{
					"task_4", "", []river.EventKind{river.EventKindJobFailed, river.EventKindJobCompleted},
					[]string{"ERROR panicked riverevents: the event handler panicked", "INFO handled"},
				},
				{"task_4", `"x":1`, []river.EventKind{river.EventKindJobCompleted}, []string{"INFO stale"}},
			} {
				log.Reset()
				status := "completed"
				if step.more != "" {
					status = "processing"
				}
				q.enqueue(taskEvent(t, step.id, status, append([]string{`"secret":"in the payload"`}, strings.Fields(step.more)...)...),
					riverevents.WithName("uploads"), riverevents.WithInsertOpts(river.InsertOpts{MaxAttempts: 2}))
				for _, kind := range step.kinds {
					w.next(kind)
					assert.Equal(t, step.id, receive(t, attempts).Event.Task.ID)
				}
				var lines []string
				for line := range strings.Lines(log.String()) {
					var fields map[string]any
					require.NoError(t, json.Unmarshal([]byte(line), &fields))
					text := []string{fields["level"].(string), fields["outcome"].(string)}
					if reason, ok := fields["error"].(string); ok {
						text = append(text, reason)
					}
					lines = append(lines, strings.Join(text, " "))
					assert.Equal(t, "uploads", fields["name"])
					assert.EqualValues(t, 2, fields["max_attempts"])
					assert.Contains(t, fields["key"], step.id)
					assert.Contains(t, fields["event"], "task.")
				}
				assert.Equal(t, step.lines, lines)
				assert.Equal(t, level == slog.LevelDebug, strings.Contains(log.String(), "in the payload"))
			}
		})
	}
}

func TestLog_masksSignatures(t *testing.T) {
	t.Parallel()
	const (
		signature = "abcdefgh12345678"
		link      = "https://x.ittybit.net/a?signature=" + signature
	)
	q := newQueue(t)
	var log bytes.Buffer // written before the job ends
	observer := riverevents.WithObserver(func(context.Context, riverevents.Attempt) { panic("no metric for " + link) })
	w := q.work(ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return errors.New("can't fetch " + link) }),
		observer, riverevents.WithLogger(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	byLink := riverevents.WithKey(func(*ittybit.Event) string { return "key of " + link })
	q.enqueue(taskEvent(t, "task_1", "completed", `"url":"`+link+`"`), byLink, riverevents.WithInsertOpts(river.InsertOpts{MaxAttempts: 1}))
	w.next(river.EventKindJobFailed)
	for _, beside := range []string{`"can't fetch https://x.`, `"key of https://x.`, `\"url\":\"https://x.`, `"no metric for https://x.`, "log_test.go"} {
		assert.Contains(t, log.String(), beside)
	}
	assert.NotContains(t, log.String(), signature)
}
