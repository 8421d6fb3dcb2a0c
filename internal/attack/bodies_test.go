package attack

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
)

// bodyTimeout is how long a body may take.
const bodyTimeout = ittybit.DefaultReadTimeout

// maxBody is the largest body that is read.
const maxBody = ittybit.DefaultMaxBodyBytes

// bodyAttacks lie about bodies, send them slowly, or never end them.
func bodyAttacks() []attack {
	kilobyte := strings.Repeat("x", 1<<10)
	chunk := "8000\r\n" + strings.Repeat("x", 0x8000) + "\r\n"
	return []attack{
		{
			name: "a body, one byte at a time", workers: 4, lasts: bodyTimeout, must: []string{"408"},
			run: func(s *sender) {
				s.pour(post("Content-Length: 100000", signatureField(sign(s.trap()))), "x", 20*time.Millisecond)
			},
		},
		{
			name: "a chunked body, one byte at a time", workers: 4, lasts: bodyTimeout, must: []string{"408"},
			run: func(s *sender) { s.pour(post("Transfer-Encoding: chunked"), "1\r\nx\r\n", 20*time.Millisecond) },
		},
		{
			name: "a body that stalls", workers: 6, lasts: bodyTimeout, must: []string{"408"},
			run: func(s *sender) { s.exchange(post("Content-Length: 5000") + kilobyte[:s.IntN(1000)]) },
		},
		{
			name: "all but the last byte of 60 KB, then nothing", workers: 16, lasts: bodyTimeout, must: []string{"408"},
			run: func(s *sender) { s.exchange(post("Content-Length: 61441") + strings.Repeat(kilobyte, 60)) },
		},
		{
			name: "all but the last byte of 1 MiB, then nothing", workers: 28, pause: 2 * time.Second, lasts: bodyTimeout, must: []string{"408", "503"}, may: []string{cut},
			run: func(s *sender) {
				s.exchange(post(fmt.Sprintf("Content-Length: %d", maxBody)) + strings.Repeat(kilobyte, maxBody>>10-1) + kilobyte[1:])
			},
		},
		{
			name: "a slow body where no route is", workers: 4, lasts: readTimeout, must: []string{"404", "405"}, may: []string{cut},
			run: func(s *sender) {
				line := "POST /elsewhere"
				if s.IntN(2) == 0 {
					line = "PUT " + webhookPath
				}
				s.exchange(head(line, "Content-Length: 1000") + "start")
			},
		},
		{
			name: "an endless chunked body", workers: 2, pause: time.Second, must: []string{"413"}, may: []string{"503", cut},
			run: func(s *sender) { s.pour(post("Transfer-Encoding: chunked"), chunk, 0) },
		},
		{
			name: "a body of 100 GB", workers: 2, pause: time.Second, must: []string{"413"}, may: []string{cut},
			run: func(s *sender) { s.pour(post("Content-Length: 100000000000"), kilobyte, 0) },
		},
		{
			name: "1 MiB, unsigned", workers: 4, pause: time.Second, must: []string{"401"}, may: []string{"503", cut},
			run: func(s *sender) { s.exchange(whole(strings.Repeat("x", maxBody), "")) },
		},
		{
			name: "1 MiB, signed by a stranger", workers: 2, pause: time.Second, must: []string{"401"}, may: []string{"503", cut},
			run: func(s *sender) {
				body := strings.Repeat("x", maxBody)
				s.exchange(whole(body, ittybit.SignWebhook("a guess", time.Now(), []byte(body))))
			},
		},
		{
			name: "one byte too many, signed", workers: 1, pause: time.Second, must: []string{"413"}, may: []string{cut},
			run: func(s *sender) {
				body := `{"id":"` + strings.Repeat("x", maxBody-8) + `"}`
				s.exchange(whole(body, sign(body)))
			},
		},
		{
			name: "chunked lies, signed", workers: 2, pause: 20 * time.Millisecond, must: []string{"400"}, may: []string{cut},
			run: func(s *sender) { s.half(chunkedLie(s)) },
		},
		{
			name: "more claimed than sent, signed", workers: 2, pause: 20 * time.Millisecond, must: []string{"400"},
			run: func(s *sender) {
				body := s.trap()
				s.half(post(signatureField(sign(body)), fmt.Sprintf("Content-Length: %d", len(body)+1+s.IntN(5000))) + body)
			},
		},
		{
			name: "less claimed than sent, signed", workers: 2, pause: 20 * time.Millisecond, must: []string{"401"}, may: []string{cut},
			run: func(s *sender) {
				body := s.trap()
				s.exchange(post(signatureField(sign(body)), fmt.Sprintf("Content-Length: %d", s.IntN(len(body)))) + body)
			},
		},
		{
			name: "cut off in the middle of the body", workers: 2, pause: 10 * time.Millisecond, must: []string{"gone"},
			run: func(s *sender) {
				c, ok := s.dial()
				if !ok {
					return
				}
				body := s.trap()
				request := whole(body, sign(body))
				c.say(request[:len(request)-1-s.IntN(len(body)-1)])
				c.reset()
				s.note("gone")
			},
		},
		{
			name: "an empty body", workers: 1, pause: 20 * time.Millisecond, must: []string{"401"},
			run: func(s *sender) { s.exchange(whole("", "")) },
		},
		{
			name: "100-continue, and then nothing", workers: 2, lasts: bodyTimeout, must: []string{"408"},
			run: func(s *sender) { s.exchange(post("Content-Length: 100", "Expect: 100-continue")) },
		},
		{
			name: "an expectation of something else", workers: 1, pause: 20 * time.Millisecond, must: []string{"417"}, may: []string{cut},
			run: func(s *sender) { s.exchange(post("Content-Length: 2", "Expect: 200-ok") + "{}") },
		},
	}
}

// chunkedLie is a signed delivery that some careless reader of chunks might take.
func chunkedLie(s *sender) string {
	body := s.trap()
	start := post(signatureField(sign(body)), "Transfer-Encoding: chunked")
	size, end := fmt.Sprintf("%x", len(body)), "\r\n0\r\n\r\n"
	return start + pick(s,
		"0x"+size+"\r\n"+body+end,
		"+"+size+"\r\n"+body+end,
		"-"+size+"\r\n"+body+end,
		" "+size+"\r\n"+body+end,
		size+" "+size+"\r\n"+body+end,
		"zz\r\n"+body+end,
		"\r\n"+body+end,
		"10000000000000000"+size+"\r\n"+body+end,
		"ffffffffffffffff\r\n"+body+end,
		fmt.Sprintf("%x\r\n", len(body)+1)+body+end, // one too many
		fmt.Sprintf("%x\r\n", len(body)-1)+body+end, // one too few
		size+"\r\n"+body,                            // no end at all
		size+"\r\n"+body+"\r\n",                     // no last chunk
		size+"\r\n"+body+"\r\n0\r\n",                // no end of the trailer
		size+"\r\n"+body+"0\r\n\r\n",                // no end of the chunk
		size+"\r\n"+body+"\r\n0\r\nTrailer without a colon\r\n\r\n",
		strings.Repeat("1;"+strings.Repeat("e", 2000)+"\r\nx\r\n", 100), // nothing but extensions
		size+";"+strings.Repeat("e", 10_000)+"\r\n"+body+end,
		size+"\r\n"+body+"\r\n0\r\n"+strings.Repeat("X: "+strings.Repeat("t", 1000)+"\r\n", 100)+"\r\n", // a large trailer
	)
}

func pick[T any](s *sender, of ...T) T { return of[s.IntN(len(of))] }

// bombSize is what a bomb becomes where somebody inflates it, in bytes.
const bombSize = 64 << 20

// compressedAttacks send bodies that nobody asked to be compressed.
func compressedAttacks() []attack {
	bomb := compressed("gzip", io.LimitReader(zeros{}, bombSize))
	return []attack{
		{
			name: "compression bombs, unsigned", workers: 2, pause: time.Second, must: []string{"401"}, may: []string{cut, "503"},
			run: func(s *sender) {
				s.exchange(whole(bomb, "", "Content-Encoding: "+pick(s, "gzip", "deflate", "br", "zstd", "gzip, gzip", "x-gzip"), "Content-Type: application/json"))
			},
		},
		{
			name: "compression bombs, signed", workers: 1, pause: time.Second, must: []string{"400"}, may: []string{cut, "503"},
			run: func(s *sender) { s.exchange(whole(bomb, sign(bomb), "Content-Encoding: gzip")) },
		},
		{
			name: "compressed after it was signed", workers: 1, pause: 20 * time.Millisecond, must: []string{"401"},
			run: func(s *sender) {
				encoding, body := pick(s, "gzip", "deflate"), s.trap()
				s.exchange(whole(compressed(encoding, strings.NewReader(body)), sign(body), "Content-Encoding: "+encoding))
			},
		},
		{
			name: "compressed before it was signed", workers: 1, pause: 20 * time.Millisecond, must: []string{"400"},
			run: func(s *sender) {
				encoding := pick(s, "gzip", "deflate")
				body := compressed(encoding, strings.NewReader(s.trap()))
				s.exchange(whole(body, sign(body), "Content-Encoding: "+encoding))
			},
		},
		{
			name: "a transfer encoding of gzip", workers: 1, pause: 20 * time.Millisecond, must: []string{"501"}, may: []string{cut},
			run: func(s *sender) {
				body := s.trap()
				s.exchange(post(signatureField(sign(body)), "Transfer-Encoding: "+pick(s, "gzip, chunked", "gzip", "deflate")) + compressed("gzip", strings.NewReader(body)))
			},
		},
	}
}

func compressed(encoding string, from io.Reader) string {
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if encoding == "deflate" {
		w, _ = flate.NewWriter(&b, flate.BestSpeed) // the level is one
	}
	_, _ = io.Copy(w, from) // a buffer takes everything
	_ = w.Close()
	return b.String()
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
