package signature_test

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/internal/signature"
)

// signedVector is a signature made by OpenSSL: testdata/make_signature_vectors.sh.
type signedVector struct {
	Name      string `json:"name"`
	Secret    string `json:"secret"`
	Timestamp string `json:"timestamp"`
	Body      []byte `json:"body"` // base64 in the file: bytes are bytes
	Hex       string `json:"hex"`
	Base64URL string `json:"base64url"`
	BareHex   string `json:"hex_of_body_alone"`
}

// signedAt is the time of all vectors, but for fractions of a second.
var signedAt = time.Unix(1736512522, 0)

func signedVectors(tb testing.TB) []signedVector {
	tb.Helper()
	data, err := os.ReadFile("testdata/signature_vectors.json")
	require.NoError(tb, err)
	var vectors []signedVector
	require.NoError(tb, json.Unmarshal(data, &vectors))
	require.Len(tb, vectors, 10)
	return vectors
}

func TestVerify_acceptsWhatOpenSSLSigned(t *testing.T) {
	for _, vector := range signedVectors(t) {
		t.Run(vector.Name, func(t *testing.T) {
			v := verifier{keys: signature.NewKeys([][]byte{[]byte(vector.Secret)})}

			assert.NoError(t, v.Verify(vector.Body, "t="+vector.Timestamp+",v1="+vector.Hex))
			assert.NoError(t, v.Verify(vector.Body, "t="+vector.Timestamp+",v1="+strings.ToUpper(vector.Hex)))
			assert.NoError(t, v.Verify(vector.Body, "t="+vector.Timestamp+",v1="+vector.Base64URL))
			assert.ErrorIs(t, v.Verify(append(vector.Body, ' '), "t="+vector.Timestamp+",v1="+vector.Hex), signature.ErrMismatch)
			assert.ErrorIs(t, v.Verify(vector.Body, "t="+vector.Timestamp+",v1="+vector.BareHex), signature.ErrMismatch)
		})
	}
}

func TestVerify_acceptsTheBareFormThatOpenSSLSigned(t *testing.T) {
	for _, vector := range signedVectors(t) {
		t.Run(vector.Name, func(t *testing.T) {
			v := verifier{keys: signature.NewKeys([][]byte{[]byte(vector.Secret)}), untimestamped: true}

			assert.NoError(t, v.Verify(vector.Body, vector.BareHex))
			assert.NoError(t, v.Verify(vector.Body, " "+strings.ToUpper(vector.BareHex)+" "))
			assert.ErrorIs(t, v.Verify(vector.Body, vector.Hex), signature.ErrMismatch)
		})
	}
}

func TestSign_signsAsOpenSSLDoes(t *testing.T) {
	signed := 0
	for _, vector := range signedVectors(t) {
		seconds, err := strconv.ParseInt(vector.Timestamp, 10, 64)
		if err != nil || seconds > 1e11 {
			continue // it writes unix seconds
		}
		signed++
		header := signature.Sign([]byte(vector.Secret), time.Unix(seconds, 999_999_999), vector.Body)
		assert.Equal(t, "t="+vector.Timestamp+",v1="+vector.Hex, header, vector.Name)
	}
	assert.Equal(t, 7, signed)
}
