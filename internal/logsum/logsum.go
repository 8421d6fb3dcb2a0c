// Package logsum keeps what strangers can cause from filling a log. Of each kind of line a few are
// written as they come, then sums, at most one a second.
package logsum

import (
	"sync"
	"time"
)

const (
	burst    = 5           // lines of a kind that are written as they come
	interval = time.Second // after which one more may be written
)

// Limiter decides which lines are written. It is safe for concurrent use, and has no goroutine: a
// timer writes the last sum, and only while there is one to write.
type Limiter[K comparable, L any] struct {
	writeSum func(last L, count int)

	mu    sync.Mutex
	kinds map[K]*kind[L]
}

// kind is the state of one kind of line: a bucket of tokens, and the lines that wait for the next.
type kind[L any] struct {
	tokens   float64
	refilled time.Time
	waiting  int
	last     L         // of those that wait
	due      time.Time // when the timer writes their sum
}

// New makes a limiter. It calls writeSum, in a goroutine of a timer, for lines that were not
// written as they came: with the last of them, and their number.
func New[K comparable, L any](writeSum func(last L, count int)) *Limiter[K, L] {
	return &Limiter[K, L]{writeSum: writeSum, kinds: make(map[K]*kind[L])}
}

// Admit gives the number of lines that line stands for, if it is to be written now: as a rule one.
// At 0 it must not be written; it is part of a sum that is written within a second.
func (l *Limiter[K, L]) Admit(key K, line L) int {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[key]
	if k == nil {
		k = &kind[L]{tokens: burst, refilled: now}
		l.kinds[key] = k
	}
	k.refill(now)
	switch {
	case k.waiting == 0 && k.tokens >= 1:
		k.tokens--
		return 1
	case k.waiting > 0 && now.Sub(k.due).Abs() > 2*interval: // the timer was of a clock that has ended
		count := k.waiting + 1
		k.take()
		return count
	}
	k.waiting++
	k.last = line
	if k.waiting == 1 {
		wait := time.Duration((1 - k.tokens) * float64(interval))
		k.due = now.Add(wait)
		time.AfterFunc(wait, func() { l.flush(k) })
	}
	return 0
}

func (l *Limiter[K, L]) flush(k *kind[L]) {
	l.mu.Lock()
	k.refill(time.Now())
	last, count := k.take()
	l.mu.Unlock()
	if count > 0 {
		l.writeSum(last, count)
	}
}

func (k *kind[L]) refill(now time.Time) {
	if passed := now.Sub(k.refilled); passed > 0 {
		k.tokens = min(burst, k.tokens+passed.Seconds()/interval.Seconds())
	}
	k.refilled = now
}

// take gives the lines that wait, for a token.
func (k *kind[L]) take() (last L, count int) {
	last, k.last = k.last, last
	count, k.waiting = k.waiting, 0
	k.tokens = max(0, k.tokens-1)
	return last, count
}
