package blackbox

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// responseOf is an object of the API, and how it is got.
type responseOf struct {
	zero any // its type
	get  func(*testing.T, *ittybit.Client) (any, error)
	must string // what a response needs so as not to be refused; the id
}

func responseObjects() map[string]responseOf {
	return map[string]responseOf{
		"task": {ittybit.Task{}, func(t *testing.T, c *ittybit.Client) (any, error) {
			return endpointRead(c.Tasks.Get(t.Context(), "x_1"))
		}, `"id":"x_1"`},
		"automation": {ittybit.Automation{}, func(t *testing.T, c *ittybit.Client) (any, error) {
			return endpointRead(c.Automations.Get(t.Context(), "x_1"))
		}, `"id":"x_1"`},
		"media": {ittybit.Media{}, func(t *testing.T, c *ittybit.Client) (any, error) {
			return endpointRead(c.Media.Get(t.Context(), "x_1"))
		}, `"id":"x_1"`},
		"file": {ittybit.File{}, func(t *testing.T, c *ittybit.Client) (any, error) {
			return endpointRead(c.Files.Get(t.Context(), "x_1"))
		}, `"id":"x_1"`},
		"signed URL": {ittybit.SignedURL{}, func(t *testing.T, c *ittybit.Client) (any, error) {
			return endpointRead(c.SignedURLs.Create(t.Context(), ittybit.SignedURLCreateParams{Filename: "a"}))
		}, `"url":"https://you.ittybit.net/a"`},
	}
}

// responseFields gives the fields of an object by their names in JSON, without
// those that a response needs.
func responseFields(object responseOf) map[string]reflect.StructField {
	fields := make(map[string]reflect.StructField)
	for _, field := range reflect.VisibleFields(reflect.TypeOf(object.zero)) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.IsExported() && name != "" && name != "-" && !strings.HasPrefix(object.must, `"`+name+`"`) {
			fields[name] = field
		}
	}
	return fields
}

// responseRead reads a response with these further fields, and gives its DecodeError.
func responseRead(t *testing.T, object responseOf, fields string) (reflect.Value, error) {
	t.Helper()
	if fields != "" {
		fields = "," + fields
	}
	client, _ := apitest.Fake(t, apitest.Always(200, `{`+object.must+fields+`}`), ittybit.WithLogger(slog.New(slog.DiscardHandler)))
	got, err := object.get(t, client)
	require.NoError(t, err, "%s: an object with an id is a result, whatever its other fields are", fields)
	return reflect.ValueOf(got).Elem(), got.(interface{ DecodeError() error }).DecodeError()
}

func TestResponses_nullIsTheSameAsNoField(t *testing.T) {
	for name, object := range responseObjects() {
		var all []string
		for key, field := range responseFields(object) {
			all = append(all, `"`+key+`":null`)
			got, err := responseRead(t, object, `"`+key+`":null`)
			require.NoError(t, err, "%s: %s", name, key)
			if !got.FieldByIndex(field.Index).IsZero() {
				// A trigger remembers its null, to send back what was read.
				assert.Equal(t, "trigger", key, name)
			}
		}
		require.Greater(t, len(all), 5, name)
		got, err := responseRead(t, object, strings.Join(all, ","))
		require.NoError(t, err, name)
		for key, field := range responseFields(object) {
			assert.True(t, key == "trigger" || got.FieldByIndex(field.Index).IsZero(), "%s: %s", name, key)
		}
		assert.JSONEq(t, `{`+object.must+`,`+strings.Join(all, ",")+`}`, responseJSON(t, got), "%s: what was read is written", name)
	}
}

func responseJSON(t *testing.T, value reflect.Value) string {
	t.Helper()
	text, err := json.Marshal(value.Addr().Interface())
	require.NoError(t, err)
	return string(text)
}

func TestResponses_numbersMayBeQuoted(t *testing.T) {
	numbers := 0
	for name, object := range responseObjects() {
		for key, field := range responseFields(object) {
			var want string
			switch field.Type.Kind() {
			case reflect.Int, reflect.Int64, reflect.Float64:
				want = "12"
			default:
				continue
			}
			numbers++
			for _, text := range []string{`12`, `"12"`, `12.0`, `"12.0"`, `1.2e1`} {
				got, err := responseRead(t, object, `"`+key+`":`+text)
				require.NoError(t, err, "%s: %s: %s", name, key, text)
				assert.Equal(t, want, fmt.Sprint(got.FieldByIndex(field.Index)), "%s: %s: %s", name, key, text)
			}
		}
	}
	assert.Equal(t, 12, numbers)
}

// Whatever a field is that is of no use: it is named in an error, and comes with the rest.
func TestResponses_aFieldOfAnotherTypeIsNeverASilentZero(t *testing.T) {
	values := map[string]string{"a string": `"x"`, "a number": `7`, "a bool": `true`, "a list": `["x"]`, "a list of lists": `[[1]]`, "an object": `{"a":1}`}
	suits := map[reflect.Kind][]string{
		reflect.String: {"a string"}, reflect.Bool: {"a bool"}, reflect.Int: {"a number"}, reflect.Int64: {"a number"}, reflect.Float64: {"a number"},
		reflect.Slice: {}, reflect.Map: {"an object"}, reflect.Pointer: {"a string", "an object"}, reflect.Struct: {"a number", "an object"},
	}
	// What has a place for any JSON: RawInput, RawOutput, Results. Options that fit no type
	// are in RawJSON alone, and so are URLs among the inputs and outputs of later versions.
	keeps := map[string]bool{"input": true, "output": true, "results": true, "options": true, "inputs, a list": true, "outputs, a list": true}
	for name, object := range responseObjects() {
		for key, field := range responseFields(object) {
			for what, value := range values {
				if keeps[key] || keeps[key+", "+what] {
					continue
				}
				got, err := responseRead(t, object, `"`+key+`":`+value)
				switch {
				case err != nil:
					assert.ErrorContains(t, err, key, "%s: %s is %s", name, key, what)
				case got.FieldByIndex(field.Index).IsZero():
					t.Errorf("%s: %s is %s, and reads as nothing without an error", name, key, what)
				default:
					assert.Contains(t, suits[field.Type.Kind()], what, "%s: %s reads as %v", name, key, got.FieldByIndex(field.Index))
				}
				assert.Contains(t, string(endpointRaw(t, got.Addr().Interface())), `"`+key+`":`+value, "it is in RawJSON all the same")
			}
		}
	}
}

func TestResponses_timesOfEveryAPIVersion(t *testing.T) {
	want := time.Date(2025, 1, 1, 1, 23, 45, 0, time.UTC)
	aliases := map[string][]string{"created": {"created_at"}, "updated": {"updated_at"}, "started": {"started_at"}, "completed": {"finished_at"}}
	times := 0
	for name, object := range responseObjects() {
		for key, field := range responseFields(object) {
			if field.Type != reflect.TypeFor[time.Time]() {
				continue
			}
			times++
			for _, spelling := range append(aliases[key], key) {
				for _, text := range []string{
					`"2025-01-01T01:23:45Z"`, `"2025-01-01T01:23:45.000Z"`, `"2025-01-01T02:23:45+01:00"`, `"2025-01-01T01:23:45"`, `"2025-01-01 01:23:45"`,
					`1735694625`, `1735694625000`, `"1735694625"`, `"1735694625000"`, `1735694625.0`,
				} {
					got, err := responseRead(t, object, `"`+spelling+`":`+text)
					require.NoError(t, err, "%s: %s: %s", name, spelling, text)
					at, _ := got.FieldByIndex(field.Index).Interface().(time.Time)
					assert.True(t, want.Equal(at), "%s: %s: %s: %v", name, spelling, text, at)
				}
				for _, text := range []string{`"yesterday"`, `"2025-13-01T00:00:00Z"`, `true`, `{}`, `[]`, `1e99`, `"1e99"`} {
					got, err := responseRead(t, object, `"`+spelling+`":`+text)
					require.ErrorContains(t, err, `field "`+spelling+`"`, "%s: %s", name, text)
					assert.True(t, got.FieldByIndex(field.Index).IsZero(), "%s: %s: %s", name, spelling, text)
				}
			}
		}
	}
	assert.Equal(t, 11, times)
}

// What was read, changed in one place and sent back, keeps everything else, and what is
// not sent is left alone.
func TestUpdate_keepsMetadataAndLeavesAloneWhatIsNotSet(t *testing.T) {
	const metadata = `{"keep":{"big":12345678901234567890,"price":1.50,"list":[1e2,-0.0,9007199254740993,{"deep":[null,true,"<&>\u2028"]}],"empty":{},"none":null},"old":1}`
	for name, c := range map[string]struct {
		get    func(*ittybit.Client) (map[string]any, error)
		update func(*ittybit.Client, map[string]any) error
		title  func(*ittybit.Client) error
		alone  string
	}{
		"media": {
			get: func(c *ittybit.Client) (map[string]any, error) {
				media, err := c.Media.Get(t.Context(), "x_1")
				return media.Metadata, err
			},
			update: func(c *ittybit.Client, m map[string]any) error {
				_, err := c.Media.Update(t.Context(), "x_1", ittybit.MediaUpdateParams{Metadata: m})
				return err
			},
			title: func(c *ittybit.Client) error {
				_, err := c.Media.Update(t.Context(), "x_1", ittybit.MediaUpdateParams{Title: new("T")})
				return err
			},
			alone: `{"title":"T"}`,
		},
		"files": {
			get: func(c *ittybit.Client) (map[string]any, error) {
				file, err := c.Files.Get(t.Context(), "x_1")
				return file.Metadata, err
			},
			update: func(c *ittybit.Client, m map[string]any) error {
				_, err := c.Files.Update(t.Context(), "x_1", ittybit.FileUpdateParams{Metadata: m})
				return err
			},
			title: func(c *ittybit.Client) error {
				_, err := c.Files.Update(t.Context(), "x_1", ittybit.FileUpdateParams{Ref: new("r")})
				return err
			},
			alone: `{"ref":"r"}`,
		},
	} {
		client, seen := apitest.Fake(t, apitest.Always(200, `{"id":"x_1","metadata":`+metadata+`}`))
		read, err := c.get(client)
		require.NoError(t, err, name)
		delete(read, "old")
		read["new"] = map[string]any{"er": []int{1}}
		require.NoError(t, c.update(client, read), name)
		require.NoError(t, c.title(client), name)
		requests := seen.All()
		assert.Equal(t, `{"metadata":{"keep":{"big":12345678901234567890,"empty":{},"list":[1e2,-0.0,9007199254740993,{"deep":[null,true,"<&>\u2028"]}],"none":null,"price":1.50},"new":{"er":[1]}}}`,
			requests[1].Body, "%s: digit for digit", name)
		assert.Equal(t, c.alone, requests[2].Body, name)
	}
}
