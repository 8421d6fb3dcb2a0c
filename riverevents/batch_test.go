package riverevents

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recorder is a batcher's work, of which the runs are recorded.
type recorder struct {
	*batcher[string, string]

	mu   sync.Mutex
	runs [][]string
}

// newRecorder gives a batcher whose runs do before. Alone, "bad" fails.
func newRecorder(before func(ctx context.Context, items []string) error) *recorder {
	r := new(recorder)
	run := func(ctx context.Context, items []string) error {
		r.mu.Lock()
		r.runs = append(r.runs, items)
		r.mu.Unlock()
		return before(ctx, items)
	}
	r.batcher = newBatcher(func(ctx context.Context, item string) (string, error) {
		if item == "bad" {
			return "", errors.Join(run(ctx, []string{item}), errBad)
		}
		return item + " alone", run(ctx, []string{item})
	}, func(ctx context.Context, items []string) (results []string, err error) {
		for _, item := range items {
			results = append(results, item+" together")
		}
		return results, run(ctx, items)
	})
	return r
}

var errBad = errors.New("bad")

// hold keeps runs under way until the returned function is called.
func (r *recorder) hold() (release func()) {
	_, hold := held(r.batcher, r.maxTime)
	return hold()
}

func TestBatcher_whoeverComesWhileRunsAreUnderWayIsInOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(func(context.Context, []string) error { return nil })
		got, err := r.do(t.Context(), "first")
		require.NoError(t, err)
		assert.Equal(t, "first alone", got)

		release := r.hold()
		for _, item := range []string{"a", "b", "c"} {
			go func() {
				got, err := r.do(t.Context(), item)
				assert.NoError(t, err)
				assert.Equal(t, item+" together", got)
			}()
			synctest.Wait()
		}
		release()
		synctest.Wait()
		assert.Equal(t, [][]string{{"first"}, {"a", "b", "c"}}, r.runs)
		assert.Zero(t, r.running)
	})
}

func TestBatcher_waitsForThoseThatAreExpected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(func(context.Context, []string) error { return nil })
		expected := 3
		r.expected = func() int { return expected }
		begin := time.Now()
		do := func(item string, after time.Duration) {
			go func() {
				_, err := r.do(t.Context(), item)
				assert.NoError(t, err)
				assert.Equal(t, after, time.Since(begin), item)
			}()
			synctest.Wait()
		}
		do("a", time.Millisecond)
		do("b", time.Millisecond)
		time.Sleep(time.Millisecond)
		assert.Empty(t, r.runs)
		do("c", time.Millisecond)
		assert.Equal(t, [][]string{{"a", "b", "c"}}, r.runs)

		// Who does not come is not waited for.
		do("d", time.Millisecond+gatherTime)
		time.Sleep(gatherTime)
		synctest.Wait()
		assert.Equal(t, []string{"d"}, r.runs[1])

		// While many runs are under way, those that wait do so for as long as they would anyway.
		r.hold()
		r.maxWait = maxWait
		do("e", time.Millisecond+gatherTime+maxWait)
		expected = 1
		time.Sleep(maxWait - time.Millisecond)
		do("f", time.Millisecond+gatherTime+maxWait)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		assert.Equal(t, []string{"e", "f"}, r.runs[2])
	})
}

func TestBatcher_aFailedBatchIsRunAgainOneByOne(t *testing.T) {
	for name, fail := range map[string]func() error{
		"an error":           func() error { return errBad },
		"a panic":            func() error { panic("at the disco") },
		"an ended goroutine": func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder(func(_ context.Context, items []string) error {
					if len(items) > 1 {
						return fail()
					}
					return nil
				})
				var failed []int
				r.failed = func(_ context.Context, items int, err error) {
					assert.Error(t, err)
					failed = append(failed, items)
				}
				release := r.hold()
				for item, want := range map[string]error{"a": nil, "bad": errBad, "c": nil} {
					go func() {
						got, err := r.do(t.Context(), item)
						if want == nil {
							assert.Equal(t, item+" alone", got)
						}
						assert.ErrorIs(t, err, want)
					}()
				}
				synctest.Wait()
				release()
				synctest.Wait()
				assert.Len(t, r.runs, 1+3)
				assert.Equal(t, []int{3}, failed)
				assert.Zero(t, r.running)
			})
		})
	}
}

func TestBatcher_aRunThatIsHeldUpHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(func(context.Context, []string) error { return nil })
		r.hold()
		r.maxWait = maxWait
		start := time.Now()
		for _, item := range []string{"a", "b"} {
			go func() {
				_, err := r.do(t.Context(), item)
				assert.NoError(t, err)
				assert.Equal(t, maxWait, time.Since(start))
			}()
			synctest.Wait()
		}
		time.Sleep(maxWait)
		synctest.Wait()
		assert.Equal(t, [][]string{{"a", "b"}}, r.runs)
	})
}

func TestBatcher_whoLeavesHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		r := newRecorder(func(ctx context.Context, items []string) error {
			if len(items) == 1 {
				return ctx.Err()
			}
			select {
			case <-goOn:
				return nil
			case <-ctx.Done():
				time.Sleep(time.Second) // a rollback takes time
				return ctx.Err()
			}
		})
		r.failed = func(context.Context, int, error) { t.Error("nobody goes on alone") }
		release := r.hold()
		leave := map[string]context.CancelFunc{}
		left := make(chan string, 4)
		start := func(item string, want error) {
			ctx, cancel := context.WithCancel(t.Context())
			leave[item] = cancel
			go func() {
				_, err := r.do(ctx, item)
				assert.ErrorIs(t, err, want, item)
				left <- item
			}()
			synctest.Wait()
		}
		start("waiting", context.Canceled)
		start("a", context.Canceled)
		start("b", nil)
		leave["waiting"]()
		assert.Equal(t, "waiting", <-left)
		release()
		synctest.Wait()
		leave["a"]()
		assert.Equal(t, "a", <-left)
		close(goOn)
		assert.Equal(t, "b", <-left)
		assert.Equal(t, [][]string{{"a", "b"}}, r.runs)

		// The last one stops the batch, and sees it end.
		goOn = nil
		release = r.hold()
		start("c", context.Canceled)
		start("d", context.Canceled)
		release()
		synctest.Wait()
		leave["c"]()
		assert.Equal(t, "c", <-left)
		stopped := time.Now()
		leave["d"]()
		assert.Equal(t, "d", <-left)
		assert.Equal(t, time.Second, time.Since(stopped))
		synctest.Wait()
		assert.Zero(t, r.running)
	})
}

func TestBatcher_bounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(func(ctx context.Context, items []string) error {
			if items[0] == "slow" && len(items) > 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		r.bytes = func(item string) int {
			return map[string]int{"large": maxBatchBytes * 2 / 3, "huge": 2 * maxBatchBytes}[item]
		}
		r.same = func(a, b string) bool { return (a == "other") == (b == "other") }
		together := func(items ...string) (sizes []int) {
			r.runs = nil
			release := r.hold()
			var wg sync.WaitGroup
			for _, item := range items {
				wg.Go(func() {
					_, err := r.do(t.Context(), item)
					assert.NoError(t, err)
				})
				synctest.Wait()
			}
			release()
			wg.Wait()
			for _, run := range r.runs {
				sizes = append(sizes, len(run))
			}
			return sizes
		}
		assert.ElementsMatch(t, []int{maxBatch, 6}, together(make([]string, maxBatch+6)...))
		assert.ElementsMatch(t, []int{2, 1}, together("large", "large", "small"))
		assert.ElementsMatch(t, []int{1, 1}, together("huge", "small"))
		assert.ElementsMatch(t, []int{2, 1}, together("one", "other", "one"))
		start := time.Now()
		assert.ElementsMatch(t, []int{2, 1, 1}, together("slow", "slow"))
		assert.Equal(t, maxBatchTime, time.Since(start))
	})
}
