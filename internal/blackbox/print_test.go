package blackbox

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// Values are printed too, and since Go 1.27 raw JSON prints as text.
func TestObjects_printNoSignatureWhateverIsPrinted(t *testing.T) {
	const secret = "c2lnbmVkLXNlY3JldC12YWx1ZQ"
	const signed = "https://you.ittybit.net/a.mp4?expiry=1&signature=" + secret
	const text = `{"id":"x_1","url":"` + signed + `","input":"` + signed + `","output":{"id":"file_1","url":"` + signed + `"},"outputs":["` + signed + `"],
		"results":{"url":"` + signed + `"},"files":[{"id":"file_2","url":"` + signed + `"}],"urls":{"a":"` + signed + `"},"options":{"url":"` + signed + `"},
		"workflow":[{"kind":"webhook","url":"` + signed + `"}],"metadata":{"a":"` + signed + `"},"error":"` + signed + `"}`
	read := func(to any) {
		require.NoError(t, json.Unmarshal([]byte(text), to))
	}
	var task ittybit.Task
	var file ittybit.File
	var media ittybit.Media
	var automation ittybit.Automation
	var job ittybit.Job
	var url ittybit.SignedURL
	for _, to := range []any{&task, &file, &media, &automation, &job, &url} {
		read(to)
	}
	client, _ := apitest.Fake(t, apitest.Always(200, `[`+text+`]`))
	page, err := client.Files.List(t.Context(), ittybit.FileListParams{})
	require.NoError(t, err)
	event, err := ittybit.ParseEvent([]byte(`{"object":"task",` + text[1:]))
	require.NoError(t, err)
	var rest ittybit.Task
	require.NoError(t, json.Unmarshal([]byte(`{"id":"task_1","kind":"video","options":{"width":640,"webhook_url":"`+signed+`"}}`), &rest))
	require.IsType(t, ittybit.VideoOptions{}, rest.Options)
	var step ittybit.WorkflowStep
	require.NoError(t, json.Unmarshal([]byte(`{"kind":"video","ref":["`+signed+`"],"a":"`+signed+`"}`), &step))
	steps := append(slices.Clone(automation.Workflow), ittybit.WebhookStep(signed, "hook"), step)
	layers := ittybit.ImageOptions{Layers: []ittybit.Layer{{URL: signed, Extra: map[string]any{"a": signed}}}}
	params := ittybit.TaskCreateParams{Kind: "image", URL: signed, WebhookURL: signed, Options: layers, Extra: map[string]any{"a": signed}}
	for name, values := range map[string][]any{
		"task": {task, &task}, "file": {file, &file}, "media": {media, &media}, "automation": {automation, &automation}, "job": {job, &job},
		"signed URL": {url, &url}, "page": {*page, page}, "event": {*event, event}, "client": {*client, client},
		"parameters of a task": {params, &params}, "of a file": {ittybit.FileCreateParams{URL: signed, Metadata: map[string]any{"a": signed}}},
		"of an upload":     {ittybit.UploadParams{SignedURL: signed}},
		"of an automation": {ittybit.AutomationCreateParams{Workflow: steps}, ittybit.AutomationUpdateParams{Workflow: steps}},
		"options":          {task.Options, layers, ittybit.WorkflowOptions{Workflow: steps}, ittybit.RawOptions{"url": json.RawMessage(`"` + signed + `"`)}, rest.Options},
		"results":          {ittybit.ThumbnailsResults{File: file, URLs: []string{signed}}, ittybit.SubtitlesResults{File: file}, ittybit.ChaptersResults{File: file}},
		"list":             {[]ittybit.File{file}, []*ittybit.Media{&media}, map[string]ittybit.Job{"a": job}},
	} {
		for _, value := range values {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
				if name == "options" && !strings.HasSuffix(verb, "v") {
					continue // structs without a String method: fmt follows pointers where a verb is wrong
				}
				printed := fmt.Sprintf(verb, value)
				assert.NotContains(t, printed, secret, "%s of %s (%T)", verb, name, value)
				assert.NotContains(t, printed, apitest.Key, "%s of %s (%T)", verb, name, value)
				assert.NotContains(t, printed, "99 50 108", "%s of %s (%T): the same as numbers", verb, name, value)
			}
		}
	}
}
