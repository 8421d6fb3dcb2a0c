package ittybittest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

// bothWays runs a test with sockets and without.
func bothWays(t *testing.T, f func(t *testing.T, a api), opts ...ittybittest.Option) {
	t.Helper()
	for name, more := range map[string][]ittybittest.Option{"sockets": nil, "memory": {ittybittest.WithoutSockets(nil)}} {
		t.Run(name, func(t *testing.T) { f(t, open(t, append(more, opts...)...)) })
	}
}

// upload is a PUT with the key whose body is read from somewhere.
func (a api) upload(path string, body io.Reader, length int64) *http.Request {
	a.t.Helper()
	req, err := http.NewRequest(http.MethodPut, a.srv.StorageURL+path, body)
	require.NoError(a.t, err)
	req.ContentLength = length
	req.Header.Set("Authorization", "Bearer "+a.srv.APIKey)
	return req
}

// stored reads what is at a path.
func (a api) stored(path string) string {
	a.t.Helper()
	f, err := a.srv.OpenStored(path)
	require.NoError(a.t, err)
	defer f.Close()
	data, err := io.ReadAll(f)
	require.NoError(a.t, err)
	return string(data)
}

// temporary are the files that the only server under TMPDIR keeps.
func temporary(t *testing.T) []string {
	t.Helper()
	dirs, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	require.Len(t, dirs, 1)
	files, err := os.ReadDir(os.TempDir() + "/" + dirs[0].Name())
	require.NoError(t, err)
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

func TestFaults_ofTheStorage(t *testing.T) {
	bothWays(t, func(t *testing.T, a api) {
		a.srv.FailRequests(1, ittybittest.RequestFault{Status: 503, Header: http.Header{"Retry-After": {"7"}}})
		got := a.put("/a.mp4", "film", "")
		got.refused(t, 503, "Service Unavailable")
		assert.Equal(t, "7", got.header.Get("Retry-After"))
		a.store("GET", "/a.mp4", "", "", "").refused(t, 404, "Not found: /")

		for _, drop := range []ittybittest.Drop{ittybittest.DropBefore, ittybittest.DropInBody} {
			for _, contentRange := range []string{"", "bytes=0-3/8"} {
				a.srv.FailRequests(1, ittybittest.RequestFault{Drop: drop})
				req := a.upload("/a.mp4", strings.NewReader("film"), 4)
				if contentRange != "" {
					req.Header.Set("Content-Range", contentRange)
				}
				_, err := a.try(req)
				require.Error(t, err)
			}
		}
		a.store("GET", "/a.mp4", "", "", "").refused(t, 404, "Not found: /")

		a.srv.FailRequests(1, ittybittest.RequestFault{Drop: ittybittest.DropAfter})
		_, err := a.try(a.upload("/a.mp4", strings.NewReader("film"), 4))
		require.Error(t, err)
		assert.Equal(t, "film", a.stored("a.mp4"))

		a.srv.SetFaults(ittybittest.Faults{Request: func(r *http.Request) (f ittybittest.RequestFault) {
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.Empty(t, body, "a fault reads nothing of an upload")
			if "http://"+r.Host == a.srv.StorageURL || "https://"+r.Host == a.srv.StorageURL {
				f.Status = 502
			}
			return f
		}})
		a.put("/b.mp4", "film", "").refused(t, 502, "Bad Gateway")
		a.store("GET", "/a.mp4", "", "", "").refused(t, 502, "Bad Gateway")
		assert.Len(t, a.list("/files"), 1, "the API works")
	})
}

func TestFaults_dropInBodyTakesHalfOfIt(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		for length, taken := range map[int64]int{4 << 20: 2 << 20, -1: 1} {
			body := strings.NewReader(strings.Repeat("x", 4<<20))
			a.srv.FailRequests(1, ittybittest.RequestFault{Drop: ittybittest.DropInBody})
			_, err := a.try(a.upload("/a.mp4", io.MultiReader(body), length))
			require.Error(t, err)
			synctest.Wait()
			sent := 4<<20 - body.Len()
			assert.GreaterOrEqual(t, sent, taken)
			assert.LessOrEqual(t, sent, taken+512<<10, "but for what buffers hold, and net/http reads before it closes a connection")
		}
	})
}

func TestFaults_dropInAnswer(t *testing.T) {
	film := strings.Repeat("film", 100_000)
	bothWays(t, func(t *testing.T, a api) {
		require.Equal(t, 201, a.put("/a.mp4", film, "").status)
		a.srv.FailRequests(3, ittybittest.RequestFault{Drop: ittybittest.DropInAnswer})

		got, err := a.try(must(http.NewRequest(http.MethodGet, a.srv.StorageURL+"/a.mp4", nil)))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assert.Equal(t, 200, got.status)
		assert.Equal(t, film[:len(film)/2], got.raw)

		got, err = a.try(a.request("POST", "/media", "{}"))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assert.Equal(t, 201, got.status)
		assert.NotEmpty(t, got.raw)

		_, err = a.try(must(http.NewRequest(http.MethodHead, a.srv.StorageURL+"/a.mp4", nil)))
		require.Error(t, err, "an answer without a body is not sent")
		assert.Len(t, a.list("/media"), 2, "the media object was made")
	})
}

func must(req *http.Request, err error) *http.Request {
	if err != nil {
		panic(err)
	}
	return req
}

func TestFaults_latencyOfTheStorage(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		a.srv.SetFaults(ittybittest.Faults{Latency: time.Hour})
		a.srv.FailRequests(1, ittybittest.RequestFault{AnswerLatency: time.Minute})
		start := time.Now()
		require.Equal(t, 201, a.put("/a.mp4", "film", "").status)
		assert.Equal(t, time.Hour+time.Minute, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := a.try(a.upload("/b.mp4", strings.NewReader("film"), 4).WithContext(ctx))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(2 * time.Hour)
		_, err = a.srv.OpenStored("b.mp4")
		assert.ErrorIs(t, err, os.ErrNotExist, "who gave up has changed nothing")
	})
}

func TestWithEmptyUploadAnswers(t *testing.T) {
	bothWays(t, func(t *testing.T, a api) {
		for _, c := range []struct {
			body, contentRange string
			status             int
		}{{"film", "", 201}, {"film", "", 201}, {"fi", "bytes=0-1/4", 202}, {"lm", "bytes=2-3/4", 201}} {
			got := a.put("/a.mp4", c.body, c.contentRange)
			assert.Equal(t, c.status, got.status)
			assert.Empty(t, got.raw)
			assert.Empty(t, got.header.Get("Content-Type"))
		}
		a.put("/a.mp4", "film", "bytes=0-1/4").refused(t, 400, "Content-Range")
		assert.Equal(t, "film", a.stored("/a.mp4"))
		assert.NotEmpty(t, a.create("/media", "{}")["id"], "the API is not concerned")
	}, ittybittest.WithEmptyUploadAnswers())
}

// untouched fails the test if it is read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestStorage_refusesBeforeTheBodyIsRead(t *testing.T) {
	soon := time.Now().Add(time.Hour).Unix()
	bothWays(t, func(t *testing.T, a api) {
		require.Equal(t, 201, a.put("/full", "1234567890", "").status)
		for name, c := range map[string]struct {
			path, bearer, contentRange string
			status                     int
			words                      string
		}{
			"no key":            {"/a.mp4", "", "", 401, "required"},
			"wrong key":         {"/a.mp4", "wrong", "", 401, "not valid"},
			"wrong signature":   {signed("wrong", "a.mp4", "put", soon), "", "", 403, "not valid"},
			"expired":           {signed(a.srv.APIKey, "a.mp4", "put", 1_700_000_000), "", "", 403, "expired since 2023-11-14T22:13:20Z"},
			"to fetch":          {signed(a.srv.APIKey, "a.mp4", "get", soon), "", "", 403, `another method: "get", not "put"`},
			"full":              {"/a.mp4", a.srv.APIKey, "", 507, "full"},
			"no range":          {"/a.mp4", a.srv.APIKey, "bytes=x", 400, "Content-Range"},
			"range of another":  {"/a.mp4", a.srv.APIKey, "bytes=0-1/6", 400, "not the 2 bytes"},
			"chunk of too much": {"/a.mp4", a.srv.APIKey, "bytes=0-5/100", 507, "full"},
		} {
			t.Run(name, func(t *testing.T) {
				req := a.upload(c.path, untouched{t}, 6)
				req.Header.Set("Expect", "100-continue")
				req.Header.Del("Authorization")
				if c.bearer != "" {
					req.Header.Set("Authorization", "Bearer "+c.bearer)
				}
				if c.contentRange != "" {
					req.Header.Set("Content-Range", c.contentRange)
				}
				req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
					Got100Continue: func() { t.Error("the body was asked for") },
				}))
				got := a.do(req)
				got.refused(t, c.status, c.words)
				assert.NotContains(t, got.raw, a.srv.APIKey)
				if c.status == 401 {
					assert.Equal(t, "Bearer", got.header.Get("WWW-Authenticate"))
				}
			})
		}
	}, ittybittest.WithStorageLimit(12))
}

// begun starts PUTs whose bodies do not come, and returns once the server
// waits for all of them.
func (a api) begun(requests ...*http.Request) (finish func(bodies ...string) []answer) {
	a.t.Helper()
	var asked, answered sync.WaitGroup
	answers, writers := make([]answer, len(requests)), make([]*io.PipeWriter, len(requests))
	for i, req := range requests {
		reader, writer := io.Pipe()
		writers[i], req.Body = writer, reader
		req.Header.Set("Expect", "100-continue")
		asked.Add(1)
		req = req.WithContext(httptrace.WithClientTrace(a.t.Context(), &httptrace.ClientTrace{Got100Continue: asked.Done}))
		answered.Go(func() {
			got, err := a.try(req)
			assert.NoError(a.t, err)
			answers[i] = got
		})
	}
	asked.Wait()
	return func(bodies ...string) []answer {
		for i, body := range bodies {
			_, err := io.WriteString(writers[i], body)
			assert.NoError(a.t, err)
			_ = writers[i].Close()
		}
		answered.Wait()
		return answers
	}
}

// patient is a client that waits for the server to ask for a body.
func patient(t *testing.T, a api) api {
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	t.Cleanup(transport.CloseIdleConnections)
	return api{t, a.srv, &http.Client{Transport: transport}}
}

// chunk is a chunk of two bytes of the upload to /a.mp4.
func (a api) chunk(contentRange string) *http.Request {
	req := a.upload("/a.mp4", strings.NewReader("x"), 2)
	req.Header.Set("Content-Range", contentRange)
	return req
}

func TestStorage_chunksArriveInParallel(t *testing.T) {
	a := patient(t, open(t, ittybittest.WithStorageLimit(8)))
	finish := a.begun(
		a.chunk("bytes=4-5/8"), a.chunk("bytes=0-1/8"),
		a.chunk("bytes 2-3/8"), a.chunk("bytes=0-1/8"), // sent again meanwhile
	)
	assert.Empty(t, a.list("/files"), "nobody has to wait for them")
	for _, got := range finish("ef", "ab", "cd", "ab") {
		assert.Equal(t, 202, got.status, got.raw)
	}
	for _, got := range a.begun(a.chunk("bytes=6-7/8"), a.chunk("bytes=6-7/8"))("gh", "gh") {
		assert.Equal(t, 201, got.status, got.raw)
	}
	assert.Equal(t, "abcdefgh", a.stored("a.mp4"))
	assert.Len(t, a.list("/files"), 1)
}

func TestStorage_countsWhatIsThereWhenABodyHasCome(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	a := patient(t, open(t, ittybittest.WithStorageLimit(10)))
	finish := a.begun(a.upload("/a.mp4", strings.NewReader("x"), 6))
	assert.Equal(t, 201, a.put("/c.mp4", "1234", "").status)
	a.put("/b.mp4", "1234567", "").refused(t, 507, "full")
	unknown := a.upload("/b.mp4", strings.NewReader("1234567"), -1)
	a.do(unknown).refused(t, 507, "full")
	assert.Equal(t, 201, finish("abcdef")[0].status)
	late := a.begun(a.upload("/c.mp4", strings.NewReader("x"), 4))
	require.Equal(t, 200, a.send("DELETE", "/files/"+a.list("/files")[1]["id"].(string), "").status)
	require.Equal(t, 201, a.put("/d.mp4", "1", "").status)
	late("1234")[0].refused(t, 507, "full")
	require.Equal(t, 200, a.send("DELETE", "/files/"+a.list("/files")[0]["id"].(string), "").status)
	assert.Equal(t, 201, a.put("/c.mp4", "1234", "").status)
	assert.Len(t, temporary(t), 2, "what was refused is gone")

	assert.Equal(t, 201, a.put("/a.mp4", "ABCDEF", "").status, "what replaces a file needs no room of its own")
	a.put("/a.mp4", "ABCDEFG", "").refused(t, 507, "full")
	assert.Equal(t, "ABCDEF", a.stored("a.mp4"))
	assert.Len(t, temporary(t), 2)
}

func TestClose_endsSlowUploadsAndDownloads(t *testing.T) {
	srv := ittybittest.NewServer()
	a := newAPI(t, srv)
	require.Equal(t, 201, a.put("/big", strings.Repeat("x", 32<<20), "").status)
	dial := func(text string) *bufio.Reader {
		conn, err := net.Dial("tcp", strings.TrimPrefix(srv.StorageURL, "http://"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, text)
		require.NoError(t, err)
		return bufio.NewReader(conn)
	}
	up := dial(fmt.Sprintf("PUT /slow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", srv.APIKey))
	line, err := up.ReadString('\n') // the server is reading the body now
	require.NoError(t, err)
	require.Contains(t, line, "100 Continue")
	down := dial("GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
	line, err = down.ReadString('\n') // and sends one that nobody takes
	require.NoError(t, err)
	require.Contains(t, line, "200 OK")

	srv.Close()
	assert.Eventually(t, func() bool { return !strings.Contains(otherStacks(), "ittybittest.") }, 5*time.Second, time.Millisecond, otherStacks())
	_, err = srv.OpenStored("big")
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestClose_endsSlowUploadsAndDownloadsWithoutSockets(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		require.Equal(t, 201, a.put("/big", strings.Repeat("x", 1<<20), "").status)
		resp, err := a.http.Do(must(http.NewRequest(http.MethodGet, a.srv.StorageURL+"/big", nil)))
		require.NoError(t, err)
		defer resp.Body.Close()

		reader, writer := io.Pipe()
		failed := make(chan error, 1)
		go func() {
			_, err := a.try(a.upload("/slow", reader, 100))
			failed <- err
		}()
		_, err = io.WriteString(writer, "some of it") // the server is reading the body now
		require.NoError(t, err)
		a.srv.Close()
		// As with sockets the client waits for its body.
		go func() { _, _ = io.WriteString(writer, "more") }()
		require.Error(t, <-failed)
		_, err = io.ReadAll(resp.Body)
		require.Error(t, err, "the rest of it")
		_, err = io.WriteString(writer, "more")
		assert.ErrorIs(t, err, io.ErrClosedPipe)
	})
}
