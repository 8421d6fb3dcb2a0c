package riverevents

import "regexp"

// signature finds the value of a signature in a URL's query (also one that is percent-encoded once
// or twice, or JSON-escaped, inside another text), in a webhook's signature header, and in a JSON
// field. The root module has it, too, among its internals: the versions of the two are chosen
// apart.
var signature = regexp.MustCompile(`(?i)((?:signature|\bv1)[ \t]*(?:=|%3d|%253d|\\+u003d)[ \t]*)(?:[^"&\\\s<>'%,;#)]|%(?:2[0-57-9a-f]|[013-9a-f][0-9a-f]))+` +
	`|(\\*"(?:ittybit-signature|signature|v1)\\*"\s*:\s*\\*")(?:[^"\\]|\\[^"])+` +
	`|(ittybit-signature:[ \t]*)[0-9a-z+/_-]{40,}`)

// redacted gives a text for the log without the values of signatures.
func redacted(text string) string { return signature.ReplaceAllString(text, "${1}${2}${3}REDACTED") }
