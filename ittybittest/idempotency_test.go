package ittybittest_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

func (a api) keyed(path, key, body string) *http.Request {
	req := a.request("POST", path, body)
	req.Header["idempotency-key"] = []string{key} // any spelling is the same header
	return req
}

func TestIdempotencyKey_givesTheOriginalResponse(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		first := a.do(a.keyed("/tasks", "k1", nsfwTask))
		assert.Equal(t, http.StatusCreated, first.status)
		time.Sleep(24*time.Hour - time.Nanosecond)
		again := a.do(a.keyed("/tasks", "k1", nsfwTask))
		assert.Equal(t, http.StatusOK, again.status)
		assert.Equal(t, first.raw, again.raw, "the original, though the task has completed since")
		other := a.do(a.keyed("/tasks", "k2", nsfwTask))
		assert.Equal(t, http.StatusCreated, other.status)
		assert.NotEqual(t, first.raw, other.raw)
		assert.Len(t, a.list("/tasks"), 2)

		time.Sleep(time.Nanosecond)
		late := a.do(a.keyed("/tasks", "k1", nsfwTask))
		assert.Equal(t, http.StatusCreated, late.status, "after 24 hours the key is forgotten")
		assert.Len(t, a.list("/tasks"), 3)
	})
}

func TestIdempotencyKey_isRefusedForAnotherRequest(t *testing.T) {
	a := open(t, ittybittest.WithTaskDuration(time.Hour)) // a task that ends has media
	a.do(a.keyed("/tasks", "k", nsfwTask))
	a.do(a.keyed("/tasks", "k", nsfwTask+" ")).refused(t, http.StatusConflict, "different request")
	a.do(a.keyed("/media", "k", nsfwTask)).refused(t, http.StatusConflict, "different request")
	assert.Len(t, a.list("/tasks"), 1)
	assert.Empty(t, a.list("/media"))
}

func TestIdempotencyKey_staysUnusedAfterAnError(t *testing.T) {
	a := open(t)
	a.do(a.keyed("/tasks", "k", `{"kind":"nsfw"}`)).refused(t, http.StatusBadRequest, "required")
	assert.Equal(t, http.StatusCreated, a.do(a.keyed("/tasks", "k", nsfwTask)).status)
}

func TestIdempotencyKey_concurrentRequestsCreateOnce(t *testing.T) {
	a := open(t)
	statuses, bodies := make([]int, 50), make([]string, 50)
	var wg sync.WaitGroup
	for i := range statuses {
		wg.Go(func() {
			got, err := a.try(a.keyed("/automations", "k", automation(`[{"kind":"nsfw"}]`)))
			assert.NoError(t, err)
			statuses[i], bodies[i] = got.status, got.raw
		})
	}
	wg.Wait()
	created := 0
	for i := range statuses {
		assert.Equal(t, bodies[0], bodies[i])
		if statuses[i] == http.StatusCreated {
			created++
		}
	}
	assert.Equal(t, 1, created)
	assert.Len(t, a.list("/automations"), 1)
}

func TestIdempotencyKey_survivesADroppedAnswer(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		a.srv.FailRequests(1, ittybittest.RequestFault{Drop: ittybittest.DropAfter})
		_, err := a.try(a.keyed("/tasks", "k", nsfwTask))
		require.Error(t, err)
		require.Len(t, a.list("/tasks"), 1)
		assert.Equal(t, http.StatusOK, a.do(a.keyed("/tasks", "k", nsfwTask)).status)
		assert.Len(t, a.list("/tasks"), 1)
	})
}

func TestIdempotencyKey_holdsWhileTheFirstAnswerIsSlow(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		a.srv.FailRequests(1, ittybittest.RequestFault{AnswerLatency: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := a.try(a.keyed("/tasks", "k", nsfwTask).WithContext(ctx))
			assert.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		assert.Equal(t, http.StatusOK, a.do(a.keyed("/tasks", "k", nsfwTask)).status)
		cancel()
		wg.Wait()
		assert.Len(t, a.list("/tasks"), 1)
	})
}
