// Package paging finds the next page of a list, and notices a list without an end.
package paging

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// NextLink finds rel="next" in the Links header (API version 2025-08-20) or the Link
// header (RFC 8288; later versions).
func NextLink(header http.Header) string {
	for _, name := range []string{"Links", "Link"} {
		for _, link := range splitLinks(strings.Join(header.Values(name), ",")) {
			if slices.Contains(link.rels, "next") {
				return link.target
			}
		}
	}
	return ""
}

type link struct {
	target string
	rels   []string
}

// splitLinks reads <target>; rel="a b"; other="…", <target>; …
func splitLinks(header string) []link {
	var links []link
	for {
		_, rest, found := strings.Cut(header, "<")
		if !found {
			return links
		}
		target, rest, found := strings.Cut(rest, ">")
		if !found {
			return links
		}
		params, rest, _ := cutUnquoted(rest, ',')
		links = append(links, link{strings.TrimSpace(target), relsOf(params)})
		header = rest
	}
}

// cutUnquoted is strings.Cut at the first separator outside a quoted string.
func cutUnquoted(text string, separator byte) (before, after string, found bool) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\\':
			i++ // what a backslash stands before ends nothing
		case text[i] == '"':
			quoted = !quoted
		case text[i] == separator && !quoted:
			return text[:i], text[i+1:], true
		}
	}
	return text, "", false
}

func relsOf(params string) []string {
	for more := true; more; {
		var param string
		param, params, more = cutUnquoted(params, ';')
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "rel") {
			return strings.Fields(strings.ToLower(strings.Trim(strings.TrimSpace(value), `"`)))
		}
	}
	return nil
}

// isPosition reports whether a parameter says where in a list a page is, in any version of the API.
func isPosition(name string) bool { return name == "page" || name == "after" || name == "before" }

// NextQuery takes the query of a link to the next page, and nothing else: the next page is of the
// same list at the same address, whatever host the link names. So a link can't send the key
// elsewhere, and one that a proxy has left pointing at Ittybit itself still works. What the link
// leaves out of this page's query, such as the limit and the filters (the documentation's example
// shows page alone), stays as it is: another limit would mean other pages.
func NextQuery(link string, current url.Values) (url.Values, error) {
	if link == "" {
		return nil, nil //nolint:nilnil // no link is no error
	}
	u, err := url.Parse(link)
	if err != nil {
		return nil, errors.New("ittybit: the link to the next page cannot be parsed")
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("ittybit: the query of the link to the next page cannot be parsed")
	}
	for name, value := range current {
		if !values.Has(name) && !isPosition(name) {
			values[name] = value
		}
	}
	return values, nil
}
