package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/cmd/ittybit-dev/internal/console"
	"github.com/ittybit/ittybit-go/ittybittest"
)

const (
	key      = "ittybit_key_of_a_test"
	token    = "token of a test, which is long enough"
	deadline = time.Minute // of one step: generous, for machines under load
)

// chrome is the browser of all tests.
var chrome struct {
	once sync.Once
	ctx  context.Context
	stop func()
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if chrome.stop != nil {
		chrome.stop()
	}
	os.Exit(code)
}

// browser starts the browser, or skips the test where there is none.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		t.Skip("Chromium is not installed: the console is not tested in a browser.")
	}
	chrome.once.Do(func() {
		opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path),
			chromedp.Flag("lang", "en-GB"), chromedp.Flag("force-color-profile", "srgb"), chromedp.WSURLReadTimeout(time.Minute))
		if os.Geteuid() == 0 {
			opts = append(opts, chromedp.NoSandbox)
		}
		allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), opts...)
		ctx, stop := chromedp.NewContext(allocator)
		chrome.ctx, chrome.err = ctx, chromedp.Do(ctx) //nolint:fatcontext // one browser for all tests
		chrome.stop = func() {
			stop()
			stopAllocator()
		}
	})
	require.NoError(t, chrome.err)
	return chrome.ctx
}

// bed is a console, the local Ittybit that it shows, and a receiver of webhooks.
type bed struct {
	t        *testing.T
	srv      *ittybittest.Server
	console  *console.Console
	url      string // of the console, without the token
	hook     string // of the receiver
	statuses chan int
	requests *requests
	stop     func() // of the console
}

// requests are those that the console was sent.
type requests struct {
	mu  sync.Mutex
	all []string
}

func (r *requests) matching(part string) (found []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.all {
		if strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	return found
}

// start starts a console, whose configuration change may alter.
func start(t *testing.T, change func(*console.Config), opts ...ittybittest.Option) *bed {
	t.Helper()
	b := &bed{t: t, statuses: make(chan int, 100), requests: &requests{}}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status := http.StatusOK
		select {
		case status = <-b.statuses:
		default:
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"received":%t}`, status == http.StatusOK)
	}))
	t.Cleanup(receiver.Close)
	b.hook = receiver.URL + "/ittybit-webhook"
	b.srv = ittybittest.NewServer(append([]ittybittest.Option{ittybittest.WithControl(""), ittybittest.WithAPIKey(key)}, opts...)...)
	t.Cleanup(b.srv.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b.serve(l, change)
	return b
}

// serve serves the console until the test ends.
func (b *bed) serve(l net.Listener, change func(*console.Config)) {
	config := console.Config{
		Control: b.srv.URL, API: b.srv.URL, Shown: b.srv.URL, Key: key, Storage: b.srv.StorageURL, Token: token,
		Events: []string{"task.completed", "task.failed", "media.created"},
		Fixture: func(event, kind, message string, _ int) ([]byte, error) {
			switch event {
			case "task.completed":
				return ittybittest.TaskCompleted(ittybit.TaskKind(kind), nil), nil
			case "task.failed":
				return ittybittest.TaskFailed(ittybit.TaskKind(kind), message), nil
			case "media.created":
				return ittybittest.MediaCreated(message), nil
			}
			return nil, fmt.Errorf("there is no fixture %q", event)
		},
	}
	if change != nil {
		change(&config)
	}
	c, err := console.New(config, l.Addr())
	require.NoError(b.t, err)
	b.console, b.url = c, "http://"+l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	srv := &http.Server{BaseContext: func(net.Listener) context.Context { return ctx }, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.requests.mu.Lock()
		b.requests.all = append(b.requests.all, r.Method+" "+r.URL.String())
		b.requests.mu.Unlock()
		c.ServeHTTP(w, r)
	})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(l)
	}()
	b.stop = sync.OnceFunc(func() {
		cancel()
		_ = srv.Close()
		<-ended
	})
	b.t.Cleanup(b.stop)
}

// send sends a webhook to the receiver, and waits for its first attempt.
func (b *bed) send(body string) (id string) {
	b.t.Helper()
	resp, err := http.Post(b.srv.URL+"/_local/events", "application/json", strings.NewReader(`{"url":`+quoted(b.hook)+`,"wait":true,"body":`+body+`}`))
	require.NoError(b.t, err)
	defer resp.Body.Close()
	var d struct{ ID string }
	require.NoError(b.t, json.NewDecoder(resp.Body).Decode(&d))
	require.Equal(b.t, http.StatusOK, resp.StatusCode)
	return d.ID
}

func completed(kind ittybit.TaskKind) string { return string(ittybittest.TaskCompleted(kind, nil)) }

// tab is one tab of the browser.
type tab struct {
	t   *testing.T
	ctx context.Context
	mu  sync.Mutex
	bad []string // exceptions, refusals of the content security policy, dialogs
}

// newTab opens a tab without a page.
func newTab(t *testing.T) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser(t))
	p := &tab{t: t, ctx: ctx}
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx)) // it opens the tab, which is to live longer than a step
	dialogs := make(chan string, 100)
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			p.add("exception: " + fmt.Sprintf("%s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
		case *log.EventEntryAdded:
			if e.Entry.Source == log.EntrySourceSecurity || e.Entry.Source == log.EntrySourceViolation {
				p.add(e.Entry.Text)
			}
		case *page.EventJavascriptDialogOpening:
			p.add("dialog: " + e.Message)
			dialogs <- e.Message
		}
	}))
	go func() {
		for {
			select {
			case <-dialogs:
				_, _ = chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{})
			case <-ctx.Done():
				return
			}
		}
	}()
	p.run(chromedp.EmulateViewport(1360, 850))
	return p
}

// open opens the console in a tab of its own, signed in. Nothing may be refused or thrown in it.
func (b *bed) open(hash string) *tab {
	b.t.Helper()
	p := newTab(b.t)
	p.run(chromedp.Navigate(b.console.URL() + hash))
	b.t.Cleanup(func() { assert.Empty(b.t, p.problems()) })
	return p
}

// live opens the console, and waits for its stream.
func (b *bed) live(hash string) *tab {
	b.t.Helper()
	p := b.open(hash)
	p.wait(`document.getElementById("live").dataset.state === "live"`)
	return p
}

func (p *tab) add(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bad = append(p.bad, text)
}

func (p *tab) problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.bad)
}

func (p *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, deadline)
	defer cancel()
	require.NoError(p.t, chromedp.Do(ctx, actions...))
}

// eval gives the value of a JavaScript expression, which may be a promise.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, deadline)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(p.t, err, expression)
	return value
}

// wait waits until a JavaScript expression is true.
func (p *tab) wait(expression string) {
	p.t.Helper()
	end := time.Now().Add(deadline)
	for {
		if eval[bool](p, "Boolean("+expression+")") {
			return
		}
		if time.Now().After(end) {
			require.Fail(p.t, "It did not become true: "+expression, "%s\n%v", eval[string](p, "document.body.innerText"), p.problems())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func quoted(text string) string {
	encoded, _ := json.Marshal(text)
	return string(encoded)
}

// text is what the page shows in an element.
func (p *tab) text(selector string) string {
	p.t.Helper()
	return eval[string](p, `document.querySelector(`+quoted(selector)+`)?.innerText ?? ""`)
}

// waitText waits until an element shows a text.
func (p *tab) waitText(selector, text string) {
	p.t.Helper()
	p.wait(`document.querySelector(` + quoted(selector) + `)?.innerText.includes(` + quoted(text) + `)`)
}

// click clicks the button, link or label with this text.
func (p *tab) click(text string) {
	p.t.Helper()
	find := `[...document.querySelectorAll("button, a, label, summary")].find((e) => e.innerText.trim() === ` + quoted(text) + ` && e.getClientRects().length)`
	p.wait(find)
	eval[chromedp.Void](p, find+`.click()`)
}

// ids are the deliveries that the list shows as elements.
func (p *tab) ids() []string {
	p.t.Helper()
	return eval[[]string](p, `[...document.querySelectorAll(".row")].sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map((r) => r.dataset.id)`)
}

// control drives the local Ittybit.
func (b *bed) control(path, body string) {
	b.t.Helper()
	resp, err := http.Post(b.srv.URL+path, "application/json", strings.NewReader(body))
	require.NoError(b.t, err)
	defer resp.Body.Close()
	require.Equal(b.t, http.StatusNoContent, resp.StatusCode)
}

// upload stores a file.
func (b *bed) upload(path, mediaType string, content []byte) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPut, b.srv.StorageURL+"/"+path, bytes.NewReader(content))
	require.NoError(b.t, err)
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(b.t, err)
	defer resp.Body.Close()
	require.Equal(b.t, http.StatusCreated, resp.StatusCode)
}

// picture is a small PNG.
var picture = func() []byte {
	img := image.NewRGBA(image.Rect(0, 0, 160, 90))
	for x := range 160 {
		for y := range 90 {
			shade := color.RGBA{uint8(120 + y), uint8(190 - y/2), 235, 255}
			if y > 60 {
				shade = color.RGBA{238, 214, uint8(160 + x/4), 255}
			}
			img.Set(x, y, shade)
		}
	}
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		panic(err)
	}
	return buf.Bytes()
}()

// press clicks an element.
func (p *tab) press(selector string) {
	p.t.Helper()
	eval[chromedp.Void](p, `document.querySelector(`+quoted(selector)+`).click()`)
}

// waitIDs waits until the list shows these deliveries.
func (p *tab) waitIDs(ids ...string) {
	p.t.Helper()
	want, err := json.Marshal(append([]string{}, ids...))
	require.NoError(p.t, err)
	p.wait(`JSON.stringify([...document.querySelectorAll(".row")].sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map((r) => r.dataset.id)) === ` + quoted(string(want)))
}
