package ittybittest_test

import (
	"fmt"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func links(t *testing.T, header http.Header) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`<([^>]*)>; rel="([a-z]+)"`).FindAllStringSubmatch(header.Get("Links"), -1) {
		found[m[2]] = m[1]
	}
	return found
}

func TestPaging(t *testing.T) {
	a := open(t)
	var all []string // newest first
	for i := range 45 {
		id := a.create("/media", fmt.Sprintf(`{"title":"%d"}`, i))["id"].(string)
		all = append([]string{id}, all...)
	}
	for _, c := range []struct {
		query       string
		first, past int
		rels        map[string]string
	}{
		{"", 0, 20, map[string]string{"self": "limit=20&page=1", "first": "limit=20&page=1", "next": "limit=20&page=2", "last": "limit=20&page=3"}},
		{"?page=2", 20, 40, map[string]string{"self": "limit=20&page=2", "first": "limit=20&page=1", "prev": "limit=20&page=1", "next": "limit=20&page=3", "last": "limit=20&page=3"}},
		{"?page=3", 40, 45, map[string]string{"self": "limit=20&page=3", "first": "limit=20&page=1", "prev": "limit=20&page=2", "last": "limit=20&page=3"}},
		{"?page=9", 45, 45, map[string]string{"self": "limit=20&page=9", "first": "limit=20&page=1", "prev": "limit=20&page=3", "last": "limit=20&page=3"}},
		{"?page=9223372036854775807&limit=100", 45, 45, map[string]string{"self": "limit=100&page=9223372036854775807", "first": "limit=100&page=1", "prev": "limit=100&page=1", "last": "limit=100&page=1"}},
		{"?limit=45&x=y", 0, 45, map[string]string{"self": "limit=45&page=1&x=y", "first": "limit=45&page=1&x=y", "last": "limit=45&page=1&x=y"}},
		{"?limit=1&page=45", 44, 45, map[string]string{"self": "limit=1&page=45", "first": "limit=1&page=1", "prev": "limit=1&page=44", "last": "limit=1&page=45"}},
	} {
		t.Run(c.query, func(t *testing.T) {
			got := []string{}
			for _, item := range a.list("/media" + c.query) {
				got = append(got, item["id"].(string))
			}
			assert.Equal(t, all[c.first:c.past], got)
			want := map[string]string{}
			for rel, query := range c.rels {
				want[rel] = a.srv.URL + "/media?" + query
			}
			assert.Equal(t, want, links(t, a.send("GET", "/media"+c.query, "").header))
		})
	}
}

func TestPaging_followingNextSeesEverythingOnce(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		for range 25 {
			a.create("/automations", `{"trigger":{"kind":"event","event":"media.created"},"workflow":[{"kind":"nsfw"}]}`)
		}
		assert.Len(t, a.list("/automations"), 10, "automations come ten at a time")
		seen := map[any]bool{}
		for next := a.srv.URL + "/automations"; next != ""; {
			path := next[len(a.srv.URL):]
			require.Equal(t, a.srv.URL, next[:len(a.srv.URL)])
			for _, item := range a.list(path) {
				assert.False(t, seen[item["id"]])
				seen[item["id"]] = true
			}
			next = links(t, a.send("GET", path, "").header)["next"]
		}
		assert.Len(t, seen, 25)
	})
}

func TestPaging_emptyList(t *testing.T) {
	a := open(t)
	for _, path := range []string{"/tasks", "/media", "/automations", "/tasks?page=7"} {
		got := a.send("GET", path, "")
		assert.Equal(t, "[]", got.raw)
		assert.NotContains(t, links(t, got.header), "next")
	}
}

func TestPaging_badParams(t *testing.T) {
	a := open(t)
	for _, query := range []string{"page=0", "page=-1", "page=x", "page=", "page=1.5", "page=99999999999999999999"} {
		a.send("GET", "/tasks?"+query, "").refused(t, 400, "page must be")
	}
	for _, query := range []string{"limit=0", "limit=101", "limit=-1", "limit=x", "limit="} {
		a.send("GET", "/media?"+query, "").refused(t, 400, "limit must be a number from 1 to 100")
	}
}
