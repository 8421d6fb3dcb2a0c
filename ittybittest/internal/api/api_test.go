package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest/internal/blobs"
)

func TestParseRange(t *testing.T) {
	for given, want := range map[string]any{
		"":                           blobs.Range{Total: -1},
		"bytes=0-1/8":                blobs.Range{Start: 0, End: 1, Total: 8},
		"bytes 6-7/8":                blobs.Range{Start: 6, End: 7, Total: 8},
		"Bytes=6-7/8":                blobs.Range{Start: 6, End: 7, Total: 8},
		"bytes=7-8/8":                "the end included",
		"bytes=2-1/8":                "the end included",
		"bytes=0-1/*":                "the end included",
		"bytes=0-2/8":                "not the 3 bytes",
		"bytes=0-1/9999999999999999": "the end included",
	} {
		r := httptest.NewRequest(http.MethodPut, "/a", strings.NewReader("ab"))
		if given != "" {
			r.Header.Set("Content-Range", given)
		}
		span, err := parseRange(r)
		if words, refused := want.(string); refused {
			require.ErrorContains(t, err, words, given)
		} else {
			require.NoError(t, err)
			assert.Equal(t, want, span)
		}
	}
}

func TestCheckSigned(t *testing.T) {
	address := func(path, method, expiry, signature string) *url.URL {
		u, err := url.Parse("https://you.ittybit.test/" + path + "?expiry=" + expiry + "&method=" + method + "&signature=" + signature)
		require.NoError(t, err)
		return u
	}
	const soon, past = "4102444800", "1700000000"
	valid := sign("key", "a/b c.mp4?expiry="+soon+"&method=get")
	require.NoError(t, CheckSigned("key", address("a/b%20c.mp4", "get", soon, valid), "get"))
	escaped := sign("key", "a/b%20c.mp4?expiry="+soon+"&method=get")
	require.NoError(t, CheckSigned("key", address("a/b%20c.mp4", "get", soon, escaped), "get"))
	require.ErrorContains(t, CheckSigned("other", address("a/b%20c.mp4", "get", soon, valid), "get"), "not valid")
	require.ErrorContains(t, CheckSigned("key", address("a/other.mp4", "get", soon, valid), "get"), "not valid")
	require.ErrorContains(t, CheckSigned("key", address("a/b%20c.mp4", "get", soon, valid), "put"), "another method")
	old := sign("key", "a?expiry="+past+"&method=get")
	require.ErrorContains(t, CheckSigned("key", address("a", "get", past, old), "get"), "expired")
}

func TestPositive(t *testing.T) {
	for query, want := range map[string]int64{"": 7, "n=3": 3, "n=0": 0, "n=11": 0, "n=x": 0, "n=": 0} {
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		n := int64(7)
		if err = Positive(values, "n", &n, 10); want == 0 {
			require.ErrorContains(t, err, "from 1 to 10", query)
		} else {
			require.NoError(t, err)
			assert.Equal(t, want, n)
		}
	}
}
