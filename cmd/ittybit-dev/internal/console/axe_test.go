package console_test

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

// axe-core finds what keeps people with disabilities from using a page.
const (
	axeVersion = "4.14.1"
	axeSHA256  = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c" // of axe.min.js
)

// axe gives the script, which npm brings once for a machine.
func axe(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	file := filepath.Join(cache, "ittybit-go-ci", "axe-core-"+axeVersion+".min.js")
	if script, err := os.ReadFile(file); err == nil && isAxe(script) {
		return string(script)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("npm is not installed: axe-core does not check the console.")
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), npm, "pack", "axe-core@"+axeVersion, "--silent", "--pack-destination", dir)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	script, err := unpack(filepath.Join(dir, "axe-core-"+axeVersion+".tgz"), "package/axe.min.js")
	require.NoError(t, err)
	require.True(t, isAxe(script), "it is not the script that was looked at")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, script, 0o600))
	return string(script)
}

func isAxe(script []byte) bool {
	sum := sha256.Sum256(script)
	return hex.EncodeToString(sum[:]) == axeSHA256
}

// unpack gives one file of an archive.
func unpack(archive, name string) ([]byte, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	files := tar.NewReader(unzipped)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s has no %s", archive, name)
		}
		if err != nil {
			return nil, err
		}
		if header.Name == name {
			return io.ReadAll(files)
		}
	}
}

// finding is what axe says of an element.
type finding struct {
	ID    string
	Help  string
	Nodes []struct{ HTML, FailureSummary string }
}

// These are what axe is asked for. Colours are all that is not the same in dark.
const (
	allRules = `["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]`
	contrast = `{type: "rule", values: ["color-contrast"]}`
)

// findings has axe check the page as it is. The script is evaluated by the debugger, so the page's
// policy holds.
func (p *tab) findings(rules string) []finding {
	p.t.Helper()
	return eval[[]finding](p, `axe.run(document, {runOnly: `+rules+`, resultTypes: ["violations"]})
		.then((r) => r.violations.map((v) => ({id: v.id, help: v.help, nodes: v.nodes.map((n) => ({html: n.html, failureSummary: n.failureSummary}))})))`)
}

func TestAccessibility(t *testing.T) {
	script := axe(t)
	b := start(t, nil, ittybittest.WithTaskDuration(time.Hour), ittybittest.WithBackoff(ittybittest.Backoff{First: 10 * time.Millisecond, Attempts: 4}))
	id := fill(b)
	p := b.live("")
	eval[chromedp.Void](p, script)
	for _, c := range []struct {
		name, hash, selector, text, act string
		both                            bool // dark and light, and not dark alone
	}{
		{"list", "#/deliveries", ".row", "task.", "", true},
		{"delivery", "#/deliveries/" + id, ".detail", "Accept it", "[...document.querySelectorAll('.detail details')].forEach((d) => { d.open = true; })", true},
		{"bytes", "#/deliveries/" + id, ".detail", "Accept it", "[...document.querySelectorAll('.segments button')].at(-1).click()", false},
		{"compose", "#/compose", "main", "Compose", "", true},
		{"a payload that is not JSON", "#/compose", "main", "Compose", "(() => { const e = document.getElementById('payload'); e.value = '{'; e.dispatchEvent(new Event('input')); })()", false},
		{"tasks", "#/tasks", "tbody", "processing", "document.querySelector('.disclosure').click()", false},
		{"media", "#/media", "main", "beach", "", false},
		{"automations", "#/automations", ".graph", "conditions", "", false},
		{"faults", "#/faults", "main", "503", "", false},
	} {
		p.show(c.hash)
		p.waitText(c.selector, c.text)
		if c.act != "" {
			eval[chromedp.Void](p, c.act)
		}
		schemes := map[string]string{"dark": allRules}
		if c.both {
			schemes = map[string]string{"light": allRules, "dark": contrast}
		}
		for scheme, rules := range schemes {
			p.scheme(scheme)
			for _, f := range p.findings(rules) {
				for _, node := range f.Nodes {
					assert.Fail(t, c.name+", "+scheme+": "+f.ID+": "+f.Help, "%s\n%s", node.HTML, node.FailureSummary)
				}
			}
		}
	}
	p.run(chromedp.EmulateViewport(390, 800))
	p.show("#/deliveries/" + id)
	p.waitText(".detail", "Accept it")
	assert.Empty(t, p.findings(allRules), "narrow")

	q := newTab(t)
	q.run(chromedp.Navigate(start(t, nil).url)) // another port, where the browser is not signed in
	q.waitText("main", "Token or password")
	eval[chromedp.Void](q, script)
	assert.Empty(t, q.findings(allRules), "sign in")
	// The check can fail.
	eval[chromedp.Void](q, `document.querySelector("label").remove()`)
	assert.NotEmpty(t, q.findings(allRules))
}
