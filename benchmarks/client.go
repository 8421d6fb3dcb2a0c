package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/ittybit/ittybit-go"
)

// apiTaskID is the id of apiTask.
const apiTaskID = "task_abcdefgh1234"

// apiTask is the example of the API's reference, task objects.
const apiTask = `{"id":"task_abcdefgh1234","object":"task","kind":"image",` +
	`"input":{"id":"file_abcdefgh1234","object":"source","kind":"video","type":"video/mp4","width":1920,"height":1080,"duration":123.45,` +
	`"filesize":12345678,"url":"https://you.ittybit.net/file_abcdefgh1234","ref":"original"},` +
	`"options":{"width":320,"format":"png","ref":"thumbnail"},` +
	`"output":{"id":"file_abcdefgh5678","object":"source","kind":"image","type":"image/png","width":320,"height":180,` +
	`"filesize":12345,"url":"https://you.ittybit.net/file_abcdefgh5678","ref":"thumbnail"},` +
	`"status":"completed","created":"2025-01-01T01:23:45Z","updated":"2025-01-01T01:23:46Z"}`

// plainAPITask is a plain struct of its members.
type plainAPITask struct {
	ID      string    `json:"id"`
	Object  string    `json:"object"`
	Kind    string    `json:"kind"`
	Input   plainFile `json:"input"`
	Options struct {
		Width  int    `json:"width"`
		Format string `json:"format"`
		Ref    string `json:"ref"`
	} `json:"options"`
	Output  plainFile `json:"output"`
	Status  string    `json:"status"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

type plainFile struct {
	ID       string  `json:"id"`
	Object   string  `json:"object"`
	Kind     string  `json:"kind"`
	Type     string  `json:"type"`
	Width    int     `json:"width"`
	Height   int     `json:"height"`
	Duration float64 `json:"duration"`
	Filesize int64   `json:"filesize"`
	URL      string  `json:"url"`
	Ref      string  `json:"ref"`
}

// serveTask answers every request with apiTask.
func serveTask(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, apiTask)
}

// memoryTransport answers every request with apiTask, without a network.
type memoryTransport struct{}

// RoundTrip implements [http.RoundTripper].
func (memoryTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: int64(len(apiTask)),
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader([]byte(apiTask))),
	}, nil
}

const plainClientName = "http.Client + json.Unmarshal"

// getGroup fetches a task from base, as this SDK does and by hand, with transport or, where that
// is nil, each with a usual one of its own.
func getGroup(name, base string, transport http.RoundTripper) (group, error) {
	plain := &http.Client{Transport: transport} // where it is nil, Go's usual one
	opts := []ittybit.ClientOption{ittybit.WithBaseURL(base)}
	if transport != nil {
		opts = append(opts, ittybit.WithHTTPClient(&http.Client{Transport: transport}))
	}
	ours, err := ittybit.NewClient(secret, opts...)
	if err != nil {
		return group{}, err
	}
	return group{name: name, bytes: len(apiTask), contenders: []contender{
		{plainClientName, func() error { return getByHand(plain, base+"/tasks/"+apiTaskID) }},
		{ourName, func() error {
			t, err := ours.Tasks.Get(context.Background(), apiTaskID)
			if err != nil {
				return err
			}
			if t.ID != apiTaskID || t.Output == nil || t.Output.Width != 320 || t.Updated.IsZero() {
				return errUnexpected
			}
			return nil
		}},
	}}, nil
}

// getByHand does no more than it must: no retries, no limits, an error with no more than the
// status.
func getByHand(client *http.Client, url string) error {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	r.Header.Set("Accept-Version", ittybit.APIVersion)
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: status %d", errUnexpected, resp.StatusCode)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var t plainAPITask
	if err := json.Unmarshal(body, &t); err != nil {
		return err
	}
	if t.ID != apiTaskID || t.Output.Width != 320 || t.Updated.IsZero() {
		return errUnexpected
	}
	return nil
}

// getGroups fetch a task over loopback, and without a network. stop ends the server.
func getGroups() (groups []group, stop func(), err error) {
	s, err := serve(http.HandlerFunc(serveTask))
	if err != nil {
		return nil, nil, err
	}
	loopback, err := getGroup("loopback", "http://"+s.address, nil)
	if err != nil {
		s.stop()
		return nil, nil, err
	}
	memory, err := getGroup("without a network", "http://127.0.0.1", memoryTransport{})
	return []group{loopback, memory}, s.stop, err
}

func measureClient(r *report) error {
	groups, stop, err := getGroups()
	if err != nil {
		return err
	}
	defer stop()
	p := r.plan
	p.slice, p.budget = 4*p.slice, 4*p.budget // a turn has some hundred calls
	all, err := compareAll(p, groups, nil)
	if err != nil {
		return err
	}
	r.printf("### Tasks.Get\n\n")
	r.ratios(all)
	loopback := all[0]
	over := ratio(loopback.wall[ourName], loopback.wall[plainClientName])
	r.printf("On loopback, the server's part of the processor time is included. By the clock on the wall a call takes %v × as long as by hand (%s).\n\n",
		over, duration(spreadOf(loopback.wall[plainClientName]).median))
	r.target("Tasks.Get, loopback, on the wall", "≤ 1.10 × http.Client + json.Unmarshal", over.median <= 1.10, "%v", over)
	over = loopback.ratio(ourName, plainClientName)
	r.target("Tasks.Get, loopback, processor time", "≤ 1.10 × http.Client + json.Unmarshal", over.median <= 1.10, "%v", over)
	for _, c := range all {
		more := c.allocs[ourName].count - c.allocs[plainClientName].count
		r.target("Tasks.Get, "+c.group.name, "≤ 20 allocations more", more <= 20, "%.0f more", more)
	}
	return nil
}
