package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/go-github/v84/github"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/webhooks"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stripe/stripe-go/v85"
	"github.com/stripe/stripe-go/v85/webhook"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/ittybit/ittybit-go"
)

// Names of the contenders, as the tables have them.
const (
	floorName  = "floor"
	ourName    = "ittybit-go"
	stripeName = "stripe-go"
	svixName   = "svix"
	swName     = "standard-webhooks"
	gitHubName = "go-github"
	openAIName = "openai-go"
)

// secret is what everybody signs with.
const secret = "ittybit_benchmark_key_0123456789" //nolint:gosec // made up

// encodedSecret is the same in the form of the Standard Webhooks family.
func encodedSecret() string { return "whsec_" + base64.StdEncoding.EncodeToString([]byte(secret)) }

// errUnexpected is a result that is not what it has to be.
var errUnexpected = errors.New("the result is not as expected")

// peer is a library that checks webhooks, or the floor below all of them. Its functions sign a
// body as the library's own service does; what they give then checks any body against that
// one signature, and parses it.
type peer struct {
	name   string
	verify func(signed []byte) (func(body []byte) error, error)

	// parse verifies and parses the form of payload that the library is made for.
	payload func(size int) []byte
	parse   func(signed []byte) (func(body []byte) error, error)
	// parseCommon does so with commonPayload.
	parseCommon func(signed []byte) (func(body []byte) error, error)
}

// peers are all contenders for verification and parsing, the floor first, ours second.
func peers() []peer {
	return []peer{
		{name: floorName, verify: floorVerify, payload: taskPayload, parse: then(floorVerify, plainTask), parseCommon: then(floorVerify, plainEvent)},
		{name: ourName, verify: ourVerify, payload: taskPayload, parse: then(ourVerify, ourTask), parseCommon: then(ourVerify, ourEvent)},
		{name: stripeName, verify: stripeVerify, payload: stripeEventPayload, parse: stripeParse, parseCommon: stripeParse},
		{name: swName, verify: standardVerify, payload: taskPayload, parse: then(standardVerify, plainTask), parseCommon: then(standardVerify, plainEvent)},
		{name: svixName, verify: svixVerify, payload: taskPayload, parse: then(svixVerify, plainTask), parseCommon: then(svixVerify, plainEvent)},
		{name: gitHubName, verify: gitHubVerify, payload: gitHubPayload, parse: gitHubParse(true), parseCommon: gitHubParse(false)},
		{name: openAIName, verify: openAIVerify, payload: openAIPayload, parse: openAIParse, parseCommon: openAIParse},
	}
}

// stripeEventPayload has the API version that this stripe-go insists on.
func stripeEventPayload(size int) []byte { return stripePayload(size, stripe.APIVersion) }

// then verifies, and parses what is authentic.
func then(verify func([]byte) (func([]byte) error, error), parse func([]byte) error) func([]byte) (func([]byte) error, error) {
	return func(signed []byte) (func([]byte) error, error) {
		check, err := verify(signed)
		if err != nil {
			return nil, err
		}
		return func(body []byte) error {
			if err := check(body); err != nil {
				return err
			}
			return parse(body)
		}, nil
	}
}

// floorVerify is the least that any check has to do: the MAC over a timestamp and the body,
// with a hash that is keyed once, and the comparison. It parses no header, looks at no clock
// and is for one goroutine only.
func floorVerify(signed []byte) (func(body []byte) error, error) {
	mac := hmac.New(sha256.New, []byte(secret))
	prefix := []byte(strconv.FormatInt(time.Now().Unix(), 10) + ".")
	sum := func(body, into []byte) []byte {
		mac.Reset()
		mac.Write(prefix)
		mac.Write(body)
		return mac.Sum(into)
	}
	want := sum(signed, nil)
	got := make([]byte, 0, sha256.Size)
	return func(body []byte) error {
		if !hmac.Equal(sum(body, got), want) {
			return errUnexpected
		}
		return nil
	}, nil
}

// task is a plain struct of the documented members of a task webhook.
type task struct {
	ID           string          `json:"id"`
	Object       string          `json:"object"`
	Kind         string          `json:"kind"`
	Status       string          `json:"status"`
	Results      json.RawMessage `json:"results"`
	Metadata     map[string]any  `json:"metadata"`
	ProjectID    string          `json:"project_id"`
	AutomationID string          `json:"automation_id"`
	Created      time.Time       `json:"created"`
	Completed    time.Time       `json:"completed"`
}

// plainTask is the floor of parsing a task.
func plainTask(body []byte) error {
	var t task
	if err := json.Unmarshal(body, &t); err != nil {
		return err
	}
	if t.ID != taskID || len(t.Results) == 0 || t.Completed.IsZero() {
		return errUnexpected
	}
	return nil
}

// plainEvent is the floor of parsing commonPayload.
func plainEvent(body []byte) error {
	var e struct {
		ID        string `json:"id"`
		Object    string `json:"object"`
		Kind      string `json:"kind"`
		CreatedAt int64  `json:"created_at"`
		Data      struct {
			ID      string          `json:"id"`
			Status  string          `json:"status"`
			Results json.RawMessage `json:"results"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return err
	}
	if e.ID != eventID || e.Data.ID != taskID || len(e.Data.Results) == 0 {
		return errUnexpected
	}
	return nil
}

func ourVerify(signed []byte) (func(body []byte) error, error) {
	verifier, err := ittybit.NewWebhookVerifier(secret)
	header := ittybit.SignWebhook(secret, time.Now(), signed)
	return func(body []byte) error { return verifier.Verify(body, header) }, err
}

func ourTask(body []byte) error {
	e, err := ittybit.ParseEvent(body)
	if err != nil {
		return err
	}
	if e.Type != ittybit.EventTaskCompleted || e.Task == nil || e.Task.ID != taskID || len(e.Task.Results) == 0 || e.CreatedAt.IsZero() {
		return errUnexpected
	}
	return nil
}

func ourEvent(body []byte) error {
	e, err := ittybit.ParseEvent(body)
	if err != nil {
		return err
	}
	if e.ID != eventID || e.Type != ittybit.EventTaskCompleted || e.Task == nil || e.Task.ID != taskID || len(e.Task.Results) == 0 {
		return errUnexpected
	}
	return nil
}

func stripeHeader(signed []byte) string {
	return webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: signed, Secret: secret}).Header
}

func stripeVerify(signed []byte) (func(body []byte) error, error) {
	header := stripeHeader(signed)
	return func(body []byte) error { return webhook.ValidatePayload(body, header, secret) }, nil
}

func stripeParse(signed []byte) (func(body []byte) error, error) {
	header := stripeHeader(signed)
	return func(body []byte) error {
		e, err := webhook.ConstructEvent(body, header, secret)
		if err != nil {
			return err
		}
		if e.ID != eventID || e.Type != eventType || e.Data == nil || len(e.Data.Object) == 0 {
			return errUnexpected
		}
		return nil
	}, nil
}

// standardHeaders are those of the Standard Webhooks family.
func standardHeaders(signed []byte) (http.Header, error) {
	wh, err := standardwebhooks.NewWebhook(encodedSecret())
	if err != nil {
		return nil, err
	}
	now := time.Now()
	signature, err := wh.Sign(eventID, now, signed)
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	header.Set(standardwebhooks.HeaderWebhookID, eventID)
	header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return header, nil
}

func standardVerify(signed []byte) (func(body []byte) error, error) {
	wh, err := standardwebhooks.NewWebhook(encodedSecret())
	if err != nil {
		return nil, err
	}
	header, err := standardHeaders(signed)
	return func(body []byte) error { return wh.Verify(body, header) }, err
}

// svixVerify gets the headers under Svix's own names, which it looks for first.
func svixVerify(signed []byte) (func(body []byte) error, error) {
	wh, err := svix.NewWebhook(encodedSecret())
	if err != nil {
		return nil, err
	}
	standard, err := standardHeaders(signed)
	header := http.Header{}
	for _, name := range []string{"Id", "Timestamp", "Signature"} {
		header.Set("Svix-"+name, standard.Get("Webhook-"+name))
	}
	return func(body []byte) error { return wh.Verify(body, header) }, err
}

func gitHubVerify(signed []byte) (func(body []byte) error, error) {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(signed)
	header := "sha256=" + hex.EncodeToString(mac.Sum(nil))
	token := []byte(secret)
	return func(body []byte) error { return github.ValidateSignature(header, body, token) }, nil
}

// gitHubParse takes the event for news of other services. In the common payload it finds
// nothing but the form: it reads less than the others.
func gitHubParse(own bool) func(signed []byte) (func(body []byte) error, error) {
	return then(gitHubVerify, func(body []byte) error {
		parsed, err := github.ParseWebHook("repository_dispatch", body)
		if err != nil {
			return err
		}
		e, ok := parsed.(*github.RepositoryDispatchEvent)
		if !ok || own && (e.GetAction() != eventType || len(e.ClientPayload) == 0) {
			return fmt.Errorf("%w: %T", errUnexpected, parsed)
		}
		return nil
	})
}

func openAIVerify(signed []byte) (func(body []byte) error, error) {
	service := webhooks.NewWebhookService(option.WithWebhookSecret(encodedSecret()))
	header, err := standardHeaders(signed)
	return func(body []byte) error { return service.VerifySignature(body, header) }, err
}

func openAIParse(signed []byte) (func(body []byte) error, error) {
	service := webhooks.NewWebhookService(option.WithWebhookSecret(encodedSecret()))
	header, err := standardHeaders(signed)
	return func(body []byte) error {
		e, err := service.Unwrap(body, header)
		if err != nil {
			return err
		}
		if e.ID != eventID || e.Type != eventType || e.Data.ID != taskID {
			return errUnexpected
		}
		return nil
	}, err
}
