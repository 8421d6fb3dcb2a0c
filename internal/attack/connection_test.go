package attack

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fatHeads is how many connections have a head that takes as much memory as can be.
const fatHeads = 10

// maxFields is how many header values net/http takes by default since Go 1.27, where
// http.Server.MaxHeaderValueCount sets it. Before, only their bytes are limited.
const maxFields = 500

// limitsFields reports whether this Go's net/http limits the number of header values.
func limitsFields() bool {
	_, ok := reflect.TypeFor[http.Server]().FieldByName("MaxHeaderValueCount")
	return ok
}

// headOf makes a head of many fields with different names, each of which costs far more memory than
// it has bytes.
func headOf(fields int, more ...string) string {
	all := slices.Clone(more)
	for i := range fields - len(more) - 1 { // and Host
		all = append(all, strconv.FormatUint(uint64(i), 36)+":")
	}
	return post(all...)
}

// fatHead makes a head that takes as much memory as this Go's net/http allows.
func fatHead() string {
	fields := maxHeader / len("aaa:\r\n")
	if limitsFields() {
		fields = maxFields
	}
	return headOf(fields, "Content-Length: 100")
}

// onlyWithLimit gives one status where net/http limits the number of header values, else the other.
func onlyWithLimit(limited, unlimited string) string {
	if limitsFields() {
		return limited
	}
	return unlimited
}

// connectionAttacks hold connections, or drop them.
func connectionAttacks() []attack {
	return []attack{
		{
			name: "connected, and nothing said", workers: 20, lasts: readHeaderTimeout, must: []string{cut},
			run: func(s *sender) { s.exchange("") },
		},
		{
			name: "a head that never ends", workers: 10, lasts: readHeaderTimeout, must: []string{cut},
			run: func(s *sender) {
				s.pour("POST "+webhookPath+" HTTP/1.1\r\nHost: localhost\r\n", "X: y\r\n", 200*time.Millisecond)
			},
		},
		{
			name: "as many header fields as can be, and a body that stalls", workers: fatHeads, lasts: bodyTimeout, must: []string{"408"},
			run: func(s *sender) { s.exchange(fatHead()) },
		},
		{
			name: "more header fields than Go 1.27 takes", workers: 2, pause: 100 * time.Millisecond, must: []string{onlyWithLimit("431", "401")},
			run: func(s *sender) { s.exchange(headOf(maxFields+1, length("{}")) + "{}") },
		},
		{
			name: "as many header fields as Go 1.27 takes", workers: 2, pause: 100 * time.Millisecond, must: []string{"401"},
			run: func(s *sender) { s.exchange(headOf(maxFields, length("{}")) + "{}") },
		},
		{
			name: "one byte of a head", workers: 4, lasts: readHeaderTimeout, may: []string{cut, "400"},
			run: func(s *sender) { s.exchange("P") },
		},
		{
			name: "kept alive after a refused request", workers: 10, lasts: idleTimeout, must: []string{"401, then " + cut},
			run: func(s *sender) {
				s.exchangeMany(whole("{}", ""), func(c *conn) string { return c.response() + ", then " + c.response() })
			},
		},
		{
			name: "a second head that never ends", workers: 4, lasts: idleTimeout, must: []string{"401, then " + cut},
			run: func(s *sender) {
				s.exchangeMany(whole("{}", "")+"POST "+webhookPath+" HTTP/1.1\r\nHost:", func(c *conn) string { return c.response() + ", then " + c.response() })
			},
		},
		{
			name: "closed or reset at once", workers: 2, pause: 10 * time.Millisecond, must: []string{"gone"},
			run: func(s *sender) {
				c, ok := s.dial()
				if !ok {
					return
				}
				c.say(pick(s, "", "P", "POST "+webhookPath+" HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\n"))
				pick(s, c.reset, func() { _ = c.Close() })()
				s.note("gone")
			},
		},
		{
			name: "half closed at once", workers: 1, pause: 20 * time.Millisecond, must: []string{cut}, may: []string{"400"},
			run: func(s *sender) {
				s.half(pick(s, "", "\r\n", "POST", "POST "+webhookPath+" HTTP/1.1\r\nHost: localhost\r\n"))
			},
		},
		{
			name: "half closed after a whole request", workers: 1, pause: 20 * time.Millisecond, must: []string{"401"},
			run: func(s *sender) { s.half(whole(s.trap(), "")) },
		},
		{
			name: "reset before the response", workers: 2, pause: 10 * time.Millisecond, must: []string{"gone"},
			run: func(s *sender) {
				c, ok := s.dial()
				if !ok {
					return
				}
				body := s.trap()
				c.say(strings.Repeat(whole(body, ""), 1+s.IntN(5)))
				c.reset()
				s.note("gone")
			},
		},
	}
}
