package blackbox

import (
	"testing"

	"github.com/ittybit/ittybit-go/internal/apitest"
)

func TestMain(m *testing.M) { apitest.Main(m) }
