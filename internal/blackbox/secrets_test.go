package blackbox

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// Every place where a key or signature that a server sends back could turn up.
func TestAPIError_neverHoldsAnEchoedKeyOrSignature(t *testing.T) {
	const signature = "s3cr3t_signature"
	log := &apitest.Log{}
	server, _ := apitest.Server(t, func(w http.ResponseWriter, r *http.Request) {
		auth := r.Header.Get("Authorization")
		w.Header().Set("X-Request-Id", auth)
		w.Header().Set("X-Echo", auth)
		w.Header().Set("Location", "https://x.example/?signature="+signature+"&k="+url.QueryEscape(apitest.Key))
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprintf(w, `{"kind":%q,"message":"%s is wrong, see https://x.example/?signature=%s","k":%q}`, auth, auth, signature, "k\\u002b"+apitest.Key)
	})
	client := apitest.Client(t, server.URL, ittybit.WithLogger(log.Logger()))
	_, getErr := client.Tasks.Get(t.Context(), apitest.Key)
	_, createErr := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{
		Kind: "nsfw", URL: "https://x.example/a?signature=" + signature, WebhookURL: "https://x.example/?signature=" + signature,
	})
	require.ErrorIs(t, createErr, ittybit.ErrOutcomeUnknown)
	for _, err := range []error{getErr, createErr} {
		var apiError *ittybit.APIError
		require.ErrorAs(t, err, &apiError)
		texts := []string{apiError.Kind, apiError.Message, apiError.RequestID, apiError.URL, string(apiError.Body), fmt.Sprint(apiError.Header)}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%t"} {
			texts = append(texts, fmt.Sprintf(verb, err), fmt.Sprintf(verb, apiError), fmt.Sprintf(verb, *apiError))
		}
		requireNoSecrets(t, signature, texts...)
		assert.Contains(t, apiError.Message, "REDACTED is wrong")
		assert.Contains(t, apiError.Header.Get("X-Echo"), "Bearer REDACTED")
	}
	require.Contains(t, log.String(), "status=500")
	requireNoSecrets(t, signature, log.String())
}

// requireNoSecrets asserts that neither the key nor a signature is in texts.
func requireNoSecrets(t *testing.T, signature string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, secret := range []string{apitest.Key, url.QueryEscape(apitest.Key), url.PathEscape(apitest.Key), signature, fmt.Sprintf("%x", apitest.Key)} {
			if strings.Contains(text, secret) {
				assert.Fail(t, "a secret has leaked", "%q is in %.300q", secret, text)
			}
		}
	}
}

func TestClient_noLogLineOrErrorOfAnyExchangeHoldsASecret(t *testing.T) {
	const signature = "s3cr3t_signature"
	log := &apitest.Log{}
	signed := "https://x.example/a?expiry=1&signature=" + signature
	server, seen := apitest.Server(t, func(w http.ResponseWriter, r *http.Request) {
		echo := `{"id":"x_1","message":"` + r.Header.Get("Authorization") + `","url":"` + signed + `","status":"failed","error":"` + signed + ` ` + apitest.Key + `"}`
		switch r.Header.Get("X-Case") {
		case "ok":
			apitest.Respond(200, echo, "Links", "<"+signed+">; rel=\"next\"")(w, r)
		case "redirect":
			apitest.Respond(302, echo, "Location", "/elsewhere?signature="+signature+"&k="+url.QueryEscape(apitest.Key))(w, r)
		case "garbage":
			apitest.Respond(200, apitest.Key+signed)(w, r)
		case "cut":
			panic(http.ErrAbortHandler)
		case "503":
			apitest.Respond(503, echo, "Retry-After", "0")(w, r)
		default:
			apitest.Respond(400, echo)(w, r)
		}
	})
	client := apitest.Client(t, server.URL, ittybit.WithLogger(log.Logger()))
	var errs []string
	for _, kind := range []string{"ok", "redirect", "garbage", "cut", "503", "400"} {
		for _, call := range everyCall(t.Context(), client) {
			if err := call(ittybit.WithRequestHeader("X-Case", kind), ittybit.WithRequestHeader("X-Sig", "signature="+signature)); err != nil {
				errs = append(errs, fmt.Sprintf("%v %+v %#v %d", err, err, err, err))
			}
		}
	}
	_, err := apitest.Client(t, apitest.RefusedURL(t), ittybit.WithLogger(log.Logger())).Tasks.Get(t.Context(), apitest.Key)
	require.Error(t, err)
	errs = append(errs, err.Error())
	require.Greater(t, seen.Count(), 100)
	require.Greater(t, len(errs), 50)
	require.Greater(t, strings.Count(log.String(), "\n"), 150)
	requireNoSecrets(t, signature, append(errs, log.String())...)
}

func TestWithIdempotencyKey_replacesTheRandomOneOnPostsOnly(t *testing.T) {
	server, seen := apitest.Server(t, everything)
	for name, call := range everyCall(t.Context(), apitest.Client(t, server.URL)) {
		require.NoError(t, call(ittybit.WithIdempotencyKey("order-42")), name)
		requests := seen.All()
		req := requests[len(requests)-1]
		if req.Method == http.MethodPost {
			assert.Equal(t, []string{"order-42"}, req.Header["Idempotency-Key"], name)
		} else {
			assert.Empty(t, req.Header["Idempotency-Key"], name)
		}
	}
}
