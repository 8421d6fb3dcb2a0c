package engine

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
	"github.com/ittybit/ittybit-go/ittybittest/internal/lifecycle"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// mailbox has the addresses that webhooks went to.
type mailbox struct {
	mu   sync.Mutex
	urls []string
}

func (m *mailbox) all() []string {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string{}, m.urls...)
}

// start makes an engine in fake time, whose webhooks go to posted.
func start(t *testing.T, posted *mailbox, f func(e *Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		ids, life := map[string]int{}, lifecycle.New()
		e := New(Config{
			Life: life, StorageURL: "https://you.ittybit.test", TaskDuration: time.Hour,
			NewID: func(prefix string) string {
				mu.Lock()
				defer mu.Unlock()
				ids[prefix]++
				return fmt.Sprint(prefix, "_", ids[prefix])
			},
			Deliver: func(url string, _ []byte) {
				posted.mu.Lock()
				defer posted.mu.Unlock()
				posted.urls = append(posted.urls, url)
			},
			PlainHTTP: func(string) bool { return false },
			Changed:   func(Task) {},
		})
		f(e)
		life.Stop()
		life.Wait()
	})
}

// locked calls f with the engine locked, as the API does.
func locked(e *Engine, f func()) {
	e.Lock()
	defer e.Unlock()
	f()
}

// create calls what makes an object, with the engine locked.
func create(t *testing.T, e *Engine, do func(fields.Object) (any, error), body string) any {
	t.Helper()
	e.Lock()
	defer e.Unlock()
	made, err := do(object(t, body))
	require.NoError(t, err)
	return made
}

func object(t *testing.T, text string) fields.Object {
	t.Helper()
	o, err := fields.Parse(json.RawMessage(text))
	require.NoError(t, err)
	return o
}

func TestEngine_runsATaskAndItsNextSteps(t *testing.T) {
	var posted mailbox
	start(t, &posted, func(e *Engine) {
		task := create(t, e, e.CreateTask, `{"kind":"image","url":"https://example.com/a.png","webhook_url":"https://a.test/end",
			"next":[{"kind":"nsfw","next":[{"kind":"webhook","url":"https://a.test/next"}]}]}`)
		assert.Equal(t, "pending", task.(Task).Status)
		time.Sleep(90 * time.Minute)
		assert.Equal(t, []string{"https://a.test/end"}, posted.all())
		time.Sleep(time.Hour)
		assert.Equal(t, []string{"https://a.test/end", "https://a.test/next"}, posted.all())
		locked(e, func() {
			tasks, total := e.ListTasks(Window{Page: 1, Limit: 10, Status: "completed"})
			assert.EqualValues(t, 2, total)
			assert.Equal(t, []string{"nsfw", "image"}, []string{tasks[0].(Task).Kind, tasks[1].(Task).Kind})
		})
	})
}

func TestEngine_loadsItsSnapshotAndGoesOn(t *testing.T) {
	var posted mailbox
	var saved []byte
	start(t, &posted, func(e *Engine) {
		create(t, e, e.CreateAutomation, `{"trigger":{"kind":"event","event":"media.created"},
			"workflow":[{"kind":"webhook","url":"https://a.test/media"}]}`)
		create(t, e, e.CreateTask, `{"kind":"nsfw","url":"https://example.com/a.png","webhook_url":"https://a.test/end"}`)
		time.Sleep(30 * time.Minute)
		var err error
		saved, err = e.Snapshot()
		require.NoError(t, err)
	})
	assert.Empty(t, posted.urls)
	start(t, &posted, func(e *Engine) {
		require.NoError(t, e.Load(saved))
		create(t, e, e.CreateMedia, `{}`)
		time.Sleep(2 * time.Hour)
		assert.Equal(t, []string{"https://a.test/media", "https://a.test/end"}, posted.all())
		locked(e, func() {
			task, err := e.Tasks.Get("task_1")
			require.NoError(t, err)
			assert.Equal(t, "completed", task.(Task).Status)
		})
		require.ErrorContains(t, New(e.Config).Load([]byte(`{"Format":2,"Tasks":[{"id":"task_1","Spec":{"Kind":5}}]}`)), "Kind")
		require.ErrorContains(t, New(e.Config).Load([]byte(`{"Tasks":[{"ID":"task_1"}]}`)), "another version")
		require.ErrorContains(t, New(e.Config).Load([]byte(`{"Format":1,"Tasks":"of another form"}`)), "another version")
	})
}

func TestList_pages(t *testing.T) {
	var posted mailbox
	start(t, &posted, func(e *Engine) {
		for range 5 {
			create(t, e, e.CreateMedia, `{}`)
		}
		e.Lock()
		defer e.Unlock()
		require.NoError(t, e.Media.Delete("med_4"))
		for page, want := range map[int64][]string{1: {"med_5", "med_3", "med_2"}, 2: {"med_1"}, 3: {}, 1 << 62: {}} {
			shown, total := e.Media.List(Window{Page: page, Limit: 3})
			got := []string{}
			for _, m := range shown {
				got = append(got, m.(Media).ID)
			}
			assert.Equal(t, want, got, page)
			assert.EqualValues(t, 4, total)
		}
		_, err := e.Media.Get("med_4")
		assert.Equal(t, refusal.New(http.StatusNotFound, `Media "med_4" was not found.`), err)
		assert.Equal(t, err, e.Media.Delete("med_4"))
	})
}

// A refused request must not take an id from WithFixedIDs.
func TestMedia_takesAnIDWhenItIsStored(t *testing.T) {
	var posted mailbox
	start(t, &posted, func(e *Engine) {
		locked(e, func() {
			_, err := e.CreateMedia(object(t, `{"title":1}`))
			require.EqualError(t, err, "title must be a string.")
		})
		assert.Equal(t, "med_1", create(t, e, e.CreateMedia, `{}`).(Media).ID)
	})
}

func TestSetFields_namesTheSameWrongFieldEachTime(t *testing.T) {
	var posted mailbox
	start(t, &posted, func(e *Engine) {
		for range 20 {
			locked(e, func() {
				_, err := e.CreateFile(object(t, `{"url":1,"ref":2,"folder":3,"filename":4,"media_id":5}`), false)
				require.EqualError(t, err, "filename must be a string.")
				_, err = e.CreateMedia(object(t, `{"title":1,"alt":2}`))
				require.EqualError(t, err, "alt must be a string.")
			})
		}
	})
}

func TestScale(t *testing.T) {
	for options, want := range map[string]string{
		`{}`:                        `{"width":1920,"height":1080}`,
		`{"width":640}`:             `{"width":640,"height":360}`,
		`{"height":"50%"}`:          `{"width":960,"height":540}`,
		`{"width":3,"height":4}`:    `{"width":3,"height":4}`,
		`{"width":"x","height":-1}`: `{"width":1920,"height":1080}`,
	} {
		file := &File{Width: 16, Height: 9}
		file.scale(&File{Width: 1920, Height: 1080}, object(t, options))
		assert.JSONEq(t, want, string(fields.Encode(file)), options)
	}
}
