package ittybit_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// TestObjects_everyMemberThatIsWrittenIsRead holds the readers to the fields: what a field
// is written as must find its way back into it.
func TestObjects_everyMemberThatIsWrittenIsRead(t *testing.T) {
	objects := []any{new(ittybit.Task), new(ittybit.File), new(ittybit.Media), new(ittybit.Job), new(ittybit.Automation), new(ittybit.SignedURL)}
	for _, object := range objects {
		kind := reflect.TypeOf(object).Elem()
		for i := range kind.NumField() {
			field := kind.Field(i)
			if !field.IsExported() {
				continue
			}
			t.Run(kind.Name()+"."+field.Name, func(t *testing.T) {
				given := reflect.New(kind)
				for _, id := range []string{"ID", "URL"} { // one of which every object has to have
					if field := given.Elem().FieldByName(id); field.IsValid() {
						field.SetString("https://id.example/1")
					}
				}
				if options := given.Elem().FieldByName("Options"); options.IsValid() && kind.Name() == "Task" {
					given.Elem().FieldByName("Kind").SetString("image") // options are read by it
				}
				fillField(t, given.Elem().Field(i), field.Type)
				text, err := json.Marshal(given.Interface())
				require.NoError(t, err)

				got := reflect.New(kind)
				require.NoError(t, json.Unmarshal(text, got.Interface()), "%s", text)
				want, read := given.Elem().Field(i).Interface(), got.Elem().Field(i).Interface()
				require.False(t, reflect.ValueOf(want).IsZero(), "the test itself")
				wantText, err := json.Marshal(want)
				require.NoError(t, err)
				readText, err := json.Marshal(read)
				require.NoError(t, err)
				assert.JSONEq(t, string(wantText), string(readText), "%s", text)
			})
		}
	}
}

// fillField gives a field some value of its own.
func fillField(t *testing.T, field reflect.Value, kind reflect.Type) {
	t.Helper()
	switch field.Interface().(type) {
	case time.Time:
		field.Set(reflect.ValueOf(time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)))
		return
	case json.RawMessage:
		field.Set(reflect.ValueOf(json.RawMessage(`{"a":[1]}`)))
		return
	case *ittybit.TaskError: // one without a message has all of its text for one
		field.Set(reflect.ValueOf(&ittybit.TaskError{Kind: "some kind", Message: "some text"}))
		return
	case ittybit.Trigger:
		field.Set(reflect.ValueOf(ittybit.OnEvent(ittybit.EventMediaCreated)))
		return
	}
	if kind == reflect.TypeFor[ittybit.TaskOptions]() {
		field.Set(reflect.ValueOf(ittybit.ImageOptions{Format: "png"}))
		return
	}
	switch kind.Kind() {
	case reflect.String:
		field.SetString("some text")
	case reflect.Bool:
		field.SetBool(true)
	case reflect.Int, reflect.Int64:
		field.SetInt(7)
	case reflect.Float64:
		field.SetFloat(7.5)
	case reflect.Pointer:
		field.Set(reflect.New(kind.Elem()))
		fillField(t, field.Elem().Field(0), kind.Elem().Field(0).Type)
	case reflect.Slice:
		field.Set(reflect.MakeSlice(kind, 1, 1))
		if element := field.Index(0); element.Kind() == reflect.Pointer {
			fillField(t, element, kind.Elem())
		} else {
			fillField(t, element.Field(0), kind.Elem().Field(0).Type)
		}
	case reflect.Map:
		field.Set(reflect.MakeMap(kind))
		field.SetMapIndex(reflect.ValueOf("key"), reflect.ValueOf("value").Convert(kind.Elem()))
	default:
		t.Fatalf("no value for %v", kind)
	}
}

// TestObjects_namesAreTakenAsTheyAre: encoding/json would fold case, so that a second
// spelling could overrule the member that everybody else reads.
func TestObjects_namesAreTakenAsTheyAre(t *testing.T) {
	event, err := ittybit.ParseEvent([]byte(`{"id":"task_1","object":"task","status":"failed","Status":"completed","ID":"task_2","\u006bind":"nsfw"}`))
	require.NoError(t, err)
	require.NotNil(t, event.Task)
	assert.Equal(t, "task_1", event.Task.ID)
	assert.Equal(t, ittybit.TaskStatusFailed, event.Task.Status)
	assert.Equal(t, ittybit.TaskKindNSFW, event.Task.Kind, "an escape is only another spelling")
}

func TestObjects_unmarshalRefusesWhatIsNoJSON(t *testing.T) {
	for _, object := range []json.Unmarshaler{new(ittybit.Task), new(ittybit.File), new(ittybit.Media), new(ittybit.Job), new(ittybit.Automation)} {
		require.Error(t, object.UnmarshalJSON([]byte(`{"id":"id_1"`)), "%T", object)
		require.Error(t, object.UnmarshalJSON([]byte(`[]`)), "%T", object)
		require.NoError(t, object.UnmarshalJSON([]byte(`{"id":"id_1"}`)), "%T", object)
		require.NoError(t, object.UnmarshalJSON([]byte(`null`)), "%T", object)
		assert.Equal(t, "id_1", reflect.ValueOf(object).Elem().FieldByName("ID").String(), "null changes nothing")
	}
}
