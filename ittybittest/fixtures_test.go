package ittybittest_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func TestFixtures_areTheEventsThatTheirNamesSay(t *testing.T) {
	for want, payload := range map[ittybit.EventType][]byte{
		ittybit.EventTaskCompleted: ittybittest.TaskCompleted("video", nil),
		ittybit.EventTaskFailed:    ittybittest.TaskFailed("video", "too long"),
		"task.cancelled":           ittybittest.TaskCancelled("video"),
		"task.updated":             ittybittest.TaskUpdated("video", 40),
		ittybit.EventMediaCreated:  ittybittest.MediaCreated("Holiday"),
		ittybit.EventJobSucceeded:  ittybittest.JobSucceeded("video"),
		ittybit.EventJobFailed:     ittybittest.JobFailed("video", "too long"),
		"task.succeeded":           ittybittest.EventOf("task.succeeded", ittybittest.TaskCompleted("video", nil)),
	} {
		event, err := ittybit.ParseEvent(payload)
		require.NoError(t, err)
		assert.Equal(t, want, event.Type)
		if event.Task != nil {
			assert.Equal(t, ittybit.TaskKindVideo, event.Task.Kind)
			assert.False(t, event.CreatedAt.IsZero())
		}
		if event.Type == ittybit.EventTaskFailed {
			assert.Equal(t, "too long", event.Task.Error.Message)
		}
	}
	event, err := ittybit.ParseEvent(ittybittest.MediaCreated("Holiday"))
	require.NoError(t, err)
	assert.Equal(t, "Holiday", event.Media.Title)
	assert.Panics(t, func() { ittybittest.EventOf("task.failed", []byte("[]")) })
	assert.Panics(t, func() { ittybittest.TaskCompleted("nsfw", func() {}) })
}

func TestTaskCompleted_hasTheResultsOfItsKind(t *testing.T) {
	read := func(payload []byte) *ittybit.Task {
		event, err := ittybit.ParseEvent(payload)
		require.NoError(t, err)
		return event.Task
	}
	nsfw, err := read(ittybittest.TaskCompleted("nsfw", nil)).NSFW()
	require.NoError(t, err)
	assert.InDelta(t, 0.97, *nsfw.Confidence, 0)
	nsfw, err = read(ittybittest.TaskCompleted("nsfw", map[string]any{"is_nsfw": true})).NSFW()
	require.NoError(t, err)
	assert.True(t, nsfw.IsNSFW)
	_, err = read(ittybittest.TaskCompleted("nsfw", json.RawMessage("null"))).NSFW()
	require.ErrorIs(t, err, ittybit.ErrNoResults)
	_, err = read(ittybittest.TaskCompleted("speech", nil)).Speech()
	require.NoError(t, err)
	_, err = read(ittybittest.TaskCompleted("description", nil)).Description()
	require.NoError(t, err)
	chapters, err := read(ittybittest.TaskCompleted("chapters", nil)).Chapters()
	require.NoError(t, err)
	assert.Len(t, chapters.Chapters, 1)
	one, other := ittybittest.TaskCompleted("nsfw", nil), ittybittest.TaskCompleted("nsfw", nil)
	assert.NotEqual(t, read(one).ID, read(other).ID)
}

func TestNewWebhookRequestTo(t *testing.T) {
	for target, want := range map[string][]string{
		"/hooks/nsfw?ref=7":             {"example.com", "/hooks/nsfw", "ref=7"},
		"https://app.example.com/hooks": {"app.example.com", "/hooks", ""},
	} {
		r := ittybittest.NewWebhookRequestTo(target, "the key of a test", ittybittest.TaskCompleted("nsfw", nil))
		assert.Equal(t, want, []string{r.Host, r.URL.Path, r.URL.RawQuery})
		handled := false
		handler, err := ittybit.NewWebhookHandler("the key of a test", ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
			handled = true
			return nil
		}))
		require.NoError(t, err)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		assert.Equal(t, 200, w.Code)
		assert.True(t, handled)
	}
}
