package ittybittest_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// recorder is a test that keeps its output, and its cleanup for later.
type recorder struct {
	testing.TB
	out     bytes.Buffer
	cleanup func()
}

func (r *recorder) Helper()           {}
func (r *recorder) Output() io.Writer { return &r.out }
func (r *recorder) Cleanup(f func())  { r.cleanup = f }

func TestNewTestServer_logsToTheTestAndEndsWithIt(t *testing.T) {
	r := &recorder{TB: t}
	a := newAPI(t, ittybittest.NewTestServer(r))
	a.create("/media", "")
	r.cleanup()
	assert.Contains(t, r.out.String(), "path=/media status=201")
	_, err := a.try(a.request("GET", "/media", ""))
	require.Error(t, err)
}

func TestReset_isLikeANewServer(t *testing.T) {
	in := &inbox{statuses: []int{500}}
	bubble(t, in, func(t *testing.T, a api) {
		a.srv.SetResults("nsfw", map[string]any{"is_nsfw": true})
		a.srv.FailTasks("speech", "no")
		require.Equal(t, 201, a.put("/a.mp4", "film", "").status)
		a.create("/automations", automation(`[`+notify+`]`))
		a.create("/jobs", `{"input":"https://example.com/a.mov","kind":"image"}`)
		first := a.do(a.keyed("/tasks", "k", hookedTask)).object(t)["id"]
		a.create("/tasks", `{"kind":"video","url":"https://example.com/a.mp4","next":[{"kind":"nsfw","webhook_url":"`+hook+`"}]}`)
		synctest.Wait()
		time.Sleep(time.Hour + time.Minute) // one is at its retries, the other at work
		a.srv.SetFaults(ittybittest.Faults{Duplicates: 3})
		a.srv.FailRequests(9, ittybittest.RequestFault{})
		before := len(in.all())
		start := time.Now()
		a.srv.Reset()
		assert.Zero(t, time.Since(start))
		for _, path := range []string{"/tasks", "/files", "/media", "/automations", "/jobs"} {
			assert.Empty(t, a.list(path), path)
		}
		assert.Empty(t, a.srv.Deliveries())
		_, err := a.srv.OpenStored("a.mp4")
		require.Error(t, err)
		time.Sleep(100 * time.Hour)
		assert.Len(t, in.all(), before, "what was under way is gone")

		second := a.do(a.keyed("/tasks", "k", hookedTask))
		assert.Equal(t, http.StatusCreated, second.status, "so are idempotency keys")
		assert.NotEqual(t, first, second.object(t)["id"])
		d := await(t, a.srv, final)
		assert.Equal(t, false, decode(t, string(d.Body))["results"].(map[string]any)["is_nsfw"])
		assert.Len(t, a.srv.Deliveries(), 1)
		a.srv.Close()
		a.srv.Reset() // of a closed server does nothing
	}, ittybittest.WithTaskDuration(time.Hour), ittybittest.WithBackoff(ittybittest.Backoff{First: time.Hour}))
}

func TestReset_dropsRequestsInFlightAndLeavesNoFile(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	a := patient(t, open(t))
	reader, writer := io.Pipe()
	failed := make(chan error, 1)
	go func() {
		_, err := a.try(a.upload("/slow", reader, 100))
		failed <- err
	}()
	_, err := io.WriteString(writer, "some of it")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		dirs, _ := os.ReadDir(os.TempDir())
		return len(dirs) == 1 // the body is being received
	}, 20*time.Second, time.Millisecond)
	a.srv.FailRequests(1, ittybittest.RequestFault{Latency: time.Hour})
	delayed := make(chan error, 1)
	go func() {
		_, err := a.try(a.request("POST", "/media", ""))
		delayed <- err
	}()
	for a.srv.FaultsLeft() > 0 {
		time.Sleep(time.Millisecond)
	}
	a.srv.Reset()
	_ = writer.CloseWithError(io.ErrUnexpectedEOF)
	require.Error(t, <-failed)
	require.Error(t, <-delayed)
	assert.Empty(t, a.list("/media"))
	require.Equal(t, 201, a.put("/slow", "whole", "").status)
	assert.Len(t, temporary(t), 1)
}

func TestWithFixedIDs(t *testing.T) {
	var raw []string
	for range 2 {
		bubble(t, nil, func(t *testing.T, a api) {
			a.create("/media", "")
			for range 2 { // a reset starts again
				raw = append(raw, a.send("POST", "/tasks", nsfwTask).raw)
				a.srv.Reset()
			}
		}, ittybittest.WithFixedIDs())
	}
	assert.Equal(t, "task_0000000000000001", decode(t, raw[0])["id"])
	assert.Equal(t, raw[0], raw[1])
	assert.Equal(t, raw[:2], raw[2:])
}

func TestWithListeners(t *testing.T) {
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		return l
	}
	onAPI, onStorage := listen(), listen()
	a := open(t, ittybittest.WithListeners(onAPI, onStorage))
	assert.Equal(t, "http://"+onAPI.Addr().String(), a.srv.URL)
	assert.Equal(t, "http://"+onStorage.Addr().String(), a.srv.StorageURL)
	a.create("/media", "")
	require.Equal(t, 201, a.put("/a", "x", "").status)
	a.srv.Close()
	_, err := onAPI.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	open(t, ittybittest.WithListeners(nil, listen()))
}

func TestWithPublicURLs(t *testing.T) {
	onAPI, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := ittybittest.NewServer(ittybittest.WithListeners(onAPI, nil), ittybittest.WithFixedIDs(),
		ittybittest.WithPublicURLs("http://ittybit:8080/", "http://storage.ittybit:8081"))
	t.Cleanup(srv.Close)
	assert.Equal(t, []string{"http://ittybit:8080", "http://storage.ittybit:8081"}, []string{srv.URL, srv.StorageURL})
	client, err := srv.Client()
	require.NoError(t, err)
	signed, err := client.SignedURLs.Create(t.Context(), ittybit.SignedURLCreateParams{Filename: "a.mp4"})
	require.NoError(t, err)
	assert.Equal(t, "storage.ittybit:8081", signed.Domain)
	assert.True(t, strings.HasPrefix(signed.URL, "http://storage.ittybit:8081/a.mp4?"), signed.URL)
	task, err := done(t, client, ittybit.TaskCreateParams{Kind: "speech", URL: talk})
	require.NoError(t, err)
	assert.Equal(t, "http://storage.ittybit:8081/"+task.Output.ID, task.Output.URL)

	req, err := http.NewRequest(http.MethodGet, "http://"+onAPI.Addr().String()+"/tasks", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+srv.APIKey)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, "http://ittybit:8080/tasks?limit=20&page=1", links(t, resp.Header)["self"])
}

func TestWithWebhookHosts(t *testing.T) {
	for hosts, allowed := range map[string]bool{"": false, "app": true, "APP": true, "other": false, "app.example.com": false} {
		a := open(t, ittybittest.WithWebhookHosts(strings.Fields(hosts)...), ittybittest.WithBackoff(ittybittest.Backoff{Attempts: 1}))
		got := a.send("POST", "/tasks", `{"kind":"nsfw","file_id":"f","webhook_url":"http://app:8080/hook"}`)
		if !allowed {
			got.refused(t, 400, "WithWebhookHosts")
			continue
		}
		require.Equal(t, 201, got.status, got.raw)
		d := waitFor(t, a.srv, final)
		require.Error(t, d.Err, "nobody has that name here")
		assert.NotErrorIs(t, d.Err, ittybittest.ErrNotLoopback, "but it was looked up, or dialled")
	}
	// An address that is no loopback one is dialled: the machine's own, if it has one.
	for _, ip := range ownAddresses(t) {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		if err != nil {
			continue
		}
		in := &inbox{}
		remote := httptest.NewUnstartedServer(in)
		remote.Listener = l
		remote.Start()
		t.Cleanup(remote.Close)
		a := open(t, ittybittest.WithWebhookHosts(ip))
		a.create("/tasks", `{"kind":"nsfw","file_id":"f","webhook_url":"`+remote.URL+`"}`)
		assert.True(t, waitFor(t, a.srv, final).Delivered())
		return
	}
}

func TestClient_mayNameTheWebhookHosts(t *testing.T) {
	srv := ittybittest.NewTestServer(t, ittybittest.WithWebhookHosts("app"), ittybittest.WithBackoff(ittybittest.Backoff{Attempts: 1}))
	client, err := srv.Client()
	require.NoError(t, err)
	_, err = client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "nsfw", URL: talk, WebhookURL: "http://app:8080/hook"})
	require.NoError(t, err)
}

func TestWithEndpoint_getsEveryEnd(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		a.srv.FailTasks("speech", "no")
		a.create("/media", "")
		a.create("/tasks", `{"kind":"speech","file_id":"f","webhook_url":"`+hook+`"}`)
		a.create("/tasks", `{"kind":"ingest","url":"https://example.com/a.mp4","webhook_url":"`+hook+`?all"}`)
		time.Sleep(time.Hour)
		seen := map[string]int{}
		for _, got := range in.all() {
			event, err := ittybit.ParseEvent([]byte(got.body))
			require.NoError(t, err)
			seen[string(event.Type)+" "+got.query]++
		}
		assert.Equal(t, map[string]int{"media.created all": 2, "task.failed ": 1, "task.failed all": 1, "task.completed all": 1}, seen)
	}, ittybittest.WithEndpoint(hook+"?all"))
}

func ownAddresses(t *testing.T) (ips []string) {
	addrs, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, addr := range addrs {
		if ip, ok := addr.(*net.IPNet); ok && !ip.IP.IsLoopback() && ip.IP.To4() != nil {
			ips = append(ips, ip.IP.String())
		}
	}
	return ips
}

func TestWaitForTask(t *testing.T) {
	in := &inbox{statuses: []int{500, 200, 500}}
	bubble(t, in, func(t *testing.T, a api) {
		a.create("/tasks", hookedTask)
		id := a.create("/tasks", hookedTask)["id"].(string)
		d, err := a.srv.WaitForTask(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, id, d.TaskID())
		event, err := d.Event()
		require.NoError(t, err)
		assert.Equal(t, ittybit.EventTaskCompleted, event.Type)
		assert.True(t, d.Final)
		assert.Equal(t, id, event.Task.ID)

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = a.srv.WaitForTask(ctx, "task_none")
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}, ittybittest.WithProgressWebhooks())
}

func TestFaults_theZeroFaultFails(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		a.srv.FailDeliveries(2, ittybittest.DeliveryFault{})
		a.create("/tasks", hookedTask)
		assert.Equal(t, 3, await(t, a.srv, final).Attempt)
		a.srv.FailDeliveries(1, ittybittest.DeliveryFault{Delay: time.Hour})
		start := time.Now()
		require.NoError(t, a.srv.Redeliver(a.srv.Deliveries()[0]))
		await(t, a.srv, func(d ittybittest.Delivery) bool {
			return d.ID != a.srv.Deliveries()[0].ID && d.Attempt == 1 && d.Final
		})
		assert.Equal(t, time.Hour, time.Since(start))

		a.srv.FailRequests(1, ittybittest.RequestFault{})
		a.send("GET", "/tasks", "").refused(t, http.StatusServiceUnavailable, "Service Unavailable")
		a.srv.FailRequests(1, ittybittest.RequestFault{Latency: time.Minute})
		a.list("/tasks")
	})
}

func TestFaults_failAtLeastOne(t *testing.T) {
	a := open(t)
	for _, n := range []int{0, -1} {
		assert.Panics(t, func() { a.srv.FailRequests(n, ittybittest.RequestFault{}) }, n)
		assert.Panics(t, func() { a.srv.FailDeliveries(n, ittybittest.DeliveryFault{}) }, n)
	}
	a.list("/tasks")
}

// A page whose name leads to this machine by DNS rebinding can't use the API.
func TestAPI_isNotForOtherNames(t *testing.T) {
	a := open(t, ittybittest.WithWebhookHosts("app.example.com"), ittybittest.WithPublicURLs("https://ittybit.example.net", "https://files.example.net"))
	for host, allowed := range map[string]bool{
		"example.com": false, "127.0.0.1.example.com:80": false, "Rebind.Example.ORG.": false, "files.example.net": false, "localhost.": true,
		"localhost:8080": true, "127.0.0.1": true, "[::1]:8080": true, "192.0.2.7:8080": true, "[2001:db8::7]": true, "ittybit:8080": true,
		"host.docker.internal": true, "mac.local:1": true, "a.localhost": true, "app.example.com:1": true, "Ittybit.example.net": true,
	} {
		r := httptest.NewRequest(http.MethodGet, "/tasks", nil)
		r.Host = host
		r.Header.Set("Authorization", "Bearer "+a.srv.APIKey)
		w := httptest.NewRecorder()
		ittybittest.ServeAPI(a.srv, w, r)
		if assert.Equal(t, allowed, w.Code == http.StatusOK, "%s: %s", host, w.Body); !allowed {
			assert.Equal(t, http.StatusForbidden, w.Code)
			assert.Contains(t, w.Body.String(), "WithPublicURLs")
		}
	}
}

func TestDelivery_hasTheResponse(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Request-Id", "7")
		_, _ = io.WriteString(w, long)
	})
	bubble(t, h, func(t *testing.T, a api) {
		a.create("/tasks", hookedTask)
		d := await(t, a.srv, final)
		assert.Equal(t, "7", d.ResponseHeader.Get("X-Request-Id"))
		assert.Equal(t, long[:64<<10], string(d.ResponseBody))
		assert.Equal(t, int64(1), d.Number)
	})
}

func TestSignBody(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		a.create("/tasks", hookedTask)
		await(t, a.srv, final)
		got := in.all()[0]
		signature := got.header.Get("Ittybit-Signature")
		assert.Regexp(t, "^[0-9a-f]{64}$", signature)
		verifier, err := ittybit.NewWebhookVerifier(a.srv.APIKey, ittybit.WithUntimestampedSignatures())
		require.NoError(t, err)
		require.NoError(t, verifier.Verify([]byte(got.body), signature))
	}, ittybittest.WithSigning(ittybittest.SignBody))
}

// countingStore is a store of the caller's.
type countingStore struct {
	mu      sync.Mutex
	records []ittybittest.Delivery
	cleared int
}

func (c *countingStore) Add(d ittybittest.Delivery) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records = append(c.records, d)
	return nil
}

func (c *countingStore) List(q ittybittest.DeliveryQuery) (found []ittybittest.Delivery, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.records {
		d := c.records[len(c.records)-1-i]
		if q.OldestFirst {
			d = c.records[i]
		}
		if q.Matches(d) && (q.Limit == 0 || len(found) < q.Limit) {
			found = append(found, d)
		}
	}
	return found, nil
}

func (c *countingStore) Clear() error { c.cleared++; return nil }

func TestWithDeliveryStore(t *testing.T) {
	store := &countingStore{records: []ittybittest.Delivery{{Number: 41, ID: "dlv_old"}}}
	bubble(t, &inbox{}, func(t *testing.T, a api) {
		id := a.create("/tasks", hookedTask)["id"].(string)
		d, err := a.srv.WaitForTask(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, int64(42), d.Number, "numbers go on where they were")
		assert.Len(t, store.records, 2)
		a.srv.Reset()
		assert.Equal(t, 1, store.cleared)
	}, ittybittest.WithDeliveryStore(store))
}

func TestDeliveries_areBoundedInBytes(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		body := make([]byte, 10<<20)
		for range 8 {
			require.NoError(t, a.srv.Redeliver(ittybittest.Delivery{URL: hook, Body: body}))
			synctest.Wait()
		}
		assert.Len(t, a.srv.Deliveries(), 6, "64 MiB")
	}, ittybittest.WithBackoff(ittybittest.Backoff{Attempts: 1}))
}

func TestStorage_letsPagesOfAnySiteIn(t *testing.T) {
	soon := time.Now().Add(time.Hour).Unix()
	bothWays(t, func(t *testing.T, a api) {
		path := signed(a.srv.APIKey, "a.mp4", "put", soon)
		a.srv.FailRequests(1, ittybittest.RequestFault{}) // a preflight uses no fault up
		req := a.upload(path, nil, 0)
		req.Method = http.MethodOptions
		req.Header = http.Header{
			"Origin": {"https://app.example.com"}, "Access-Control-Request-Method": {"PUT"},
			"Access-Control-Request-Headers": {"content-range,content-type"},
		}
		got := a.do(req)
		assert.Equal(t, http.StatusNoContent, got.status)
		assert.Equal(t, "*", got.header.Get("Access-Control-Allow-Origin"))
		assert.Contains(t, got.header.Get("Access-Control-Allow-Methods"), "PUT")
		for _, name := range []string{"Content-Range", "Content-Type", "Authorization"} {
			assert.Contains(t, got.header.Get("Access-Control-Allow-Headers"), name)
		}
		for i, status := range []int{503, 202, 201} {
			contentRange := []string{"bytes=0-1/4", "bytes=0-1/4", "bytes=2-3/4"}[i]
			req := a.upload(path, strings.NewReader("ab"), 2)
			req.Header = http.Header{"Origin": {"https://app.example.com"}, "Content-Range": {contentRange}}
			got := a.do(req)
			assert.Equal(t, status, got.status, got.raw)
			assert.Equal(t, "*", got.header.Get("Access-Control-Allow-Origin"), "also of a refusal")
			for _, name := range []string{"Content-Range", "Retry-After"} {
				assert.Contains(t, got.header.Get("Access-Control-Expose-Headers"), name)
			}
		}
		assert.Equal(t, "*", a.store("GET", "/a.mp4", "", "", "").header.Get("Access-Control-Allow-Origin"))
		a.store("OPTIONS", "/a.mp4", "", "", "").refused(t, 405, "PUT")
		assert.Empty(t, a.send("GET", "/media", "").header.Get("Access-Control-Allow-Origin"), "the API is not for pages")
	})
}
