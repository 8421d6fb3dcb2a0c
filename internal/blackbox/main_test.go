// Package blackbox has the tests of the client that go through several of its parts: every
// endpoint, lists, retries, transports, decoding. They see what a user of the client sees.
package blackbox

import (
	"testing"

	"github.com/ittybit/ittybit-go/internal/apitest"
)

func TestMain(m *testing.M) { apitest.Main(m) }
