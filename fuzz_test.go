package ittybit_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// signedGenuinely decides in the simplest way whether a header signs body with the
// secret at a time that is acceptable at signedAt. It never takes a forgery for genuine;
// that it may refuse what is genuine in an unusual form does no harm to the tests below.
func signedGenuinely(body []byte, header string) bool {
	timestamps, values := []string{}, []string{}
	for part := range strings.SplitSeq(header, ",") {
		key, value, _ := strings.Cut(part, "=")
		switch strings.TrimSpace(key) {
		case "t":
			timestamps = append(timestamps, strings.TrimSpace(value))
		case "v1":
			values = append(values, strings.TrimSpace(value))
		}
	}
	if len(timestamps) != 1 {
		return false
	}
	at, err := time.Parse(time.RFC3339, timestamps[0])
	if number, numberErr := strconv.ParseUint(timestamps[0], 10, 63); numberErr == nil {
		at, err = time.Unix(int64(number), 0), nil
		if number >= 1e11 {
			at = time.UnixMilli(int64(number))
		}
	}
	if err != nil || at.Sub(signedAt).Abs() > ittybit.DefaultTolerance {
		return false
	}
	mac := hmac.New(sha256.New, []byte(webhookSecret))
	mac.Write([]byte(timestamps[0] + "."))
	mac.Write(body)
	sum := mac.Sum(nil)
	for _, value := range values {
		if strings.EqualFold(value, hex.EncodeToString(sum)) || value == base64.RawURLEncoding.EncodeToString(sum) {
			return true
		}
	}
	return false
}

func FuzzVerifyHeader(f *testing.F) {
	body := []byte(webhookPageBody)
	good := ittybit.SignWebhook(webhookSecret, signedAt, body)
	_, value, _ := strings.Cut(good, ",")
	for _, seed := range []string{
		good, "", " ", ",", "=", "t=,v1=", "t=1,v1=2", value, value[3:], good + "," + good, good + "," + value, value + "," + "t=1736512522",
		" t = 1736512522 , " + value, strings.ToUpper(good), strings.Replace(good, "t=", "t=0", 1), strings.Replace(good, "t=", "t=+", 1),
		ittybit.SignWebhook(webhookSecret, signedAt.Add(-time.Hour), body), signedWithNoKey(signedAt, body),
		"t=2025-01-10T12:35:22Z,v1=" + signedHex("2025-01-10T12:35:22Z", webhookPageBody),
		"t=1736512522123,v1=" + signedHex("1736512522123", webhookPageBody),
		"t=1736512522,v1=" + base64.RawURLEncoding.EncodeToString(signedMAC("1736512522", webhookPageBody)),
		"t=9999-01-01T00:00:00Z,v1=x", "t=99999999999999999999,v1=x", "t=١,v1=x", "t=1.5,v1=x", strings.Repeat("v1=0,", 1000),
	} {
		f.Add(body, seed)
	}
	f.Add([]byte(nil), ittybit.SignWebhook(webhookSecret, signedAt, nil))
	v := webhookVerifier(f)
	stranger, err := ittybit.NewWebhookVerifier("another_test_key", ittybit.WithClock(signedClock))
	require.NoError(f, err)
	bare := webhookVerifier(f, ittybit.WithUntimestampedSignatures())
	f.Fuzz(func(t *testing.T, body []byte, header string) {
		before := bytes.Clone(body)
		err := v.Verify(body, header)
		if err == nil {
			require.True(t, signedGenuinely(body, header), "%q", header)
			require.ErrorIs(t, stranger.Verify(body, header), ittybit.ErrSignatureMismatch)
			require.NoError(t, bare.Verify(body, header))
		} else {
			known := 0
			for _, sentinel := range []error{
				ittybit.ErrSignatureMissing, ittybit.ErrSignatureMalformed, ittybit.ErrSignatureMismatch, ittybit.ErrSignatureExpired,
			} {
				if errors.Is(err, sentinel) {
					known++
				}
			}
			require.Equal(t, 1, known, "%v", err)
			if len(header) <= 4096 {
				require.False(t, signedGenuinely(body, header), "%q: %v", header, err)
			}
		}
		text := v.Explain(body, header)
		require.NotContains(t, text, webhookSecret)
		require.Equal(t, err == nil, strings.HasPrefix(text, "Verify accepts"))
		require.True(t, bytes.Equal(before, body), "the body is not touched")
	})
}

func FuzzParseEvent(f *testing.F) {
	for _, seed := range []string{
		webhookPageBody, webhookTask("task_1", "failed"), webhookProgress("task_1", 40), "", "{}", "null", "[]", "{", `{"a":1}x`, "\xef\xbb\xbf{}",
		`{"id":"evt_1","object":"event","kind":"task.succeeded","data":{"id":"task_1","status":"succeeded"},"created_at":1735689886}`,
		`{"id":"evt_1","kind":"media.created","data":{"id":"med_1","title":5,"files":[{"id":1}]}}`,
		`{"id":"job_1","object":"job","status":"succeeded","tasks":[{"id":"task_1","progress":"x"}],"created_at":1767225600000}`,
		`{"id":"med_1","object":"media","width":"wide","metadata":[]}`, `{"id":1,"object":{},"status":[],"data":7}`,
		`{"id":"task_1","object":"task","status":"ready","output":"https://x"}`, `{"ID":"task_1","id":"task_2"}`, `{"id":"\ud800","object":"task"}`,
		"{\"id\":\"task_1\xff\"}", strings.Repeat(`{"data":`, 100) + "{}" + strings.Repeat("}", 100),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := ittybit.ParseEvent(body)
		isObject := json.Valid(body) && bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{"))
		if !isObject {
			require.ErrorIs(t, err, ittybit.ErrMalformedEvent)
			require.Nil(t, e)
			return
		}
		if errors.Is(err, ittybit.ErrUnroutableEvent) {
			requireFieldThatIsNoString(t, body, "id", "object", "kind", "status")
			return
		}
		require.NoError(t, err)
		require.NotEmpty(t, e.Type)
		require.NotEmpty(t, e.Key())
		require.Equal(t, body, []byte(e.RawJSON()))
		again, err := ittybit.ParseEvent(body)
		require.NoError(t, err)
		require.Equal(t, e.Key(), again.Key())
		requireEventOfAnySpacing(t, body, e)
		requireTaskAsOfTheStandardLibrary(t, body, e)
		carried := 0
		if e.Task != nil {
			carried++
			require.NotEmpty(t, e.Task.ID)
			require.True(t, e.Task.Supersedes(nil))
			require.False(t, e.Task.Supersedes(e.Task))
			_, _ = e.Task.NSFW()
			polled := ittybit.EventFromTask(e.Task)
			isEnd := e.Type == polled.Type || e.Type == ittybit.EventTaskSucceeded && polled.Type == ittybit.EventTaskCompleted
			if e.ID == "" && e.Task.Terminal() && isEnd {
				require.Equal(t, e.Key(), polled.Key(), "the same end by polling")
			}
		}
		if e.Media != nil {
			carried++
			require.NotEmpty(t, e.Media.ID)
			require.NotNil(t, e.Media.RawJSON())
		}
		if e.Job != nil {
			carried++
			require.NotEmpty(t, e.Job.ID)
			require.NotNil(t, e.Job.RawJSON())
		}
		require.LessOrEqual(t, carried, 1)
	})
}

// requireFieldThatIsNoString: one of these fields is there, in the payload or in its data, and is
// not a string.
func requireFieldThatIsNoString(t *testing.T, body []byte, names ...string) {
	t.Helper()
	var fields map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(body, &fields))
	var data map[string]json.RawMessage
	_ = json.Unmarshal(fields["data"], &data)
	for _, object := range []map[string]json.RawMessage{fields, data} {
		for _, name := range names {
			if value := object[name]; value != nil && string(value) != "null" && value[0] != '"' {
				return
			}
		}
	}
	require.Fail(t, "all of them are strings", "%s", body)
}

// requireEventOfAnySpacing: white space between the fields of a payload means nothing.
func requireEventOfAnySpacing(t *testing.T, body []byte, e *ittybit.Event) {
	t.Helper()
	var compact bytes.Buffer
	require.NoError(t, json.Compact(&compact, body))
	other, err := ittybit.ParseEvent(compact.Bytes())
	require.NoError(t, err)
	require.Equal(t, []any{e.ID, e.Type, e.ProjectID, e.AutomationID}, []any{other.ID, other.Type, other.ProjectID, other.AutomationID})
	require.True(t, e.CreatedAt.Equal(other.CreatedAt))
	require.Equal(t, []bool{e.Task == nil, e.Media == nil, e.Job == nil}, []bool{other.Task == nil, other.Media == nil, other.Job == nil})
	require.Equal(t, e.Key(), other.Key())
}

// requireTaskAsOfTheStandardLibrary: the texts of a bare task are what encoding/json makes of the
// fields of just these names, also where a name or a text is escaped, or a name comes twice.
func requireTaskAsOfTheStandardLibrary(t *testing.T, body []byte, e *ittybit.Event) {
	t.Helper()
	var fields map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(body, &fields))
	var want [4]string
	for i, name := range []string{"id", "object", "kind", "status"} {
		if value, ok := fields[name]; ok && (string(value) == "null" || json.Unmarshal(value, &want[i]) != nil) {
			return // a field that cannot be decoded: the one of that name before it may count
		}
	}
	id, object, kind, status := want[0], want[1], want[2], want[3]
	if object != "task" || id == "" {
		return
	}
	require.NotNil(t, e.Task)
	require.Equal(t, []string{id, kind, status}, []string{e.Task.ID, string(e.Task.Kind), string(e.Task.Status)})
	require.Empty(t, e.ID, "a bare task is no event with an id")
	require.Equal(t, e.Task.Succeeded(), e.Type == ittybit.EventTaskCompleted)
}

func FuzzWebhookHandler(f *testing.F) {
	good := ittybit.SignWebhook(webhookSecret, signedAt, []byte(webhookPageBody))
	f.Add("POST", []byte(webhookPageBody), good, "", false)
	f.Add("POST", []byte(webhookPageBody), strings.Split(good, ",")[0], strings.Split(good, ",")[1], false)
	f.Add("POST", []byte(webhookPageBody), good, good, false)
	f.Add("GET", []byte(webhookPageBody), good, "", false)
	f.Add("POST", []byte("{}"), good, "", false)
	f.Add("POST", []byte("{}"), "", "", true)
	f.Add("POST", []byte("[]"), "", "", true)
	f.Add("POST", []byte(""), "t=1,v1=", "", true)
	f.Add("POST", []byte(`{"id":"task_1","object":"task","status":"failed"}`), ittybit.SignWebhook(webhookSecret, signedAt.Add(-time.Hour), []byte(`{}`)), "", false)
	f.Add("PATCH", bytes.Repeat([]byte("x"), 5000), "junk", "t=1736512522", false)
	f.Add("POST", bytes.Repeat([]byte(" "), 5000), "junk", "", true)

	const limit = 4096
	var reached *ittybit.Event
	var observed ittybit.Delivery
	h := webhookHandler(f, ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(1, time.Nanosecond), ittybit.EventHandlerFunc(
		func(_ context.Context, e *ittybit.Event) error { reached = e; return nil })),
		ittybit.WithClock(signedClock), ittybit.WithMaxBodyBytes(limit),
		ittybit.WithObserver(func(_ context.Context, d ittybit.Delivery) { observed = d }))
	f.Fuzz(func(t *testing.T, method string, body []byte, first, second string, sign bool) {
		lines := []string{first}
		if second != "" {
			lines = append(lines, second)
		}
		if sign {
			lines = []string{ittybit.SignWebhook(webhookSecret, signedAt, body)}
		}
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Method, r.Header[ittybit.SignatureHeader] = method, lines
		reached, observed = nil, ittybit.Delivery{}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)

		require.Contains(t, []int{200, 400, 401, 405, 413}, w.Code)
		require.Equal(t, w.Code, observed.StatusCode)
		require.Equal(t, webhookResponseText(w.Code), w.Body.String())
		genuine := signedGenuinely(body, strings.Join(lines, ","))
		if reached != nil {
			require.True(t, genuine, "only what is signed at an acceptable time reaches the handler")
			require.Equal(t, http.MethodPost, method)
			require.LessOrEqual(t, len(body), limit)
			require.Equal(t, body, []byte(reached.RawJSON()))
			require.Equal(t, http.StatusOK, w.Code)
		}
		if genuine && method == http.MethodPost && len(body) <= limit && len(strings.Join(lines, ",")) <= 4096 {
			isObject := json.Valid(body) && bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{"))
			assert.Equal(t, isObject, w.Code == http.StatusOK)
			assert.Equal(t, !isObject, w.Code == http.StatusBadRequest)
		}
	})
}
