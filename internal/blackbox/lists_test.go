package blackbox

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// listOf is the list of one service, the same for all of them. See page_test.go for what
// is tested of one list only.
type listOf struct {
	path  string
	first func(ctx context.Context, c *ittybit.Client, page, limit int, opts ...ittybit.RequestOption) (listPage, error)
	all   func(ctx context.Context, c *ittybit.Client, page, limit int) iter.Seq2[string, error] // ids; empty where there is no item
}

// listPage is a page of any list.
type listPage struct {
	ids     []string
	hasNext bool
	next    func(context.Context) (listPage, error)
}

// listServices are the lists there are.
func listServices() map[string]listOf {
	type in = context.Context
	type of = *ittybit.Client
	return map[string]listOf{
		"tasks": {
			path: "/tasks",
			first: func(ctx in, c of, page, limit int, opts ...ittybit.RequestOption) (listPage, error) {
				return listPageOf(taskID)(c.Tasks.List(ctx, ittybit.TaskListParams{Page: page, Limit: limit}, opts...))
			},
			all: func(ctx in, c of, page, limit int) iter.Seq2[string, error] {
				return listIDs(c.Tasks.All(ctx, ittybit.TaskListParams{Page: page, Limit: limit}), taskID)
			},
		},
		"automations": {
			path: "/automations",
			first: func(ctx in, c of, page, limit int, opts ...ittybit.RequestOption) (listPage, error) {
				return listPageOf(automationID)(c.Automations.List(ctx, ittybit.AutomationListParams{Page: page, Limit: limit}, opts...))
			},
			all: func(ctx in, c of, page, limit int) iter.Seq2[string, error] {
				return listIDs(c.Automations.All(ctx, ittybit.AutomationListParams{Page: page, Limit: limit}), automationID)
			},
		},
		"media": {
			path: "/media",
			first: func(ctx in, c of, page, limit int, opts ...ittybit.RequestOption) (listPage, error) {
				return listPageOf(mediaID)(c.Media.List(ctx, ittybit.MediaListParams{Page: page, Limit: limit}, opts...))
			},
			all: func(ctx in, c of, page, limit int) iter.Seq2[string, error] {
				return listIDs(c.Media.All(ctx, ittybit.MediaListParams{Page: page, Limit: limit}), mediaID)
			},
		},
		"files": {
			path: "/files",
			first: func(ctx in, c of, page, limit int, opts ...ittybit.RequestOption) (listPage, error) {
				return listPageOf(fileID)(c.Files.List(ctx, ittybit.FileListParams{Page: page, Limit: limit}, opts...))
			},
			all: func(ctx in, c of, page, limit int) iter.Seq2[string, error] {
				return listIDs(c.Files.All(ctx, ittybit.FileListParams{Page: page, Limit: limit}), fileID)
			},
		},
	}
}

func taskID(t *ittybit.Task) string             { return t.ID }
func automationID(a *ittybit.Automation) string { return a.ID }
func mediaID(m *ittybit.Media) string           { return m.ID }
func fileID(f *ittybit.File) string             { return f.ID }

// listPageOf makes a listPage of what List and Next give.
func listPageOf[T any](id func(*T) string) func(*ittybit.Page[T], error) (listPage, error) {
	return func(page *ittybit.Page[T], err error) (listPage, error) {
		if page == nil {
			return listPage{}, err
		}
		p := listPage{hasNext: page.HasNext(), ids: []string{}}
		for i := range page.Items {
			p.ids = append(p.ids, id(&page.Items[i]))
		}
		p.next = func(ctx context.Context) (listPage, error) { return listPageOf(id)(page.Next(ctx)) }
		return p, err
	}
}

// listIDs gives the ids of what an iteration yields.
func listIDs[T any](items iter.Seq2[*T, error], id func(*T) string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for item, err := range items {
			text := ""
			if item != nil {
				text = id(item)
			}
			if !yield(text, err) {
				return
			}
		}
	}
}

// listCollect gives the ids that an iteration yields, and its errors.
func listCollect(items iter.Seq2[string, error]) (ids []string, errs []error) {
	for id, err := range items {
		if id != "" {
			ids = append(ids, id)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return ids, errs
}

// listPages are handlers for one page after the other: its body, and header name, value, …
func listPages(pages ...[]string) []http.HandlerFunc {
	handlers := make([]http.HandlerFunc, len(pages))
	for i, page := range pages {
		handlers[i] = apitest.Respond(200, page[0], page[1:]...)
	}
	return handlers
}

func TestLists_followLinksOfEveryForm(t *testing.T) {
	for name, list := range listServices() {
		for form, link := range map[string][]string{
			"Links, absolute":         {"Links", `<https://api.ittybit.com` + list.path + `?page=1>; rel="self", <https://api.ittybit.com` + list.path + `?page=2>; rel="next", <https://api.ittybit.com` + list.path + `?page=2>; rel="last"`},
			"Link, absolute":          {"Link", `<https://api.ittybit.com` + list.path + `?page=2>; rel="next"`},
			"Links, relative":         {"Links", `<` + list.path + `?page=2>; rel="next"`},
			"Link, relative":          {"Link", `<` + list.path + `?page=2>; rel="next"`},
			"Links, query only":       {"Links", `<?page=2>; rel="next"`},
			"Links, with a limit":     {"Links", `<` + list.path + `?limit=1&page=2>; rel="next"`},
			"Links, without a scheme": {"Links", `<//api.ittybit.com` + list.path + `?page=2>; rel=next`},
		} {
			server, seen := apitest.Server(t, listPages(append([]string{pageOf("a")}, link...), []string{pageOf("b"), link[0], `<` + list.path + `?page=1>; rel="prev"`})...)
			ids, errs := listCollect(list.all(t.Context(), apitest.Client(t, server.URL), 1, 1))
			assert.Empty(t, errs, "%s, %s", name, form)
			assert.Equal(t, []string{"a", "b"}, ids, "%s, %s", name, form)
			requests := seen.All()
			require.Len(t, requests, 2, "%s, %s: the last page has no next", name, form)
			for i, req := range requests {
				assert.Equal(t, []string{http.MethodGet, list.path, fmt.Sprintf("limit=1&page=%d", i+1), ""}, []string{req.Method, req.Path, req.Query, req.Body}, "%s, %s", name, form)
				endpointHeaders(t, req)
			}
		}
	}
}

func TestLists_followCursorsAndLinksInTheBody(t *testing.T) {
	for name, list := range listServices() {
		for form, page := range map[string][]string{
			"cursor":       {pageOf("a"), "Link", `<https://api.ittybit.com` + list.path + `?after=a>; rel="next"`, "Has-More", "true"},
			"in the body":  {`{"meta":{"type":"list","total":2},"data":[{"id":"a"}],"error":null,"links":{"self":"?page=1","next":"https://api.ittybit.com` + list.path + `?after=a"}}`},
			"body without": {`{"data":[{"id":"a"}],"links":["odd"]}`, "Links", `<?after=a>; rel="next"`},
		} {
			server, seen := apitest.Server(t, listPages(page, []string{`{"meta":{"type":"list"},"links":{"next":null},"data":[{"id":"b"}]}`})...)
			ids, errs := listCollect(list.all(t.Context(), apitest.Client(t, server.URL), 2, 5))
			assert.Empty(t, errs, "%s, %s", name, form)
			assert.Equal(t, []string{"a", "b"}, ids, "%s, %s", name, form)
			assert.Equal(t, "after=a&limit=5", seen.All()[1].Query, "%s, %s: only one position", name, form)
		}
	}
}

func TestLists_pageByPage(t *testing.T) {
	for name, list := range listServices() {
		server, seen := apitest.Server(t, listPages([]string{pageOf("a", "b"), "Links", `<?page=2>; rel="next"`}, []string{pageOf("c")})...)
		page, err := list.first(t.Context(), apitest.Client(t, server.URL), 0, 0, ittybit.WithRequestHeader("X-Mine", "1"))
		require.NoError(t, err, name)
		assert.Equal(t, []string{"a", "b"}, page.ids, name)
		assert.True(t, page.hasNext, name)
		last, err := page.next(t.Context())
		require.NoError(t, err, name)
		assert.Equal(t, []string{"c"}, last.ids, name)
		assert.False(t, last.hasNext, name)
		_, err = last.next(t.Context())
		require.ErrorIs(t, err, ittybit.ErrNoMorePages, name)
		requests := seen.All()
		assert.Equal(t, []string{"", "page=2"}, []string{requests[0].Query, requests[1].Query}, name)
		assert.Equal(t, "1", requests[1].Header.Get("X-Mine"), "%s: the options are those of every page", name)
	}
}

func TestLists_emptyOnes(t *testing.T) {
	for name, list := range listServices() {
		for _, body := range []string{`[]`, `{"meta":{"type":"list","total":0},"data":[],"links":{"next":null}}`} {
			server, _ := apitest.Server(t, apitest.Respond(200, body))
			client := apitest.Client(t, server.URL)
			page, err := list.first(t.Context(), client, 9, 0)
			require.NoError(t, err, name)
			assert.Empty(t, page.ids, name)
			assert.False(t, page.hasNext, name)
			ids, errs := listCollect(list.all(t.Context(), client, 0, 0))
			assert.Empty(t, ids, name)
			assert.Empty(t, errs, name)
		}
		// An empty page that has a next one is not the end.
		server, seen := apitest.Server(t, listPages([]string{`[]`, "Links", `<?page=2>; rel="next"`}, []string{`[]`, "Links", `<?page=3>; rel="next"`}, []string{pageOf("a")})...)
		ids, errs := listCollect(list.all(t.Context(), apitest.Client(t, server.URL), 0, 0))
		assert.Empty(t, errs, name)
		assert.Equal(t, []string{"a"}, ids, name)
		assert.Equal(t, 3, seen.Count(), name)
	}
}

func TestLists_thatRepeatThemselvesEndWithAnError(t *testing.T) {
	for name, list := range listServices() {
		for form, next := range map[string][]string{
			"itself":     {"?page=1"},
			"an earlier": {"?page=2", "?page=1", "?page=2"},
			"the first":  {list.path},
			"the limit":  {"?limit=1&page=2"},
		} {
			client, seen := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
				if n > 9 {
					return apitest.Response(200, `[]`) // so that a client that goes on and on fails, and ends
				}
				return apitest.Response(200, pageOf(fmt.Sprint(n)), "Links", "<"+next[min(n, len(next))-1]+`>; rel="next"`)
			})
			ids, errs := listCollect(list.all(t.Context(), client, 1, 1))
			require.Len(t, errs, 1, "%s, %s", name, form)
			require.ErrorContains(t, errs[0], "repeats itself", "%s, %s", name, form)
			assert.Len(t, ids, seen.Count(), "%s, %s: the items so far are yielded", name, form)
			assert.LessOrEqual(t, seen.Count(), 3, "%s, %s", name, form)
		}
	}
}

func TestLists_yieldTheItemsSoFarBeforeTheFailure(t *testing.T) {
	for name, list := range listServices() {
		for status, want := range map[int]error{401: ittybit.ErrUnauthorized, 404: ittybit.ErrNotFound, 503: ittybit.ErrServer} {
			server, _ := apitest.Server(t, apitest.Respond(200, pageOf("a", "b"), "Links", `<?page=2>; rel="next"`),
				apitest.Respond(200, pageOf("c"), "Links", `<?page=3>; rel="next"`), apitest.Respond(status, `{"message":"no"}`))
			ids, errs := listCollect(list.all(t.Context(), apitest.Client(t, server.URL), 0, 0))
			assert.Equal(t, []string{"a", "b", "c"}, ids, name)
			require.Len(t, errs, 1, name)
			require.ErrorIs(t, errs[0], want, name)
		}
		// A page that can't be read is a failure, too.
		server, _ := apitest.Server(t, listPages([]string{pageOf("a"), "Links", `<?page=2>; rel="next"`}, []string{`[{"id":"b"},{"name":"c"}]`})...)
		ids, errs := listCollect(list.all(t.Context(), apitest.Client(t, server.URL), 0, 0))
		assert.Equal(t, []string{"a"}, ids, name)
		require.Len(t, errs, 1, name)
		require.ErrorContains(t, errs[0], "item 1: it has no id", name)
	}
}

func TestLists_goOnPastAFieldThatCannotBeDecoded(t *testing.T) {
	for name, list := range listServices() {
		server, _ := apitest.Server(t, listPages([]string{`[{"id":"a"},{"id":"b","created":"yesterday"},{"id":"c"}]`, "Links", `<?page=2>; rel="next"`}, []string{pageOf("d")})...)
		var log apitest.Log
		client := apitest.Client(t, server.URL, ittybit.WithLogger(log.Logger()))
		ids, errs := listCollect(list.all(t.Context(), client, 0, 0))
		assert.Equal(t, []string{"a", "b", "c", "d"}, ids, name)
		assert.Empty(t, errs, name)
		assert.Equal(t, 1, strings.Count(log.String(), "level=WARN"), name)
		assert.Contains(t, log.String(), `b: cannot decode field \"created\": is neither ISO 8601 nor unix seconds or milliseconds`, name)
	}
}

func TestLists_askForNothingMoreAfterABreak(t *testing.T) {
	for name, list := range listServices() {
		client, seen := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
			return apitest.Response(200, pageOf("a", "b"), "Links", fmt.Sprintf(`<?page=%d>; rel="next"`, n+1))
		})
		for range list.all(t.Context(), client, 0, 0) {
			break
		}
		assert.Equal(t, 1, seen.Count(), name)
		n := 0
		for range list.all(t.Context(), client, 0, 0) {
			if n++; n == 3 {
				break
			}
		}
		assert.Equal(t, 3, seen.Count(), "%s: two more pages", name)
	}
}

func TestLists_endWithTheirContext(t *testing.T) {
	for name, list := range listServices() {
		ctx, cancel := context.WithCancel(t.Context())
		client, seen := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
			return apitest.Response(200, pageOf("a", "b"), "Links", fmt.Sprintf(`<?page=%d>; rel="next"`, n+1))
		})
		var ids []string
		var errs []error
		for id, err := range list.all(ctx, client, 0, 0) {
			if err != nil {
				errs = append(errs, err)
				continue
			}
			ids = append(ids, id)
			cancel()
		}
		assert.Equal(t, []string{"a", "b"}, ids, "%s: what is there is yielded", name)
		require.Len(t, errs, 1, name)
		require.ErrorIs(t, errs[0], context.Canceled, name)
		assert.Equal(t, 1, seen.Count(), name)
		cancel()
	}
}

// Neither a next link nor a redirect of the next page takes the key to another host.
func TestLists_neverTakeTheKeyToAnotherHost(t *testing.T) {
	for name, list := range listServices() {
		other, atOther := apitest.Server(t, apitest.Respond(200, pageOf("stolen")))
		for form, first := range map[string][]string{
			"Links":       {pageOf("a"), "Links", "<" + other.URL + list.path + `?page=2>; rel="next"`},
			"Link":        {pageOf("a"), "Link", "<" + other.URL + list.path + `?page=2>; rel="next"`},
			"no scheme":   {pageOf("a"), "Links", "<//" + strings.TrimPrefix(other.URL, "http://") + `/?page=2>; rel="next"`},
			"in the body": {`{"data":[{"id":"a"}],"links":{"next":"` + other.URL + list.path + `?page=2"}}`},
		} {
			server, seen := apitest.Server(t, listPages(first, []string{pageOf("b")})...)
			ids, errs := listCollect(list.all(t.Context(), apitest.Client(t, server.URL), 0, 0))
			assert.Empty(t, errs, "%s, %s", name, form)
			assert.Equal(t, []string{"a", "b"}, ids, "%s, %s: the next page is of the same list at the same address", name, form)
			assert.Equal(t, "page=2", seen.All()[1].Query, "%s, %s", name, form)
			assert.Zero(t, atOther.Count(), "%s, %s", name, form)
		}

		server, seen := apitest.Server(t, apitest.Respond(200, pageOf("a"), "Links", `<?page=2>; rel="next"`),
			apitest.Respond(http.StatusTemporaryRedirect, "", "Location", other.URL+list.path+"?page=2"))
		ids, errs := listCollect(list.all(t.Context(), apitest.Client(t, server.URL), 0, 0))
		assert.Empty(t, errs, name)
		assert.Equal(t, []string{"a", "stolen"}, ids, "%s: it is followed", name)
		assert.Equal(t, "Bearer "+apitest.Key, seen.All()[1].Header.Get("Authorization"), name)
		require.Equal(t, 1, atOther.Count(), name)
		assert.NotContains(t, fmt.Sprint(atOther.All()[0]), apitest.Key, "%s: without the key", name)
	}
}

func TestLists_limitsAndPagesAtTheirBorders(t *testing.T) {
	for name, list := range listServices() {
		client, seen := apitest.Fake(t, apitest.Always(200, `[]`))
		for _, limit := range []int{-1, 101} {
			_, err := list.first(t.Context(), client, 0, limit)
			apitest.RequireParamError(t, err, "Limit")
			ids, errs := listCollect(list.all(t.Context(), client, 0, limit))
			assert.Empty(t, ids, name)
			require.Len(t, errs, 1, name)
			apitest.RequireParamError(t, errs[0], "Limit")
		}
		_, err := list.first(t.Context(), client, -1, 0)
		apitest.RequireParamError(t, err, "Page")
		assert.Zero(t, seen.Count(), name)

		for want, params := range map[string][2]int{"": {0, 0}, "limit=1&page=1": {1, 1}, "limit=100": {0, 100}} {
			_, err := list.first(t.Context(), client, params[0], params[1])
			require.NoError(t, err, name)
			requests := seen.All()
			assert.Equal(t, want, requests[len(requests)-1].Query, name)
		}
	}
}
