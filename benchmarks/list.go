package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strconv"

	"github.com/ittybit/ittybit-go"
)

// listed is how many tasks the list has, and pageSize how many a page.
const (
	listed   = 100_000
	pageSize = 100
)

// serveTasks answers with a page of a list of total tasks, which are made as they are asked for.
func serveTasks(total int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		page, err := strconv.Atoi(r.URL.Query().Get("page"))
		if err != nil {
			page = 1
		}
		if page*pageSize < total {
			w.Header().Set("Links", fmt.Sprintf(`<https://api.ittybit.com/tasks?page=%d>; rel="next"`, page+1))
		}
		w.Header().Set("Content-Type", "application/json")
		b := new(bytes.Buffer)
		b.WriteByte('[')
		for i := (page - 1) * pageSize; i < min(page*pageSize, total); i++ {
			if i > (page-1)*pageSize {
				b.WriteByte(',')
			}
			b.Write(bytes.Replace([]byte(apiTask), []byte(apiTaskID), fmt.Appendf(nil, "task_%012d", i), 1))
		}
		b.WriteByte(']')
		_, _ = w.Write(b.Bytes())
	}
}

// heapAt is what the heap held after so many tasks.
type heapAt struct {
	tasks int
	bytes float64
}

// listTasks iterates over total tasks and looks at the heap, after a collection, at each of the
// points.
func listTasks(total int, points ...int) ([]heapAt, error) {
	s, err := serve(serveTasks(total))
	if err != nil {
		return nil, err
	}
	defer s.stop()
	c, err := ittybit.NewClient(secret, ittybit.WithBaseURL("http://"+s.address))
	if err != nil {
		return nil, err
	}
	var heaps []heapAt
	seen := 0
	for t, err := range c.Tasks.All(context.Background(), ittybit.TaskListParams{Limit: pageSize}) {
		if err != nil {
			return nil, err
		}
		if want := fmt.Sprintf("task_%012d", seen); t.ID != want || t.Output == nil {
			return nil, fmt.Errorf("%w: %s in place of %s", errUnexpected, t.ID, want)
		}
		seen++
		if len(heaps) < len(points) && seen == points[len(heaps)] {
			heaps = append(heaps, heapAt{seen, heapAlloc()})
		}
	}
	if seen != total {
		return nil, fmt.Errorf("%w: %d tasks of %d", errUnexpected, seen, total)
	}
	return heaps, nil
}

// heapAlloc is what the heap holds after a collection, what pools keep included: these drop it
// only at the second one.
func heapAlloc() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func measureList(r *report) error {
	heaps, err := listTasks(listed, 1_000, 10_000, 25_000, 50_000, 75_000, listed)
	if err != nil {
		return err
	}
	r.printf("### Tasks.All over %d tasks\n\n", listed)
	rows := [][]string{{"tasks"}, {"heap"}}
	most, least := heaps[0].bytes, heaps[0].bytes
	for _, h := range heaps {
		rows[0] = append(rows[0], strconv.Itoa(h.tasks))
		rows[1] = append(rows[1], byteSize(h.bytes))
		most, least = max(most, h.bytes), min(least, h.bytes)
	}
	r.table(rows)
	first, last := heaps[1], heaps[len(heaps)-1]
	slope := (last.bytes - first.bytes) / float64(last.tasks-first.tasks)
	r.target("Tasks.All, 100,000 tasks", "constant memory: < 0.25 B a task", slope < 0.25,
		"%.2f B a task; %s to %s", slope, byteSize(least), byteSize(most))
	return nil
}
