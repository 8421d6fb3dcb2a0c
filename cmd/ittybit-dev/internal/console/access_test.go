package console_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/cmd/ittybit-dev/internal/console"
)

// ask sends a request to the console without a browser. Headers come in pairs; of "From" it is the
// address of the client.
func (b *bed) ask(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequest(method, b.url+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:4242"
	r.Header.Set("X-Ittybit-Console", "1")
	for i := 0; i < len(headers); i += 2 {
		switch headers[i] {
		case "From":
			r.RemoteAddr = headers[i+1]
		case "Host":
			r.Host = headers[i+1]
		default:
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	b.console.ServeHTTP(w, r)
	return w
}

// signIn gives the cookie of a browser that opened the printed address.
func (b *bed) signIn() string {
	b.t.Helper()
	u, err := url.Parse(b.console.URL())
	require.NoError(b.t, err)
	w := b.ask("GET", u.RequestURI(), "")
	require.Equal(b.t, http.StatusSeeOther, w.Code)
	require.Equal(b.t, "/", w.Header().Get("Location"), "the token is not in the address any more")
	cookie := w.Result().Cookies()[0]
	assert.True(b.t, cookie.HttpOnly)
	assert.Equal(b.t, http.SameSiteStrictMode, cookie.SameSite)
	assert.NotContains(b.t, cookie.Value, token)
	_, port, _ := net.SplitHostPort(u.Host)
	assert.Equal(b.t, "ittybit_console_"+port, cookie.Name, "a host's cookies are those of all its ports")
	return cookie.Name + "=" + cookie.Value
}

func TestConsole_letsNobodyInWithoutTheToken(t *testing.T) {
	b := start(t, nil)
	cookie := b.signIn()
	name, _, _ := strings.Cut(cookie, "=")
	for _, path := range []string{
		"/api/_local/", "/api/_local/deliveries", "/api/_local/stream", "/api/tasks", "/api/media", "/api/files", "/api/automations",
		"/api/_local/faults", "/api/console", "/api/console/fixture?event=task.completed&kind=nsfw",
	} {
		for _, wrong := range []string{"", name + "=", name + "=" + token, "ittybit_console_1=" + strings.TrimPrefix(cookie, name+"=")} {
			assert.Equal(t, http.StatusUnauthorized, b.ask("GET", path, "", "Cookie", wrong).Code, "%s with %q", path, wrong)
		}
	}
	for _, path := range []string{"/api/_local/deliveries", "/api/tasks", "/api/console"} {
		w := b.ask("GET", path, "", "Cookie", cookie)
		assert.Equal(t, http.StatusOK, w.Code, path)
		assert.NotContains(t, w.Body.String(), key)
	}
	assert.Equal(t, http.StatusForbidden, b.ask("GET", "/api/tasks", "", "Cookie", cookie, "X-Ittybit-Console", "").Code)

	page := b.ask("GET", "/", "")
	assert.Equal(t, http.StatusUnauthorized, page.Code)
	assert.Contains(t, page.Body.String(), "Token or password")
	assert.Equal(t, http.StatusOK, b.ask("GET", "/", "", "Cookie", cookie).Code)
	for _, wrong := range []string{"wrong", strings.ToUpper(token), token + " "} {
		w := b.ask("GET", "/?"+url.Values{"token": {wrong}}.Encode(), "")
		assert.Equal(t, []string{"/?failed"}, w.Header()["Location"])
		assert.Empty(t, w.Header()["Set-Cookie"])
	}
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	assert.NotEmpty(t, b.ask("POST", "/login", url.Values{"secret": {token}}.Encode(), form...).Header()["Set-Cookie"])
	assert.Empty(t, b.ask("POST", "/login", "secret=", form...).Header()["Set-Cookie"])
}

func TestConsole_isNotForPagesNorOtherNames(t *testing.T) {
	b := start(t, nil)
	cookie, own := b.signIn(), strings.TrimPrefix(b.url, "http://")
	_, port, _ := net.SplitHostPort(own)
	storage := b.srv.StorageURL
	for _, c := range []struct {
		headers []string
		status  int
	}{
		{nil, 200},
		{[]string{"Origin", b.url, "Sec-Fetch-Site", "same-origin"}, 200},
		{[]string{"Host", "localhost:" + port}, 200},
		{[]string{"Host", "[::1]:" + port}, 200},
		{[]string{"Sec-Fetch-Site", "none"}, 200},
		{[]string{"Host", "console.attacker.example:" + port}, 403},
		{[]string{"Host", "127.0.0.1.attacker.example"}, 403},
		{[]string{"Host", "192.0.2.7"}, 403},
		{[]string{"Host", ""}, 403},
		{[]string{"Host", "attacker.example:" + port, "Origin", "http://attacker.example:" + port}, 403},
		{[]string{"Origin", "https://attacker.example"}, 403},
		{[]string{"Origin", "null"}, 403},
		{[]string{"Origin", storage}, 403},
		{[]string{"Sec-Fetch-Site", "cross-site"}, 403},
		{[]string{"Sec-Fetch-Site", "same-site"}, 403},
		{[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 403},
	} {
		for _, path := range []string{"/api/_local/deliveries", "/api/_local/faults"} {
			w := b.ask("GET", path, "", append(c.headers, "Cookie", cookie)...)
			assert.Equal(t, c.status, w.Code, c.headers)
			assert.Empty(t, w.Header()["Access-Control-Allow-Origin"])
		}
	}
	// A link from elsewhere may lead to the page, and to nothing else.
	link := []string{"Cookie", cookie, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}
	assert.Equal(t, http.StatusOK, b.ask("GET", "/", "", link...).Code)
	assert.Equal(t, http.StatusForbidden, b.ask("POST", "/login", "", link...).Code)
	assert.Equal(t, http.StatusForbidden, b.ask("GET", "/", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors").Code)
}

func TestConsole_sendsWhatGuardsThePage(t *testing.T) {
	b := start(t, nil)
	for _, path := range []string{"/", "/static/app.js", "/static/none.js", "/api/tasks", "/none"} {
		h := b.ask("GET", path, "", "Cookie", b.signIn()).Header()
		policy := h.Get("Content-Security-Policy")
		for _, part := range []string{
			"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'",
		} {
			assert.Contains(t, policy, part, path)
		}
		assert.NotContains(t, policy, "unsafe", path)
		assert.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
		assert.Equal(t, "same-origin", h.Get("Cross-Origin-Resource-Policy"), path)
		assert.Equal(t, "same-origin", h.Get("Referrer-Policy"), path)
	}
	static := b.ask("GET", "/static/app.js", "")
	again := b.ask("GET", "/static/app.js", "", "If-None-Match", static.Header().Get("ETag"))
	assert.Equal(t, []int{http.StatusOK, http.StatusNotModified}, []int{static.Code, again.Code})
	assert.Equal(t, http.StatusNotFound, b.ask("GET", "/static/index.html", "").Code)
}

func TestConsole_handsOnNothingElse(t *testing.T) {
	b := start(t, nil)
	cookie := b.signIn()
	for request, status := range map[string]int{
		"POST /api/tasks":                                   http.StatusMethodNotAllowed,
		"DELETE /api/media/med_1":                           http.StatusMethodNotAllowed,
		"GET /api/jobs":                                     http.StatusNotFound,
		"GET /api/_local/none":                              http.StatusNotFound,
		"GET /api/_local/deliveries/..%2F..%2Ftasks":        http.StatusNotFound, // a delivery that is not there
		"GET /api/tasks/..%2F_local%2Fdeliveries":           http.StatusNotFound, // a task that is not there
		"GET /api/_local/deliveries/%2E%2E":                 http.StatusNotFound,
		"GET /api/console/deliveries/..%2Ffaults/signature": http.StatusNotFound,
	} {
		method, path, _ := strings.Cut(request, " ")
		w := b.ask(method, path, "", "Cookie", cookie)
		assert.Equal(t, status, w.Code, "%s: %s", request, w.Body)
	}

	listen := start(t, func(c *console.Config) { c.Forward = "http://localhost:3000/hook" })
	cookie = listen.signIn()
	for _, request := range []string{
		"POST /api/_local/events", "PUT /api/_local/faults", "GET /api/_local/faults", "POST /api/_local/reset", "POST /api/_local/tasks/task_1/finish",
	} {
		method, path, _ := strings.Cut(request, " ")
		w := listen.ask(method, path, `{"url":"`+listen.hook+`","event":"task.completed"}`, "Cookie", cookie)
		assert.Contains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed}, w.Code, request)
	}
	assert.Empty(t, listen.srv.Deliveries())
	assert.Equal(t, http.StatusOK, listen.ask("GET", "/api/_local/deliveries", "", "Cookie", cookie).Code)
}

func TestConsole_asksTheAPIInItsVersion(t *testing.T) {
	versions := make(chan []string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		versions <- r.Header.Values("Accept-Version")
		_, _ = w.Write([]byte("[]"))
	}))
	t.Cleanup(other.Close)
	b := start(t, func(c *console.Config) { c.API = other.URL })
	w := b.ask("GET", "/api/tasks?limit=50", "", "Cookie", b.signIn(), "Accept-Version", "latest")
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, []string{ittybit.APIVersion}, <-versions)
}

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

func TestConsole_wantsAPasswordFromElsewhere(t *testing.T) {
	for _, open := range []string{"0.0.0.0:4850", "[::]:4850", "192.0.2.1:4850", "ittybit:4850"} {
		_, err := console.New(console.Config{Token: token}, address(open))
		require.ErrorContains(t, err, "needs a password", open)
	}
	b := start(t, nil)
	c, err := console.New(console.Config{Token: token, Password: "a password of a test", Control: b.srv.URL, Hosts: []string{"ittybit"}}, address("0.0.0.0:4850"))
	require.NoError(t, err)
	b.console, b.url = c, "http://192.0.2.1:4850"
	assert.Equal(t, "http://127.0.0.1:4850/?token="+url.QueryEscape(token), c.URL())
	enter := func(secret, from string) bool {
		w := b.ask("POST", "/login", url.Values{"secret": {secret}}.Encode(), "Content-Type", "application/x-www-form-urlencoded", "From", from)
		return len(w.Header()["Set-Cookie"]) == 1
	}
	assert.True(t, enter("a password of a test", "192.0.2.7:4242"))
	assert.True(t, enter(token, "127.0.0.1:4242"))
	assert.False(t, enter(token, "192.0.2.7:4242"), "the token is for this machine")
	assert.False(t, enter("", "192.0.2.7:4242"))
	for host, status := range map[string]int{"192.0.2.1:4850": 401, "ittybit:4850": 401, "attacker.example:4850": 403} {
		assert.Equal(t, status, b.ask("GET", "/", "", "Host", host).Code, host)
	}
}

func TestConsole_saysThatTheServerIsGone(t *testing.T) {
	b := start(t, nil)
	cookie := b.signIn()
	b.srv.Close()
	for _, path := range []string{"/api/_local/deliveries", "/api/tasks", "/api/console/deliveries/dlv_1/signature"} {
		w := b.ask("GET", path, "", "Cookie", cookie)
		assert.Equal(t, http.StatusBadGateway, w.Code, path)
		body, err := io.ReadAll(w.Body)
		require.NoError(t, err)
		assert.Contains(t, string(body), "message")
	}
}
