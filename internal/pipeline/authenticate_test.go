package pipeline

import (
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAuthenticate_aRedirectTakesTheKeyToItsOwnSchemeAndHostOnly(t *testing.T) {
	for target, want := range map[string]string{
		"https://api.example/tasks":              "Bearer " + testKey,
		"https://api.example/other/path":         "Bearer " + testKey,
		"/v1/elsewhere":                          "Bearer " + testKey,
		"http://api.example/tasks":               "", // in the clear
		"https://api.example:8443/tasks":         "",
		"https://evil.example/tasks":             "",
		"https://sub.api.example/tasks":          "", // where net/http by itself takes it
		"https://api.example.evil.example/":      "",
		"https://api.example@evil.example/tasks": "",
	} {
		r := get
		r.Header = http.Header{"X-Mine": {"1"}}
		s, _, err := do(t.Context(), t, r, nil, response(302, "", "Location", target), response(200, "{}"))
		require.NoError(t, err, target)
		require.Equal(t, 2, s.attempts(), target)
		assert.Equal(t, "Bearer "+testKey, s.requests[0].Header.Get("Authorization"))
		got := s.requests[1].Header.Get("Authorization")
		assert.Equal(t, want != "", got == want && got != "", target)
		assert.Equal(t, want != "", strings.Contains(got, testKey), target)
		assert.Equal(t, want != "", s.requests[1].Header.Get("X-Mine") != "", target)
		assert.Equal(t, "2025-08-20", s.requests[1].Header.Get("Accept-Version"), target)
	}
}

func TestAuthenticate_aCallersPolicyAndJarDoNotChangeIt(t *testing.T) {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	asked := 0
	s, _, err := do(t.Context(), t, get, func(cfg *Config) {
		cfg.HTTPClient.Jar = jar
		cfg.HTTPClient.CheckRedirect = func(req *http.Request, via []*http.Request) error {
			asked++
			assert.Empty(t, req.Header.Get("Authorization"), "nobody else gets to see it")
			assert.Empty(t, via[0].Header.Get("Authorization"), "nobody else gets to see it")
			return nil
		}
	}, response(302, "", "Location", "https://evil.example/", "Set-Cookie", "a=b"), response(200, "{}"))
	require.NoError(t, err)
	require.Equal(t, 2, s.attempts())
	assert.Equal(t, 1, asked)
	assert.Empty(t, s.requests[1].Header.Get("Authorization"))
}

func TestAuthenticate_anonymousCallsHaveNoKey(t *testing.T) {
	r := get
	r.Anonymous = true
	s, _, err := do(t.Context(), t, r, nil, response(200, "{}"))
	require.NoError(t, err)
	assert.NotContains(t, s.requests[0].Header, "Authorization")
}

func TestTransport_oneThatChangesItsRequestInPlaceChangesThatTryOnly(t *testing.T) {
	var seen []string
	meddling := func(status int, header ...string) roundTrip {
		return func(req *http.Request) (*http.Response, error) {
			seen = append(seen, req.URL.String()+" "+req.Header.Get("Accept")+" "+req.Header.Get("Authorization"))
			resp, err := response(status, "{}", header...)(req)
			req.URL.Path, req.URL.Host = "/proxy"+req.URL.Path, "gateway.example"
			req.Header["Accept"][0] += ";q=1"
			req.Header.Set("Accept-Version", "0")
			return resp, err
		}
	}
	synctest.Test(t, func(t *testing.T) {
		steps := []roundTrip{meddling(503), meddling(503), meddling(302, "Location", "https://gateway.example/files"), meddling(200)}
		s, _, err := do(t.Context(), t, get, nil, steps...)
		require.NoError(t, err)
		require.Equal(t, 4, s.attempts())
	})
	first := "https://api.example/v1/tasks/task_1 application/json Bearer " + testKey
	assert.Equal(t, []string{first, first, first, "https://gateway.example/files application/json "}, seen)
}
