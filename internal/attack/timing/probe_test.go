package timing

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
)

// key is made up.
const key = "ittybit_timing_key_1234567890"

// probe is a pair of classes of headers, and what verifies them.
type probe struct {
	name   string
	signed string // a true header
	verify func(header string) bool
	a, b   class
	leaks  bool // by intent: the control that must be found out
}

// class makes headers of one kind, given a true signature.
type class func(random *rand.Rand, at string, mac []byte) string

// allProbes gives the controls, and what is to be found out.
func allProbes() ([]*probe, error) {
	body := []byte(`{"id":"task_123abc","object":"task","kind":"nsfw","status":"completed","results":{"is_nsfw":true,"confidence":0.97},"metadata":{"note":"` +
		strings.Repeat("x", 150) + `"}}`)
	verifier, err := ittybit.NewWebhookVerifier(key)
	if err != nil {
		return nil, err
	}
	signed := ittybit.SignWebhook(key, time.Now(), body)
	if err := verifier.Verify(body, signed); err != nil {
		return nil, err
	}
	verify := func(header string) bool {
		return !errors.Is(verifier.Verify(body, header), ittybit.ErrSignatureMismatch)
	}
	leaky := &leakyVerifier{mac: hmac.New(sha256.New, []byte(key)), body: body}
	if !leaky.verify(signed) {
		return nil, errors.New("the leaky comparison does not know a true signature")
	}
	inHex, inBase64 := hex.EncodeToString, base64.RawURLEncoding.EncodeToString
	probes := []*probe{
		{name: "control: wrong in the first byte, twice", verify: verify, a: wrongAt(0, inHex), b: wrongAt(0, inHex)},
		{name: "control: a comparison that ends early; first byte, last byte", verify: leaky.verify, a: wrongAt(0, inHex), b: wrongAt(sha256.Size-1, inHex), leaks: true},
		{name: "hex: wrong in the first byte, in the last", verify: verify, a: wrongAt(0, inHex), b: wrongAt(sha256.Size-1, inHex)},
		{name: "hex: wrong in the first byte, in one of the middle", verify: verify, a: wrongAt(0, inHex), b: wrongAt(sha256.Size/2, inHex)},
		{name: "hex: wrong in one byte, in all", verify: verify, a: wrongAt(sha256.Size-1, inHex), b: noneRight(inHex)},
		{name: "base64url: wrong in the first byte, in the last", verify: verify, a: wrongAt(0, inBase64), b: wrongAt(sha256.Size-1, inBase64)},
	}
	for _, p := range probes {
		p.signed = signed
	}
	return probes, nil
}

// wrongAt makes signatures that are right but for the byte at place.
func wrongAt(place int, encode func([]byte) string) class {
	return func(random *rand.Rand, at string, mac []byte) string {
		bent := append([]byte(nil), mac...)
		bent[place] ^= byte(1 + random.IntN(255))
		return at + encode(bent)
	}
}

// noneRight makes signatures of which no byte is right.
func noneRight(encode func([]byte) string) class {
	return func(random *rand.Rand, at string, mac []byte) string {
		bent := append([]byte(nil), mac...)
		for i := range bent {
			bent[i] ^= byte(1 + random.IntN(255))
		}
		return at + encode(bent)
	}
}

// blockSize is how many headers are made at a time. Few enough for the cache.
const blockSize = 2048

// measure gives the times of about n calls of each class, in nanoseconds. Each call has a
// header of its own, whose class is tossed: where it lies in the memory, and what was called
// before it, says nothing of its class.
func (p *probe) measure(n int, seed uint64) (a, b []float64) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the collector has its turn between the blocks
	random := rand.New(rand.NewPCG(seed, 0))
	at, value, _ := strings.Cut(p.signed, "v1=")
	mac, _ := hex.DecodeString(value) // SignWebhook writes hex
	var headers [blockSize]string
	var ofB [blockSize]bool
	var times [blockSize]time.Duration
	for block := range 2*n/blockSize + 2 {
		for i := range headers {
			of := p.a
			if ofB[i] = random.IntN(2) == 1; ofB[i] {
				of = p.b
			}
			headers[i] = of(random, at+"v1=", mac)
		}
		runtime.GC()
		accepted := p.verify(headers[0]) // the pools are empty after a collection
		for i, header := range headers {
			start := time.Now()
			accepted = p.verify(header) || accepted
			times[i] = time.Since(start)
		}
		if accepted {
			panic("timing: a wrong signature was accepted")
		}
		if block == 0 { // warming up
			continue
		}
		for i, took := range times {
			if ofB[i] {
				b = append(b, float64(took))
			} else {
				a = append(a, float64(took))
			}
		}
	}
	return a, b
}

// leakyVerifier does what Verify does, in its order, but for the comparison, which ends at the
// first byte that is wrong.
type leakyVerifier struct {
	mac  hash.Hash
	body []byte
	sum  [sha256.Size]byte
}

func (l *leakyVerifier) verify(header string) bool {
	at, value, _ := strings.Cut(header, ",v1=")
	l.mac.Reset()
	l.mac.Write([]byte(at[len("t="):]))
	l.mac.Write([]byte{'.'})
	l.mac.Write(l.body)
	sum := l.mac.Sum(l.sum[:0])
	given, err := hex.DecodeString(value)
	if err != nil || len(given) != len(sum) {
		return false
	}
	for i := range sum {
		if sum[i] != given[i] {
			return false
		}
	}
	return true
}
