package upload

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"
)

// state is a token, which is its JSON.
type state struct {
	Version   int    `json:"v"`
	URL       string `json:"url"`
	Size      int64  `json:"size"`
	ChunkSize int64  `json:"chunk"`
	// Chunks are five bytes each, in base64: 1 for a confirmed chunk, and its CRC-32C.
	Chunks string `json:"chunks"`
}

const (
	stateVersion    = 1
	chunkStateBytes = 5
	// retriesPerChunk is how often each chunk in flight may be sent again until the next one is
	// confirmed.
	retriesPerChunk = 3
)

// tracker accounts for what was sent and confirmed. It is safe for concurrent use.
type tracker struct {
	state      state
	onProgress func(Progress)
	onToken    func(string)

	mu           sync.Mutex
	chunks       []byte // chunkStateBytes each
	progress     Progress
	retries      int  // since a chunk was confirmed
	hasConfirmed bool // one of this upload, not of an earlier one
}

func newTracker(publicURL string, size int64, p Request) (*tracker, error) {
	t := &tracker{
		state:      state{Version: stateVersion, URL: publicURL, Size: size, ChunkSize: p.ChunkSize},
		onProgress: p.OnProgress, onToken: p.OnToken,
	}
	t.progress.Total = size
	if p.Resume == "" {
		if (size-1)/p.ChunkSize >= maxChunks {
			return nil, &InputError{Param: "ChunkSize", Reason: fmt.Sprintf("makes more than %d chunks", maxChunks)}
		}
		t.chunks = make([]byte, t.count()*chunkStateBytes)
		return t, nil
	}
	err := t.resume(p.Resume)
	return t, err
}

func (t *tracker) resume(token string) error {
	refuse := func(reason string) error { return &InputError{Param: "Resume", Reason: reason} }
	var state state
	if json.Unmarshal([]byte(token), &state) != nil || state.Version != stateVersion {
		return refuse("is not a token of this SDK version")
	}
	if state.URL != t.state.URL || state.Size != t.state.Size {
		return refuse("is the token of another upload: its address or its size differs")
	}
	if state.ChunkSize <= 0 || (state.Size-1)/state.ChunkSize >= maxChunks {
		return refuse("is damaged")
	}
	t.state.ChunkSize = state.ChunkSize
	chunks, err := base64.StdEncoding.DecodeString(state.Chunks)
	if err != nil || len(chunks) != t.count()*chunkStateBytes {
		return refuse("is damaged")
	}
	t.chunks = chunks
	for i := range t.count() {
		if _, confirmed := t.sum(i); confirmed {
			_, length := t.bounds(i)
			t.progress.Sent += length
			t.progress.Confirmed += length
		}
	}
	if _, confirmed := t.sum(t.count() - 1); confirmed {
		return refuse("is damaged") // an upload whose last chunk was confirmed needs no token
	}
	return nil
}

func (t *tracker) count() int {
	return int((t.state.Size-1)/t.state.ChunkSize) + 1 // a Size is at least 1
}

func (t *tracker) bounds(i int) (start, length int64) {
	start = int64(i) * t.state.ChunkSize
	return start, min(t.state.ChunkSize, t.state.Size-start)
}

func (t *tracker) sum(i int) (uint32, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	chunk := t.chunks[i*chunkStateBytes:]
	return binary.BigEndian.Uint32(chunk[1:]), chunk[0] == 1
}

func (t *tracker) firstUnconfirmed() int {
	for i := range t.count() {
		if _, confirmed := t.sum(i); !confirmed {
			return i
		}
	}
	return t.count()
}

func (t *tracker) confirmed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.progress.Confirmed > 0
}

func (t *tracker) confirm(i int, sum uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	chunk := t.chunks[i*chunkStateBytes:]
	chunk[0] = 1
	binary.BigEndian.PutUint32(chunk[1:], sum)
	_, length := t.bounds(i)
	t.retries, t.hasConfirmed = 0, true
	t.progress.Confirmed += length
	t.report()
	if t.onToken != nil {
		t.onToken(t.encode())
	}
}

// isProgressing notes that a PUT is to be sent again, and reports whether the upload makes progress
// all the same: a chunk was confirmed, and each of those in flight was not sent again too often
// since.
func (t *tracker) isProgressing(inFlight int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.retries++
	return t.hasConfirmed && t.retries <= retriesPerChunk*inFlight
}

func (t *tracker) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.progress.Confirmed = t.progress.Total
	t.report()
}

// sent counts bytes that went out, or are to be sent again.
func (t *tracker) sent(n int64) {
	if t.onProgress == nil || n == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.progress.Sent += n
	t.report()
}

func (t *tracker) report() {
	if t.onProgress != nil {
		t.onProgress(t.progress)
	}
}

// token is what to resume with: nothing where nothing was confirmed.
func (t *tracker) token() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.progress.Confirmed == 0 {
		return ""
	}
	return t.encode()
}

func (t *tracker) encode() string {
	state := t.state
	state.Chunks = base64.StdEncoding.EncodeToString(t.chunks)
	data, _ := json.Marshal(state) // numbers and text can always be marshalled
	return string(data)
}
