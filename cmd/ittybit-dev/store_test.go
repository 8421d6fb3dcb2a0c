package main

import (
	"errors"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

func record(number int64, id string, attempt int, final bool) ittybittest.Delivery {
	return ittybittest.Delivery{
		Number: number, ID: id, Attempt: attempt, URL: "http://localhost/" + id, Body: ittybittest.TaskCompleted("nsfw", nil), Signature: "t=1,v1=2",
		Time: time.Unix(1_764_000_000, number).UTC(), Duration: time.Duration(number), StatusCode: map[bool]int{true: 200, false: 500}[final],
		ResponseHeader: http.Header{"Date": {"today"}}, ResponseBody: []byte("ok"), Final: final,
	}
}

func TestStore_givesBackWhatItWasGiven(t *testing.T) {
	dir := t.TempDir()
	store, err := openStore(t.Context(), dir)
	require.NoError(t, err)
	var all []ittybittest.Delivery
	for i, d := range []ittybittest.Delivery{
		record(1, "a", 1, false), record(2, "b", 1, true), record(3, "a", 2, true), record(4, "c", 1, false),
	} {
		if i == 3 {
			d.StatusCode, d.ResponseHeader, d.ResponseBody, d.Err, d.Final = 0, nil, nil, errors.New("refused"), true
		}
		require.NoError(t, store.Add(d))
		all = append(all, d)
	}
	require.Error(t, store.Add(all[0]), "a number is used once")
	require.NoError(t, store.Close())
	store, err = openStore(t.Context(), dir)
	require.NoError(t, err)
	defer func() { _ = store.Close() }()

	numbers := func(q ittybittest.DeliveryQuery) (found []int64) {
		records, err := store.List(q)
		require.NoError(t, err)
		for _, d := range records {
			assert.True(t, q.Matches(d), "as the store in memory sees it")
			d.Time = d.Time.UTC()
			assert.Equal(t, all[d.Number-1], d)
			found = append(found, d.Number)
		}
		return found
	}
	assert.Equal(t, []int64{4, 3, 2, 1}, numbers(ittybittest.DeliveryQuery{}))
	assert.Equal(t, []int64{4, 3, 2}, numbers(ittybittest.DeliveryQuery{Latest: true}))
	assert.Equal(t, []int64{2, 3}, numbers(ittybittest.DeliveryQuery{OldestFirst: true, After: 1, Limit: 2}))
	assert.Equal(t, []int64{2, 1}, numbers(ittybittest.DeliveryQuery{Before: 3}))
	assert.Equal(t, []int64{3, 1}, numbers(ittybittest.DeliveryQuery{ID: "a"}))
	assert.Equal(t, []int64{3}, numbers(ittybittest.DeliveryQuery{ID: "a", State: ittybittest.DeliveryDone}))
	assert.Equal(t, []int64{4}, numbers(ittybittest.DeliveryQuery{State: ittybittest.DeliveryFailed}))
	assert.Equal(t, []int64{1}, numbers(ittybittest.DeliveryQuery{State: ittybittest.DeliveryWaiting}))
	assert.Equal(t, []int64{2}, numbers(ittybittest.DeliveryQuery{URL: "http://localhost/b"}))
	assert.Equal(t, []int64{4}, numbers(ittybittest.DeliveryQuery{TaskID: all[3].TaskID()}))
	assert.Equal(t, []int64{4, 3, 2}, numbers(ittybittest.DeliveryQuery{Latest: true, Event: "task.completed", Kind: "nsfw"}))
	assert.Empty(t, numbers(ittybittest.DeliveryQuery{Event: "task.failed"}))
	assert.Empty(t, numbers(ittybittest.DeliveryQuery{Kind: "video"}))
	assert.Equal(t, []int64{3, 2}, numbers(ittybittest.DeliveryQuery{Status: "200"}))
	assert.Equal(t, []int64{1}, numbers(ittybittest.DeliveryQuery{Status: "5xx"}))
	assert.Equal(t, []int64{4}, numbers(ittybittest.DeliveryQuery{Status: "none"}))
	require.NoError(t, store.Clear())
	assert.Empty(t, numbers(ittybittest.DeliveryQuery{}))
}

func TestStore_hasNothingWaitingAfterARestart(t *testing.T) {
	dir := t.TempDir()
	store, err := openStore(t.Context(), dir)
	require.NoError(t, err)
	require.NoError(t, store.Add(record(1, "a", 1, false)))
	require.NoError(t, store.Add(record(2, "b", 1, true)))
	_, err = openStore(t.Context(), dir)
	require.ErrorContains(t, err, "another ittybit-dev has it open")
	require.NoError(t, store.Close())
	store, err = openStore(t.Context(), dir)
	require.NoError(t, err)
	defer func() { _ = store.Close() }()
	all, err := store.List(ittybittest.DeliveryQuery{OldestFirst: true})
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Equal(t, ittybittest.DeliveryFailed, all[0].State())
	assert.ErrorContains(t, all[0].Err, "serve was ended")
	assert.NoError(t, all[1].Err)
}

func TestStore_keepsTheLatestDeliveriesWithAllTheirAttempts(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		store, err := openStore(t.Context(), dir)
		require.NoError(t, err)
		store.max, store.prune = 3, 2
		number := int64(0)
		add := func(id string, attempt int, final bool) {
			number++
			require.NoError(t, store.Add(record(number, id, attempt, final)))
		}
		add("old", 1, true)
		add("waiting", 1, false)
		for _, id := range []string{"a", "b", "c", "d"} {
			add(id, 1, false)
			if id == "c" {
				add("waiting", 2, true)
			}
			add(id, 2, true)
		}
		ids := map[string]int{}
		all, err := store.List(ittybittest.DeliveryQuery{})
		require.NoError(t, err)
		for _, d := range all {
			ids[d.ID]++
		}
		assert.Equal(t, map[string]int{"waiting": 2, "c": 2, "d": 2}, ids, "an attempt that ends later counts")
		require.NoError(t, store.Close())
	}
}

// The first page of 100,000 deliveries, and what they need of the heap.
func BenchmarkStore_firstPage(b *testing.B) {
	store, err := openStore(b.Context(), b.TempDir())
	require.NoError(b, err)
	defer func() { _ = store.Close() }()
	_, err = store.db.ExecContext(b.Context(), "PRAGMA synchronous = OFF")
	require.NoError(b, err)
	for i := range int64(100_000) {
		require.NoError(b, store.Add(record(i+1, "dlv_"+time.Duration(i).String(), 1, i%10 != 0)))
	}
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	for name, q := range map[string]ittybittest.DeliveryQuery{
		"all": {Latest: true, Limit: 51}, "failed": {Latest: true, Limit: 51, State: ittybittest.DeliveryWaiting},
		"unknown event and kind": {Latest: true, Limit: 51, Event: "task.failed", Kind: "video"},
		"event and kind":         {Latest: true, Limit: 51, Event: "task.completed", Kind: "nsfw"},
		"kind":                   {Latest: true, Limit: 51, Kind: "nsfw"},
		"4xx":                    {Latest: true, Limit: 51, Status: "4xx"},
		"2xx":                    {Latest: true, Limit: 51, Status: "2xx"},
		"event and state":        {Latest: true, Limit: 51, Event: "task.completed", State: ittybittest.DeliveryFailed},
		"unknown url":            {Latest: true, Limit: 51, URL: "http://localhost/nothing"},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, err := store.List(q)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(stats.HeapAlloc)/(1<<20), "heap-MiB")
			b.ReportMetric(float64(stats.Sys)/(1<<20), "sys-MiB")
		})
	}
}
