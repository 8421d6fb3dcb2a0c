package blackbox

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

func TestList_sendsItsParametersAsAQuery(t *testing.T) {
	server, seen := apitest.Server(t, apitest.Respond(200, `[]`))
	client := apitest.Client(t, server.URL)
	for want, params := range map[string]ittybit.TaskListParams{
		"":                       {},
		"limit=100&page=3":       {Page: 3, Limit: 100},
		"kind=nsfw&status=ready": {Kind: ittybit.TaskKindNSFW, Status: ittybit.TaskStatusReady},
		"kind=a%26b%3D":          {Kind: "a&b="},
	} {
		page, err := client.Tasks.List(t.Context(), params)
		require.NoError(t, err)
		assert.Empty(t, page.Items)
		assert.NotNil(t, page.Items)
		requests := seen.All()
		assert.Equal(t, want, requests[len(requests)-1].Query)
	}
}

func TestPage_findsTheNextPageInEitherHeader(t *testing.T) {
	for name, c := range map[string]struct {
		header []string
		want   string // query of the next page; "-": there is none
	}{
		"Links, as documented": {[]string{"Links", `<https://api.ittybit.com/tasks?page=2>; rel="self", <https://api.ittybit.com/tasks?page=1>; rel="first", <https://api.ittybit.com/tasks?page=3>; rel="next", <https://api.ittybit.com/tasks?page=9>; rel="last"`}, "page=3"},
		"Link":                 {[]string{"Link", `<https://api.ittybit.com/tasks?after=task_9>; rel="next"`}, "after=task_9"},
		"Links before Link":    {[]string{"Link", `</tasks?page=7>; rel="next"`, "Links", `</tasks?page=2>; rel="next"`}, "page=2"},
		"relative":             {[]string{"Links", `</tasks?page=2&limit=5>; rel="next"`}, "limit=5&page=2"},
		"query only":           {[]string{"Links", `<?page=2>; rel=next`}, "page=2"},
		"several rels":         {[]string{"Links", `</tasks?page=2>; rel="last NEXT"`}, "page=2"},
		"two header lines":     {[]string{"Links", `</tasks?page=1>; rel="prev"`, "Links", `</tasks?page=3>; rel="next"`}, "page=3"},
		"comma in quotes":      {[]string{"Links", `</tasks?page=1>; title="a, <x>; rel=\"next\""; rel="prev", </tasks?page=3>; rel="next"`}, "page=3"},
		"semicolon in quotes":  {[]string{"Links", `</tasks?page=1>; title="; rel=next"; rel="prev"`}, "-"},
		"escaped quote":        {[]string{"Links", `</tasks?page=1>; title="say \", </tasks?page=9>; rel=next; "; rel="prev", </tasks?page=3>; rel="next"`}, "page=3"},
		"comma in the target":  {[]string{"Links", `</tasks?page=1,2>; rel="prev", </tasks?page=3,4>; rel="next"`}, "page=3%2C4"},
		"odd spacing":          {[]string{"Links", `  < /tasks?page=2 > ;type="x";REL = "next"  ,`}, "page=2"},
		"first rel counts":     {[]string{"Links", `</tasks?page=1>; rel="prev"; rel="next"`}, "-"},
		"no next":              {[]string{"Links", `</tasks?page=1>; rel="prev"`}, "-"},
		"no rel":               {[]string{"Links", `</tasks?page=2>`}, "-"},
		"no header":            {nil, "-"},
		"broken":               {[]string{"Links", `</tasks?page=2; rel="next"`}, "-"},
		"open quote":           {[]string{"Links", `</tasks?page=2>; rel="next, </tasks?page=3>; rel="last"`}, "-"},
		"no query":             {[]string{"Links", `</tasks>; rel="next"`}, ""},
	} {
		client, seen := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return apitest.Response(200, pageOf("a"), c.header...)
			}
			return apitest.Response(200, pageOf("b"))
		})
		page, err := client.Tasks.List(t.Context(), ittybit.TaskListParams{})
		require.NoError(t, err, name)
		require.Equal(t, c.want != "-", page.HasNext(), name)
		next, err := page.Next(t.Context())
		if c.want == "-" {
			require.ErrorIs(t, err, ittybit.ErrNoMorePages, name)
			continue
		}
		require.NoError(t, err, name)
		assert.Equal(t, "b", next.Items[0].ID, name)
		assert.Equal(t, c.want, seen.All()[1].Query, name)
		assert.Equal(t, "/tasks", seen.All()[1].Path, name)
		assert.False(t, next.HasNext(), name)
		_, err = next.Next(t.Context())
		require.ErrorIs(t, err, ittybit.ErrNoMorePages, name)
	}
}

func TestPage_linkThatCannotBeReadIsAnError(t *testing.T) {
	for _, link := range []string{"https://a b/%zz", "/tasks?page=%zz", "/tasks?a;b"} {
		client, _ := apitest.Fake(t, apitest.Always(200, pageOf("a"), "Links", "<"+link+`>; rel="next"`))
		_, err := client.Tasks.List(t.Context(), ittybit.TaskListParams{})
		require.ErrorContains(t, err, "ittybit: the ", link)
		require.ErrorContains(t, err, "link to the next page cannot be parsed", link)
	}
}

func TestPage_nextKeepsTheCallsOptions(t *testing.T) {
	server, seen := apitest.Server(t, apitest.Respond(200, pageOf("a"), "Links", `<?page=2>; rel="next"`), apitest.Respond(200, pageOf("b")))
	page, err := apitest.Client(t, server.URL).Tasks.List(t.Context(), ittybit.TaskListParams{}, ittybit.WithRequestHeader("X-Mine", "1"))
	require.NoError(t, err)
	_, err = page.Next(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "1", seen.All()[1].Header.Get("X-Mine"))
	_, err = page.Next(apitest.NoContext)
	apitest.RequireParamError(t, err, "ctx")
}

func TestPage_zeroPageIsTheLastOne(t *testing.T) {
	var page ittybit.Page[ittybit.Task]
	assert.False(t, page.HasNext())
	_, err := page.Next(t.Context())
	assert.ErrorIs(t, err, ittybit.ErrNoMorePages)
}

func TestAll_canBeIteratedTwice(t *testing.T) {
	server, _ := apitest.Server(t, apitest.Respond(200, pageOf("a")))
	all := apitest.Client(t, server.URL).Tasks.All(t.Context(), ittybit.TaskListParams{})
	for range 2 {
		n := 0
		for _, err := range all {
			require.NoError(t, err)
			n++
		}
		assert.Equal(t, 1, n)
	}
}

func TestList_whatIsNoListIsAnError(t *testing.T) {
	for body, want := range map[string]string{
		``: "not a list", `null`: "not a list", `{}`: "not a list", `{"data":null}`: "not a list", `{"data":{}}`: "not a list", `"x"`: "not a list", `<html>`: "not a list",
		`[{"id":"a"},{}]`: "item 1: it has no id", `[null]`: "item 0: is not a JSON object", `["x"]`: "item 0", `[{"id":1}]`: `item 0: field "id": is not a string`,
	} {
		client, _ := apitest.Fake(t, apitest.Always(200, body))
		page, err := client.Tasks.List(t.Context(), ittybit.TaskListParams{})
		require.ErrorContains(t, err, want, body)
		assert.Nil(t, page, body)
	}
}

func TestAll_keepsTheLimitAndTheFiltersThatALinkLeavesOut(t *testing.T) {
	client, seen := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
		if n == 1 {
			return apitest.Response(200, `[{"id":"task_1"}]`, "Links", `<https://api.ittybit.com/tasks?page=2>; rel="next"`)
		}
		return apitest.Response(200, `[]`)
	})
	for _, err := range client.Tasks.All(t.Context(), ittybit.TaskListParams{Page: 1, Limit: 100, Status: ittybit.TaskStatusFailed}) {
		require.NoError(t, err)
	}
	requests := seen.All()
	require.Len(t, requests, 2)
	assert.Equal(t, "limit=100&page=2&status=failed", requests[1].Query)
}

func TestList_aFieldThatCannotBeDecodedCostsNoPage(t *testing.T) {
	client, seen := apitest.Fake(t, apitest.Always(200, `[{"id":"task_1","progress":"half"},{"id":"task_2"}]`))
	page, err := client.Tasks.List(t.Context(), ittybit.TaskListParams{})
	require.NoError(t, err)
	require.ErrorContains(t, page.Items[0].DecodeError(), `ittybit: task task_1: cannot decode field "progress": is not a number`)
	require.NoError(t, page.Items[1].DecodeError())
	assert.Equal(t, "task_2", page.Items[1].ID)
	assert.Len(t, seen.All(), 1, "asking again would change nothing")
}

func TestAll_pagesWithTheSameItemsAreAnErrorNotALoop(t *testing.T) {
	client, rec := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
		return apitest.Response(200, pageOf("task_1", "task_2"), "Links", fmt.Sprintf(`<https://api.ittybit.com/tasks?page=%d>; rel="next"`, n+1))
	})
	var last error
	for _, err := range client.Tasks.All(t.Context(), ittybit.TaskListParams{}) {
		last = err
	}
	require.ErrorContains(t, last, "repeats itself")
	assert.Equal(t, 6, rec.Count())
}

func TestAll_aNewItemThatPushesAnotherToTheNextPageIsNoRepetition(t *testing.T) {
	client, _ := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
		if n == 3 {
			return apitest.Response(200, pageOf("task_2"))
		}
		return apitest.Response(200, pageOf("task_1"), "Links", fmt.Sprintf(`<https://api.ittybit.com/tasks?page=%d>; rel="next"`, n+1))
	})
	var ids []string
	for task, err := range client.Tasks.All(t.Context(), ittybit.TaskListParams{Limit: 1}) {
		require.NoError(t, err)
		ids = append(ids, task.ID)
	}
	assert.Equal(t, []string{"task_1", "task_1", "task_2"}, ids)
}

func TestPage_takesNoPositionOverFromThePageBefore(t *testing.T) {
	for name, position := range map[string]string{"page": "2", "after": "task_9", "before": "task_9"} {
		client, seen := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
			switch n {
			case 1:
				return apitest.Response(200, pageOf("a"), "Links", fmt.Sprintf(`<?%s=%s>; rel="next"`, name, position))
			case 2:
				return apitest.Response(200, pageOf("b"), "Links", `<?cursor=xyz>; rel="next"`)
			}
			return apitest.Response(200, pageOf("c"))
		})
		var ids []string
		for task, err := range client.Tasks.All(t.Context(), ittybit.TaskListParams{Kind: ittybit.TaskKindNSFW}) {
			require.NoError(t, err)
			ids = append(ids, task.ID)
		}
		assert.Equal(t, []string{"a", "b", "c"}, ids)
		for i, want := range []url.Values{{"kind": {"nsfw"}}, {"kind": {"nsfw"}, name: {position}}, {"kind": {"nsfw"}, "cursor": {"xyz"}}} {
			got, err := url.ParseQuery(seen.All()[i].Query)
			require.NoError(t, err)
			assert.Equal(t, want, got, "the filter stays, and a page has one position")
		}
	}
}
