package ittybittest_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// controlled is a server that can be driven over HTTP, and a receiver for it.
func controlled(t *testing.T, opts ...ittybittest.Option) (api, *inbox, string) {
	in := &inbox{}
	return open(t, append(opts, ittybittest.WithControl(""))...), in, receiver(t, in).URL + "/hook"
}

// drive is a request as curl sends it, without a key.
func (a api) drive(method, path, body string, headers ...string) answer {
	a.t.Helper()
	req, err := http.NewRequest(method, a.srv.URL+"/_local/"+path, strings.NewReader(body))
	require.NoError(a.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	return a.do(req)
}

func (got answer) is(t *testing.T, status int) map[string]any {
	t.Helper()
	require.Equal(t, status, got.status, got.raw)
	if got.raw == "" {
		return nil
	}
	return decode(t, got.raw)
}

func TestControl_isOffUnlessAskedFor(t *testing.T) {
	a := open(t)
	assert.Equal(t, http.StatusUnauthorized, a.drive("POST", "reset", "").status)
	a.send("POST", "/_local/reset", "").refused(t, http.StatusNotFound, "Not found")
}

func TestControl_sendsAnEventAndShowsTheDelivery(t *testing.T) {
	a, in, url := controlled(t)
	in.statuses = []int{503}
	sent := a.drive("POST", "events", `{"url":"`+url+`","event":"task.completed","kind":"speech","wait":true}`).is(t, 200)
	assert.Equal(t, []any{1.0, 503.0, "waiting", "task.completed"}, []any{sent["attempt"], sent["status"], sent["state"], sent["event"]})
	id := sent["id"].(string)
	waitFor(t, a.srv, func(d ittybittest.Delivery) bool { return d.ID == id && d.Final })

	shown := a.drive("GET", "deliveries/"+id, "").is(t, 200)
	assert.Equal(t, "delivered", shown["state"])
	assert.Equal(t, "valid", shown["signature"])
	request := shown["request"].(map[string]any)
	assert.Equal(t, url, request["url"])
	assert.Equal(t, decode(t, in.all()[1].body), request["body"])
	assert.Equal(t, in.all()[1].header.Get("Ittybit-Signature"), request["headers"].(map[string]any)["Ittybit-Signature"])
	attempts := shown["attempts"].([]any)
	require.Len(t, attempts, 2)
	first := attempts[0].(map[string]any)
	assert.Equal(t, 503.0, first["status"])
	assert.Contains(t, first["response"].(map[string]any)["headers"], "Date")

	raw := a.drive("GET", "deliveries/"+id+"/body", "")
	assert.Equal(t, in.all()[0].body, raw.raw)
	assert.Equal(t, []string{"application/octet-stream", "nosniff"}, []string{raw.header.Get("Content-Type"), raw.header.Get("X-Content-Type-Options")})
	assert.Equal(t, in.all()[0].header.Get("User-Agent"), request["headers"].(map[string]any)["User-Agent"])
	assert.Equal(t, in.all()[0].header.Get("Ittybit-Signature"), first["signature"])
	next, err := time.Parse(time.RFC3339, first["next_attempt"].(string))
	require.NoError(t, err)
	assert.True(t, next.After(time.Now().Add(-time.Minute)), next)
	assert.NotContains(t, attempts[1], "next_attempt")

	asSent := a.drive("POST", "deliveries/"+id+"/resend", `{"as_sent":true}`).is(t, 202)["id"]
	waitFor(t, a.srv, func(d ittybittest.Delivery) bool { return d.ID == asSent })
	assert.Equal(t, in.all()[1].header.Get("Ittybit-Signature"), in.all()[2].header.Get("Ittybit-Signature"))
	assert.Contains(t, shown["explanation"], "Matches: ")
	waited := a.drive("POST", "deliveries/"+id+"/resend", `{"wait":true}`).is(t, 200)
	assert.Equal(t, []any{"delivered", 200.0}, []any{waited["state"], waited["status"]})
	again := a.drive("POST", "deliveries/"+id+"/resend", "").is(t, 202)["id"]
	assert.NotEqual(t, id, again)
	d := waitFor(t, a.srv, func(d ittybittest.Delivery) bool { return d.ID == again })
	assert.JSONEq(t, in.all()[0].body, string(d.Body))
	assert.Equal(t, sent["task_id"], d.TaskID())

	own := a.drive("POST", "events", `{"url":"`+url+`","body":{"any":"thing"},"wait":true}`).is(t, 200)
	assert.Equal(t, "delivered", own["state"])
	assert.JSONEq(t, `{"any":"thing"}`, in.all()[5].body)
}

func TestControl_hasAFixtureForEachEvent(t *testing.T) {
	a, _, url := controlled(t)
	for _, event := range []string{
		"task.completed", "task.failed", "task.cancelled", "task.updated", "media.created", "job.succeeded", "job.failed",
	} {
		sent := a.drive("POST", "events", `{"url":"`+url+`","event":"`+event+`","kind":"video","wait":true}`).is(t, 200)
		assert.Equal(t, event, sent["event"])
		assert.Equal(t, "delivered", sent["state"])
	}
}

func TestControl_refusesWhatItDoesNotUnderstand(t *testing.T) {
	a, _, url := controlled(t)
	for body, words := range map[string]string{
		`{"event":"task.completed"}`:                                   "url is required",
		`{"url":"` + url + `"}`:                                        "Exactly one of event",
		`{"url":"` + url + `","event":"task.completed","body":{}}`:     "Exactly one of event",
		`{"url":"` + url + `","event":"task.complete"}`:                "task.completed",
		`{"url":"http://example.com/hook","event":"task.completed"}`:   "https",
		`{"url":"` + url + `","event":"task.completed","knid":"nsfw"}`: "knid",
		`{"url":`: "not valid",
		`{} {}`:   "not valid",
		`{}]`:     "not valid",
	} {
		a.drive("POST", "events", body).refused(t, 400, words)
	}
	a.drive("PUT", "faults", `{"requests":[{"drop":"sometimes"}]}`).refused(t, 400, "drop must be")
	a.drive("PUT", "faults", `{"deliveries":[{"hang_up":"sometimes"}]}`).refused(t, 400, "hang_up must be")
	for body, words := range map[string]string{
		`{"requests":[{"count":0}]}`:      "count must be",
		`{"requests":[{"count":-3}]}`:     "count must be",
		`{"deliveries":[{},{"count":0}]}`: "count must be",
		`{"requests":[{"status":99}]}`:    "status must be",
		`{"requests":[{"status":199}]}`:   "status must be",
		`{"requests":[{"status":1000}]}`:  "status must be",
		`{"requests":[{"status":-1}]}`:    "status must be",
		`{"duplicates":-1}`:               "duplicates must be",
		`{"duplicates":1000000000}`:       "duplicates must be",
	} {
		a.drive("PUT", "faults", body).refused(t, 400, words)
	}
	assert.Empty(t, a.drive("GET", "faults", "").is(t, 200), "what is refused changes nothing")
	a.drive("PUT", "faults", `{"requests":[{"count":99999,"status":999}],"deliveries":[{}]}`).is(t, 204)
	a.drive("DELETE", "faults", "").is(t, 204)
	a.drive("GET", "deliveries?state=done", "").refused(t, 400, "state must be")
	a.drive("GET", "deliveries?limit=0", "").refused(t, 400, "limit must be")
	for _, status := range []string{"5x", "axx", "12", "1000", "all"} {
		a.drive("GET", "deliveries?status="+status, "").refused(t, 400, "status must be")
	}
	a.drive("GET", "deliveries/dlv_none/body", "").refused(t, 404, "dlv_none")
	a.drive("GET", "deliveries/dlv_none", "").refused(t, 404, "dlv_none")
	a.drive("POST", "deliveries/dlv_none/resend", "").refused(t, 404, "dlv_none")
	a.drive("POST", "deliveries/dlv_none/cancel", "").refused(t, 409, "not under way")
	a.drive("POST", "tasks/task_none/finish", "").refused(t, 404, "task_none")
	a.drive("POST", "tasks/task_none/stop", "").refused(t, 404, "finish, fail, progress or results")
	assert.Empty(t, a.srv.Deliveries())
}

func TestControl_listsDeliveriesInPages(t *testing.T) {
	a, in, url := controlled(t, ittybittest.WithBackoff(ittybittest.Backoff{First: time.Millisecond, Attempts: 2}))
	in.statuses = []int{500, 500}
	failed := a.drive("POST", "events", `{"url":"`+url+`?failed","event":"task.failed","wait":true}`).is(t, 200)
	waitFor(t, a.srv, final)
	var ids []string
	for range 5 {
		sent := a.drive("POST", "events", `{"url":"`+url+`","event":"task.completed","wait":true}`).is(t, 200)
		ids = append([]string{sent["id"].(string)}, ids...)
	}
	list := func(query string) (found []string, next string) {
		page := a.drive("GET", "deliveries"+query, "").is(t, 200)
		for _, d := range page["deliveries"].([]any) {
			found = append(found, d.(map[string]any)["id"].(string))
		}
		next, _ = page["next"].(string)
		return found, next
	}
	all, next := list("")
	assert.Equal(t, append(append([]string{}, ids...), failed["id"].(string)), all, "the newest first, one line for each")
	assert.Empty(t, next)
	paged := []string{}
	for query := "?limit=2&state=delivered"; query != ""; query = strings.TrimPrefix(next, "/_local/deliveries") {
		var page []string
		page, next = list(query)
		paged = append(paged, page...)
	}
	assert.Equal(t, ids, paged)
	only, _ := list("?state=failed")
	assert.Equal(t, []string{failed["id"].(string)}, only)
	only, _ = list("?task=" + failed["task_id"].(string))
	assert.Equal(t, []string{failed["id"].(string)}, only)
	only, _ = list("?url=" + url)
	assert.Equal(t, ids, only)
	only, _ = list("?state=waiting")
	assert.Empty(t, only)
	for query, want := range map[string][]string{
		"?event=task.failed": {failed["id"].(string)}, "?event=task.completed": ids, "?event=media.created": nil,
		"?kind=nsfw": all, "?kind=video": nil, "?status=5xx": {failed["id"].(string)}, "?status=200": ids, "?status=none": nil, "?status=404": nil,
		"?kind=nsfw&event=task.failed&status=500": {failed["id"].(string)}, "?event=task.failed&status=200": nil,
	} {
		found, _ := list(query)
		assert.Equal(t, want, found, query)
	}
}

func TestControl_cancelsADelivery(t *testing.T) {
	a, in, url := controlled(t, ittybittest.WithBackoff(ittybittest.Backoff{First: time.Hour}))
	in.statuses = []int{500, 500}
	id := a.drive("POST", "events", `{"url":"`+url+`","event":"task.completed","wait":true}`).is(t, 200)["id"].(string)
	a.drive("POST", "deliveries/"+id+"/cancel", "").is(t, 204)
	d := waitFor(t, a.srv, final)
	assert.Equal(t, id, d.ID)
	assert.ErrorContains(t, d.Err, "cancelled")
	assert.Equal(t, ittybittest.DeliveryFailed, d.State())
	a.drive("POST", "deliveries/"+id+"/cancel", "").refused(t, 409, "not under way")
	assert.Len(t, in.all(), 1)
}

func TestControl_drivesTasks(t *testing.T) {
	a, in, url := controlled(t, ittybittest.WithTaskDuration(time.Hour))
	create := func(kind string) string {
		return a.create("/tasks", `{"kind":"`+kind+`","url":"https://example.com/a.mp4","webhook_url":"`+url+`"}`)["id"].(string)
	}
	ended := func(id string) map[string]any {
		d, err := a.srv.WaitForTask(t.Context(), id)
		require.NoError(t, err)
		return decode(t, string(d.Body))
	}
	id := create("nsfw")
	a.drive("POST", "tasks/"+id+"/progress", `{"progress":37}`).is(t, 204)
	task := a.get("/tasks/" + id)
	assert.Equal(t, []any{"processing", 37.0}, []any{task["status"], task["progress"]})
	a.drive("POST", "tasks/"+id+"/progress", `{"progress":101}`).refused(t, 400, "0 to 100")
	a.drive("POST", "tasks/"+id+"/results", `{"results":{"is_nsfw":true}}`).is(t, 204)
	assert.Equal(t, "processing", a.get("/tasks/" + id)["status"])
	a.drive("POST", "tasks/"+id+"/finish", `{"results":{"is_nsfw":true,"confidence":0.5}}`).is(t, 204)
	assert.Equal(t, map[string]any{"is_nsfw": true, "confidence": 0.5}, ended(id)["results"])
	a.drive("POST", "tasks/"+id+"/finish", "").refused(t, 409, "completed")

	id = create("speech")
	a.drive("POST", "tasks/"+id+"/fail", `{"message":"too loud"}`).is(t, 204)
	assert.Equal(t, []any{"failed", "too loud"}, []any{ended(id)["status"], a.get("/tasks/" + id)["error"]})
	a.srv.FailTasks("video", "no")
	id = create("video")
	a.drive("POST", "tasks/"+id+"/finish", "").is(t, 204)
	assert.Equal(t, "completed", ended(id)["status"], "by hand goes before by kind")
	assert.Len(t, in.all(), 3)
}

func TestControl_setsFaultsAndResets(t *testing.T) {
	a, in, url := controlled(t)
	a.drive("PUT", "faults", `{"requests":[{"count":2,"status":429,"header":{"retry-after":"1"}},{"drop":"before"}],
		"deliveries":[{"count":1,"hang_up":"before_answer"}],"duplicates":1}`).is(t, 204)
	assert.Equal(t, decode(t, `{"requests":[{"count":2,"status":429,"header":{"Retry-After":"1"}},{"count":1,"drop":"before"}],
		"deliveries":[{"count":1,"hang_up":"before_answer"}],"duplicates":1}`), a.drive("GET", "faults", "").is(t, 200))
	for range 2 {
		got := a.send("POST", "/media", "")
		assert.Equal(t, []any{429, "1"}, []any{got.status, got.header.Get("Retry-After")})
	}
	_, err := a.try(a.request("POST", "/media", ""))
	require.Error(t, err)
	id := a.drive("POST", "events", `{"url":"`+url+`","event":"task.completed"}`).is(t, 202)["id"]
	copies := map[int]bool{}
	waitFor(t, a.srv, func(d ittybittest.Delivery) bool {
		copies[d.Copy] = copies[d.Copy] || d.ID == id && d.Final
		return copies[0] && copies[1]
	})
	hungUp := 0
	for _, d := range a.srv.Deliveries() {
		if d.Err != nil {
			hungUp++
		}
	}
	assert.Equal(t, 1, hungUp)

	a.drive("PUT", "faults", `{"requests":[{}]}`).is(t, 204)
	a.drive("DELETE", "faults", "").is(t, 204)
	a.create("/media", "")
	before := len(in.all())
	a.drive("PUT", "faults", `{"requests":[{"count":9}]}`).is(t, 204)
	a.drive("POST", "reset", "").is(t, 204)
	assert.Empty(t, a.list("/media"))
	assert.Empty(t, a.srv.Deliveries())
	assert.Len(t, in.all(), before)
}

func TestControl_isNotForPagesNorOtherNames(t *testing.T) {
	a, _, _ := controlled(t)
	own := strings.TrimPrefix(a.srv.URL, "http://")
	for _, c := range []struct {
		headers []string
		status  int
	}{
		{nil, 200},
		{[]string{"Origin", a.srv.URL}, 200},
		{[]string{"Sec-Fetch-Site", "same-origin"}, 200},
		{[]string{"Host", "localhost:1"}, 200},
		{[]string{"Host", "ittybit.localtest.me"}, 403},
		{[]string{"Host", "127.0.0.1.example.com"}, 403},
		{[]string{"Host", "169.254.169.254"}, 403},
		{[]string{"Origin", "https://example.com"}, 403},
		{[]string{"Origin", "null"}, 403},
		{[]string{"Origin", "http://localhost:3000"}, 403},
		{[]string{"Sec-Fetch-Site", "cross-site"}, 403},
		{[]string{"Sec-Fetch-Site", "same-site"}, 403},
		{[]string{"Host", "example.com", "Origin", "http://example.com"}, 403},
		{[]string{"Host", own, "Origin", "http://" + own}, 200},
	} {
		for _, path := range []string{"deliveries", ""} {
			assert.Equal(t, c.status, a.drive("GET", path, "", c.headers...).status, c.headers)
		}
	}
}

func TestControl_isForTheDevelopersOwnHosts(t *testing.T) {
	srv := ittybittest.NewServer(ittybittest.WithControl(""), ittybittest.WithWebhookHosts("app"), ittybittest.WithPublicURLs("http://ittybit:4848", "http://ittybit:4849"))
	t.Cleanup(srv.Close)
	for host, status := range map[string]int{"ittybit:4848": 200, "Ittybit": 200, "app:1": 200, "other": 403, "app.example.com": 403} {
		r := httptest.NewRequest(http.MethodGet, "http://"+host+"/_local/", nil)
		r.RemoteAddr = "127.0.0.1:4242"
		w := httptest.NewRecorder()
		ittybittest.ServeAPI(srv, w, r)
		assert.Equal(t, status, w.Code, host)
	}
}

// A tunnel on this machine connects from a loopback address, for anybody.
func TestControl_wantsAPasswordThroughAProxy(t *testing.T) {
	a, _, _ := controlled(t)
	for _, name := range []string{"X-Forwarded-For", "Forwarded"} {
		assert.Equal(t, 401, a.drive("GET", "", "", name, "192.0.2.7").status)
	}
	srv := open(t, ittybittest.WithControl("secret"))
	assert.Equal(t, 200, srv.drive("GET", "", "", "X-Forwarded-For", "192.0.2.7", "Authorization", "Bearer secret").status)
}

func TestControl_wantsAPasswordFromElsewhere(t *testing.T) {
	for password, allowed := range map[string]map[string]int{
		"":       {"": 401, "Bearer ": 401, "Basic Og==": 401},
		"secret": {"": 401, "Bearer secret": 200, "Basic eDpzZWNyZXQ=": 200, "Bearer wrong": 401, "Basic eDp3cm9uZw==": 401},
	} {
		srv := ittybittest.NewServer(ittybittest.WithControl(password))
		t.Cleanup(srv.Close)
		for header, status := range allowed {
			r := httptest.NewRequest(http.MethodGet, srv.URL+"/_local/", nil)
			r.RemoteAddr = "192.0.2.7:4242"
			if header != "" {
				r.Header.Set("Authorization", header)
			}
			w := httptest.NewRecorder()
			ittybittest.ServeAPI(srv, w, r)
			assert.Equal(t, status, w.Code, "%q with %q: %s", password, header, w.Body)
			assert.NotContains(t, w.Body.String(), srv.APIKey)
		}
	}
}

// A server on an address of the local network is called from the same address by its own machine.
func TestControl_isForThisMachineAtItsOwnAddress(t *testing.T) {
	const own = "192.0.2.7"
	srv := ittybittest.NewServer(ittybittest.WithControl(""), ittybittest.WithPublicURLs("http://"+own+":4848", "http://"+own+":4849"))
	t.Cleanup(srv.Close)
	for _, c := range []struct {
		at, from, header string
		status           int
	}{
		{own, own, "", 200},
		{"::ffff:" + own, own, "", 200}, // of a socket for IPv4 and IPv6
		{"2001:db8::7", "2001:db8::7", "", 200},
		{own, "192.0.2.8", "", 401},
		{"2001:db8::7", "2001:db8::8", "", 401},
		{own, own, "X-Forwarded-For", 401},
		{own, own, "Forwarded", 401},
	} {
		r := httptest.NewRequest(http.MethodGet, srv.URL+"/_local/", nil)
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.ParseIP(c.at), Port: 4848}))
		r.RemoteAddr = net.JoinHostPort(c.from, "4242")
		if c.header != "" {
			r.Header.Set(c.header, "192.0.2.9")
		}
		w := httptest.NewRecorder()
		ittybittest.ServeAPI(srv, w, r)
		assert.Equal(t, c.status, w.Code, c)
	}
}

func TestControl_withoutSockets(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		assert.Equal(t, a.srv.URL, a.drive("GET", "", "").is(t, 200)["url"])
		sent := a.drive("POST", "events", `{"url":"`+hook+`","event":"task.completed","wait":true}`).is(t, 200)
		assert.Equal(t, "delivered", sent["state"])
		assert.Len(t, in.all(), 1)
	}, ittybittest.WithControl(""))
}

func TestRecord_listsAnAttemptMadeElsewhere(t *testing.T) {
	a, _, url := controlled(t, ittybittest.WithAPIKey("key"))
	body := ittybittest.TaskCompleted("nsfw", nil)
	now := time.Now()
	d := ittybittest.Delivery{ID: "dlv_own", Attempt: 1, URL: url, Body: body, Signature: ittybit.SignWebhook("key", now, body), Time: now, StatusCode: 500}
	a.srv.Record(d)
	d.Attempt, d.StatusCode, d.Final = 2, 200, true
	a.srv.Record(d)
	shown := a.drive("GET", "deliveries/dlv_own", "").is(t, 200)
	assert.Equal(t, []any{"delivered", "valid"}, []any{shown["state"], shown["signature"]})
	assert.Len(t, shown["attempts"], 2)
	_, kinds, _ := a.listen("0", 2)
	assert.Equal(t, []string{"delivery", "delivery"}, kinds)
	assert.Equal(t, []int64{1, 2}, []int64{a.srv.Deliveries()[0].Number, a.srv.Deliveries()[1].Number})
}
