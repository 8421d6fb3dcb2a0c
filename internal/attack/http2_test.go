package attack

import (
	"encoding/binary"
	"io"
	"strconv"
	"strings"
	"time"
)

// http2Attacks abuse HTTP/2, which net/http offers by itself over TLS; here it is without.
func http2Attacks() []attack {
	return []attack{
		{
			name: "HTTP/2: unsigned", workers: 1, pause: 20 * time.Millisecond, must: []string{"401"},
			run: func(s *sender) {
				s.http2(func(c *conn) string {
					c.say(request2(1, false) + frame(frameData, flagEndStream, 1, s.trap()))
					return c.response2(true)
				})
			},
		},
		{
			name: "HTTP/2: rapid resets", workers: 1, pause: time.Second, must: []string{"goes on"}, may: []string{"goaway", cut},
			run: func(s *sender) {
				s.http2(func(c *conn) string {
					for burst := range uint32(10) {
						var all strings.Builder
						for i := range uint32(100) {
							stream := 200*burst + 2*i + 1
							all.WriteString(request2(stream, s.IntN(2) == 0) + frame(frameReset, 0, stream, "\x00\x00\x00\x08"))
						}
						if !c.say(all.String()) {
							break
						}
					}
					c.say(frame(framePing, 0, 0, "12345678"))
					return c.response2(false)
				})
			},
		},
		{
			name: "HTTP/2: a hundred slow bodies on one connection", workers: 2, lasts: readTimeout, must: []string{"408"},
			run: func(s *sender) {
				s.http2(func(c *conn) string {
					var all strings.Builder
					for i := range uint32(100) {
						all.WriteString(request2(2*i+1, false) + frame(frameData, 0, 2*i+1, "{"))
					}
					c.say(all.String())
					return c.response2(true)
				})
			},
		},
		{
			name: "HTTP/2: continuations without end", workers: 2, pause: time.Second, must: []string{"goaway"}, may: []string{cut},
			run: func(s *sender) {
				s.http2(func(c *conn) string {
					c.say(frame(frameHeaders, 0, 1, requestFields()))
					field := literal("x-"+s.name(), strings.Repeat("y", 100))
					for range 2000 {
						if !c.say(frame(frameContinuation, 0, 1, strings.Repeat(field, 100))) {
							break
						}
					}
					return c.response2(false)
				})
			},
		},
		{
			name: "HTTP/2: a bomb of compressed fields", workers: 1, pause: time.Second, must: []string{"431"}, may: []string{"goaway", cut},
			run: func(s *sender) {
				s.http2(func(c *conn) string {
					// One field of 3,000 bytes goes into the table, and is then named in one byte,
					// 3,000 times.
					fields := requestFields() + "\x40" + text("x-bomb") + text(strings.Repeat("b", 3000)) + strings.Repeat("\xbe", 3000)
					c.say(frame(frameHeaders, flagEndHeaders|flagEndStream, 1, fields))
					return c.response2(true)
				})
			},
		},
		{
			name: "HTTP/2: no window for the responses", workers: 2, lasts: writeTimeout, must: []string{"reset"}, may: []string{"goaway", cut},
			run: func(s *sender) {
				s.http2(func(c *conn) string {
					c.say(frame(frameSettings, 0, 0, "\x00\x04\x00\x00\x00\x00"))
					var all strings.Builder
					for i := range uint32(50) {
						all.WriteString(request2(2*i+1, true))
					}
					c.say(all.String())
					return c.response2(false)
				})
			},
		},
		{
			name: "HTTP/2: connected, and nothing more", workers: 4, lasts: idleTimeout, must: []string{"goaway"}, may: []string{cut},
			run: func(s *sender) { s.http2(func(c *conn) string { return c.response2(false) }) },
		},
		{
			name: "HTTP/2: a preface that stalls", workers: 2, lasts: readTimeout, may: []string{cut, "400"},
			run: func(s *sender) { s.exchange(preface[:1+s.IntN(len(preface)-1)]) },
		},
		{
			name: "HTTP/2: broken frames", workers: 2, pause: 20 * time.Millisecond, must: []string{"goaway"}, may: []string{cut},
			run: func(s *sender) {
				s.http2(func(c *conn) string {
					c.say(pick(s,
						frame(frameData, 0, 1, "data on a stream that is idle"),
						frame(frameHeaders, flagEndHeaders, 2, requestFields()), // an even stream
						frame(frameHeaders, flagEndHeaders, 0, requestFields()),
						frame(frameHeaders, flagEndHeaders, 1, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), // an endless number
						frame(frameSettings, 0, 0, "\x00"),
						frame(frameSettings, 0, 0, "\x00\x04\xff\xff\xff\xff"), // a window beyond all
						frame(frameSettings, 0, 1, ""),
						frame(framePing, 0, 0, "short"),
						frame(frameWindow, 0, 0, "\x00\x00\x00\x00"),
						frame(frameWindow, 0, 0, "\x7f\xff\xff\xff"),
						frame(frameContinuation, flagEndHeaders, 1, requestFields()),
						frame(frameReset, 0, 1, "\x00\x00\x00\x00"), // a stream that is idle
						"\xff\xff\xff\x00\x00\x00\x00\x00\x01"+strings.Repeat("x", 1000),
					))
					return c.response2(false)
				})
			},
		},
		{
			name: "HTTP/2: floods of pings and settings", workers: 1, pause: time.Second, must: []string{"goes on"}, may: []string{"goaway", cut},
			run: func(s *sender) {
				s.http2(func(c *conn) string {
					ping, settings := frame(framePing, 0, 0, "87654321"), frame(frameSettings, 0, 0, "\x00\x03\x00\x00\x00\x64")
					c.say(strings.Repeat(ping+settings+frame(0xbb, 0xff, 0, "an unknown frame"), 2000))
					c.say(frame(framePing, 0, 0, "12345678"))
					return c.response2(false)
				})
			},
		},
	}
}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindow       = 0x8
	frameContinuation = 0x9

	flagEndStream  = 0x1
	flagEndHeaders = 0x4
	flagAck        = 0x1
)

// http2 notes what talk makes of a connection that has been opened as HTTP/2.
func (s *sender) http2(talk func(*conn) string) {
	c, ok := s.dial()
	if !ok {
		return
	}
	defer c.reset()
	c.say(preface + frame(frameSettings, 0, 0, ""))
	s.note(talk(c))
}

// frame makes a frame of HTTP/2.
func frame(kind, flags byte, stream uint32, payload string) string {
	n := len(payload)
	return string(binary.BigEndian.AppendUint32([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}, stream)) + payload
}

// request2 makes the fields of an unsigned POST.
func request2(stream uint32, whole bool) string {
	flags := byte(flagEndHeaders)
	if whole {
		flags |= flagEndStream
	}
	return frame(frameHeaders, flags, stream, requestFields())
}

// requestFields are POST, http, the path and the host, as HPACK has them.
func requestFields() string {
	return "\x83\x86" + "\x04" + text(webhookPath) + "\x01" + text("localhost")
}

// literal is a field that goes into no table.
func literal(name, value string) string { return "\x00" + text(name) + text(value) }

// text is a string without Huffman's code.
func text(s string) string {
	n := len(s)
	if n < 127 {
		return string([]byte{byte(n)}) + s
	}
	prefix := []byte{127}
	for n -= 127; n >= 128; n /= 128 {
		prefix = append(prefix, byte(n%128+128))
	}
	return string(append(prefix, byte(n))) + s
}

// response2 reads frames until there is one that says what the server makes of it: the first
// status, where that is wanted; else the response to a ping, the reset of a stream, or the end.
func (c *conn) response2(status bool) string {
	gone := false
	for {
		var header [9]byte
		if _, err := io.ReadFull(c.reader, header[:]); err != nil {
			switch {
			case isTimeout(err):
				return open
			case gone:
				return "goaway"
			}
			return cut
		}
		payload := make([]byte, int(header[0])<<16|int(header[1])<<8|int(header[2]))
		if _, err := io.ReadFull(c.reader, payload); err != nil {
			return cut
		}
		switch kind, flags := header[3], header[4]; {
		case kind == frameGoAway:
			gone = true // what matters is that the connection ends
		case kind == frameHeaders && status:
			return status2(payload)
		case kind == frameReset && !status:
			return "reset"
		case kind == framePing && flags&flagAck != 0 && string(payload) == "12345678":
			return "goes on"
		}
	}
}

// status2 reads the first field of a response, which is its status.
func status2(fields []byte) string {
	indexed := map[byte]string{0x88: "200", 0x8c: "400", 0x8d: "404", 0x8e: "500"}
	if len(fields) > 0 && indexed[fields[0]] != "" {
		return indexed[fields[0]]
	}
	if len(fields) < 4 || fields[0] < 0x48 || fields[0] > 0x4e { // a literal under one of the names of the static table
		return "a response that can't be read"
	}
	if n := int(fields[1] & 0x7f); fields[1]&0x80 == 0 {
		return string(fields[2 : 2+n])
	}
	return huffmanDigits(fields[2:])
}

// huffmanDigits reads three digits in the code of HPACK: 0, 1 and 2 have five bits, and the
// others six, from 011001.
func huffmanDigits(code []byte) string {
	bits := uint(code[0])<<16 | uint(code[1])<<8
	if len(code) > 2 {
		bits |= uint(code[2])
	}
	var digits strings.Builder
	for at := 24; digits.Len() < 3; {
		if five := bits >> (at - 5) & 0x1f; five <= 2 {
			digits.WriteString(strconv.Itoa(int(five)))
			at -= 5
			continue
		}
		digits.WriteString(strconv.Itoa(int(bits>>(at-6)&0x3f) - 0b011001 + 3))
		at -= 6
	}
	return digits.String()
}
