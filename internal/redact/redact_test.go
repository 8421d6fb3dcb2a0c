package redact

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const sig = "q83vASNFZ4mrze8"

func TestText_hidesSignaturesWhereverTheyStand(t *testing.T) {
	for name, text := range map[string]string{
		"query":            "https://you.ittybit.net/a.mp4?expiry=1&method=get&signature=" + sig,
		"query in middle":  "https://you.ittybit.net/a.mp4?signature=" + sig + "&expiry=1",
		"upper case":       "https://x.example/?X-Amz-Signature=" + sig,
		"encoded once":     "u=https%3A%2F%2Fx.example%2F%3Fsignature%3D" + sig + "%26expiry%3D1",
		"encoded twice":    "u=signature%253D" + sig,
		"in JSON":          `{"url":"https://x.example/?signature=` + sig + `"}`,
		"escaped in JSON":  `{"url":"https://x.example/?a=1\u0026signature\u003d` + sig + `"}`,
		"field":            `{"signature": "` + sig + `"}`,
		"field of a quote": `{"m":"{\"signature\":\"` + sig + `\"}"}`,
		"webhook header":   "Ittybit-Signature: t=1736512496,v1=" + sig,
		"several v1":       "t=1,v1=" + sig + ",v1=" + sig,
		"padded base64":    "signature=" + sig + "==",
		"escaped base64":   "https://x.example/?Signature=ab%2B" + sig + "%2F" + sig + "%3D&Expires=1",
		"slashes in JSON":  `{"signature":"ab\/` + sig + `"}`,
		"in prose":         "bad signature=" + sig + " (expired)",
		"spaced":           "t=1, v1 = " + sig,
		"a header as JSON": `{"Ittybit-Signature":"` + sig + `"}`,
		"v1 as JSON":       `{"v1": "` + sig + `"}`,
		"a bare header":    "Ittybit-Signature: " + strings.Repeat(sig, 3),
		"escaped twice":    `signature\\u003d` + sig,
	} {
		got := Text(text)
		assert.NotContains(t, got, sig, name)
		assert.Contains(t, got, Mark, name)
		assert.Equal(t, got, string(Bytes([]byte(text))), name)
	}
}

func TestText_keepsWhatStandsBesideASignature(t *testing.T) {
	assert.Equal(t, "https://x.example/?signature=REDACTED&expiry=1#top",
		Text("https://x.example/?signature="+sig+"&expiry=1#top"))
	assert.Equal(t, "u=%3Fsignature%3DREDACTED%26expiry%3D1", Text("u=%3Fsignature%3D"+sig+"%26expiry%3D1"))
	assert.Equal(t, `{"signature":"REDACTED","a":1}`, Text(`{"signature":"`+sig+`","a":1}`))
	assert.Equal(t, "t=1,v1=REDACTED,v0=x", Text("t=1,v1="+sig+",v0=x"))
}

func TestText_leavesInnocentTextAlone(t *testing.T) {
	for _, text := range []string{
		"", "the signature is wrong", "GET https://api.ittybit.com/tasks?page=2&limit=10",
		`{"message":"signature missing"}`, "ipv1=x", "signature=",
	} {
		assert.Equal(t, text, Text(text))
	}
}

func TestText_hidesSecretsInEverySpelling(t *testing.T) {
	const secret = `k/e+y%&<"x`
	for _, text := range []string{
		"key " + secret + " twice " + secret,
		"https://x.example/" + url.PathEscape(secret),
		"https://x.example/?k=" + url.QueryEscape(secret),
		`{"key":"k/e+y%\u0026\u003c\"x"}`,
	} {
		got := Text(text, "", secret)
		assert.Contains(t, got, Mark, text)
		assert.NotContains(t, got, secret, text)
		assert.NotContains(t, got, url.QueryEscape(secret), text)
		assert.NotContains(t, got, url.PathEscape(secret), text)
		assert.NotContains(t, got, "u0026", text)
	}
	assert.Equal(t, "nothing to hide", Text("nothing to hide", "", "secret"))
}

func TestBytes_neverChangesItsInput(t *testing.T) {
	input := []byte("key=opensesame&signature=" + sig + "\xff")
	before := string(input)
	got := Bytes(input, "opensesame")
	assert.Equal(t, before, string(input))
	assert.Equal(t, "key=REDACTED&signature=REDACTED", strings.TrimSuffix(string(got), "\xff"))
	assert.Nil(t, Bytes(nil, "opensesame"))
}

func TestURL_hidesUserInfoSecretsAndSignatures(t *testing.T) {
	u, err := url.Parse("https://user:pass@x.example/tasks/opensesame?signature=" + sig + "&page=2")
	require.NoError(t, err)
	assert.Equal(t, "https://x.example/tasks/REDACTED?signature=REDACTED&page=2", URL(u, "opensesame"))
	assert.NotNil(t, u.User, "the URL itself must not change")
	assert.Empty(t, URL(nil))
}

func TestSignatures_areThoseOfTheQuery(t *testing.T) {
	for text, want := range map[string][]string{
		"https://you.ittybit.net/a.mp4?expiry=1&signature=" + sig:           {sig},
		"https://you.ittybit.net/a.mp4?Signature=ab%2Bcdefgh&expiry=1":      {"ab+cdefgh"},
		"https://you.ittybit.net/a.mp4?signature=" + sig + "&signature=abc": {sig},
		"https://you.ittybit.net/a.mp4?signature=1234567":                   nil, // would blot out much else
		"https://you.ittybit.net/" + sig + "?expiry=1":                      nil,
	} {
		u, err := url.Parse(text)
		require.NoError(t, err)
		assert.ElementsMatch(t, want, Signatures(u), text)
	}
	assert.Empty(t, Signatures(nil))
}

// A key of a few bytes is a test's placeholder, and would garble words.
func TestText_doesNotSearchForShortSecrets(t *testing.T) {
	for _, secret := range []string{"key", "test", "sk_1234"} {
		assert.Equal(t, "the "+secret+" monkey is not valid", Text("the "+secret+" monkey is not valid", secret))
	}
	assert.Equal(t, "the REDACTED is not valid", Text("the sk_12345 is not valid", "sk_12345"))
}
