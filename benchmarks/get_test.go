package benchmarks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// memoryTransport answers every request with documentedTask, without a network.
type memoryTransport struct{}

func (memoryTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: int64(len(documentedTask)),
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader([]byte(documentedTask))),
	}, nil
}

// gets fetch a task by hand, with no retries, limits or error body, and by Tasks.Get.
func gets(t testing.TB, base string, client *http.Client) (byHand, ours func() error) {
	c, err := ittybit.NewClient(secret, ittybit.WithBaseURL(base), ittybit.WithHTTPClient(client))
	require.NoError(t, err)
	byHand = func() error {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, base+"/tasks/"+taskID, http.NoBody)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+secret)
		r.Header.Set("Accept-Version", ittybit.APIVersion)
		response, err := client.Do(r)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		return errors.Join(expect(response.StatusCode == http.StatusOK), plainTask(body))
	}
	ours = func() error {
		task, err := c.Tasks.Get(context.Background(), taskID)
		if err != nil {
			return err
		}
		return expect(task.ID == taskID && len(task.Results) > 0 && !task.Completed.IsZero())
	}
	return byHand, ours
}

func BenchmarkTasksGet(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, documentedTask)
	}))
	defer server.Close()
	for name, client := range map[string]*http.Client{"loopback": server.Client(), "memory": {Transport: memoryTransport{}}} {
		byHand, ours := gets(b, server.URL, client)
		benchmark(b, "over="+name+"/by=http.Client", len(documentedTask), byHand)
		benchmark(b, "over="+name+"/by=Tasks.Get", len(documentedTask), ours)
	}
}
