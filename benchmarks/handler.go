package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/ittybit/ittybit-go"
)

// matches is verification as it is written by hand.
func matches(body []byte, header string) bool {
	t, v1, found := strings.Cut(strings.TrimPrefix(header, "t="), ",v1=")
	if !found {
		return false
	}
	want, err := hex.DecodeString(v1)
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, t+".")
	mac.Write(body)
	return hmac.Equal(mac.Sum(nil), want)
}

// poolSize is how many deliveries of a size are made. One comes back only when a deduplicator for half as many
// has forgotten it, and, on loopback, not while it may still be on its way.
func poolSize(size int) int { return min(64<<20/size, 36_000) }

// handlerGroups take a delivery from the request to the answer, without a network.
func handlerGroups() ([]group, error) {
	var groups []group
	for _, size := range sizes() {
		ours, err := ourEndpoints(poolSize(size.bytes) / 2)
		if err != nil {
			return nil, err
		}
		g := group{name: size.name, bytes: size.bytes}
		all := signDeliveries(poolSize(size.bytes), size.bytes)
		for _, e := range append([]endpoint{handWrittenEndpoint()}, ours...) {
			g.contenders = append(g.contenders, contender{e.name, serveInProcess(e, &deliveries{all: all})})
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// serveInProcess gives an endpoint one delivery a run. It is for one goroutine.
func serveInProcess(e endpoint, pool *deliveries) func() error {
	body := bytes.NewReader(nil)
	header := http.Header{"Content-Type": {"application/json"}, ittybit.SignatureHeader: {""}}
	w := &discardResponse{header: http.Header{}}
	return func() error {
		d := pool.next()
		body.Reset(d.body)
		header[ittybit.SignatureHeader][0] = d.header
		r := &http.Request{
			Method: http.MethodPost, ProtoMajor: 1, ProtoMinor: 1,
			Header: header, Body: io.NopCloser(body), ContentLength: int64(len(d.body)),
		}
		w.status = 0
		before := e.handled.Load()
		e.handler.ServeHTTP(w, r)
		if w.status != http.StatusOK || e.handled.Load() != before+1 {
			return fmt.Errorf("%w: status %d, %d handled", errUnexpected, w.status, e.handled.Load()-before)
		}
		return nil
	}
}

// discardResponse is a ResponseWriter that keeps nothing but the status.
type discardResponse struct {
	header http.Header
	status int
}

// Header implements [http.ResponseWriter].
func (w *discardResponse) Header() http.Header { return w.header }

// Write implements [http.ResponseWriter].
func (w *discardResponse) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader implements [http.ResponseWriter].
func (w *discardResponse) WriteHeader(status int) { w.status = status }

func measureHandler(r *report) error {
	groups, err := handlerGroups()
	all, err := compareAll(r.plan, groups, err)
	if err != nil {
		return err
	}
	r.printf("### From the request to the answer, without a network\n\n")
	r.ratios(all)
	return nil
}
