package upload_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// FuzzUploadToken: a token, which comes back from where a program has kept it, is refused before
// anything is sent, or it decides what is sent: the chunks that it does not call confirmed, each
// once, with the bytes of the body. A chunk that is confirmed and has other bytes stops it all.
func FuzzUploadToken(f *testing.F) {
	body := uploadBytes(1, 10)
	whole := uploadChunkStates(body, 3)
	for _, change := range []func(states []byte){
		func([]byte) {}, func(s []byte) { s[0] = 0 }, func(s []byte) { s[5], s[10] = 0, 0 }, func(s []byte) { clear(s) }, func(s []byte) { s[15] = 1 },
		func(s []byte) { s[1] ^= 1 }, func(s []byte) { s[0] = 2 }, func(s []byte) { s[5] = 255 },
	} {
		states := bytes.Clone(whole)
		states[15] = 0 // the last one is confirmed by the response that ends the upload
		change(states)
		f.Add(body, int64(3), states, "", true)
		f.Add(body, int64(3), states, "", false)
	}
	f.Add(body, int64(3), whole[:12], "", true)
	f.Add(body, int64(10), make([]byte, 5), "", true)
	f.Add(body, int64(1<<62), make([]byte, 5), "", false)
	f.Add(body, int64(-1), []byte{}, "", true)
	f.Add(body, int64(0), []byte{}, "", true)
	f.Add([]byte{}, int64(1), []byte{}, "", true)
	for _, token := range []string{
		"{", "null", "[]", `{"v":2}`, `{"v":1,"url":"https://you.ittybit.net/x.mp4","size":10,"chunk":3,"chunks":"!"}`,
		`{"v":1,"url":"https://evil.example/x.mp4","size":10,"chunk":3,"chunks":""}`, `{"v":1,"url":"https://you.ittybit.net/x.mp4","size":9223372036854775807,"chunk":1}`,
		`{"v":1,"url":"https://you.ittybit.net/x.mp4","size":10,"chunk":1e99}`, `{"v":1,"v":1,"SIZE":10,"url":"https://you.ittybit.net/x.mp4","chunk":10,"chunks":"AAAAAAA="}`,
	} {
		f.Add(body, int64(0), []byte{}, token, true)
	}
	f.Fuzz(func(t *testing.T, body []byte, chunk int64, states []byte, other string, seekable bool) {
		if len(body) > 200 || chunk > 0 && chunk < int64(len(body)/20) {
			return // many requests find nothing that few don't
		}
		text, err := json.Marshal(map[string]any{"v": 1, "url": "https://you.ittybit.net/x.mp4", "size": len(body), "chunk": chunk, "chunks": states})
		require.NoError(t, err)
		token := string(text)
		if other != "" {
			token = other
		}
		source := io.Reader(bytes.NewReader(body))
		if !seekable {
			source = uploadOnce(body)
		}
		puts := &fuzzedPuts{}
		client, err := ittybit.NewClient(clientKey, ittybit.WithHTTPClient(&http.Client{Transport: puts}), ittybit.WithRetryPolicy(ittybit.RetryPolicy{MaxAttempts: 1}))
		require.NoError(t, err)
		result, err := client.Files.Upload(t.Context(), ittybit.UploadParams{
			Domain: "you.ittybit.net", Filename: "x.mp4", Body: source, Size: int64(len(body)), Resume: ittybit.UploadToken(token),
		})
		if len(body) == 0 {
			assert.Error(t, err)
			assert.Empty(t, puts.sent)
			return
		}
		if other != "" {
			if err != nil {
				clientParamError(t, err, "Resume")
				assert.Empty(t, puts.sent)
			}
			return
		}
		fit, changed := uploadStatesFit(body, chunk, states)
		switch {
		case !fit:
			clientParamError(t, err, "Resume")
			assert.Empty(t, puts.sent)
		case changed:
			require.ErrorIs(t, err, ittybit.ErrUploadChanged)
			if seekable {
				assert.Empty(t, puts.sent, "nothing of another body goes out")
			}
		default:
			require.NoError(t, err)
			require.NotNil(t, result)
			sent := 0
			for start := int64(0); start < int64(len(body)); start += chunk {
				end := min(start+min(chunk, int64(len(body))-start), int64(len(body)))
				if states[start/chunk*5] == 1 {
					assert.NotContains(t, puts.sent, start, "it was confirmed")
				} else {
					sent++
					assert.Equal(t, body[start:end], puts.sent[start])
				}
				if chunk >= int64(len(body)) {
					break // the next start would overflow
				}
			}
			assert.Len(t, puts.sent, sent)
		}
	})
}

// uploadChunkStates is what a token says of a body whose chunks are all confirmed.
func uploadChunkStates(body []byte, chunk int) []byte {
	var states []byte
	for start := 0; start < len(body); start += chunk {
		sum := crc32.Checksum(body[start:min(start+chunk, len(body))], crc32.MakeTable(crc32.Castagnoli))
		states = binary.BigEndian.AppendUint32(append(states, 1), sum)
	}
	return states
}

// uploadStatesFit says whether the states of a token fit a body of that length, and whether
// one that is confirmed has another checksum.
func uploadStatesFit(body []byte, chunk int64, states []byte) (fit, changed bool) {
	if chunk <= 0 {
		return false, false
	}
	want := uploadChunkStates(body, int(min(chunk, int64(len(body)))))
	if len(states) != len(want) || states[len(states)-5] == 1 {
		return false, false
	}
	for i := 0; i < len(states); i += 5 {
		changed = changed || states[i] == 1 && !bytes.Equal(states[i:i+5], want[i:i+5])
	}
	return true, changed
}

// fuzzedPuts is a transport that takes every PUT, and keeps where its bytes begin.
type fuzzedPuts struct {
	mu   sync.Mutex
	sent map[int64][]byte
}

func (p *fuzzedPuts) RoundTrip(req *http.Request) (*http.Response, error) {
	data, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	var start, end, total int64
	if text := req.Header.Get("Content-Range"); text != "" {
		if _, err := fmt.Sscanf(text, "bytes=%d-%d/%d", &start, &end, &total); err != nil || end-start+1 != int64(len(data)) {
			return nil, fmt.Errorf("an unexpected Content-Range: %s", text)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sent == nil {
		p.sent = map[int64][]byte{}
	}
	if _, twice := p.sent[start]; twice || req.URL.String() != "https://you.ittybit.net/x.mp4" || len(data) == 0 {
		return nil, fmt.Errorf("a PUT that must not be: %s %d", req.URL, start)
	}
	p.sent[start] = data
	return apiResponse(201, "")
}
