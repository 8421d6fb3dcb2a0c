package ittybit_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// TestMain fails the run where a test has left a goroutine behind, and keeps the default log silent.
func TestMain(m *testing.M) { apitest.Main(m) }

// What the tests of this package use of apitest, by short names.
const (
	clientKey = apitest.Key
	apiTask   = apitest.Task
)

type (
	apiRequest   = apitest.Request
	apiRoundTrip = apitest.RoundTripper
	apiRecorder  struct{ *apitest.Recorder }
	testLog      struct{ apitest.Log }
)

var (
	clientQuick         = apitest.Quick
	clientFor           = apitest.Client
	clientNoContext     = apitest.NoContext
	clientParamError    = apitest.RequireParamError
	clientCaptureStderr = apitest.CaptureStderr
	apiAnswer           = apitest.Answer
	apiResponse         = apitest.Response
	apiAlways           = apitest.Always
	apiWrite            = apitest.Write
	apiRefusedURL       = apitest.RefusedURL
	apiMembers          = apitest.Fields
	apiRawServer        = apitest.RawServer
	apiEveryCall        = apitest.EveryCall
	apiEverything       = apitest.Everything
	apiKeySpelled       = apitest.KeySpelled
	apiPage             = apitest.Page
	walkPage            = apitest.LinkedPage
	errAPICut           = apitest.ErrCut
	raceEnabled         = apitest.RaceEnabled()
)

func (l *testLog) logger() *slog.Logger { return l.Logger() }

func (r apiRecorder) all() []apiRequest { return r.All() }
func (r apiRecorder) count() int        { return r.Count() }

func apiServer(t *testing.T, handlers ...http.HandlerFunc) (*httptest.Server, apiRecorder) {
	t.Helper()
	server, recorder := apitest.Server(t, handlers...)
	return server, apiRecorder{recorder}
}

func apiFake(t *testing.T, respond func(n int, req *http.Request) (*http.Response, error), opts ...ittybit.ClientOption) (*ittybit.Client, apiRecorder) {
	t.Helper()
	client, recorder := apitest.Fake(t, respond, opts...)
	return client, apiRecorder{recorder}
}
