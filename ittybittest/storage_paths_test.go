package ittybittest_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

func TestStorage_chunksThatDoNotFit(t *testing.T) {
	a := open(t)
	require.Equal(t, 202, a.put("/a.mp4", "cd", "bytes 2-3/8").status, "as in RFC 9110")
	a.put("/a.mp4", "ef", "bytes=4-5/9").refused(t, 400, "the file has 9 bytes; that of the upload under way has 8")
	a.put("/a.mp4", "de", "bytes=3-4/8").refused(t, 400, "bytes 3-4 overlap bytes 2-3")
	a.put("/a.mp4", "bcde", "bytes=1-4/8").refused(t, 400, "bytes 1-4 overlap bytes 2-3")
	got := a.put("/a.mp4", "gh", "bytes=6-7/8")
	assert.Equal(t, 202, got.status)
	assert.Contains(t, got.raw, "Bytes 0-1 are among those that are missing")
	assert.Contains(t, a.put("/a.mp4", "ab", "bytes=0-1/8").raw, "Bytes 4-5 are among")
	assert.Contains(t, a.put("/a.mp4", "ef", "bytes=4-5/8").raw, "send the last chunk again")
	require.Equal(t, 201, a.put("/a.mp4", "gh", "bytes=6-7/8").status)
	assert.Equal(t, "abcdefgh", a.stored("a.mp4"))
}

func TestStorage_anUploadCanBeBegunAnew(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	a := open(t, ittybittest.WithStorageLimit(8))
	require.Equal(t, 202, a.put("/a.mp4", "xx", "bytes=0-1/8").status)
	require.Equal(t, 202, a.put("/a.mp4", "xx", "bytes=4-5/8").status)
	require.Equal(t, 202, a.put("/a.mp4", "abcde", "bytes=0-4/8").status, "with chunks of another size")
	assert.Len(t, temporary(t), 1)
	require.Equal(t, 201, a.put("/a.mp4", "fgh", "bytes=5-7/8").status)
	assert.Equal(t, "abcdefgh", a.stored("a.mp4"))

	require.Equal(t, 202, a.put("/a.mp4", "xx", "bytes=0-1/8").status)
	require.Equal(t, 202, a.put("/a.mp4", "AB", "bytes=0-1/4").status, "with another total")
	require.Equal(t, 201, a.put("/a.mp4", "CD", "bytes=2-3/4").status)
	assert.Equal(t, "ABCD", a.stored("a.mp4"))

	require.Equal(t, 202, a.put("/a.mp4", "xx", "bytes=0-1/8").status)
	require.Equal(t, 201, a.put("/a.mp4", "whole", "").status, "or whole")
	assert.Equal(t, "whole", a.stored("a.mp4"))
	assert.Len(t, temporary(t), 1, "nothing else is left")
}

func TestStorage_aChunkOfAnUploadThatHasEnded(t *testing.T) {
	a := patient(t, open(t))
	require.Equal(t, 202, a.put("/a.mp4", "ab", "bytes=0-1/6").status)
	finish := a.begun(a.chunk("bytes=2-3/6"))
	require.Equal(t, 201, a.put("/a.mp4", "abc", "bytes=0-2/3").status, "another file, of one chunk")
	assert.Equal(t, 202, finish("cd")[0].status, "it begins an upload of its own")
	assert.Equal(t, "abc", a.stored("a.mp4"))
}

func TestStorage_anUploadIsBegunAnewOnce(t *testing.T) {
	a := patient(t, open(t))
	require.Equal(t, 202, a.put("/a.mp4", "xx", "bytes=0-1/8").status)
	first := a.begun(a.chunk("bytes=0-1/6"))
	again := a.begun(a.chunk("bytes=0-1/6"))
	require.Equal(t, 202, first("ab")[0].status)
	require.Equal(t, 202, a.put("/a.mp4", "cd", "bytes=2-3/6").status)
	require.Equal(t, 202, again("ab")[0].status)
	require.Equal(t, 201, a.put("/a.mp4", "ef", "bytes=4-5/6").status)
	assert.Equal(t, "abcdef", a.stored("a.mp4"))
}

// A chunk that restarts an upload is cut, or has not enough room: the upload goes on where it was.
func TestStorage_aRestartThatFailsCostsNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	a := open(t, ittybittest.WithStorageLimit(8))
	require.Equal(t, 202, a.put("/a.mp4", "ab", "bytes=0-1/8").status)
	require.Equal(t, 202, a.put("/a.mp4", "cd", "bytes=2-3/8").status)
	for span, length := range map[string]int64{"bytes=0-3/8": 4, "bytes=0-1/4": 2} {
		req := a.upload("/a.mp4", io.MultiReader(strings.NewReader("X"), iotest.ErrReader(errors.New("cut"))), length)
		req.Header.Set("Content-Range", span)
		_, err := a.try(req)
		require.ErrorContains(t, err, "cut")
	}
	a.put("/a.mp4", "XX", "bytes=0-1/9").refused(t, 507, "full")
	require.Equal(t, 202, a.put("/a.mp4", "ef", "bytes=4-5/8").status)
	require.Equal(t, 201, a.put("/a.mp4", "gh", "bytes=6-7/8").status)
	assert.Equal(t, "abcdefgh", a.stored("a.mp4"))
	assert.Eventually(t, func() bool { return len(temporary(t)) == 1 }, 5*time.Second, time.Millisecond, "what was cut is gone")
}

func TestStorage_aRepeatThatArrivesWhileTheFileIsCompleted(t *testing.T) {
	a := patient(t, open(t))
	require.Equal(t, 202, a.put("/a.mp4", "ab", "bytes=0-1/4").status)
	finish := a.begun(a.chunk("bytes=0-1/4"))
	done := a.put("/a.mp4", "cd", "bytes=2-3/4")
	require.Equal(t, 201, done.status)
	assert.Equal(t, 202, finish("ab")[0].status, "it has come already")
	assert.Equal(t, done.raw, a.put("/a.mp4", "cd", "bytes=2-3/4").raw)
	assert.Equal(t, "abcd", a.stored("a.mp4"))
}

func TestStorage_lateRepeatsChangeNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	a := open(t, ittybittest.WithStorageLimit(8))
	require.Equal(t, 202, a.put("/a.mp4", "abc", "bytes=0-2/8").status)
	require.Equal(t, 202, a.put("/a.mp4", "de", "bytes=3-4/8").status)
	done := a.put("/a.mp4", "fgh", "bytes=5-7/8")
	require.Equal(t, 201, done.status)

	assert.Equal(t, 202, a.put("/a.mp4", "de", "bytes=3-4/8").status)
	again := a.put("/a.mp4", "fgh", "bytes=5-7/8")
	assert.Equal(t, 201, again.status)
	assert.Equal(t, done.raw, again.raw)
	assert.Equal(t, 202, a.put("/a.mp4", "abc", "bytes=0-2/8").status)
	assert.Equal(t, done.raw, a.put("/a.mp4", "fgh", "bytes=5-7/8").raw, "also after another late one")
	assert.Len(t, temporary(t), 1)
	assert.Len(t, a.list("/files"), 1)

	// A late repeat does not stand in the way of another file.
	assert.Equal(t, 202, a.put("/a.mp4", "de", "bytes=3-4/8").status)
	assert.Equal(t, 202, a.put("/a.mp4", "x", "bytes=1-1/2").status)
	assert.Equal(t, 202, a.put("/a.mp4", "abc", "bytes=0-2/8").status, "nor does one in the middle of it change it")
	assert.Equal(t, 202, a.put("/a.mp4", "w", "bytes=0-0/2").status)
	require.Equal(t, 201, a.put("/a.mp4", "x", "bytes=1-1/2").status)
	assert.Equal(t, "wx", a.stored("a.mp4"))
	assert.Len(t, temporary(t), 1)
}

func TestStorage_aFileThatIsPartlyTheSame(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	a := open(t)
	put := func(want int, chunks ...string) (last answer) {
		for i, body := range chunks {
			last = a.put("/a.mp4", body, []string{"bytes=0-1/6", "bytes=2-3/6", "bytes=4-5/6"}[i])
			if i < 2 {
				assert.Equal(t, 202, last.status)
			}
		}
		require.Equal(t, want, last.status, last.raw)
		assert.Equal(t, strings.Join(chunks, ""), a.stored("a.mp4"))
		assert.Len(t, temporary(t), 1)
		return last
	}
	first := put(201, "ab", "cd", "ef")
	assert.Equal(t, first.raw, put(201, "ab", "cd", "ef").raw, "the same file")
	second := put(201, "ab", "XX", "ef")
	assert.NotEqual(t, first.raw, second.raw)
	put(201, "ab", "XX", "YY")
	put(201, "ZZ", "XX", "YY")
	assert.Len(t, a.list("/files"), 1)
}

func TestStorage_replacing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	a := open(t)
	old := a.put("/a.mp4", "old bytes", "").object(t)
	reader, err := a.srv.OpenStored("a.mp4")
	require.NoError(t, err)
	defer reader.Close()
	file := a.put("/a.mp4", "new", "").object(t)
	assert.NotEqual(t, old["id"], file["id"])
	a.send("GET", "/files/"+old["id"].(string), "").refused(t, 404, "file")
	assert.Empty(t, a.get("/media/" + old["media_id"].(string))["files"])
	assert.Len(t, a.get("/media/" + file["media_id"].(string))["files"], 1)
	assert.Len(t, a.list("/files"), 1)
	assert.Equal(t, "new", a.stored("a.mp4"))

	data, err := io.ReadAll(reader)
	require.NoError(t, err)
	assert.Equal(t, "old bytes", string(data), "who reads the old bytes may end that")
	require.NoError(t, reader.Close())
	assert.Len(t, temporary(t), 1, "and then they are gone")

	a.send("DELETE", "/files/"+file["id"].(string), "")
	_, err = a.srv.OpenStored("a.mp4")
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.Empty(t, temporary(t))
}

func TestStorage_rangesAcrossChunks(t *testing.T) {
	bothWays(t, func(t *testing.T, a api) {
		require.Equal(t, 202, a.put("/a.mp4", "abc", "bytes=0-2/8").status)
		require.Equal(t, 202, a.put("/a.mp4", "de", "bytes=3-4/8").status)
		require.Equal(t, 201, a.put("/a.mp4", "fgh", "bytes=5-7/8").status)
		for want, given := range map[string]string{"cdef": "bytes=2-5", "h": "bytes=-1", "de": "bytes=3-4", "efgh": "bytes=4-"} {
			req := a.upload("/a.mp4", nil, 0)
			req.Method = "GET"
			req.Header.Set("Range", given)
			got := a.do(req)
			assert.Equal(t, 206, got.status)
			assert.Equal(t, want, got.raw)
		}
	})
}
