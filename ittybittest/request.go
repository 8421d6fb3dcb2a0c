package ittybittest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/jsonx"
)

// NewWebhookRequest makes a request as a server receives it from Ittybit,
// signed with the secret at the current time, for tests that call a handler:
//
//	handler.ServeHTTP(httptest.NewRecorder(), ittybittest.NewWebhookRequest(secret, task))
//
// Its path is /ittybit-webhook. A []byte, a string and a json.RawMessage are the
// body as they are; anything else is marshalled as JSON. Like
// httptest.NewRequest it panics on an error: the payload can't be marshalled.
func NewWebhookRequest(secret string, payload any) *http.Request {
	return NewWebhookRequestTo("/ittybit-webhook", secret, payload)
}

// NewWebhookRequestTo is [NewWebhookRequest] for another target: a path, or an absolute URL, as
// in httptest.NewRequest.
func NewWebhookRequestTo(target, secret string, payload any) *http.Request {
	var body []byte
	switch p := payload.(type) {
	case []byte:
		body = p
	case string:
		body = []byte(p)
	case json.RawMessage:
		body = p
	default:
		encoded, err := jsonx.Marshal(payload)
		if err != nil {
			panic("ittybittest: NewWebhookRequest: " + err.Error())
		}
		body = encoded
	}
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, target, bytes.NewReader(body))
	setWebhookHeader(r.Header, ittybit.SignWebhook(secret, time.Now(), body))
	return r
}
