package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func TestEndpoints_handleWhatIsSignedAndRefuseAFlippedByte(t *testing.T) {
	ours, err := ourEndpoints(10)
	require.NoError(t, err)
	d := signDeliveries(1, sizes()[0].bytes)[0]
	post := func(e endpoint, body []byte) int {
		r := httptest.NewRequest(http.MethodPost, "/ittybit-webhook", bytes.NewReader(body))
		r.Header.Set(ittybit.SignatureHeader, d.header)
		w := httptest.NewRecorder()
		e.handler.ServeHTTP(w, r)
		return w.Code
	}
	for _, e := range append([]endpoint{handWrittenEndpoint()}, ours...) {
		flipped := bytes.Clone(d.body)
		flipped[len(flipped)/2] ^= 1
		assert.Equal(t, http.StatusUnauthorized, post(e, flipped), e.name)
		assert.Zero(t, e.handled.Load(), e.name)
		assert.Equal(t, http.StatusOK, post(e, d.body), e.name)
		assert.EqualValues(t, 1, e.handled.Load(), e.name)
		assert.Equal(t, http.StatusOK, post(e, d.body), e.name)
		if e.name == deduplicatedName {
			assert.EqualValues(t, 1, e.handled.Load(), "a repeat is not handled")
		} else {
			assert.EqualValues(t, 2, e.handled.Load(), e.name)
		}
	}
}

func TestDeliveries_comeBackOnlyWhenTheyAreForgotten(t *testing.T) {
	large := sizes()[2].bytes
	count := poolSize(large) / 4
	ours, err := ourEndpoints(count / 2)
	require.NoError(t, err)
	serve := serveInProcess(ours[1], &deliveries{all: signDeliveries(count, large)})
	for range count + count/2 {
		require.NoError(t, serve())
	}
}

func TestCompareLoads_countsEveryDelivery(t *testing.T) {
	for _, s := range scenarios() {
		targets, err := compareLoads(plan{rounds: 2}, s, 5*time.Millisecond)
		require.NoError(t, err, s.name)
		require.Len(t, targets, 4)
		for _, target := range targets {
			for _, values := range [][]float64{target.load.throughput, target.load.p50, target.load.p99} {
				require.NotEmpty(t, values)
				for _, value := range values {
					assert.Positive(t, value)
				}
			}
			if target.endpoint.handled != nil {
				assert.Equal(t, target.pool.served.Load(), target.endpoint.handled.Load(), "%s, %s", s.name, target.endpoint.name)
			}
		}
	}
}

func TestLeanClient_reportsWhatIsNotOK(t *testing.T) {
	s, err := serve(http.NotFoundHandler())
	require.NoError(t, err)
	defer s.stop()
	for _, s2 := range scenarios()[:2] {
		c, err := s2.dial(s.address)
		require.NoError(t, err)
		for range 2 { // the connection is fit for more
			assert.ErrorContains(t, c.post(&signDeliveries(1, s2.size)[0]), "status 404")
		}
		c.close()
	}
}

func TestMeasureFloods_answersEverybodyAndHandlesNothingUnsigned(t *testing.T) {
	const senders = 40
	floods, err := measureFloods(senders, 256<<10)
	require.NoError(t, err)
	require.Len(t, floods, 3)
	for _, f := range floods {
		assert.EqualValues(t, senders, f.answered+f.refused+f.denied+f.broken, f.name)
		assert.Positive(t, f.peak, f.name)
	}
	assert.EqualValues(t, senders, floods[0].answered)
	assert.EqualValues(t, senders, floods[1].answered, "all of them fit the budget")
	assert.EqualValues(t, senders, floods[2].denied)
}
