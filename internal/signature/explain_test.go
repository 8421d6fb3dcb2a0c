package signature_test

import (
	"bytes"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/signature"
)

// signedClock stands still at signedAt.
func signedClock() time.Time { return signedAt }

// publicVerifier is a verifier of the root package, whose Explain is the diagnosis.
func publicVerifier(tb testing.TB, opts ...ittybit.VerifierOption) *ittybit.WebhookVerifier {
	tb.Helper()
	v, err := ittybit.NewWebhookVerifier(secret, append([]ittybit.VerifierOption{ittybit.WithClock(signedClock)}, opts...)...)
	require.NoError(tb, err)
	return v
}

func padded(timestamp, value string, size int) string {
	header := "t=" + timestamp + ",v1=" + value + ",pad="
	return header + strings.Repeat("p", size-len(header))
}

func TestExplain_namesTheScheme(t *testing.T) {
	const body = `{"id":"task_1"}`
	const at = "1736512522"
	const whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(whsec, "whsec_"))
	require.NoError(t, err)
	inHex := hex.EncodeToString
	header := func(timestamp, value string) string { return "t=" + timestamp + ",v1=" + value }

	tests := map[string]struct {
		secret   string
		key      []byte
		content  string
		encode   func([]byte) string
		header   func(timestamp, value string) string
		at       string
		match    string
		accepted bool
		contains []string
	}{
		"the default": {
			secret: secret, key: []byte(secret), content: at + "." + body, encode: inHex, header: header, at: at,
			match: "over t.body, in hex, with secret 1 as given", accepted: true, contains: []string{"in seconds", "2025-01-10T12:35:22Z"},
		},
		"base64url": {
			secret: secret, key: []byte(secret), content: at + "." + body, encode: signedURLSafe, header: header, at: at,
			match: "over t.body, in base64url, with secret 1 as given", accepted: true,
		},
		"padded base64url": {
			secret: secret, key: []byte(secret), content: at + "." + body,
			encode: base64.URLEncoding.EncodeToString, header: header, at: at,
			match: "over t.body, in base64url, with secret 1 as given",
		},
		"base64": {
			secret: secret, key: []byte(secret), content: at + "." + body,
			encode: base64.StdEncoding.EncodeToString, header: header, at: at,
			match: "over t.body, in base64, with secret 1 as given",
		},
		"a comma": {
			secret: secret, key: []byte(secret), content: at + "," + body, encode: inHex, header: header, at: at,
			match: "over t,body, in hex, with secret 1 as given",
		},
		"the body alone, beside a timestamp": {
			secret: secret, key: []byte(secret), content: body, encode: inHex, header: header, at: at,
			match: "over body alone, in hex, with secret 1 as given",
		},
		"the bare form": {
			secret: secret, key: []byte(secret), content: body, encode: inHex,
			header: func(_, value string) string { return " " + value }, at: at,
			match: "over body alone, in hex, with secret 1 as given", contains: []string{"no timestamp"},
		},
		"the bare form in base64": {
			secret: secret, key: []byte(secret), content: body, encode: base64.StdEncoding.EncodeToString,
			header: func(_, value string) string { return value }, at: at,
			match: "over body alone, in base64, with secret 1 as given",
		},
		"whsec_ as given": {
			secret: whsec, key: []byte(whsec), content: at + "." + body, encode: inHex, header: header, at: at,
			match: "with secret 1 as given", accepted: true,
		},
		"whsec_ stripped": {
			secret: whsec, key: []byte(strings.TrimPrefix(whsec, "whsec_")), content: at + "." + body, encode: inHex, header: header, at: at,
			match: "with secret 1 whsec_ stripped",
		},
		"base64-decoded": {
			secret: whsec, key: decoded, content: at + "." + body, encode: inHex, header: header, at: at,
			match: "with secret 1 base64-decoded",
		},
		"milliseconds": {
			secret: secret, key: []byte(secret), content: at + "123." + body, encode: inHex, header: header, at: at + "123",
			match: "over t.body, in hex, with secret 1 as given", accepted: true, contains: []string{"in milliseconds", "-123ms before now"},
		},
		"RFC 3339": {
			secret: secret, key: []byte(secret), content: "2025-01-10T12:35:22Z." + body, encode: inHex,
			header: header, at: "2025-01-10T12:35:22Z",
			match: "over t.body, in hex, with secret 1 as given", accepted: true, contains: []string{"RFC 3339"},
		},
		"a timestamp that is invalid": {
			secret: secret, key: []byte(secret), content: "yesterday." + body, encode: inHex, header: header, at: "yesterday",
			match: "over t.body, in hex, with secret 1 as given", contains: []string{"is invalid"},
		},
		"too old": {
			secret: secret, key: []byte(secret), content: "1736510000." + body, encode: inHex, header: header, at: "1736510000",
			match:    "over t.body, in hex, with secret 1 as given",
			contains: []string{"authentic but outside the tolerance", "42m2s before now; allowed are 5m0s"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v, err := ittybit.NewWebhookVerifier(tt.secret, ittybit.WithClock(signedClock))
			require.NoError(t, err)
			mac := hmac.New(sha256.New, tt.key)
			mac.Write([]byte(tt.content))
			text := v.Explain([]byte(body), tt.header(tt.at, tt.encode(mac.Sum(nil))))

			assert.Contains(t, text, "Matches: HMAC-SHA256 ")
			assert.Contains(t, text, tt.match)
			assert.Equal(t, 1, strings.Count(text, "Matches:"), text)
			assert.Contains(t, text, "Body: 15 bytes.")
			if tt.accepted {
				assert.Contains(t, text, "Verify accepts this delivery.")
			} else {
				assert.Contains(t, text, "Verify refuses this delivery: ittybit: ")
			}
			for _, part := range tt.contains {
				assert.Contains(t, text, part)
			}
			signedTellsNothing(t, text, tt.secret, []byte(tt.content), tt.key)
		})
	}
}

func signedURLSafe(mac []byte) string { return base64.RawURLEncoding.EncodeToString(mac) }

// signedTellsNothing asserts that neither the secret nor a signature that would be accepted is in
// the text.
func signedTellsNothing(t *testing.T, text, secret string, content, key []byte) {
	t.Helper()
	assert.NotContains(t, text, secret)
	assert.NotContains(t, text, strings.TrimPrefix(secret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	mac.Write(content)
	sum := mac.Sum(nil)
	for _, form := range []string{
		hex.EncodeToString(sum), base64.RawURLEncoding.EncodeToString(sum), base64.RawStdEncoding.EncodeToString(sum),
	} {
		assert.NotContains(t, strings.ToLower(text), strings.ToLower(form))
	}
}

func TestExplain_saysThatNothingMatches(t *testing.T) {
	v := publicVerifier(t, ittybit.WithSecrets("another_test_key"))
	body := []byte("body")
	tests := map[string]struct {
		header   string
		contains []string
	}{
		"a wrong key":      {ittybit.SignWebhook("a key of a stranger", signedAt, body), []string{"does not match", "the key is wrong, or the body was changed"}},
		"a changed body":   {ittybit.SignWebhook(secret, signedAt, []byte("bodz")), []string{"the key is wrong, or the body was changed"}},
		"nothing":          {"", []string{"is missing", "Header: 0 bytes", "no timestamp (t=)", "no signature value"}},
		"no v1":            {"t=1736512522", []string{"is malformed", "no signature value"}},
		"two timestamps":   {"t=1736512522,t=1,v1=00", []string{"two timestamps", "No scheme matches"}},
		"a foreign scheme": {"Signature keyId=1", []string{"is malformed", "No scheme matches"}},
		"too long":         {"t=1736512522,v1=" + strings.Repeat("0", 5000), []string{"longer than 4096 bytes", "no signature value"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			text := v.Explain(body, tt.header)
			assert.NotContains(t, text, "Matches:")
			for _, part := range tt.contains {
				assert.Contains(t, text, part)
			}
			for _, secret := range []string{secret, "another_test_key"} {
				signedTellsNothing(t, text, secret, []byte("1736512522.body"), []byte(secret))
				signedTellsNothing(t, text, secret, body, []byte(secret))
			}
		})
	}
}

func TestExplain_namesTheSecretByItsPlace(t *testing.T) {
	v := publicVerifier(t, ittybit.WithSecrets("the_old_test_key"))
	text := v.Explain([]byte("body"), ittybit.SignWebhook("the_old_test_key", signedAt, []byte("body")))
	assert.Contains(t, text, "with secret 2 as given")
	assert.NotContains(t, text, "the_old_test_key")
}

func TestExplain_knowsOtherSignedContent(t *testing.T) {
	v := publicVerifier(t, ittybit.WithSignedContent(func(mac hash.Hash, timestamp string, body []byte) {
		mac.Write([]byte(timestamp + "\n"))
		mac.Write(body)
	}))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("1736512522\nbody"))

	text := v.Explain([]byte("body"), "t=1736512522,v1="+hex.EncodeToString(mac.Sum(nil)))
	assert.Contains(t, text, "Verify accepts this delivery.")
	assert.Contains(t, text, "over what WithSignedContent writes, in hex")
	assert.NotContains(t, text, "the key is wrong")

	text = v.Explain([]byte("body"), ittybit.SignWebhook(secret, signedAt, []byte("body")))
	assert.Contains(t, text, "Verify refuses this delivery")
	assert.Contains(t, text, "over t.body, in hex")
}

func TestExplain_isTheSameEachTime(t *testing.T) {
	const decoded = "a secret of 20 bytes"
	encoded := base64.StdEncoding.EncodeToString([]byte(decoded))
	other := "whsec_" + base64.StdEncoding.EncodeToString([]byte("another of 19 bytes"))
	v, err := ittybit.NewWebhookVerifier("whsec_"+encoded, ittybit.WithSecrets(other), ittybit.WithClock(func() time.Time { return signedAt }))
	require.NoError(t, err)
	header := ittybit.SignWebhook("whsec_"+encoded, signedAt, []byte("body")) + ",v1=" +
		strings.TrimPrefix(ittybit.SignWebhook(decoded, signedAt, []byte("body")), "t=1736512522,v1=") + ",v1=" +
		strings.TrimPrefix(ittybit.SignWebhook(encoded, signedAt, []byte("body")), "t=1736512522,v1=")
	first := v.Explain([]byte("body"), header)
	assert.Equal(t, 3, strings.Count(first, "Matches:"), first)
	for range 50 {
		require.Equal(t, first, v.Explain([]byte("body"), header))
	}
}

func TestExplain_saysWhatToDo(t *testing.T) {
	const body, at = `{"id":"task_1"}`, "1736512522"
	const whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	clock := ittybit.WithClock(func() time.Time { return time.Unix(1736512522, 0) })
	sign := func(key, content string) []byte {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(content))
		return mac.Sum(nil)
	}
	inHex := func(key, content string) string { return "t=" + at + ",v1=" + hex.EncodeToString(sign(key, content)) }
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(whsec, "whsec_"))
	require.NoError(t, err)
	for header, fix := range map[string]string{
		inHex(string(decoded), at+"."+body):                     "decode the secret from base64 and give the bytes to WithSecretBytes",
		inHex(whsec, body):                                      "use WithSignedContent, and write the body alone",
		inHex(whsec, at+","+body):                               "use WithSignedContent, and write the timestamp, a comma and the body",
		inHex(strings.TrimPrefix(whsec, "whsec_"), at+"."+body): "give the secret without its whsec_",
		"t=" + at + ",v1=" + base64.StdEncoding.EncodeToString(sign(whsec, at+"."+body)): "convert the signature to hex",
		inHex(whsec, at+"."+body):                     "",
		hex.EncodeToString(sign(whsec, body)):         "use WithUntimestampedSignatures",
		"v1=" + hex.EncodeToString(sign(whsec, body)): "",
	} {
		v, err := ittybit.NewWebhookVerifier(whsec, clock)
		require.NoError(t, err)
		text := v.Explain([]byte(body), header)
		if fix == "" {
			assert.NotContains(t, text, "For Verify to accept it")
			continue
		}
		assert.Contains(t, text, "For Verify to accept it: "+fix)
	}
}

func TestExplain_doesNotAdviseAgainstWhatIsSetUp(t *testing.T) {
	const body, at = `{"id":"task_1"}`, "1736512522"
	clock := ittybit.WithClock(func() time.Time { return time.Unix(1736512522, 0) })
	custom := ittybit.WithSignedContent(func(mac hash.Hash, _ string, body []byte) { mac.Write(body) })
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	alone := hex.EncodeToString(mac.Sum(nil))

	v, err := ittybit.NewWebhookVerifier(secret, clock, custom, ittybit.WithUntimestampedSignatures())
	require.NoError(t, err)
	for _, accepted := range []string{alone, "t=" + at + ",v1=" + alone} {
		text := v.Explain([]byte(body), accepted)
		assert.Contains(t, text, "Verify accepts this delivery.")
		assert.NotContains(t, text, "For Verify to accept it")
	}
	text := v.Explain([]byte(body), ittybit.SignWebhook(secret, time.Unix(1736512522, 0), []byte(body)))
	assert.Contains(t, text, "For Verify to accept it: leave WithSignedContent out.")
}

func TestExplain_takesNothingForAMatchThatIsNone(t *testing.T) {
	body := []byte("body")
	mac := macOf("1736512522", "body")
	mac[len(mac)-1] ^= 1
	text := publicVerifier(t).Explain(body, "t=1736512522,v1="+hex.EncodeToString(mac))
	assert.Contains(t, text, "No scheme matches", "all but the last bit is the same")

	if fips140.Enforced() {
		return // nobody can sign with a key of no bytes
	}
	// A secret that is nothing but padding stands for no key: anybody can sign with that.
	v, err := ittybit.NewWebhookVerifier("==", ittybit.WithClock(signedClock))
	require.NoError(t, err)
	assert.Contains(t, v.Explain(body, ittybit.SignWebhook("", signedAt, body)), "No scheme matches")
}

func TestExplain_saysEachThingOnce(t *testing.T) {
	body := []byte("body")
	header := ittybit.SignWebhook(secret, signedAt, body)

	// The scheme that was set up is also one of those in use.
	v := publicVerifier(t, ittybit.WithSignedContent(func(mac hash.Hash, timestamp string, body []byte) {
		mac.Write([]byte(timestamp + "."))
		mac.Write(body)
	}))
	text := v.Explain(body, header)
	assert.Equal(t, 1, strings.Count(text, "Matches:"), text)
	assert.Contains(t, text, "what WithSignedContent writes")

	// What is accepted needs no advice, although another secret would need some.
	v = publicVerifier(t, ittybit.WithSecrets("whsec_"+secret))
	text = v.Explain(body, header)
	assert.Equal(t, 2, strings.Count(text, "Matches:"), text)
	assert.Contains(t, text, "with secret 2 whsec_ stripped")
	assert.NotContains(t, text, "For Verify to accept it", text)

	// Of two timestamps, which Verify refuses, the first is compared.
	text = publicVerifier(t).Explain(body, header+",t=1")
	assert.Contains(t, text, "two timestamps")
	assert.Contains(t, text, "Matches: HMAC-SHA256 over t.body")
}

func TestExplain_advisesOnlyWhatIsMissing(t *testing.T) {
	body := []byte("body")
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	v, err := ittybit.NewWebhookVerifier("whsec_"+secret, ittybit.WithUntimestampedSignatures())
	require.NoError(t, err)
	text := v.Explain(body, hex.EncodeToString(mac.Sum(nil)))
	assert.Contains(t, text, "For Verify to accept it: give the secret without its whsec_.\n", text)
}

func TestExplain_givesTimesInUTCAndMilliseconds(t *testing.T) {
	const at = "2025-01-10T18:05:22+05:30"
	v := publicVerifier(t, ittybit.WithClock(func() time.Time { return signedAt.Add(1_234_567) }))
	text := v.Explain([]byte("body"), "t="+at+",v1="+hexOf(at, "body"))
	assert.Contains(t, text, "RFC 3339: 2025-01-10T12:35:22Z, 1ms before now")
}

func TestExplain_readsTheLongestHeaderThatVerifyReads(t *testing.T) {
	header := padded("01736512522", hexOf("01736512522", "body"), 4096)
	text := publicVerifier(t).Explain([]byte("body"), header)
	assert.Contains(t, text, "Verify accepts")
	assert.Contains(t, text, "Matches: HMAC-SHA256 over t.body")
}

func TestExplain_thePlanThatItGivesForABinarySecretWorks(t *testing.T) {
	const body = `{"id":"task_1"}`
	for _, decoded := range [][]byte{
		append([]byte(" \n"), "the bytes of a secret"...), append([]byte("the bytes of a secret"), '\t'),
		{0xff, 0xfe, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x20}, []byte("\u00a0secret of a kind\u2003"),
	} {
		whsec := "whsec_" + base64.StdEncoding.EncodeToString(decoded)
		mac := hmac.New(sha256.New, decoded)
		mac.Write([]byte("1736512522." + body))
		header := "t=1736512522,v1=" + hex.EncodeToString(mac.Sum(nil))

		v, err := ittybit.NewWebhookVerifier(whsec, ittybit.WithClock(signedClock))
		require.NoError(t, err)
		assert.Contains(t, v.Explain([]byte(body), header), "with secret 1 base64-decoded.\n"+
			"For Verify to accept it: decode the secret from base64 and give the bytes to WithSecretBytes.")

		given := bytes.Clone(decoded)
		v, err = ittybit.NewWebhookVerifier(whsec, ittybit.WithClock(signedClock), ittybit.WithSecretBytes(given))
		require.NoError(t, err)
		clear(given) // the verifier has a copy
		text := v.Explain([]byte(body), header)
		assert.Contains(t, text, "Verify accepts")
		assert.Contains(t, text, "with secret 2 as given")
	}
}

// Under GODEBUG=fips140=only, crypto/hmac panics for keys of fewer than 14 bytes.
func TestExplain_triesNoKeyThatFIPSRefuses(t *testing.T) {
	encoded := base64.StdEncoding.EncodeToString([]byte("short")) // whsec_ and eight characters
	v, err := ittybit.NewWebhookVerifier("whsec_"+encoded, ittybit.WithClock(signedClock))
	require.NoError(t, err)
	mac := hmac.New(sha256.New, []byte("whsec_"+encoded))
	mac.Write([]byte("1736512522.body"))
	text := v.Explain([]byte("body"), "t=1736512522,v1="+hex.EncodeToString(mac.Sum(nil)))
	assert.Contains(t, text, "with secret 1 as given")
}

func TestKeyAllowed(t *testing.T) {
	assert.True(t, signature.KeyAllowed(signature.MinFIPSKey))
	for length := range signature.MinFIPSKey {
		assert.Equal(t, !fips140.Enforced(), signature.KeyAllowed(length), length)
	}
}

// A process in FIPS mode, which a test can't switch to, refuses a short secret and panics nowhere.
func TestFIPS(t *testing.T) {
	if fips140.Enforced() {
		for _, secret := range []string{"x", strings.Repeat("x", 13)} {
			var refused *ittybit.ParamError
			_, err := ittybit.NewWebhookVerifier(secret)
			require.ErrorAs(t, err, &refused)
			assert.Contains(t, err.Error(), "shorter than 14 bytes")
			_, err = ittybit.NewWebhookHandler(secret, ittybit.NewEventMux())
			require.ErrorAs(t, err, &refused)
			_, err = ittybit.NewWebhookVerifier(strings.Repeat("x", 14), ittybit.WithSecrets(secret))
			require.ErrorAs(t, err, &refused)
			_, err = ittybit.NewWebhookVerifier(strings.Repeat("x", 14), ittybit.WithSecretBytes([]byte(secret)))
			require.ErrorAs(t, err, &refused)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^(TestFIPS|TestExplain|TestKeyAllowed|TestKeys|TestVerify|TestSign)")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Contains(t, string(output), "PASS")
}
