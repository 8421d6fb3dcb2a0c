package ittybit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// secretManager is a secret manager that can be slow, away, or wrong.
type secretManager struct {
	mu       sync.Mutex
	secrets  []string
	err      error
	delay    time.Duration
	calls    int
	inFlight int
	most     int // calls in flight at once
}

func (m *secretManager) set(err error, delay time.Duration, secrets ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.secrets, m.err, m.delay = secrets, err, delay
}

func (m *secretManager) called() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

func (m *secretManager) fetch(ctx context.Context) ([]string, error) {
	m.mu.Lock()
	m.calls++
	m.inFlight++
	m.most = max(m.most, m.inFlight)
	secrets, err, delay := m.secrets, m.err, m.delay
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.inFlight--
	}()
	select {
	case <-time.After(delay):
		return secrets, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

const (
	oldKey = "ittybit_the_old_key_1234"
	newKey = "ittybit_the_new_key_5678"
)

// secretsFixture is a handler and a verifier's middleware that ask one manager each.
func secretsReceivers(t *testing.T, m *secretManager, handled *int, log *testLog) map[string]http.Handler {
	t.Helper()
	h, err := ittybit.NewWebhookHandler("", ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { *handled++; return nil }),
		ittybit.WithSecretsFunc(m.fetch), ittybit.WithLogger(log.logger()))
	require.NoError(t, err)
	v, err := ittybit.NewWebhookVerifier("", ittybit.WithSecretsFunc(m.fetch))
	require.NoError(t, err)
	return map[string]http.Handler{
		"handler":    h,
		"middleware": v.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { *handled++ })),
	}
}

// secretsDeliver gives the status of a delivery that is signed now with key.
func secretsDeliver(h http.Handler, key string) int {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(webhookPageBody))
	header := signedWithNoKey(time.Now(), []byte(webhookPageBody))
	if key != "" {
		header = ittybit.SignWebhook(key, time.Now(), []byte(webhookPageBody))
	}
	r.Header.Set(ittybit.SignatureHeader, header)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// secretsBubble runs a test for each receiver with a clock of its own.
func secretsBubble(t *testing.T, test func(t *testing.T, h http.Handler, m *secretManager, handled *int, log *testLog)) {
	t.Helper()
	for _, name := range []string{"handler", "middleware"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, log, handled := &secretManager{secrets: []string{oldKey}}, new(testLog), 0
				test(t, secretsReceivers(t, m, &handled, log)[name], m, &handled, log)
				time.Sleep(time.Minute) // a call that is in flight, and the log's sums, have ended
				assert.LessOrEqual(t, m.most, 1, "calls in flight")
				for _, secret := range []string{oldKey, newKey} {
					assert.NotContains(t, log.String(), secret)
				}
			})
		})
	}
}

func TestWithSecretsFunc_asksAtMostOnceAMinute(t *testing.T) {
	secretsBubble(t, func(t *testing.T, h http.Handler, m *secretManager, handled *int, _ *testLog) {
		for range 10 {
			assert.Equal(t, 200, secretsDeliver(h, oldKey))
		}
		assert.Equal(t, 1, m.called())
		time.Sleep(time.Minute - time.Nanosecond)
		assert.Equal(t, 200, secretsDeliver(h, oldKey))
		assert.Equal(t, 1, m.called())
		time.Sleep(time.Nanosecond)
		assert.Equal(t, 200, secretsDeliver(h, oldKey))
		assert.Equal(t, 2, m.called())
		assert.Equal(t, 12, *handled)
	})
}

func TestWithSecretsFunc_asksSoonerAfterAMismatch(t *testing.T) {
	secretsBubble(t, func(t *testing.T, h http.Handler, m *secretManager, handled *int, _ *testLog) {
		assert.Equal(t, 200, secretsDeliver(h, oldKey))
		m.set(nil, 0, newKey)
		assert.Equal(t, 401, secretsDeliver(h, newKey), "the last call began less than ten seconds ago")
		assert.Equal(t, 1, m.called())
		time.Sleep(10 * time.Second)
		assert.Equal(t, 200, secretsDeliver(h, newKey))
		assert.Equal(t, 2, m.called())
		assert.Equal(t, 401, secretsDeliver(h, oldKey), "it is out of use")
		assert.Equal(t, 2, *handled)
	})
}

func TestWithSecretsFunc_forgeriesAskNoMoreOftenThanThat(t *testing.T) {
	secretsBubble(t, func(t *testing.T, h http.Handler, m *secretManager, handled *int, _ *testLog) {
		for range 600 {
			assert.Equal(t, 401, secretsDeliver(h, "the key of a stranger"))
			time.Sleep(100 * time.Millisecond)
		}
		assert.LessOrEqual(t, m.called(), 7)
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
		calls := m.called()
		time.Sleep(time.Minute)
		h.ServeHTTP(httptest.NewRecorder(), r)
		assert.Equal(t, calls, m.called(), "what has no signature asks nobody")
		assert.Zero(t, *handled)
	})
}

func TestWithSecretsFunc_keepsTheLastGoodOnes(t *testing.T) {
	broken := errors.New("the manager is away, and says " + oldKey)
	for name, tt := range map[string]struct {
		err     error
		delay   time.Duration
		secrets []string
		logged  string // empty: nothing
	}{
		"fails":               {err: broken, logged: "the manager is away, and says REDACTED"},
		"gives nothing":       {logged: "the function returned no secrets"},
		"gives an empty one":  {secrets: []string{""}, logged: "is empty"},
		"one of two is empty": {secrets: []string{newKey, ""}, logged: "is empty"},
		"white space":         {secrets: []string{newKey + "\n"}, logged: "has white space around it"},
		"both":                {err: broken, secrets: []string{newKey}, logged: "the manager is away"},
		"is slow":             {delay: 20 * time.Second, secrets: []string{oldKey}, logged: "no secrets came within 2s"},
		"never returns":       {delay: time.Hour, logged: "no secrets came within 2s"},
		"the old key again":   {secrets: []string{oldKey}},
	} {
		t.Run(name, func(t *testing.T) {
			secretsBubble(t, func(t *testing.T, h http.Handler, m *secretManager, handled *int, log *testLog) {
				assert.Equal(t, 200, secretsDeliver(h, oldKey))
				m.set(tt.err, tt.delay, tt.secrets...)
				for range 10 {
					time.Sleep(30 * time.Second)
					assert.Equal(t, 200, secretsDeliver(h, oldKey), "as long as it is away")
					assert.Equal(t, 401, secretsDeliver(h, newKey))
				}
				m.set(nil, 0, newKey)
				time.Sleep(time.Minute) // longer than any call may still take
				assert.Equal(t, 200, secretsDeliver(h, newKey), "it is back")
				assert.Equal(t, 12, *handled)
				if _, isHandler := h.(*ittybit.WebhookHandler); !isHandler {
					return // a middleware's log is the default one
				}
				if tt.logged == "" {
					assert.NotContains(t, log.String(), "last good ones")
					return
				}
				assert.Contains(t, log.String(), "level=WARN msg=\"ittybit: no new webhook secrets; the last good ones stay in use\"")
				assert.Contains(t, log.String(), tt.logged)
			})
		})
	}
}

func TestWithSecretsFunc_responds503WhileThereAreNone(t *testing.T) {
	for name, secrets := range map[string][]string{"nothing": nil, "empty": {""}, "white space": {" " + oldKey}} {
		t.Run(name, func(t *testing.T) {
			secretsBubble(t, func(t *testing.T, h http.Handler, m *secretManager, handled *int, log *testLog) {
				m.set(nil, 0, secrets...)
				for range 20 {
					assert.Equal(t, 503, secretsDeliver(h, oldKey))
					assert.Equal(t, 503, secretsDeliver(h, ""))
					time.Sleep(time.Second)
				}
				assert.Equal(t, 2, m.called())
				assert.Zero(t, *handled)
				m.set(nil, 0, oldKey)
				time.Sleep(10 * time.Second)
				assert.Equal(t, 200, secretsDeliver(h, oldKey))
				if _, isHandler := h.(*ittybit.WebhookHandler); isHandler {
					assert.Contains(t, log.String(), "outcome=no_secrets status=503")
					assert.Contains(t, log.String(), "level=ERROR msg=\"ittybit: there are no webhook secrets")
				}
			})
		})
	}
}

func TestWithSecretsFunc_aBurstWaitsForOneCall(t *testing.T) {
	secretsBubble(t, func(t *testing.T, h http.Handler, m *secretManager, _ *int, _ *testLog) {
		m.set(nil, 1500*time.Millisecond, oldKey)
		var group sync.WaitGroup
		statuses := make([]int, 50)
		v, err := ittybit.NewWebhookVerifier("", ittybit.WithSecretsFunc(m.fetch))
		require.NoError(t, err)
		guarded := v.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		for i := range statuses {
			group.Go(func() { statuses[i] = secretsDeliver(guarded, oldKey) })
		}
		group.Wait()
		for _, status := range statuses {
			assert.Equal(t, 200, status)
		}
		assert.Equal(t, 1, m.called())
		m.set(nil, time.Second, newKey)
		time.Sleep(time.Minute)
		began := time.Now()
		for i := range statuses {
			group.Go(func() { statuses[i] = secretsDeliver(guarded, []string{oldKey, newKey, "a forger's own key"}[i%3]) })
		}
		group.Wait()
		assert.Equal(t, time.Second, time.Since(began), "nobody waits longer than the call takes")
		for i, status := range statuses {
			switch i % 3 {
			case 1:
				assert.Equal(t, 200, status, "of the new key")
			case 2:
				assert.Equal(t, 401, status, "of a forger")
			}
		}
		assert.Equal(t, 2, m.called())
		_ = h
	})
}

func TestWithSecretsFunc_ofAVerifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &secretManager{err: errors.New("away")}
		v, err := ittybit.NewWebhookVerifier("", ittybit.WithSecretsFunc(m.fetch))
		require.NoError(t, err)
		body := []byte("body")
		err = v.Verify(body, ittybit.SignWebhook(oldKey, time.Now(), body))
		require.ErrorIs(t, err, ittybit.ErrNoSecrets)
		assert.EqualError(t, err, "ittybit: there are no webhook secrets to verify with: away")
		assert.Contains(t, v.Explain(body, ittybit.SignWebhook(oldKey, time.Now(), body)), "there are no webhook secrets")
		m.set(nil, 0, oldKey, newKey)
		time.Sleep(10 * time.Second)
		require.NoError(t, v.Verify(body, ittybit.SignWebhook(newKey, time.Now(), body)))
		require.NoError(t, v.Verify(body, ittybit.SignWebhook(oldKey, time.Now(), body)))
		assert.Contains(t, v.Explain(body, ittybit.SignWebhook(newKey, time.Now(), body)), "with secret 2 as given")
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			for _, value := range []any{v, *v, []any{v}} {
				assert.NotContains(t, fmt.Sprintf(verb, value), oldKey)
				assert.NotContains(t, strings.ToLower(fmt.Sprintf(verb, value)), fmt.Sprintf("%x", oldKey))
			}
		}
		header := ittybit.SignWebhook(newKey, time.Now(), body)
		if !raceEnabled {
			assert.Zero(t, testing.AllocsPerRun(100, func() { _ = v.Verify(body, header) }))
		}
	})
}

func TestWithSecretsFunc_survivesAFunctionThatDoesNotReturn(t *testing.T) {
	for name, fail := range map[string]func(){"panics": func() { panic("no " + newKey) }, "ends its goroutine": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				v, err := ittybit.NewWebhookVerifier("", ittybit.WithSecretsFunc(func(context.Context) ([]string, error) {
					if calls++; calls == 2 {
						fail()
					}
					return []string{oldKey}, nil
				}))
				require.NoError(t, err)
				for range 4 {
					require.NoError(t, v.Verify(nil, ittybit.SignWebhook(oldKey, time.Now(), nil)))
					time.Sleep(time.Minute)
				}
				assert.Equal(t, 4, calls)
			})
		})
	}
}

// A delivery that was signed before a rotation may be logged after it.
func TestWithSecretsFunc_redactsEverySecretInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, log := &secretManager{secrets: []string{oldKey, "ittybit_another_key_90"}}, new(testLog)
		h, err := ittybit.NewWebhookHandler("", ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
			return errors.New("told " + oldKey + " and ittybit_another_key_90 and " + newKey)
		}), ittybit.WithSecretsFunc(m.fetch), ittybit.WithLogger(log.logger()))
		require.NoError(t, err)
		assert.Equal(t, 500, secretsDeliver(h, oldKey))
		assert.Contains(t, log.String(), "told REDACTED and REDACTED and ")
		m.set(nil, 0, newKey)
		time.Sleep(time.Minute)
		assert.Equal(t, 500, secretsDeliver(h, newKey))
		assert.Contains(t, log.String(), "told REDACTED and REDACTED and REDACTED")
	})
}

func TestWithSecretsFunc_excludesFixedSecrets(t *testing.T) {
	fetch := ittybit.WithSecretsFunc(func(context.Context) ([]string, error) { return []string{oldKey}, nil })
	for name, tt := range map[string]struct {
		secret string
		opts   []ittybit.VerifierOption
	}{
		"a secret":          {oldKey, []ittybit.VerifierOption{fetch}},
		"WithSecrets":       {"", []ittybit.VerifierOption{fetch, ittybit.WithSecrets(newKey)}},
		"secret bytes":      {"", []ittybit.VerifierOption{ittybit.WithSecretBytes([]byte(newKey)), fetch}},
		"a nil func":        {"", []ittybit.VerifierOption{ittybit.WithSecretsFunc(nil)}},
		"neither":           {"", nil},
		"empty bytes":       {oldKey, []ittybit.VerifierOption{ittybit.WithSecretBytes([]byte{})}},
		"nil bytes":         {oldKey, []ittybit.VerifierOption{ittybit.WithSecretBytes(nil)}},
		"only bytes":        {"", []ittybit.VerifierOption{ittybit.WithSecretBytes([]byte(newKey))}},
		"no text for a key": {" \n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := ittybit.NewWebhookVerifier(tt.secret, tt.opts...)
			assert.Nil(t, v)
			var refused *ittybit.ParamError
			require.ErrorAs(t, err, &refused)
			opts := make([]ittybit.WebhookOption, len(tt.opts))
			for i, opt := range tt.opts {
				opts[i] = opt
			}
			h, handlerErr := ittybit.NewWebhookHandler(tt.secret, ittybit.NewEventMux(), opts...)
			assert.Nil(t, h)
			assert.Equal(t, err, handlerErr)
		})
	}
}
