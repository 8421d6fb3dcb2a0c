package attack

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
)

// signedAttacks know the secret: an upstream bug, or somebody who should not have it. What
// they send must harm nobody; it may be handled.
func signedAttacks() []attack {
	brief := 20 * time.Millisecond
	return []attack{
		{
			name: "signed, no JSON object", workers: 2, pause: brief, must: []string{"400"},
			run: func(s *sender) { s.deliver(notAnObject(s)) },
		},
		{
			name: "signed, 100 KB that are no JSON object", workers: 1, pause: brief, must: []string{"400"}, may: []string{"503"},
			run: func(s *sender) {
				s.deliver(pick(s, strings.Repeat("[", 100_000), "1"+strings.Repeat("0", 100_000)))
			},
		},
		{
			name: "signed, broken JSON", workers: 1, pause: brief, must: []string{"400"},
			run: func(s *sender) {
				body := task("task_broken_" + s.name())
				i := s.IntN(len(body) - 1)
				s.deliver(pick(s, body[:i+1], body+"}", body+body, body+",", strings.Replace(body, ":", "=", 1), strings.ReplaceAll(body, `"`, `'`),
					strings.Replace(body, "true", "TRUE", 1), strings.Replace(body, "0.97", "0x1F", 1), strings.Replace(body, "0.97", ".97", 1),
					strings.Replace(body, "0.97", "NaN", 1), strings.Replace(body, "0.97", "+1", 1), "/**/"+body, body+"\x00", strings.Replace(body, ",", ",,", 1)))
			},
		},
		{
			name: "signed, nested 200,000 deep", workers: 1, pause: time.Second, must: []string{"400"}, may: []string{"503"},
			run: func(s *sender) { s.deliver(nested(s, 200_000)) },
		},
		{
			name: "signed, nested 5,000 deep", workers: 1, pause: time.Second, must: []string{"200"},
			run: func(s *sender) { s.deliver(nested(s, 5_000)) },
		},
		{
			// One that cannot be routed, because its kind or its status is not a string, is to come
			// again.
			name: "signed, hostile values", workers: 4, pause: brief, must: []string{"200"}, may: []string{"500"},
			run: func(s *sender) { s.deliver(hostileTask(s)) },
		},
		{
			name: "signed, hostile shapes", workers: 2, pause: brief, must: []string{"200"}, may: []string{"500"}, // as above
			run: func(s *sender) { s.deliver(hostileShape(s)) },
		},
		{
			name: "signed, 1 MiB of it", workers: 2, pause: time.Second, must: []string{"200"}, may: []string{"503", cut},
			run: func(s *sender) { s.deliver(large(s)) },
		},
		{
			name: "signed, the secret and signatures in it", workers: 1, pause: brief, must: []string{"200"},
			run: func(s *sender) {
				inner := sign(s.name())
				escaped := strings.ReplaceAll(inner, "=", `\u003d`)
				s.deliver(`{"id":"task_echo_` + s.name() + `","object":"task","kind":"nsfw","status":"completed","results":` +
					pick(s, `{"signature":"`+inner[len("t=1234567890,v1="):]+`"}`, `"`+inner+`"`, `"Ittybit-Signature: `+inner+`"`, `"`+escaped+`"`, `"Bearer `+secret+`"`) +
					`,"error":"` + inner + `","description":"` + secret + `"}`)
			},
		},
	}
}

// deliver signs body and sends it.
func (s *sender) deliver(body string) {
	s.signed.add(body)
	s.exchange(whole(body, sign(body)))
}

// notAnObject makes a body that is no event.
func notAnObject(s *sender) string {
	body := task("task_odd_" + s.name())
	var wide strings.Builder
	for _, unit := range utf16.Encode([]rune(body)) {
		_, _ = wide.Write([]byte{byte(unit >> 8), byte(unit)})
	}
	return pick(s, "", " ", "\n\n", "null", "true", "0", `"`+s.name()+`"`, "[]", "["+body+"]", `"{}"`, "\x00", body[1:], "\ufeff"+body, "\xff\xfe"+body,
		wide.String(), "\xfe\xff"+wide.String(), "<task/>", "payload="+body, "--x\r\n\r\n"+body, strings.Repeat("\x00", 1000))
}

// nested makes a task with something deep in it.
func nested(s *sender, depth int) string {
	field := pick(s, "results", "output", "metadata", "options", "error", "input", "data", "unknown")
	opening, closing := "[", "]"
	if s.IntN(2) == 0 {
		opening, closing = `{"a":`, "}"
		depth /= 2
	}
	return fmt.Sprintf(`{"id":"task_deep_%s","object":"task","status":"completed","kind":"nsfw",%q:%s1%s}`,
		s.name(), field, strings.Repeat(opening, depth), strings.Repeat(closing, depth))
}

// hostileTask makes a task with values that nobody should have to expect.
func hostileTask(s *sender) string {
	value := func() string {
		return pick(s,
			"null", "true", "[]", "{}", `""`, "-0", "1e308", "1e309", "-1e309", "1e-400", "1E999999999", strings.Repeat("9", 300), "0."+strings.Repeat("3", 10_000), "1"+strings.Repeat("0", 5_000),
			"9223372036854775807", "9223372036854775808", "-9223372036854775809", "253402300800000", "[null]", "[[]]", `[{"id":null}]`, `{"":""}`, `{"a":1,"a":2}`,
			`"\ud800"`, `"\udc00\ud800"`, `"\u0000"`, "\"\xff\xfe\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", `"\u202e\u0007\u001b[31m"`, `"`+strings.Repeat("long ", 2_000)+`"`,
			`"0000-00-00T00:00:00Z"`, `"9999-12-31T23:59:59.999999999Z"`, `"2025-13-45"`, `"../../etc/passwd"`, `"'; DROP TABLE tasks; --"`, `"${jndi:ldap://x}"`, `"<script>"`, `"%s%n%d"`,
		)
	}
	fields := []string{
		"results", "output", "input", "options", "error", "metadata", "created", "updated", "completed", "created_at", "progress", "kind", "created_by",
		"parent_id", "project_id", "automation_id", "data", "is_nsfw", "confidence", "workflow", "next", "__proto__", "constructor", "",
	}
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, `{"id":"task_values_%s","object":"task","status":%s`, s.name(), pick(s, `"completed"`, `"failed"`, `"ready"`, `"processing"`, `"cancelled"`, `"\u0000"`, value()))
	for range 1 + s.IntN(12) {
		_, _ = fmt.Fprintf(&b, `,%q:%s`, pick(s, fields...), value())
	}
	if s.IntN(3) == 0 { // once more, otherwise
		_, _ = fmt.Fprintf(&b, `,"id":"task_twice_%s","ID":%s,"status":%s,"object":"task"`, s.name(), value(), pick(s, `"completed"`, value()))
	}
	b.WriteString("}")
	return b.String()
}

// hostileShape makes an object that is like an event, and is not.
func hostileShape(s *sender) string {
	name := s.name()
	inner := task("task_inner_" + name)
	return pick(s,
		"{}", `{"id":"`+name+`"}`, `{"":"`+name+`"}`, `{"object":"task","n":"`+name+`"}`, `{"object":"event","id":"evt_`+name+`"}`,
		`{"object":"event","id":"evt_`+name+`","kind":"task.completed"}`,
		`{"object":"event","id":"evt_`+name+`","kind":"task.completed","data":null}`,
		`{"object":"event","id":"evt_`+name+`","kind":"task.completed","data":[`+inner+`]}`,
		`{"object":"event","id":"evt_`+name+`","kind":"media.created","data":`+inner+`}`,
		`{"object":"event","id":"evt_`+name+`","kind":"*","data":`+inner+`}`,
		`{"object":"event","id":"evt_`+name+`","kind":"`+strings.Repeat("task.", 1000)+`","data":`+inner+`}`,
		`{"object":"event","id":"evt_`+name+`","kind":"task.completed","data":`+inner+`,"data":{"id":"task_other"}}`,
		`{"object":"event","id":"`+strings.Repeat(name, 1000)+`","kind":"task.completed","data":`+inner+`}`,
		`{"object":"media","id":"med_`+name+`","files":[`+strings.Repeat("null,", 1000)+`{}],"urls":{"a":[]}}`,
		`{"object":"media","id":"med_`+name+`","files":{"id":{}},"metadata":[]}`,
		`{"object":"job","id":"job_`+name+`","status":"\u0000"}`,
		`{"object":"job","id":"job_`+name+`","status":"succeeded","tasks":[`+inner+`,null,1,"x",[]]}`,
		`{"object":{"object":"task"},"id":["`+name+`"]}`, `{"OBJECT":"task","Id":"task_case_`+name+`","STATUS":"completed"}`,
		`{"objeCt":"task","iD":"task_case_`+name+`","ſtatus":"completed"}`, // a letter that folds to s
		`{"id":"task_`+name+"\\n\\r\\u0000\\u001b[2J"+`","object":"task","status":"completed"}`,
	)
}

// large makes nearly a mebibyte that is as costly as can be to read.
func large(s *sender) string {
	const size = maxBody - 1000
	fill := func(piece string) string { return strings.Repeat(piece, size/len(piece)) }
	start := `{"id":"task_large_` + s.name() + `","object":"task","kind":"` + pick(s, "nsfw", "speech", "chapters") + `","status":"completed",`
	return start + pick(s,
		`"metadata":{`+keys(size)+`}}`,
		`"metadata":[`+fill("[],")+`0]}`,
		`"results":[`+fill("{},")+`0]}`,
		`"results":{"segments":[`+fill(`{"text":"","words":[{}]},`)+`{}]}}`,
		`"results":{"chapters":[`+fill(`{},`)+`{}]}}`,
		`"results":"`+fill(`\u0000`)+`"}`,
		`"results":`+fill("1")+`}`,
		fill(`"id":"x",`)+`"x":1}`,
		`"x":1`+fill(" ")+`}`,
		`"tags":[`+fill(`"",`)+`""]}`,
	)
}

// keys makes fields with a name each.
func keys(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size-20; i++ {
		_, _ = fmt.Fprintf(&b, `"%x":0,`, i)
	}
	b.WriteString(`"z":0`)
	return b.String()
}
