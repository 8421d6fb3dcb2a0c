package attack

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ittybit/ittybit-go"
)

// forgeries are requests of those who do not know the secret, or have overheard a delivery.
func forgeries() []attack {
	brief := 5 * time.Millisecond
	return []attack{
		{
			name: "unsigned", workers: 2, pause: brief, must: []string{"401"},
			run: func(s *sender) { s.exchange(whole(s.trap(), "")) },
		},
		{
			name: "unsigned, on one connection", workers: 2, pause: brief, must: []string{"401"},
			run: func(s *sender) {
				c, ok := s.dial()
				if !ok {
					return
				}
				defer c.reset()
				for range 50 {
					c.say(whole(s.trap(), ""))
					s.note(c.response())
				}
			},
		},
		{
			name: "signed with another secret", workers: 2, pause: brief, must: []string{"401"},
			run: func(s *sender) {
				body := s.trap()
				s.exchange(whole(body, ittybit.SignWebhook(pick(s, " ", "null", secret+"\n", secret[:len(secret)-1], strings.ToUpper(secret), s.name()), time.Now(), []byte(body))))
			},
		},
		{
			name: "a signature that is none", workers: 2, pause: brief, must: []string{"401"},
			run: func(s *sender) { s.exchange(whole(s.trap(), malformed(s))) },
		},
		{
			name: "a true signature, bent", workers: 2, pause: brief, must: []string{"401"},
			run: func(s *sender) {
				body := s.trap()
				s.exchange(whole(body, bent(s, sign(body))))
			},
		},
		{
			name: "the right secret, another algorithm", workers: 1, pause: brief, must: []string{"401"},
			run: func(s *sender) {
				body := s.trap()
				s.exchange(whole(body, otherwiseSigned(s, body)))
			},
		},
		{
			name: "the signature of another delivery", workers: 2, pause: brief, must: []string{"401"}, may: []string{"nothing to repeat"},
			run: func(s *sender) {
				if d, ok := s.overheard(); ok {
					s.exchange(whole(pick(s, s.trap(), d.body+" ", d.body[1:], strings.ToUpper(d.body), "\ufeff"+d.body, d.body+d.body), d.signature))
				}
			},
		},
		{
			name: "two signature lines, two times in them", workers: 1, pause: brief, must: []string{"401"},
			run: func(s *sender) {
				body := s.trap()
				signature := sign(body)
				s.exchange(whole(body, signature, signatureField(pick(s, signature, "t=1", "t=1,v1=00", ittybit.SignWebhook("x", time.Now(), []byte(body))))))
			},
		},
		{
			name: "the signature elsewhere than in its header", workers: 1, pause: brief, must: []string{"401"},
			run: func(s *sender) {
				body := s.trap()
				field := pick(s, "Ittybit_Signature: ", "X-Ittybit-Signature: ", "Cookie: Ittybit-Signature=", "Authorization: ", "Webhook-Signature: ")
				s.exchange(whole(body, "", field+sign(body)))
			},
		},
		{
			name: "the signature in the trailer", workers: 1, pause: brief, must: []string{"401"},
			run: func(s *sender) {
				body := s.trap()
				s.exchange(post("Trailer: Ittybit-Signature", "Transfer-Encoding: chunked") +
					fmt.Sprintf("%x\r\n%s\r\n0\r\n%s\r\n\r\n", len(body), body, signatureField(sign(body))))
			},
		},
		{
			name: "expired, and from the future", workers: 2, pause: brief, must: []string{"401"},
			run: func(s *sender) {
				body := s.trap()
				age := ittybit.DefaultTolerance + time.Minute + time.Duration(s.Int64N(int64(1000*time.Hour)))
				s.exchange(whole(body, ittybit.SignWebhook(secret, time.Now().Add(pick(s, age, -age)), []byte(body))))
			},
		},
		{
			name: "a delivery, repeated", workers: 4, pause: brief, must: []string{"200"}, may: []string{"nothing to repeat"},
			run: func(s *sender) {
				if d, ok := s.overheard(); ok {
					s.exchange(whole(d.body, d.signature))
				}
			},
		},
		{
			name: "a delivery, signed anew", workers: 1, pause: brief, must: []string{"200"}, may: []string{"nothing to repeat"},
			run: func(s *sender) {
				if d, ok := s.overheard(); ok {
					s.exchange(whole(d.body, sign(d.body)))
				}
			},
		},
		{
			name: "a new delivery, eight times at once", workers: 1, pause: 50 * time.Millisecond, must: []string{"200"},
			run: func(s *sender) {
				d := s.good.next("at_once_" + s.name())
				responses := make(chan string, 8)
				var all sync.WaitGroup
				for range cap(responses) {
					all.Go(func() { responses <- s.ask(whole(d.body, d.signature)) })
				}
				all.Wait()
				close(responses)
				for response := range responses {
					s.note(response)
				}
			},
		},
		{
			name: "a good one of another content type", workers: 1, pause: brief, must: []string{"200"},
			run: func(s *sender) {
				d := s.good.next("typed_" + s.name())
				s.exchange(whole(d.body, d.signature, "Content-Type: "+pick(s, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
					"application/xml", "application/json; charset=utf-16", "", "\xff\xfe", "a/b; "+strings.Repeat("x", 5000))))
			},
		},
		{
			name: "a good one by HTTP/1.0", workers: 1, pause: brief, must: []string{"200"},
			run: func(s *sender) {
				d := s.good.next("old_" + s.name())
				s.exchange("POST " + webhookPath + " HTTP/1.0\r\n" + signatureField(d.signature) + "\r\n" + length(d.body) + "\r\n\r\n" + d.body)
			},
		},
		{
			name: "a good one in odd chunks", workers: 1, pause: brief, must: []string{"200"},
			run: func(s *sender) {
				d := s.good.next("chunked_" + s.name())
				var chunks strings.Builder
				for rest := d.body; rest != ""; {
					n := 1 + s.IntN(len(rest))
					_, _ = fmt.Fprintf(&chunks, "%04X;ext=\"%s\"\r\n%s\r\n", n, s.name(), rest[:n])
					rest = rest[n:]
				}
				s.exchange(post(signatureField(d.signature), "Transfer-Encoding: chunked") + chunks.String() + "000\r\nTrailer: x\r\n\r\n")
			},
		},
		{
			name: "a good one, its signature on two lines", workers: 1, pause: brief, must: []string{"200"},
			run: func(s *sender) {
				d := s.good.next("split_" + s.name())
				at, value, _ := strings.Cut(d.signature, ",")
				s.exchange(whole(d.body, at, signatureField(value)))
			},
		},
	}
}

// overheard gives a delivery to repeat, or notes that there was none yet.
func (s *sender) overheard() (delivery, bool) {
	d, ok := s.good.overheard(s.Rand)
	if !ok {
		s.note("nothing to repeat")
	}
	return d, ok
}

// ask is exchange that notes nothing, for several at once.
func (s *sender) ask(text string) string {
	other := &sender{target: s.target, tally: newTally()}
	other.exchange(text)
	for response := range other.became {
		return response
	}
	return open
}

// malformed makes what has the place of a signature and is none.
func malformed(s *sender) string {
	now, mac := strconv.FormatInt(time.Now().Unix(), 10), strings.Repeat(s.name(), 4)
	return pick(s,
		"x", "t=", "v1=", "t=,v1=", "=", ",", ",,,,", "t", "v1", "t=v1", "null", "{}", "undefined", "%00",
		"t="+now, "t="+now+",v1=", "t="+now+",v1="+mac[:32], "t="+now+",v1="+mac+mac, "t="+now+",v1="+mac+"0",
		"t="+now+",v0="+mac, "t="+now+",V1="+mac, "T="+now+",v1="+mac, "t="+now+";v1="+mac, "t:"+now+",v1:"+mac,
		"t=-"+now+",v1="+mac, "t=+"+now+",v1="+mac, "t="+now+".0,v1="+mac, "t=1e9,v1="+mac, "t=0x5f5e100,v1="+mac, "t=٣,v1="+mac,
		"t=99999999999999999999999999,v1="+mac, "t=9223372036854775807,v1="+mac, "t=NaN,v1="+mac, "t=9999-12-31T23:59:59Z,v1="+mac,
		"t="+now+",v1=zz"+mac[2:], "t="+now+",v1="+strings.Repeat("\u0660", 32), "t="+now+",v1=\""+mac+"\"", "t="+now+",v1=0x"+mac[2:],
		"sha256="+mac, "Bearer "+mac, mac, strings.Repeat("=", 4000), strings.Repeat(",", 4000), strings.Repeat("t=1,", 1000),
	)
}

// bent is what a true signature is not.
func bent(s *sender, signature string) string {
	at, value, _ := strings.Cut(signature, ",v1=")
	i := s.IntN(len(value))
	flipped := value[:i] + string("0123456789abcdef"[(strings.IndexByte("0123456789abcdef", value[i])+1+s.IntN(15))%16]) + value[i+1:]
	raw, _ := hex.DecodeString(value)
	later, _ := strconv.ParseInt(at[len("t="):], 10, 64)
	return pick(s,
		at+",v1="+flipped, at+",v1="+value[:i], at+",v1="+value[:62], at+",v1="+value+"00", at+",v1="+value[:i+1]+" "+value[i+1:]+"0",
		at+",v0="+value, at+"0,v1="+value, "t=0"+at[len("t="):]+",v1="+value, fmt.Sprintf("t=%d,v1=%s", later+1, value), "v1="+value,
		at+","+at+",v1="+value, at+",v1="+base64.StdEncoding.EncodeToString(raw), at+",v1="+base64.URLEncoding.EncodeToString(raw),
		at+",v1="+hex.EncodeToString([]byte(value)), at+",v1=%"+value, at+" v1="+value, at+",v1=="+value,
	)
}

// otherwiseSigned signs with the secret, but not as it is agreed.
func otherwiseSigned(s *sender, body string) string {
	now := strconv.FormatInt(time.Now().Unix(), 10)
	type reading struct {
		hash    func() hash.Hash
		content string
	}
	r := pick(s,
		reading{sha1.New, now + "." + body}, reading{sha512.New, now + "." + body}, reading{sha512.New512_256, now + "." + body},
		reading{sha512.New, body}, reading{sha1.New, body},
	)
	mac := hmac.New(r.hash, []byte(secret))
	mac.Write([]byte(r.content))
	sum := mac.Sum(nil)
	return "t=" + now + ",v1=" + pick(s, hex.EncodeToString(sum), base64.RawURLEncoding.EncodeToString(sum), hex.EncodeToString(sum)[:min(64, 2*len(sum))])
}
