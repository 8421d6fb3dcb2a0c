package console_test

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	devtools "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/cmd/ittybit-dev/internal/console"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// A browser opens six connections to a host. Eight tabs stay live all the same, also when the one
// that holds the stream is closed, or put to sleep.
func TestLive_inEightTabs(t *testing.T) {
	b := start(t, nil)
	tabs := make([]*tab, 8)
	for i := range tabs {
		tabs[i] = b.live("")
	}
	assert.Len(t, b.requests.matching("/stream"), 1, "one tab holds the stream")
	id := b.send(completed("nsfw"))
	for i, p := range tabs {
		p.wait(rows + ` === 1`)
		assert.Equal(t, []string{id}, p.ids(), i)
	}
	require.NoError(t, chromedp.Cancel(tabs[0].ctx))
	tabs = tabs[1:]
	b.send(completed("video"))
	for _, p := range tabs {
		p.wait(rows + ` === 2`)
	}
	require.Eventually(t, func() bool { return len(b.requests.matching("/stream")) == 2 }, deadline, 10*time.Millisecond)

	// One that slept missed what came meanwhile, and catches up when it is looked at.
	asleep := tabs[3]
	asleep.lifecycle(page.SetWebLifecycleStateStateFrozen)
	for range 3 {
		b.send(completed("speech"))
	}
	tabs[0].wait(rows + ` === 5`)
	asleep.wake()
	asleep.wait(rows + ` === 5`)
	assert.Equal(t, tabs[0].ids(), asleep.ids())
	for _, p := range tabs { // each reads the list once, and again only where it missed something
		assert.Equal(t, "live", eval[string](p, `document.getElementById("live").dataset.state`))
	}
	assert.LessOrEqual(t, len(b.requests.matching("GET /api/_local/deliveries?")), 8+2)
}

// lifecycle puts a tab to sleep, out of sight, or lets it go on there.
func (p *tab) lifecycle(state page.SetWebLifecycleStateState) {
	_, err := chromedp.Call(p.ctx, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: state})
	require.NoError(p.t, err)
}

// wake lets a tab that slept go on, in sight.
func (p *tab) wake() {
	p.lifecycle(page.SetWebLifecycleStateStateActive)
	window, err := chromedp.Call(p.ctx, devtools.GetWindowForTarget, devtools.GetWindowForTargetParams{})
	require.NoError(p.t, err)
	for _, state := range []devtools.WindowState{devtools.WindowStateMinimized, devtools.WindowStateNormal} {
		_, err := chromedp.Call(p.ctx, devtools.SetWindowBounds, devtools.SetWindowBoundsParams{
			WindowID: window.WindowID, Bounds: &devtools.Bounds{WindowState: state},
		})
		require.NoError(p.t, err)
	}
}

// The server and the console are started again, and meanwhile there were deliveries. The page goes
// on without a reload, with all that the server's list has.
func TestLive_acrossARestart(t *testing.T) {
	store := &records{}
	b := start(t, nil, ittybittest.WithDeliveryStore(store))
	p := b.live("")
	b.send(completed("nsfw"))
	p.wait(rows + ` === 1`)
	b.stop()
	p.wait(`document.getElementById("live").dataset.state === "off"`)
	b.srv.Close()

	b.srv = ittybittest.NewServer(ittybittest.WithControl(""), ittybittest.WithAPIKey(key), ittybittest.WithDeliveryStore(store))
	t.Cleanup(b.srv.Close)
	b.send(completed("video")) // nobody saw it
	b.serveAgain(nil)
	p.wait(rows + ` === 2`)
	p.wait(`document.getElementById("live").dataset.state === "live"`)
	b.send(completed("speech"))
	p.wait(rows + ` === 3`)
	for i, d := range []string{"speech", "video", "nsfw"} {
		assert.Contains(t, p.text(`[aria-rowindex="`+string(rune('2'+i))+`"]`), d)
	}
}

// The stream is cut, as by a laptop's sleep. It goes on where it was: nothing is read again.
func TestLive_resumesTheStream(t *testing.T) {
	b := start(t, nil)
	p := b.live("")
	b.send(completed("nsfw"))
	p.wait(rows + ` === 1`)
	b.stop()
	p.wait(`document.getElementById("live").dataset.state === "off"`)
	var ids []string
	for range 3 {
		ids = append([]string{b.send(completed("video"))}, ids...)
	}
	b.serveAgain(nil)
	p.wait(rows + ` === 4`)
	assert.Equal(t, ids, p.ids()[:3])
	assert.Len(t, b.requests.matching("GET /api/_local/deliveries?"), 1)
	resumed := b.requests.matching("/stream")
	require.Len(t, resumed, 2)
	assert.Regexp(t, `last_event_id=\w+-1$`, resumed[1])
}

// A tab that is no longer signed in says so.
func TestLive_saysThatTheSessionIsOver(t *testing.T) {
	b := start(t, nil)
	p := b.live("")
	b.stop()
	b.serveAgain(func(c *console.Config) { c.Token = "another token, of another start of it" })
	p.show("#/tasks")
	p.waitText("#notice", "Open the address that ittybit-dev printed")
}

// serveAgain serves the console at the address that it had.
func (b *bed) serveAgain(change func(*console.Config)) {
	b.t.Helper()
	l, err := net.Listen("tcp", strings.TrimPrefix(b.url, "http://"))
	require.NoError(b.t, err)
	b.serve(l, change)
}

// records are a store that outlives a server.
type records struct {
	mu  sync.Mutex
	all []ittybittest.Delivery
}

// Add implements ittybittest.DeliveryStore.
func (r *records) Add(d ittybittest.Delivery) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, d)
	return nil
}

// List implements ittybittest.DeliveryStore.
func (r *records) List(q ittybittest.DeliveryQuery) (found []ittybittest.Delivery, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[string]bool{}
	for _, d := range slices.Backward(r.all) {
		if q.Latest && seen[d.ID] {
			continue
		}
		seen[d.ID] = true
		if q.Matches(d) && (q.Limit == 0 || len(found) < q.Limit) {
			found = append(found, d)
		}
	}
	if q.OldestFirst {
		slices.Reverse(found)
	}
	return found, nil
}

// Clear implements ittybittest.DeliveryStore.
func (r *records) Clear() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = nil
	return nil
}
