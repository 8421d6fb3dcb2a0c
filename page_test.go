package ittybit_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// apiPage is a list of tasks with the given ids.
func apiPage(ids ...string) string {
	items := make([]string, len(ids))
	for i, id := range ids {
		items[i] = fmt.Sprintf(`{"id":%q}`, id)
	}
	return "[" + strings.Join(items, ",") + "]"
}

func TestList_sendsItsParametersAsAQuery(t *testing.T) {
	server, seen := apiServer(t, apiAnswer(200, `[]`))
	client := clientFor(t, server.URL)
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
		requests := seen.all()
		assert.Equal(t, want, requests[len(requests)-1].Query)
	}
}

func TestList_refusesLimitsAndPagesOutOfRange(t *testing.T) {
	client, seen := apiFake(t, apiAlways(200, `[]`))
	for _, limit := range []int{-1, 101} {
		_, err := client.Tasks.List(t.Context(), ittybit.TaskListParams{Limit: limit})
		clientParamError(t, err, "Limit")
		_, err = client.Automations.List(t.Context(), ittybit.AutomationListParams{Limit: limit})
		clientParamError(t, err, "Limit")
		_, err = client.Media.List(t.Context(), ittybit.MediaListParams{Limit: limit})
		clientParamError(t, err, "Limit")
	}
	_, err := client.Tasks.List(t.Context(), ittybit.TaskListParams{Page: -1})
	clientParamError(t, err, "Page")
	for task, err := range client.Tasks.All(t.Context(), ittybit.TaskListParams{Limit: 101}) {
		assert.Nil(t, task)
		clientParamError(t, err, "Limit")
	}
	assert.Zero(t, seen.count())
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
		client, seen := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return apiResponse(200, apiPage("a"), c.header...)
			}
			return apiResponse(200, apiPage("b"))
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
		assert.Equal(t, c.want, seen.all()[1].Query, name)
		assert.Equal(t, "/tasks", seen.all()[1].Path, name)
		assert.False(t, next.HasNext(), name)
		_, err = next.Next(t.Context())
		require.ErrorIs(t, err, ittybit.ErrNoMorePages, name)
	}
}

func TestPage_linkThatCannotBeReadIsAnError(t *testing.T) {
	for _, link := range []string{"https://a b/%zz", "/tasks?page=%zz", "/tasks?a;b"} {
		client, _ := apiFake(t, apiAlways(200, apiPage("a"), "Links", "<"+link+`>; rel="next"`))
		_, err := client.Tasks.List(t.Context(), ittybit.TaskListParams{})
		require.ErrorContains(t, err, "ittybit: the ", link)
		require.ErrorContains(t, err, "link to the next page can't be parsed", link)
	}
}

func TestPage_nextLinkToAnotherHostNeverGetsTheKey(t *testing.T) {
	other, atOther := apiServer(t, apiAnswer(200, apiPage("stolen")))
	server, seen := apiServer(t, apiAnswer(200, apiPage("a"), "Links", "<"+other.URL+`/tasks?page=2>; rel="next"`), apiAnswer(200, apiPage("b")))
	page, err := clientFor(t, server.URL).Tasks.List(t.Context(), ittybit.TaskListParams{})
	require.NoError(t, err)
	page, err = page.Next(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "b", page.Items[0].ID, "the next page is of the same list at the same address")
	assert.Equal(t, "page=2", seen.all()[1].Query)
	assert.Zero(t, atOther.count())
}

func TestPage_nextKeepsTheCallsOptions(t *testing.T) {
	server, seen := apiServer(t, apiAnswer(200, apiPage("a"), "Links", `<?page=2>; rel="next"`), apiAnswer(200, apiPage("b")))
	page, err := clientFor(t, server.URL).Tasks.List(t.Context(), ittybit.TaskListParams{}, ittybit.WithRequestHeader("X-Mine", "1"))
	require.NoError(t, err)
	_, err = page.Next(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "1", seen.all()[1].Header.Get("X-Mine"))
	_, err = page.Next(clientNoContext)
	clientParamError(t, err, "ctx")
}

func TestPage_zeroPageIsTheLastOne(t *testing.T) {
	var page ittybit.Page[ittybit.Task]
	assert.False(t, page.HasNext())
	_, err := page.Next(t.Context())
	assert.ErrorIs(t, err, ittybit.ErrNoMorePages)
}

// clientCollect gives the ids that an iteration yields, and its errors.
func clientCollect(t *testing.T, client *ittybit.Client) (ids []string, errs []error) {
	t.Helper()
	for task, err := range client.Tasks.All(t.Context(), ittybit.TaskListParams{}) {
		if err != nil {
			assert.Nil(t, task)
			errs = append(errs, err)
			continue
		}
		ids = append(ids, task.ID)
	}
	return ids, errs
}

func TestAll_walksOverEveryPage(t *testing.T) {
	server, seen := apiServer(t,
		apiAnswer(200, `[]`, "Links", `<?page=2>; rel="next"`), // an empty page is not the end
		apiAnswer(200, apiPage("a", "b"), "Links", `<?page=3>; rel="next"`),
		apiAnswer(200, apiPage("c")))
	ids, errs := clientCollect(t, clientFor(t, server.URL))
	assert.Empty(t, errs)
	assert.Equal(t, []string{"a", "b", "c"}, ids)
	assert.Equal(t, 3, seen.count())
}

func TestAll_canBeIteratedTwice(t *testing.T) {
	server, _ := apiServer(t, apiAnswer(200, apiPage("a")))
	all := clientFor(t, server.URL).Tasks.All(t.Context(), ittybit.TaskListParams{})
	for range 2 {
		n := 0
		for _, err := range all {
			require.NoError(t, err)
			n++
		}
		assert.Equal(t, 1, n)
	}
}

func TestAll_emptyListYieldsNothing(t *testing.T) {
	client, _ := apiFake(t, apiAlways(200, `[]`))
	ids, errs := clientCollect(t, client)
	assert.Empty(t, ids)
	assert.Empty(t, errs)
}

func TestAll_failureInTheMiddleComesAfterTheItemsSoFar(t *testing.T) {
	server, seen := apiServer(t, apiAnswer(200, apiPage("a", "b"), "Links", `<?page=2>; rel="next"`), apiAnswer(401, `{"message":"no"}`))
	ids, errs := clientCollect(t, clientFor(t, server.URL))
	assert.Equal(t, []string{"a", "b"}, ids)
	require.Len(t, errs, 1)
	require.ErrorIs(t, errs[0], ittybit.ErrUnauthorized)
	assert.Equal(t, 2, seen.count())
}

func TestAll_repeatingPagesAreAnErrorNotALoop(t *testing.T) {
	for name, next := range map[string][]string{
		"itself":     {"?page=1", "?page=1"},
		"an earlier": {"?page=2", "?page=1", "?page=2"},
		"the first":  {"/tasks", "/tasks"},
	} {
		client, seen := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
			return apiResponse(200, apiPage(fmt.Sprint(n)), "Links", "<"+next[min(n, len(next))-1]+`>; rel="next"`)
		})
		ids, errs := clientCollect(t, client)
		require.Len(t, errs, 1, name)
		require.ErrorContains(t, errs[0], "repeats itself", name)
		assert.Len(t, ids, seen.count(), name)
		assert.LessOrEqual(t, seen.count(), 3, name)
	}
}

func TestAll_earlyBreakStopsAsking(t *testing.T) {
	client, seen := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
		return apiResponse(200, apiPage("a", "b"), "Links", fmt.Sprintf(`<?page=%d>; rel="next"`, n+1))
	})
	for _, err := range client.Tasks.All(t.Context(), ittybit.TaskListParams{}) {
		require.NoError(t, err)
		break
	}
	assert.Equal(t, 1, seen.count())
	n := 0
	for _, err := range client.Tasks.All(t.Context(), ittybit.TaskListParams{}) {
		require.NoError(t, err)
		if n++; n == 3 {
			break
		}
	}
	assert.Equal(t, 3, seen.count(), "two more pages")
}

func TestList_readsEnvelopes(t *testing.T) {
	server, seen := apiServer(t,
		apiAnswer(200, `{"meta":{"type":"list","total":2},"data":[{"id":"a"}],"error":null,"links":{"self":"?page=1","next":"https://api.ittybit.com/tasks?page=2"}}`),
		apiAnswer(200, `{"meta":{"type":"list"},"links":{"next":null},"data":[{"id":"b"}]}`))
	ids, errs := clientCollect(t, clientFor(t, server.URL))
	assert.Empty(t, errs)
	assert.Equal(t, []string{"a", "b"}, ids)
	assert.Equal(t, "page=2", seen.all()[1].Query)

	client, _ := apiFake(t, apiAlways(200, `{"links":["odd"],"data":[{"id":"a"}]}`))
	ids, errs = clientCollect(t, client)
	assert.Empty(t, errs, "odd links do not spoil the data")
	assert.Equal(t, []string{"a"}, ids)
}

func TestList_whatIsNoListIsAnError(t *testing.T) {
	for body, want := range map[string]string{
		``: "not a list", `null`: "not a list", `{}`: "not a list", `{"data":null}`: "not a list", `{"data":{}}`: "not a list", `"x"`: "not a list", `<html>`: "not a list",
		`[{"id":"a"},{}]`: "item 1: it has no id", `[null]`: "item 0: it has no id", `["x"]`: "item 0", `[{"id":1}]`: "item 0",
	} {
		client, _ := apiFake(t, apiAlways(200, body))
		page, err := client.Tasks.List(t.Context(), ittybit.TaskListParams{})
		require.ErrorContains(t, err, want, body)
		assert.Nil(t, page, body)
	}
}

func TestAll_keepsTheLimitAndTheFiltersThatALinkLeavesOut(t *testing.T) {
	client, seen := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
		if n == 1 {
			return apiResponse(200, `[{"id":"task_1"}]`, "Links", `<https://api.ittybit.com/tasks?page=2>; rel="next"`)
		}
		return apiResponse(200, `[]`)
	})
	for _, err := range client.Tasks.All(t.Context(), ittybit.TaskListParams{Page: 1, Limit: 100, Status: ittybit.TaskStatusFailed}) {
		require.NoError(t, err)
	}
	requests := seen.all()
	require.Len(t, requests, 2)
	assert.Equal(t, "limit=100&page=2&status=failed", requests[1].Query)
}

func TestAll_yieldsAnItemWithAnOddMemberTogetherWithTheErrorAndGoesOn(t *testing.T) {
	client, _ := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
		if n == 1 {
			return apiResponse(200, `[{"id":"task_1"},{"id":"task_2","created":"yesterday"}]`, "Links", `</tasks?page=2>; rel="next"`)
		}
		return apiResponse(200, `[{"id":"task_3"}]`)
	})
	var ids []string
	var odd []error
	for task, err := range client.Tasks.All(t.Context(), ittybit.TaskListParams{}) {
		require.NotNil(t, task)
		ids = append(ids, task.ID)
		if err != nil {
			odd = append(odd, err)
		}
	}
	assert.Equal(t, []string{"task_1", "task_2", "task_3"}, ids)
	require.Len(t, odd, 1)
	assert.ErrorContains(t, odd[0], `item 1, task_2: member "created"`)
}

func TestList_givesAPageWithAnOddItemTogetherWithTheError(t *testing.T) {
	client, seen := apiFake(t, apiAlways(200, `[{"id":"task_1","progress":"half"},{"id":"task_2"}]`))
	page, err := client.Tasks.List(t.Context(), ittybit.TaskListParams{})
	require.ErrorContains(t, err, `item 0: member "progress"`)
	require.NotNil(t, page)
	assert.Equal(t, "task_2", page.Items[1].ID)
	assert.Len(t, seen.all(), 1, "asking again would change nothing")
}

func TestAll_sendsOnlyOnePositionInTheList(t *testing.T) {
	client, seen := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
		if n == 1 {
			return apiResponse(200, `[{"id":"task_1"}]`, "Link", `</tasks?after=task_1>; rel="next"`)
		}
		return apiResponse(200, `[]`)
	})
	for _, err := range client.Tasks.All(t.Context(), ittybit.TaskListParams{Page: 2, Limit: 5}) {
		require.NoError(t, err)
	}
	assert.Equal(t, "after=task_1&limit=5", seen.all()[1].Query)
}
