package pipeline

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAuthenticate_addsTheKeyForItsOwnSchemeAndHostOnly(t *testing.T) {
	for target, want := range map[string]string{
		"https://api.example/tasks":              "Bearer " + testKey,
		"https://api.example/other/path":         "Bearer " + testKey,
		"http://api.example/tasks":               "", // in the clear
		"https://api.example:8443/tasks":         "",
		"https://evil.example/tasks":             "",
		"https://api.example.evil.example/":      "",
		"https://api.example@evil.example/tasks": "",
	} {
		s := &script{steps: []roundTrip{answer(200, "")}}
		base := &url.URL{Scheme: "https", Host: "api.example"}
		req := httptest.NewRequest(http.MethodGet, target, http.NoBody)
		_, err := (&authenticate{next: roundTrip(func(req *http.Request) (*http.Response, error) {
			s.requests = append(s.requests, req)
			return &http.Response{Body: http.NoBody}, nil
		}), base: base, key: func() string { return testKey }}).RoundTrip(req)
		require.NoError(t, err)
		assert.Equal(t, want, s.requests[0].Header.Get("Authorization"), target)
		assert.Empty(t, req.Header.Get("Authorization"), "a RoundTripper must not change its request")
	}
}
