package blobs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// put stores a body: at is "start-end/total", or whole.
func put(t *testing.T, st *Store, name string, span Range, text string) (Result, error) {
	t.Helper()
	b, err := st.Receive(name, span, int64(len(text)), strings.NewReader(text))
	if err != nil {
		require.ErrorIs(t, err, ErrFull)
		return Result{}, err
	}
	defer st.End(b)
	return st.Commit(b, "video/mp4", func(size int64, replaced string) string {
		return strings.TrimLeft(replaced+"+"+text, "+")
	})
}

func read(t *testing.T, st *Store, name string) string {
	t.Helper()
	f, err := st.Open(name)
	require.NoError(t, err)
	data, err := io.ReadAll(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return string(data)
}

func whole() Range { return Range{Total: -1} }

func TestStore_takesChunksInAnyOrderIntoOneFile(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	st := New(100)
	defer st.Clear()
	for _, order := range [][]int{{0, 1, 2, 3}, {2, 0, 1, 3}, {1, 1, 2, 0, 3}} {
		for i, n := range order {
			result, err := put(t, st, "a", Range{int64(2 * n), int64(2*n + 1), 8}, "abcdefgh"[2*n:2*n+2])
			require.NoError(t, err)
			if i == len(order)-1 {
				assert.Equal(t, Result{Owner: "gh"}, result)
			} else {
				assert.Empty(t, result.Owner)
				assert.NotEmpty(t, result.Missing)
			}
		}
		assert.Equal(t, "abcdefgh", read(t, st, "a"))
		dirs, err := os.ReadDir(os.TempDir())
		require.NoError(t, err)
		files, err := os.ReadDir(os.TempDir() + "/" + dirs[0].Name())
		require.NoError(t, err)
		assert.Len(t, files, 1)
		st.Delete("gh")
	}
	assert.Empty(t, st.Names())
}

func TestStore_knowsRepeats(t *testing.T) {
	st := New(100)
	defer st.Clear()
	first, err := put(t, st, "a", whole(), "film")
	require.NoError(t, err)
	assert.Equal(t, Result{Owner: "film"}, first)
	again, err := put(t, st, "a", whole(), "film")
	require.NoError(t, err)
	assert.Equal(t, Result{Owner: "film"}, again)
	other, err := put(t, st, "a", whole(), "movie")
	require.NoError(t, err)
	assert.Equal(t, Result{Owner: "film+movie"}, other)
}

func TestStore_halfAChunkSpoilsNothing(t *testing.T) {
	st := New(100)
	defer st.Clear()
	_, err := put(t, st, "a", Range{0, 3, 8}, "good")
	require.NoError(t, err)
	before, err := os.ReadDir(st.dir)
	require.NoError(t, err)
	broken := errors.New("cut")
	b, err := st.Receive("a", Range{0, 3, 8}, 4, io.MultiReader(strings.NewReader("BA"), iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken)
	assert.Nil(t, b)
	after, err := os.ReadDir(st.dir)
	require.NoError(t, err)
	assert.Len(t, after, len(before), "nothing of it is left")
	b, err = st.Receive("a", Range{0, 3, 8}, 4, strings.NewReader("BAD!"))
	require.NoError(t, err)
	st.End(b)
	st.End(b)
	_, err = put(t, st, "a", Range{4, 7, 8}, "film")
	require.NoError(t, err)
	assert.Equal(t, "goodfilm", read(t, st, "a"))
}

func TestStore_leavesNoFileOfAChunkThatCannotBeCopied(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	st := New(100)
	defer st.Clear()
	b, err := st.Receive("a", Range{4, 7, 8}, 4, strings.NewReader("film"))
	require.NoError(t, err)
	require.NoError(t, os.Remove(b.path))
	require.NoError(t, os.Mkdir(b.path, 0o700)) // can be opened, and not be read
	_, err = st.Commit(b, "video/mp4", nil)
	require.Error(t, err)
	st.End(b)
	files, err := os.ReadDir(st.dir)
	require.NoError(t, err)
	assert.Empty(t, files)
	assert.Empty(t, st.Names())
	_, err = put(t, st, "a", Range{0, 3, 8}, "good")
	require.NoError(t, err)
}

func TestStore_refusesWhatDoesNotFit(t *testing.T) {
	st := New(10)
	defer st.Clear()
	_, err := put(t, st, "a", Range{2, 3, 8}, "cd")
	require.NoError(t, err)
	var conflict *refusal.Error
	for _, span := range []Range{{3, 4, 8}, {2, 3, 9}, {1, 2, 8}} {
		_, err = put(t, st, "a", span, "xx")
		require.ErrorAs(t, err, &conflict, span)
	}
	_, err = put(t, st, "b", whole(), "xyz")
	require.ErrorIs(t, err, ErrFull)
	meanwhile, err := st.Receive("b", whole(), 2, strings.NewReader("xy"))
	require.NoError(t, err)
	_, err = put(t, st, "c", whole(), "z")
	require.NoError(t, err)
	_, err = st.Commit(meanwhile, "", nil)
	require.ErrorIs(t, err, ErrFull, "another one came first")
	st.End(meanwhile)
	_, err = st.Receive("b", whole(), -1, strings.NewReader("xyz"))
	require.ErrorIs(t, err, ErrFull)
	_, err = st.Receive("b", whole(), 3, iotest.ErrReader(errors.New("it was read")))
	require.Equal(t, ErrFull, err, "what has no room is not read")
	late, err := st.Receive("a", Range{4, 5, 8}, 2, strings.NewReader("ef"))
	require.NoError(t, err)
	_, err = put(t, st, "a", Range{0, 1, 2}, "yz")
	require.NoError(t, err, "a chunk at the start restarts an upload")
	result, err := st.Commit(late, "", nil)
	require.NoError(t, err)
	assert.NotEmpty(t, result.Missing, "a late chunk of another file begins an upload of its own")
	assert.Equal(t, "yz", read(t, st, "a"))
	st.End(late)
}

func TestStore_moves(t *testing.T) {
	st := New(100)
	defer st.Clear()
	for _, name := range []string{"a", "b"} {
		_, err := put(t, st, name, whole(), name)
		require.NoError(t, err)
	}
	require.ErrorIs(t, st.Move("a", "a", "b"), fs.ErrExist)
	require.NoError(t, st.Move("a", "a", "a"))
	require.ErrorIs(t, st.Move("a", "nothing", "c"), fs.ErrNotExist)
	require.ErrorIs(t, st.Move("b", "a", "c"), fs.ErrNotExist, "it is another's now")
	_, err := put(t, st, "c", Range{0, 0, 2}, "c")
	require.NoError(t, err)
	require.ErrorIs(t, st.Move("a", "a", "c"), fs.ErrExist)
	require.NoError(t, st.Move("a", "a", "d/c"))
	assert.Equal(t, "a", read(t, st, "d/c"))
	_, err = st.Open("a")
	require.ErrorIs(t, err, fs.ErrNotExist)
	assert.ElementsMatch(t, []string{"b", "d/c"}, st.Names())
}
