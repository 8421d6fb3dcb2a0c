package logsum_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/internal/logsum"
)

// line is one line of the log.
type line struct {
	text  string
	count int
	at    time.Duration
	sum   bool // written by the timer
}

// testLog is a log behind a limiter.
type testLog struct {
	*logsum.Limiter[string, string]
	start time.Time

	mu    sync.Mutex
	lines []line
}

func newTestLog() *testLog {
	l := &testLog{start: time.Now()}
	l.Limiter = logsum.New[string](func(last string, count int) { l.note(last, count, true) })
	return l
}

func (l *testLog) note(text string, count int, sum bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line{text, count, time.Since(l.start), sum})
}

func (l *testLog) add(key, text string) {
	if count := l.Admit(key, text); count > 0 {
		l.note(text, count, false)
	}
}

func (l *testLog) written() []line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]line(nil), l.lines...)
}

func TestLimiter_writesAFewLinesAsTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newTestLog()
		for _, text := range []string{"a", "b", "c", "d", "e"} {
			log.add("x", text)
		}
		time.Sleep(time.Hour)
		assert.Equal(t, []line{{"a", 1, 0, false}, {"b", 1, 0, false}, {"c", 1, 0, false}, {"d", 1, 0, false}, {"e", 1, 0, false}}, log.written())
	})
}

func TestLimiter_addsUpAFlood(t *testing.T) {
	for name, tt := range map[string]struct {
		every, flood time.Duration
		lines        int // at most
	}{
		"a thousand a second for ten seconds": {time.Millisecond, 10 * time.Second, 16},
		"three a second for a minute":         {333 * time.Millisecond, time.Minute, 66},
		"all at once":                         {0, 0, 6},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newTestLog()
				sent := 0
				for start := time.Now(); sent == 0 || time.Since(start) < tt.flood || tt.flood == 0 && sent < 1000; sent++ {
					log.add("x", "text")
					time.Sleep(tt.every)
				}
				end := time.Since(log.start)
				time.Sleep(time.Hour)
				sum := 0
				for _, line := range log.written() {
					sum += line.count
				}
				assert.Equal(t, sent, sum)
				assert.LessOrEqual(t, len(log.written()), tt.lines)
				last := log.written()[len(log.written())-1]
				assert.LessOrEqual(t, last.at-end, time.Second, "the last sum comes soon")
			})
		})
	}
}

func TestLimiter_sumsSayTheLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newTestLog()
		for range 5 {
			log.add("x", "first")
		}
		log.add("x", "second")
		time.Sleep(300 * time.Millisecond)
		log.add("x", "third")
		time.Sleep(time.Hour)
		require.Len(t, log.written(), 6)
		assert.Equal(t, line{"third", 2, time.Second, true}, log.written()[5])
	})
}

func TestLimiter_forgivesWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newTestLog()
		for range 100 {
			log.add("x", "text")
		}
		time.Sleep(3 * time.Second) // a sum after one, and two lines more may be written
		before := len(log.written())
		for range 100 {
			log.add("x", "text")
		}
		assert.Equal(t, 2, len(log.written())-before)
		time.Sleep(time.Hour)
		before = len(log.written())
		for range 100 {
			log.add("x", "text")
		}
		assert.Equal(t, 5, len(log.written())-before, "never more than five at once")
		time.Sleep(time.Second)
	})
}

func TestLimiter_keepsKindsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newTestLog()
		for range 100 {
			log.add("x", "flood")
		}
		log.add("y", "alone")
		assert.Equal(t, line{"alone", 1, 0, false}, log.written()[5])
		time.Sleep(2 * time.Second)
		assert.Equal(t, line{"flood", 95, time.Second, true}, log.written()[6])
	})
}

// A timer of a bubble does not fire once the bubble has ended. What waited for it is not lost.
func TestLimiter_outlivesTheClockOfATest(t *testing.T) {
	log := newTestLog()
	synctest.Test(t, func(*testing.T) {
		for range 10 {
			log.add("x", "in the bubble")
		}
	})
	assert.Len(t, log.written(), 5)
	log.add("x", "outside")
	lines := log.written()
	assert.Equal(t, "outside", lines[len(lines)-1].text)
	assert.Equal(t, 6, lines[len(lines)-1].count)
}

func TestLimiter_isSharedByManyGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newTestLog()
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				for range 100 {
					log.add("x", "text")
					time.Sleep(time.Millisecond)
				}
			})
		}
		group.Wait()
		time.Sleep(time.Hour)
		sum := 0
		for _, line := range log.written() {
			sum += line.count
		}
		assert.Equal(t, 5000, sum)
	})
}
