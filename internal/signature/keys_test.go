package signature_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/internal/signature"
)

const (
	secret   = "ittybit_test_key_1234567890"
	pageBody = `{"id":"task_123abc","object":"task","kind":"nsfw","status":"completed","results":{"is_nsfw":true}}`
)

// verifier is the little that the root package adds, but for the clock.
type verifier struct {
	keys          *signature.Keys
	content       signature.Content
	untimestamped bool
}

func newVerifier(content ...signature.Content) verifier {
	v := verifier{keys: signature.NewKeys([][]byte{[]byte(secret)})}
	if len(content) > 0 {
		v.content = content[0]
	}
	return v
}

func (v verifier) Verify(body []byte, header string) error {
	h, err := signature.Parse(header)
	switch {
	case err != nil:
		return err
	case h.Timestamp == "" && !v.untimestamped:
		return signature.ErrMalformed
	case !v.keys.Match(v.content, body, &h):
		return signature.ErrMismatch
	}
	return nil
}

func sign(body []byte) string { return signature.Sign([]byte(secret), signedAt, body) }

// macOf is the MAC over timestamp "." body, by the standard library.
func macOf(timestamp, body string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "." + body))
	return mac.Sum(nil)
}

func hexOf(timestamp, body string) string { return hex.EncodeToString(macOf(timestamp, body)) }

func TestVerify_refusesABodyChangedByOneBit(t *testing.T) {
	v := newVerifier()
	body := []byte(`{"id":"task_1","object":"task","status":"completed"}`)
	header := sign(body)
	require.NoError(t, v.Verify(body, header))
	for bit := range len(body) * 8 {
		body[bit/8] ^= 1 << (bit % 8)
		require.ErrorIs(t, v.Verify(body, header), signature.ErrMismatch, "bit %d", bit)
		body[bit/8] ^= 1 << (bit % 8)
	}
	require.NoError(t, v.Verify(body, header))
}

func TestVerify_refusesASignatureChangedByOneBit(t *testing.T) {
	v := newVerifier()
	mac := macOf("1736512522", "body")
	for bit := range len(mac) * 8 {
		mac[bit/8] ^= 1 << (bit % 8)
		require.ErrorIs(t, v.Verify([]byte("body"), "t=1736512522,v1="+hex.EncodeToString(mac)), signature.ErrMismatch)
		require.ErrorIs(t, v.Verify([]byte("body"), "t=1736512522,v1="+base64.RawURLEncoding.EncodeToString(mac)), signature.ErrMismatch)
		mac[bit/8] ^= 1 << (bit % 8)
	}
}

func TestVerify_signsTheTimestampAsItWasSent(t *testing.T) {
	v := newVerifier()
	assert.NoError(t, v.Verify([]byte("body"), "t=01736512522,v1="+hexOf("01736512522", "body")))
	assert.ErrorIs(t, v.Verify([]byte("body"), "t=01736512522,v1="+hexOf("1736512522", "body")), signature.ErrMismatch)
	// The same instant in another notation is another text.
	assert.ErrorIs(t, v.Verify([]byte("body"), "t=2025-01-10T12:35:22Z,v1="+hexOf("1736512522", "body")), signature.ErrMismatch)
	// The dot does not let the timestamp and the body flow into each other.
	assert.ErrorIs(t, v.Verify([]byte("2.body"), "t=173651252,v1="+hexOf("1736512522", "body")), signature.ErrMismatch)
	// Longer than the scratch space, and with no effect on the time.
	long := strings.Repeat("0", 200) + "1736512522"
	assert.NoError(t, v.Verify([]byte("body"), "t="+long+",v1="+hexOf(long, "body")))
}

func TestVerify_isSafeAfterAPanicInTheSignedContent(t *testing.T) {
	v := newVerifier(func(mac hash.Hash, timestamp string, body []byte) {
		mac.Write([]byte(timestamp + "."))
		mac.Write(body[:1]) // panics on an empty body
		mac.Write(body[1:])
	})
	for range 10 {
		assert.Panics(t, func() { _ = v.Verify(nil, sign(nil)) })
		assert.NoError(t, v.Verify([]byte("body"), sign([]byte("body"))))
	}
}

func TestVerify_timestampsOfAnyLengthAreSignedAsTheyStand(t *testing.T) {
	v := newVerifier()
	body := []byte(pageBody)
	for digits := range 150 {
		timestamp := "2025-01-10T12:35:22" + "." + strings.Repeat("0", digits+1) + "Z"
		header := "t=" + timestamp + ",v1=" + hexOf(timestamp, pageBody)
		require.NoError(t, v.Verify(body, header), timestamp)
		require.ErrorIs(t, v.Verify(body, strings.Replace(header, ".0", ".00", 1)), signature.ErrMismatch, timestamp)
	}
}

func TestVerify_takesForTheBareFormOnlyWhatHasItsForm(t *testing.T) {
	body := []byte("body")
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	bare := hex.EncodeToString(mac.Sum(nil))
	v := verifier{keys: newVerifier().keys, untimestamped: true}
	for name, tt := range map[string]struct {
		header string
		want   error
	}{
		"lower case":           {bare, nil},
		"upper case":           {strings.ToUpper(bare), nil},
		"spaces around it":     {"  " + bare + "\t", nil},
		"another, of 0":        {strings.Repeat("0", 64), signature.ErrMismatch},
		"another, of 9":        {strings.Repeat("9", 64), signature.ErrMismatch},
		"another, of a":        {strings.Repeat("a", 64), signature.ErrMismatch},
		"another, of f":        {strings.Repeat("f", 64), signature.ErrMismatch},
		"another, of A":        {strings.Repeat("A", 64), signature.ErrMismatch},
		"another, of F":        {strings.Repeat("F", 64), signature.ErrMismatch},
		"a digit less":         {bare[:63], signature.ErrMalformed},
		"a byte less":          {bare[:62], signature.ErrMalformed},
		"a byte more":          {bare + "00", signature.ErrMalformed},
		"a letter past f":      {bare[:63] + "g", signature.ErrMalformed},
		"a letter past F":      {bare[:63] + "G", signature.ErrMalformed},
		"a letter before a":    {bare[:63] + "`", signature.ErrMalformed},
		"a letter before A":    {bare[:63] + "@", signature.ErrMalformed},
		"a sign before 0":      {bare[:63] + "/", signature.ErrMalformed},
		"a sign past 9":        {bare[:63] + ":", signature.ErrMalformed},
		"in quotes":            {`"` + bare + `"`, signature.ErrMalformed},
		"with its algorithm":   {"sha256=" + bare, signature.ErrMalformed},
		"twice, with a space":  {bare + " " + bare, signature.ErrMalformed},
		"an empty timestamp":   {"t=,v1=" + bare, signature.ErrMalformed},
		"a timestamp, unasked": {"t=1736512522,v1=" + bare, signature.ErrMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			if err := v.Verify(body, tt.header); tt.want == nil {
				assert.NoError(t, err)
			} else {
				assert.ErrorIs(t, err, tt.want)
			}
		})
	}
}

func TestVerify_canBeCalledWhileTheSignedContentIsWritten(t *testing.T) {
	body, inner := []byte("body"), []byte("another body")
	var v verifier
	depth := 0
	v = newVerifier(func(mac hash.Hash, timestamp string, body []byte) {
		mac.Write([]byte(timestamp + "."))
		if depth++; depth == 1 {
			assert.NoError(t, v.Verify(inner, sign(inner)))
		}
		mac.Write(body)
	})
	require.NoError(t, v.Verify(body, sign(body)), "no two checks share a state")
	assert.Equal(t, 2, depth)
}
