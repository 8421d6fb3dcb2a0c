package ittybittest_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

const nsfwTask = `{"kind":"nsfw","url":"https://example.com/a.png"}`

func TestAuthentication(t *testing.T) {
	a := open(t, ittybittest.WithAPIKey("ittybit_secret"))
	require.Equal(t, "ittybit_secret", a.srv.APIKey)
	for header, words := range map[string]string{
		"":                        "API key is required",
		"Bearer ":                 "not valid",
		"Bearer wrong":            "not valid",
		"Bearer ittybit_secret ":  "", // net/http trims header values
		"Bearer  ittybit_secret":  "not valid",
		"Basic ittybit_secret":    "not valid",
		"ittybit_secret":          "not valid",
		"Bearer ittybit_secret2":  "not valid",
		"bearer ittybit_secret":   "",
		"Bearer ittybit_secret":   "",
		"Bearer ittybit_secre":    "not valid",
		"Bearer ittybit_secret,x": "not valid",
	} {
		t.Run(fmt.Sprintf("%q", header), func(t *testing.T) {
			req := a.request("GET", "/tasks", "")
			req.Header.Set("Authorization", header)
			if header == "" {
				req.Header.Del("Authorization")
			}
			got := a.do(req)
			if words == "" {
				assert.Equal(t, http.StatusOK, got.status)
				return
			}
			got.refused(t, http.StatusUnauthorized, words)
			assert.Equal(t, "Bearer", got.header.Get("WWW-Authenticate"))
			assert.NotContains(t, got.raw, "secret")
		})
	}
}

func TestAuthentication_comesBeforeEverythingElse(t *testing.T) {
	a := open(t)
	for _, path := range []string{"/nothing", "/tasks/task_1", "/tasks"} {
		req := a.request("PUT", path, "not json")
		req.Header.Set("Authorization", "Bearer wrong")
		a.do(req).refused(t, http.StatusUnauthorized, "not valid")
	}
}

func TestRandomKeys_differ(t *testing.T) {
	one, other := open(t).srv.APIKey, open(t).srv.APIKey
	assert.NotEqual(t, one, other)
}

func TestAcceptVersion(t *testing.T) {
	a := open(t)
	for version, ok := range map[string]bool{
		"": true, "2025-08-20": true, "latest": true, "2025-12-01": false, "LATEST": false, "v1": false,
	} {
		req := a.request("GET", "/tasks", "")
		req.Header.Set("Accept-Version", version)
		if got := a.do(req); ok {
			assert.Equal(t, http.StatusOK, got.status, version)
		} else {
			got.refused(t, http.StatusBadRequest, "Accept-Version")
		}
	}
	req := a.request("GET", "/tasks", "")
	req.Header["Accept-Version"] = []string{"2025-08-20", "2024-01-01"}
	a.do(req).refused(t, http.StatusBadRequest, "2024-01-01")
}

func TestRoutes(t *testing.T) {
	a := open(t)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"DELETE", "/tasks", 405, "GET, HEAD, POST"},
		{"PUT", "/tasks", 405, "GET, HEAD, POST"},
		{"PATCH", "/tasks/task_1", 405, "GET, HEAD"},
		{"DELETE", "/tasks/task_1", 405, "GET, HEAD"},
		{"PUT", "/automations/auto_1", 405, "DELETE, GET, HEAD, PATCH"},
		{"PATCH", "/automations", 405, "GET, HEAD, POST"},
		{"POST", "/media/med_1", 405, "DELETE, GET, HEAD, PATCH"},
		{"GET", "/", 404, ""},
		{"GET", "/nothing", 404, ""},
		{"GET", "/tasks/", 404, ""},
		{"GET", "/tasks/task_1", 404, ""},
		{"GET", "/tasks/a/b", 404, ""},
		{"GET", "//tasks", 404, ""},
		{"GET", "/media/../tasks", 404, ""},
		{"GET", "/webhooks", 501, ""},
		{"GET", "/webhooks/", 501, ""},
		{"GET", "/tasks/a%2Fb", 404, ""},
		{"GET", "/automations/auto_1", 404, ""},
		{"DELETE", "/automations/auto_1", 404, ""},
		{"PATCH", "/automations/auto_1", 404, ""},
		{"GET", "/media/med_1", 404, ""},
		{"DELETE", "/media/med_1", 404, ""},
		{"PATCH", "/media/med_1", 404, ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			body := ""
			if c.method == "PATCH" {
				body = "{}"
			}
			got := a.send(c.method, c.path, body)
			got.refused(t, c.status, "")
			assert.Equal(t, c.allow, got.header.Get("Allow"))
			assert.NotEmpty(t, got.object(t)["message"])
		})
	}
}

func TestContentType(t *testing.T) {
	a := open(t)
	for _, contentType := range []string{
		"application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8", "application/json; charset=latin1",
		"application/x-www-form-urlencoded", // curl's own
		"text/plain;charset=UTF-8",          // that of fetch
		"text/plain", "not a type", "",
	} {
		req := a.request("POST", "/media", "{}")
		req.Header.Set("Content-Type", contentType)
		if contentType == "" {
			req.Header.Del("Content-Type")
		}
		assert.Equal(t, http.StatusCreated, a.do(req).status, contentType)
	}
}

func TestBadBodies(t *testing.T) {
	a := open(t)
	for body, words := range map[string]string{
		"{":                    "not valid JSON",
		`{"title"}`:            "not valid JSON",
		`{"title":}`:           "not valid JSON",
		`{"title":"a",}`:       "not valid JSON",
		`{"title":"a"} {}`:     "not valid JSON: invalid character '{' after top-level value",
		`{"title":"a"}x`:       "not valid JSON: invalid character 'x' after top-level value",
		`[]`:                   "must be a JSON object",
		`null`:                 "must be a JSON object",
		`"text"`:               "must be a JSON object",
		"\xef\xbb\xbf{}":       "not valid JSON",
		"{\"title\":\"\xff\"}": "UTF-8",
		`{"title":1}`:          "title must be a string",
		`{"metadata":[1]}`:     "metadata must be a JSON object",
		strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000): "not valid JSON",
	} {
		a.send("POST", "/media", body).refused(t, http.StatusBadRequest, words)
	}
	assert.Empty(t, a.list("/media"), "nothing was created")
	for _, empty := range []string{"", " \n"} { // all fields are optional
		assert.Equal(t, http.StatusCreated, a.send("POST", "/media", empty).status)
		a.send("POST", "/tasks", empty).refused(t, http.StatusBadRequest, "kind is required")
	}
}

func TestBodyLimit(t *testing.T) {
	a := open(t)
	fill := func(size int) string {
		return `{"title":"` + strings.Repeat("x", size-len(`{"title":""}`)) + `"}`
	}
	assert.Equal(t, http.StatusCreated, a.send("POST", "/media", fill(1<<20)).status)
	a.send("POST", "/media", fill(1<<20+1)).refused(t, http.StatusRequestEntityTooLarge, "1048576")

	chunked := a.request("POST", "/media", "{}")
	chunked.Body, chunked.ContentLength, chunked.GetBody = io.NopCloser(strings.NewReader(fill(1<<20+1))), -1, nil
	a.do(chunked).refused(t, http.StatusRequestEntityTooLarge, "1048576")
	assert.Len(t, a.list("/media"), 1)
}

func TestClose_dropsARequestWhoseBodyDoesNotCome(t *testing.T) {
	srv := ittybittest.NewServer()
	conn, err := net.Dial("tcp", strings.TrimPrefix(srv.URL, "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintf(conn, "POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")
	require.NoError(t, err)
	line := make([]byte, 25)
	_, err = io.ReadFull(conn, line) // the server is reading the body now
	require.NoError(t, err)
	require.Contains(t, string(line), "100 Continue")

	srv.Close()
	_, err = io.ReadAll(conn)
	assert.NotErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestClose_canBeRepeatedAndRefusesLaterRequests(t *testing.T) {
	for name, opts := range map[string][]ittybittest.Option{
		"sockets": nil, "memory": {ittybittest.WithoutSockets(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			srv := ittybittest.NewServer(opts...)
			a := newAPI(t, srv)
			a.create("/media", "{}")
			srv.Close()
			srv.Close()
			_, err := a.try(a.request("GET", "/media", ""))
			require.Error(t, err)
			require.Error(t, srv.Redeliver(ittybittest.Delivery{URL: "http://localhost/"}))
		})
	}
}

func TestLog_hasALineForEachRequestAndNoSecrets(t *testing.T) {
	in := &inbox{statuses: []int{500}}
	var out bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	bubble(t, in, func(t *testing.T, a api) {
		a.create("/tasks", `{"kind":"nsfw","url":"https://example.com/a.png","webhook_url":"`+hook+`?token=hidden"}`)
		req := a.request("GET", "/tasks", "")
		req.Header.Set("Authorization", "Bearer guessed")
		a.do(req)
		a.srv.FailRequests(1, ittybittest.RequestFault{Drop: ittybittest.DropBefore})
		_, err := a.try(a.request("POST", "/media", ""))
		require.Error(t, err)
		d := waitFor(t, a.srv, final)
		a.srv.Close()

		log := out.String()
		assert.Contains(t, log, `"method":"POST","path":"/tasks","status":201`)
		assert.Contains(t, log, `"method":"GET","path":"/tasks","status":401`)
		assert.Contains(t, log, `"path":"/media","status":0`)
		assert.Contains(t, log, `"attempt":1,"url":"`+hook+`","status":500`)
		assert.Contains(t, log, `"attempt":2,"url":"`+hook+`","status":200`)
		for _, secret := range []string{a.srv.APIKey, "guessed", d.Signature, "v1=", "hidden"} {
			assert.NotContains(t, log, secret)
		}
	}, ittybittest.WithLogger(logger), ittybittest.WithLogger(nil))
}

func TestServedTime_isISO8601(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		created := a.create("/media", "{}")["created"].(string)
		assert.Equal(t, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), created)
	})
}
