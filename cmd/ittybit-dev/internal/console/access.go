package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// header is what the page's own requests carry. Another site can't set it without asking first,
// and it is never allowed to.
const header = "X-Ittybit-Console"

// isOwnHost reports whether the browser was led here by an address of this machine, and not by a
// name that somebody else lets point here. No name leads to an IP address, so where the console
// is not on the loopback interface any may be used.
func (c *Console) isOwnHost(r *http.Request) bool {
	name := (&url.URL{Host: r.Host}).Hostname()
	ip, own := net.ParseIP(name), net.ParseIP((&url.URL{Host: c.address}).Hostname())
	if strings.EqualFold(name, "localhost") || slices.Contains(c.config.Hosts, strings.ToLower(name)) {
		return true
	}
	return ip != nil && (ip.IsLoopback() || own == nil || !own.IsLoopback())
}

// isForeign reports whether a page of another origin asks. Another port is another origin, as
// that of the stored files. To follow a link to the page itself, which does nothing, is allowed.
func isForeign(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		from, err := url.Parse(origin)
		if err != nil || from.Scheme == "" || from.Host != r.Host {
			return true
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return r.Method != http.MethodGet || r.URL.Path != "/" || r.Header.Get("Sec-Fetch-Mode") != "navigate"
}

// protected serves the page's own requests alone.
func (c *Console) protected(serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.isSignedIn(r) {
			fail(w, http.StatusUnauthorized, "Open the address that ittybit-dev printed.")
			return
		}
		// An EventSource can set no header. Other origins can't read it.
		if r.Header.Get(header) == "" && r.URL.Path != "/api/_local/stream" {
			fail(w, http.StatusForbidden, "The header "+header+" is missing.")
			return
		}
		serve(w, r)
	})
}

// cookieName has the port, because the cookies of a host are those of all its ports.
func (c *Console) cookieName() string {
	_, port, _ := net.SplitHostPort(c.address)
	return "ittybit_console_" + port
}

// session is what the cookie holds: made from the token, so that a browser stays signed in as long
// as that is good.
func (c *Console) session() string {
	sum := sha256.Sum256([]byte("session\n" + c.config.Token + "\n" + c.config.Password))
	return strings.ToLower(encode(sum[:]))
}

func (c *Console) isSignedIn(r *http.Request) bool {
	cookie, err := r.Cookie(c.cookieName())
	return err == nil && equal(cookie.Value, c.session())
}

func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// failures slows down who guesses.
var failures sync.Mutex

// enter signs a browser in. The token is good on this machine, the password from anywhere.
func (c *Console) enter(w http.ResponseWriter, r *http.Request, secret string) {
	ip, _, _ := net.SplitHostPort(r.RemoteAddr)
	address := net.ParseIP(ip)
	local := address != nil && address.IsLoopback()
	byToken := local && equal(secret, c.config.Token)
	byPassword := c.config.Password != "" && equal(secret, c.config.Password)
	if !byToken && !byPassword {
		failures.Lock()
		select {
		case <-time.After(100 * time.Millisecond):
		case <-r.Context().Done():
		}
		failures.Unlock()
		http.Redirect(w, r, "/?failed", http.StatusSeeOther)
		return
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // not Secure: the console is on plain http
		Name: c.cookieName(), Value: c.session(), Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// login is the form's, for the token or the password.
func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	c.enter(w, r, r.PostFormValue("secret"))
}
