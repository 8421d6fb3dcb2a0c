package ittybittest

import "net/http"

// ServeAPI answers a request as if it had come over the network.
func ServeAPI(s *Server, w http.ResponseWriter, r *http.Request) { s.serveAPI(w, r) }

// FaultsLeft is how many faults are queued for requests.
func (s *Server) FaultsLeft() int {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	left := 0
	for _, q := range s.faults.requests {
		left += q.left
	}
	return left
}

// UnderWay is how many deliveries have not ended.
func (s *Server) UnderWay() int {
	now := s.live.Load().sender
	now.mu.Lock()
	defer now.mu.Unlock()
	return len(now.underWay)
}

// FillFeed lets something happen n times.
func FillFeed(s *Server, n int) {
	for range n {
		s.feed.add("task", struct{}{})
	}
}
