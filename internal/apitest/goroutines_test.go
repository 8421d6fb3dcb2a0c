package apitest

import (
	"strings"
	"testing"
)

func TestGoroutinesLeft_findsWhatIsLeftBehind(t *testing.T) {
	started, stop, stopped := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go goroutineLeftBehind(started, stop, stopped)
	<-started
	found := false
	for _, stack := range goroutinesLeft(0) {
		found = found || strings.Contains(stack, "goroutineLeftBehind")
	}
	close(stop)
	<-stopped
	if !found {
		t.Error("the check is blind")
	}
}

func goroutineLeftBehind(started chan<- struct{}, stop <-chan struct{}, stopped chan<- struct{}) {
	close(started)
	<-stop
	close(stopped)
}
