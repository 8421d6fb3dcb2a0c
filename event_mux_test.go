package ittybit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// webhookCalls records which registration of a mux was called.
type webhookCalls struct{ names []string }

func (c *webhookCalls) named(name string) func(context.Context, *ittybit.Event) error {
	return func(context.Context, *ittybit.Event) error {
		c.names = append(c.names, name)
		return nil
	}
}

func TestEventMux_callsTheMostSpecificHandler(t *testing.T) {
	register := map[string]func(m *ittybit.EventMux, fn func(context.Context, *ittybit.Event) error){
		"completed nsfw": func(m *ittybit.EventMux, fn func(context.Context, *ittybit.Event) error) {
			m.OnTaskCompleted(ittybit.TaskKindNSFW, fn)
		},
		"failed nsfw": func(m *ittybit.EventMux, fn func(context.Context, *ittybit.Event) error) {
			m.OnTaskFailed(ittybit.TaskKindNSFW, fn)
		},
		"cancelled nsfw": func(m *ittybit.EventMux, fn func(context.Context, *ittybit.Event) error) {
			m.OnTaskCancelled(ittybit.TaskKindNSFW, fn)
		},
		"completed": func(m *ittybit.EventMux, fn func(context.Context, *ittybit.Event) error) {
			m.OnTaskCompleted(ittybit.AnyTaskKind, fn)
		},
		"failed": func(m *ittybit.EventMux, fn func(context.Context, *ittybit.Event) error) {
			m.OnTaskFailed(ittybit.AnyTaskKind, fn)
		},
		"cancelled": func(m *ittybit.EventMux, fn func(context.Context, *ittybit.Event) error) {
			m.OnTaskCancelled(ittybit.AnyTaskKind, fn)
		},
		"type task.completed": func(m *ittybit.EventMux, fn func(context.Context, *ittybit.Event) error) {
			m.On(ittybit.EventTaskCompleted, fn)
		},
		"type task.succeeded": func(m *ittybit.EventMux, fn func(context.Context, *ittybit.Event) error) {
			m.Handle(ittybit.EventTaskSucceeded, ittybit.EventHandlerFunc(fn))
		},
		"type task.updated": func(m *ittybit.EventMux, fn func(context.Context, *ittybit.Event) error) {
			m.On(ittybit.EventTaskUpdated, fn)
		},
		"media": func(m *ittybit.EventMux, fn func(context.Context, *ittybit.Event) error) { m.OnMediaCreated(fn) },
		"any":   func(m *ittybit.EventMux, fn func(context.Context, *ittybit.Event) error) { m.OnUnhandled(fn) },
	}
	// These two are the same thing as "completed": see TestEventMux_panicsOnTheSameThingInTwoWays.
	byType := []string{"type task.completed", "type task.succeeded"}
	var all []string
	for name := range register {
		if !slices.Contains(byType, name) {
			all = append(all, name)
		}
	}
	without := func(left ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(left, name) })
	}
	with := func(in, out string) []string { return append(without(out), in) }
	completed, failed := webhookTask("task_1", "completed"), webhookTask("task_1", "failed")
	succeeded := webhookTask("task_1", "succeeded")
	speech := `{"id":"task_1","object":"task","kind":"speech","status":"completed"}`
	noKind := `{"id":"task_1","object":"task","status":"completed"}`
	noTask := `{"id":"evt_1","object":"event","kind":"task.completed","data":null}`
	noMedia := `{"id":"evt_1","object":"event","kind":"media.created","data":null}`

	tests := map[string]struct {
		registered []string
		body       string
		want       string // empty: none
	}{
		"the kind":                                    {all, completed, "completed nsfw"},
		"the kind, by the later name":                 {all, succeeded, "completed nsfw"},
		"the kind, before the type":                   {with("type task.completed", "completed"), completed, "completed nsfw"},
		"no kind: any kind":                           {without("completed nsfw"), completed, "completed"},
		"any kind, by the later name":                 {without("completed nsfw"), succeeded, "completed"},
		"the type":                                    {[]string{"type task.completed", "any"}, completed, "type task.completed"},
		"the type, by the later name":                 {[]string{"type task.completed", "any"}, succeeded, "type task.completed"},
		"the later type":                              {[]string{"type task.succeeded", "any"}, succeeded, "type task.succeeded"},
		"the later type, by the earlier":              {[]string{"type task.succeeded", "any"}, completed, "type task.succeeded"},
		"an event of the later name":                  {all, `{"id":"evt_1","object":"event","kind":"task.succeeded","data":` + succeeded + `}`, "completed nsfw"},
		"nothing but OnUnhandled":                     {[]string{"any"}, completed, "any"},
		"another kind: any kind":                      {all, speech, "completed"},
		"no kind at all: any kind":                    {all, noKind, "completed"},
		"failed":                                      {all, failed, "failed nsfw"},
		"failed, any kind":                            {without("failed nsfw"), failed, "failed"},
		"error is failed":                             {all, webhookTask("task_1", "error"), "failed nsfw"},
		"cancelled":                                   {all, webhookTask("task_1", "cancelled"), "cancelled nsfw"},
		"canceled is cancelled":                       {all, webhookTask("task_1", "canceled"), "cancelled nsfw"},
		"canceled, by an event":                       {without("cancelled nsfw"), `{"id":"evt_1","object":"event","kind":"task.canceled","data":{"id":"task_1"}}`, "cancelled"},
		"cancelled is not failed":                     {without("cancelled", "cancelled nsfw"), webhookTask("task_1", "cancelled"), "any"},
		"updated":                                     {all, webhookProgress("task_1", 1), "type task.updated"},
		"updated, to none":                            {without("type task.updated"), webhookProgress("task_1", 1), "any"},
		"media":                                       {all, `{"id":"med_1","object":"media"}`, "media"},
		"unknown":                                     {all, `{"id":"auto_1","object":"automation"}`, "any"},
		"a task that is missing: the type":            {[]string{"type task.completed", "any"}, noTask, "type task.completed"},
		"a task that is missing: never OnTask…":       {all, noTask, "any"},
		"a media that is missing: never OnMedia":      {all, noMedia, "any"},
		"a type that is the star of OnUnhandled":      {all, `{"id":"evt_1","object":"event","kind":"*"}`, "any"},
		"a kind that is the star of any kind":         {all, `{"id":"task_1","object":"task","kind":"*","status":"completed"}`, "completed"},
		"nothing is registered":                       {nil, completed, ""},
		"nothing fits":                                {[]string{"media", "failed nsfw"}, completed, ""},
		"a media that is missing, and no OnUnhandled": {[]string{"media"}, noMedia, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var m ittybit.EventMux // the zero one is ready
			var calls webhookCalls
			for _, name := range tt.registered {
				register[name](&m, calls.named(name))
			}
			require.NoError(t, m.HandleEvent(t.Context(), webhookParse(t, tt.body)))
			if tt.want == "" {
				assert.Empty(t, calls.names)
			} else {
				assert.Equal(t, []string{tt.want}, calls.names)
			}
		})
	}
}

func TestEventMux_handsOnContextEventAndError(t *testing.T) {
	type key struct{}
	failure := errors.New("no")
	e := webhookParse(t, webhookPageBody)
	m := ittybit.NewEventMux()
	m.OnTaskCompleted(ittybit.TaskKindNSFW, func(ctx context.Context, got *ittybit.Event) error {
		assert.Same(t, e, got)
		assert.Equal(t, "value", ctx.Value(key{}))
		return failure
	})
	assert.Equal(t, failure, m.HandleEvent(context.WithValue(t.Context(), key{}, "value"), e))
}

func TestEventMux_givesGuardedFunctionsWhatTheyNeed(t *testing.T) {
	m := ittybit.NewEventMux()
	called := 0
	m.OnTaskFailed(ittybit.AnyTaskKind, func(_ context.Context, e *ittybit.Event) error {
		called++
		require.NotNil(t, e.Task)
		return nil
	})
	m.OnMediaCreated(func(_ context.Context, e *ittybit.Event) error {
		called++
		require.NotNil(t, e.Media)
		return nil
	})
	for _, e := range []*ittybit.Event{{Type: ittybit.EventTaskFailed}, {Type: ittybit.EventMediaCreated}, {}} {
		require.NoError(t, m.HandleEvent(t.Context(), e))
	}
	assert.Zero(t, called)
	require.NoError(t, m.HandleEvent(t.Context(), &ittybit.Event{Type: ittybit.EventTaskFailed, Task: &ittybit.Task{}}))
	require.NoError(t, m.HandleEvent(t.Context(), &ittybit.Event{Type: ittybit.EventMediaCreated, Media: &ittybit.Media{}}))
	assert.Equal(t, 2, called)
}

func TestEventMux_panicsOnMistakesAtStartUp(t *testing.T) {
	tests := map[string]struct {
		message string
		do      func(m *ittybit.EventMux)
	}{
		"a type twice":              {"task.updated is registered already", func(m *ittybit.EventMux) { m.On(ittybit.EventTaskUpdated, webhookNothing) }},
		"a kind twice":              {"task.completed for tasks of kind nsfw is registered already", func(m *ittybit.EventMux) { m.OnTaskCompleted(ittybit.TaskKindNSFW, webhookNothing) }},
		"any kind twice":            {"task.failed (On for any of its spellings, or OnTask… for AnyTaskKind) is registered already", func(m *ittybit.EventMux) { m.OnTaskFailed(ittybit.AnyTaskKind, webhookNothing) }},
		"media twice":               {"media.created is registered already", func(m *ittybit.EventMux) { m.On(ittybit.EventMediaCreated, webhookNothing) }},
		"OnUnhandled twice":         {"OnUnhandled is registered already", func(m *ittybit.EventMux) { m.OnUnhandled(webhookNothing) }},
		"an empty type":             {"is not a type of event", func(m *ittybit.EventMux) { m.On("", webhookNothing) }},
		"a star for a type":         {"is not a type of event", func(m *ittybit.EventMux) { m.On("*", webhookNothing) }},
		"an empty kind":             {"empty task kind", func(m *ittybit.EventMux) { m.OnTaskCompleted("", webhookNothing) }},
		"a nil handler":             {"nil handler", func(m *ittybit.EventMux) { m.Handle("x", nil) }},
		"a nil handler function":    {"nil handler", func(m *ittybit.EventMux) { m.Handle("x", ittybit.EventHandlerFunc(nil)) }},
		"a nil function":            {"nil function", func(m *ittybit.EventMux) { m.On("x", nil) }},
		"a nil function, kinds":     {"nil function", func(m *ittybit.EventMux) { m.OnTaskCompleted("x", nil) }},
		"a nil function, failed":    {"nil function", func(m *ittybit.EventMux) { m.OnTaskFailed("x", nil) }},
		"a nil function, cancelled": {"nil function", func(m *ittybit.EventMux) { m.OnTaskCancelled("x", nil) }},
		"a nil function, media":     {"nil function", func(m *ittybit.EventMux) { new(ittybit.EventMux).OnMediaCreated(nil) }},
		"a nil function, any":       {"nil function", func(m *ittybit.EventMux) { new(ittybit.EventMux).OnUnhandled(nil) }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := ittybit.NewEventMux()
			m.On(ittybit.EventTaskUpdated, webhookNothing)
			m.OnTaskCompleted(ittybit.TaskKindNSFW, webhookNothing)
			m.OnTaskFailed(ittybit.AnyTaskKind, webhookNothing)
			m.OnMediaCreated(webhookNothing)
			m.OnUnhandled(webhookNothing)
			defer func() {
				text := fmt.Sprint(recover())
				assert.Contains(t, text, tt.message)
				assert.Contains(t, text, "ittybit: ")
				// The mux is not left locked.
				assert.NoError(t, m.HandleEvent(t.Context(), &ittybit.Event{}))
			}()
			tt.do(m)
		})
	}
}

func TestEventMux_isSafeForConcurrentUse(t *testing.T) {
	m := ittybit.NewEventMux()
	var rest, typed atomic.Int64
	m.OnUnhandled(func(context.Context, *ittybit.Event) error { rest.Add(1); return nil })
	m.OnTaskCompleted(ittybit.TaskKindNSFW, func(context.Context, *ittybit.Event) error { typed.Add(1); return nil })
	e := webhookParse(t, webhookPageBody)
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			m.On(ittybit.EventType(fmt.Sprintf("type.%d", i)), webhookNothing)
			assert.NoError(t, m.HandleEvent(t.Context(), e))
			assert.NoError(t, m.HandleEvent(t.Context(), &ittybit.Event{Type: "nothing"}))
		})
	}
	group.Wait()
	assert.EqualValues(t, 50, rest.Load())
	assert.EqualValues(t, 50, typed.Load())
}

func TestEventMux_canBeNested(t *testing.T) {
	var calls webhookCalls
	outer, inner := ittybit.NewEventMux(), ittybit.NewEventMux()
	inner.OnTaskCompleted(ittybit.TaskKindNSFW, calls.named("inner"))
	outer.Handle(ittybit.EventTaskCompleted, inner)
	require.NoError(t, outer.HandleEvent(t.Context(), webhookParse(t, webhookPageBody)))
	assert.Equal(t, []string{"inner"}, calls.names)
}

func TestEventMux_panicsOnTheSameThingInTwoWays(t *testing.T) {
	ways := map[string][]func(m *ittybit.EventMux){
		"completed": {
			func(m *ittybit.EventMux) { m.On(ittybit.EventTaskCompleted, webhookNothing) },
			func(m *ittybit.EventMux) { m.On(ittybit.EventTaskSucceeded, webhookNothing) },
			func(m *ittybit.EventMux) { m.OnTaskCompleted(ittybit.AnyTaskKind, webhookNothing) },
		},
		"failed": {
			func(m *ittybit.EventMux) { m.On(ittybit.EventTaskFailed, webhookNothing) },
			func(m *ittybit.EventMux) { m.Handle("task.error", ittybit.EventHandlerFunc(webhookNothing)) },
			func(m *ittybit.EventMux) { m.OnTaskFailed(ittybit.AnyTaskKind, webhookNothing) },
		},
		"cancelled": {
			func(m *ittybit.EventMux) { m.On(ittybit.EventTaskCancelled, webhookNothing) },
			func(m *ittybit.EventMux) { m.On("task.canceled", webhookNothing) },
			func(m *ittybit.EventMux) { m.OnTaskCancelled(ittybit.AnyTaskKind, webhookNothing) },
		},
		"media": {
			func(m *ittybit.EventMux) { m.On(ittybit.EventMediaCreated, webhookNothing) },
			func(m *ittybit.EventMux) { m.OnMediaCreated(webhookNothing) },
		},
	}
	for name, ways := range ways {
		for i, first := range ways {
			for j, second := range ways {
				m := ittybit.NewEventMux()
				first(m)
				assert.Panics(t, func() { second(m) }, "%s: %d, then %d", name, i, j)
			}
		}
	}
}

func TestEventMux_givesAFailedTaskAnError(t *testing.T) {
	for name, body := range map[string]string{
		"none":             webhookTask("task_1", "failed"),
		"null":             `{"id":"task_1","object":"task","status":"error","error":null}`,
		"empty":            `{"id":"task_1","object":"task","status":"failed","error":""}`,
		"in an event":      `{"id":"evt_1","object":"event","kind":"task.failed","data":{"id":"task_1"}}`,
		"another status":   `{"id":"evt_1","object":"event","kind":"task.failed","data":{"id":"task_1","status":"processing"}}`,
		"one is there":     `{"id":"task_1","object":"task","status":"failed","error":"no video stream"}`,
		"one, as an event": `{"id":"evt_1","object":"event","kind":"task.failed","data":{"id":"task_1","error":{"kind":"k","message":"no video stream"}}}`,
	} {
		for _, kind := range []ittybit.TaskKind{ittybit.AnyTaskKind, ittybit.TaskKindNSFW} {
			t.Run(name+" "+string(kind), func(t *testing.T) {
				e := webhookParse(t, strings.Replace(body, `"id":"task_1"`, `"id":"task_1","kind":"nsfw"`, 1))
				before := e.Task.Error
				m := ittybit.NewEventMux()
				called := 0
				m.OnTaskFailed(kind, func(_ context.Context, got *ittybit.Event) error {
					called++
					require.NotNil(t, got.Task.Error)
					assert.NotEmpty(t, got.Task.Error.Message)
					assert.Equal(t, strings.Contains(body, "no video"), got.Task.Error.Message == "no video stream")
					assert.Equal(t, e.Key(), got.Key())
					assert.Equal(t, e.RawJSON(), got.RawJSON())
					return nil
				})
				require.NoError(t, m.HandleEvent(t.Context(), e))
				assert.Equal(t, 1, called)
				assert.Equal(t, before, e.Task.Error, "the event that others hold is left alone")
			})
		}
	}
}

func TestEventMux_warnsOfAMisspelledNameOnce(t *testing.T) {
	onType := func(name string) func(m *ittybit.EventMux) {
		return func(m *ittybit.EventMux) { m.On(ittybit.EventType(name), webhookNothing) }
	}
	onKind := func(name string) func(m *ittybit.EventMux) {
		return func(m *ittybit.EventMux) {
			m.OnTaskCompleted(ittybit.TaskKind(name), webhookNothing)
		}
	}
	for name, tt := range map[string]struct {
		register func(m *ittybit.EventMux)
		meant    string // empty: nothing is logged
	}{
		"a letter left out":     {onType("task.complete"), "task.completed"},
		"a letter too many":     {onType("media.createdd"), "media.created"},
		"another letter":        {onType("task-failed"), "task.failed"},
		"two letters swapped":   {onType("job.suceceded"), "job.succeeded"},
		"another case":          {onType("Task.Completed"), "task.completed"},
		"a space":               {onType("task.failed "), "task.failed"},
		"another API version":   {onType("run.succeded"), "run.succeeded"},
		"a kind, in capitals":   {onKind("NSFW"), "nsfw"},
		"a kind, singular":      {onKind("subtitle"), "subtitles"},
		"a kind, two swapped":   {onKind("vidoe"), "video"},
		"a known type":          {onType("task.updated"), ""},
		"a later type":          {onType("run.failed"), ""},
		"a known kind":          {onKind("speech"), ""},
		"a later kind":          {onKind("adaptive_video"), ""},
		"any kind":              {onKind("*"), ""},
		"a type of tomorrow":    {onType("file.deleted"), ""},
		"a kind of tomorrow":    {onKind("transcript"), ""},
		"two letters of a kind": {onKind("ssppeech"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log testLog
			before := slog.Default()
			slog.SetDefault(log.logger())
			defer slog.SetDefault(before)
			m := ittybit.NewEventMux()
			tt.register(m)
			if tt.meant == "" {
				assert.Empty(t, log.String())
				return
			}
			assert.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
			assert.Contains(t, log.String(), "level=WARN")
			assert.Contains(t, log.String(), "did_you_mean="+tt.meant)
			require.NoError(t, m.HandleEvent(t.Context(), webhookParse(t, webhookPageBody)))
			assert.Equal(t, 1, strings.Count(log.String(), "\n"), "not again")
		})
	}
}
