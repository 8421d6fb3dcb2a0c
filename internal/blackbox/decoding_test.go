package blackbox

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// TestObjects_everyFieldThatIsWrittenIsRead holds the readers to the fields: what a field
// is written as must find its way back into it.
func TestObjects_everyFieldThatIsWrittenIsRead(t *testing.T) {
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
// spelling could overrule the field that everybody else reads.
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

func TestObjects_theNameOfThisVersionGoesBeforeThatOfOthers(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(second), 0).UTC() }
	for _, text := range []string{
		`{"id":"x","created":8,"created_at":9,"updated":18,"updated_at":19,"completed":28,"finished_at":29}`,
		`{"id":"x","finished_at":29,"updated_at":19,"created_at":9,"completed":28,"updated":18,"created":8}`,
	} {
		var task ittybit.Task
		require.NoError(t, json.Unmarshal([]byte(text), &task))
		assert.Equal(t, []time.Time{at(8), at(18), at(28)}, []time.Time{task.Created, task.Updated, task.Completed})
		var file ittybit.File
		require.NoError(t, json.Unmarshal([]byte(text), &file))
		assert.Equal(t, []time.Time{at(8), at(18)}, []time.Time{file.Created, file.Updated})
		var media ittybit.Media
		require.NoError(t, json.Unmarshal([]byte(text), &media))
		assert.Equal(t, []time.Time{at(8), at(18)}, []time.Time{media.Created, media.Updated})
		var automation ittybit.Automation
		require.NoError(t, json.Unmarshal([]byte(text), &automation))
		assert.Equal(t, []time.Time{at(8), at(18)}, []time.Time{automation.Created, automation.Updated})
		var job ittybit.Job // of a later version, which has the others
		require.NoError(t, json.Unmarshal([]byte(text), &job))
		assert.Equal(t, []time.Time{at(9), at(19), at(29)}, []time.Time{job.Created, job.Updated, job.Finished})
		event, err := ittybit.ParseEvent([]byte(`{"object":"event","kind":"x",` + text[1:]))
		require.NoError(t, err)
		assert.Equal(t, at(9), event.CreatedAt)
	}
}

func TestObjects_aListThatExpandsIsCutOff(t *testing.T) {
	var task ittybit.Task
	require.NoError(t, json.Unmarshal([]byte(`{"id":"task_1","inputs":[`+strings.Repeat(`{},`, 20_000)+`{}]}`), &task))
	require.ErrorContains(t, task.DecodeError(), `field "inputs": has more than 10000 elements`)
	assert.Equal(t, 10_000, len(task.Inputs)) //nolint:testifylint // assert.Len would print them all
	assert.Equal(t, "task_1", task.ID)
}

func TestObjects_anElementThatIsKeptDoesNotKeepItsParent(t *testing.T) {
	var media ittybit.Media
	require.NoError(t, json.Unmarshal([]byte(`{"id":"med_1","title":"`+strings.Repeat("x", 1<<20)+`","files":[{"id":"file_1"}]}`), &media))
	require.Len(t, media.Files, 1)
	assert.Less(t, cap(media.Files[0].RawJSON()), 1024)
}
