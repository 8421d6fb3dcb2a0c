package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func TestMetrics_countGoodDuplicateUnsignedAndFailingDeliveries(t *testing.T) {
	tel := testTelemetry(t)
	webhook, _ := testReceiver(t, tel, "", func(_ context.Context, e *ittybit.Event) error {
		if e.Task.ID == "task_bad" {
			return errors.New("broken")
		}
		return nil
	})
	assert.Equal(t, http.StatusOK, deliver(webhook, completed("task_1")))
	assert.Equal(t, http.StatusOK, deliver(webhook, completed("task_1")))
	assert.Equal(t, http.StatusUnauthorized, deliver(webhook, completed("task_1"), unsigned))
	assert.Equal(t, http.StatusInternalServerError, deliver(webhook, completed("task_bad")))
	assert.Equal(t, http.StatusInternalServerError, deliver(webhook, completed("task_bad")))
	assert.Equal(t, http.StatusBadRequest, deliver(webhook, `[]`))

	text := metricsOf(t, tel, "")
	for _, line := range []string{
		`ittybit_webhook_deliveries_total{event="task.completed",outcome="handled",status="200"} 1`,
		`ittybit_webhook_deliveries_total{event="task.completed",outcome="duplicate",status="200"} 1`,
		`ittybit_webhook_deliveries_total{event="none",outcome="signature_missing",status="401"} 1`,
		`ittybit_webhook_deliveries_total{event="task.completed",outcome="failed",status="500"} 2`,
		`ittybit_webhook_deliveries_total{event="none",outcome="malformed_event",status="400"} 1`,
		`ittybit_webhook_duration_seconds_count{outcome="failed"} 2`,
		`ittybit_webhook_in_flight 0`,
		`ittybit_webhook_age_seconds_count{since="event"} 4`,
		`ittybit_webhook_age_seconds_bucket{since="event",le="604800"} 0`, // the task ended in 2025
		`ittybit_webhook_age_seconds_count{since="signature"} 5`,
		`ittybit_webhook_age_seconds_bucket{since="signature",le="60"} 5`,
		fmt.Sprintf(`ittybit_webhook_body_size_bytes_sum{outcome="handled"} %d`, len(completed("task_1"))),
	} {
		assert.Contains(t, text, line+"\n")
	}
}

func TestMetrics_countWhatIsInFlight(t *testing.T) {
	tel := testTelemetry(t)
	begun, end := make(chan struct{}), make(chan struct{})
	webhook, _ := testReceiver(t, tel, "", func(context.Context, *ittybit.Event) error {
		begun <- struct{}{}
		<-end
		return nil
	})
	answers := make(chan int, 2)
	for i := range 2 {
		go func() { answers <- deliver(webhook, completed(fmt.Sprintf("task_%d", i))) }()
	}
	<-begun
	<-begun
	assert.Contains(t, metricsOf(t, tel, ""), "ittybit_webhook_in_flight 2\n")
	close(end)
	assert.Equal(t, []int{200, 200}, []int{<-answers, <-answers})
	assert.Contains(t, metricsOf(t, tel, ""), "ittybit_webhook_in_flight 0\n")
}

func TestMetrics_nobodyCanMakeUpSeries(t *testing.T) {
	tel := testTelemetry(t)
	webhook, _ := testReceiver(t, tel, "", func(context.Context, *ittybit.Event) error { return nil })
	attack := func(i int) {
		name := fmt.Sprintf("made-up-%d", i)
		strange := func(req *http.Request) {
			req.Host = fmt.Sprintf("%s.example:%d", name, 1000+i)
			req.Header.Set("User-Agent", name)
			req.Header.Set("X-Forwarded-For", fmt.Sprintf("10.0.0.%d", i))
			req.URL.RawQuery = name
		}
		require.Equal(t, http.StatusOK, deliver(webhook, `{"id":"`+name+`","object":"event","kind":"`+name+`.created","data":{}}`, strange))
		deliver(webhook, completed(name), strange, unsigned)
	}
	attack(0)
	before := metricsOf(t, tel, "")
	for i := range 50 {
		attack(i + 1)
	}
	after := metricsOf(t, tel, "")
	assert.Equal(t, strings.Count(before, "\n"), strings.Count(after, "\n"), after)
	assert.NotContains(t, after, "made-up")
	assert.Contains(t, after, `ittybit_webhook_deliveries_total{event="other",outcome="handled",status="200"} 51`)
	assert.Contains(t, after, "http_server_request_duration_seconds_count{") // otelhttp's are among them
}
