package riverevents

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ittybit/ittybit-go/internal/redact"
)

// What is masked is what the root module masks.
func TestRedacted_masksAsTheRootModuleDoes(t *testing.T) {
	secret := strings.Repeat("5eC7", 16)
	for _, text := range []string{
		"https://cdn.example.com/a.mp4?expiry=1&signature=" + secret + "&x=1",
		"https://example.com/?next=https%3A%2F%2Fcdn.example.com%3Fsignature%3D" + secret,
		"https://example.com/?next=https%253A%252F%252Fcdn.example.com%253Fsignature%253D" + secret + "%2526x",
		`{"url":"https://cdn.example.com/a?b=1\u0026signature=` + secret + `\u0026c=2"}`,
		`{"signature": "` + secret + `", "id": 1}`,
		`"{\"v1\":\"` + secret + `\"}"`,
		"Ittybit-Signature: t=1,v1=" + secret,
		"ittybit-signature: " + secret,
		"SIGNATURE = " + secret,
	} {
		got := redacted(text)
		assert.Equal(t, redact.Text(text), got)
		assert.NotContains(t, got, secret)
	}
	for _, text := range []string{"", "nothing to mask", "the signature is missing", "v1 is the version"} {
		assert.Equal(t, text, redacted(text))
	}
}
