package ittybit

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/ittybit/ittybit-go/internal/paging"
	"github.com/ittybit/ittybit-go/internal/pipeline"
)

// maxLimit is the largest page (API reference, pagination).
const maxLimit = 100

// Page is one page of a list. The All methods go from page to page in constant memory, and end
// with an error where a list has no end: its pages go in circles, or a thousand in a row are empty.
//
// What is deleted while its list is read pushes others to pages that were fetched already, and
// those are passed over: collect the ids first.
type Page[T any] struct {
	Items []T

	query url.Values // of this page
	next  url.Values // of the next page; nil after the last one
	fetch func(ctx context.Context, query url.Values) (*Page[T], error)
}

// HasNext reports whether there is another page, as far as the response says.
func (p *Page[T]) HasNext() bool { return p.next != nil }

// Next fetches the next page. After the last one it gives [ErrNoMorePages].
func (p *Page[T]) Next(ctx context.Context) (*Page[T], error) {
	if p.next == nil {
		return nil, ErrNoMorePages
	}
	return p.fetch(ctx, p.next)
}

func list[T any, P object[T]](ctx context.Context, c *Client, path string, params any, page, limit int, opts []RequestOption) (*Page[T], error) {
	if limit < 0 || limit > maxLimit {
		return nil, &ParamError{Param: "Limit", Reason: "must be 1 to 100, or 0 to leave it to Ittybit"}
	}
	if page < 0 {
		return nil, &ParamError{Param: "Page", Reason: "must be 1 or more, or 0 for the first page"}
	}
	values := make(url.Values)
	if err := addQuery(values, params); err != nil {
		return nil, err
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
	if link := paging.NextLink(resp.Header); link != "" {
		nextURL = link
	}
	next, err := paging.NextQuery(nextURL, values)
	if err != nil {
		return nil, err
	}
	page.next = next
	page.fetch = func(ctx context.Context, values url.Values) (*Page[T], error) {
		return fetchPage[T, P](ctx, c, path, values, opts)
	}
	return page, nil
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

// fingerprint is made of the ids of the items; it is empty where there are none.
func (p *Page[T]) fingerprint() string {
	var b strings.Builder
	for i := range p.Items {
		if item, ok := any(&p.Items[i]).(interface{ objectID() string }); ok {
			b.WriteString(item.objectID())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// pages yields one page after another. An error is yielded alone, and last. A list without an end
// is one. Each request is made by request, which may wait before it and repeat it. What is kept in
// memory does not grow with the list.
func pages[T any](ctx context.Context, first func() (*Page[T], error), request func(fetch func() error) error) iter.Seq2[*Page[T], error] {
	return func(yield func(*Page[T], error) bool) {
		var loop paging.LoopDetector
		for fetch := first; ; {
			var page *Page[T]
			err := request(func() (err error) {
				page, err = fetch()
				return err
			})
			if page != nil {
				if endless := loop.Items(page.fingerprint()); endless != nil {
					yield(nil, endless)
					return
				}
			}
			if !yield(page, err) || page == nil || !page.HasNext() {
				return
			}
			if endless := loop.Position(page.query.Encode(), page.next.Encode()); endless != nil {
				yield(nil, endless)
				return
			}
			fetch = func() (*Page[T], error) { return page.Next(ctx) }
		}
	}
}
