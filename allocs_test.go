package ittybit_test

import (
	"bytes"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func TestVerify_doesNotAllocateWhenItSucceeds(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool allocates under the race detector")
	}
	for size, body := range map[string][]byte{"300 B": bytes.Repeat([]byte("x"), 300), "64 KiB": bytes.Repeat([]byte("x"), 64<<10), "no body": nil} {
		inHex := ittybit.SignWebhook(webhookSecret, signedAt, body)
		inBase64 := "t=1736512522,v1=" + base64.RawURLEncoding.EncodeToString(signedMAC("1736512522", string(body)))
		millis := "t=1736512522000,v1=" + signedHex("1736512522000", string(body))
		rfc3339 := "t=2025-01-10T12:35:22Z,v1=" + signedHex("2025-01-10T12:35:22Z", string(body))
		for form, header := range map[string]string{
			"hex": inHex, "base64url": inBase64, "milliseconds": millis, "RFC 3339": rfc3339,
			"several values": "v0=x, v1=00, " + inHex + ",v2=y",
		} {
			for secrets, opts := range map[string][]ittybit.VerifierOption{
				"1 secret": nil, "2 secrets": {ittybit.WithSecrets("old")},
			} {
				t.Run(size+", "+form+", "+secrets, func(t *testing.T) {
					v := webhookVerifier(t, opts...)
					require.NoError(t, v.Verify(body, header))
					assert.Zero(t, testing.AllocsPerRun(100, func() {
						if v.Verify(body, header) != nil {
							t.Error("refused")
						}
					}))
				})
			}
		}
		// The last of several secrets: all of them are tried.
		t.Run(size+", rotated", func(t *testing.T) {
			v, err := ittybit.NewWebhookVerifier("new", ittybit.WithSecrets(webhookSecret), ittybit.WithClock(signedClock))
			require.NoError(t, err)
			require.NoError(t, v.Verify(body, inHex))
			assert.Zero(t, testing.AllocsPerRun(100, func() {
				if v.Verify(body, inHex) != nil {
					t.Error("refused")
				}
			}))
		})
	}
}
