package riverevents

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCleanupContext_lastsAsLongAsTheWorkAndALittleLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		ctx, cancel := cleanupContext(work)
		defer cancel()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Error(t, work.Err())
		require.NoError(t, ctx.Err())
		time.Sleep(cleanupTimeout)
		synctest.Wait()
		assert.Error(t, ctx.Err())

		over, cancelOver := cleanupContext(work) // as when a handler comes back late
		defer cancelOver()
		time.Sleep(cleanupTimeout - time.Nanosecond)
		synctest.Wait()
		require.NoError(t, over.Err())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Error(t, over.Err())

		done, cancelDone := cleanupContext(t.Context())
		cancelDone()
		assert.Error(t, done.Err())
	})
}
