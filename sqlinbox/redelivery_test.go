package sqlinbox_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

func TestRedelivery_25HoursLaterHasNoEffect(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		h := b.inbox.Wrap(ittybit.EventHandlerFunc(effect))
		now := time.Now()
		clock := func() time.Time { return now }
		var outcomes []ittybit.Outcome
		webhook, err := ittybit.NewWebhookHandler(testSecret, h, ittybit.WithTolerance(72*time.Hour), ittybit.WithClock(clock),
			ittybit.WithObserver(func(_ context.Context, d ittybit.Delivery) { outcomes = append(outcomes, d.Outcome) }))
		require.NoError(t, err)
		for _, signed := range []time.Duration{0, 0, 25 * time.Hour} { // the second redelivery is signed anew
			request := ittybittest.NewWebhookRequest(testSecret, taskBody(1))
			request.Header.Set(ittybit.SignatureHeader, ittybit.SignWebhook(testSecret, time.Now().Add(signed), []byte(taskBody(1))))
			answer := httptest.NewRecorder()
			webhook.ServeHTTP(answer, request)
			assert.Equal(t, http.StatusOK, answer.Code)
			if time.Until(now) < time.Hour { // 25 hours pass, for the verifier and for the table
				now = now.Add(25 * time.Hour)
				b.age(t, 25*time.Hour)
				_, err := b.inbox.Prune(t.Context(), 30*24*time.Hour)
				require.NoError(t, err)
			}
		}
		assert.Equal(t, []ittybit.Outcome{ittybit.OutcomeHandled, ittybit.OutcomeDuplicate, ittybit.OutcomeDuplicate}, outcomes)
		assert.Equal(t, 1, b.effects(t))
	})
}

// age makes all rows as if they had been received so much earlier, and gives when.
func (b *bench) age(t *testing.T, by time.Duration) time.Time {
	t.Helper()
	received := time.Now().UTC().Add(-by).Truncate(time.Microsecond)
	var value any = received
	if b.dialect == sqlinbox.SQLite {
		value = received.Format("2006-01-02T15:04:05.000000Z")
	}
	b.exec(t, "UPDATE ittybit_inbox SET received_at = $1, handled_at = $1", value)
	return received
}
