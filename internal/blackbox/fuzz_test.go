package blackbox

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// FuzzNextLink: a page leads to the next one of the same list at the same address, whatever a
// server writes into its header; and a link that is written as RFC 8288 has it is found among
// others, whatever its title says.
func FuzzNextLink(f *testing.F) {
	for _, seed := range [][3]string{
		{`<https://api.ittybit.com/tasks?page=3>; rel="next", <https://api.ittybit.com/tasks?page=9>; rel="last"`, "/tasks?page=2", "a title"},
		{`<https://evil.example/tasks?page=2>; rel=next`, "//evil.example/?page=2&kind=x", `a, <b>; rel="next"`},
		{`</tasks?page=2>; title="say \", </x>; rel=next"; rel="prev"`, "?after=task_9", `\`},
		{`<>; rel="next"`, "", `"`}, {`<?page=%zz>; rel="next"`, "?page=%zz", ";"}, {`<?a;b>;rel=next`, "?limit=1&limit=2", "<"},
		{`<?page=2`, "?kind=&limit=", "ü"}, {"", "https://user:pass@x.example:1/?q#f", ""}, {`<?p=1>; rel="NEXT last"`, "http://[::1]%zone/", ">"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, header, target, title string) {
		followLink(t, header, nil)
		if strings.ContainsAny(target, "<>") || strings.TrimSpace(target) != target {
			return // what can't stand in a link
		}
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(title)
		followLink(t, `</tasks?page=7>; title="`+quoted+`"; rel="prev", <`+target+`>; title="`+quoted+`"; rel="next", </tasks?page=8>; rel="last"`, &target)
	})
}

// followLink lists tasks with a Links header, and looks at the request for the next page, which is
// what target says, where that is known.
func followLink(t *testing.T, header string, target *string) {
	t.Helper()
	var requests []*http.Request
	client, err := ittybit.NewClient(apitest.Key, ittybit.WithHTTPClient(&http.Client{Transport: apitest.RoundTripper(func(req *http.Request) (*http.Response, error) {
		requests = append(requests, req)
		return apitest.Response(200, `[]`, "Links", header)
	})}), ittybit.WithBaseURL("https://api.example/v1"))
	require.NoError(t, err)
	first := url.Values{"kind": {"nsfw"}, "limit": {"5"}, "page": {"1"}}
	page, err := client.Tasks.List(t.Context(), ittybit.TaskListParams{Kind: ittybit.TaskKindNSFW, Limit: 5, Page: 1})
	require.Len(t, requests, 1)

	var want url.Values
	if target != nil {
		link, badURL := url.Parse(*target)
		if badURL == nil {
			want, badURL = url.ParseQuery(link.RawQuery)
		}
		if *target != "" && badURL != nil {
			require.ErrorContains(t, err, "link to the next page", "%q", header)
			return
		}
	}
	if err != nil {
		require.Nil(t, page)
		require.Nil(t, target, "%q: %v", header, err)
		return
	}
	if target != nil {
		require.Equal(t, *target != "", page.HasNext(), "%q", header)
	}
	if !page.HasNext() {
		_, err = page.Next(t.Context())
		require.ErrorIs(t, err, ittybit.ErrNoMorePages)
		require.Len(t, requests, 1)
		return
	}
	_, _ = page.Next(t.Context()) // it has the same header
	require.Len(t, requests, 2)
	next := requests[1]
	require.Equal(t, "https://api.example/v1/tasks", next.URL.Scheme+"://"+next.URL.Host+next.URL.Path, "the key goes nowhere else")
	require.Equal(t, requests[0].Header, next.Header)
	got := next.URL.Query()
	for name, values := range got {
		require.NotEmpty(t, values, name)
	}
	for _, name := range []string{"kind", "limit"} {
		require.True(t, got.Has(name), "the filters and the limit stay")
	}
	if target != nil {
		for name := range first {
			if !want.Has(name) && name != "page" {
				want[name] = first[name]
			}
		}
		require.Equal(t, want, got, "%q", header)
	}
}
