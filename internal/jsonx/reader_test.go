package jsonx

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestObject_readsEachFieldOnce(t *testing.T) {
	text := []byte(" \r\n\t{ \"a\" : \"x\\\"]}\" , \"\\u0062\\n\":[{\"c\":\"}\"},[\"\\\\\"]],\"\":-1.5e3 , \"d\":null}\n")
	var names, values []string
	object := NewObject(text)
	for object.Next() {
		names, values = append(names, string(object.Name())), append(values, string(object.Value()))
	}
	require.NoError(t, object.Err())
	assert.Equal(t, []string{"a", "b\n", "", "d"}, names)
	assert.Equal(t, []string{`"x\"]}"`, `[{"c":"}"},["\\"]]`, `-1.5e3`, `null`}, values)
	assert.False(t, object.Next(), "it stays at the end")
}

func TestObject_valuesDoNotReachBeyondThemselves(t *testing.T) {
	text := []byte(`{"a":[1],"b":2}`)
	object := NewObject(text)
	require.True(t, object.Next())
	_ = append(object.Value(), "xxxx"...)
	assert.Equal(t, `{"a":[1],"b":2}`, string(text))
	assert.Equal(t, 3, cap(object.Value()))
}

func TestObject_readsWhatItIsAskedFor(t *testing.T) {
	type word string
	var (
		name           word
		width          int
		size           int64
		ratio          float64
		on, off        bool
		created, ended time.Time
	)
	object := NewObject([]byte(`{"name":"caf\u00e9 \ud83d\ude00","width":"640","size":9223372036854775807,"ratio":"0.25","on":true,"off":false,
		"created":"2025-01-01T01:02:03Z","ended":1735693323,"more":[]}`))
	off = true
	for object.Next() {
		switch string(object.Name()) {
		case "name":
			String(&object, &name)
		case "width":
			Whole(&object, &width)
		case "size":
			Whole(&object, &size)
		case "ratio":
			object.Fail(DecodeValue(object.Value(), &ratio))
		case "on":
			object.Fail(DecodeValue(object.Value(), &on))
		case "off":
			object.Fail(DecodeValue(object.Value(), &off))
		case "created":
			object.Time(&created)
		case "ended":
			object.Time(&ended)
		}
	}
	require.NoError(t, object.Err())
	assert.Equal(t, word("café 😀"), name)
	assert.Equal(t, 640, width)
	assert.Equal(t, int64(math.MaxInt64), size)
	assert.InDelta(t, 0.25, ratio, 0)
	assert.True(t, on)
	assert.False(t, off)
	at := time.Date(2025, 1, 1, 1, 2, 3, 0, time.UTC)
	assert.True(t, created.Equal(at), created)
	assert.True(t, ended.Equal(at), ended)
}

func TestString_takesTheUsualOnesWithoutAnAllocation(t *testing.T) {
	for text, want := range map[string]string{
		`"task"`: "task", `"event"`: "event", `"tas"`: "tas", `"tasks"`: "tasks", `"t\u0061sk"`: "task", `"TASK"`: "TASK", `""`: "", `null`: "before",
	} {
		object := NewObject([]byte(`{"x":` + text + `}`))
		require.True(t, object.Next())
		got := "before"
		String(&object, &got, "task", "event")
		require.NoError(t, object.Err(), text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{`xtaskx`, `[task]`, `123456`} { // as long as "task"
		object := NewObject([]byte(`{"x":` + text + `}`))
		require.True(t, object.Next())
		got := "before"
		String(&object, &got, "task", "event", "2345")
		require.ErrorContains(t, object.Err(), "is not a string", text)
		assert.Equal(t, "before", got)
	}
	text, got := []byte(`{"x":"task"}`), ""
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		object := NewObject(text)
		for object.Next() {
			String(&object, &got, "event", "task")
		}
	}))
	assert.Equal(t, "task", got)
}

func TestObject_nullAndWhatCanNotBeReadChangeNothing(t *testing.T) {
	at := time.Unix(1, 0)
	for _, text := range []string{
		`null`, `{}`, `[]`, `"2e"`, `1e999`, `truer`, // the last is not valid JSON, and no trap either
	} {
		name, width, ratio, flag, created := "n", 7, 7.5, true, at
		read := map[string]func(o *Object){
			"String": func(o *Object) { String(o, &name) },
			"Whole":  func(o *Object) { Whole(o, &width) },
			"Float":  func(o *Object) { o.Fail(DecodeValue(o.Value(), &ratio)) },
			"Bool":   func(o *Object) { o.Fail(DecodeValue(o.Value(), &flag)) },
			"Time":   func(o *Object) { o.Time(&created) },
		}
		for method, call := range read {
			object := NewObject([]byte(`{"x":` + text + `}`))
			require.True(t, object.Next())
			call(&object)
			switch {
			case text == "null":
				require.NoError(t, object.Err(), method)
			case method == "String" && text == `"2e"`:
				require.NoError(t, object.Err())
				assert.Equal(t, "2e", name)
				name = "n"
			default:
				require.ErrorContains(t, object.Err(), `field "x": `, "%s of %s", method, text)
			}
		}
		assert.Equal(t, "n", name, text)
		assert.Equal(t, 7, width, text)
		assert.InDelta(t, 7.5, ratio, 0, text)
		assert.True(t, flag, text)
		assert.Equal(t, at, created, text)
	}
}

func TestWhole_refusesWhatItsTypeHasNoRoomFor(t *testing.T) {
	// int is as large as int64 on most machines: the narrow one is looked at by its text.
	object := NewObject([]byte(`{"x":9223372036854775808}`))
	require.True(t, object.Next())
	n := 7
	Whole(&object, &n)
	require.ErrorContains(t, object.Err(), "out of range")
	assert.Equal(t, 7, n)

	object = NewObject([]byte(`{"x":4294967296}`))
	require.True(t, object.Next())
	Whole(&object, &n)
	if math.MaxInt == math.MaxInt64 {
		require.NoError(t, object.Err())
		assert.Equal(t, int64(1<<32), int64(n))
	} else {
		require.ErrorContains(t, object.Err(), "out of range")
		assert.Equal(t, 7, n)
	}
}

func TestObject_namesTheFieldsThatCannotBeRead(t *testing.T) {
	object := NewObject([]byte(`{"a":1,"b":"x","c":true}`))
	var text string
	for object.Next() {
		String(&object, &text)
	}
	object.FailAt("later", assert.AnError)
	require.EqualError(t, object.Err(), `field "a": is not a string; field "c": is not a string; field "later": `+assert.AnError.Error())
	assert.Equal(t, "x", text)

	object = NewObject([]byte(`{}`))
	object.FailAt("nothing", nil)
	require.NoError(t, object.Err())
	object.FailAt("parts", assert.AnError)
	require.ErrorIs(t, object.Err(), assert.AnError)
	require.ErrorContains(t, object.Err(), `field "parts": `)
}

func TestNewObject_whatIsNoObjectHasNoFieldsAndAnError(t *testing.T) {
	for _, text := range []string{``, ` `, `null`, `[]`, `"{}"`, `1`} {
		object := NewObject([]byte(text))
		assert.False(t, object.Next(), text)
		require.Error(t, object.Err(), text)
	}
}

func TestElements_givesEachWhereItStands(t *testing.T) {
	elements, ok := Elements([]byte(` [ 1 , "a,]" , {"x":[1,2]} , [ ] , null ] `))
	require.True(t, ok)
	assert.Equal(t, []json.RawMessage{json.RawMessage(`1`), json.RawMessage(`"a,]"`), json.RawMessage(`{"x":[1,2]}`), json.RawMessage(`[ ]`), json.RawMessage(`null`)}, elements)

	elements, ok = Elements([]byte(`[]`))
	require.True(t, ok)
	assert.Empty(t, elements)
	for _, text := range []string{``, `null`, `{}`, `"[]"`} {
		_, ok := Elements([]byte(text))
		assert.False(t, ok, text)
	}
}

func TestCheck_speaksAsEncodingJSONDoes(t *testing.T) {
	require.NoError(t, Check([]byte(` {"a":[1]} `)))
	for _, text := range []string{``, `{`, `{"a":1}x`, `{"a":01}`, "\xef\xbb\xbf{}", strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001)} {
		require.EqualError(t, Check([]byte(text)), json.Unmarshal([]byte(text), new(any)).Error())
	}
}

func TestObject_doesNotAllocate(t *testing.T) {
	text := []byte(`{"a":[1,2,{"b":"c"}],"t":"2025-01-01T01:02:03Z","n":"12","f":0.5,"y":true}`)
	var at time.Time
	var n int
	allocs := testing.AllocsPerRun(100, func() {
		object := NewObject(text)
		for object.Next() {
			switch string(object.Name()) {
			case "t":
				object.Time(&at)
			case "n":
				Whole(&object, &n)
			}
		}
	})
	assert.Zero(t, allocs)
	assert.Equal(t, 12, n)
}

// FuzzObject holds the reader to encoding/json: the same fields and elements with the
// same text, and on text that is not JSON an end without a panic.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, `{"a":1,"a":2}`, ` { "a" : [ 1 , { "b" : "\\\"" } ] , "\u0061" : null } `, `["\\", "]", "\"", {}]`, `{"a`, `{"a":`, `{"a":}`, `{"a":1,,}`, `[1,`, `[,]`,
		`{"\\":"\\\\","\"":"\\\""}`, "{\"\xff\xfe\":\"\xff\xfe\"}", `{"a":1}{"b":2}`, `[1 2]`, `{:}`, `[[[[[]]]]]`, `1E1000`, "[\"\x00\"]", `{"\ud800":0}`,
	} {
		f.Add([]byte(seed))
	}
	for _, seed := range []string{`[[1`, `{"a":[1`, `["a`, `{"a":{"b":"c`, `["a\\`, `["a\"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		text = slices.Clip(text) // so that nothing can be read behind its end
		before := bytes.Clone(text)
		object := NewObject(text)
		var names []string
		var values []json.RawMessage
		for object.Next() {
			require.LessOrEqual(t, len(names), len(text), "it gets on")
			names, values = append(names, string(object.Name())), append(values, object.Value())
			_, _ = unquote(object.Value())
		}
		elements, isList := Elements(text)
		require.LessOrEqual(t, len(elements), len(text), "it gets on")
		require.Equal(t, before, text, "the text is not touched")
		if Check(text) != nil {
			return
		}
		var list []json.RawMessage
		require.Equal(t, isList, json.Unmarshal(text, &list) == nil && list != nil)
		require.Len(t, elements, len(list))
		for i := range list {
			require.Equal(t, string(list[i]), string(elements[i]))
		}
		wantNames, wantValues, isObject := membersByDecoder(t, text)
		require.Equal(t, isObject, object.Err() == nil)
		require.Len(t, names, len(wantNames))
		for i := range wantNames {
			require.Equal(t, wantNames[i], names[i])
			require.Equal(t, string(wantValues[i]), string(values[i]))
			var want string
			if json.Unmarshal(values[i], &want) == nil && !isNull(values[i]) {
				got, err := unquote(values[i])
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
		}
	})
}

// membersByDecoder takes an object apart with the tokens of encoding/json.
func membersByDecoder(t *testing.T, text []byte) (names []string, values []json.RawMessage, isObject bool) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	token, err := dec.Token()
	require.NoError(t, err)
	if token != json.Delim('{') {
		return nil, nil, false
	}
	for dec.More() {
		token, err := dec.Token()
		require.NoError(t, err)
		name, ok := token.(string)
		require.True(t, ok)
		var value json.RawMessage
		require.NoError(t, dec.Decode(&value))
		names, values = append(names, name), append(values, value)
	}
	return names, values, true
}

// FuzzCheck holds the check to encoding/json: what it passes without asking there, would
// pass there too, and nothing that would pass there is refused.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, `""`, `0`, `-0`, `-`, `01`, `-01`, `1.`, `.5`, `1.5e`, `1e+`, `1E-05`, `1e5.5`, `+1`, `0x1`, `1_0`, `Infinity`, `nul`, `nulll`, `true `, `tru`, ` false`, `True`,
		`{"a":1}`, `{"a":1,}`, `{"a"}`, `{"a":}`, `{,}`, `{a:1}`, `{"a":1 "b":2}`, `{"a":1}}`, `{"a":1`, `[1,2]`, `[1,]`, `[,1]`, `[1 2]`, `[1`, `]`, `}`, `:`, `,`, ``, ` `,
		`"\u00e9\n\/"`, `"\u00g0"`, `"\u00"`, `"\x"`, `"\`, `"`, "\"\x1f\"", "\"\x7f\xff\"", "\"\n\"", `"\""`, "\xef\xbb\xbf{}", "{}\x00", "\v1", "[1]\f", `{"a":{"b":[{"c":[[]]}]}}`,
		strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001),
		strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), strings.Repeat(`{"a":`, 10_001) + "1" + strings.Repeat("}", 10_001),
	} {
		f.Add([]byte(seed))
	}
	for _, seed := range []string{
		`"a b"`, ` `, `[ ]`, `{ }`, `[`, `{`, `[[1`, `{"a":[1`, `["a`, `{"a":1,"b":[2 , 3] , "c":{}}`, `{"a":1,"b"`, `9`, `1923456780`, `0.9`, `1e9`, `1e-5`, `1e+5`, `1e*5`, `1.e5`,
		`"\u0123\u4567\u89ab\ucdef\uABCD\uEF00"`, `"\u1234`, `"\u12345"`, `"\u123g"`, `"\u123`, `"\u/000"`, `"\u:000"`, `"\u@000"`, `"\uG000"`, "\"\\u`000\"", `t`, `f`, `n`, `fals`, `falsee`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		text = slices.Clip(text) // so that nothing can be read behind its end
		end := validValue(text, skipSpaceAt(text, 0), 0)
		require.LessOrEqual(t, end, len(text))
		require.Equal(t, json.Valid(text), end >= 0 && skipSpaceAt(text, end) == len(text))
		require.Equal(t, json.Valid(text), Check(text) == nil)
	})
}
