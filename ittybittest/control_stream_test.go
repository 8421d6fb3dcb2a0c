package ittybittest_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

// listen reads the stream until it has n notices.
func (a api) listen(lastID string, n int) (ids, kinds []string, data []map[string]any) {
	req, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, a.srv.URL+"/_local/stream", nil)
	require.NoError(a.t, err)
	req.Header.Set("Last-Event-ID", lastID)
	resp, err := a.http.Do(req)
	require.NoError(a.t, err)
	defer resp.Body.Close()
	require.Equal(a.t, "text/event-stream", resp.Header.Get("Content-Type"))
	lines := bufio.NewScanner(resp.Body)
	for len(data) < n && lines.Scan() {
		switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
		case "id":
			ids = append(ids, value)
		case "event":
			kinds = append(kinds, value)
		case "data":
			var obj map[string]any
			require.NoError(a.t, json.Unmarshal([]byte(value), &obj))
			data = append(data, obj)
		}
	}
	return ids, kinds, data
}

func TestControl_streamsWhatHappensAndResumes(t *testing.T) {
	a, _, url := controlled(t)
	id := a.create("/tasks", `{"kind":"nsfw","url":"https://example.com/a.png","webhook_url":"`+url+`"}`)["id"]
	_, err := a.srv.WaitForTask(t.Context(), id.(string))
	require.NoError(t, err)
	ids, kinds, data := a.listen("0", 5)
	start, _, _ := strings.Cut(ids[0], "-")
	numbered := func(numbers ...string) (ids []string) {
		for _, n := range numbers {
			ids = append(ids, start+"-"+n)
		}
		return ids
	}
	assert.Equal(t, numbered("1", "2", "3", "4", "5"), ids)
	assert.Equal(t, []string{"task", "task", "task", "task", "delivery"}, kinds)
	statuses := []any{}
	for _, d := range data[:4] {
		assert.Equal(t, id, d["id"])
		statuses = append(statuses, d["status"])
	}
	assert.Equal(t, []any{"pending", "processing", "processing", "completed"}, statuses)
	assert.Equal(t, []any{"delivered", "task.completed", id}, []any{data[4]["state"], data[4]["event"], data[4]["task_id"]})

	ids, _, _ = a.listen(start+"-3", 2)
	assert.Equal(t, numbered("4", "5"), ids)
	assert.Equal(t, start+"-5", a.drive("GET", "deliveries", "").is(t, 200)["stream"])
	assert.Equal(t, start+"-5", a.drive("GET", "", "").is(t, 200)["stream"])
	go func() {
		time.Sleep(20 * time.Millisecond) // what comes while somebody listens is sent, too
		_ = a.srv.Redeliver(a.srv.Deliveries()[0])
	}()
	ids, kinds, _ = a.listen(start+"-5", 1)
	assert.Equal(t, []string{start + "-6 delivery"}, []string{ids[0] + " " + kinds[0]})

	for _, unknown := range []string{"5", "other-5", start + "-7", start + "--1", start + "-", "x"} {
		ids, kinds, _ = a.listen(unknown, 1)
		assert.Equal(t, []string{start + "-6 reset"}, []string{ids[0] + " " + kinds[0]}, unknown)
	}
	a.drive("POST", "reset", "").is(t, 204)
	_, kinds, _ = a.listen(start+"-6", 1)
	assert.Equal(t, []string{"reset"}, kinds)
}

func TestControl_forgetsWhatHappenedLongAgo(t *testing.T) {
	a, _, _ := controlled(t)
	ittybittest.FillFeed(a.srv, 10_001)
	first, _, _ := a.listen("0", 1)
	start, number, _ := strings.Cut(first[0], "-")
	assert.Equal(t, "2", number, "10,000 are kept")
	for id, kind := range map[string]string{start + "-1": "task", start + "-0": "reset"} {
		_, kinds, _ := a.listen(id, 1)
		assert.Equal(t, []string{kind}, kinds, id)
	}
}

func TestControl_pingsOnAQuietStream(t *testing.T) {
	bubble(t, &inbox{}, func(t *testing.T, a api) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.srv.URL+"/_local/stream?last_event_id=0", nil)
		require.NoError(t, err)
		resp, err := a.http.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		began := time.Now()
		for lines := bufio.NewScanner(resp.Body); lines.Scan() && lines.Text() != "event: ping"; {
			assert.NotContains(t, lines.Text(), "event: ")
		}
		assert.Equal(t, 15*time.Second, time.Since(began))
	}, ittybittest.WithControl(""))
}

func TestControl_closesAStream(t *testing.T) {
	a, _, _ := controlled(t)
	resp, err := a.http.Get(a.srv.URL + "/_local/stream")
	require.NoError(t, err)
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	require.True(t, lines.Scan())
	a.srv.Close()
	for lines.Scan() {
		assert.Empty(t, lines.Text())
	}
}
