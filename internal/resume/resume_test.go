package resume_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/internal/resume"
)

var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func item(minute int) resume.Item {
	return resume.Item{ID: fmt.Sprint(minute), Created: start.Add(time.Duration(minute) * time.Minute)}
}

func page(number string) url.Values { return url.Values{"page": {number}} }

func TestList_isResumedAtItsLatestItem(t *testing.T) {
	list := resume.NewList(nil, start.Add(time.Hour), time.Minute)
	assert.Nil(t, list.Place(), "nothing was read")
	list.TurnTo(url.Values{}, []resume.Item{item(30), item(29)})
	list.Passed(item(30))
	assert.Nil(t, list.Place(), "one item says nothing of the order")
	list.Passed(item(29))
	list.TurnTo(page("2"), []resume.Item{item(29), item(28)})
	assert.True(t, list.HasPushed("29"))
	assert.False(t, list.HasPushed("28"))
	assert.True(t, list.HasShown("28"))
	list.Passed(item(28))
	assert.Equal(t, &resume.Place{At: item(28).Created, ID: "28", Page: 2, Top: item(29).Created}, list.Place())
	assert.True(t, list.IsPast(item(29).Created))
	assert.False(t, list.IsPast(item(28).Created))

	list.Passed(item(29))
	assert.Nil(t, list.Place(), "it is not sorted")
	assert.False(t, list.IsPast(item(29).Created))
}

func TestList_goesOnFromAPlace(t *testing.T) {
	from := &resume.Place{At: item(20).Created, ID: "20", Page: 3, Top: item(50).Created}
	list := resume.NewList(from, start, time.Minute)
	assert.Equal(t, from, list.Place())
	list.TurnTo(url.Values{"after": {"x"}}, nil)
	assert.False(t, list.HasNumbers())
	assert.True(t, list.IsBefore(item(21).Created))
	assert.False(t, list.IsBefore(item(20).Created))
	assert.False(t, list.IsBefore(time.Time{}))
	list.Passed(item(21))
	assert.Equal(t, from, list.Place(), "what stands before is no progress")
	list.Passed(item(20))
	assert.Equal(t, &resume.Place{At: item(20).Created, ID: "20", Top: item(50).Created}, list.Place())
	assert.False(t, list.IsMisplaced())
	list.Passed(item(22))
	assert.True(t, list.IsMisplaced())
}

func TestList_topIsNotInTheFuture(t *testing.T) {
	list := resume.NewList(nil, item(10).Created, time.Minute)
	assert.True(t, list.Top().IsZero())
	list.Passed(resume.Item{ID: "no time"})
	assert.True(t, list.Top().IsZero())
	list.Passed(item(7))
	assert.Equal(t, item(6).Created, list.Top())
	list.Passed(item(700))
	assert.Equal(t, item(9).Created, list.Top())
}

func TestPlace_findsItsPageWhereOthersHaveMovedUp(t *testing.T) {
	items := map[int][]resume.Item{} // ten a page, newest first
	for n := range 100 {
		items[n/10+1] = append(items[n/10+1], item(99-n))
	}
	for _, tt := range []struct {
		place resume.Place
		want  []int
	}{
		{resume.Place{ID: "55", At: item(55).Created, Page: 5}, []int{5}},
		{resume.Place{ID: "gone", At: item(55).Created, Page: 5}, []int{5}},
		{resume.Place{ID: "55", At: item(55).Created, Page: 6}, []int{6, 5}},
		{resume.Place{ID: "55", At: item(55).Created, Page: 9}, []int{9, 8, 6, 2}},
		{resume.Place{ID: "gone", At: item(500).Created, Page: 4}, []int{4, 3, 1}},
		{resume.Place{ID: "55", At: item(55).Created}, []int{1}},
	} {
		var fetched []int
		require.NoError(t, tt.place.Find(func(page int) ([]resume.Item, error) {
			fetched = append(fetched, page)
			return items[page], nil
		}))
		assert.Equal(t, tt.want, fetched, "%+v", tt.place)
	}
	err := (&resume.Place{Page: 3}).Find(func(int) ([]resume.Item, error) { return nil, assert.AnError })
	require.ErrorIs(t, err, assert.AnError)
}
