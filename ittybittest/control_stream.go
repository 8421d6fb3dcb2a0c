package ittybittest

import (
	"fmt"
	"io"
	"net/http"
	"time"
)

// pingEvery is how often a quiet stream says that it is alive.
const pingEvery = 15 * time.Second

// controlStream sends what happens as server-sent events, from the last one on that the client
// has seen: it says so in the header Last-Event-ID, or where a browser can't set that in the
// query. An id of another start of the server, or one too old, is answered with the event reset:
// what the client knows is to be read anew.
func (s *Server) controlStream(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("Last-Event-ID")
	if id == "" {
		id = r.URL.Query().Get("last_event_id")
	}
	last, known := s.feed.find(id)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx passes it on at once
	flush := http.NewResponseController(w)
	_, _ = io.WriteString(w, ": connected\n\n")
	if !known {
		_, _ = fmt.Fprintf(w, "id: %s\nevent: reset\ndata: {}\n\n", s.feed.id(last))
	}
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		changed := s.feed.wait()
		var notices []notice
		notices, last = s.feed.since(last)
		for i, n := range notices {
			id := s.feed.id(last - int64(len(notices)-1-i))
			_, _ = fmt.Fprintf(w, "id: %s\nevent: %s\ndata: %s\n\n", id, n.kind, n.data)
		}
		if flush.Flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-ping.C:
			_, _ = io.WriteString(w, "event: ping\ndata: {}\n\n")
		case <-r.Context().Done():
			return
		case <-s.life.Context().Done():
			return
		}
	}
}
