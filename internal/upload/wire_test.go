package upload_test

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// PUT to the delivery domain, whole and in chunks, with the key and with a signature: what
// the uploads documentation and the resumable uploads guide show, on the wire.
func TestUpload_onTheWire(t *testing.T) {
	data := uploadBytes(31, 2*uploadKiB+5)
	for name, signed := range map[string]bool{"with the key": false, "with a signature": true} {
		for form, ranges := range map[string][]string{
			"whole":     {""},
			"in chunks": {"bytes=0-1023/2053", "bytes=1024-2047/2053", "bytes=2048-2052/2053"},
		} {
			t.Run(name+", "+form, func(t *testing.T) {
				storage := newUploadStorage(t)
				params := ittybit.UploadParams{Body: bytes.NewReader(data), ContentType: "video/mp4", ChunkSize: uploadKiB, Concurrency: 1, Threshold: 1}
				if form == "whole" {
					params.Threshold = int64(len(data)) // not above it
				}
				query := ""
				if signed {
					u, err := ittybit.SignURL(clientKey, ittybit.SignURLParams{Domain: storage.URL, Path: "holidays/2025/beach.mp4", Expiry: time.Unix(4102444800, 0), Method: ittybit.SignedURLMethodPut})
					require.NoError(t, err)
					params.SignedURL, query = u.URL, "expiry=4102444800&method=put&signature="+u.Signature
				} else {
					params.Domain, params.Folder, params.Filename = storage.URL, "holidays/2025", "beach.mp4"
				}
				result, err := uploadClient(t).Files.Upload(t.Context(), params, ittybit.WithRequestHeader("X-Mine", "1"))
				require.NoError(t, err)
				assert.Equal(t, "file_1", result.File.ID)
				assert.Equal(t, storage.URL+"/holidays/2025/beach.mp4", result.URL)

				puts := storage.all()
				require.Len(t, puts, len(ranges))
				var sent []byte
				for i, put := range puts {
					sent = append(sent, put.Body...)
					assert.Equal(t, []string{http.MethodPut, "/holidays/2025/beach.mp4", query}, []string{put.Method, put.Path, put.Query})
					assert.Equal(t, int64(len(put.Body)), put.Length, "a length, and no chunked encoding")
					want := map[string][]string{
						"Authorization": {"Bearer " + clientKey}, "Accept-Version": {"2025-08-20"}, "Accept": {"application/json"}, "Content-Type": {"video/mp4"},
						"User-Agent": {fmt.Sprintf("ittybit-go/%s (%s)", ittybit.Version, runtime.Version())}, "Content-Range": {ranges[i]}, "X-Mine": {"1"},
						"Idempotency-Key": nil, "Transfer-Encoding": nil,
					}
					if form == "whole" {
						want["Content-Range"] = nil
					}
					if signed {
						want["Authorization"] = nil
					}
					for name, values := range want {
						assert.Equal(t, values, put.Header[name], name)
					}
				}
				assert.Equal(t, data, sent, "the last chunk comes last")
				assert.Equal(t, data, storage.file("/holidays/2025/beach.mp4"))
			})
		}
	}
}

func TestUpload_refusesOptionsThatMakeNoSense(t *testing.T) {
	storage := newUploadStorage(t)
	for param, opt := range map[string]ittybit.RequestOption{
		"opts": nil, "response info": ittybit.WithResponseInfo(nil), "request header": ittybit.WithRequestHeader("Authorization", "x"),
	} {
		_, err := uploadClient(t).Files.Upload(t.Context(), ittybit.UploadParams{Domain: storage.URL, Filename: "x.mp4", Body: bytes.NewReader([]byte("x"))}, opt)
		clientParamError(t, err, param)
	}
	for _, text := range []string{"https://you.ittybit.net/%zz?signature=s3cret", "https://you.ittybit.net/?signature=s3cret", "https://user:s3cret@you.ittybit.net/x?signature=s3cret", "/x?signature=s3cret"} {
		_, err := uploadClient(t).Files.Upload(t.Context(), ittybit.UploadParams{SignedURL: text, Body: bytes.NewReader([]byte("x"))})
		clientParamError(t, err, "SignedURL")
		assert.NotContains(t, err.Error(), "s3cret", text)
	}
	for param, opt := range map[string]ittybit.ClientOption{"opts": nil, "HTTP client": ittybit.WithHTTPClient(nil)} {
		_, err := ittybit.NewUploader(opt)
		clientParamError(t, err, param)
	}
	assert.Empty(t, storage.all())
}
