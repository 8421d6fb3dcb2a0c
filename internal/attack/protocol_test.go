package attack

import (
	"io"
	"strings"
	"time"
)

// protocolAttacks bend HTTP/1.
func protocolAttacks() []attack {
	megabytes := strings.Repeat("x", 64<<10)
	brief := 20 * time.Millisecond
	return []attack{
		{
			name: "a header field of 10 MB", workers: 2, pause: time.Second, must: []string{"431"}, may: []string{cut},
			run: func(s *sender) {
				s.pourHead("POST "+webhookPath+" HTTP/1.1\r\nHost: localhost\r\nX-Large: ", megabytes)
			},
		},
		{
			name: "10 MB of header fields", workers: 2, pause: time.Second, must: []string{"431"}, may: []string{cut},
			run: func(s *sender) {
				s.pourHead("POST "+webhookPath+" HTTP/1.1\r\nHost: localhost\r\n", strings.Repeat("A: b\r\n", 1000))
			},
		},
		{
			name: "a signature of 10 MB", workers: 1, pause: time.Second, must: []string{"431"}, may: []string{cut},
			run: func(s *sender) {
				s.pourHead("POST "+webhookPath+" HTTP/1.1\r\nHost: localhost\r\nIttybit-Signature: t=1", strings.Repeat(",v1=00", 1000))
			},
		},
		{
			name: "a path of 10 MB", workers: 1, pause: time.Second, must: []string{"431"}, may: []string{cut},
			run: func(s *sender) { s.pourHead("POST /", megabytes) },
		},
		{
			name: "a signature header above 4 KiB", workers: 1, pause: brief, must: []string{"401"}, may: []string{cut},
			run: func(s *sender) {
				body := s.trap()
				s.exchange(whole(body, sign(body)+strings.Repeat(",v1=00", 1000)))
			},
		},
		{
			name: "HTTP/1.0, unsigned", workers: 1, pause: brief, must: []string{"401"},
			run: func(s *sender) {
				body := s.trap()
				s.exchange("POST " + webhookPath + " HTTP/1.0\r\n" + pick(s, "", "Connection: keep-alive\r\n", "Transfer-Encoding: chunked\r\n") + length(body) + "\r\n\r\n" + body)
			},
		},
		{
			name: "HTTP/0.9, 1.2, 3, and none", workers: 1, pause: brief, must: []string{"400", "505"}, may: []string{cut},
			run: func(s *sender) {
				s.exchange("POST " + webhookPath + pick(s, "", " HTTP/0.9", " HTTP/3.0", " HTTP/2.0", " HTTP/11.1", " http/1.1", " HTTP/1", " HTTP/1.1 x", " ICY/1.1") + "\r\nHost: localhost\r\n\r\n")
			},
		},
		{
			name: "other methods, at the mux", workers: 1, pause: brief, must: []string{"405"}, may: []string{cut},
			run: func(s *sender) {
				body := s.trap()
				s.exchange(head(method(s)+" "+webhookPath, signatureField(sign(body)), length(body)) + body)
			},
		},
		{
			name: "other methods, at the handler", workers: 1, pause: brief, must: []string{"405"}, may: []string{cut},
			run: func(s *sender) {
				body := s.trap()
				s.exchange(head(method(s)+" "+barePath, signatureField(sign(body)), length(body)) + body)
			},
		},
		{
			name: "methods that are none", workers: 1, pause: brief, must: []string{"400"}, may: []string{cut},
			run: func(s *sender) {
				s.exchange(head(pick(s, "", "PO ST", "P\x00ST", "PÖST", "(", "POST\t")+" "+webhookPath) + s.trap())
			},
		},
		{
			name: "a hundred pipelined, one of them good", workers: 2, pause: time.Second, must: []string{"99 refused, 1 handled"},
			run: pipelined,
		},
		{
			name: "pipelined, and no response ever read", workers: 2, lasts: writeTimeout, must: []string{cut},
			run: neverReads,
		},
		{
			name: "smuggling", workers: 4, pause: brief, must: []string{"400", "401", "501"}, may: []string{cut},
			run: smuggled,
		},
		{
			name: "broken heads", workers: 2, pause: brief, must: []string{"400"}, may: []string{cut},
			run: func(s *sender) {
				body := s.trap()
				signed := signatureField(sign(body))
				line := "POST " + webhookPath + " HTTP/1.1\r\n"
				s.exchange(pick(s,
					line+signed+"\r\n"+length(body)+"\r\n\r\n"+body, // no Host
					line+"Host: a\r\nHost: b\r\n"+signed+"\r\n"+length(body)+"\r\n\r\n"+body,
					line+"Host: a/b?c\x00\r\n"+signed+"\r\n"+length(body)+"\r\n\r\n"+body,
					line+"Host: a\r\nno colon\r\n\r\n",
					line+"Host: a\r\n: empty\r\n\r\n",
					line+"Host: a\r\nSp ace: x\r\n\r\n",
					line+"Host: a\r\nN\x00l: x\r\n\r\n",
					line+"Host: a\r\nX: a\x00b\r\n\r\n",
					line+" Host: a\r\n\r\n",
					"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"+body+"\r\n\r\n", // TLS
					"\x00\x00\x00\x00\r\n\r\n",
				))
			},
		},
		{
			name: "upgrades to other protocols", workers: 1, pause: brief, must: []string{"401"},
			run: func(s *sender) {
				s.exchange(whole(s.trap(), "", "Connection: Upgrade, HTTP2-Settings", "Upgrade: "+pick(s, "h2c", "websocket", "TLS/1.3"), "HTTP2-Settings: AAMAAABkAAQAAP__"))
			},
		},
	}
}

func method(s *sender) string {
	return pick(s, "GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "post", "Post", "POSTX", "M-SEARCH")
}

// pourHead sends start and then piece until it is 10 MB.
func (s *sender) pourHead(start, piece string) {
	s.exchangeLarge(func(c *conn) {
		for said, n := c.say(start), 0; said && n < 10<<20; n += len(piece) {
			said = c.say(piece)
		}
	})
}

// exchangeLarge notes the response to what write writes, which the server may not want to read.
func (s *sender) exchangeLarge(write func(*conn)) {
	c, ok := s.dial()
	if !ok {
		return
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		write(c)
	}()
	s.note(c.response())
	c.reset()
	<-written
}

// pipelined sends a hundred requests at once. Each response belongs to its request.
func pipelined(s *sender) {
	const requests = 100
	good := s.good.next("pipelined_" + s.name())
	place := s.IntN(requests)
	var all strings.Builder
	for i := range requests {
		if i == place {
			all.WriteString(whole(good.body, good.signature))
			continue
		}
		all.WriteString(whole(s.trap(), pick(s, "", good.signature)))
	}
	s.exchangeMany(all.String(), func(c *conn) string {
		for i := range requests {
			want := "401"
			if i == place {
				want = "200"
			}
			if status := c.response(); status != want {
				return status + " out of order"
			}
		}
		return "99 refused, 1 handled"
	})
}

// exchangeMany sends text and notes what read makes of the responses.
func (s *sender) exchangeMany(text string, read func(*conn) string) {
	c, ok := s.dial()
	if !ok {
		return
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.say(text)
	}()
	s.note(read(c))
	c.reset()
	<-written
}

// neverReads asks and asks, until the server has had enough of it.
func neverReads(s *sender) {
	c, ok := s.dial()
	if !ok {
		return
	}
	defer c.reset()
	_ = c.SetReadBuffer(4 << 10)
	requests := strings.Repeat(whole("{}", ""), 100)
	for {
		_ = c.SetWriteDeadline(time.Now().Add(paced(serverTimeout))) // the server takes its time to fill what there is between them
		switch _, err := io.WriteString(c, requests); {
		case err == nil:
		case isTimeout(err):
			s.note(open)
			return
		default:
			s.note(cut)
			return
		}
	}
}

// smuggled sends one request that a careless proxy or server would take for two, or two of
// different lengths. Whoever falls for it handles a trap, or reads the wrong body.
func smuggled(s *sender) {
	outer, inner := s.trap(), whole(s.trap(), "")
	signed := signatureField(sign(outer))
	chunked := "0\r\n\r\n"
	s.exchange(pick(s,
		post(signed, "Content-Length: 4", "Transfer-Encoding: chunked")+chunked+inner,
		post(signed, "Transfer-Encoding: chunked", length(outer))+chunked+outer,
		post(signed, "Content-Length: 0", length(outer))+outer,
		post(signed, length(outer), "Content-Length: 0")+outer,
		post(signed, length(outer)+", 0")+outer,
		post(signed, "Content-Length: +"+length(outer)[len("Content-Length: "):])+outer,
		post(signed, "Content-Length: 0x40")+outer,
		post(signed, "Content-Length: -1")+outer,
		post(signed, "Content-Length: 99999999999999999999")+outer,
		post(signed, "Content-Length: ")+outer,
		post(signed, "Content-Length : 5")+outer,
		post(signed, "Transfer-Encoding : chunked")+chunked+inner,
		post(signed, "Transfer-Encoding: xchunked")+chunked+inner,
		post(signed, "Transfer-Encoding: chunked, identity")+chunked+inner,
		post(signed, "Transfer-Encoding: identity, chunked")+chunked+inner,
		post(signed, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")+chunked+inner,
		post(signed, "Transfer-Encoding: chunked", "Transfer-Encoding: identity")+chunked+inner,
		post(signed, "Transfer-Encoding:\x0bchunked")+chunked+inner,
		post(signed, "Transfer-Encoding: \"chunked\"")+chunked+inner,
		post(signed, "X: y\r\n Transfer-Encoding: chunked")+chunked+inner, // a folded line
		post(signed, "X: y\nTransfer-Encoding: chunked")+chunked+inner,    // a bare line feed
		post(signed, "X: y\rTransfer-Encoding: chunked")+chunked+inner,
	))
}
