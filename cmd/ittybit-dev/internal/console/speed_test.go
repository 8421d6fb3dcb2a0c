package console_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// many are a store of n deliveries, of which every tenth failed. It filters by what it knows of
// their numbers, as quickly as a database with an index.
type many struct {
	n      int64
	bodies [][]byte
}

var manyKinds = []string{"nsfw", "video", "speech", "image"}

func newMany(n int64) *many {
	m := &many{n: n}
	for _, kind := range manyKinds {
		m.bodies = append(m.bodies, ittybittest.TaskCompleted(ittybit.TaskKind(kind), nil))
	}
	return m
}

// Add implements ittybittest.DeliveryStore.
func (m *many) Add(ittybittest.Delivery) error { m.n++; return nil }

// Clear implements ittybittest.DeliveryStore.
func (m *many) Clear() error { return nil }

// List implements ittybittest.DeliveryStore.
func (m *many) List(q ittybittest.DeliveryQuery) (found []ittybittest.Delivery, err error) {
	from := m.n
	if q.Before > 0 {
		from = q.Before - 1
	}
	for number := from; number > q.After && (q.Limit == 0 || len(found) < q.Limit); number-- {
		kind := int(number) % len(manyKinds)
		d := ittybittest.Delivery{
			Number: number, ID: fmt.Sprintf("dlv_%06d", number), Attempt: 1, URL: "http://localhost:3000/hook", Body: m.bodies[kind],
			Time: time.Unix(1_795_000_000+number, 0), Duration: time.Duration(number%50) * time.Millisecond, StatusCode: 200, Final: true,
		}
		if number%10 == 0 {
			d.StatusCode = 500
		}
		if (q.ID == "" || q.ID == d.ID) && (q.Kind == "" || q.Kind == manyKinds[kind]) && (q.State == "" || q.State == d.State()) {
			found = append(found, d)
		}
	}
	return found, nil
}

// observe notes what the browser says of its work, before the page's own scripts run.
const observe = `window.tasks = [];
new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((e) => e.duration))).observe({type: "longtask", buffered: true});
new MutationObserver((_, me) => { if (document.querySelector(".row")) { window.rowsAt = performance.now(); me.disconnect(); } }).observe(document, {childList: true, subtree: true});`

// measured is what a browser did.
type measured struct {
	t     *testing.T
	tab   *tab
	limit bool // the figures must be as good as is promised
}

// tasks gives the long tasks since the last call, in milliseconds.
func (m *measured) tasks(what string) {
	m.t.Helper()
	tasks := eval[[]float64](m.tab, `new Promise((done) => setTimeout(() => done(window.tasks.splice(0)), 100))`)
	longest := 0.0
	if len(tasks) > 0 {
		longest = slices.Max(tasks)
	}
	m.t.Logf("%s: %d tasks of more than 50 ms, the longest %.0f ms", what, len(tasks), longest)
	if m.limit {
		assert.LessOrEqual(m.t, longest, 100.0, what)
	}
}

// Of a list of any length a few rows are elements, and what is not looked at is not asked for.
// ITTYBIT_TEST_CONSOLE=full has 100,000 deliveries and measures; ITTYBIT_TEST_CONSOLE_URL is the
// printed address of a console that runs, to be measured in place of this one.
func TestSpeed(t *testing.T) {
	full, address := os.Getenv("ITTYBIT_TEST_CONSOLE") == "full", os.Getenv("ITTYBIT_TEST_CONSOLE_URL")
	n := 3_000
	if full {
		n = 100_000
	}
	b := start(t, nil, ittybittest.WithDeliveryStore(newMany(int64(n))))
	if address == "" {
		address = b.console.URL()
	}
	p := newTab(t)
	_, err := chromedp.Call(p.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: observe})
	require.NoError(t, err)
	p.run(chromedp.Navigate(address))
	p.wait(rows + ` > 10`)
	p.run(chromedp.Reload()) // the scripts are there
	p.wait(rows + ` > 10`)
	m := &measured{t, p, full}
	paint := eval[float64](p, `performance.getEntriesByName("first-contentful-paint")[0].startTime`)
	first := eval[float64](p, `window.rowsAt`)
	t.Logf("%d deliveries: first paint after %.0f ms, rows after %.0f ms", n, paint, first)
	if full {
		assert.Less(t, paint, 300.0)
		assert.Less(t, first, 300.0)
	}
	asked := func() (limits []int) {
		for _, line := range b.requests.matching("GET /api/_local/deliveries?") {
			_, after, _ := strings.Cut(line, "limit=")
			text, _, _ := strings.Cut(after, "&")
			limit, err := strconv.Atoi(text)
			require.NoError(t, err)
			limits = append(limits, limit)
		}
		return limits
	}
	if strings.HasPrefix(address, b.url) {
		assert.Equal(t, []int{100, 100}, asked(), "one page, twice")
	}
	assert.Less(t, eval[int](p, rows), 60)
	m.tasks("load")

	// Scroll through what is there, a bit each frame, and then to the end of the list.
	eval[chromedp.Void](p, `new Promise((done) => { const box = document.querySelector(".rows-box"); let n = 0;
		const step = () => { box.scrollTop += 400; if (++n < 90) requestAnimationFrame(step); else done(); }; step(); })`)
	m.tasks("scroll by frames")
	assert.Less(t, eval[int](p, rows), 60)
	eval[chromedp.Void](p, `(() => { const box = document.querySelector(".rows-box");
		const step = () => { box.scrollTop = box.scrollHeight; if (document.querySelector(".count").textContent.includes("+")) setTimeout(step, 20); }; step(); })()`)
	for range 10 {
		if eval[bool](p, `document.querySelector(".count").textContent.includes("+")`) {
			time.Sleep(time.Duration(n) * 50 * time.Microsecond)
		}
	}
	p.wait(`!document.querySelector(".count").textContent.includes("+")`)
	m.tasks("scroll to the end")
	assert.Equal(t, n, eval[int](p, `document.querySelector(".rows").clientHeight / 36`), "all are there")
	assert.Less(t, eval[int](p, rows), 60)
	assert.Less(t, eval[int](p, `document.querySelectorAll("*").length`), 1200)
	if strings.HasPrefix(address, b.url) {
		limits := asked()
		sum := 0
		for _, limit := range limits[1:] {
			sum += limit
		}
		assert.Less(t, sum, n+600, "each record is asked for once")
	}
	p.run(chromedp.KeyEvent("x")) // nothing
	for _, filter := range [][2]string{{"kind", "nsfw"}, {"state", "failed"}, {"kind", ""}, {"state", ""}} {
		before := eval[float64](p, `performance.now()`)
		p.set(`[name=`+filter[0]+`]`, filter[1])
		want := map[string]string{"nsfw": "nsfw", "failed": "500"}[filter[1]]
		p.wait(rows + ` > 10 && [...document.querySelectorAll(".row")].every((r) => r.innerText.includes(` + quoted(want) + `))`)
		t.Logf("filter %v: shown within %.0f ms", filter, eval[float64](p, `performance.now()`)-before)
	}
	m.tasks("filter")
	assert.Empty(t, p.problems())
}
