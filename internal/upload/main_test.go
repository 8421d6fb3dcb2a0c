package upload_test

import (
	"testing"

	"github.com/ittybit/ittybit-go/internal/apitest"
)

// TestMain fails the run where a test has left a goroutine behind, and keeps the default log
// silent. Uploads are tested from without, as they are used: by FilesService.Upload and
// Uploader.Upload.
func TestMain(m *testing.M) { apitest.Main(m) }

const clientKey = apitest.Key

type apiRoundTrip = apitest.RoundTripper

var (
	clientParamError = apitest.RequireParamError
	clientNoContext  = apitest.NoContext
	apiResponse      = apitest.Response
)

type testLog struct{ apitest.Log }
