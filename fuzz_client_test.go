package ittybit_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// FuzzNextLink: a page leads to the next one of the same list at the same address, whatever a server
// writes into its header; and a link that is written as RFC 8288 has it is found among others,
// whatever its title says.
func FuzzNextLink(f *testing.F) {
	for _, seed := range [][3]string{
		{`<https://api.ittybit.com/tasks?page=3>; rel="next", <https://api.ittybit.com/tasks?page=9>; rel="last"`, "/tasks?page=2", "a title"},
		{`<https://evil.example/tasks?page=2>; rel=next`, "//evil.example/?page=2&kind=x", `a, <b>; rel="next"`},
		{`</tasks?page=2>; title="say \", </x>; rel=next"; rel="prev"`, "?after=task_9", `\`},
		{`<>; rel="next"`, "", `"`}, {`<?page=%zz>; rel="next"`, "?page=%zz", ";"}, {`<?a;b>;rel=next`, "?limit=1&limit=2", "<"},
		{`<?page=2`, "?kind=&limit=", "ü"}, {"", "https://user:pass@x.example:1/?q#f", ""}, {`<?p=1>; rel="NEXT last"`, "http://[::1]%zone/", ">"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, header, target, title string) {
		followLink(t, header, nil)
		if strings.ContainsAny(target, "<>") || strings.TrimSpace(target) != target {
			return // what can't stand in a link
		}
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(title)
		followLink(t, `</tasks?page=7>; title="`+quoted+`"; rel="prev", <`+target+`>; title="`+quoted+`"; rel="next", </tasks?page=8>; rel="last"`, &target)
	})
}

// followLink lists tasks with a Links header, and looks at the request for the next page, which is
// what target says, where that is known.
func followLink(t *testing.T, header string, target *string) {
	t.Helper()
	var requests []*http.Request
	client, err := ittybit.NewClient(clientKey, ittybit.WithHTTPClient(&http.Client{Transport: apiRoundTrip(func(req *http.Request) (*http.Response, error) {
		requests = append(requests, req)
		return apiResponse(200, `[]`, "Links", header)
	})}), ittybit.WithBaseURL("https://api.example/v1"))
	require.NoError(t, err)
	first := url.Values{"kind": {"nsfw"}, "limit": {"5"}, "page": {"1"}}
	page, err := client.Tasks.List(t.Context(), ittybit.TaskListParams{Kind: ittybit.TaskKindNSFW, Limit: 5, Page: 1})
	require.Len(t, requests, 1)

	var want url.Values
	if target != nil {
		link, badURL := url.Parse(*target)
		if badURL == nil {
			want, badURL = url.ParseQuery(link.RawQuery)
		}
		if *target != "" && badURL != nil {
			require.ErrorContains(t, err, "link to the next page", "%q", header)
			return
		}
	}
	if err != nil {
		require.Nil(t, page)
		require.Nil(t, target, "%q: %v", header, err)
		return
	}
	if target != nil {
		require.Equal(t, *target != "", page.HasNext(), "%q", header)
	}
	if !page.HasNext() {
		_, err = page.Next(t.Context())
		require.ErrorIs(t, err, ittybit.ErrNoMorePages)
		require.Len(t, requests, 1)
		return
	}
	_, _ = page.Next(t.Context()) // it has the same header
	require.Len(t, requests, 2)
	next := requests[1]
	require.Equal(t, "https://api.example/v1/tasks", next.URL.Scheme+"://"+next.URL.Host+next.URL.Path, "the key goes nowhere else")
	require.Equal(t, requests[0].Header, next.Header)
	got := next.URL.Query()
	for name, values := range got {
		require.NotEmpty(t, values, name)
	}
	for _, name := range []string{"kind", "limit"} {
		require.True(t, got.Has(name), "the filters and the limit stay")
	}
	if target != nil {
		for name := range first {
			if !want.Has(name) && name != "page" {
				want[name] = first[name]
			}
		}
		require.Equal(t, want, got, "%q", header)
	}
}

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
		states[15] = 0 // the last one is confirmed by the answer that ends the upload
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
			return nil, fmt.Errorf("an odd Content-Range: %s", text)
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
