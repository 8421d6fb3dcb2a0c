package ittybittest

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// logRequest leaves out the headers, which hold the key. Status 0 is a dropped
// connection.
func (s *Server) logRequest(r *http.Request, status int, took time.Duration) {
	s.config.logger.LogAttrs(context.WithoutCancel(r.Context()), slog.LevelInfo, "ittybittest: request",
		slog.String("method", r.Method),
		slog.String("path", r.URL.Path),
		slog.Int("status", status),
		slog.Duration("duration", took),
	)
}

// logDelivery leaves out the signature, and the query of the address, where
// people keep secrets.
func (s *Server) logDelivery(d Delivery) {
	attrs := []slog.Attr{
		slog.String("id", d.ID),
		slog.Int("attempt", d.Attempt),
		slog.String("url", withoutQuery(d.URL)),
		slog.Int("status", d.StatusCode),
		slog.Duration("duration", d.Duration),
		slog.Bool("final", d.Final),
	}
	level := slog.LevelInfo
	if !d.Delivered() {
		level = slog.LevelWarn
	}
	if d.Err != nil {
		attrs = append(attrs, slog.String("error", d.Err.Error()))
	}
	s.config.logger.LogAttrs(context.Background(), level, "ittybittest: webhook", attrs...)
}

func withoutQuery(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
