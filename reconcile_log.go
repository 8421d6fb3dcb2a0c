package ittybit

import (
	"context"
	"fmt"
	"log/slog"
)

// tell writes a log line and calls the observer, as a [WebhookHandler] does. What is
// settled as it was before is of interest only at Debug.
func (r *reconciliation) tell(ctx context.Context, d Delivery, stack []byte) {
	level := levelOf(d.Outcome)
	if d.Outcome == OutcomeDuplicate || d.Outcome == OutcomeIgnored {
		level = slog.LevelDebug
	}
	if logger := r.cfg.logger; logger != nil {
		recoverPanic(func() {
			attrs := []slog.Attr{
				slog.String("outcome", string(d.Outcome)),
				slog.Duration("duration", d.Duration),
				slog.String("event", r.redacted(string(d.Event.Type))),
				slog.String("key", r.redacted(d.Event.Key())),
			}
			if d.Err != nil {
				attrs = append(attrs, slog.String("error", r.redacted(fmt.Sprint(d.Err))))
			}
			if stack != nil {
				attrs = append(attrs, slog.String("stack", r.redacted(string(stack))))
			}
			logger.LogAttrs(ctx, level, "ittybit: reconciled", attrs...)
		})
	}
	observe(ctx, r.cfg.observer, d, r.cfg.logger, r.redacted)
}

func (r *reconciliation) logReport(ctx context.Context, err error) {
	logger := r.cfg.logger
	if logger == nil {
		return
	}
	level := slog.LevelInfo
	if err != nil || r.report.Failed > 0 {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{
		slog.Int("handled", r.report.Handled), slog.Int("duplicates", r.report.Duplicates),
		slog.Int("ignored", r.report.Ignored), slog.Int("discarded", r.report.Discarded),
		slog.Int("failed", r.report.Failed), slog.Int("unfinished", r.report.Unfinished), slog.Int("gone", r.report.Gone),
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", r.redacted(err.Error())))
	}
	recoverPanic(func() { logger.LogAttrs(ctx, level, "ittybit: reconciliation", attrs...) })
}

func (r *reconciliation) redacted(text string) string { return r.client.pipeline.Redacted(text) }
