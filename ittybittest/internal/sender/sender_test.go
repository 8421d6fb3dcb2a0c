package sender

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ittybit/ittybit-go/ittybittest/internal/lifecycle"
)

var errRefused = errors.New("refused")

type answers func(*http.Request) (*http.Response, error)

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// bed is a sender in fake time, and what it recorded.
type bed struct {
	*Sender
	mu      sync.Mutex
	records []Attempt
}

func (b *bed) all() []Attempt {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Attempt{}, b.records...)
}

// run tests a sender whose receiver answers with these statuses, and then with 200.
func run(t *testing.T, statuses []int, change func(*Config), f func(b *bed)) {
	synctest.Test(t, func(t *testing.T) {
		b, ids, life := &bed{}, 0, lifecycle.New()
		receiver := answers(func(r *http.Request) (*http.Response, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			status := http.StatusOK
			if len(statuses) > 0 {
				status, statuses = statuses[0], statuses[1:]
			}
			return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader([]byte("ok")))}, r.Context().Err()
		})
		c := Config{
			Life: life, Transport: receiver, Unbuffered: receiver,
			NewID:    func() string { ids++; return fmt.Sprint("dlv_", ids) },
			Sign:     func(at time.Time, body []byte) string { return fmt.Sprint(at.Minute(), string(body)) },
			Wait:     func(attempt int) time.Duration { return time.Duration(attempt) * time.Minute },
			Attempts: 3, Timeout: time.Second,
			Spread: func() (int, time.Duration) { return 0, 0 },
			Fault:  func(Attempt) Fault { return Fault{} },
			Refuse: func(*http.Request) error { return nil }, Refused: errRefused,
			Record: func(a Attempt) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.records = append(b.records, a)
			},
		}
		if change != nil {
			change(&c)
		}
		b.Sender = New(c)
		f(b)
		life.Stop()
		life.Wait()
		assert.Empty(t, b.underWay)
	})
}

func TestSend_attemptsUntilConfirmed(t *testing.T) {
	run(t, []int{500, 204}, nil, func(b *bed) {
		id, ok := b.Send("https://example.com", []byte("x"))
		assert.True(t, ok)
		time.Sleep(time.Hour)
		got := b.all()
		assert.Len(t, got, 3)
		for i, a := range got {
			assert.Equal(t, []any{id, i + 1, i == 2, i == 2}, []any{a.ID, a.Attempt, a.Final, a.Delivered()})
			assert.Equal(t, fmt.Sprint([]int{0, 1, 3}[i], "x"), a.Signature, "each is signed at its own time")
		}
	})
}

func TestSend_endsWithItsAttempts(t *testing.T) {
	run(t, []int{500, 500, 500, 500}, func(c *Config) { c.SignOnce = true }, func(b *bed) {
		b.Send("https://example.com", []byte("x"))
		time.Sleep(time.Hour)
		got := b.all()
		assert.Len(t, got, 3)
		assert.True(t, got[2].Final)
		assert.False(t, got[2].Delivered())
		assert.Equal(t, got[0].Signature, got[2].Signature)
	})
}

func TestSend_dialsNothingThatIsRefused(t *testing.T) {
	run(t, nil, func(c *Config) { c.Refuse = func(*http.Request) error { return errRefused } }, func(b *bed) {
		b.Send("https://example.com", nil)
		got := b.all()
		assert.Len(t, got, 1)
		assert.ErrorIs(t, got[0].Err, errRefused)
		assert.True(t, got[0].Final)
	})
}

func TestCancel(t *testing.T) {
	run(t, []int{500, 500}, nil, func(b *bed) {
		id, _ := b.Send("https://example.com", nil)
		assert.Len(t, b.all(), 1)
		assert.True(t, b.Cancel(id))
		assert.False(t, b.Cancel(id))
		got := b.all()
		assert.ErrorIs(t, got[1].Err, errCancelled)
		assert.True(t, got[1].Final)
		time.Sleep(time.Hour)
		assert.Len(t, b.all(), 2)
	})
}

func TestSend_holdsBackAndReverses(t *testing.T) {
	window := func(c *Config) { c.Spread = func() (int, time.Duration) { return 1, time.Minute } }
	run(t, nil, window, func(b *bed) {
		b.Send("https://example.com", []byte("first"))
		b.Send("https://example.com", []byte("second"))
		assert.Empty(t, b.all())
		time.Sleep(time.Minute)
		order := []string{}
		for _, a := range b.all() {
			order = append(order, fmt.Sprint(string(a.Body), a.Copy))
		}
		assert.Equal(t, []string{"second1", "second0", "first1", "first0"}, order)
	})
}

func TestSend_afterTheEnd(t *testing.T) {
	run(t, nil, nil, func(b *bed) {
		b.Life.Stop()
		_, ok := b.Send("https://example.com", nil)
		assert.False(t, ok)
		assert.Empty(t, b.all())
	})
}
