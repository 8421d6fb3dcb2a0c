package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain fails the run where a test has left a goroutine behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			_, _ = fmt.Fprintln(os.Stderr, "FAIL: goroutines are left after the tests:")
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
			code = max(code, 1)
			break
		}
	}
	os.Exit(code)
}

func TestRun_printsTheSectionThatWasAskedFor(t *testing.T) {
	for section, wants := range map[string][]string{
		"verify": {"### Targets", "### Verify\n", "| Verify, 64 KB |", "| stripe-go |"},
		"client": {"| Tasks.Get, loopback, on the wall |", "| ittybit-go |"},
	} {
		t.Run(section, func(t *testing.T) {
			var out bytes.Buffer
			require.NoError(t, run([]string{"-section", section, "-rounds", "1"}, &out, io.Discard))
			for _, want := range append(wants, runtime.Version(), "1 rounds") {
				assert.Contains(t, out.String(), want)
			}
			assert.NotContains(t, out.String(), "NaN")
			assert.NotContains(t, out.String(), "Inf")
		})
	}
}

func TestRun_refusesWhatItCannotDo(t *testing.T) {
	require.ErrorContains(t, run([]string{"-section", "nonsense"}, io.Discard, io.Discard), `section "nonsense": there are verify, parse`)
	require.ErrorContains(t, run([]string{"-rounds", "0"}, io.Discard, io.Discard), "rounds")
	require.Error(t, run([]string{"-nonsense"}, io.Discard, io.Discard))
}

func TestPeerVersions_areThoseOfTheModuleFile(t *testing.T) {
	file, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	for _, peer := range peerModules() {
		assert.Contains(t, string(file), "\tgithub.com/"+peer, "the report names a peer that is not there")
	}
}

func TestReport_saysWhichTargetsWereReached(t *testing.T) {
	r := &report{plan: plan{rounds: 7}}
	r.target("fast", "≤ 2", true, "%v", spread{1.5, 1.25, 1.75})
	r.target("slow", "≤ 2", false, "%v", spread{25, 24, 26})
	r.table([][]string{{"a", "b"}, {"1", "2"}})
	var out bytes.Buffer
	require.NoError(t, r.write(&out, time.Minute))
	assert.Contains(t, out.String(), "7 rounds, 60 s")
	assert.Contains(t, out.String(), "| fast | ≤ 2 | 1.50 (1.25–1.75) | yes |\n| slow | ≤ 2 | 25.0 (24.0–26.0) | **no** |\n")
	assert.True(t, strings.HasSuffix(out.String(), "| a | b |\n| --- | --- |\n| 1 | 2 |\n"), out.String())
}
