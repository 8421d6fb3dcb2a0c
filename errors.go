package ittybit

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/ittybit/ittybit-go/internal/jsonx"
	"github.com/ittybit/ittybit-go/internal/pipeline"
	"github.com/ittybit/ittybit-go/internal/redact"
)

// The refusals of the API, for [errors.Is] on the errors of every method.
var (
	ErrBadRequest      = errors.New("ittybit: bad request")      // 400
	ErrUnauthorized    = errors.New("ittybit: unauthorized")     // 401: the API key is wrong
	ErrPaymentRequired = errors.New("ittybit: payment required") // 402
	ErrForbidden       = errors.New("ittybit: forbidden")        // 403
	ErrNotFound        = errors.New("ittybit: not found")        // 404
	ErrConflict        = errors.New("ittybit: conflict")         // 409
	ErrRateLimited     = errors.New("ittybit: rate limited")     // 429
	ErrServer          = errors.New("ittybit: server error")     // 5xx
)

var (
	// ErrMissingAPIKey is matched by the [*ParamError] of an empty key.
	ErrMissingAPIKey = errors.New("ittybit: the API key is empty")

	// ErrOutcomeUnknown is matched by the error of a creating call that may have been carried out
	// though it failed: cut or timed out after it was sent, refused with a redirect or a 5xx
	// (but for a 503 with Retry-After), or with a success that can't be read. Check whether the
	// thing exists before calling again, or accept a duplicate: [TasksService.All] with the kind
	// gives the tasks to compare by their Input and Created.
	ErrOutcomeUnknown = pipeline.ErrOutcomeUnknown

	// ErrNoMorePages is what [Page.Next] gives after the last page.
	ErrNoMorePages = errors.New("ittybit: no more pages")

	// ErrNoResults is matched when a task has no results, or none of the kind that was asked for.
	ErrNoResults = errors.New("ittybit: the task has no such results")
)

// AcceptedError is what [FilesService.Create] and [FilesService.Upload] give where Ittybit has
// accepted the call and works on it in a task, in place of responding with a file. It is no
// failure: wait for the task; the file is its Output.
type AcceptedError struct{ Task *Task }

func (e *AcceptedError) Error() string {
	return fmt.Sprintf("ittybit: accepted, and not done yet: wait for task %s, whose output is the file", oneLine(e.Task.ID))
}

// ParamError is a parameter that was refused before anything was sent.
type ParamError struct {
	Param  string // the parameter, by the name of its field
	Reason string // what is wrong with it, as the rest of a sentence

	matches error
}

func missingAPIKey() error {
	return &ParamError{Param: "apiKey", Reason: "is empty (set ITTYBIT_API_KEY)", matches: ErrMissingAPIKey}
}

func (e *ParamError) Error() string { return fmt.Sprintf("ittybit: %s %s", e.Param, e.Reason) }

// Unwrap gives [ErrMissingAPIKey] where that is what is wrong.
func (e *ParamError) Unwrap() error { return e.matches }

// APIError is a response of the API that is not a success. Use [errors.Is] with
// [ErrNotFound] and its siblings to branch on it.
type APIError struct {
	StatusCode int
	Kind       string        // such as "task_not_found"; API version 2025-08-20 sends none
	Message    string        // the API's own words, or the status text
	RequestID  string        // to name in a support request; often empty
	RetryAfter time.Duration // how long the API asks to wait; 0: it does not say
	Method     string
	URL        string // without signatures
	Header     http.Header
	Body       []byte // as it was received, at most 1 MiB, without the API key and the signature of a signed URL
}

// maxErrorMessage bounds what of a response goes into an error's text, in bytes.
const maxErrorMessage = 500

// Error gives one readable line, which never holds the API key or a signature.
func (e *APIError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ittybit: %s %s: %d", e.Method, e.URL, e.StatusCode)
	if e.Kind != "" {
		fmt.Fprintf(&b, " %s", oneLine(e.Kind))
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", oneLine(e.Message))
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", oneLine(e.RequestID))
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, " (retry after %v)", e.RetryAfter)
	}
	return redact.Text(b.String())
}

// Is matches the sentinel of e's status code.
func (e *APIError) Is(target error) bool {
	if e.StatusCode >= 500 {
		return target == ErrServer
	}
	return target != nil && target == statusErrors[e.StatusCode]
}

var statusErrors = map[int]error{
	http.StatusBadRequest:      ErrBadRequest,
	http.StatusUnauthorized:    ErrUnauthorized,
	http.StatusPaymentRequired: ErrPaymentRequired,
	http.StatusForbidden:       ErrForbidden,
	http.StatusNotFound:        ErrNotFound,
	http.StatusConflict:        ErrConflict,
	http.StatusTooManyRequests: ErrRateLimited,
}

// oneLine keeps a response's text from filling or breaking a log line.
func oneLine(text string) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "\uFFFD"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	if len(text) > maxErrorMessage {
		text = strings.ToValidUTF8(text[:maxErrorMessage], "") + "…"
	}
	return text
}

// errorBody is the union of the shapes in which the API's versions report an
// error: {"message"}, {"kind","message"}, and an envelope with "error".
type errorBody struct {
	Kind    string          `json:"kind"`
	Message string          `json:"message"`
	Error   json.RawMessage `json:"error"`
}

func newAPIError(p pipeline.Problem) *APIError {
	e := &APIError{
		StatusCode: p.StatusCode, RetryAfter: p.RetryAfter, Method: p.Method, URL: p.URL,
		Header: redactHeader(p.Header, p.Secrets), Body: redact.Bytes(p.Body, p.Secrets...),
		RequestID: redact.Text(requestID(p.Header, p.Body), p.Secrets...),
	}
	kind, message := decodeErrorBody(p.Body)
	e.Kind, e.Message = redact.Text(kind, p.Secrets...), redact.Text(message, p.Secrets...)
	if e.Message == "" {
		e.Message = http.StatusText(p.StatusCode) // HTML, nothing, or a shape nobody has seen
	}
	return e
}

func redactHeader(header http.Header, secrets []string) http.Header {
	header = header.Clone()
	for _, values := range header {
		for i := range values {
			values[i] = redact.Text(values[i], secrets...)
		}
	}
	return header
}

func decodeErrorBody(data []byte) (kind, message string) {
	var body errorBody
	if json.Unmarshal(data, &body) != nil && body.Message == "" && body.Error == nil {
		return "", ""
	}
	if body.Message == "" && !jsonx.IsNull(body.Error) {
		var text string
		if json.Unmarshal(body.Error, &text) == nil {
			return body.Kind, text
		}
		if nested := (errorBody{}); json.Unmarshal(body.Error, &nested) == nil {
			return nested.Kind, nested.Message
		}
	}
	return body.Kind, body.Message
}

// requestID finds the request's id where the API's versions, and proxies, put it.
func requestID(header http.Header, body []byte) string {
	id := cmp.Or(header.Get("X-Request-Id"), header.Get("Request-Id"))
	if id != "" || !jsonx.IsObject(body) {
		return id
	}
	var envelope struct {
		Meta struct {
			RequestID string `json:"request_id"`
			ID        string `json:"id"`
		} `json:"meta"`
	}
	if json.Unmarshal(body, &envelope) != nil {
		return ""
	}
	return cmp.Or(envelope.Meta.RequestID, envelope.Meta.ID)
}

// TaskFailedError comes together with a task that ended without success.
type TaskFailedError struct {
	Task *Task
}

func (e *TaskFailedError) Error() string {
	text := fmt.Sprintf("ittybit: task %s ended as %s", e.Task.ID, e.Task.Status)
	if e.Task.Error != nil {
		text += ": " + oneLine(e.Task.Error.Message)
	}
	return redact.Text(text)
}

// TaskError says why a task failed.
type TaskError struct {
	Kind    string `json:"kind,omitempty"` // only where Ittybit sent an object
	Message string `json:"message"`
}

// decodeTaskError reads a string (API version 2025-08-20) or an object (later ones).
func decodeTaskError(raw json.RawMessage) (*TaskError, error) {
	if jsonx.IsNull(raw) || string(raw) == `""` {
		return nil, nil //nolint:nilnil // no error is no error
	}
	taskError := new(TaskError)
	err := taskError.UnmarshalJSON(raw)
	return taskError, err
}

// UnmarshalJSON takes a string (API version 2025-08-20) or an object (later ones).
func (e *TaskError) UnmarshalJSON(data []byte) error {
	*e = TaskError{}
	if json.Unmarshal(data, &e.Message) == nil {
		return nil
	}
	type plain TaskError
	err := json.Unmarshal(data, (*plain)(e))
	if e.Message == "" {
		e.Message = string(data) // better than to say that nothing went wrong
	}
	return err
}
