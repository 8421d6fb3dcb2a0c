package ittybittest

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const (
	defaultLimit           = 20
	defaultAutomationLimit = 10
	maxLimit               = 100
)

// page answers a list request with one page of the items, and links to others.
// The caller holds s.mu.
func page[T any](s *Server, r *request, items []T, limit int, show func(T) object) (*response, error) {
	query := r.URL.Query()
	number, size, all := int64(1), int64(limit), int64(len(items))
	if err := positive(query, "page", &number, 0); err != nil {
		return nil, err
	}
	if err := positive(query, "limit", &size, maxLimit); err != nil {
		return nil, err
	}
	last := max(1, (all+size-1)/size)
	shown := []object{}
	if number <= last {
		start := (number - 1) * size
		for _, item := range items[start:min(start+size, all)] {
			shown = append(shown, show(item))
		}
	}
	resp := reply(http.StatusOK, shown)
	resp.header.Set("Links", s.links(r, query, number, size, last))
	return resp, nil
}

func positive(query url.Values, name string, n *int64, most int64) error {
	if !query.Has(name) {
		return nil
	}
	value, err := strconv.ParseInt(query.Get(name), 10, 64)
	switch {
	case most > 0 && (err != nil || value < 1 || value > most):
		return badRequest("%s must be a number from 1 to %d.", name, most)
	case err != nil || value < 1:
		return badRequest("%s must be a number, 1 or greater.", name)
	}
	*n = value
	return nil
}

func (s *Server) links(r *request, query url.Values, number, limit, last int64) string {
	scheme, _, _ := strings.Cut(s.URL, ":")
	var links []string
	link := func(rel string, page int64) {
		query.Set("page", strconv.FormatInt(page, 10))
		query.Set("limit", strconv.FormatInt(limit, 10))
		target := url.URL{Scheme: scheme, Host: r.Host, Path: r.URL.Path, RawQuery: query.Encode()}
		links = append(links, fmt.Sprintf(`<%s>; rel=%q`, target.String(), rel))
	}
	link("self", number)
	link("first", 1)
	if number > 1 {
		link("prev", min(number-1, last))
	}
	if number < last {
		link("next", number+1)
	}
	link("last", last)
	return strings.Join(links, ", ")
}
