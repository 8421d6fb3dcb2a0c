package proxies

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFraming_arrivesAsItWasSigned sends good deliveries in every form that HTTP/1.1 allows.
func TestFraming_arrivesAsItWasSigned(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			b := startBackend(t, backendConfig{})
			address := f.start(t, settings{}, b.address)
			large := payload("large", 900<<10)
			timestamp, v1, _ := strings.Cut(signatureOf(payload("lines", 0)), ",")
			for _, d := range []delivery{
				good("length"),
				{id: "chunked", fields: good("chunked").fields, body: payload("chunked", 0), chunked: true},
				{
					id: "lines", body: payload("lines", 0),
					fields: []string{"Ittybit-Signature: " + timestamp, "Ittybit-Signature: " + v1},
				},
				{id: "lower", body: payload("lower", 0), fields: []string{"ittybit-signature: " + signatureOf(payload("lower", 0))}},
				{
					id: "long", body: payload("long", 0), // many keys are being rotated
					fields: []string{"Ittybit-Signature: " + signatureOf(payload("long", 0)) + strings.Repeat(",v1="+strings.Repeat("0", 64), 50)},
				},
				{id: "large", fields: []string{"Ittybit-Signature: " + signatureOf(large)}, body: large},
				{id: "large, chunked", fields: []string{"Ittybit-Signature: " + signatureOf(large)}, body: large, chunked: true},
				{id: "expect", fields: good("expect").fields, body: payload("expect", 0), expect: true},
				{id: "expect, chunked", fields: good("expect").fields, body: payload("expect", 0), expect: true, chunked: true},
			} {
				requireAnswer(t, address, d, http.StatusOK)
			}
			for _, id := range []string{"length", "chunked", "lines", "lower", "long", "large", "expect"} {
				assert.Equal(t, 1, b.count(id), id)
			}
		})
	}
}

// TestFraming_refusesWhatNobodySigned: a proxy adds no trust.
func TestFraming_refusesWhatNobodySigned(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			b := startBackend(t, backendConfig{})
			address := f.start(t, settings{}, b.address)
			requireAnswer(t, address, delivery{id: "unsigned", body: payload("unsigned", 0)}, http.StatusUnauthorized)
			forged := good("other")
			forged.body = payload("forged", 0)
			requireAnswer(t, address, forged, http.StatusUnauthorized)
			assert.Zero(t, b.total())
		})
	}
}

// TestAddresses pins down what a proxy says of the sender's address, in X-Forwarded-For.
func TestAddresses(t *testing.T) {
	want := map[string]struct {
		says []string
		with settings
	}{
		"nginx":                       {[]string{"198.51.100.7"}, settings{}},
		"nginx, add_x_forwarded":      {[]string{"198.51.100.7, 127.0.0.1"}, settings{global: "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"}},
		"HAProxy":                     {[]string{"198.51.100.7"}, settings{}},
		"HAProxy, forwardfor":         {[]string{"198.51.100.7", "127.0.0.1"}, settings{global: "option forwardfor"}},
		"Varnish":                     {[]string{"198.51.100.7, 127.0.0.1"}, settings{}},
		"Apache":                      {[]string{"198.51.100.7, 127.0.0.1"}, settings{}},
		"Caddy":                       {[]string{"127.0.0.1"}, settings{}},
		"ReverseProxy, SetXForwarded": {[]string{"127.0.0.1"}, settings{}},
	}
	for name, w := range want {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBackend(t, backendConfig{})
			address := frontOf(t, name)(t, w.with, b.address)
			d := good("address")
			d.fields = append(d.fields, "X-Forwarded-For: 198.51.100.7") // a claim of the sender's
			requireAnswer(t, address, d, http.StatusOK)
			require.NotNil(t, b.lastHeader())
			assert.Equal(t, w.says, b.lastHeader().Values("X-Forwarded-For"))
		})
	}
}

// frontOf gives the proxy that a name of a table begins with.
func frontOf(t *testing.T, name string) front {
	t.Helper()
	for _, f := range fronts {
		if strings.HasPrefix(name, f.name) {
			return f.start
		}
	}
	t.Fatalf("no proxy is called %q", name)
	return nil
}
