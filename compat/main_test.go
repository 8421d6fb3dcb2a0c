package compat

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rowVariable names the row that a child process of the tests is to mount.
const rowVariable = "ITTYBIT_COMPAT_ROW"

func TestMain(m *testing.M) {
	if name := os.Getenv(rowVariable); name != "" {
		serveRow(name)
		return
	}
	flag.Parse()
	// The rows spend their time waiting for slow senders and slow handlers.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestRows runs each delivery through each row.
func TestRows(t *testing.T) {
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			requireVersions(t, r.modules)
			r.run(t)
		})
	}
}

// requireVersions fails where a row describes other versions than those that go.mod requires, so
// that nobody raises one without checking what the row says of it.
func requireVersions(t *testing.T, modules []string) {
	t.Helper()
	required, err := os.ReadFile("go.mod") // a test's binary does not know what it is built of
	require.NoError(t, err)
	for _, module := range modules {
		path, version, _ := strings.Cut(module, "@")
		require.Regexp(t, `(?m)^\s`+regexp.QuoteMeta(path+" "+version)+`(\s|$)`, string(required), "the row describes %s", module)
	}
}

// TestRows_haveNamesOfTheirOwn guards the look-up of a child process.
func TestRows_haveNamesOfTheirOwn(t *testing.T) {
	deliveryNames := make(map[string]bool)
	for _, d := range deliveries() {
		require.False(t, deliveryNames[d.name], d.name)
		deliveryNames[d.name] = true
	}
	rowNames := make(map[string]bool)
	for _, r := range rows() {
		require.False(t, rowNames[r.name], r.name)
		rowNames[r.name] = true
		for name := range r.differs {
			require.True(t, deliveryNames[name], "%s: there is no delivery %q", r.name, name)
		}
	}
}
