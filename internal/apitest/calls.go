package apitest

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/ittybit/ittybit-go"
)

// EveryCall is a call of every method there is, by method and path.
func EveryCall(ctx context.Context, client *ittybit.Client) map[string]func(...ittybit.RequestOption) error {
	steps := []ittybit.WorkflowStep{{Kind: ittybit.TaskKindNSFW}}
	return map[string]func(...ittybit.RequestOption) error{
		"POST /tasks": func(opts ...ittybit.RequestOption) error {
			_, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, FileID: "file_1"}, opts...)
			return err
		},
		"GET /tasks/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Tasks.Get(ctx, "x_1", opts...)
			return err
		},
		"GET /tasks": func(opts ...ittybit.RequestOption) error {
			_, err := client.Tasks.List(ctx, ittybit.TaskListParams{}, opts...)
			return err
		},
		"POST /automations": func(opts ...ittybit.RequestOption) error {
			_, err := client.Automations.Create(ctx, ittybit.AutomationCreateParams{Trigger: ittybit.OnEvent(ittybit.EventMediaCreated), Workflow: steps}, opts...)
			return err
		},
		"GET /automations/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Automations.Get(ctx, "x_1", opts...)
			return err
		},
		"GET /automations": func(opts ...ittybit.RequestOption) error {
			_, err := client.Automations.List(ctx, ittybit.AutomationListParams{}, opts...)
			return err
		},
		"PATCH /automations/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Automations.Update(ctx, "x_1", ittybit.AutomationUpdateParams{Name: new("")}, opts...)
			return err
		},
		"DELETE /automations/x_1": func(opts ...ittybit.RequestOption) error { return client.Automations.Delete(ctx, "x_1", opts...) },
		"POST /media": func(opts ...ittybit.RequestOption) error {
			_, err := client.Media.Create(ctx, ittybit.MediaCreateParams{Title: "T"}, opts...)
			return err
		},
		"GET /media/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Media.Get(ctx, "x_1", opts...)
			return err
		},
		"GET /media": func(opts ...ittybit.RequestOption) error {
			_, err := client.Media.List(ctx, ittybit.MediaListParams{}, opts...)
			return err
		},
		"PATCH /media/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Media.Update(ctx, "x_1", ittybit.MediaUpdateParams{Title: new("T")}, opts...)
			return err
		},
		"DELETE /media/x_1": func(opts ...ittybit.RequestOption) error { return client.Media.Delete(ctx, "x_1", opts...) },
		"POST /files": func(opts ...ittybit.RequestOption) error {
			_, err := client.Files.Create(ctx, ittybit.FileCreateParams{URL: "https://example.com/a.mp4"}, opts...)
			return err
		},
		"GET /files/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Files.Get(ctx, "x_1", opts...)
			return err
		},
		"GET /files": func(opts ...ittybit.RequestOption) error {
			_, err := client.Files.List(ctx, ittybit.FileListParams{}, opts...)
			return err
		},
		"PATCH /files/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Files.Update(ctx, "x_1", ittybit.FileUpdateParams{Ref: new("r")}, opts...)
			return err
		},
		"DELETE /files/x_1": func(opts ...ittybit.RequestOption) error { return client.Files.Delete(ctx, "x_1", opts...) },
		"POST /signatures": func(opts ...ittybit.RequestOption) error {
			_, err := client.SignedURLs.Create(ctx, ittybit.SignedURLCreateParams{Filename: "a.mp4"}, opts...)
			return err
		},
	}
}

// Everything answers every call of EveryCall.
func Everything(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /tasks", "GET /automations", "GET /media", "GET /files":
		Answer(200, `[]`)(w, r)
	default:
		Answer(200, `{"id":"x_1","url":"https://you.ittybit.net/a.mp4"}`)(w, r)
	}
}

// Page is a list of tasks with the given ids.
func Page(ids ...string) string {
	items := make([]string, len(ids))
	for i, id := range ids {
		items[i] = fmt.Sprintf(`{"id":%q}`, id)
	}
	return "[" + strings.Join(items, ",") + "]"
}

// LinkedPage is a page with a link to the one at next; "" links to none.
func LinkedPage(next string, ids ...string) (*http.Response, error) {
	if next == "" {
		return Response(200, Page(ids...))
	}
	return Response(200, Page(ids...), "Links", `<https://api.ittybit.com/tasks?`+next+`>; rel="next"`)
}

// TaskIDs gives n ids, from task_0 on.
func TaskIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("task_%d", i)
	}
	return ids
}
