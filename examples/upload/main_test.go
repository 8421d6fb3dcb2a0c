package main

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/examples/internal/examplerun"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func TestUpload_uploadsAndPrintsADownloadURL(t *testing.T) {
	name := filepath.Join(t.TempDir(), "talk.mp4")
	require.NoError(t, os.WriteFile(name, make([]byte, 24<<20), 0o600))
	program := examplerun.Start(t, nil, examplerun.Build(t), "-local", name)
	require.NoError(t, program.Wait())
	assert.Contains(t, program.Output(), "25165824 bytes sent")
	assert.Regexp(t, `download: http://127\.0\.0\.1:\d+/examples/talk\.mp4\?expiry=\d+&method=get&signature=\S+`, program.Output())
	assert.NoFileExists(t, name+".upload")
}

func TestUpload_saysWhatIsMissing(t *testing.T) {
	name := filepath.Join(t.TempDir(), "talk.mp4")
	require.NoError(t, os.WriteFile(name, []byte("x"), 0o600))
	program := examplerun.Start(t, nil, examplerun.Build(t), name)
	require.Error(t, program.Wait())
	assert.Contains(t, program.Output(), "ITTYBIT_API_KEY")

	program = examplerun.Start(t, []string{"ITTYBIT_API_KEY=key"}, examplerun.Build(t), name)
	require.Error(t, program.Wait())
	assert.Contains(t, program.Output(), "Domain")
}

func TestUpload_goesOnWhereItEnded(t *testing.T) {
	local := ittybittest.NewServer()
	defer local.Close()
	network := &cutOnce{next: local.Transport()}
	client, err := local.Client(ittybit.WithHTTPClient(&http.Client{Transport: network}), ittybit.WithRetryPolicy(ittybit.RetryPolicy{MaxAttempts: 1}))
	require.NoError(t, err)
	name := filepath.Join(t.TempDir(), "talk.mp4")
	content := strings.Repeat("twenty-four MiB and a bit, ", 1<<20)
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))

	_, err = upload(t.Context(), client, local.StorageURL, name)
	require.ErrorIs(t, err, errCut)
	require.FileExists(t, name+".upload")

	result, err := upload(t.Context(), client, local.StorageURL, name)
	require.NoError(t, err)
	assert.NoFileExists(t, name+".upload")
	resp, err := http.Get(result.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, sha256.Sum256([]byte(content)), sha256.Sum256(got))
	assert.Equal(t, []string{"bytes=0-16777215/28311552", "bytes=16777216-28311551/28311552", "bytes=16777216-28311551/28311552"}, network.ranges,
		"what was confirmed is not sent again")
}

func TestUpload_ofWhichNotAllIsKeptSaysNoMore(t *testing.T) {
	short := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id":"file_1","object":"source","filesize":3}`)
	}))
	defer short.Close()
	client, err := ittybit.NewClient("key")
	require.NoError(t, err)
	defer client.CloseIdleConnections()
	name := filepath.Join(t.TempDir(), "talk.mp4")
	require.NoError(t, os.WriteFile(name, []byte("more than that"), 0o600))
	_, err = upload(t.Context(), client, short.URL, name)
	require.ErrorIs(t, err, ittybit.ErrUploadIncomplete)
	assert.NotErrorIs(t, err, fs.ErrNotExist, "no token was stored, and none is missed")
}

var errCut = errors.New("the network is gone")

// cutOnce loses the second chunk once.
type cutOnce struct {
	next   http.RoundTripper
	ranges []string
}

func (c *cutOnce) RoundTrip(req *http.Request) (*http.Response, error) {
	c.ranges = append(c.ranges, req.Header.Get("Content-Range"))
	if len(c.ranges) == 2 {
		return nil, errCut
	}
	return c.next.RoundTrip(req)
}
