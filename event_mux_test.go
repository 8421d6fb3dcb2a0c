package ittybit_test

import (
	"context"
	"errors"
	"fmt"
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
		"completed, any kind": func(m *ittybit.EventMux, fn func(context.Context, *ittybit.Event) error) {
			m.OnTaskCompleted(ittybit.AnyTaskKind, fn)
		},
		"failed nsfw": func(m *ittybit.EventMux, fn func(context.Context, *ittybit.Event) error) {
			m.OnTaskFailed(ittybit.TaskKindNSFW, fn)
		},
		"failed, any kind": func(m *ittybit.EventMux, fn func(context.Context, *ittybit.Event) error) {
			m.OnTaskFailed(ittybit.AnyTaskKind, fn)
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
	all := make([]string, 0, len(register))
	for name := range register {
		all = append(all, name)
	}
	without := func(left ...string) []string {
		var kept []string
		for _, name := range all {
			drop := false
			for _, other := range left {
				drop = drop || name == other
			}
			if !drop {
				kept = append(kept, name)
			}
		}
		return kept
	}
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
		"no kind: the type":                           {without("completed nsfw"), completed, "type task.completed"},
		"no kind: the type, by the later name":        {without("completed nsfw"), succeeded, "type task.succeeded"},
		"no kind, no type: any kind":                  {without("completed nsfw", "type task.completed"), completed, "completed, any kind"},
		"any kind, by the later name":                 {without("completed nsfw", "type task.succeeded"), succeeded, "completed, any kind"},
		"the later name has its own type":             {[]string{"type task.completed", "any"}, succeeded, "any"},
		"nothing but OnUnhandled":                     {[]string{"any"}, completed, "any"},
		"another kind: the type":                      {all, speech, "type task.completed"},
		"another kind: any kind":                      {without("type task.completed"), speech, "completed, any kind"},
		"no kind at all: any kind":                    {without("type task.completed"), noKind, "completed, any kind"},
		"failed":                                      {all, failed, "failed nsfw"},
		"failed, any kind":                            {without("failed nsfw"), failed, "failed, any kind"},
		"error is failed":                             {all, webhookTask("task_1", "error"), "failed nsfw"},
		"cancelled is not failed":                     {all, webhookTask("task_1", "cancelled"), "any"},
		"updated":                                     {all, webhookProgress("task_1", 1), "type task.updated"},
		"updated, to none":                            {without("type task.updated"), webhookProgress("task_1", 1), "any"},
		"media":                                       {all, `{"id":"med_1","object":"media"}`, "media"},
		"unknown":                                     {all, `{"id":"auto_1","object":"automation"}`, "any"},
		"a task that is missing: the type":            {all, noTask, "type task.completed"},
		"a task that is missing: never OnTask…":       {without("type task.completed"), noTask, "any"},
		"a media that is missing: never OnMedia":      {all, noMedia, "any"},
		"a type that is the star of OnUnhandled":      {all, `{"id":"evt_1","object":"event","kind":"*"}`, "any"},
		"a kind that is the star of any kind":         {without("type task.completed"), `{"id":"task_1","object":"task","kind":"*","status":"completed"}`, "completed, any kind"},
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
		"a type twice":           {"task.updated is registered already", func(m *ittybit.EventMux) { m.On(ittybit.EventTaskUpdated, webhookNothing) }},
		"a kind twice":           {"task.completed for tasks of kind nsfw is registered already", func(m *ittybit.EventMux) { m.OnTaskCompleted(ittybit.TaskKindNSFW, webhookNothing) }},
		"any kind twice":         {"task.failed for tasks of kind * is registered already", func(m *ittybit.EventMux) { m.OnTaskFailed(ittybit.AnyTaskKind, webhookNothing) }},
		"media twice":            {"media.created is registered already", func(m *ittybit.EventMux) { m.On(ittybit.EventMediaCreated, webhookNothing) }},
		"OnUnhandled twice":      {"OnUnhandled is registered already", func(m *ittybit.EventMux) { m.OnUnhandled(webhookNothing) }},
		"an empty type":          {"is not a type of event", func(m *ittybit.EventMux) { m.On("", webhookNothing) }},
		"a star for a type":      {"is not a type of event", func(m *ittybit.EventMux) { m.On("*", webhookNothing) }},
		"an empty kind":          {"empty task kind", func(m *ittybit.EventMux) { m.OnTaskCompleted("", webhookNothing) }},
		"a nil handler":          {"nil handler", func(m *ittybit.EventMux) { m.Handle("x", nil) }},
		"a nil handler function": {"nil handler", func(m *ittybit.EventMux) { m.Handle("x", ittybit.EventHandlerFunc(nil)) }},
		"a nil function":         {"nil function", func(m *ittybit.EventMux) { m.On("x", nil) }},
		"a nil function, kinds":  {"nil function", func(m *ittybit.EventMux) { m.OnTaskCompleted("x", nil) }},
		"a nil function, failed": {"nil function", func(m *ittybit.EventMux) { m.OnTaskFailed("x", nil) }},
		"a nil function, media":  {"nil function", func(m *ittybit.EventMux) { new(ittybit.EventMux).OnMediaCreated(nil) }},
		"a nil function, any":    {"nil function", func(m *ittybit.EventMux) { new(ittybit.EventMux).OnUnhandled(nil) }},
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
