package jsonx

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFields_keepsOrderAndTextOfValues(t *testing.T) {
	fields, err := Fields([]byte(` { "b" : 1.50 , "a":{"x": [ 1 ]}, "":null } `))
	require.NoError(t, err)
	require.Len(t, fields, 3)
	assert.Equal(t, Field{"b", json.RawMessage("1.50")}, fields[0])
	assert.Equal(t, "a", fields[1].Name)
	assert.JSONEq(t, `{"x":[1]}`, string(fields[1].Value))
	assert.Equal(t, Field{"", json.RawMessage("null")}, fields[2])
}

func TestFields_lastOfTheSameNameCounts(t *testing.T) {
	fields, err := Fields([]byte(`{"a":1,"b":2,"a":3}`))
	require.NoError(t, err)
	assert.Equal(t, []Field{{"a", json.RawMessage("3")}, {"b", json.RawMessage("2")}}, fields)
}

func TestFields_refusesWhatIsNoObject(t *testing.T) {
	for _, text := range []string{``, `null`, `[]`, `"x"`, `1`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{1:2}`, `{"a":tru}`, `{"a" 1}`} {
		_, err := Fields([]byte(text))
		assert.Error(t, err, text)
	}
}

func TestIndex_findsByExactName(t *testing.T) {
	fields := []Field{{"a", nil}, {"b", nil}}
	assert.Equal(t, 1, Index(fields, "b"))
	assert.Equal(t, -1, Index(fields, "B"))
	assert.Equal(t, -1, Index(nil, "a"))
}

func TestJoin_undoesFields(t *testing.T) {
	for _, text := range []string{`{}`, `{"a":1}`, `{"a<\"b":"x&y","c":[1,{"d":null}]}`} {
		fields, err := Fields([]byte(text))
		require.NoError(t, err)
		joined, err := Join(fields)
		require.NoError(t, err)
		assert.Equal(t, text, string(joined))
	}
}

func TestMarshalFields_takesAStructApart(t *testing.T) {
	fields, err := MarshalFields(struct {
		A int    `json:"a"`
		B string `json:"b,omitempty"`
	}{A: 1})
	require.NoError(t, err)
	assert.Equal(t, []Field{{"a", json.RawMessage("1")}}, fields)
}

func TestMarshalFields_refusesWhatIsNoObject(t *testing.T) {
	_, err := MarshalFields([]int{1})
	require.Error(t, err)
	_, err = MarshalFields(func() {})
	require.Error(t, err)
}

func TestMarshal_leavesURLsReadable(t *testing.T) {
	got, err := Marshal("https://a.example/?x=1&y=<2>")
	require.NoError(t, err)
	assert.Equal(t, `"https://a.example/?x=1&y=<2>"`, string(got))
}

func TestDecodeUseNumber_keepsEveryDigit(t *testing.T) {
	const text = `{"n":12345678901234567890123,"f":1.000000000000000000001}`
	var value any
	require.NoError(t, DecodeUseNumber([]byte(text), &value))
	written, err := Marshal(value)
	require.NoError(t, err)
	assert.Contains(t, string(written), "12345678901234567890123")
	assert.Contains(t, string(written), "1.000000000000000000001")

	assert.Error(t, DecodeUseNumber([]byte(`{`), &value))
}

func TestEqual_comparesMeaningNotSpelling(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`1`, `1`, true},
		{`30.0`, `30`, true},
		{`3e1`, `30`, true},
		{`-0.50`, `-0.5`, true},
		{`"caf\u00e9"`, `"café"`, true},
		{`true`, `true`, true},
		{`{"a":[1,"x"]}`, `{ "a": [1, "x"] }`, true},
		{`1`, `2`, false},
		{`1`, `"1"`, false},
		{`"50.0%"`, `"50%"`, false},
		{`null`, `false`, false},
		{`1`, `nonsense`, false},
		{`nonsense`, `1`, false},
		// float64 can't tell these apart, so that they can't be known to be the same.
		{`12345678901234567890`, `12345678901234567000`, false},
		{`29.970000000000000001`, `29.97`, false},
		{`9007199254740993`, `9007199254740992`, false},
		{`1e999`, `2e999`, false},
	} {
		assert.Equal(t, c.want, Equal(json.RawMessage(c.a), json.RawMessage(c.b)), "%s and %s", c.a, c.b)
	}
}

func TestStructFields_writesWhatEncodingJSONWrites(t *testing.T) {
	type object struct {
		Text     string         `json:"text"`
		NoText   string         `json:"no_text,omitempty"`
		List     []string       `json:"list"`
		NoList   []string       `json:"no_list,omitempty"`
		Empty    []string       `json:"empty,omitzero"`
		Map      map[string]any `json:"map,omitempty"`
		Pointer  *int           `json:"pointer,omitempty"`
		Any      any            `json:"any,omitempty"`
		At       time.Time      `json:"at,omitzero"`
		InZone   time.Time      `json:"in_zone,omitzero"`
		Hidden   int            `json:"-"`
		internal int
	}
	for _, v := range []object{
		{Hidden: 1, internal: 2, InZone: time.Time{}.In(time.FixedZone("", 3600))},
		{
			Text: "<&>", NoText: "a", List: []string{}, NoList: []string{"b"}, Empty: []string{}, Map: map[string]any{"c": 1.5},
			Pointer: new(0), Any: false, At: time.Unix(1, 0).UTC(), InZone: time.Unix(2, 0).UTC(),
		},
	} {
		want, err := Marshal(v)
		require.NoError(t, err)
		for _, given := range []any{v, &v} {
			fields, err := StructFields(given)
			require.NoError(t, err)
			got, err := Join(fields)
			require.NoError(t, err)
			assert.Equal(t, string(want), string(got))
		}
	}
	_, err := StructFields(struct {
		Bad func() `json:"bad"`
	}{})
	assert.Error(t, err)
}

func TestFieldNames_givesDeclaredFieldsOnly(t *testing.T) {
	type object struct {
		A int `json:"a"`
		B int `json:"b,omitempty"`
		C int `json:"-"`
		D int
	}
	assert.Equal(t, []string{"a", "b"}, FieldNames(reflect.TypeFor[object]()))
	assert.Equal(t, []string{"a", "b"}, FieldNames(reflect.TypeFor[*object]()))
}

func TestIsNull_isTrueForMissingAndNull(t *testing.T) {
	for _, text := range []string{"", " ", "null", " null\n"} {
		assert.True(t, IsNull(json.RawMessage(text)), "%q", text)
	}
	for _, text := range []string{"0", `""`, "{}", "[]", "false", `"null"`} {
		assert.False(t, IsNull(json.RawMessage(text)), "%q", text)
	}
}

func TestIsObject_looksAtTheFirstByte(t *testing.T) {
	assert.True(t, IsObject(json.RawMessage(" \t\r\n{}")))
	for _, text := range []string{"", " ", "[]", `"{}"`, "null"} {
		assert.False(t, IsObject(json.RawMessage(text)), "%q", text)
	}
}
