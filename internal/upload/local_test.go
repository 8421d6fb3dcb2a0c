package upload_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
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

// localKiller is a network that a program is killed on: at its fatal PUT, in one
// of several ways, of which the local Ittybit's faults are some.
type localKiller struct {
	next  http.RoundTripper
	kill  context.CancelFunc
	drop  ittybittest.Drop // DropNone: it is not even sent
	mu    sync.Mutex
	fatal int // PUTs until then; 0: never
	sent  []string
}

func (k *localKiller) RoundTrip(req *http.Request) (*http.Response, error) {
	k.mu.Lock()
	k.sent = append(k.sent, req.Header.Get("Content-Range"))
	fatal := len(k.sent) == k.fatal
	k.mu.Unlock()
	if !fatal {
		return k.next.RoundTrip(req)
	}
	defer k.kill()
	if k.drop == ittybittest.DropNone {
		_ = req.Body.Close()
		return nil, errors.New("killed")
	}
	req = req.Clone(req.Context())
	req.Header.Set("X-Drop", strconv.Itoa(int(k.drop)))
	return k.next.RoundTrip(req)
}

func localDrop(r *http.Request) (f ittybittest.RequestFault) {
	drop, _ := strconv.Atoi(r.Header.Get("X-Drop"))
	f.Drop = ittybittest.Drop(drop)
	return f
}

// localSum is the checksum of what the local Ittybit has at a path.
func localSum(t *testing.T, local *ittybittest.Server, path string) []byte {
	t.Helper()
	f, err := local.OpenStored(path)
	require.NoError(t, err)
	defer f.Close()
	hash := sha256.New()
	_, err = io.Copy(hash, f)
	require.NoError(t, err)
	return hash.Sum(nil)
}

func TestUpload_againstTheLocalIttybit_resumesWhereItWasKilled(t *testing.T) {
	drops := []ittybittest.Drop{
		ittybittest.DropNone, ittybittest.DropBefore, ittybittest.DropInBody, ittybittest.DropAfter, ittybittest.DropInAnswer,
	}
	var locals []*ittybittest.Server
	for _, opts := range [][]ittybittest.Option{nil, {ittybittest.WithoutSockets(nil)}} {
		local := ittybittest.NewServer(append(opts, ittybittest.WithAPIKey(clientKey))...)
		t.Cleanup(local.Close)
		local.SetFaults(ittybittest.Faults{Request: localDrop})
		locals = append(locals, local)
	}
	kills, spared := 0, 0
	for seed := range uint64(50) {
		local := locals[seed/25]
		rng := rand.New(rand.NewPCG(seed, 11))
		data := uploadBytes(seed, (5+rng.IntN(16))*uploadKiB+rng.IntN(uploadKiB))
		size, name := int64(len(data)), fmt.Sprintf("%d.mp4", seed)
		var token ittybit.UploadToken
		for killsLeft := 1 + rng.IntN(3); ; killsLeft-- {
			confirmed := uploadConfirmed(t, token)
			spared += len(confirmed)
			ctx, cancel := context.WithCancel(t.Context())
			network := &localKiller{next: local.Transport(), kill: cancel, drop: drops[rng.IntN(len(drops))]}
			if killsLeft > 0 {
				network.fatal = 1 + rng.IntN(int(size+uploadKiB-1)/uploadKiB-len(confirmed))
			}
			client, err := local.Client(uploadQuick, ittybit.WithHTTPClient(&http.Client{Transport: network}))
			require.NoError(t, err)
			params := ittybit.UploadParams{
				Domain: local.StorageURL, Filename: name, Body: bytes.NewReader(data), Size: size, Threshold: 1, ChunkSize: uploadKiB,
				Concurrency: 1 + int(seed/2)%5, Resume: token,
			}
			if seed%2 == 1 {
				params.Body = uploadOnce(data)
			}
			result, err := client.Files.Upload(ctx, params)
			cancel()
			for _, start := range confirmed {
				assert.NotContains(t, network.sent, fmt.Sprintf("bytes=%d-%d/%d", start, start+uploadKiB-1, size), "seed %d: a confirmed chunk was sent again", seed)
			}
			if killsLeft == 0 {
				require.NoError(t, err, "seed %d", seed)
				require.NotNil(t, result.File)
				assert.Equal(t, size, result.File.Filesize)
				break
			}
			require.ErrorIs(t, err, context.Canceled, "seed %d", seed)
			kills++
			token = uploadFailure(t, err)
		}
		sum := sha256.Sum256(data)
		assert.Equal(t, sum[:], localSum(t, local, name), "seed %d", seed)
	}
	t.Logf("%d kills, %d chunks not sent again", kills, spared)
	assert.Positive(t, spared)
	for _, local := range locals {
		client, err := local.Client()
		require.NoError(t, err)
		files := 0
		for _, err := range client.Files.All(t.Context(), ittybit.FileListParams{}) {
			require.NoError(t, err)
			files++
		}
		assert.Equal(t, 25, files, "each upload made one file, also where a response was lost")
	}
}

func TestUpload_againstTheLocalIttybit_triesAgainAfterFaults(t *testing.T) {
	data := uploadBytes(21, 10*uploadKiB+3)
	sum := sha256.Sum256(data)
	for _, threshold := range []int64{0, 1} {
		for _, opts := range [][]ittybittest.Option{nil, {ittybittest.WithoutSockets(nil)}} {
			local := ittybittest.NewServer(opts...)
			local.FailRequests(1, ittybittest.RequestFault{Status: http.StatusServiceUnavailable})
			local.FailRequests(1, ittybittest.RequestFault{Drop: ittybittest.DropInBody})
			local.FailRequests(1, ittybittest.RequestFault{Drop: ittybittest.DropInAnswer})
			client, err := local.Client(uploadQuick)
			require.NoError(t, err)
			result, err := client.Files.Upload(t.Context(), ittybit.UploadParams{
				Domain: local.StorageURL, Filename: "a.mp4", Body: bytes.NewReader(data), Threshold: threshold, ChunkSize: uploadKiB,
			})
			require.NoError(t, err)
			assert.Equal(t, int64(len(data)), result.File.Filesize)
			assert.Equal(t, sum[:], localSum(t, local, "a.mp4"))
			local.Close()
		}
	}
}

func TestUpload_againstTheLocalIttybit_takesEmptyResponses(t *testing.T) {
	local := ittybittest.NewServer(ittybittest.WithEmptyUploadAnswers())
	defer local.Close()
	uploader, err := ittybit.NewUploader(uploadQuick)
	require.NoError(t, err)
	data := uploadBytes(22, 5*uploadKiB+3)
	sum := sha256.Sum256(data)
	for i, threshold := range []int64{0, 1} {
		name := fmt.Sprintf("%d.mp4", i)
		signed, err := ittybit.SignURL(local.APIKey, ittybit.SignURLParams{Domain: local.StorageURL, Path: name, Expiry: time.Now().Add(time.Hour), Method: ittybit.SignedURLMethodPut})
		require.NoError(t, err)
		result, err := uploader.Upload(t.Context(), ittybit.UploadParams{
			SignedURL: signed.URL, Body: bytes.NewReader(data), Threshold: threshold, ChunkSize: uploadKiB,
		})
		require.NoError(t, err)
		assert.Nil(t, result.File)
		assert.Equal(t, local.StorageURL+"/"+name, result.URL)
		assert.Equal(t, sum[:], localSum(t, local, name))
	}
}

// localQuery sends requests with another query: the SDK refuses by itself what it
// can see is expired or for another method.
type localQuery struct {
	next  http.RoundTripper
	query string
}

func (q localQuery) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.RawQuery = q.query
	return q.next.RoundTrip(req)
}

// localSigned signs on its own what SignURL would refuse.
func localSigned(key, path, query string) (signed, signature string) {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(path + "?" + query))
	signature = base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	return query + "&signature=" + signature, signature
}

func TestUpload_againstTheLocalIttybit_saysWhyItIsRefused(t *testing.T) {
	data := uploadBytes(12, 20*uploadKiB)
	soon := fmt.Sprint(time.Now().Add(time.Hour).Unix())
	for name, test := range map[string]struct {
		key, query string // what the request is signed with in fact
		signingKey string
		size       int64 // that the Body is said to have; 0: as it has
		status     int   // 0: there is no response
		sentinel   error
		words      string
	}{
		"expired": {query: "expiry=1700000000&method=put", signingKey: clientKey, status: 403, sentinel: ittybit.ErrForbidden,
			words: "the signature is expired since 2023-11-14T22:13:20Z"},
		"wrong signature": {query: "expiry=" + soon + "&method=put", signingKey: "another ittybit key", status: 403, sentinel: ittybit.ErrForbidden,
			words: "the signature is not valid"},
		"wrong method": {query: "expiry=" + soon + "&method=get", signingKey: clientKey, status: 403, sentinel: ittybit.ErrForbidden,
			words: `the signature is for another method: "get", not "put"`},
		"wrong key":  {key: "wrong-key-of-mine", status: 401, sentinel: ittybit.ErrUnauthorized, words: "the API key is not valid"},
		"full disk":  {status: 507, sentinel: ittybit.ErrServer, words: "the storage is full"},
		"short body": {size: 9 * uploadKiB, sentinel: io.ErrUnexpectedEOF, words: "Body has fewer bytes than its Size"},
	} {
		for _, threshold := range []int64{100 * uploadKiB, 1} {
			t.Run(fmt.Sprintf("%s above %d", name, threshold), func(t *testing.T) {
				local := ittybittest.NewServer(ittybittest.WithAPIKey(clientKey), ittybittest.WithStorageLimit(10*uploadKiB))
				defer local.Close()
				params := ittybit.UploadParams{Body: bytes.NewReader(data), Threshold: threshold, ChunkSize: uploadKiB}
				if test.size > 0 {
					params.Body, params.Size = uploadOnce(data[:3*uploadKiB+5]), test.size
				}
				transport, secret := local.Transport(), clientKey
				if test.query != "" {
					query, signature := localSigned(test.signingKey, "dir/a.mp4", test.query)
					transport, secret = localQuery{transport, query}, signature
					own, err := ittybit.SignURL("another ittybit key", ittybit.SignURLParams{Domain: local.StorageURL, Path: "dir/a.mp4", Expiry: time.Now().Add(time.Hour), Method: ittybit.SignedURLMethodPut})
					require.NoError(t, err)
					params.SignedURL = own.URL
				} else {
					params.Domain, params.Folder, params.Filename = local.StorageURL, "dir", "a.mp4"
				}
				client, err := ittybit.NewClient(cmp.Or(test.key, clientKey), uploadQuick, ittybit.WithHTTPClient(&http.Client{Transport: transport}))
				require.NoError(t, err)
				result, err := client.Files.Upload(t.Context(), params)
				assert.Nil(t, result)
				require.ErrorIs(t, err, test.sentinel)
				require.ErrorContains(t, err, test.words[1:]) // the message begins with a capital letter
				var failure *ittybit.UploadError
				require.ErrorAs(t, err, &failure)
				var response *ittybit.APIError
				if assert.Equal(t, test.status != 0, errors.As(err, &response)) && response != nil {
					assert.Equal(t, test.status, response.StatusCode)
					assert.Equal(t, http.MethodPut, response.Method)
					assert.Empty(t, failure.Token, "nothing was kept")
				}
				for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
					for _, s := range []string{secret, clientKey, "wrong-key-of-mine"} {
						assert.NotContains(t, text, s)
					}
				}
				_, err = local.OpenStored("dir/a.mp4")
				assert.ErrorIs(t, err, fs.ErrNotExist)
			})
		}
	}
}

func TestUpload_refusesBySightWhatTheLocalIttybitWouldRefuse(t *testing.T) {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	require.NoError(t, err)
	expired, signature := localSigned(local.APIKey, "a.mp4", "expiry=1700000000&method=put")
	toFetch, _ := localSigned(local.APIKey, "a.mp4", "expiry=9999999999&method=get")
	for _, query := range []string{expired, toFetch} {
		_, err = client.Files.Upload(t.Context(), ittybit.UploadParams{SignedURL: local.StorageURL + "/a.mp4?" + query, Body: bytes.NewReader([]byte("film"))})
		clientParamError(t, err, "SignedURL")
		assert.NotContains(t, err.Error(), signature)
	}
}
