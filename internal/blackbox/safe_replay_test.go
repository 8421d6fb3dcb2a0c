package blackbox

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// The spelling of the idempotency key keeps net/http's Transport from repeating a POST
// that may have been carried out. These tests show that it still repeats, by itself,
// what certainly was not: a stream that HTTP/2 refused, and what never left. What it
// would repeat on another HTTP/2 connection is stopped, as nobody can tell it apart.

const (
	replayPatience = 5 * time.Second // for everything that a test may wait for
	replayBody     = `{"kind":"nsfw","url":"https://example.com/a.jpg"}`
)

const ( // frames, flags and errors of HTTP/2
	h2Data, h2Headers, h2Reset, h2Settings, h2GoAway byte = 0, 1, 3, 4, 7
	h2EndStream, h2Ack, h2EndHeaders                 byte = 1, 1, 4

	h2NoError, h2ProtocolError, h2InternalError, h2RefusedStream, h2EnhanceYourCalm uint32 = 0, 1, 2, 7, 11
)

func h2Frame(kind, flags byte, stream uint32, payload ...byte) []byte {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	return append(binary.BigEndian.AppendUint32(append(frame, flags), stream), payload...)
}

// h2Step is what a server does with a request.
type h2Step struct {
	early  bool // it does so when the headers have come, not when the request has ended
	hangUp bool // the connection is closed
	frames func(stream uint32) []byte
}

// h2Response responds 201 with a task. The status is a literal, its name the 8th of HPACK's table.
func h2Response(stream uint32) []byte {
	headers := h2Frame(h2Headers, h2EndHeaders, stream, append([]byte{8, 3}, "201"...)...)
	return append(headers, h2Frame(h2Data, h2EndStream, stream, []byte(apitest.Task)...)...)
}

func h2Resets(code uint32) func(uint32) []byte {
	return func(stream uint32) []byte {
		return h2Frame(h2Reset, 0, stream, binary.BigEndian.AppendUint32(nil, code)...)
	}
}

// h2GoesAway says that the last stream taken is back numbers before this one.
func h2GoesAway(code, back uint32) func(uint32) []byte {
	return func(stream uint32) []byte {
		last := binary.BigEndian.AppendUint32(nil, stream-min(back, stream))
		return h2Frame(h2GoAway, 0, 0, binary.BigEndian.AppendUint32(last, code)...)
	}
}

// h2Server speaks as much HTTP/2, unencrypted and with prior knowledge, as these tests need.
type h2Server struct {
	steps []h2Step // of the nth request, over all connections; further ones take the last

	mu     sync.Mutex
	bodies []string // of each stream
	ended  int      // of how many the end has come
	stop   func()   // waits until all is read that clients have sent
}

func newH2Server(t *testing.T, steps ...h2Step) (*h2Server, string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &h2Server{steps: steps}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { s.serve(conn) })
		}
	})
	s.stop = sync.OnceFunc(func() {
		assert.NoError(t, listener.Close())
		running.Wait()
	})
	t.Cleanup(s.stop)
	return s, "http://" + listener.Addr().String()
}

func (s *h2Server) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	err := conn.SetDeadline(time.Now().Add(replayPatience))
	read := func(n uint32) []byte {
		b := make([]byte, n)
		if err == nil {
			_, err = io.ReadFull(conn, b)
		}
		return b
	}
	read(uint32(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
	requests := make(map[uint32]int) // the numbers of the connection's streams in s.bodies
	reply, keep := h2Frame(h2Settings, 0, 0), true
	for err == nil {
		if _, err = conn.Write(reply); !keep {
			return
		}
		head := read(9)
		payload := read(binary.BigEndian.Uint32(head) >> 8)
		reply = nil
		switch kind, flags := head[3], head[4]; {
		case err != nil:
		case kind == h2Settings && flags&h2Ack == 0:
			reply = h2Frame(h2Settings, h2Ack, 0)
		case kind == h2Headers || kind == h2Data:
			reply, keep = s.take(requests, kind, flags, binary.BigEndian.Uint32(head[5:]), payload)
		}
	}
}

// take notes a frame of a request, and gives the reply to it.
func (s *h2Server) take(requests map[uint32]int, kind, flags byte, stream uint32, payload []byte) (reply []byte, keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kind == h2Headers {
		requests[stream] = len(s.bodies)
		s.bodies = append(s.bodies, "")
	} else {
		s.bodies[requests[stream]] += string(payload)
	}
	if flags&h2EndStream != 0 {
		s.ended++
	}
	step := s.steps[min(requests[stream], len(s.steps)-1)]
	if step.early && kind != h2Headers || !step.early && flags&h2EndStream == 0 {
		return nil, true
	}
	return step.frames(stream), !step.hangUp
}

// replayClient makes a client that goes through transport, a context for its calls, and
// a list of the connections dialed.
func replayClient(t *testing.T, baseURL string, transport *http.Transport) (context.Context, *ittybit.Client, chan *net.TCPConn) {
	t.Helper()
	dialed := make(chan *net.TCPConn, 16)
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			dialed <- conn.(*net.TCPConn)
		}
		return conn, err
	}
	t.Cleanup(transport.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(t.Context(), replayPatience)
	t.Cleanup(cancel)
	return ctx, apitest.Client(t, baseURL, ittybit.WithHTTPClient(&http.Client{Transport: apitest.RoundTripper(func(req *http.Request) (*http.Response, error) {
		if req.Method == http.MethodPost {
			assert.Len(t, apitest.KeySpelled(req.Header, "idempotency-key"), 1)
			assert.NotContains(t, req.Header, "Idempotency-Key")
		}
		return transport.RoundTrip(req)
	})})), dialed
}

func TestCreate_overHTTP2IsRepeatedOnlyWhereItWasRefused(t *testing.T) {
	for name, test := range map[string]struct {
		first    h2Step
		repeated bool
	}{
		"refused":                 {h2Step{frames: h2Resets(h2RefusedStream)}, true},
		"refused before the body": {h2Step{frames: h2Resets(h2RefusedStream), early: true}, true},
		"failed":                  {h2Step{frames: h2Resets(h2InternalError)}, false},
		"protocol error":          {h2Step{frames: h2Resets(h2ProtocolError)}, false},
		"going away without it":   {h2Step{frames: h2GoesAway(h2NoError, 2)}, false},
		"sent away":               {h2Step{frames: h2GoesAway(h2EnhanceYourCalm, 2)}, false},
		"going away with it":      {h2Step{frames: h2GoesAway(h2NoError, 0), hangUp: true}, false},
	} {
		for before := range 2 { // GETs on the same connection
			t.Run(name+[]string{"", ", connection reused"}[before], func(t *testing.T) {
				steps := []h2Step{{frames: h2Response}, test.first, {frames: h2Response}}
				server, base := newH2Server(t, steps[1-before:]...)
				transport := &http.Transport{Protocols: new(http.Protocols)}
				transport.Protocols.SetUnencryptedHTTP2(true)
				ctx, client, dialed := replayClient(t, base, transport)
				for range before {
					_, err := client.Tasks.Get(ctx, "task_1")
					require.NoError(t, err)
				}
				var info ittybit.ResponseInfo
				_, err := client.Tasks.Create(ctx, apiNSFW, ittybit.WithResponseInfo(&info))
				assert.Equal(t, 1, info.Attempts, "a repetition is the transport's, not ours")
				for range len(dialed) {
					_ = (<-dialed).CloseWrite() // unless the client has closed it
				}
				server.stop()
				if !test.repeated {
					require.ErrorIs(t, err, ittybit.ErrOutcomeUnknown)
					assert.Equal(t, before+1, server.ended, "no more than the headers may go out once more")
					assert.JSONEq(t, replayBody, server.bodies[before])
					return
				}
				require.NoError(t, err)
				require.Len(t, server.bodies, before+2)
				assert.JSONEq(t, replayBody, server.bodies[before+1])
			})
		}
	}
}

// However a transport of Go's own comes to speak HTTP/2 without TLS, a POST goes out once.
func TestCreate_overHTTP2IsNotRepeatedByATransportThatIsTakenAsItIs(t *testing.T) {
	dialed := make(chan net.Conn, 16)
	speaking := func() *http.Transport {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			dialed <- conn
			return conn, err
		}
		return transport
	}
	registered := &http.Transport{}
	registered.RegisterProtocol("http", speaking())
	for name, transport := range map[string]*http.Transport{"set up so": speaking(), "by another one": registered} {
		t.Run(name, func(t *testing.T) {
			server, base := newH2Server(t, h2Step{frames: h2Resets(h2ProtocolError)}, h2Step{frames: h2Response})
			client, err := ittybit.NewClient("key", ittybit.WithBaseURL(base), ittybit.WithHTTPClient(&http.Client{Transport: transport}))
			require.NoError(t, err)
			_, err = client.Tasks.Create(t.Context(), apiNSFW)
			for range len(dialed) {
				_ = (<-dialed).Close()
			}
			server.stop()
			require.ErrorIs(t, err, ittybit.ErrOutcomeUnknown)
			assert.Equal(t, 1, server.ended)
		})
	}
}

func TestCreate_ofWhichNothingWasWrittenGoesOutOnAFreshConnection(t *testing.T) {
	server, seen := apitest.Server(t, apitest.Respond(200, apitest.Task), apitest.Respond(201, apitest.Task))
	ctx, client, dialed := replayClient(t, server.URL, &http.Transport{})
	_, err := client.Tasks.Get(ctx, "task_1")
	require.NoError(t, err)
	require.Len(t, dialed, 1)
	first := <-dialed
	require.NoError(t, first.SetWriteDeadline(time.Unix(1, 0)), "from now on a write fails at its first byte")
	var info ittybit.ResponseInfo
	reused := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) { reused = reused || got.Conn == first }})
	_, err = client.Tasks.Create(ctx, apiNSFW, ittybit.WithResponseInfo(&info))
	require.NoError(t, err)
	assert.Equal(t, 1, info.Attempts, "the repetition is the transport's, not ours")
	assert.True(t, reused, "the first connection was taken, and found dead")
	assert.Len(t, dialed, 1)
	requests := seen.All()
	require.Len(t, requests, 2)
	assert.Equal(t, http.MethodPost, requests[1].Method)
	assert.Len(t, requests[1].Header["Idempotency-Key"], 1)
	assert.JSONEq(t, replayBody, requests[1].Body)
}
