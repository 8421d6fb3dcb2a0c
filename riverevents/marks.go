package riverevents

import (
	"context"

	"github.com/ittybit/ittybit-go"
)

// mark is what became of an event whose handler wrote nothing.
type mark struct {
	run     *run
	outcome ittybit.Outcome
}

// markOne marks an event by itself.
func markOne(ctx context.Context, m mark) (bool, error) {
	if marked, err := markMany(ctx, []mark{m}); err == nil && marked[0] {
		return true, nil
	}
	return markLocked(ctx, m)
}

// markLocked marks an event whatever is in its way: it waits for the locks, makes a row that was
// pruned, and notes in the run that another one was first.
func markLocked(ctx context.Context, m mark) (bool, error) {
	tx, err := m.run.lock(ctx)
	if err != nil {
		return false, err
	}
	defer rollback(ctx, tx)
	if isDuplicate(m.run.skip) {
		return true, nil // the other run wrote the mark
	}
	if err := m.run.mark(ctx, tx, m.outcome); err != nil {
		return false, err
	}
	return true, tx.Commit(ctx)
}

// markMany marks several events with one statement, and reports for each whether it did. It leaves
// to markLocked what somebody else has locked, or settled, or pruned, and an event of whose subject
// a newer state was handled since it was loaded, or that is there twice.
func markMany(ctx context.Context, marks []mark) ([]bool, error) {
	of := marks[0].run
	var names, keys, outcomes, subjects []string // a row for each event
	var subjectNames, subjectIDs, before, after []string
	type id struct{ name, id string }
	at, newest := make(map[id]int), make([]*subjectState, 0, len(marks)) // nil: none is known
	for _, m := range marks {
		name := m.run.job.Args.Name
		names, keys = append(names, name), append(keys, m.run.key)
		outcomes, subjects = append(outcomes, string(m.outcome)), append(subjects, m.run.subject)
		if m.run.subject == "" {
			continue
		}
		row, ok := at[id{name, m.run.subject}]
		if !ok {
			row = len(before)
			at[id{name, m.run.subject}] = row
			subjectNames, subjectIDs = append(subjectNames, name), append(subjectIDs, m.run.subject)
			before, after, newest = append(before, m.run.kept), append(after, m.run.kept), append(newest, nil)
			if m.run.hasNewest {
				newest[row] = &m.run.newest
			}
		}
		if m.outcome == ittybit.OutcomeHandled && (newest[row] == nil || m.run.state.supersedes(*newest[row])) {
			after[row], newest[row] = m.run.state.String(), &m.run.state
		}
	}
	var done []int
	row := of.client.Driver().GetExecutor().QueryRow(ctx, of.tables.markEvents, names, keys, outcomes, subjects,
		subjectNames, subjectIDs, before, after, lockTimeout)
	if err := row.Scan(&done); err != nil {
		return nil, err
	}
	marked := make([]bool, len(marks))
	for _, n := range done {
		marked[n-1] = true
	}
	return marked, nil
}

// loaded is what is known of an event and its subject before its handler is called.
type loaded struct{ outcome, kept *string }

// loadOne reads it for a run, without a lock.
func loadOne(ctx context.Context, r *run) (l loaded, err error) {
	row := r.client.Driver().GetExecutor().QueryRow(ctx, r.tables.loadState, r.job.Args.Name, r.key, r.subject)
	return l, row.Scan(&l.outcome, &l.kept)
}

// loadMany reads it for several runs at once.
func loadMany(ctx context.Context, runs []*run) ([]loaded, error) {
	names, keys, subjects := make([]string, len(runs)), make([]string, len(runs)), make([]string, len(runs))
	for i, r := range runs {
		names[i], keys[i], subjects[i] = r.job.Args.Name, r.key, r.subject
	}
	var outcomes, kept []*string
	row := runs[0].client.Driver().GetExecutor().QueryRow(ctx, runs[0].tables.loadStates, names, keys, subjects)
	if err := row.Scan(&outcomes, &kept); err != nil {
		return nil, err
	}
	states := make([]loaded, len(runs))
	for i := range states {
		states[i] = loaded{outcomes[i], kept[i]}
	}
	return states, nil
}
