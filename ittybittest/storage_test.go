package ittybittest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

func after(t *testing.T, seconds int) <-chan time.Time {
	t.Helper()
	return time.After(time.Duration(seconds) * time.Second)
}

// signed computes a signed path on its own.
func signed(key, path, method string, expiry int64) string {
	text := fmt.Sprintf("%s?expiry=%d&method=%s", path, expiry, method)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return "/" + text + "&signature=" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// store sends a request to the storage; with contentRange if that isn't empty.
func (a api) store(method, path, body, contentRange, bearer string) answer {
	a.t.Helper()
	req, err := http.NewRequest(method, a.srv.StorageURL+path, strings.NewReader(body))
	require.NoError(a.t, err)
	if contentRange != "" {
		req.Header.Set("Content-Range", contentRange)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	return a.do(req)
}

func (a api) put(path, body, contentRange string) answer {
	a.t.Helper()
	return a.store("PUT", path, body, contentRange, a.srv.APIKey)
}

func TestSignatures(t *testing.T) {
	a := open(t)
	got := a.create("/signatures", `{"filename":"my video.mp4","folder":"/a/../b/","method":"put"}`)
	assert.Equal(t, "my-video.mp4", got["filename"])
	assert.Equal(t, "a/b", got["folder"])
	expiry := int64(got["expiry"].(float64))
	assert.InDelta(t, time.Now().Add(time.Hour).Unix(), expiry, 5)
	assert.Equal(t, a.srv.StorageURL+signed(a.srv.APIKey, "a/b/my-video.mp4", "put", expiry), got["url"])
	path := strings.TrimPrefix(got["url"].(string), a.srv.StorageURL)
	assert.Equal(t, 201, a.store("PUT", path, "x", "", "").status)

	a.send("POST", "/signatures", `{}`).refused(t, 400, "filename")
	a.send("POST", "/signatures", `{"filename":"a","expiry":1}`).refused(t, 400, "expiry")
	a.send("POST", "/signatures", `{"filename":"a","method":"post"}`).refused(t, 400, "method")
}

func TestStorage_authorization(t *testing.T) {
	a := open(t)
	key, soon := a.srv.APIKey, time.Now().Add(time.Minute).Unix()
	a.store("PUT", "/a.mp4", "x", "", "").refused(t, 401, "required")
	a.store("PUT", "/a.mp4", "x", "", "wrong").refused(t, 401, "API key")
	a.store("PUT", signed("wrong", "a.mp4", "put", soon), "x", "", "").refused(t, 403, "not valid")
	a.store("PUT", strings.Replace(signed(key, "b.mp4", "put", soon), "/b", "/a", 1), "x", "", "").refused(t, 403, "not valid")
	a.store("PUT", signed(key, "a.mp4", "put", 1000), "x", "", "").refused(t, 403, "expired since 1970-01-01T00:16:40Z")
	a.store("PUT", signed(key, "a.mp4", "get", soon), "x", "", "").refused(t, 403, "another method")
	a.store("GET", "/a.mp4", "", "", "").refused(t, 404, "Not found: /")
	a.store("POST", "/a.mp4", "", "", key).refused(t, 405, "PUT")

	require.Equal(t, 201, a.store("PUT", signed(key, "a.mp4", "put", soon), "x", "", "").status)
	assert.Equal(t, "x", a.store("GET", "/a.mp4", "", "", "").raw)
	assert.Equal(t, "x", a.store("GET", signed(key, "a.mp4", "get", soon), "", "", "").raw)
	assert.Equal(t, 200, a.store("HEAD", "/a.mp4", "", "", "").status)
	a.store("GET", signed(key, "a.mp4", "put", soon), "", "", "").refused(t, 403, "another method")
	a.store("GET", signed("wrong", "a.mp4", "get", soon), "", "", "").refused(t, 403, "not valid")
}

func TestStorage_simple(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		a.create("/automations", onNewMedia)
		got := a.put("/f/a.mp3", "hello", "")
		require.Equal(t, 201, got.status, got.raw)
		file := got.object(t)
		assert.Equal(t, "a.mp3", file["filename"])
		assert.Equal(t, "f", file["folder"])
		assert.InDelta(t, 5, file["filesize"], 0)
		assert.Equal(t, a.srv.StorageURL+"/f/a.mp3", file["url"])
		assert.Len(t, a.get("/media/" + file["media_id"].(string))["files"], 1)
		synctest.Wait()
		assert.Len(t, a.list("/tasks"), 1)

		assert.Equal(t, got.raw, a.put("/f/a.mp3", "hello", "").raw, "a repeat")
		assert.NotEqual(t, file["id"], a.put("/f/a.mp3", "other", "").object(t)["id"])
		req, err := http.NewRequest(http.MethodGet, a.srv.StorageURL+"/f/a.mp3", nil)
		require.NoError(t, err)
		req.Header.Set("Range", "bytes=1-2")
		part := a.do(req)
		assert.Equal(t, 206, part.status)
		assert.Equal(t, "th", part.raw)

		last := a.list("/files")[0]["id"].(string)
		a.send("DELETE", "/files/"+last, "")
		a.store("GET", "/f/a.mp3", "", "", "").refused(t, 404, "Not found: /")
	})
}

func TestStorage_runsNoPageThatWasUploaded(t *testing.T) {
	a := open(t)
	require.Equal(t, 201, a.put("/page.html", "<script>fetch('/')</script>", "").status)
	got := a.store("GET", "/page.html", "", "", "")
	assert.Equal(t, []string{"sandbox", "nosniff"}, []string{got.header.Get("Content-Security-Policy"), got.header.Get("X-Content-Type-Options")})
}

func TestStorage_chunks(t *testing.T) {
	a := open(t)
	assert.Equal(t, 202, a.put("/a.mp4", "fgh", "bytes=5-7/8").status, "the last, but not all there")
	assert.Equal(t, 202, a.put("/a.mp4", "cde", "bytes=2-4/8").status)
	assert.Equal(t, 202, a.put("/a.mp4", "xx", "bytes=0-1/8").status)
	assert.Equal(t, 202, a.put("/a.mp4", "ab", "bytes=0-1/8").status, "sent again")
	a.store("GET", "/a.mp4", "", "", "").refused(t, 404, "Not found: /")
	done := a.put("/a.mp4", "fgh", "bytes=5-7/8")
	require.Equal(t, 201, done.status, done.raw)
	assert.Equal(t, "abcdefgh", a.store("GET", "/a.mp4", "", "", "").raw)
	assert.Equal(t, done.raw, a.put("/a.mp4", "fgh", "bytes=5-7/8").raw, "a repeat")
	assert.Len(t, a.list("/media"), 1)

	for _, bad := range []string{"bytes=0-2/8", "bytes=0-0/8", "bytes  0-1/8", "items=0-1/8", "bytes=1-0/8", "bytes=0-1/1", "bytes=0-1/*", "x"} {
		a.put("/b.mp4", "ab", bad).refused(t, 400, "Content-Range")
	}
	for _, body := range []string{"a", "abc"} { // of unknown length
		req, err := http.NewRequest(http.MethodPut, a.srv.StorageURL+"/b.mp4", io.MultiReader(strings.NewReader(body)))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+a.srv.APIKey)
		req.Header.Set("Content-Range", "bytes=0-1/2")
		a.do(req).refused(t, 400, "Content-Range")
	}
}

func TestWithStorageLimit(t *testing.T) {
	a := open(t, ittybittest.WithStorageLimit(5))
	assert.Equal(t, 201, a.put("/a", "1234", "").status)
	a.put("/b", "12", "").refused(t, 507, "full")
	a.put("/b", "1", "bytes=0-0/2").refused(t, 507, "full")
	assert.Equal(t, 201, a.put("/a", "1234", "").status, "a repeat needs no room")
	assert.Equal(t, 201, a.put("/b", "1", "").status)
}

func TestClose_removesUploads(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	a := open(t)
	require.Equal(t, 201, a.put("/a", "1234", "").status)
	entries, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	require.Len(t, entries, 1)
	a.srv.Close()
	entries, err = os.ReadDir(os.TempDir())
	require.NoError(t, err)
	assert.Empty(t, entries)
}
