package lifecycle

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestLife_waitsForWhatItStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, ended, mu := New(), 0, sync.Mutex{}
		for range 3 {
			assert.True(t, l.Go(func() {
				assert.False(t, l.Pause(l.Context(), time.Hour), "the life ends before")
				mu.Lock()
				ended++
				mu.Unlock()
			}))
			synctest.Wait()
			assert.Zero(t, ended)
		}
		assert.True(t, l.Enter())
		l.Stop()
		synctest.Wait()
		assert.True(t, l.Over())
		assert.False(t, l.Go(func() { t.Error("it runs after the end") }))
		assert.False(t, l.Enter())
		l.Leave()
		l.Wait()
		assert.Equal(t, 3, ended)
	})
}

func TestLife_pausesInItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, start := New(), time.Now()
		assert.True(t, l.Pause(t.Context(), time.Minute))
		assert.Equal(t, time.Minute, time.Since(start))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.False(t, l.Pause(ctx, time.Hour))
		assert.False(t, l.Pause(ctx, 0), "a context that has ended")
		assert.Equal(t, time.Minute+time.Second, time.Since(start))
		l.Stop()
		assert.False(t, l.Pause(t.Context(), -1))
	})
}
