package ittybit_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// skipUnderRace ends a test whose count would be another one: sync.Pool, which
// encoding/json and net/http use too, allocates under the race detector.
func skipUnderRace(t *testing.T) {
	t.Helper()
	if raceEnabled {
		t.Skip("sync.Pool allocates under the race detector")
	}
}

func TestVerify_doesNotAllocateWhenItSucceeds(t *testing.T) {
	skipUnderRace(t)
	for size, body := range map[string][]byte{"300 B": bytes.Repeat([]byte("x"), 300), "64 KiB": bytes.Repeat([]byte("x"), 64<<10), "no body": nil} {
		inHex := ittybit.SignWebhook(webhookSecret, signedAt, body)
		inBase64 := "t=1736512522,v1=" + base64.RawURLEncoding.EncodeToString(signedMAC("1736512522", string(body)))
		millis := "t=1736512522000,v1=" + signedHex("1736512522000", string(body))
		rfc3339 := "t=2025-01-10T12:35:22Z,v1=" + signedHex("2025-01-10T12:35:22Z", string(body))
		for form, header := range map[string]string{
			"hex": inHex, "base64url": inBase64, "milliseconds": millis, "RFC 3339": rfc3339,
			"several values": "v0=x, v1=00, " + inHex + ",v2=y",
		} {
			for secrets, opts := range map[string][]ittybit.VerifierOption{
				"1 secret": nil, "2 secrets": {ittybit.WithSecrets("the_old_test_key")},
			} {
				t.Run(size+", "+form+", "+secrets, func(t *testing.T) {
					v := webhookVerifier(t, opts...)
					require.NoError(t, v.Verify(body, header))
					assert.Zero(t, testing.AllocsPerRun(100, func() {
						if v.Verify(body, header) != nil {
							t.Error("refused")
						}
					}))
				})
			}
		}
		// The last of several secrets: all of them are tried.
		t.Run(size+", rotated", func(t *testing.T) {
			v, err := ittybit.NewWebhookVerifier("the_new_test_key", ittybit.WithSecrets(webhookSecret), ittybit.WithClock(signedClock))
			require.NoError(t, err)
			require.NoError(t, v.Verify(body, inHex))
			assert.Zero(t, testing.AllocsPerRun(100, func() {
				if v.Verify(body, inHex) != nil {
					t.Error("refused")
				}
			}))
		})
	}
}

// A plain struct costs json.Unmarshal 13 allocations for the same task.
func TestParseEvent_allocatesLittleMoreThanItsStrings(t *testing.T) {
	skipUnderRace(t)
	nested := `{"id":"evt_1","object":"event","kind":"task.completed","created_at":1735689886,"data":` + webhookPageBody + `}`
	for name, c := range map[string]struct {
		body string
		most float64
	}{
		"bare task":        {webhookPageBody, 6}, // the body, the event, and four strings
		"task of an event": {nested, 8},
	} {
		body := []byte(c.body)
		event, err := ittybit.ParseEvent(body)
		require.NoError(t, err)
		require.NotNil(t, event.Task, name)
		assert.LessOrEqual(t, testing.AllocsPerRun(100, func() {
			if _, err := ittybit.ParseEvent(body); err != nil {
				t.Error(err)
			}
		}), c.most, name)
	}
}

// What is nested stays where it is in the body, however large it is.
func TestParseEvent_doesNotCopyWhatIsNested(t *testing.T) {
	skipUnderRace(t)
	count := func(results string) float64 {
		body := []byte(`{"id":"task_1","object":"task","status":"completed","results":` + results + `}`)
		return testing.AllocsPerRun(20, func() {
			if _, err := ittybit.ParseEvent(body); err != nil {
				t.Error(err)
			}
		})
	}
	assert.Equal(t, count(`{}`), count(`[`+strings.Repeat(`{"text":"a word","at":1.5},`, 4000)+`{}]`))
}

func TestTasksGet_allocatesLittleMoreThanABareClient(t *testing.T) {
	skipUnderRace(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, webhookPageBody)
	}))
	defer server.Close()
	client, err := ittybit.NewClient("key", ittybit.WithBaseURL(server.URL))
	require.NoError(t, err)
	defer client.CloseIdleConnections()
	bare := &http.Client{Transport: &http.Transport{}}
	defer bare.CloseIdleConnections()

	ours := allocations(t, func() error {
		_, err := client.Tasks.Get(context.Background(), "task_1")
		return err
	})
	theirs := allocations(t, func() error {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, server.URL+"/tasks/task_1", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer key")
		req.Header.Set("Accept", "application/json")
		req.Header.Set("Accept-Version", ittybit.APIVersion)
		req.Header.Set("User-Agent", "bare")
		resp, err := bare.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		var task plainTask
		return json.Unmarshal(data, &task)
	})
	t.Logf("%.1f allocations, a bare client %.1f, with the server's", ours, theirs)
	assert.LessOrEqual(t, ours-theirs, 20.0)
}

// allocations counts those of one call, the server's own included.
func allocations(t *testing.T, call func() error) float64 {
	t.Helper()
	return testing.AllocsPerRun(500, func() {
		if err := call(); err != nil {
			t.Error(err)
		}
	})
}

// plainTask is what somebody would write down who needs no more than the page shows.
type plainTask struct {
	ID           string          `json:"id"`
	Object       string          `json:"object"`
	Kind         string          `json:"kind"`
	Status       string          `json:"status"`
	Results      json.RawMessage `json:"results"`
	ProjectID    string          `json:"project_id"`
	AutomationID string          `json:"automation_id"`
	Created      time.Time       `json:"created"`
	Completed    time.Time       `json:"completed"`
}
