package compat

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
)

// field is a line of a request's head.
type field struct{ name, value string }

// request is a POST of a delivery, in whatever protocol it is sent.
type request struct {
	fields  []field // in their order
	body    string
	chunked bool
	// pieces is in how many parts the body is sent, with a pause between two. stops leaves out
	// the last one: the sender waits for a response that it may never get.
	pieces int
	stops  bool
	times  int // how often it is sent, one after the other, on one connection where there is one
}

// response is what the sender gets. The zero response: the connection was closed, or nothing
// came.
type response struct {
	status     int
	retryAfter string
	cut        bool // the body did not come to its end
}

// delivery is a line of the table: what is sent, and what plain net/http makes of it.
type delivery struct {
	name    string
	request request
	want    response
	handled int  // how often the EventHandler succeeded, at the end
	slow    bool // takes its time: servers get these beside the others
	// needsConnection: it is about how a body arrives. Functions get events, which are whole.
	needsConnection bool
}

func signature(key, body string) string {
	return ittybit.SignWebhook(key, time.Now(), []byte(body))
}

// task is the payload of a task that ended.
func task(id string) string {
	return fmt.Sprintf(`{"id":"task_%s","object":"task","kind":"nsfw","status":"completed","results":{"is_nsfw":true}}`, id)
}

// signed is a request for the task of that id.
func signed(id string) request {
	body := task(id)
	return request{fields: []field{{ittybit.SignatureHeader, signature(secret, body)}}, body: body, times: 1}
}

func (r request) with(change func(*request)) request { change(&r); return r }

// deliveries is the table. What is expected is what design and SECURITY.md promise, and what
// plain net/http does.
func deliveries() []delivery {
	large := task("large") + strings.Repeat(" ", maxBodyBytes)
	split := func(r *request) { // t=… and v1=… on a line each
		t, v1, _ := strings.Cut(r.fields[0].value, ",")
		r.fields = []field{{ittybit.SignatureHeader, t}, {ittybit.SignatureHeader, v1}}
	}
	return []delivery{
		{
			name: "trickled", slow: true, needsConnection: true, want: response{status: http.StatusRequestTimeout},
			request: signed("trickled").with(func(r *request) { r.pieces = 25 }), // 2.4 s
		},
		{
			name: "stalled", slow: true, needsConnection: true, want: response{status: http.StatusRequestTimeout},
			request: signed("stalled").with(func(r *request) { r.pieces, r.stops = 2, true }),
		},
		{
			name: "late", slow: true, request: signed("late"),
			want: response{status: http.StatusServiceUnavailable, retryAfter: "1"},
		},
		{
			name: "late success", slow: true, request: signed("late-success"), handled: 1,
			want: response{status: http.StatusOK},
		},
		{name: "good", request: signed("good"), want: response{status: http.StatusOK}, handled: 1},
		{
			name: "repeated", want: response{status: http.StatusOK}, handled: 1,
			request: signed("repeated").with(func(r *request) { r.times = 3 }),
		},
		{
			name: "chunked", want: response{status: http.StatusOK}, handled: 1, needsConnection: true,
			request: signed("chunked").with(func(r *request) { r.chunked = true }),
		},
		{
			name: "lower case", want: response{status: http.StatusOK}, handled: 1,
			request: signed("lower").with(func(r *request) { r.fields[0].name = strings.ToLower(r.fields[0].name) }),
		},
		{
			name: "header in two lines", want: response{status: http.StatusOK}, handled: 1,
			request: signed("lines").with(split),
		},
		{
			name: "forged", want: response{status: http.StatusUnauthorized},
			request: signed("forged").with(func(r *request) { r.fields[0].value = signature("another_key_0123456789", r.body) }),
		},
		{
			name: "unsigned", want: response{status: http.StatusUnauthorized},
			request: signed("unsigned").with(func(r *request) { r.fields = nil }),
		},
		{
			name: "oversize", want: response{status: http.StatusRequestEntityTooLarge},
			request: request{fields: []field{{ittybit.SignatureHeader, signature(secret, large)}}, body: large, times: 1},
		},
		{
			name: "oversize, chunked", want: response{status: http.StatusRequestEntityTooLarge}, needsConnection: true,
			request: request{fields: []field{{ittybit.SignatureHeader, signature(secret, large)}}, body: large, times: 1, chunked: true},
		},
		{name: "error", request: signed("error"), want: response{status: http.StatusInternalServerError}},
		{name: "RetryLater", request: signed("retry-later"), want: response{status: http.StatusServiceUnavailable, retryAfter: "7"}},
		{name: "panic", request: signed("panic"), want: response{status: http.StatusInternalServerError}},
		{name: "ErrAbortHandler", request: signed("abort"), want: response{status: http.StatusInternalServerError}},
		{name: "Goexit", request: signed("goexit"), want: response{status: http.StatusInternalServerError}},
		{name: "good at the end", request: signed("end"), want: response{status: http.StatusOK}, handled: 1},
	}
}
