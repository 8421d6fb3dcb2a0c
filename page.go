package ittybit

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-querystring/query"

	"github.com/ittybit/ittybit-go/internal/pipeline"
)

// maxLimit is the largest page (API reference, pagination).
const maxLimit = 100

// maxRepeats is how often a page in a row may have the items of the one before. New items push
// others to the next page, and where a page is small all of them: once is no proof.
const maxRepeats = 5

// maxReturns is how often the items of a page may come back with others in between, and maxEmptyPages
// how many pages in a row may have none: a filter may leave some empty.
const (
	maxReturns    = 20
	maxEmptyPages = 1000
)

// Page is one page of a list. The All methods walk from page to page in constant memory, and end
// with an error where a list has no end: its pages go in circles, or a thousand in a row are empty.
type Page[T any] struct {
	Items []T

	query url.Values // of this page
	next  url.Values // of the next page; nil after the last one
	fetch func(ctx context.Context, query url.Values) (*Page[T], error)
}

// HasNext reports whether there is another page, as far as the answer says.
func (p *Page[T]) HasNext() bool { return p.next != nil }

// Next fetches the next page. After the last one it gives [ErrNoMorePages].
func (p *Page[T]) Next(ctx context.Context) (*Page[T], error) {
	if p.next == nil {
		return nil, ErrNoMorePages
	}
	return p.fetch(ctx, p.next)
}

// list fetches the first page of a list.
func list[T any, P object[T]](ctx context.Context, c *Client, path string, params any, page, limit int, opts []RequestOption) (*Page[T], error) {
	if limit < 0 || limit > maxLimit {
		return nil, &ParamError{Param: "Limit", Reason: "must be 1 to 100, or 0 to leave it to Ittybit"}
	}
	if page < 0 {
		return nil, &ParamError{Param: "Page", Reason: "must be 1 or more, or 0 for the first page"}
	}
	values, err := query.Values(params)
	if err != nil {
		return nil, &ParamError{Param: "params", Reason: "can't be made a query: " + err.Error()}
	}
	return fetchPage[T, P](ctx, c, path, values, opts)
}

func fetchPage[T any, P object[T]](ctx context.Context, c *Client, path string, values url.Values, opts []RequestOption) (*Page[T], error) {
	page := &Page[T]{query: values}
	var nextURL string
	resp, err := c.send(ctx, call{method: http.MethodGet, path: path, query: values}, opts, pipeline.DecoderFunc(func(resp pipeline.Response) error {
		var err error
		page.Items, nextURL, err = decodeList[T, P](resp.Body)
		return unusable(resp, err)
	}))
	if err != nil {
		return nil, err
	}
	for i := range page.Items {
		c.decodeLog.report(ctx, P(&page.Items[i]).json())
	}
	if link := nextLink(resp.Header); link != "" {
		nextURL = link
	}
	next, err := nextQuery(nextURL, values)
	if err != nil {
		return nil, err
	}
	page.next = next
	page.fetch = func(ctx context.Context, values url.Values) (*Page[T], error) {
		return fetchPage[T, P](ctx, c, path, values, opts)
	}
	return page, nil
}

// isPosition reports whether a parameter says where in a list a page is, in any
// generation of the API.
func isPosition(name string) bool { return name == "page" || name == "after" || name == "before" }

// nextQuery takes the query of a link to the next page, and nothing else: the next
// page is of the same list at the same address, whatever host the link names. So a
// link can't send the key elsewhere, and one that a proxy has left pointing at
// Ittybit itself still works. What the link leaves out of this page's query, such as
// the limit and the filters (the documentation's example shows page alone), stays as
// it is: another limit would mean other pages.
func nextQuery(link string, current url.Values) (url.Values, error) {
	if link == "" {
		return nil, nil //nolint:nilnil // no link is no error
	}
	u, err := url.Parse(link)
	if err != nil {
		return nil, errors.New("ittybit: the link to the next page can't be parsed")
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("ittybit: the query of the link to the next page can't be parsed")
	}
	for name, value := range current {
		if !values.Has(name) && !isPosition(name) {
			values[name] = value
		}
	}
	return values, nil
}

// nextLink finds rel="next" in the Links header (API version 2025-08-20) or the Link
// header (RFC 8288; later versions).
func nextLink(header http.Header) string {
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

// all yields the items of all pages. An error is yielded alone, and last.
func all[T any](ctx context.Context, first func() (*Page[T], error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for page, err := range pages(ctx, first, func(fetch func() error) error { return fetch() }) {
			if page == nil {
				yield(nil, err)
				return
			}
			for i := range page.Items {
				if !yield(&page.Items[i], nil) {
					return
				}
			}
		}
	}
}

// marks tells a page by the ids of its items; it is empty where there are none.
func (p *Page[T]) marks() string {
	var b strings.Builder
	for i := range p.Items {
		if item, ok := any(&p.Items[i]).(interface{ objectID() string }); ok {
			b.WriteString(item.objectID())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// pages yields one page after another. An error is yielded alone, and last. A list without an end is
// one. Each request is made by request, which may wait before it and repeat it. What is kept in
// memory does not grow with the list.
func pages[T any](ctx context.Context, first func() (*Page[T], error), request func(fetch func() error) error) iter.Seq2[*Page[T], error] {
	return func(yield func(*Page[T], error) bool) {
		var way walk
		for fetch := first; ; {
			var page *Page[T]
			err := request(func() (err error) {
				page, err = fetch()
				return err
			})
			if page != nil {
				if endless := way.items(page.marks()); endless != nil {
					yield(nil, endless)
					return
				}
			}
			if !yield(page, err) || page == nil || !page.HasNext() {
				return
			}
			if endless := way.goes(page.query.Encode(), page.next.Encode()); endless != nil {
				yield(nil, endless)
				return
			}
			fetch = func() (*Page[T], error) { return page.Next(ctx) }
		}
	}
}

// walk notices that a list has no end.
type walk struct {
	positions, contents circle
	begun               bool
	before              string // the items of the page before
	repeats, empty      int
}

// items takes the marks of a page. Empty pages are all alike, and no repeat.
func (w *walk) items(marks string) error {
	if marks == "" {
		if w.empty++; w.empty == maxEmptyPages {
			return errors.New("ittybit: the list repeats itself: page after page has no items")
		}
		w.before = ""
		return nil
	}
	w.empty = 0
	if w.repeats++; marks != w.before {
		w.before, w.repeats = marks, 0
	}
	if w.repeats == maxRepeats || w.contents.meets(marks) == maxReturns {
		return errors.New("ittybit: the list repeats itself: page after page has the same items")
	}
	return nil
}

// goes takes the position of a page, and of the one that it names as its next.
func (w *walk) goes(from, to string) error {
	if !w.begun {
		w.begun = true
		w.positions.meets(from)
	}
	if w.positions.meets(to) > 0 {
		return errors.New("ittybit: the list repeats itself: a page names one as its next that came before")
	}
	return nil
}

// circle notices that marks come again. It keeps one of them, a later one after 1, 2, 4, 8, …
// others (Brent's algorithm), and so finds every circle, after at most some three times its length
// and the way to it.
type circle struct {
	mark         string
	steps, limit int
	met          int
}

// meets takes the next mark, and gives how often the one that is kept has come again.
func (c *circle) meets(mark string) int {
	if c.limit > 0 && mark == c.mark {
		c.steps = 0
		c.met++
		return c.met
	}
	if c.steps++; c.steps > c.limit {
		*c = circle{mark: mark, limit: max(2*c.limit, 1)}
	}
	return 0
}
