package compat

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	kratoslog "github.com/go-kratos/kratos/v2/log"
	kratoshttp "github.com/go-kratos/kratos/v2/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/rest"

	"github.com/ittybit/ittybit-go"
)

// serviceRows are frameworks for services, which bring the server along with timeouts of its own.
func serviceRows() []row {
	goZeroModules := []string{"github.com/zeromicro/go-zero@v1.10.3"}
	return []row{
		{
			name: "go-zero, without Breaker and Log", modules: goZeroModules,
			server: serveGoZero(func(c *rest.RestConf) { c.Middlewares.Breaker, c.Middlewares.Log = false, false }),
			differs: with(cutByTimeout(), "stalled", difference{
				why:  "the server's ReadTimeout, 0.8 of Timeout, ends the request's context, for which the middleware's response is 499",
				wire: response{status: 499},
			}),
		},
		{
			name: "go-zero, without Breaker, Log and Timeout", modules: goZeroModules,
			server: serveGoZero(func(c *rest.RestConf) {
				c.Middlewares.Breaker, c.Middlewares.Log, c.Middlewares.Timeout = false, false, false
			}),
		},
		{
			name: "kratos", modules: []string{"github.com/go-kratos/kratos/v2@v2.8.3"},
			deadline: kratosTimeout - kratosTimeout/10,
			server: func(address string, h http.Handler) error {
				kratoslog.SetLogger(kratoslog.NewStdLogger(io.Discard))
				server := kratoshttp.NewServer(kratoshttp.Address(address))
				server.Handle(path, h)
				return server.Start(context.Background())
			},
		},
	}
}

// kratosTimeout is what kratos gives each request by itself.
const kratosTimeout = time.Second

func serveGoZero(change func(*rest.RestConf)) func(string, http.Handler) error {
	return func(address string, h http.Handler) error {
		server, err := newGoZero(address, h, change)
		if err != nil {
			return err
		}
		server.StartWithOpts(func(s *http.Server) { s.ReadHeaderTimeout = 5 * time.Second })
		return nil
	}
}

// newGoZero makes a server with the configuration that go-zero fills in by itself, as changed.
func newGoZero(address string, h http.Handler, change func(*rest.RestConf)) (*rest.Server, error) {
	var c rest.RestConf
	if err := conf.FillDefault(&c); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if c.Port, err = strconv.Atoi(port); err != nil {
		return nil, err
	}
	c.Host, c.Name, c.Log.Stat = host, "compat", false
	c.CpuThreshold = 0 // Shedding refuses by the load of the machine, whatever that is in a test
	change(&c)
	server, err := rest.NewServer(c)
	if err != nil {
		return nil, err
	}
	server.AddRoute(rest.Route{Method: http.MethodPost, Path: path, Handler: h.ServeHTTP})
	return server, nil
}

// TestGoZero_breakerAndLogAsTheyCome shows why the rows do without them.
func TestGoZero_breakerAndLogAsTheyCome(t *testing.T) {
	const deliveries = 100
	rcv := newReceiver()
	server, err := newGoZero(freeAddress(), rcv, func(*rest.RestConf) {})
	require.NoError(t, err)
	var logged strings.Builder
	logx.SetWriter(logx.NewWriter(&logged))
	defer logx.Reset()
	goZero, err := rest.NewServerless(server)
	require.NoError(t, err)
	post := func(id string) *httptest.ResponseRecorder {
		d := signed(id)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(d.body))
		r.Header.Set(ittybit.SignatureHeader, d.fields[0].value)
		r.Header.Set(deliveryHeader, id)
		w := httptest.NewRecorder()
		goZero.Serve(w, r)
		return w
	}

	withoutRetryAfter := 0
	for range deliveries {
		if w := post("retry-later"); assert.Equal(t, http.StatusServiceUnavailable, w.Code) && w.Header().Get("Retry-After") == "" {
			withoutRetryAfter++
		}
	}
	good := 0
	for range deliveries {
		if post("good").Code == http.StatusOK {
			good++
		}
	}

	reached := rcv.records["retry-later"].Entered
	assert.Less(t, reached, deliveries/2, "the breaker refuses the others")
	assert.Equal(t, deliveries-reached, withoutRetryAfter)
	assert.Less(t, good, deliveries, "and good ones after them")
	assert.Contains(t, logged.String(), ittybit.SignatureHeader+": t=", "the log has signatures")
	assert.Contains(t, logged.String(), "task_retry-later", "and payloads")
}
