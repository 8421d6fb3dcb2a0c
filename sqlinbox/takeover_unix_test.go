//go:build unix

package sqlinbox_test

import (
	"testing"

	"github.com/ittybit/ittybit-go/sqlinbox/internal/inboxtest"
)

func TestReconcile_takesOverFromAProcessThatIsStoppedOrKilled(t *testing.T) {
	for name, open := range servers {
		t.Run(name, func(t *testing.T) { inboxtest.Takeover(t, open(t)) })
	}
}

func TestPaused_oneOfTwoProcessesForLongerThanEveryDeadline(t *testing.T) {
	for name, open := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inboxtest.Paused(t, open(t))
		})
	}
}
