package ittybit_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func TestVerify_takesForTheBareFormOnlyWhatHasItsForm(t *testing.T) {
	body := []byte("body")
	mac := hmac.New(sha256.New, []byte(webhookSecret))
	mac.Write(body)
	bare := hex.EncodeToString(mac.Sum(nil))
	v := webhookVerifier(t, ittybit.WithUntimestampedSignatures())
	for name, tt := range map[string]struct {
		header string
		want   error
	}{
		"lower case":           {bare, nil},
		"upper case":           {strings.ToUpper(bare), nil},
		"spaces around it":     {"  " + bare + "\t", nil},
		"another, of 0":        {strings.Repeat("0", 64), ittybit.ErrSignatureMismatch},
		"another, of 9":        {strings.Repeat("9", 64), ittybit.ErrSignatureMismatch},
		"another, of a":        {strings.Repeat("a", 64), ittybit.ErrSignatureMismatch},
		"another, of f":        {strings.Repeat("f", 64), ittybit.ErrSignatureMismatch},
		"another, of A":        {strings.Repeat("A", 64), ittybit.ErrSignatureMismatch},
		"another, of F":        {strings.Repeat("F", 64), ittybit.ErrSignatureMismatch},
		"a digit less":         {bare[:63], ittybit.ErrSignatureMalformed},
		"a byte less":          {bare[:62], ittybit.ErrSignatureMalformed},
		"a byte more":          {bare + "00", ittybit.ErrSignatureMalformed},
		"a letter past f":      {bare[:63] + "g", ittybit.ErrSignatureMalformed},
		"a letter past F":      {bare[:63] + "G", ittybit.ErrSignatureMalformed},
		"a letter before a":    {bare[:63] + "`", ittybit.ErrSignatureMalformed},
		"a letter before A":    {bare[:63] + "@", ittybit.ErrSignatureMalformed},
		"a sign before 0":      {bare[:63] + "/", ittybit.ErrSignatureMalformed},
		"a sign past 9":        {bare[:63] + ":", ittybit.ErrSignatureMalformed},
		"in quotes":            {`"` + bare + `"`, ittybit.ErrSignatureMalformed},
		"with its algorithm":   {"sha256=" + bare, ittybit.ErrSignatureMalformed},
		"twice, with a space":  {bare + " " + bare, ittybit.ErrSignatureMalformed},
		"an empty timestamp":   {"t=,v1=" + bare, ittybit.ErrSignatureMalformed},
		"a timestamp, unasked": {"t=1736512522,v1=" + bare, ittybit.ErrSignatureMismatch},
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
	var v *ittybit.WebhookVerifier
	depth := 0
	v = webhookVerifier(t, ittybit.WithSignedContent(func(mac hash.Hash, timestamp string, body []byte) {
		mac.Write([]byte(timestamp + "."))
		if depth++; depth == 1 {
			assert.NoError(t, v.Verify(inner, ittybit.SignWebhook(webhookSecret, signedAt, inner)))
		}
		mac.Write(body)
	}))
	require.NoError(t, v.Verify(body, ittybit.SignWebhook(webhookSecret, signedAt, body)), "no two checks share a state")
	assert.Equal(t, 2, depth)
}

func TestDefaults_areAsDocumented(t *testing.T) {
	assert.Equal(t, 1<<20, ittybit.DefaultMaxBodyBytes, "README: 1 MiB a body")
	assert.Equal(t, 64<<20, ittybit.DefaultMaxBufferedBytes, "README: 64 MiB in all")
	assert.Equal(t, 1000, ittybit.DefaultMaxInFlight, "README: 1,000 in flight")
	for name, durations := range map[string][2]string{
		"tolerance":             {"5m0s", ittybit.DefaultTolerance.String()},
		"read timeout":          {"5s", ittybit.DefaultReadTimeout.String()},
		"processing timeout":    {"4s", ittybit.DefaultProcessingTimeout.String()},
		"time to live of a key": {"72h0m0s", ittybit.DefaultDeduplicatorTTL.String()},
	} {
		assert.Equal(t, durations[0], durations[1], name)
	}
	assert.Equal(t, 100_000, ittybit.DefaultDeduplicatorCapacity)
}

func TestExplain_takesNothingForAMatchThatIsNone(t *testing.T) {
	body := []byte("body")
	mac := signedMAC("1736512522", "body")
	mac[len(mac)-1] ^= 1
	text := webhookVerifier(t).Explain(body, "t=1736512522,v1="+hex.EncodeToString(mac))
	assert.Contains(t, text, "No reading matches", "all but the last bit is the same")

	// A secret that is nothing but padding stands for no key: anybody can sign with that.
	v, err := ittybit.NewWebhookVerifier("==", ittybit.WithClock(signedClock))
	require.NoError(t, err)
	assert.Contains(t, v.Explain(body, ittybit.SignWebhook("", signedAt, body)), "No reading matches")
}

func TestExplain_saysEachThingOnce(t *testing.T) {
	body := []byte("body")
	header := ittybit.SignWebhook(webhookSecret, signedAt, body)

	// The reading that was set up is also one of those in use.
	v := webhookVerifier(t, ittybit.WithSignedContent(func(mac hash.Hash, timestamp string, body []byte) {
		mac.Write([]byte(timestamp + "."))
		mac.Write(body)
	}))
	text := v.Explain(body, header)
	assert.Equal(t, 1, strings.Count(text, "Matches:"), text)
	assert.Contains(t, text, "what WithSignedContent writes")

	// What is accepted needs no advice, although another secret would need some.
	v = webhookVerifier(t, ittybit.WithSecrets("whsec_"+webhookSecret))
	text = v.Explain(body, header)
	assert.Equal(t, 2, strings.Count(text, "Matches:"), text)
	assert.Contains(t, text, "with secret 2 whsec_ stripped")
	assert.NotContains(t, text, "For Verify to take it", text)

	// Of two timestamps, which Verify refuses, the first is compared.
	text = webhookVerifier(t).Explain(body, header+",t=1")
	assert.Contains(t, text, "two timestamps")
	assert.Contains(t, text, "Matches: HMAC-SHA256 over t.body")
}

func TestExplain_advisesOnlyWhatIsMissing(t *testing.T) {
	body := []byte("body")
	mac := hmac.New(sha256.New, []byte(webhookSecret))
	mac.Write(body)
	v, err := ittybit.NewWebhookVerifier("whsec_"+webhookSecret, ittybit.WithUntimestampedSignatures())
	require.NoError(t, err)
	text := v.Explain(body, hex.EncodeToString(mac.Sum(nil)))
	assert.Contains(t, text, "For Verify to take it: give the secret without its whsec_.\n", text)
}

func TestExplain_givesTimesInUTCAndMilliseconds(t *testing.T) {
	const at = "2025-01-10T18:05:22+05:30"
	v := webhookVerifier(t, ittybit.WithClock(func() time.Time { return signedAt.Add(1_234_567) }))
	text := v.Explain([]byte("body"), "t="+at+",v1="+signedHex(at, "body"))
	assert.Contains(t, text, "RFC 3339: 2025-01-10T12:35:22Z, 1ms before now")
}

func TestExplain_readsTheLongestHeaderThatVerifyReads(t *testing.T) {
	header := signedPadded("01736512522", signedHex("01736512522", "body"), 4096)
	text := webhookVerifier(t).Explain([]byte("body"), header)
	assert.Contains(t, text, "Verify accepts")
	assert.Contains(t, text, "Matches: HMAC-SHA256 over t.body")
}
