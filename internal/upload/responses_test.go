package upload_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func TestUpload_aResponseThatDescribesNoFileIsNoConfirmation(t *testing.T) {
	data := uploadBytes(21, 3*uploadKiB+1)
	for body, why := range map[string]string{
		`<html>Sign in to the hotel's network</html>`: "invalid character",
		`{}`:                   "it has no id",
		`ok`:                   "invalid character",
		`""`:                   "not a JSON object",
		`[]`:                   "not a JSON object",
		`{"message":"queued"}`: "it has no id",
		`{"data":null,"error":{"message":"no space"}}`:     "it has no id",
		`{"data":{"url":"https://you.ittybit.net/x.mp4"`:   "unexpected end",
		`{"data":{"url":"https://you.ittybit.net/x.mp4"}}`: "it has no id",
	} {
		for name, threshold := range map[string]int64{"whole": 0, "in chunks": 1} {
			t.Run(name+", "+body, func(t *testing.T) {
				storage := newUploadStorage(t)
				storage.setHook(func(put *uploadPut, w http.ResponseWriter, _ *http.Request) bool {
					if put.final() {
						w.WriteHeader(http.StatusOK)
						_, _ = io.WriteString(w, body)
					}
					return put.final()
				})
				params := uploadChunked(storage, bytes.NewReader(data), 0)
				params.Threshold = threshold
				result, err := uploadClient(t).Files.Upload(t.Context(), params)
				require.ErrorIs(t, err, ittybit.ErrUploadUnconfirmed)
				require.NotErrorIs(t, err, ittybit.ErrUploadIncomplete)
				require.ErrorContains(t, err, "ittybit: PUT "+storage.URL+"/dir/x.mp4: ")
				require.ErrorContains(t, err, "(status 200) describes no file: ")
				require.ErrorContains(t, err, why)
				assert.NotContains(t, err.Error(), "hotel", "a response is not repeated")
				require.NotNil(t, result, "as far as can be known, it is there")
				assert.Nil(t, result.File)
				assert.Equal(t, storage.URL+"/dir/x.mp4", result.URL)

				// It goes on with what the response left open.
				token := uploadFailure(t, err)
				storage.setHook(nil)
				params.Body, params.Resume = bytes.NewReader(data), token
				before := len(storage.all())
				result, err = uploadClient(t).Files.Upload(t.Context(), params)
				require.NoError(t, err)
				assert.Equal(t, "file_1", result.File.ID)
				assert.Len(t, storage.all(), before+1)
				assert.Equal(t, data, storage.file("/dir/x.mp4"))
			})
		}
	}
}

func TestUpload_aResponseWithoutWordsIsAConfirmation(t *testing.T) {
	for _, body := range []string{"", " \r\n\t", "null", " null\n"} {
		for _, threshold := range []int64{0, 1} {
			storage := newUploadStorage(t)
			storage.setHook(func(put *uploadPut, w http.ResponseWriter, _ *http.Request) bool {
				if put.final() {
					w.WriteHeader(http.StatusCreated)
					_, _ = io.WriteString(w, body)
				}
				return put.final()
			})
			params := uploadChunked(storage, bytes.NewReader(uploadBytes(22, 2*uploadKiB)), 0)
			params.Threshold = threshold
			result, err := uploadClient(t).Files.Upload(t.Context(), params)
			require.NoError(t, err, "%q", body)
			assert.Nil(t, result.File, "%q", body)
		}
	}
}

func TestUpload_givesTheTaskThatMakesTheFile(t *testing.T) {
	storage := newUploadStorage(t)
	storage.setHook(uploadResponse(0, -1, http.StatusAccepted, `{"id":"task_7","object":"task","kind":"ingest","status":"pending"}`))
	result, err := uploadClient(t).Files.Upload(t.Context(), ittybit.UploadParams{Domain: storage.URL, Filename: "x.mp4", Body: strings.NewReader("x")})
	var accepted *ittybit.AcceptedError
	require.ErrorAs(t, err, &accepted)
	assert.Equal(t, "task_7", accepted.Task.ID)
	var resumable *ittybit.UploadError
	assert.NotErrorAs(t, err, &resumable, "there is nothing to resume")
	require.NotErrorIs(t, err, ittybit.ErrUploadUnconfirmed)
	require.NotNil(t, result)
	assert.Nil(t, result.File)
}

// What the file's response says counts for nothing where the file can't have been sent.
func TestUpload_aFileWithAFieldThatCannotBeDecodedIsTreatedLikeAnyOther(t *testing.T) {
	const partial = `{"id":"file_1","filesize":%s,"created":"yesterday"}`
	for name, response := range map[string]string{"partial": partial, "junk": "<html>"} {
		for _, threshold := range []int64{0, 1} {
			hasty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, response) // nothing of the body was asked for
			}))
			result, err := uploadClient(t).Files.Upload(t.Context(), ittybit.UploadParams{
				Domain: hasty.URL, Filename: "a.bin", Body: bytes.NewReader(uploadBytes(1, 8*uploadKiB)), Threshold: threshold, ChunkSize: uploadKiB,
			})
			want := "before the body was sent in full"
			if threshold > 0 { // a chunk's, which is not JSON
				want = "neither empty nor JSON"
			}
			require.ErrorContains(t, err, want, name)
			require.NotErrorIs(t, err, ittybit.ErrUploadUnconfirmed, name)
			assert.Nil(t, result, name)
			hasty.Close()
		}
	}

	storage := newUploadStorage(t)
	storage.setHook(uploadResponse(0, -1, http.StatusCreated, strings.Replace(partial, "%s", "3", 1)))
	result, err := uploadClient(t).Files.Upload(t.Context(), ittybit.UploadParams{Domain: storage.URL, Filename: "x.mp4", Body: strings.NewReader("seven b")})
	require.ErrorIs(t, err, ittybit.ErrUploadIncomplete)
	require.NotNil(t, result)
	assert.Equal(t, int64(3), result.File.Filesize)
}

// uploadUnexpecting responds 417 wherever Expect is sent.
func uploadUnexpecting(put *uploadPut, w http.ResponseWriter, _ *http.Request) bool {
	if put.Header.Get("Expect") == "" {
		return false
	}
	w.WriteHeader(http.StatusExpectationFailed)
	return true
}

func TestUpload_isSentWithoutExpectWhereThatIsRefused(t *testing.T) {
	data := uploadBytes(23, 3*uploadKiB+1)
	for _, once := range []bool{false, true} {
		for _, threshold := range []int64{0, 1} {
			storage := newUploadStorage(t)
			storage.setHook(uploadUnexpecting)
			params := uploadChunked(storage, bytes.NewReader(data), 0)
			if once {
				params.Body, params.Size = uploadOnce(data), int64(len(data))
			}
			params.Threshold = threshold
			var last ittybit.UploadProgress
			params.OnProgress = func(p ittybit.UploadProgress) {
				assert.LessOrEqual(t, p.Sent, p.Total)
				last = p
			}
			result, err := uploadClient(t).Files.Upload(t.Context(), params)
			require.NoError(t, err)
			assert.Equal(t, "file_1", result.File.ID)
			assert.Equal(t, data, storage.file("/dir/x.mp4"))
			assert.Equal(t, ittybit.UploadProgress{Sent: int64(len(data)), Confirmed: int64(len(data)), Total: int64(len(data))}, last)
			for i, put := range storage.all() {
				assert.Equal(t, i == 0, put.Header.Get("Expect") != "", "only the first PUT, %d", i)
			}
		}
	}
}

func TestUpload_asksForAnotherTryWithoutExpectOnce(t *testing.T) {
	storage := newUploadStorage(t)
	storage.setHook(uploadResponse(0, -1, http.StatusExpectationFailed, `{"message":"never"}`))
	_, err := uploadClient(t).Files.Upload(t.Context(), ittybit.UploadParams{Domain: storage.URL, Filename: "x.mp4", Body: strings.NewReader("x")})
	var response *ittybit.APIError
	require.ErrorAs(t, err, &response)
	assert.Equal(t, http.StatusExpectationFailed, response.StatusCode)
	puts := storage.all()
	require.Len(t, puts, 2)
	assert.Empty(t, puts[1].Header.Get("Expect"))
}

// The signature of a URL is as good as the key for as long as it lasts.
func TestUpload_keepsTheSignatureOutOfErrorsAndLogs(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusServiceUnavailable, http.StatusOK, http.StatusExpectationFailed} {
		for name, secret := range map[string]func(signature string) string{
			"bare":    func(signature string) string { return signature },
			"quoted":  strconv.Quote,
			"escaped": url.QueryEscape,
		} {
			storage := newUploadStorage(t)
			signed, err := ittybit.SignURL(clientKey, ittybit.SignURLParams{Domain: storage.URL, Path: "dir/x.mp4", Expiry: time.Now().Add(time.Hour), Method: ittybit.SignedURLMethodPut})
			require.NoError(t, err)
			storage.setHook(func(_ *uploadPut, w http.ResponseWriter, _ *http.Request) bool {
				echo := secret(signed.Signature)
				w.Header().Set("X-Request-Id", "req "+echo)
				w.WriteHeader(status)
				_, _ = io.WriteString(w, fmt.Sprintf(`{"kind":%q,"message":%q,"filesize":%q}`, "bad "+echo, "expected another MAC than "+echo, echo))
				return true
			})
			var log testLog
			uploader, err := ittybit.NewUploader(uploadQuick, ittybit.WithLogger(log.Logger()))
			require.NoError(t, err)
			for upload, do := range map[string]func(context.Context, ittybit.UploadParams, ...ittybit.RequestOption) (*ittybit.UploadResult, error){
				"client": uploadClient(t).Files.Upload, "uploader": uploader.Upload,
			} {
				_, err = do(t.Context(), ittybit.UploadParams{SignedURL: signed.URL, Body: strings.NewReader("x")})
				require.Error(t, err)
				for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
					assert.NotContains(t, fmt.Sprintf(verb, err), signed.Signature, "%d, %s, %s, %s", status, name, upload, verb)
				}
				var response *ittybit.APIError
				if errors.As(err, &response) {
					assert.Contains(t, response.Error(), "expected another MAC than")
					assert.NotContains(t, fmt.Sprintf("%s %s %v", response.Body, fmt.Sprintf("%+v", *response), response.Header), signed.Signature, "%d, %s, %s", status, name, upload)
				}
			}
			assert.NotEmpty(t, log.String())
			assert.NotContains(t, log.String(), signed.Signature, "%d, %s", status, name)
		}
	}
}
