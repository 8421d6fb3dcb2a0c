package ittybittest

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest/internal/api"
	"github.com/ittybit/ittybit-go/ittybittest/internal/engine"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// control answers with a status and a value, which becomes JSON.
type control func(*http.Request) (int, any, error)

// withBody gives a control the JSON body of a request; an empty one leaves the defaults.
func withBody[T any](defaults T, serve func(*http.Request, T) (int, any, error)) control {
	return func(r *http.Request) (int, any, error) {
		asked, dec := defaults, json.NewDecoder(r.Body)
		dec.DisallowUnknownFields()
		err := dec.Decode(&asked)
		if err == nil {
			if _, more := dec.Token(); more != io.EOF {
				err = errors.New("something follows the JSON object")
			}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, nil, refusal.Invalid("The request body is not valid: %s.", err)
		}
		return serve(r, asked)
	}
}

// controls answer what is under /_local/.
func (s *Server) controls() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]control{
		"GET /_local/{$}":                     s.controlInfo,
		"GET /_local/deliveries":              s.controlDeliveries,
		"GET /_local/deliveries/{id}":         s.controlDelivery,
		"POST /_local/deliveries/{id}/resend": withBody(askedResend{}, s.controlResend),
		"POST /_local/deliveries/{id}/cancel": s.controlCancel,
		"POST /_local/events":                 withBody(askedEvent{Kind: "nsfw", Message: "The file is broken.", Progress: 50}, s.controlEvent),
		"POST /_local/tasks/{id}/{action}":    withBody(askedTask{Message: "The task was failed by hand."}, s.controlTask),
		"GET /_local/faults":                  s.controlListFaults,
		"PUT /_local/faults":                  withBody(shownFaults{}, s.controlFaults),
		"DELETE /_local/faults":               withBody(shownFaults{}, s.controlFaults),
		"POST /_local/reset":                  s.controlReset,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if status, value, err := serve(r); err != nil {
				s.live.Load().api.Fail(w, err)
			} else {
				api.Write(w, status, value)
			}
		})
	}
	mux.HandleFunc("GET /_local/deliveries/{id}/body", s.controlBody)
	mux.HandleFunc("GET /_local/stream", s.controlStream)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.mayControl(r); err != nil {
			w.Header().Set("WWW-Authenticate", `Basic realm="ittybit"`)
			s.live.Load().api.Fail(w, err)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, api.MaxBodyBytes)
		mux.ServeHTTP(w, r)
	})
}

// mayControl refuses pages of other sites, names that lead here by DNS tricks, and other
// machines without the password.
func (s *Server) mayControl(r *http.Request) error {
	name := hostname(r)
	if !s.isOwnHost(name) {
		return refusal.New(http.StatusForbidden, "The host %q is not this server's: use a loopback address, that of WithPublicURLs, or one of WithWebhookHosts.", name)
	}
	asPost := r.WithContext(r.Context()) // a GET is checked as a POST is
	asPost.Method = http.MethodPost
	if http.NewCrossOriginProtection().Check(asPost) != nil {
		return refusal.New(http.StatusForbidden, "Pages of other sites can't drive the local Ittybit.")
	}
	// By a proxy or tunnel on this machine.
	forwarded := r.Header.Get("Forwarded") + r.Header.Get("X-Forwarded-For")
	if forwarded == "" && isFromHere(r) {
		return nil
	}
	_, given, _ := r.BasicAuth()
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		given = token
	}
	want, got := sha256.Sum256([]byte(s.config.controlPassword)), sha256.Sum256([]byte(given))
	if s.config.controlPassword == "" || subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		return refusal.New(http.StatusUnauthorized, "From another machine, or through a proxy, the password of WithControl is required.")
	}
	return nil
}

// isFromHere reports whether a request comes from this machine: from a loopback address, or from
// the address at which it came in, as a connection to an address of the same machine does.
func isFromHere(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	if from.Addr().Unmap().IsLoopback() {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	return err == nil && from.Addr().Unmap() == at.Addr().Unmap()
}

func (s *Server) controlInfo(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]string{
		"url": s.URL, "storage_url": s.StorageURL, "version": ittybit.Version, "stream": s.feed.position(),
	}, nil
}

func (s *Server) controlReset(*http.Request) (int, any, error) {
	s.Reset()
	return http.StatusNoContent, nil, nil
}

type askedTask struct {
	Results  json.RawMessage
	Message  string
	Progress int
}

// controlTask finishes a task, lets it fail, or sets its progress or results.
func (s *Server) controlTask(r *http.Request, asked askedTask) (int, any, error) {
	id, e := r.PathValue("id"), s.live.Load().engine
	err := refusal.New(http.StatusNotFound, "Not found: %s. Use finish, fail, progress or results.", r.URL.Path)
	switch r.PathValue("action") {
	case "finish":
		err = e.Control(id, nil, &engine.Outcome{Results: asked.Results}, true)
	case "fail":
		err = e.Control(id, nil, &engine.Outcome{Failure: asked.Message}, true)
	case "progress":
		if asked.Progress < 0 || asked.Progress > 100 {
			return 0, nil, refusal.Invalid("progress must be a number from 0 to 100.")
		}
		err = e.Control(id, &asked.Progress, nil, false)
	case "results":
		err = e.Control(id, nil, &engine.Outcome{Results: asked.Results}, false)
	}
	return http.StatusNoContent, nil, err
}
