package console_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/cmd/ittybit-dev/internal/console"
	"github.com/ittybit/ittybit-go/ittybittest"
)

const rows = `document.querySelectorAll(".row").length`

// go to another section.
func (p *tab) show(hash string) {
	p.t.Helper()
	eval[string](p, `location.hash = `+quoted(hash))
}

// set types into a field.
func (p *tab) set(selector, value string) {
	p.t.Helper()
	eval[bool](p, `(() => { const e = document.querySelector(`+quoted(selector)+`); e.value = `+quoted(value)+`;
		return e.dispatchEvent(new Event("input", {bubbles: true})) && e.dispatchEvent(new Event("change", {bubbles: true})); })()`)
}

// copies makes the page put what it copies into window.copied.
func (p *tab) copies() {
	eval[bool](p, `Boolean(navigator.clipboard.writeText = async (text) => { window.copied = text; })`)
}

func TestConsole_showsADelivery(t *testing.T) {
	b := start(t, nil, ittybittest.WithBackoff(ittybittest.Backoff{First: 20 * time.Millisecond}))
	p := b.live("")
	p.waitText("main", "No deliveries yet")
	b.statuses <- http.StatusServiceUnavailable
	body := `{"id":"task_1","object":"task","kind":"nsfw","status":"completed","results":{"is_nsfw":true,"confidence":0.970000000000000000001},"seed":9007199254740993}`
	id := b.send(body)
	p.wait(rows + ` === 1`)
	assert.Equal(t, []string{id}, p.ids())
	p.waitText(".row", "200") // the second attempt
	p.press(".row")
	p.waitText(".steps", "Accept it")
	p.waitText(".timeline", "Attempt 2")
	assert.Contains(t, p.text(".timeline"), "Waited ")
	assert.Contains(t, eval[string](p, `document.querySelector(".timeline").textContent`), `"received": false`)
	assert.Contains(t, p.text(".detail-head"), "task_1")
	assert.Contains(t, p.text(`section[aria-label="Request"] .headers`), "application/json")
	assert.Contains(t, p.text(`section[aria-label="Request"] .code`), `"confidence": 0.970000000000000000001`, "digits are not lost")
	assert.Contains(t, p.text(`section[aria-label="Request"] .code`), `"seed": 9007199254740993`)
	assert.Contains(t, p.text(".steps"), "Put the signed content together")

	p.click("Bytes")
	p.waitText(".code.bytes", `00000000  7b 22 69 64 22 3a 22 74  61 73 6b 5f 31 22 2c 22  {"id":"task_1","`)
	p.copies()
	p.click("Copy as curl")
	p.wait(`window.copied`)
	command := eval[string](p, `window.copied`)
	assert.Contains(t, command, "--data-binary '"+body+"'")
	assert.Contains(t, command, "--header 'Ittybit-Signature: t=")
	assert.Contains(t, command, "'"+b.hook+"'")

	resent := func(n int) ittybittest.Delivery {
		p.wait(rows + ` === ` + string(rune('0'+n)))
		d, err := b.srv.WaitForDelivery(t.Context(), func(d ittybittest.Delivery) bool { return d.ID == p.ids()[0] })
		require.NoError(t, err)
		assert.Equal(t, body, string(d.Body))
		return d
	}
	first := b.srv.Deliveries()[1]
	p.click("Send as it was")
	assert.Equal(t, first.Signature, resent(2).Signature)
	p.show("#/deliveries/" + id)
	p.waitText(".steps", "Accept it")
	b.statuses <- http.StatusServiceUnavailable
	p.click("Send again")
	assert.NotEqual(t, id, resent(3).ID)
	p.show("#/deliveries/dlv_none")
	p.waitText(".detail", "dlv_none")
}

func TestConsole_filtersAndListsWithTheKeyboard(t *testing.T) {
	b := start(t, nil, ittybittest.WithBackoff(ittybittest.Backoff{First: time.Hour}))
	var ids []string
	for _, kind := range []ittybit.TaskKind{"nsfw", "video", "nsfw"} {
		ids = append([]string{b.send(completed(kind))}, ids...)
	}
	b.statuses <- http.StatusTeapot
	waiting := b.send(string(ittybittest.TaskFailed("video", "no")))
	ids = append([]string{waiting}, ids...)
	p := b.live("")
	p.wait(rows + ` === 4`)
	assert.Equal(t, ids, p.ids())

	choose := func(name, value string, want ...string) {
		p.set(`[name=`+name+`]`, value)
		p.waitIDs(want...)
	}
	choose("kind", "video", waiting, ids[2])
	choose("state", "waiting", waiting)
	choose("kind", "", waiting)
	choose("status", "4xx", waiting)
	choose("event", "task.failed", waiting)
	b.send(completed("speech")) // does not match
	b.statuses <- http.StatusTeapot
	another := b.send(string(ittybittest.TaskFailed("video", "no")))
	p.waitIDs(another, waiting)
	choose("status", "5xx")
	p.click("Clear the filter")
	p.wait(rows + ` === 6`)

	eval[chromedp.Void](p, `document.querySelector(".rows-box").focus()`)
	active := `document.querySelector(".row.active")?.dataset.id`
	for _, c := range []struct {
		keys string
		at   int
	}{{kb.ArrowDown, 0}, {kb.ArrowDown, 1}, {kb.ArrowUp, 0}, {kb.End, 5}, {kb.Home, 0}} {
		p.run(chromedp.KeyEvent(c.keys))
		p.wait(active + ` === document.querySelector("[aria-rowindex='` + string(rune('2'+c.at)) + `']").dataset.id`)
		assert.Equal(t, eval[string](p, `document.querySelector(".row.active").id`), eval[string](p, `document.querySelector(".rows-box").getAttribute("aria-activedescendant")`))
	}
	p.run(chromedp.KeyEvent(kb.Enter))
	p.waitText(".detail h1", "task.failed")
	p.wait(`document.activeElement.tagName === "H1"`)
	assert.Equal(t, "true", eval[string](p, `document.querySelector(".row.active").ariaSelected`))
	p.run(chromedp.KeyEvent(kb.Escape))
	p.wait(`!document.querySelector(".detail") && document.activeElement.className === "rows-box"`)
}

func TestConsole_composesAWebhook(t *testing.T) {
	b := start(t, nil)
	p := b.live("#/compose")
	p.wait(`document.getElementById("payload")?.value.includes('"status": "completed"')`)
	p.set("#event", "task.failed")
	p.wait(`document.getElementById("payload").value.includes("The file is broken.")`)
	p.set("#url", b.hook)
	p.set("#payload", `{"id":`)
	assert.Equal(t, []string{"true", "true"}, eval[[]string](p, `[document.getElementById("payload").ariaInvalid, String(document.querySelector("form .primary").disabled)]`))
	p.waitText("#problem", "Not valid JSON")
	payload := `{"id":"task_2","object":"task","kind":"nsfw","status":"completed","n":1.10}`
	p.set("#payload", payload)
	p.click("Sign and send")
	p.waitText("main", "Confirmed at the first attempt")
	require.Len(t, b.srv.Deliveries(), 1)
	assert.Equal(t, payload, string(b.srv.Deliveries()[0].Body), "as it was written")
	p.click("Show the delivery")
	p.waitText(".steps", "Accept it")
	p.click("Edit and send")
	p.wait(`document.getElementById("payload")?.value === ` + quoted(payload))
	b.srv.FailDeliveries(1, ittybittest.DeliveryFault{})
	p.click("Sign and send")
	p.waitText("main", "Not confirmed")
	p.click("Start over from the fixture")
	p.wait(`document.getElementById("payload").value.includes("confidence")`)
}

func TestConsole_showsAndDrivesTasks(t *testing.T) {
	b := start(t, nil, ittybittest.WithTaskDuration(time.Hour))
	client, err := b.srv.Client()
	require.NoError(t, err)
	p := b.live("#/tasks")
	p.waitText("main", "No tasks yet")
	task, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "nsfw", URL: "https://example.com/a.png", WebhookURL: b.hook})
	require.NoError(t, err)
	p.waitText("tbody", task.ID)
	b.control("/_local/tasks/"+task.ID+"/progress", `{"progress":37}`)
	p.waitText("tbody", "37 %")
	assert.Equal(t, 37, eval[int](p, `document.querySelector("progress").value`))
	p.click(task.ID)
	p.set(`[aria-label="Progress in percent"]`, "61")
	p.click("Set the progress")
	p.waitText("tbody", "61 %")
	p.click("Complete now")
	p.waitText("tbody .badge", "completed")
	p.wait(`!document.querySelector("tbody .primary")`)
	p.show("#/deliveries")
	p.waitText(".row", "task.completed")
	p.press(".row")
	p.click(task.ID)
	p.waitText("tbody .inner", "is_nsfw")
}

// Under listen the page asks for the first tasks again and again.
func TestConsole_showsOlderTasksBelow(t *testing.T) {
	b := start(t, func(c *console.Config) { c.Forward = "http://localhost:3000/hook" }, ittybittest.WithTaskDuration(time.Hour))
	client, err := b.srv.Client()
	require.NoError(t, err)
	var ids []string // the newest first
	for range 55 {
		task, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "nsfw", URL: "https://example.com/a.png"})
		require.NoError(t, err)
		ids = append([]string{task.ID}, ids...)
	}
	p := newTab(t)
	_, err = chromedp.Call(p.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `{ const real = window.setInterval; window.setInterval = (f, ms, ...args) => real(f, ms / 50, ...args); }`,
	})
	require.NoError(t, err)
	p.run(chromedp.Navigate(b.console.URL() + "#/tasks"))
	shown := `[...document.querySelectorAll("tbody .disclosure")].map((b) => b.innerText)`
	p.wait(shown + `.length === 50`)
	p.click("Show older")
	p.wait(shown + `.length === 55`)
	assert.Equal(t, ids, eval[[]string](p, shown))
	first := func() int { return len(b.requests.matching("GET /api/tasks?limit=50&page=1")) }
	before := first()
	require.Eventually(t, func() bool { return first() > before+1 }, 60*time.Second, 10*time.Millisecond)
	older := `[...document.querySelectorAll("main button")].find((b) => b.textContent === "Show older")`
	assert.True(t, eval[bool](p, older+`.hidden`), "there is nothing older")
	assert.Equal(t, ids, eval[[]string](p, shown))
}

func TestConsole_showsMediaAndAutomations(t *testing.T) {
	b := start(t, nil)
	fill := func() {
		client, err := b.srv.Client()
		require.NoError(t, err)
		_, err = client.Automations.Create(t.Context(), ittybit.AutomationCreateParams{
			Name: "<b>Moderate</b>", Trigger: ittybit.OnEvent(ittybit.EventMediaCreated),
			Workflow: []ittybit.WorkflowStep{
				{Kind: "nsfw", Ref: "</text><script>alert(1)</script>", Next: []ittybit.WorkflowStep{
					{Kind: "conditions", Conditions: []ittybit.Condition{{Prop: "results.is_nsfw", Value: true}}, Next: []ittybit.WorkflowStep{
						ittybit.WebhookStep(b.hook, "refused"),
					}},
				}},
				{Kind: "speech"},
			},
		})
		require.NoError(t, err)
	}
	fill()
	p := b.live("#/media")
	p.waitText("main", "No media yet")
	b.upload("holidays/beach.png", "image/png", picture)
	p.waitText(".file", "beach.png")
	p.wait(`document.querySelector(".thumb")?.naturalWidth === 160`)
	assert.Equal(t, b.srv.StorageURL+"/holidays/beach.png", eval[string](p, `document.querySelector(".file a").href`))
	assert.Equal(t, "noopener noreferrer", eval[string](p, `document.querySelector(".file a").rel`))
	p.click("The media object")
	p.waitText(".card > .body > details", `"object": "media"`)

	p.show("#/automations")
	p.waitText(".graph", "conditions")
	assert.Equal(t, []string{"trigger", "nsfw", "conditions", "webhook", "speech"},
		eval[[]string](p, `[...document.querySelectorAll(".graph .kind")].map((e) => e.textContent)`))
	assert.Equal(t, 4, eval[int](p, `document.querySelectorAll(".graph .edge").length`))
	assert.Contains(t, p.text(".graph"), "results.is_nsfw = true")
	assert.Equal(t, "<b>Moderate</b>", p.text("main h2"))
	p.click("As text")
	p.waitText(".outline", "</text><script>alert(1)</script>")
	overlap := `(() => { const boxes = [...document.querySelectorAll(".graph rect")].map((r) => r.getBoundingClientRect());
		return boxes.some((a, i) => boxes.some((b, j) => i < j && a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)); })()`
	assert.False(t, eval[bool](p, overlap), "boxes overlap")
}

// faults are those that the server has.
func (b *bed) faults() (shown map[string]any) {
	b.t.Helper()
	resp, err := http.Get(b.srv.URL + "/_local/faults")
	require.NoError(b.t, err)
	defer resp.Body.Close()
	require.NoError(b.t, json.NewDecoder(resp.Body).Decode(&shown))
	return shown
}

func TestConsole_switchesFaults(t *testing.T) {
	b := start(t, nil)
	p := b.live("#/faults")
	p.waitText("main", "Webhooks come twice")
	p.press("#fault-duplicates")
	p.press("#fault-limited")
	require.Eventually(t, func() bool { return len(b.faults()) == 2 }, deadline, 10*time.Millisecond)
	assert.Equal(t, map[string]any{"duplicates": 1.0, "requests": []any{map[string]any{"count": 3.0, "status": 429.0, "header": map[string]any{"Retry-After": "1"}}}}, b.faults())
	for range 3 {
		resp, err := http.Get(b.srv.URL + "/tasks")
		require.NoError(t, err)
		_ = resp.Body.Close()
		assert.Equal(t, http.StatusTooManyRequests, resp.StatusCode)
	}
	p.wait(`!document.getElementById("fault-limited").checked && document.getElementById("fault-duplicates").checked`)
	id := b.send(completed("nsfw"))
	p.show("#/deliveries/" + id)
	p.waitText(".timeline", "copy 1")
	p.show("#/faults")
	p.click("All off")
	require.Eventually(t, func() bool { return len(b.faults()) == 0 }, deadline, 10*time.Millisecond)
	p.click("Reset the server")
	p.click("Reset")
	require.Eventually(t, func() bool { return len(b.srv.Deliveries()) == 0 }, deadline, 10*time.Millisecond)
	p.show("#/deliveries")
	p.waitText("main", "No deliveries yet")
}

// What is switched quickly stays switched, though requests overtake each other, and a response is
// older than a change.
func TestConsole_keepsFaultsThatAreSwitchedQuickly(t *testing.T) {
	b := start(t, nil)
	p := b.live("#/faults")
	p.waitText("main", "Webhooks come twice")
	eval[bool](p, `(() => {
		const real = window.fetch;
		window.held = {}; // of each method, what lets the first request go on
		window.fetch = async (url, options) => {
			const method = options.method ?? 'GET';
			if (!url.endsWith('/faults') || window.held[method]) return real(url, options);
			let release;
			const released = new Promise((resolve) => { release = resolve; });
			window.held[method] = release;
			if (method !== 'GET') await released; // a change comes late, a response to a question too
			const response = await real(url, options);
			await released;
			return response;
		};
		return true;
	})()`)
	p.wait(`window.held.GET`)
	p.press("#fault-duplicates") // is held
	p.wait(`window.held.PUT`)
	p.press("#fault-reorder")
	eval[bool](p, `(window.held.GET(), new Promise((resolve) => setTimeout(() => resolve(true), 300)))`)
	p.press("#fault-latency")
	eval[bool](p, `(window.held.PUT(), true)`)
	const on = `["duplicates", "reorder", "latency"].every((id) => document.getElementById("fault-" + id).checked)`
	assert.True(t, eval[bool](p, on))
	want := map[string]any{"duplicates": 1.0, "reorder_ms": 1000.0, "latency_ms": 2000.0}
	require.Eventually(t, func() bool { return reflect.DeepEqual(want, b.faults()) }, deadline, 10*time.Millisecond)
	eval[bool](p, `new Promise((resolve) => setTimeout(() => resolve(true), 300))`) // what was still under way
	assert.True(t, eval[bool](p, on))
	assert.Equal(t, want, b.faults())
}

func TestConsole_ofListenOnlyShowsAndSendsAgain(t *testing.T) {
	const forward = "http://localhost:3000/hook"
	b := start(t, func(c *console.Config) { c.Forward, c.Shown = forward, "https://api.example.com" })
	id := b.send(completed("nsfw"))
	p := b.live("#/compose") // is not there
	p.waitText(".row", "task.completed")
	assert.Equal(t, []string{"deliveries", "tasks", "media", "automations"}, eval[[]string](p, `[...document.querySelectorAll("nav a")].map((a) => a.dataset.view)`))
	assert.Equal(t, "https://api.example.com → "+forward, p.text("#address"))
	p.show("#/deliveries/" + id)
	p.waitText(".steps", "Accept it")
	assert.Equal(t, []string{"Send again", "Send as it was", "Copy as curl"}, eval[[]string](p, `[...document.querySelectorAll(".actions button")].map((b) => b.innerText)`))
	p.click("Send again")
	p.wait(rows + ` === 2`)
}

// A page of another origin that shows the console in a frame sees nothing of it.
func TestConsole_isNotFramed(t *testing.T) {
	b := start(t, nil)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<iframe src="` + b.console.URL() + `"></iframe>`))
	}))
	t.Cleanup(other.Close)
	p := newTab(t)
	p.run(chromedp.Navigate(other.URL))
	assert.Empty(t, b.requests.matching("/static/"))
	assert.NotEmpty(t, strings.Join(p.problems(), ""), "the browser says why")
}
