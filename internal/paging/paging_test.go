package paging

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNextLink_readsEveryFormOfTheHeader(t *testing.T) {
	for value, want := range map[string]string{
		`<https://x/a?page=2>; rel="next"`:                                 "https://x/a?page=2",
		`</a?page=1>; rel="self", </a?page=2>; rel=next`:                   "/a?page=2",
		`</a?b=1,2;3>; title="a, <b>; rel=prev"; rel="last next"`:          "/a?b=1,2;3",
		`</a>; REL = "NEXT"`:                                               "/a",
		`</a>; title="a \" , b"; rel="prev", </b>; title="\\"; rel="next"`: "/b",
		`</a>; rel="prev"`:                                                 "", `</a>`: "", `</a`: "", `a; rel="next"`: "", "": "",
	} {
		assert.Equal(t, want, NextLink(http.Header{"Links": {value}}), value)
		assert.Equal(t, want, NextLink(http.Header{"Link": {value}}), value)
	}
	assert.Equal(t, "/b", NextLink(http.Header{"Links": {`</a>; rel="prev"`, `</b>; rel="next"`}}), "over several lines")
	assert.Equal(t, "/a", NextLink(http.Header{"Links": {`</a>; rel="next"`}, "Link": {`</b>; rel="next"`}}))
}

func TestNextQuery_keepsTheFiltersAndTakesThePosition(t *testing.T) {
	current := url.Values{"page": {"1"}, "limit": {"5"}, "status": {"failed"}}
	for link, want := range map[string]string{"?page=2": "limit=5&page=2&status=failed", "https://evil.example/x?after=a": "after=a&limit=5&status=failed", "?limit=7&page=2": "limit=7&page=2&status=failed"} {
		next, err := NextQuery(link, current)
		require.NoError(t, err)
		assert.Equal(t, want, next.Encode(), link)
	}
	next, err := NextQuery("", current)
	require.NoError(t, err)
	assert.Nil(t, next)
	for _, link := range []string{"http://[", "?a=%zz"} {
		_, err := NextQuery(link, current)
		require.ErrorContains(t, err, "ittybit: ")
	}
}

func TestLoopDetector_findsCyclesOfEveryLength(t *testing.T) {
	for before := range 5 {
		for length := 1; length < 40; length++ {
			var d LoopDetector
			var err error
			n := 0
			at := func(i int) string {
				if i < before {
					return fmt.Sprint("before", i)
				}
				return fmt.Sprint((i - before) % length)
			}
			for ; err == nil && n < 1000; n++ {
				err = d.Position(at(n), at(n+1))
			}
			require.ErrorIs(t, err, errEarlierPage)
			assert.LessOrEqual(t, n, 3*(before+length)+2, "%d before a cycle of %d", before, length)
		}
	}
	var d LoopDetector
	for i := range 10_000 {
		require.NoError(t, d.Position(fmt.Sprint(i), fmt.Sprint(i+1)))
		require.NoError(t, d.Items(fmt.Sprint(i)))
	}
}

func TestLoopDetector_aPageMayComeAgainAndAgainAndBeEmpty(t *testing.T) {
	var d LoopDetector
	for range maxRepeats {
		require.NoError(t, d.Items("a"))
	}
	require.ErrorIs(t, d.Items("a"), errSameItems)

	d = LoopDetector{}
	for range maxEmptyPages - 1 {
		require.NoError(t, d.Items(""))
	}
	require.NoError(t, d.Items("a"))
	for range maxEmptyPages - 1 {
		require.NoError(t, d.Items(""))
	}
	require.ErrorIs(t, d.Items(""), errEmptyPages)
}
