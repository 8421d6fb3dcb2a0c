//go:build unix

package sqlinbox_test

import (
	"sync"
	"testing"

	"github.com/ittybit/ittybit-go/sqlinbox/internal/inboxtest"
)

func TestReconcile_takesOverFromAProcessThatIsStoppedOrKilled(t *testing.T) {
	for name, open := range servers {
		t.Run(name, func(t *testing.T) { inboxtest.Takeover(t, open(t)) })
	}
}

func TestPaused_oneOfTwoProcessesForLongerThanEveryDeadline(t *testing.T) {
	var all sync.WaitGroup
	for name, open := range servers {
		all.Go(func() { // most of the time is waiting
			t.Run(name, func(t *testing.T) { inboxtest.Paused(t, open(t)) })
		})
	}
	all.Wait()
}
