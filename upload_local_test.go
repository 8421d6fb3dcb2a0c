package ittybit_test

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func TestUpload_againstTheLocalIttybit_endsWithTheSameBytes(t *testing.T) {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	require.NoError(t, err)
	data := uploadBytes(11, 40*uploadKiB+7)
	params := ittybit.UploadParams{
		Domain: local.StorageURL, Folder: "films", Filename: "a.mp4", Body: bytes.NewReader(data), Threshold: 1, ChunkSize: uploadKiB,
	}
	result, err := client.Files.Upload(t.Context(), params)
	require.NoError(t, err)
	assert.Equal(t, int64(len(data)), result.File.Filesize)
	resp, err := http.Get(result.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	var got bytes.Buffer
	_, err = got.ReadFrom(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, data, got.Bytes())
	media, err := client.Media.Get(t.Context(), result.File.MediaID)
	require.NoError(t, err)
	assert.Len(t, media.FilesByObject(ittybit.FileObjectSource), 1)
}

func TestUpload_againstTheLocalIttybit_saysWhyItIsRefused(t *testing.T) {
	local := ittybittest.NewServer(ittybittest.WithStorageLimit(10 * uploadKiB))
	defer local.Close()
	client, err := local.Client()
	require.NoError(t, err)
	_, err = client.Files.Upload(t.Context(), ittybit.UploadParams{
		Domain: local.StorageURL, Filename: "a.mp4", Body: bytes.NewReader(uploadBytes(12, 20*uploadKiB)), Threshold: 1, ChunkSize: uploadKiB,
	})
	require.ErrorIs(t, err, ittybit.ErrServer)
	var answer *ittybit.APIError
	require.ErrorAs(t, err, &answer)
	assert.Equal(t, http.StatusInsufficientStorage, answer.StatusCode)
	assert.NotEmpty(t, answer.Message)

	signed, err := ittybit.SignURL("another key", local.StorageURL, "a.mp4", time.Now().Add(time.Hour), ittybit.SignatureMethodPut)
	require.NoError(t, err)
	_, err = client.Files.Upload(t.Context(), ittybit.UploadParams{SignedURL: signed.URL, Body: bytes.NewReader([]byte("film"))})
	require.ErrorIs(t, err, ittybit.ErrForbidden)
	assert.NotContains(t, err.Error(), signed.Signature)

	soon, err := ittybit.SignURL(local.APIKey, local.StorageURL, "a.mp4", time.Now().Add(time.Hour), ittybit.SignatureMethodGet)
	require.NoError(t, err)
	_, err = client.Files.Upload(t.Context(), ittybit.UploadParams{SignedURL: soon.URL, Body: bytes.NewReader([]byte("film"))})
	clientParamError(t, err, "SignedURL")
}
