package ittybit_test

import (
	"context"
	"fmt"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func ExampleAutomationsService_Create() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}

	automation, err := client.Automations.Create(context.Background(), ittybit.AutomationCreateParams{
		Name:    "Notify app when a video has subtitles",
		Trigger: ittybit.OnEvent(ittybit.EventMediaCreated),
		Workflow: []ittybit.WorkflowStep{
			ittybit.ConditionsStep(
				[]ittybit.Condition{{Prop: "kind", Value: "video"}},
				ittybit.WorkflowStep{
					Kind: ittybit.TaskKindSubtitles,
					Ref:  "subtitles",
					Next: []ittybit.WorkflowStep{ittybit.WebhookStep("https://your-app.com/ittybit-webhook", "notify-server")},
				},
			),
		},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(automation.Status, automation.Workflow[0].Next[0].Next[0].URL)
	// Output: active https://your-app.com/ittybit-webhook
}

func ExampleAutomationsService_Update() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	automation, err := client.Automations.Create(ctx, ittybit.AutomationCreateParams{
		Trigger: ittybit.OnEvent(ittybit.EventMediaCreated),
		Workflow: []ittybit.WorkflowStep{
			{Kind: ittybit.TaskKindThumbnails, Options: ittybit.ThumbnailsOptions{Count: 3}, Extra: map[string]any{"sprite": true}},
		},
	})
	if err != nil {
		panic(err)
	}

	// Change one step, and send the workflow back whole: nothing of it is lost.
	automation.Workflow[0].Ref = "thumbnails"
	paused := ittybit.AutomationStatusPaused
	automation, err = client.Automations.Update(ctx, automation.ID, ittybit.AutomationUpdateParams{
		Workflow: automation.Workflow,
		Status:   &paused,
	})
	if err != nil {
		panic(err)
	}
	step := automation.Workflow[0]
	fmt.Println(automation.Status, step.Ref, step.Options.(ittybit.ThumbnailsOptions).Count, step.Extra["sprite"])
	// Output: paused thumbnails 3 true
}

func ExampleAutomationsService_All() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for _, name := range []string{"Subtitles for all", "Notify the shop"} {
		_, err := client.Automations.Create(ctx, ittybit.AutomationCreateParams{
			Name:     name,
			Trigger:  ittybit.OnEvent(ittybit.EventMediaCreated),
			Workflow: []ittybit.WorkflowStep{ittybit.WebhookStep("https://your-app.com/ittybit-webhook", "notify-server")},
		})
		if err != nil {
			panic(err)
		}
	}

	for automation, err := range client.Automations.All(ctx, ittybit.AutomationListParams{}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(automation.Name)
	}
	// Unordered output:
	// Subtitles for all
	// Notify the shop
}
