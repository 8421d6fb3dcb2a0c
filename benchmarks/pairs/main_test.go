package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRun_printsTheRatiosOfPairs(t *testing.T) {
	var out bytes.Buffer
	folder := t.TempDir()
	count := "echo >> " + folder + "/count; "
	err := run(t.Context(), []string{
		"-n", "4", "-o", folder, "-run",
		"echo 'BenchmarkSame-2 1000 10.0 ns/op'; echo 'BenchmarkSlower-2 1000 100 ns/op'; echo 'BenchmarkOld 1 1 ns/op'",
		count + "echo 'BenchmarkSame-2 1000 10.0 ns/op'; echo \"BenchmarkSlower-2 1000 $(wc -l < " + folder + "/count)00 ns/op 0 B/op\"; echo ok",
	}, &out, io.Discard)
	require.NoError(t, err)
	lines := strings.Split(out.String(), "\n")
	assert.Equal(t, "BenchmarkSame-2                  1.000 (1.000 to 1.000)", lines[0])
	assert.Equal(t, "BenchmarkSlower-2                2.500 (1.000 to 3.000)", lines[1], "of ratios from 1 to 4")
	assert.Empty(t, lines[2], "a benchmark of one side alone is left out")
	for name, line := range map[string]string{"a.txt": "BenchmarkOld 1 1 ns/op\n", "b.txt": "ok\n"} {
		printed, err := os.ReadFile(filepath.Join(folder, name))
		require.NoError(t, err)
		assert.Equal(t, 4, strings.Count(string(printed), line), name)
	}
}

func TestRun_takesTurns(t *testing.T) {
	log := t.TempDir() + "/log"
	say := func(name string) string {
		return "echo " + name + " >> " + log + "; echo 'BenchmarkX 1 1 ns/op'"
	}
	require.NoError(t, run(t.Context(), []string{"-n", "3", "-run", say("a"), say("b")}, io.Discard, io.Discard))
	order, err := output(t.Context(), ".", "cat", log)
	require.NoError(t, err)
	assert.Equal(t, "a b b a a b", strings.ReplaceAll(order, "\n", " "))
}

func TestRun_failsWhereNothingIsMeasured(t *testing.T) {
	for name, args := range map[string][]string{
		"one argument":        {"-run", "true"},
		"no benchmark":        {"-run", "echo ok", "echo ok"},
		"a command fails":     {"-run", "exit 3", "exit 3"},
		"nothing in common":   {"-n", "1", "-run", "echo BenchmarkA 1 1 ns/op", "echo BenchmarkB 1 1 ns/op"},
		"no pair":             {"-n", "0", "-run", "true", "true"},
		"no such commit":      {"no-such-commit", "no-such-commit"},
		"an unreadable value": {"-run", "echo BenchmarkA 1 x ns/op", "echo BenchmarkA 1 1 ns/op"},
	} {
		assert.Error(t, run(t.Context(), args, io.Discard, io.Discard), name)
	}
}
