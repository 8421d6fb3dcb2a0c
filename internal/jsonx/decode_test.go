package jsonx

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type part struct {
	Name string `json:"name,omitempty"`
	err  error
}

func (p *part) UnmarshalJSON(text []byte) error {
	if !IsObject(text) {
		return ErrNotObject
	}
	*p = part{}
	p.err = Decode(text, p)
	return nil
}

func (p *part) DecodeError() error { return p.err }

type whole struct {
	ID      string            `json:"id"`
	Count   int               `json:"count,omitempty"`
	Size    int64             `json:"size,omitempty"`
	Ratio   float64           `json:"ratio,omitempty"`
	Flag    bool              `json:"flag,omitempty"`
	Created time.Time         `json:"created,omitzero"`
	Ended   time.Time         `json:"ended_at,omitzero"`
	Raw     json.RawMessage   `json:"raw,omitempty"`
	Own     map[string]any    `json:"own,omitempty"`
	URLs    map[string]string `json:"urls,omitempty"`
	Parts   []*part           `json:"parts,omitempty"`
	Values  []part            `json:"values,omitzero"`
	One     part              `json:"one,omitzero"`
	Unseen  string            `json:"-"`
	hidden  string
}

func TestDecode_readsEachFieldLeniently(t *testing.T) {
	var got whole
	require.NoError(t, Decode([]byte(`{"id":"x","count":"7","size":1e3,"ratio":"0.5","flag":true,"created_at":1735689600,"ended":"2025-01-01T00:00:00Z",
		"raw": {"a":1} ,"own":{"n":1.50},"urls":{"a":"b"},"parts":[{"name":"p"},null],"values":[{"name":"v"}],"one":{"name":"o"},"Unseen":"u","hidden":"h","new":1}`), &got))
	assert.Empty(t, got.hidden)
	at := time.Unix(1735689600, 0).UTC()
	assert.Equal(t, whole{
		ID: "x", Count: 7, Size: 1000, Ratio: 0.5, Flag: true, Created: at, Ended: at, Raw: json.RawMessage(`{"a":1}`),
		Own: map[string]any{"n": json.Number("1.50")}, URLs: map[string]string{"a": "b"}, Parts: []*part{{Name: "p"}}, Values: []part{{Name: "v"}}, One: part{Name: "o"},
	}, got)
	require.ErrorIs(t, Decode([]byte(`[]`), &got), ErrNotObject)
}

func TestDecode_namesEveryFieldThatDoesNotFitAndReadsTheOthers(t *testing.T) {
	var got whole
	err := Decode([]byte(`{"count":"many","size":9223372036854775808,"ratio":[],"flag":1,"created":"soon","own":[],"urls":7,"parts":[{"name":1},7],"values":{},"one":"o","id":"x"}`), &got)
	assert.Equal(t, "x", got.ID)
	require.Len(t, got.Parts, 1, "an object is there, whatever its fields are")
	var fields FieldErrors
	require.ErrorAs(t, err, &fields)
	var paths []string
	for _, field := range fields {
		paths = append(paths, field.Path)
		require.ErrorIs(t, err, field.Err)
	}
	assert.Equal(t, []string{"count", "size", "ratio", "flag", "created", "own", "urls", "parts[0].name", "parts[1]", "values", "one"}, paths)
	assert.ErrorContains(t, err, `field "count": is not a number; field "size": is out of range; `)
}

func TestDecode_theTagsOwnNameGoesFirst(t *testing.T) {
	for _, text := range []string{`{"created":1,"created_at":2,"ended":3,"ended_at":4}`, `{"ended_at":4,"ended":3,"created_at":2,"created":1}`} {
		var got whole
		require.NoError(t, Decode([]byte(text), &got))
		assert.Equal(t, []int64{1, 4}, []int64{got.Created.Unix(), got.Ended.Unix()}, text)
	}
	var got whole
	require.NoError(t, Decode([]byte(`{"created":null,"created_at":2}`), &got))
	assert.Equal(t, int64(2), got.Created.Unix(), "null is no time")
}

func TestDecode_keepsAFewErrorsOfMany(t *testing.T) {
	var got whole
	err := Decode([]byte(`{"parts":[`+strings.Repeat(`{"name":1},`, 500)+`{}],"id":7}`), &got)
	var fields FieldErrors
	require.ErrorAs(t, err, &fields)
	assert.Len(t, fields, maxFieldErrors)
	require.ErrorContains(t, Decode([]byte(`{"values":[`+strings.Repeat(`{},`, maxObjects)+`{}]}`), &got), "more than 10000 elements")
}

func TestMarshalDecoded_losesNothingAndChangesWhatWasChanged(t *testing.T) {
	const text = `{"new":{"a":1.50},"id":"x","count":"7","created_at":1735689600,"flag":"yes","own":{"n":1e2},"parts":[{"name":"p","more":1}],"done":5,"size":1}`
	read := func() *whole {
		w := new(whole)
		require.Error(t, Decode([]byte(text), w)) // flag does not fit
		return w
	}
	for name, c := range map[string]struct {
		change func(*whole)
		want   string
	}{
		"nothing":        {func(*whole) {}, text},
		"a number":       {func(w *whole) { w.Count = 8 }, strings.Replace(text, `"7"`, `8`, 1)},
		"a time":         {func(w *whole) { w.Created = time.Unix(0, 0).UTC() }, strings.Replace(text, `"created_at":1735689600,`, ``, 1)[:len(text)-len(`"created_at":1735689600,`)-1] + `,"created":"1970-01-01T00:00:00Z"}`},
		"to nothing":     {func(w *whole) { w.Size, w.Own = 0, map[string]any{} }, strings.NewReplacer(`,"size":1`, ``, `"own":{"n":1e2},`, ``).Replace(text)},
		"what is not in": {func(w *whole) { w.Ratio = 2 }, text[:len(text)-1] + `,"ratio":2}`},
		"what was odd":   {func(w *whole) { w.Flag = true }, strings.Replace(text, `"yes"`, `true`, 1)},
		"another name":   {func(w *whole) { w.Raw = json.RawMessage(`6`) }, strings.Replace(text, `"done":5,`, ``, 1)[:len(text)-len(`"done":5,`)-1] + `,"raw":6}`},
	} {
		changed := read()
		c.change(changed)
		got, err := MarshalDecoded([]byte(text), changed, read(), map[string]string{"done": "raw"})
		require.NoError(t, err, name)
		assert.Equal(t, c.want, string(got), name)
	}
	changed := read()
	changed.Own["n"] = func() {}
	_, err := MarshalDecoded([]byte(text), changed, read(), nil)
	require.Error(t, err)
	_, err = MarshalDecoded([]byte(`[]`), changed, read(), nil)
	require.ErrorIs(t, err, ErrNotObject)
}

func TestFieldErrors_addPutsTheNamesOfNestedFieldsTogether(t *testing.T) {
	inner := FieldErrors{}.Add("width", errors.New("is not a number")).Add("", errors.New("is short"))
	outer := FieldErrors{}.Add("file", inner).Add("nothing", nil)
	assert.EqualError(t, outer, `field "file.width": is not a number; field "file": is short`)
}

func TestDecodeValue_isDecodeOfOneField(t *testing.T) {
	var parts []part
	require.NoError(t, DecodeValue(nil, &parts))
	assert.Nil(t, parts)
	require.Error(t, DecodeValue([]byte(`[{"name":"a"},7]`), &parts))
	assert.Equal(t, []part{{Name: "a"}, {}}, parts, "none is left out")
	var texts []string
	require.NoError(t, DecodeValue([]byte(`["a"]`), &texts))
	assert.Equal(t, []string{"a"}, texts)
}

// listed is an object that lists have pointers to.
type listed struct{ text string }

func (l *listed) UnmarshalJSON(text []byte) error {
	l.text = string(text)
	return nil
}

func TestDecodeObjects_replacesWhatWasThere(t *testing.T) {
	got := []*listed{{"old"}}
	require.NoError(t, DecodeObjects([]byte(`null`), &got, IsNull))
	assert.Equal(t, []*listed{{"old"}}, got, "null changes nothing")
	require.NoError(t, DecodeObjects([]byte(`[{},null]`), &got, IsNull))
	assert.Equal(t, []*listed{{"{}"}}, got)
	require.NoError(t, DecodeObjects([]byte(`[]`), &got, IsNull))
	assert.Equal(t, []*listed{}, got, "empty, and not nil")
	err := DecodeObjects([]byte(`[`+strings.Repeat(`{},`, maxObjects)+`{}]`), &got, IsNull)
	require.ErrorIs(t, err, errTooMany)
	assert.Len(t, got, maxObjects, "the first ones are kept")
}
