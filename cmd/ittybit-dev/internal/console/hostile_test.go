package console_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

// markup runs a script wherever a text is taken for HTML.
const markup = `</script></title></textarea></text><script>alert(1)</script><img src=x onerror=alert(2)><svg onload=alert(3)>` +
	`<a href="javascript:alert(4)">x</a><iframe srcdoc="<script>alert(5)</script>"></iframe><base href="//attacker.example">{{7*7}}`

// elements counts what no part of the console makes.
const foreign = `document.querySelectorAll("iframe, img:not(.thumb), base, object, embed, a[href^='javascript' i], main script, [onerror], [onload]").length`

func TestHostile_markupIsText(t *testing.T) {
	encoded, err := json.Marshal(markup)
	require.NoError(t, err)
	m := string(encoded)
	b := start(t, nil)
	// The receiver's answer is hostile, too.
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Evil", strings.ReplaceAll(markup, "\n", ""))
		_, _ = w.Write([]byte(markup))
	}))
	t.Cleanup(evil.Close)
	b.hook = evil.URL + "/" + "%3Cscript%3Ealert(6)%3C/script%3E?<img/src=x/onerror=alert(7)>"
	id := b.send(`{"id":` + m + `,"object":"task","kind":` + m + `,"status":` + m + `,` + m + `:` + m + `,"url":"javascript:alert(8)"}`)
	p := b.live("")
	p.waitText(".row", "<script>alert(1)</script>")
	p.show("#/deliveries/" + id)
	p.waitText(".steps", "Accept it")
	assert.Contains(t, p.text(`section[aria-label="Request"] .code`), `onerror=alert(2)`)
	assert.Contains(t, p.text(".timeline"), markup, "the response's body and header")
	p.click("Bytes")
	p.waitText(".code.bytes", "script")
	p.click("Edit and send")
	p.wait(`document.getElementById("payload")?.value.includes("alert(1)")`)
	p.click("Sign and send")
	p.waitText("main", "Show the delivery")

	client, err := b.srv.Client()
	require.NoError(t, err)
	for path, body := range map[string]string{
		"/media": `{"title":` + m + `}`,
		"/files": `{"url":"https://example.com/` + `%22%3E%3Cscript%3E.png","filename":` + m + `,"folder":` + m + `}`,
		"/automations": `{"name":` + m + `,"description":` + m + `,"trigger":{"kind":"event","event":"media.created"},
			"workflow":[{"kind":"nsfw","ref":` + m + `,"next":[{"kind":"conditions","conditions":[{"prop":` + m + `,"value":` + m + `}],"next":[{"kind":"speech"}]}]}]}`,
		"/tasks": `{"kind":"nsfw","url":"https://example.com/a.png","ref":` + m + `,"description":` + m + `}`,
	} {
		require.NoError(t, client.Do(t.Context(), http.MethodPost, path, json.RawMessage(body), nil), path)
	}
	for section, title := range map[string]string{"media": "Media and files", "automations": "Automations", "tasks": "Tasks"} {
		p.show("#/" + section)
		p.wait(`document.querySelector("main h1")?.innerText === "` + title + `" && document.querySelector("main details, main .disclosure")`)
		eval[bool](p, `[...document.querySelectorAll("main details")].forEach((d) => { d.open = true; }) ?? true`)
		eval[bool](p, `[...document.querySelectorAll("main .disclosure")].forEach((d) => d.click()) ?? true`)
		p.wait(`document.querySelector("main").textContent.includes("<script>alert(1)</script>")`)
		assert.Zero(t, eval[int](p, foreign), section)
	}
	assert.Zero(t, eval[int](p, foreign))
	assert.Equal(t, "/", eval[string](p, `location.pathname`))
	assert.Empty(t, p.problems())
}

// The check above can fail: in this page the markup does run, unless the policy stops it, and then
// that is what is seen.
func TestHostile_theCheckWouldNotice(t *testing.T) {
	b := start(t, nil)
	p := newTab(t) // what it finds is expected
	p.run(chromedp.Navigate(b.console.URL()))
	p.wait(`document.getElementById("live").dataset.state === "live"`)
	assert.True(t, eval[bool](p, `(() => { try { document.querySelector("main").innerHTML = "<b>x</b>"; } catch { return true; } return false; })()`),
		"the policy lets nothing parse a text as HTML")
	eval[chromedp.Void](p, `(() => { const a = document.createElement("a"); a.href = "javascript:alert(1)"; document.querySelector("main").append(a); a.click(); })()`)
	require.Eventually(t, func() bool { return strings.Contains(strings.Join(p.problems(), "\n"), "Content Security Policy") }, deadline, 10*time.Millisecond, "and runs none that is in an address")
	assert.Equal(t, 1, eval[int](p, foreign))

	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<img src=x onerror=alert(2)>"))
	}))
	t.Cleanup(plain.Close)
	q := newTab(t)
	q.run(chromedp.Navigate(plain.URL))
	require.Eventually(t, func() bool { return strings.Contains(strings.Join(q.problems(), "\n"), "dialog: 2") }, deadline, 10*time.Millisecond, "without a policy it runs")
}

// A payload of 1 MiB is shown a part at a time, and whole where it is asked for.
func TestHostile_oneMebibyteOfMarkup(t *testing.T) {
	b := start(t, nil)
	const field = `"<img src=x onerror=alert(1)>":"<script>alert(2)</script>",`
	payload := `{"id":"task_1","object":"task","kind":"nsfw","status":"completed",` + strings.Repeat(field, 1_000_000/len(field)) + `"last":` +
		`"` + strings.Repeat(`<b>\\\"`, 6000) + `"}`
	require.Greater(t, len(payload), 1_000_000)
	id := b.send(payload)
	p := b.live("#/deliveries/" + id)
	p.waitText(".steps", "Accept it")
	code := `document.querySelector("section[aria-label='Request'] .code")`
	assert.Less(t, eval[int](p, code+`.childNodes.length`), 6100)
	assert.Equal(t, len(payload), eval[int](p, `fetch("/api/_local/deliveries/`+id+`/body", {headers: {"X-Ittybit-Console": "1"}}).then((r) => r.arrayBuffer()).then((b) => b.byteLength)`))
	for range 40 {
		if !eval[bool](p, `(() => { const more = [...document.querySelectorAll("button")].find((b) => b.textContent === "Show more"); more?.click(); return Boolean(more); })()`) {
			break
		}
	}
	assert.Equal(t, payload, eval[string](p, code+`.textContent.replace(/\n */g, "").replaceAll('": ', '":')`), "nothing is lost")
	assert.Zero(t, eval[int](p, foreign))
}

// Ids are segments of a path, whatever is in them.
func TestHostile_anIDThatIsAPath(t *testing.T) {
	b := start(t, nil)
	before := b.send(completed("nsfw"))
	p := b.live("")
	p.wait(rows + ` === 1`)
	for _, id := range []string{"..", "../../reset", "%2e%2e%2freset", "x/../../_local/reset", "?state=failed", "#", "a b", "<script>", "%", "\u202e"} {
		p.show("#/deliveries/" + strings.ReplaceAll(strings.ReplaceAll(id, "%", "%25"), "/", "%2F"))
		p.waitText(".detail", "not found")
		p.show("#/tasks/" + strings.ReplaceAll(strings.ReplaceAll(id, "%", "%25"), "/", "%2F"))
		p.wait(`document.querySelector("main h1")?.innerText === "Tasks"`)
		p.show("#/deliveries")
		p.wait(`!document.querySelector(".detail")`)
	}
	assert.Equal(t, []string{before}, p.ids(), "nothing was reset")
	assert.Empty(t, b.requests.matching("/reset/"))
	for _, line := range b.requests.matching("POST ") {
		assert.Fail(t, "a request that changes something", line)
	}
}

// A page that was uploaded is of another origin, runs no script, and could not use the console if
// it did.
func TestHostile_anUploadedPage(t *testing.T) {
	b := start(t, nil)
	p := b.live("") // signed in: the browser has the cookie
	b.upload("page.html", "text/html", []byte(`<!doctype html><title>quiet</title><script>document.title = "ran"; alert(1)</script>`))
	b.upload("picture.svg", "image/svg+xml", []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(2)</script></svg>`))
	p.show("#/media")
	p.waitText("main", "picture.svg")
	p.waitText("main", "page.html")
	q := newTab(t)
	for _, file := range []string{"/page.html", "/picture.svg"} {
		q.run(chromedp.Navigate(b.srv.StorageURL + file))
		assert.NotEqual(t, "ran", eval[string](q, `document.title`))
		assert.Equal(t, "null", eval[string](q, `window.origin`), "sandboxed")
	}
	for _, problem := range q.problems() {
		assert.NotContains(t, problem, "dialog")
	}

	// What another site of this machine runs, in a browser that is signed in, neither reads nor
	// changes anything.
	id := b.send(completed("nsfw"))
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
	}))
	t.Cleanup(other.Close)
	q.run(chromedp.Navigate(other.URL))
	attempts := eval[[]string](q, `(async () => {
		const results = [];
		for (const [method, path, mode] of [["GET", "/api/_local/deliveries", "cors"], ["GET", "/api/_local/stream", "cors"], ["POST", "/api/_local/reset", "no-cors"],
			["POST", "/api/_local/deliveries/`+id+`/resend", "no-cors"], ["POST", "/api/_local/reset", "cors"], ["DELETE", "/api/_local/faults", "cors"]]) {
			results.push(await fetch("`+b.url+`" + path, {method, mode, credentials: "include"}).then((r) => r.type === "opaque" ? "opaque" : r.text(), () => "refused"));
		}
		results.push(await new Promise((done) => { const s = document.createElement("script"); s.src = "`+b.url+`/api/tasks"; s.onload = () => done("loaded"); s.onerror = () => done("refused"); document.head.append(s); }));
		return results;
	})()`)
	for _, result := range attempts {
		assert.Contains(t, []string{"refused", "opaque"}, result)
	}
	assert.Len(t, b.srv.Deliveries(), 1, "neither reset nor sent again")

	// By a name that leads here, as with DNS rebinding, nothing is served, however it is asked for.
	rebound := strings.Replace(b.url, "127.0.0.1", "attacker.localhost", 1)
	q.run(chromedp.Navigate(rebound))
	assert.Contains(t, q.text("body"), "not this console's")
}

// Another site that sends a browser to the printed address can't sign it in with a token of its
// own.
func TestHostile_pagesAreNotGuessed(t *testing.T) {
	b := start(t, nil, ittybittest.WithTaskDuration(0))
	p := newTab(t)
	p.run(chromedp.Navigate(b.url + "/?token=guess"))
	p.waitText("main", "Token or password")
	assert.Empty(t, b.requests.matching("/api/"))
	eval[bool](p, `Boolean(document.getElementById("secret").value = `+quoted(token)+`)`)
	p.click("Open the console")
	p.wait(`document.getElementById("live")?.dataset.state === "live"`)
	assert.Equal(t, b.url+"/", eval[string](p, `location.href`), "no token in the address")
	assert.Empty(t, eval[string](p, `document.cookie`), "no script sees the session")
	assert.Empty(t, p.problems())
}
