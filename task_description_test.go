package ittybit_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// apiDescriptionFile is what the file of a description task holds (API version
// 2025-08-20).
const apiDescriptionFile = `{"id":"file_1","object":"intelligence","kind":"description","title":"A cat","description":"A cat sleeps.","tags":["cat","sleep"],"language":"en","confidence":0.94,
	"created":"2025-01-01T01:23:45Z","updated":"2025-01-01T01:23:45Z"}`

func TestDescription_readsTheFilesShape(t *testing.T) {
	got, err := clientResults(apiDescriptionFile).Description()
	require.NoError(t, err)
	assert.Equal(t, &ittybit.DescriptionResults{
		Title: "A cat", Description: "A cat sleeps.", Tags: []string{"cat", "sleep"}, Language: "en", Languages: []string{"en"}, Confidence: new(0.94),
	}, got)
}

func TestDescription_readsTheWebhooksShape(t *testing.T) {
	got, err := clientResults(`{"title":"A cat","description":"A cat sleeps.","tags":"cat"}`).Description()
	require.NoError(t, err)
	assert.Equal(t, &ittybit.DescriptionResults{Title: "A cat", Description: "A cat sleeps.", Tags: []string{"cat"}}, got)

	got, err = clientResults(`{"description":"A cat sleeps.","title":null,"confidence":"0.5"}`).Description()
	require.NoError(t, err)
	assert.Equal(t, &ittybit.DescriptionResults{Description: "A cat sleeps.", Confidence: new(0.5)}, got)
}

func TestDescription_readsTheLaterShapeFromTheTaskItself(t *testing.T) {
	got, err := apiTaskOf(t, `{"id":"task_1","object":"task","kind":"summary","status":"succeeded","title":"A cat","description":"A cat sleeps.","tags":["cat"],"languages":["en","fr"],
		"inputs":[{"id":"file_1","kind":"video"}],"outputs":[]}`).Description()
	require.NoError(t, err)
	assert.Equal(t, &ittybit.DescriptionResults{
		Title: "A cat", Description: "A cat sleeps.", Tags: []string{"cat"}, Language: "en", Languages: []string{"en", "fr"},
	}, got)
}

func TestDescription_isNotTheOneThatTheTaskWasCreatedWith(t *testing.T) {
	for _, body := range []string{
		`{"id":"task_1","kind":"description","status":"completed","description":"for the start page"}`,
		`{"id":"task_1","kind":"summary","status":"succeeded","title":null,"tags":null,"description":"for the start page"}`,
		`{"id":"task_1","kind":"brand_new","title":"a task of another kind","description":"for the start page"}`,
		`{"id":"task_1","kind":"video","title":"a task of another kind"}`,
	} {
		got, err := apiTaskOf(t, body).Description()
		require.ErrorIs(t, err, ittybit.ErrNoResults, body)
		assert.Nil(t, got)
	}
	// What is in the results goes before what is in the task.
	got, err := apiTaskOf(t, `{"id":"task_1","kind":"description","title":"the task","results":{"title":"the result"}}`).Description()
	require.NoError(t, err)
	assert.Equal(t, "the result", got.Title)
}
