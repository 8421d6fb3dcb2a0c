package ittybit_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strings"
	"testing"

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
		"another one":          {strings.Repeat("f", 64), ittybit.ErrSignatureMismatch},
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
	assert.EqualValues(t, 1<<20, ittybit.DefaultMaxBodyBytes, "README: 1 MiB a body")
	assert.EqualValues(t, 64<<20, ittybit.DefaultMaxBufferedBytes, "README: 64 MiB in all")
	assert.EqualValues(t, 1000, ittybit.DefaultMaxInFlight, "README: 1,000 in flight")
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
