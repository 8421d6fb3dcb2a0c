package fields

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestObject_keepsWhatWasSent(t *testing.T) {
	const sent = `{"a":{"z":null,"y":"<&>"},"b":1.50,"n":12345678901234567890,"u":"\u00e9"}`
	o, err := Parse([]byte(sent))
	require.NoError(t, err)
	assert.Equal(t, sent, string(Encode(o)))
	assert.JSONEq(t, `{"b":2,"u":"\u00e9","c":null}`, string(Encode(o.Without("a", "n").Merge(Of(map[string]any{"b": 2, "c": nil})))))
	assert.Equal(t, sent, string(Encode(o)), "Without and Merge make copies")
	assert.Equal(t, "null", string(Encode(Object(nil))))
	assert.Nil(t, Of([]int{1}))
	assert.Equal(t, Object{}, Object(nil).Without("a"))
}

func TestObject_gives(t *testing.T) {
	o, err := Parse([]byte(`{"s":"text","n":null,"m":{"deep":{"er":7},"x.y":1},"i":[1, 2]}`))
	require.NoError(t, err)
	assert.True(t, o.Has("n"))
	assert.False(t, o.Has("x"))
	text, err := o.Text("s")
	require.NoError(t, err)
	assert.Equal(t, "text", text)
	text, err = o.Text("n")
	require.NoError(t, err)
	assert.Empty(t, text)
	_, err = o.Text("m")
	require.EqualError(t, err, "m must be a string.")
	assert.Empty(t, o.String("i"))
	for path, want := range map[string]string{"s": `"text"`, "n": "", "m.deep.er": "7", "m.x.y": "1", "m.deep.no": "", "s.x": "", "i.0": ""} {
		value, found := o.Find(path)
		assert.Equal(t, want, string(value), path)
		assert.Equal(t, want != "", found, path)
	}
	assert.Equal(t, []string{"text", "7", ""}, []string{Scalar([]byte(`"text"`)), Scalar([]byte("7")), Scalar(nil)})
}

func TestParse_saysWhatIsWrong(t *testing.T) {
	for text, words := range map[string]string{
		"": "is not valid JSON", "{": "is not valid JSON", `{"a"}`: "is not valid JSON", `{"a":1,}`: "is not valid JSON",
		"[]": "must be a JSON object", "null": "must be a JSON object", "7": "must be a JSON object",
		"{} {}": "after top-level value", "{}x": "after top-level value", "{\"a\":\"\xff\"}": "is not valid UTF-8",
	} {
		_, err := Parse([]byte(text))
		require.ErrorContains(t, err, words, text)
	}
}
