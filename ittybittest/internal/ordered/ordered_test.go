package ordered

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestObject_keepsWhatWasSent(t *testing.T) {
	const sent = `{"b":1.50,"a":{"z":null,"y":"<&>"},"n":12345678901234567890,"u":"\u00e9"}`
	o, err := Parse([]byte(sent))
	require.NoError(t, err)
	assert.Equal(t, sent, string(Encode(o)))
	assert.Equal(t, `{"b":2,"a":{"z":null,"y":"<&>"},"n":12345678901234567890,"u":"\u00e9","c":null}`, string(Encode(o.Set("b", 2).Set("c", nil))))
	assert.Equal(t, sent, string(Encode(o)), "Set makes a copy")
	assert.Equal(t, `{"b":1.50}`, string(Encode(o.Without("a", "n", "u"))))
	assert.Equal(t, `{"b":3,"x":"y"}`, string(Encode(o.Without("a", "n", "u").Merge(Object{}.Set("b", 3).SetText("x", "y").SetText("z", "")))))

	var again Object
	require.NoError(t, json.Unmarshal(Encode(o), &again))
	assert.Equal(t, string(Encode(o)), string(Encode(again)))
	require.NoError(t, json.Unmarshal([]byte("null"), &again))
	assert.Nil(t, again)
	assert.Equal(t, "null", string(Encode(again)))
}

func TestObject_gives(t *testing.T) {
	o, err := Parse([]byte(`{"s":"text","n":null,"m":{"deep":{"er":7},"x.y":1},"i":[1, 2]}`))
	require.NoError(t, err)
	_, ok := o.Get("n")
	assert.False(t, ok, "null is not there")
	assert.True(t, o.Has("n"))
	text, err := o.Text("s")
	require.NoError(t, err)
	assert.Equal(t, "text", text)
	text, err = o.Text("n")
	require.NoError(t, err)
	assert.Empty(t, text)
	_, err = o.Text("m")
	require.EqualError(t, err, "m must be a string.")
	assert.Empty(t, o.String("i"))
	assert.Equal(t, "null", string(o.OrNull("nothing")))
	for path, want := range map[string]string{"s": `"text"`, "m.deep.er": "7", "m.x.y": "1", "m.deep.no": "", "s.x": "", "i.0": ""} {
		value, found := o.Find(path)
		assert.Equal(t, want, string(value), path)
		assert.Equal(t, want != "", found, path)
	}
	items, ok := Array(o.OrNull("i"))
	assert.True(t, ok)
	assert.Len(t, items, 2)
	_, ok = Array(o.OrNull("m"))
	assert.False(t, ok)
	assert.Equal(t, []string{"text", "7", ""}, []string{Scalar([]byte(`"text"`)), Scalar([]byte("7")), Scalar(nil)})
}

func TestParse_saysWhatIsWrong(t *testing.T) {
	for text, words := range map[string]string{
		"": "is not valid JSON", "{": "is not valid JSON", `{"a"}`: "is not valid JSON", `{"a":1,}`: "is not valid JSON",
		"[]": "must be a JSON object", "null": "must be a JSON object", `{"a":1,"a":2}`: `has the field "a" twice`,
		"{} {}": "has something after the JSON object", "{}x": "has something after the JSON object", "{\"a\":\"\xff\"}": "is not valid UTF-8",
	} {
		_, err := Parse([]byte(text))
		require.EqualError(t, err, words, text)
	}
}
