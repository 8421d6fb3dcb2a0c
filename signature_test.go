package ittybit_test

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// signedAt is the time at which the tests sign.
var signedAt = time.Unix(1736512522, 0)

// signedClock stands still at signedAt.
func signedClock() time.Time { return signedAt }

// signedMAC is the MAC over timestamp "." body, by the standard library.
func signedMAC(timestamp, body string) []byte {
	mac := hmac.New(sha256.New, []byte(webhookSecret))
	mac.Write([]byte(timestamp + "." + body))
	return mac.Sum(nil)
}

// signedWithNoKey signs with an empty key, which anybody has. In FIPS 140-3 mode nobody can.
func signedWithNoKey(t time.Time, body []byte) string {
	if fips140.Enforced() {
		return ittybit.SignWebhook("a key that nobody uses", t, body)
	}
	return ittybit.SignWebhook("", t, body)
}

func signedHex(timestamp, body string) string {
	return hex.EncodeToString(signedMAC(timestamp, body))
}

func webhookVerifier(tb testing.TB, opts ...ittybit.VerifierOption) *ittybit.WebhookVerifier {
	tb.Helper()
	v, err := ittybit.NewWebhookVerifier(webhookSecret, append([]ittybit.VerifierOption{ittybit.WithClock(signedClock)}, opts...)...)
	require.NoError(tb, err)
	return v
}

func TestVerify_readsTheHeader(t *testing.T) {
	const body = `{"id":"task_1"}`
	const at = "1736512522"
	good := signedHex(at, body)
	wrong := strings.Repeat("0", 64)
	inBase64 := base64.RawURLEncoding.EncodeToString(signedMAC(at, body))

	// The last character of unpadded base64 has two bits that say nothing: other spellings of the
	// same bytes.
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", inBase64[42])
	respelled := inBase64[:42] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last|1])

	tests := map[string]struct {
		header string
		want   error
	}{
		"as documented":                   {"t=" + at + ",v1=" + good, nil},
		"signature first":                 {"v1=" + good + ",t=" + at, nil},
		"spaces around parts":             {"  t = " + at + " ,\tv1 =  " + good + "  ", nil},
		"upper-case hex":                  {"t=" + at + ",v1=" + strings.ToUpper(good), nil},
		"base64url":                       {"t=" + at + ",v1=" + inBase64, nil},
		"several v1, the first matches":   {"t=" + at + ",v1=" + good + ",v1=" + wrong, nil},
		"several v1, the last matches":    {"t=" + at + ",v1=" + wrong + ",v1=junk,v1=,v1=" + good, nil},
		"several v1 around t":             {"v1=" + wrong + ",t=" + at + ",v1=" + good, nil},
		"unknown keys":                    {"v0=abc,t=" + at + ",scheme,v2=" + wrong + ",v1=" + good + ",=x,,", nil},
		"base64url, padded":               {"t=" + at + ",v1=" + inBase64 + "=", ittybit.ErrSignatureMismatch},
		"base64url, another spelling":     {"t=" + at + ",v1=" + respelled, ittybit.ErrSignatureMismatch},
		"several v1, none matches":        {"t=" + at + ",v1=" + wrong + ",v1=" + strings.Repeat("f", 64), ittybit.ErrSignatureMismatch},
		"the signature under another key": {"t=" + at + ",v1=" + wrong + ",v2=" + good + ",v0=" + good, ittybit.ErrSignatureMismatch},
		"keys are case-sensitive":         {"t=" + at + ",V1=" + good, ittybit.ErrSignatureMalformed},
		"an empty signature":              {"t=" + at + ",v1=", ittybit.ErrSignatureMismatch},
		"a signature cut short":           {"t=" + at + ",v1=" + good[:62], ittybit.ErrSignatureMismatch},
		"a signature with more":           {"t=" + at + ",v1=" + good + "00", ittybit.ErrSignatureMismatch},
		"a quoted signature":              {"t=" + at + `,v1="` + good + `"`, ittybit.ErrSignatureMismatch},
		"a signature that is no hex":      {"t=" + at + ",v1=" + strings.Repeat("g", 64), ittybit.ErrSignatureMismatch},
		"a signature that is no base64":   {"t=" + at + ",v1=" + strings.Repeat("!", 43), ittybit.ErrSignatureMismatch},
		"another timestamp":               {"t=1736512523,v1=" + good, ittybit.ErrSignatureMismatch},
		"no header":                       {"", ittybit.ErrSignatureMissing},
		"a blank header":                  {" \t ", ittybit.ErrSignatureMissing},
		"a long blank header":             {strings.Repeat(" ", 5000), ittybit.ErrSignatureMissing},
		"no timestamp":                    {"v1=" + good, ittybit.ErrSignatureMalformed},
		"no signature":                    {"t=" + at, ittybit.ErrSignatureMalformed},
		"commas only":                     {",,,", ittybit.ErrSignatureMalformed},
		"words":                           {"sha256 of something", ittybit.ErrSignatureMalformed},
		"two timestamps":                  {"t=" + at + ",t=" + at + ",v1=" + good, ittybit.ErrSignatureMalformed},
		"two timestamps, one empty":       {"t=" + at + ",v1=" + good + ",t=", ittybit.ErrSignatureMalformed},
		"the bare form":                   {good, ittybit.ErrSignatureMalformed},
		"4096 bytes":                      {signedPadded(at, good, 4096), nil},
		"4097 bytes":                      {signedPadded(at, good, 4097), ittybit.ErrSignatureMalformed},
		"a megabyte":                      {signedPadded(at, good, 1<<20), ittybit.ErrSignatureMalformed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := webhookVerifier(t).Verify([]byte(body), tt.header)
			if tt.want == nil {
				assert.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, tt.want)
			for _, other := range []error{
				ittybit.ErrSignatureMissing, ittybit.ErrSignatureMalformed, ittybit.ErrSignatureMismatch, ittybit.ErrSignatureExpired,
			} {
				assert.Equal(t, other == tt.want, errors.Is(err, other), "%v", other) //nolint:errorlint // it is the sentinel itself
			}
			assert.Equal(t, 1, strings.Count(err.Error(), "ittybit:"), err.Error())
			assert.NotContains(t, err.Error(), good)
		})
	}
}

func signedPadded(timestamp, signature string, size int) string {
	header := "t=" + timestamp + ",v1=" + signature + ",pad="
	return header + strings.Repeat("p", size-len(header))
}

func TestVerify_readsTheTimestamp(t *testing.T) {
	const body = "body"
	tests := map[string]struct {
		timestamp string
		now       time.Time
		malformed bool
	}{
		"seconds":                     {"1736512522", signedAt, false},
		"milliseconds":                {"1736512522999", signedAt.Add(time.Second), false},
		"RFC 3339":                    {"2025-01-10T12:35:22Z", signedAt, false},
		"RFC 3339 with an offset":     {"2025-01-10T18:05:22+05:30", signedAt, false},
		"leading zeros":               {"0001736512522", signedAt, false},
		"last second of 9998":         {"9998-12-31T23:59:59Z", time.Date(9998, 12, 31, 23, 59, 59, 0, time.UTC), false},
		"last millisecond of 9998":    {"253370764799999", time.Date(9998, 12, 31, 23, 59, 59, 0, time.UTC), false},
		"empty":                       {"", signedAt, true},
		"a plus":                      {"+1736512522", signedAt, true},
		"a minus":                     {"-1736512522", signedAt, true},
		"a fraction":                  {"1736512522.0", signedAt, true},
		"an exponent":                 {"1.736512522e9", signedAt, true},
		"hex":                         {"0x6780f40a", signedAt, true},
		"underscores":                 {"1_736_512_522", signedAt, true},
		"a space inside":              {"1736 512522", signedAt, true},
		"Arabic-Indic digits":         {"١٧٣٦٥١٢٥٢٢", signedAt, true},
		"full-width digits":           {"１７３６５１２５２２", signedAt, true},
		"a word":                      {"now", signedAt, true},
		"a date":                      {"2025-01-10", signedAt, true},
		"RFC 1123":                    {"Fri 10 Jan 2025 12:35:22 GMT", signedAt, true},
		"year 9999":                   {"9999-01-01T00:00:00Z", signedAt, true},
		"first millisecond of 9999":   {"253370764800000", signedAt, true},
		"more than an int64":          {"9223372036854775808", signedAt, true},
		"very many digits":            {strings.Repeat("9", 1000), signedAt, true},
		"a day that is none":          {"2025-02-30T12:00:00Z", signedAt, true},
		"a zero-width space, trailed": {"1736512522\u200b", signedAt, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := webhookVerifier(t, ittybit.WithClock(func() time.Time { return tt.now }))
			err := v.Verify([]byte(body), "t="+tt.timestamp+",v1="+signedHex(tt.timestamp, body))
			if tt.malformed {
				assert.ErrorIs(t, err, ittybit.ErrSignatureMalformed)
			} else {
				assert.NoError(t, err)
			}
		})
	}
}

func TestVerify_keepsToTheTolerance(t *testing.T) {
	tests := map[string]struct {
		tolerance time.Duration // 0: the default
		age       time.Duration
		expired   bool
	}{
		"now":                              {0, 0, false},
		"just in time":                     {0, 5 * time.Minute, false},
		"just too old":                     {0, 5*time.Minute + 1, true},
		"not yet too far ahead":            {0, -5 * time.Minute, false},
		"just too far ahead":               {0, -5*time.Minute - 1, true},
		"a day":                            {24 * time.Hour, 24 * time.Hour, false},
		"a day and a nanosecond":           {24 * time.Hour, 24*time.Hour + 1, true},
		"a nanosecond of tolerance":        {1, 1, false},
		"a nanosecond of tolerance, ahead": {1, -2, true},
		"no bound":                         {math.MaxInt64, 250 * 365 * 24 * time.Hour, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			opts := []ittybit.VerifierOption{ittybit.WithClock(func() time.Time { return signedAt.Add(tt.age) })}
			tolerance := ittybit.DefaultTolerance
			if tt.tolerance != 0 {
				opts, tolerance = append(opts, ittybit.WithTolerance(tt.tolerance)), tt.tolerance
			}
			err := webhookVerifier(t, opts...).Verify([]byte("body"), ittybit.SignWebhook(webhookSecret, signedAt, []byte("body")))
			if !tt.expired {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ittybit.ErrSignatureExpired)
			require.NotErrorIs(t, err, ittybit.ErrSignatureMismatch)
			var expired *ittybit.SignatureExpiredError
			require.ErrorAs(t, err, &expired)
			assert.Equal(t, tt.age, expired.Age)
			assert.Equal(t, tolerance, expired.Tolerance)
			assert.True(t, expired.Timestamp.Equal(signedAt))
			assert.Contains(t, err.Error(), tt.age.Abs().String())
			assert.Equal(t, tt.age < 0, strings.Contains(err.Error(), "in the future"))
		})
	}
}

func TestVerify_saysHowFarAheadEvenWhereADurationDoesNotReach(t *testing.T) {
	const distant = "9998-12-31T23:59:59Z"
	err := webhookVerifier(t, ittybit.WithTolerance(math.MaxInt64)).Verify([]byte("body"), "t="+distant+",v1="+signedHex(distant, "body"))
	require.ErrorIs(t, err, ittybit.ErrSignatureExpired)
	assert.Contains(t, err.Error(), "signed 2562047h", "no minus sign")
}

func TestVerify_checksTheSignatureBeforeTheClock(t *testing.T) {
	asked := 0
	v := webhookVerifier(t, ittybit.WithClock(func() time.Time { asked++; return signedAt.Add(time.Hour) }))

	err := v.Verify([]byte("body"), "t=1736512522,v1="+strings.Repeat("0", 64))
	require.ErrorIs(t, err, ittybit.ErrSignatureMismatch)
	require.NotErrorIs(t, err, ittybit.ErrSignatureExpired)
	assert.Zero(t, asked, "a stranger learns nothing about the clock")

	require.ErrorIs(t, v.Verify([]byte("body"), "t=1736512522,v1="+signedHex("1736512522", "body")), ittybit.ErrSignatureExpired)
	assert.Equal(t, 1, asked)
}

func TestVerify_knowsItsKeys(t *testing.T) {
	body := []byte("body")
	headers := map[string]string{}
	for _, secret := range []string{webhookSecret, "the_old_test_key", "an_even_older_test_key", "a key of a stranger"} {
		headers[secret] = ittybit.SignWebhook(secret, signedAt, body)
	}
	v := webhookVerifier(t)
	assert.ErrorIs(t, v.Verify(body, headers["the_old_test_key"]), ittybit.ErrSignatureMismatch)

	rotating := webhookVerifier(t, ittybit.WithSecrets("the_old_test_key"), ittybit.WithSecrets("an_even_older_test_key"))
	assert.NoError(t, rotating.Verify(body, headers[webhookSecret]))
	assert.NoError(t, rotating.Verify(body, headers["the_old_test_key"]))
	assert.NoError(t, rotating.Verify(body, headers["an_even_older_test_key"]))
	assert.ErrorIs(t, rotating.Verify(body, headers["a key of a stranger"]), ittybit.ErrSignatureMismatch)
	assert.ErrorIs(t, rotating.Verify(body, signedWithNoKey(signedAt, body)), ittybit.ErrSignatureMismatch)
}

func TestVerify_takesTheBareFormOnlyWhereAllowed(t *testing.T) {
	body := []byte("body")
	mac := hmac.New(sha256.New, []byte(webhookSecret))
	mac.Write(body)
	bare := hex.EncodeToString(mac.Sum(nil))

	err := webhookVerifier(t).Verify(body, bare)
	require.ErrorIs(t, err, ittybit.ErrSignatureMalformed)
	assert.Contains(t, err.Error(), "WithUntimestampedSignatures")

	v := webhookVerifier(t, ittybit.WithUntimestampedSignatures())
	assert.NoError(t, v.Verify(body, bare))
	assert.ErrorIs(t, v.Verify([]byte("bodz"), bare), ittybit.ErrSignatureMismatch)
	assert.ErrorIs(t, v.Verify(body, strings.Repeat("0", 64)), ittybit.ErrSignatureMismatch)
	assert.ErrorIs(t, v.Verify(body, "v1="+bare), ittybit.ErrSignatureMalformed, "only the bare form has no timestamp")
	assert.ErrorIs(t, v.Verify(body, bare+","+bare), ittybit.ErrSignatureMalformed)
	assert.ErrorIs(t, v.Verify(body, "t=1736512522,v1="+bare), ittybit.ErrSignatureMismatch, "a timestamp that is not signed is no timestamp")
	assert.NoError(t, v.Verify(body, ittybit.SignWebhook(webhookSecret, signedAt, body)), "the documented form goes on")
	assert.ErrorIs(t, v.Verify(body, ittybit.SignWebhook(webhookSecret, signedAt.Add(-time.Hour), body)), ittybit.ErrSignatureExpired)
}

func TestVerify_takesOtherSignedContent(t *testing.T) {
	reading := func(mac hash.Hash, timestamp string, body []byte) {
		mac.Write([]byte("v2:" + timestamp + ":"))
		mac.Write(body)
	}
	mac := hmac.New(sha256.New, []byte(webhookSecret))
	mac.Write([]byte("v2:1736512522:body"))
	v := webhookVerifier(t, ittybit.WithSignedContent(reading), ittybit.WithUntimestampedSignatures())

	assert.NoError(t, v.Verify([]byte("body"), "t=1736512522,v1="+hex.EncodeToString(mac.Sum(nil))))
	assert.ErrorIs(t, v.Verify([]byte("body"), ittybit.SignWebhook(webhookSecret, signedAt, []byte("body"))), ittybit.ErrSignatureMismatch)

	mac.Reset()
	mac.Write([]byte("v2::body")) // the bare form has no timestamp
	assert.NoError(t, v.Verify([]byte("body"), hex.EncodeToString(mac.Sum(nil))))
}

func TestWebhookVerifier_zeroValueAcceptsNothing(t *testing.T) {
	var v ittybit.WebhookVerifier
	assert.ErrorIs(t, v.Verify(nil, signedWithNoKey(time.Now(), nil)), ittybit.ErrSignatureMismatch)
}

func TestNewWebhookVerifier_refusesWhatMakesNoSense(t *testing.T) {
	tests := map[string]struct {
		secret string
		opts   []ittybit.VerifierOption
		param  string
	}{
		"no secret":             {"", nil, "apiKey"},
		"a file's newline":      {webhookSecret + "\n", nil, "secret"},
		"a space in front":      {" " + webhookSecret, nil, "secret"},
		"a no-break space":      {webhookSecret + "\u00a0", nil, "secret"},
		"an empty second key":   {webhookSecret, []ittybit.VerifierOption{ittybit.WithSecrets("the_old_test_key", "")}, "secret"},
		"a newline in another":  {webhookSecret, []ittybit.VerifierOption{ittybit.WithSecrets("the_old_test_key\r\n")}, "secret"},
		"no tolerance":          {webhookSecret, []ittybit.VerifierOption{ittybit.WithTolerance(0)}, "tolerance"},
		"a negative tolerance":  {webhookSecret, []ittybit.VerifierOption{ittybit.WithTolerance(-time.Second)}, "tolerance"},
		"a nil clock":           {webhookSecret, []ittybit.VerifierOption{ittybit.WithClock(nil)}, "clock"},
		"a body limit of zero":  {webhookSecret, []ittybit.VerifierOption{ittybit.WithMaxBodyBytes(0)}, "max body bytes"},
		"a negative body limit": {webhookSecret, []ittybit.VerifierOption{ittybit.WithMaxBodyBytes(-1)}, "max body bytes"},
		"nil signed content":    {webhookSecret, []ittybit.VerifierOption{ittybit.WithSignedContent(nil)}, "signed content"},
		"a nil option":          {webhookSecret, []ittybit.VerifierOption{nil}, "opts"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			check := func(err error) {
				var refused *ittybit.ParamError
				require.ErrorAs(t, err, &refused)
				assert.Equal(t, tt.param, refused.Param)
				assert.Equal(t, tt.secret == "", errors.Is(err, ittybit.ErrMissingAPIKey))
				if tt.secret != "" {
					assert.NotContains(t, err.Error(), strings.TrimSpace(tt.secret)+" ")
				}
			}
			v, err := ittybit.NewWebhookVerifier(tt.secret, tt.opts...)
			assert.Nil(t, v)
			check(err)

			// A handler takes the same options and refuses the same.
			opts := make([]ittybit.WebhookOption, len(tt.opts))
			for i, opt := range tt.opts {
				if opt != nil {
					opts[i] = opt
				}
			}
			h, err := ittybit.NewWebhookHandler(tt.secret, ittybit.NewEventMux(), opts...)
			assert.Nil(t, h)
			check(err)
		})
	}
}

func TestNewWebhookVerifier_refusesAnEmptyKeyAsNewClientDoes(t *testing.T) {
	_, ofClient := ittybit.NewClient("")
	_, ofVerifier := ittybit.NewWebhookVerifier("")
	_, ofHandler := ittybit.NewWebhookHandler("", ittybit.NewEventMux())
	assert.Equal(t, ofClient, ofVerifier)
	assert.Equal(t, ofClient, ofHandler)
	require.ErrorIs(t, ofHandler, ittybit.ErrMissingAPIKey)
	assert.ErrorAs(t, ofHandler, new(*ittybit.ParamError))
}

func TestWebhookVerifier_isNeverPrintedWithItsSecrets(t *testing.T) {
	v := webhookVerifier(t, ittybit.WithSecrets("another_test_secret"))
	h := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithSecrets("another_test_secret"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%X", "%q", "%t"} {
		for _, value := range []any{v, *v, h, []any{v, h}, struct{ V, H any }{v, h}, map[string]any{"v": v, "h": h}} {
			text := fmt.Sprintf(verb, value)
			for _, secret := range []string{webhookSecret, "another_test_secret"} {
				assert.NotContains(t, text, secret, "%s of %T", verb, value)
				assert.NotContains(t, strings.ToLower(text), hex.EncodeToString([]byte(secret)), "%s of %T", verb, value)
				assert.NotContains(t, text, strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"), "%s of %T", verb, value)
			}
		}
	}
	assert.Contains(t, v.String(), "2 secrets")
	assert.Contains(t, h.String(), "2 secrets")
	assert.Equal(t, v.String(), fmt.Sprintf("%#v", v))
	assert.Equal(t, h.String(), fmt.Sprintf("%#v", h))
}

func TestSignWebhook_makesWhatVerifyAccepts(t *testing.T) {
	header := ittybit.SignWebhook(webhookSecret, signedAt.Add(999*time.Millisecond), []byte("body"))
	assert.Equal(t, "t="+strconv.FormatInt(signedAt.Unix(), 10)+",v1="+signedHex("1736512522", "body"), header)
	assert.NoError(t, webhookVerifier(t).Verify([]byte("body"), header))
	assert.Equal(t, ittybit.SignatureHeader, http.CanonicalHeaderKey(ittybit.SignatureHeader))
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

func TestVerify_isSharedByManyGoroutines(t *testing.T) {
	v := webhookVerifier(t, ittybit.WithSecrets("the_old_test_key"))
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() {
			body := []byte("body " + strconv.Itoa(i))
			for _, secret := range []string{webhookSecret, "the_old_test_key"} {
				header := ittybit.SignWebhook(secret, signedAt, body)
				assert.NoError(t, v.Verify(body, header))
				assert.ErrorIs(t, v.Verify([]byte("another"), header), ittybit.ErrSignatureMismatch)
			}
		})
	}
	group.Wait()
}
