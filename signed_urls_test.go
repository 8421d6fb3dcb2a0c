package ittybit_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

const (
	signedSecret   = "S1gnatur3-_x"
	signedResponse = `{"domain":"you.ittybit.net","filename":"beach.mp4","folder":"holidays/2025","expiry":4102444800,"method":"put","signature":"` + signedSecret + `",
		"url":"https://you.ittybit.net/holidays/2025/beach.mp4?expiry=4102444800&method=put&signature=` + signedSecret + `","of_tomorrow":1}`
)

var signed2100 = time.Unix(4102444800, 0)

func TestSignedURLsCreate_sendsWhatIsSet(t *testing.T) {
	server, seen := apiServer(t, apiRespond(201, signedResponse))
	client := clientFor(t, server.URL)
	for want, params := range map[string]ittybit.SignedURLCreateParams{
		`{"filename":"beach.mp4"}`:                                       {Filename: "beach.mp4"},
		`{"filename":"beach.mp4","method":"get"}`:                        {Filename: "beach.mp4", Method: http.MethodGet},
		`{"filename":"beach.mp4","expiry":4102444800}`:                   {Filename: "beach.mp4", Expiry: signed2100.Add(999 * time.Millisecond).In(time.FixedZone("", 3600))},
		`{"filename":"a & b.mp4","folder":"f","method":"put"}`:           {Filename: "a & b.mp4", Folder: "f", Method: ittybit.SignedURLMethodPut},
		`{"filename":"beach.mp4","metadata":{"n":1.50,"title":"Beach"}}`: {Filename: "beach.mp4", Metadata: map[string]any{"title": "Beach", "n": json.Number("1.50")}},
		`{"filename":"beach.mp4","folder":"holidays/2025","expiry":4102444800,"method":"put","resumable":true,"metadata":{"title":"Beach"}}`: {
			Filename: "beach.mp4", Folder: "holidays/2025", Expiry: signed2100, Method: "PUT", Resumable: true, Metadata: map[string]any{"title": "Beach"},
		},
	} {
		_, err := client.SignedURLs.Create(t.Context(), params)
		require.NoError(t, err)
		requests := seen.all()
		req := requests[len(requests)-1]
		assert.Equal(t, []string{http.MethodPost, "/signatures", "", want}, []string{req.Method, req.Path, req.Query, req.Body})
		assert.Equal(t, []string{"2025-08-20"}, req.Header["Accept-Version"])
		assert.Equal(t, []string{"Bearer " + clientKey}, req.Header["Authorization"])
	}
}

func TestSignedURLsCreate_readsTheDocumentedResponse(t *testing.T) {
	for _, body := range []string{
		signedResponse,
		`{"meta":{},"data":` + signedResponse + `,"error":null}`,
		strings.Replace(signedResponse, `"expiry":4102444800`, `"expiry":"4102444800"`, 1),
		strings.Replace(signedResponse, `"expiry":4102444800`, `"expiry":"2100-01-01T00:00:00Z"`, 1),
	} {
		client, _ := apiFake(t, apiAlways(201, body))
		signed, err := client.SignedURLs.Create(t.Context(), ittybit.SignedURLCreateParams{Filename: "beach.mp4"})
		require.NoError(t, err, body)
		assert.Equal(t, []any{
			"https://you.ittybit.net/holidays/2025/beach.mp4?expiry=4102444800&method=put&signature=" + signedSecret,
			"you.ittybit.net", "holidays/2025", "beach.mp4", ittybit.SignedURLMethodPut, signedSecret, int64(4102444800),
		}, []any{signed.URL, signed.Domain, signed.Folder, signed.Filename, signed.Method, signed.Signature, signed.Expiry.Unix()})
		assert.Contains(t, string(signed.RawJSON()), "of_tomorrow")
	}
}

func TestSignedURLsCreate_aResponseWithoutAURLIsAnError(t *testing.T) {
	for _, body := range []string{`{}`, `{"signature":"` + signedSecret + `"}`, `{"url":""}`, `{"url":null}`, `{"data":{"filename":"a"}}`, `[]`, ``} {
		client, _ := apiFake(t, apiAlways(200, body), clientQuick)
		signed, err := client.SignedURLs.Create(t.Context(), ittybit.SignedURLCreateParams{Filename: "beach.mp4"})
		require.Error(t, err, body)
		require.NotErrorIs(t, err, ittybit.ErrOutcomeUnknown, "nothing is created")
		assert.NotContains(t, err.Error(), signedSecret)
		assert.Nil(t, signed)
	}
}

func TestSignedURLsCreate_anExpiryThatCannotBeDecodedComesWithTheURL(t *testing.T) {
	client, _ := apiFake(t, apiAlways(200, `{"url":"https://you.ittybit.net/a","expiry":"someday"}`))
	signed, err := client.SignedURLs.Create(t.Context(), ittybit.SignedURLCreateParams{Filename: "a"})
	require.NoError(t, err)
	require.ErrorContains(t, signed.DecodeError(), `field "expiry"`)
	assert.Equal(t, "https://you.ittybit.net/a", signed.URL)
}

func TestSignedURLs_refuseAnExpiryThatCanOnlyBeMilliseconds(t *testing.T) {
	client, seen := apiFake(t, apiAlways(201, signedResponse))
	for _, expiry := range []time.Time{time.Unix(time.Now().UnixMilli(), 0), time.Unix(100_000_000_000, 0), time.Unix(1<<61, 0)} {
		_, err := client.SignedURLs.Create(t.Context(), ittybit.SignedURLCreateParams{Filename: "a", Expiry: expiry})
		clientParamError(t, err, "Expiry")
		require.ErrorContains(t, err, "milliseconds")
		_, err = ittybit.SignURL("ittybit_test_key", ittybit.SignURLParams{Domain: "you.ittybit.net", Path: "a.mp4", Expiry: expiry, Method: "get"})
		clientParamError(t, err, "Expiry")
	}
	assert.Zero(t, seen.count())
	_, err := ittybit.SignURL("ittybit_test_key", ittybit.SignURLParams{Domain: "you.ittybit.net", Path: "a.mp4", Expiry: time.Unix(99_999_999_999, 0), Method: "get"})
	require.NoError(t, err)
}

func TestSignedURLsCreate_isTriedAgain(t *testing.T) {
	server, seen := apiServer(t, apiRespond(503, `{"message":"busy"}`), apiRespond(201, signedResponse))
	signed, err := clientFor(t, server.URL).SignedURLs.Create(t.Context(), ittybit.SignedURLCreateParams{Filename: "beach.mp4"})
	require.NoError(t, err)
	assert.Equal(t, signedSecret, signed.Signature)
	requests := seen.all()
	require.Len(t, requests, 2)
	assert.Equal(t, requests[0].Body, requests[1].Body)
	assert.Equal(t, requests[0].Header["Idempotency-Key"], requests[1].Header["Idempotency-Key"])
}

func TestSignedURLsCreate_refusesWhatCanNotBeSigned(t *testing.T) {
	client, seen := apiFake(t, apiAlways(201, signedResponse))
	for want, params := range map[string]ittybit.SignedURLCreateParams{
		"Filename": {Folder: "f", Expiry: signed2100},
		"Expiry":   {Filename: "a", Expiry: time.Now().Add(-time.Second)},
	} {
		signed, err := client.SignedURLs.Create(t.Context(), params)
		clientParamError(t, err, want)
		assert.Nil(t, signed)
	}
	assert.Zero(t, seen.count())
}

// Whole seconds are what is signed: a URL that is good for less is good for nothing.
func TestSignedURLs_expiryAtItsBorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(500 * time.Millisecond) // the clock of a bubble begins at a whole second
		now := time.Now()
		client, seen := apiFake(t, apiAlways(201, signedResponse))
		for _, expiry := range []time.Time{now, now.Add(-time.Hour), now.Add(499 * time.Millisecond), now.Truncate(time.Second), time.Unix(0, 0)} {
			_, err := client.SignedURLs.Create(t.Context(), ittybit.SignedURLCreateParams{Filename: "a", Expiry: expiry})
			clientParamError(t, err, "Expiry")
			_, err = ittybit.SignURL("ittybit_test_key", ittybit.SignURLParams{Domain: "you.ittybit.net", Path: "a.mp4", Expiry: expiry, Method: "get"})
			clientParamError(t, err, "Expiry")
		}
		assert.Zero(t, seen.count())
		for _, after := range []time.Duration{500 * time.Millisecond, time.Second, 100 * 365 * 24 * time.Hour} {
			_, err := client.SignedURLs.Create(t.Context(), ittybit.SignedURLCreateParams{Filename: "a", Expiry: now.Add(after)})
			assert.NoError(t, err, after)
			_, err = ittybit.SignURL("ittybit_test_key", ittybit.SignURLParams{Domain: "you.ittybit.net", Path: "a.mp4", Expiry: now.Add(after), Method: "get"})
			assert.NoError(t, err, after)
		}
	})
}

func TestSignedURL_isNeverPrintedWithItsSignature(t *testing.T) {
	var decoded ittybit.SignedURL
	require.NoError(t, json.Unmarshal([]byte(signedResponse), &decoded))
	for name, signed := range map[string]ittybit.SignedURL{
		"decoded":      decoded,
		"by itself":    {URL: decoded.URL},
		"bare in path": {URL: "https://you.ittybit.net/" + signedSecret + "/a", Signature: signedSecret},
	} {
		var out strings.Builder
		values := []any{signed, &signed, []ittybit.SignedURL{signed}, struct{ U ittybit.SignedURL }{signed}}
		for _, verb := range []string{"%v", "%+v", "%#v", "%d", "%s", "%q", "%x"} {
			for _, value := range values {
				text := fmt.Sprintf(verb, value)
				assert.NotContains(t, text, signedSecret, name+" "+verb)
				assert.NotContains(t, text, fmt.Sprintf("%x", signedSecret), name+" "+verb)
				assert.Contains(t, text, "signed URL https://you.ittybit.net/", name+" "+verb)
			}
		}
		for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			out.Reset()
			slog.New(handler).Info("signed", "value", signed, "pointer", &signed, slog.Group("g", "value", signed))
			assert.NotContains(t, out.String(), signedSecret, name)
			assert.Equal(t, 3, strings.Count(out.String(), "signed URL https://you.ittybit.net/"), out.String())
		}
	}
	written, err := json.Marshal(decoded)
	require.NoError(t, err)
	assert.Contains(t, string(written), `"signature":"`+signedSecret+`"`)
	var again ittybit.SignedURL
	require.NoError(t, json.Unmarshal(written, &again))
	assert.Equal(t, decoded.URL, again.URL)
	assert.True(t, decoded.Expiry.Equal(again.Expiry))
}

// The signatures were made with OpenSSL, here for put:
//
//	printf '%s' 'holidays/2025/beach.mp4?expiry=4102444800&method=put' |
//	  openssl dgst -sha256 -hmac ittybit_test_key -binary |
//	  openssl base64 -A | tr '+/' '-_' | tr -d '='
func TestSignURL_signsAsOpenSSLDoes(t *testing.T) {
	const path = "holidays/2025/beach.mp4"
	for _, tt := range []struct {
		domain, origin, host string
		given, method        ittybit.SignedURLMethod
		signature            string
	}{
		{"you.ittybit.net", "https://you.ittybit.net", "you.ittybit.net", ittybit.SignedURLMethodPut, "put", "HTCUGxsB791s5a1OBNhY9wQU1YeG8C9_3hPVTUuhe1o"},
		{"you.ittybit.net", "https://you.ittybit.net", "you.ittybit.net", http.MethodPut, "put", "HTCUGxsB791s5a1OBNhY9wQU1YeG8C9_3hPVTUuhe1o"},
		{"https://you.ittybit.net/", "https://you.ittybit.net", "you.ittybit.net", ittybit.SignedURLMethodGet, "get", "b7ilhhvSvaxk0MrqJgMM3-S3OXa7HCLyckTuaqf6_r8"},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080", "127.0.0.1:8080", ittybit.SignedURLMethodGet, "get", "b7ilhhvSvaxk0MrqJgMM3-S3OXa7HCLyckTuaqf6_r8"},
	} {
		signed, err := ittybit.SignURL("ittybit_test_key", ittybit.SignURLParams{Domain: tt.domain, Path: path, Expiry: signed2100.Add(999 * time.Millisecond), Method: tt.given})
		require.NoError(t, err, tt.domain)
		assert.Equal(t, tt.origin+"/"+path+"?expiry=4102444800&method="+string(tt.method)+"&signature="+tt.signature, signed.URL)
		assert.Equal(t, []any{tt.host, "holidays/2025", "beach.mp4", tt.method, tt.signature},
			[]any{signed.Domain, signed.Folder, signed.Filename, signed.Method, signed.Signature})
		assert.True(t, signed2100.Equal(signed.Expiry), "whole seconds")
		assert.NotContains(t, fmt.Sprintf("%+v", signed), tt.signature)
		assert.Nil(t, signed.RawJSON())
	}
}

func TestSignURL_aFileInNoFolder(t *testing.T) {
	signed, err := ittybit.SignURL("ittybit_test_key", ittybit.SignURLParams{Domain: "you.ittybit.net", Path: "a-._~!$'()*,:@+9.mp4", Expiry: signed2100, Method: "get"})
	require.NoError(t, err)
	assert.Equal(t, []string{"", "a-._~!$'()*,:@+9.mp4"}, []string{signed.Folder, signed.Filename})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, signed.URL, http.NoBody)
	require.NoError(t, err)
	assert.Equal(t, "/a-._~!$'()*,:@+9.mp4", req.URL.EscapedPath(), "what is signed is what is sent")
}

func TestSignURL_refusesWhatCanNotBeSigned(t *testing.T) {
	_, err := ittybit.SignURL("", ittybit.SignURLParams{Domain: "you.ittybit.net", Path: "a.mp4", Expiry: signed2100, Method: "get"})
	require.ErrorIs(t, err, ittybit.ErrMissingAPIKey)

	const domain, path = "you.ittybit.net", "f/a.mp4"
	type args struct {
		domain, path string
		expiry       time.Time
		method       ittybit.SignedURLMethod
	}
	for want, table := range map[string][]args{
		"Domain": {
			{"", path, signed2100, "get"},
			{"you.ittybit.net/folder", path, signed2100, "get"},
			{"you.ittybit.net?a=1", path, signed2100, "get"},
			{"you.ittybit.net?", path, signed2100, "get"},
			{"you.ittybit.net#a", path, signed2100, "get"},
			{"user:pass@you.ittybit.net", path, signed2100, "get"},
			{"http://you.ittybit.net", path, signed2100, "get"},
			{"ftp://you.ittybit.net", path, signed2100, "get"},
			{"https://", path, signed2100, "get"},
			{"you ittybit.net", path, signed2100, "get"},
			{"you.ittybit.net:port", path, signed2100, "get"},
		},
		"Path": {
			{domain, "", signed2100, "get"},
			{domain, "/f/a.mp4", signed2100, "get"},
			{domain, "f/a.mp4/", signed2100, "get"},
			{domain, "f//a.mp4", signed2100, "get"},
			{domain, "../a.mp4", signed2100, "get"},
			{domain, "f/../a.mp4", signed2100, "get"},
			{domain, "f/./a.mp4", signed2100, "get"},
			{domain, "f/a b.mp4", signed2100, "get"},
			{domain, "f/a%20b.mp4", signed2100, "get"},
			{domain, "f/a.mp4?b", signed2100, "get"},
			{domain, "f/a.mp4#b", signed2100, "get"},
			{domain, "f/a&b", signed2100, "get"},
			{domain, "f\\a.mp4", signed2100, "get"},
			{domain, "f/\u00e9.mp4", signed2100, "get"},
			{domain, "f/a\n.mp4", signed2100, "get"},
		},
		"Expiry": {
			{domain, path, time.Now().Add(-time.Second), "get"},
			{domain, path, time.Time{}, "get"},
		},
		"Method": {
			{domain, path, signed2100, ""},
			{domain, path, signed2100, "get&a=b"},
			{domain, path, signed2100, "g t"},
			{domain, path, signed2100, "put1"},
			{domain, path, signed2100, "p\u00fct"},
		},
	} {
		for _, a := range table {
			signed, err := ittybit.SignURL("ittybit_test_key", ittybit.SignURLParams{Domain: a.domain, Path: a.path, Expiry: a.expiry, Method: a.method})
			assert.Nil(t, signed)
			clientParamError(t, err, want)
			assert.NotContains(t, err.Error(), "ittybit_test_key")
		}
	}
}

func TestSignURL_refusesAKeyThatNoClientTakes(t *testing.T) {
	for _, key := range []string{"key\n", " key", "k\x00"} {
		_, err := ittybit.SignURL(key, ittybit.SignURLParams{Domain: "you.ittybit.net", Path: "a.mp4", Expiry: time.Now().Add(time.Hour), Method: ittybit.SignedURLMethodGet})
		clientParamError(t, err, "apiKey")
	}
}
