package inboxtest

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/ittybit/ittybit-go"
)

// reconcile is a whole process that reconciles. At its first checkpoint it says so, and goes on
// when it gets a line. Each later checkpoint, and each line of its log, is a line as well.
func (s receiverSetup) reconcile(ctx context.Context, inbox Inbox, exec execFunc, input *bufio.Reader) error {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stdout, nil)))
	client, err := ittybit.NewClient(Secret, ittybit.WithBaseURL(s.Reconcile))
	if err != nil {
		return err
	}
	var once sync.Once
	params := ittybit.ReconcileParams{Rate: 1000, OnCheckpoint: func(ittybit.ReconcileCheckpoint) {
		fmt.Println("checkpoint")
		once.Do(func() { _, _ = input.ReadString('\n') }) // its end is the test's
	}}
	return inbox.Reconcile(ctx, client, s.handler(exec), time.Hour, params)
}
