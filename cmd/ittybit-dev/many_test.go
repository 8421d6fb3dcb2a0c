package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serve keeps its deliveries on the disk: with 100,000 of them (ITTYBIT_TEST_DELIVERIES=full) its
// memory stays below 200 MiB, which is asserted where Linux says what it is and the race detector
// does not need more. How long the first page takes is printed.
func TestServe_keepsManyDeliveries(t *testing.T) {
	count := 500
	if os.Getenv("ITTYBIT_TEST_DELIVERIES") == "full" {
		count = 100_000
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	t.Cleanup(receiver.Close)
	for name, args := range map[string][]string{"in a temporary file": nil, "with --data": {"--data", t.TempDir()}} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"serve", "--addr", "127.0.0.1:0", "--storage-addr", "127.0.0.1:0", "--console-addr", ""}, args...)
			srv := startProcess(t, args...)
			srv.waitFor("until Ctrl-C")
			url := regexp.MustCompile(`ITTYBIT_URL=(\S+)`).FindStringSubmatch(srv.String())[1]
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
			t.Cleanup(client.CloseIdleConnections)
			todo := make(chan struct{}, count)
			for range count {
				todo <- struct{}{}
			}
			close(todo)
			var sending sync.WaitGroup
			for range 16 {
				sending.Go(func() {
					for range todo {
						body := strings.NewReader(`{"url":"` + receiver.URL + `","event":"task.completed","kind":"speech","wait":true}`)
						resp, err := client.Post(url+"/_local/events", "application/json", body)
						if !assert.NoError(t, err) {
							return
						}
						_, _ = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				})
			}
			sending.Wait()

			var times []time.Duration
			for range 50 {
				start := time.Now()
				resp, err := client.Get(url + "/_local/deliveries")
				require.NoError(t, err)
				var page deliveryPage
				require.NoError(t, json.NewDecoder(resp.Body).Decode(&page))
				resp.Body.Close()
				times = append(times, time.Since(start))
				require.Len(t, page.Deliveries, 50)
				require.LessOrEqual(t, int64(count), page.Deliveries[0].Number, "more, where attempts were repeated")
			}
			slices.Sort(times)
			status, err := os.ReadFile("/proc/" + strconv.Itoa(srv.cmd.Process.Pid) + "/status")
			found := regexp.MustCompile(`VmHWM:\s*(\d+) kB`).FindSubmatch(status)
			if err != nil || found == nil {
				t.Skip("this system does not say how much memory a process has")
			}
			peak, err := strconv.Atoi(string(found[1]))
			require.NoError(t, err)
			t.Logf("%d deliveries: %d MiB of memory at most; the first page takes %v (median), %v (longest)", count, peak>>10, times[25], times[49])
			if !raceEnabled {
				assert.Less(t, peak, 200<<10)
			}
		})
	}
}
